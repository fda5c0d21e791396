"""The fault catalogue: its rows are numbered once, its tests exist, and no fault test is without a row."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from jobs.settings import PROJECT_DIR
from tests.faults.catalogue import CATALOGUE, README, covered, page

TESTS = PROJECT_DIR / "tests"
LEAST_COVERED, LEAST_ON_BOTH_ENGINES = 180, 58


def collected(files: set[str]) -> set[str]:
    """Every test of ``files``, as pytest names it below tests/, the long ones too."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "slow or not slow"]
    ended = subprocess.run(
        [*command, *(str(TESTS / file) for file in sorted(files))],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return {line.removeprefix("tests/") for line in ended.stdout.splitlines() if "::" in line}


def test_every_row_has_its_number_and_its_words() -> None:
    numbers = Counter(fault.number for fault in CATALOGUE)
    assert [number for number, count in numbers.items() if count > 1] == []
    assert sorted(numbers) == list(range(1, len(CATALOGUE) + 1))
    assert all(fault.fault and fault.injection and fault.promise for fault in CATALOGUE)
    on_both = {fault.number for fault in CATALOGUE if any("{engine}" in test for test in fault.tests)}
    assert on_both == {fault.number for fault in CATALOGUE if fault.engines == "both"}


def test_every_named_test_exists() -> None:
    named = {node for fault in CATALOGUE for node in fault.nodes}
    assert named - collected({node.partition("::")[0] for node in named}) == set()


def test_no_fault_test_is_without_a_row() -> None:
    named = {node.partition("::")[0] for fault in CATALOGUE for node in fault.nodes}
    written = {str(Path("faults") / file.name) for file in (TESTS / "faults").glob("test_*.py")}
    assert written - named == set()


def test_enough_faults_are_tested_and_enough_of_them_on_both_engines() -> None:
    assert len(covered()) >= LEAST_COVERED
    assert sum(fault.engines == "both" for fault in covered()) >= LEAST_ON_BOTH_ENGINES


def test_the_page_for_people_says_the_same() -> None:
    assert README.read_text(encoding="utf-8") == page(), "run `python -m tests.faults.catalogue`"
