"""Persons reach the published links, at any moment between loads, and come back from them exactly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from jobs.identity import linkage
from jobs.identity.linkage import task
from tests.support.lake import Export, TestLake, instant

NORTH, HARBOUR = "hospital_north", "hospital_harbour"
AT = instant("2026-01-01")
LINKS = (
    "select patient_key, source, person_key, linked_at, method from silver.person_link order by patient_key"
)


def patient(id_: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id_,
        "meta": {"lastUpdated": "2025-12-01T00:00:00Z"},
        "gender": "female",
        "birthDate": "1961-04-09",
        "identifier": [{"system": "https://id.city.example/national", "value": "0000000123-26"}],
        "name": [{"family": "Quill", "given": ["Anna"]}],
        **more,
    }


@pytest.fixture(scope="module")
def loaded(lake: TestLake) -> TestLake:
    """One person at two hospitals, and somebody else."""
    lake.ingest(NORTH, Export(AT, {"Patient": [patient("n1"), patient("n2", identifier=[], name=[])]}))
    lake.ingest(HARBOUR, Export(AT + timedelta(hours=1), {"Patient": [patient("h1")]}))
    return lake


def test_persons_are_published_and_undone_exactly_between_loads(loaded: TestLake) -> None:
    apart = loaded.rows(LINKS)
    assert len({row["person_key"] for row in apart}) == 3
    assert task.run("r1")["published"] == 1
    joined = loaded.rows(LINKS)
    (relinked,) = (row for row in joined if row["method"] != "source_patient")
    assert relinked["source"] == HARBOUR
    assert relinked["method"] == "national_id"
    assert task.run("r2")["published"] == 0

    with linkage.connect() as conn:
        change, *_ = linkage.history(conn)
        assert linkage.unmerge(conn, change.audit_id, "two people", actor="test").is_exact
    again = Export(
        AT + timedelta(days=1),
        {"Patient": [patient("h1", gender="male"), patient("h2", name=[], identifier=[])]},
    )
    loaded.ingest(HARBOUR, again)
    task.run("r3")
    after = loaded.rows(LINKS)
    assert [row for row in after if row in apart] == apart, "row for row, whatever was loaded meanwhile"
    assert len(after) == len(apart) + 1


def test_a_publication_that_was_stopped_is_made_good(
    loaded: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (row["patient_key"] for row in loaded.rows(LINKS)[:2])
    with linkage.connect() as conn:
        change = linkage.merge(conn, one, other, "one person", actor="test")
    before = loaded.rows(LINKS)

    def killed(point: str) -> None:
        if point == "linkage:merged":
            raise KeyboardInterrupt

    monkeypatch.setattr(task, "crash_here", killed)
    with pytest.raises(KeyboardInterrupt):
        task.run("r4")
    assert loaded.rows(LINKS) == before, "nothing unpublished is seen"
    monkeypatch.undo()
    task.run("r4")
    assert loaded.rows(LINKS) != before
    with linkage.connect() as conn:
        linkage.unmerge(conn, change, "two people", actor="test")
    task.run("r5")
    assert loaded.rows(LINKS) == before
