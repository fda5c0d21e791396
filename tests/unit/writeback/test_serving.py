"""``serving.risk`` is loaded whole, in one step, and only those who care for people can read it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from jobs.errors import CitywellError
from jobs.writeback import serving
from jobs.writeback.disclosure import shown

Connect = Callable[[str], serving.Connection]
AS_OF = datetime(2026, 1, 2, tzinfo=UTC)


def score(number: int, **more: Any) -> dict[str, Any]:
    return {
        "person_key": f"person-{number}",
        "target": "readmission_30d",
        "risk_key": f"risk-{number}",
        "patient_key": f"patient-{number}",
        "source": "hospital_north",
        "encounter_key": f"encounter-{number}",
        "facility_key": "facility-1",
        "facility_name": "Ward One",
        "as_of": AS_OF,
        "probability": 0.25,
        "band": "low",
        "reasons": '[{"label": "stays in the last year", "effect": 0.4}]',
        "model_name": "readmission",
        "model_version": "3",
        "scored_at": AS_OF,
        "expires_at": AS_OF + timedelta(days=30),
    } | more


def load(conn: serving.Connection, *scores: dict[str, Any], run_id: str = "run-1") -> serving.LoadResult:
    return serving.load(
        conn, pa.Table.from_pylist(list(scores)), run_id=run_id, data_versions={"scores.risk": 4}
    )


def test_care_reads_what_was_loaded(serving_as: Connect) -> None:
    assert load(serving_as("serving"), score(1), score(2)) == serving.LoadResult(rows=2, changed=2)
    care = serving_as("care")
    row = care.execute("select person_key, probability, reasons from serving.risk order by 1").fetchone()
    assert row == ("person-1", 0.25, [{"label": "stays in the last year", "effect": 0.4}])
    recorded = care.execute("select run_id, rows_loaded, model_versions, data_versions from serving.load")
    assert recorded.fetchall() == [("run-1", 2, ["readmission 3"], {"scores.risk": 4})]


def test_the_same_load_again_changes_nothing(serving_as: Connect) -> None:
    owner = serving_as("serving")
    load(owner, score(1), score(2))
    before = owner.execute("select xmin, r.* from serving.risk as r order by person_key").fetchall()
    loads = owner.execute("select * from serving.load").fetchall()
    assert load(owner, score(1), score(2)).changed == 0
    assert owner.execute("select xmin, r.* from serving.risk as r order by person_key").fetchall() == before
    assert owner.execute("select * from serving.load").fetchall() == loads


def test_a_load_adds_updates_and_removes(serving_as: Connect) -> None:
    owner = serving_as("serving")
    load(owner, score(1), score(2), score(3))
    result = load(owner, score(1), score(2, probability=0.5), score(4), run_id="run-2")
    assert result == serving.LoadResult(rows=3, changed=3)
    rows = owner.execute("select person_key, probability from serving.risk order by 1").fetchall()
    assert rows == [("person-1", 0.25), ("person-2", 0.5), ("person-4", 0.25)]


def test_a_load_that_fails_leaves_the_table_as_it_was(serving_as: Connect) -> None:
    owner = serving_as("serving")
    load(owner, score(1))
    with pytest.raises(CitywellError, match="CheckViolation"):
        load(owner, score(2), score(3, probability=1.5), run_id="run-2")
    assert owner.execute("select person_key from serving.risk").fetchall() == [("person-1",)]
    assert owner.execute("select run_id from serving.load").fetchall() == [("run-1",)]


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({1: 1, 2: 2}, {9: 1, 2: 2}, 2),
        ({5: 5, 2: 2}, {1: 5, 2: 2}, 2),
        ({1: 1, 2: 2}, {1: 2}, 2),
        ({1: 1, 2: 2}, {2: 1}, 2),
        ({1: 2}, {1: 1, 2: 2}, 2),
        ({2: 1}, {1: 1, 2: 2}, 2),
        ({1: 1, 2: 2}, {1: 2, 2: 1}, 2),
    ],
    ids=["later", "earlier", "merged", "merged, older score", "split", "split, older score", "swapped"],
)
def test_a_stay_may_turn_out_to_be_another_persons(
    serving_as: Connect, before: dict[int, int], after: dict[int, int], changed: int
) -> None:
    """Scores by person."""
    owner = serving_as("serving")
    load(owner, *_of(before))
    assert load(owner, *_of(after), run_id="run-2") == serving.LoadResult(rows=len(after), changed=changed)
    held = owner.execute("select person_key, risk_key from serving.risk").fetchall()
    assert sorted(held) == [(f"person-{person}", f"risk-{stay}") for person, stay in sorted(after.items())]


def _of(stays: dict[int, int]) -> list[dict[str, Any]]:
    return [score(stay, person_key=f"person-{person}") for person, stay in stays.items()]


def test_a_table_of_an_earlier_version_takes_such_a_stay_too(serving_as: Connect) -> None:
    owner = serving_as("serving")
    owner.execute("alter table serving.risk drop constraint risk_risk_key_key, add unique (risk_key)")
    owner.execute("update migration set sha256 = 'of an earlier version'")
    load(owner, *_of({1: 1}))
    serving.migrate(owner)
    load(owner, *_of({9: 1}), run_id="run-2")
    assert owner.execute("select person_key, risk_key from serving.risk").fetchall() == [
        ("person-9", "risk-1")
    ]


def test_two_people_with_one_score_are_refused_and_no_key_is_told(serving_as: Connect) -> None:
    owner = serving_as("serving")
    load(owner, score(1))
    with pytest.raises(CitywellError, match="UniqueViolation") as raised:
        load(owner, *_of({1: 1, 2: 1}), run_id="run-2")
    assert "risk-1" not in "".join(traceback.format_exception(raised.value))
    assert owner.execute("select person_key from serving.risk").fetchall() == [("person-1",)]


def test_when_all_scores_have_expired_the_table_is_empty(serving_as: Connect) -> None:
    owner = serving_as("serving")
    load(owner, score(1))
    none = pa.table({name: [] for name in serving.COLUMNS})
    assert serving.load(owner, none, run_id="r", data_versions={}) == serving.LoadResult(rows=0, changed=1)
    assert owner.execute("select count(*) from serving.risk").fetchone() == (0,)
    assert owner.execute("select model_versions from serving.load where run_id = 'r'").fetchone() == ([],)


def test_an_analyst_sees_counts_and_no_small_ones(serving_as: Connect) -> None:
    low = [score(n) for n in range(13)]
    high = [score(n, band="high") for n in range(20, 24)]
    load(serving_as("serving"), *low, *high)
    counts = serving_as("analyst").execute(
        "select facility_name, band, people, is_suppressed from serving.risk_by_facility order by band"
    )
    assert counts.fetchall() == [("Ward One", "high", None, True), ("Ward One", "low", 15, False)]


@pytest.mark.parametrize("count", [1, 4, 5, 7, 8, 12, 13])
def test_the_view_suppresses_as_declared(serving_as: Connect, count: int) -> None:
    load(serving_as("serving"), *(score(n) for n in range(count)))
    people = serving_as("analyst").execute("select people from serving.risk_by_facility").fetchall()
    assert people == [(shown(count),)]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 0), (1, None), (4, None), (5, 5), (7, 5), (8, 10), (12, 10), (13, 15)]
)
def test_small_numbers_are_withheld_and_others_rounded(count: int, expected: int | None) -> None:
    assert shown(count) == expected


@pytest.mark.parametrize(
    "query",
    [
        "select * from serving.risk",
        "select count(*) from serving.risk",
        "select * from serving.load",
        "delete from serving.risk",
        "create table public.copy (a int)",
        "create or replace view serving.mine as select 1",
    ],
)
def test_an_analyst_reads_no_score(serving_as: Connect, query: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        serving_as("analyst").execute(query)


@pytest.mark.parametrize("query", ["delete from serving.risk", "update serving.risk set band = 'low'"])
def test_care_changes_no_score(serving_as: Connect, query: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        serving_as("care").execute(query)


def test_the_public_has_no_rights_at_all(serving_as: Connect) -> None:
    granted = serving_as("serving").execute(
        "select table_name, privilege_type from information_schema.table_privileges "
        "where table_schema = 'serving' and grantee not in ('serving', 'care', 'analyst')"
    )
    assert granted.fetchall() == []
    allowed = serving_as("serving").execute(
        "select has_schema_privilege('public', 'serving', 'usage'), "
        "has_table_privilege('public', 'serving.risk', 'select')"
    )
    assert allowed.fetchall() == [(False, False)]


def test_migrating_again_keeps_the_rows(serving_as: Connect) -> None:
    owner = serving_as("serving")
    load(owner, score(1))
    serving.migrate(owner)
    assert owner.execute("select count(*) from serving.risk").fetchone() == (1,)
