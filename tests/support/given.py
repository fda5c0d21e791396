"""Data that is given, and not part of the project: beside the checkout, or where CITYWELL_TEST_DATA says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.settings import PROJECT_DIR

TEST_DATA = Path(os.environ.get("CITYWELL_TEST_DATA", PROJECT_DIR.parent / "shared" / "data"))


def given(name: str) -> Path:
    """The directory of one data set. Without it the test is skipped; in CI it fails."""
    directory = TEST_DATA / name
    if not directory.exists():
        message = f"no test data {name}: set CITYWELL_TEST_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return directory
