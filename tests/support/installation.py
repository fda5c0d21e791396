"""A whole installation of the test's own: data directory, ports and the command line that steers it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.stack.postgres import Cluster, free_port

SERVERS = ("POSTGRES", "ENGINE", "THRIFT", "MLFLOW", "AIRFLOW", "CITY", "HL7")


@contextmanager
def installed(**settings: str) -> Iterator[Installation]:
    """An installation that is stopped and gone after the block.

    Not below pytest's own directories: each pytest that starts closes those to other users, and PostgreSQL is one
    where tests run as root.
    """
    with tempfile.TemporaryDirectory(prefix="citywell-") as place:
        installation = Installation(Path(place) / "home", **settings)
        try:
            yield installation
        finally:
            installation.citywell("down")


class Installation:
    """Nothing of it runs before the first ``citywell("up")`` or ``citywell("demo")``.

    elsewhere: its temporary directory, and the directory in which a person works with it.
    """

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.elsewhere = (home.parent / "tmp", home.parent / "work")
        for place in self.elsewhere:
            place.mkdir()
            place.chmod(0o1777)
        self.ports = {name: free_port() for name in SERVERS}
        self.environment = {
            **os.environ,
            **{f"CITYWELL_{name}_PORT": str(port) for name, port in self.ports.items()},
            "CITYWELL_HOME": str(home),
            "TMPDIR": str(self.elsewhere[0]),
            **settings,
        }

    @property
    def postgres(self) -> Cluster:
        secrets = self.home / "secrets" / "postgres"
        return Cluster(self.home / "postgres", secrets, "127.0.0.1", self.ports["POSTGRES"])

    def citywell(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("citywell")), *arguments]
        return self._run(command)

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run ``code`` with this installation's settings."""
        return self._run([sys.executable, "-c", code])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.elsewhere[1],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
