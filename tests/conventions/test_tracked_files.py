"""What is under version control was written: nothing that a run makes has slipped in."""

from __future__ import annotations

import subprocess

from jobs.settings import PROJECT_DIR


def test_nothing_ignored_is_tracked() -> None:
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    found = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=True).stdout
    assert found.splitlines() == []
