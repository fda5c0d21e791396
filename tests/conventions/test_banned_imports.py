"""Ruff itself flags what each layer must not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.settings import PROJECT_DIR


@pytest.mark.parametrize(
    ("file", "code", "is_banned"),
    [
        ("dags/snippet.py", "import pyspark\n", True),
        ("dags/snippet.py", "from pyspark.sql import functions\n", True),
        ("dags/snippet.py", "import deltalake\n", True),
        ("dags/snippet.py", "import airflow\n", False),
        ("jobs/snippet.py", "import airflow\n", True),
        ("ml/snippet.py", "from airflow.sdk import dag\n", True),
        ("jobs/lake/snippet.py", "import pyspark\n", False),
    ],
)
def test_a_banned_import_is_flagged(file: str, code: str, is_banned: bool) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    command = [ruff, "check", "--no-cache", "--select", "TID251", "--stdin-filename", file, "-"]
    ended = subprocess.run(command, input=code, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert ("TID251" in ended.stdout, ended.returncode) == (is_banned, int(is_banned)), ended.stdout
