"""A transform killed at any of its steps and run again gives the tables of one that was never killed, and its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from jobs import gold, transform
from jobs.lake import control
from tests.support.exports import one_of_each
from tests.support.kills import Killer
from tests.support.lake import TestLake, instant
from tests.support.promises import assert_promises

AS_OF = "2026-01-02T00:00:00+00:00"


POINTS = ("gold:built", "before jobs.lake.control.publication._insert_publication gold", "gold:published")
"""Before, during and after the commit of gold."""


@dataclass(frozen=True)
class Left:
    """What a killed transform left: published versions of gold, the note of its session, the page."""

    versions: dict[str, int]
    has_note: bool
    has_page: bool


@dataclass(frozen=True)
class Killed:
    """``lake`` after a transform was killed at each of the points in turn, and one was not, with its ``summary``."""

    lake: TestLake
    left: dict[str, Left]
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def killed(lake: TestLake, killer: Killer) -> Killed:
    lake.ingest("hospital_north", one_of_each(instant("2026-01-01")))
    page, note = lake.home / "reports" / "dbt_docs" / "index.html", lake.home / "sessions" / "gold"
    left = {}
    for point in POINTS:
        killer.run("jobs.transform.run", AS_OF, at=point)
        left[point] = Left(gold_versions(), note.exists(), page.exists())
    summary = transform.run(AS_OF)
    assert not note.exists()
    return Killed(lake, left, summary)


BUILT_QUALITY = {f"quality.{model.stem}" for model in (gold.PROJECT / "models" / "quality").glob("*.sql")}


def gold_versions() -> dict[str, int]:
    """The published versions of what dbt builds: gold, and tables of quality."""
    with control.connect() as conn:
        found = control.current_versions(conn)
    return {name: at for name, at in found.items() if name.startswith("gold.") or name in BUILT_QUALITY}


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_transform(killed: Killed, point: str) -> None:
    left = killed.left[point]
    assert left.versions == (killed.summary["versions"] if point == "gold:published" else {})
    assert left.has_note, "its session could not be ended by the next run"
    assert not left.has_page
    assert killed.summary["versions"] == gold_versions()
    assert [row["n"] for row in killed.lake.rows("select count(*) as n from gold.fct_encounter")] == [1]


def test_the_run_after_it_writes_the_page(killed: Killed) -> None:
    page = killed.lake.home / "reports" / "dbt_docs" / "index.html"
    assert killed.summary["docs"] == str(page)
    assert "fct_encounter_superseded" in page.read_text()
    assert "Canary" not in page.read_text()
    assert_promises()
