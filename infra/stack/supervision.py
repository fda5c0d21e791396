"""supervisord: its configuration file, its daemon, and calls to it over a unix socket (decision 0002)."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from infra.stack.model import Program
from infra.stack.secrets import write_private
from jobs.errors import CitywellError

SOCKET_PATH_LIMIT = 100
"""Bytes; systems allow 104 to 108 for the path of a unix socket."""

RUNNING = "RUNNING"
ALIVE = {RUNNING, "STARTING", "STOPPING"}
UNKNOWN = "UNKNOWN"
FAILED = {"BACKOFF", "FATAL", "EXITED", UNKNOWN}
"""supervisord's names for the states of a program; STOPPED is in neither set."""


@dataclass(frozen=True)
class Supervisor:
    """The supervisord of one home: ``run`` takes configuration, pid file and socket, ``logs`` all logs."""

    run: Path
    logs: Path

    @property
    def configuration(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def socket(self) -> Path:
        """Beside the configuration, or in the temporary directory where that path is too long for one."""
        socket = self.run / "supervisor.sock"
        if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT:
            return socket
        digest = hashlib.sha256(os.fsencode(self.run)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"citywell-{os.getuid()}-{digest}.sock"

    def log(self, program: str) -> Path:
        return self.logs / f"{program}.log"

    def is_running(self) -> bool:
        """Whether the daemon answers."""
        try:
            return bool(self._call("getState")["statename"])
        except OSError:
            return False

    def states(self) -> dict[str, tuple[str, int]]:
        """program -> (state, pid or 0); empty when the daemon does not run."""
        try:
            reports = self._call("getAllProcessInfo")
        except OSError:
            return {}
        return {report["name"]: (report["statename"], report["pid"]) for report in reports}

    def launch(self, programs: Iterable[Program], environment: Mapping[str, str]) -> None:
        """Start the daemon with ``programs`` known and none of them started."""
        self.write_configuration(programs)
        self.socket.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + 20
        while not self.is_running():
            if done.returncode or time.monotonic() > deadline:
                raise CitywellError(
                    f"the process manager did not start: {done.stderr.strip()[-500:]}",
                    where=str(self.log("supervisord")),
                    do="see the message and the log",
                )
            time.sleep(0.05)

    def reload(self, programs: Iterable[Program]) -> set[str]:
        """Take over changed definitions: changed and vanished programs are stopped; returns their names."""
        self.write_configuration(programs)
        [[added, changed, removed]] = self._call("reloadConfig")
        for name in [*changed, *removed]:
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._call("addProcessGroup", name)
        return {*changed, *removed}

    def start(self, name: str) -> None:
        self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Ask ``name`` to stop, without waiting; nothing happens when it does not run."""
        try:
            self._call("stopProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise

    def shutdown(self) -> None:
        """Stop the daemon, which stops whatever it still runs first."""
        self._call("shutdown")

    def write_configuration(self, programs: Iterable[Program]) -> None:
        """supervisord's configuration (mode 0600)."""
        sections: dict[str, dict[str, object]] = {
            "supervisord": {
                "logfile": self.log("supervisord"),
                "logfile_maxbytes": "5MB",
                "logfile_backups": 1,
                "pidfile": self.run / "supervisord.pid",
                "childlogdir": self.logs,
                "directory": self.run,
                "umask": "077",
                **({"user": "root"} if os.geteuid() == 0 else {}),
            },
            "unix_http_server": {"file": self.socket, "chmod": "0700"},
            "rpcinterface:supervisor": {
                "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
            },
            **{f"program:{program.name}": self._section(program) for program in programs},
        }
        lines = []
        for title, options in sections.items():
            lines += [f"[{title}]", *(f"{name}={_escape(value)}" for name, value in options.items()), ""]
        write_private(self.configuration, "\n".join(lines))

    def _section(self, program: Program) -> dict[str, object]:
        together = str(program.is_signalled_with_children).lower()
        return {
            "command": shlex.join(program.command),
            "directory": program.directory,
            "environment": ",".join(
                f'{name}="{_plain(name, value)}"' for name, value in sorted(program.environment.items())
            ),
            **({"user": program.user} if program.user else {}),
            "autostart": "false",
            "autorestart": "true",
            "startsecs": 1,
            "startretries": 5,
            "stopsignal": program.stop_signal,
            "stopasgroup": together,
            "killasgroup": "true",
            "stopwaitsecs": program.stop_seconds,
            "redirect_stderr": "true",
            "stdout_logfile": self.log(program.name),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": 2,
        }

    def _call(self, method: str, *arguments: object) -> Any:
        """One XML-RPC call. Raises OSError when the daemon does not run."""
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self.socket}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()


def _escape(value: object) -> str:
    return str(value).replace("%", "%%")


def _plain(name: str, value: str) -> str:
    """supervisord's environment syntax knows no escapes."""
    if '"' in value or "\n" in value or value.endswith("'"):
        raise CitywellError(
            "a setting contains a quotation mark or a line break", where=name, do="choose a value without it"
        )
    return value
