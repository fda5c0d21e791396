"""What each target of the Makefile needs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from jobs.settings import PROJECT_DIR


@pytest.mark.parametrize(
    ("target", "needs_maven"),
    [("setup", False), ("demo", False), ("up", False), ("test", True), ("test-all", True), ("bench", True)],
)
def test_only_tests_and_benchmarks_ask_maven(tmp_path: Path, target: str, needs_maven: bool) -> None:
    """On a machine that has Java and Maven."""
    for tool in ("java", "mvn"):
        (tmp_path / tool).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / tool).chmod(0o755)
    told = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", target],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ("mvn " in told) is needs_maven
