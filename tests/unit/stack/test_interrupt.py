"""Ctrl-C on the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def test_an_interrupted_command_says_so_and_ends_with_130(tmp_path: Path) -> None:
    waiting = "import time, infra.demo as d; d.run = lambda *_: (print('begun', flush=True), time.sleep(60))"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{waiting}; import sys; sys.argv[1:] = ['demo']; from infra.cli import main; main()",
        ],
        env={**os.environ, "CITYWELL_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.strip() == "stopped"
