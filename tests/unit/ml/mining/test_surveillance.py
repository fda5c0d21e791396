"""Outbreaks are watched for day by day, by what was known at each day's end; what is new is told once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from jobs.errors import CitywellError
from jobs.lake import catalog, control
from jobs.settings import settings
from ml import mining
from ml.mining import inputs, syndromes
from ml.mining.outbreaks import KNOWN_AFTER_DAYS, known_after
from tests.support.lake import TestLake
from tests.support.webhook import running_webhook
from tests.unit.ml.gold import ICD10, Row
from tests.unit.ml.mining import gold

BEGAN = gold.FIRST.date() + timedelta(days=gold.OUTBREAK_DAY)
MORNING = gold.FIRST + timedelta(days=gold.OUTBREAK_DAY + 1, hours=5)
"""Of the day after the outbreak began."""
ENCOUNTERS = "gold.fct_encounter"
SUPERSEDED = ("gold.fct_encounter_superseded", "gold.fct_condition_superseded")


@pytest.fixture(scope="module")
def watched(lake: TestLake) -> dict[str, Any]:
    """The first run of the city, after what happens before there is gold."""
    with pytest.raises(CitywellError, match=r"Not published yet: gold\.dim_person"):
        mining.surveil(gold.AS_OF)
    gold.publish(gold.city())
    return mining.surveil(MORNING)


def alarms(lake: TestLake) -> list[dict[str, Any]]:
    query = "select date, area_code, run_id, syndrome from gold.mining_outbreaks where is_alarm order by run_id, date"
    return lake.rows(query)


def test_an_outbreak_is_new_until_it_has_been_told(watched: dict[str, Any], lake: TestLake) -> None:
    first = {"date": BEGAN.isoformat(), "syndrome": "gastro", "area_code": gold.OUTBREAK_DISTRICT}
    assert watched["new"] == [first]
    assert mining.surveil(MORNING) == watched, "a run again tells the same"
    later = MORNING + timedelta(days=2)
    days = ("2024-10-27", "2024-10-28", "2024-10-29")
    assert [alarm["date"] for alarm in mining.surveil(later)["new"]] == list(days), "nobody has told it"
    mining.tell(watched)
    assert [alarm["date"] for alarm in mining.surveil(later)["new"]] == list(days[1:])
    mining.tell(mining.surveil(later))
    assert mining.surveil(later)["new"] == []
    said = [row for row in alarms(lake) if row["date"] == BEGAN]
    assert {row["syndrome"] for row in said} == {"gastro"}
    assert len({row["run_id"] for row in said}) == 2, "what was judged of a day stands in every later run"


def test_alarms_of_long_ago_are_history(watched: dict[str, Any], lake: TestLake) -> None:
    """The newest run is of a day on which the city is quiet."""
    summary = mining.surveil(gold.AS_OF)
    assert summary["alarms"] >= 1
    assert summary["new"] == []


def test_a_webhook_that_does_not_answer_fails_the_telling(
    lake: TestLake, watched: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "new": [{"date": "2024-03-27", "syndrome": "gastro", "area_code": area} for area in ("C02", "C03")]
    }
    with running_webhook() as webhook:
        monkeypatch.setenv("CITYWELL_WEBHOOK_URL", webhook.url)
        settings.cache_clear()
        webhook.status = 503
        with pytest.raises(CitywellError, match="2 of 2 messages could not be told"):
            mining.tell(found)
        assert told(lake, "2024-03-27") == []
        webhook.status = 204
        webhook.messages.clear()
        assert mining.tell(found) == 2
        assert webhook.messages[0]["what"] == (
            "By 2024-03-27 more people had come with gastro illness, within three days, than the past explains"
        )
        assert webhook.messages[0]["where"] == "district C02"
    settings.cache_clear()
    assert told(lake, "2024-03-27") == ["C02", "C03"]


def told(lake: TestLake, day: str) -> list[str]:
    with control.connect() as conn:
        rows = conn.execute("select area_code from told_outbreak where date = %s order by 1", (day,))
        return [area_code for (area_code,) in rows]


def counted(rows: gold.Rows, syndrome: str = "gastro") -> list[tuple[Any, ...]]:
    """district, day, and who was known when, of a city of one person, and what is told of them."""
    gold.publish(rows)
    with catalog.lake_session() as spark:
        found = syndromes.counts(inputs.Gold.at(spark, gold.AS_OF))[syndrome]
    gold.publish(gold.city())
    days = (pd.to_datetime(found["date"]) - pd.Timestamp(gold.FIRST.date())).dt.days
    known = found[[known_after(n) for n in KNOWN_AFTER_DAYS]].to_numpy().tolist()
    return list(zip(found["area_code"], days, known, strict=True))


def one_person(encounters: list[Row], **more: list[Row]) -> gold.Rows:
    whole = gold.city(people=8)
    nobody: gold.Rows = {table: [] for table in (*whole, *SUPERSEDED)}
    return {**nobody, "gold.dim_person": whole["gold.dim_person"][:2], ENCOUNTERS: encounters, **more}


@pytest.fixture
def away_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (syndromes, inputs):
        monkeypatch.setattr(module, "city_zone", lambda: "America/New_York")


def test_who_came_counts_from_when_it_was_known(lake: TestLake, watched: dict[str, Any]) -> None:
    at = gold.FIRST + timedelta(days=100)
    visits = [
        gold.visit("p0000", "A09.9", 100),
        gold.visit("p0000", "R11.2", 100, encounter_key="again"),
        gold.visit("p0001", "A09.9", 100, usable_at=at + timedelta(days=2, hours=1)),
        gold.visit("p0001", "J06.9", 103),
        gold.visit("p0001", "M54.5", 104),
        gold.visit("p0001", "A09.9", 105, class_code="IMP"),
    ]
    assert counted(one_person(visits)) == [("C01", 100, [1, 1, 1, 1]), ("C02", 100, [0, 0, 1, 1])]
    assert counted(one_person(visits), "respiratory") == [("C02", 103, [1, 1, 1, 1])]


def test_a_day_is_looked_at_at_the_hour_of_the_run_by_the_clocks_of_the_city(
    lake: TestLake, watched: dict[str, Any], away_from_greenwich: None
) -> None:
    """The run is at 19:00 of a winter's day in New York; on day 100 it is summer, and 19:00 is 23:00 UTC."""
    evening = gold.FIRST + timedelta(days=101, hours=23)
    visits = [
        gold.visit("p0000", "A09", 100, usable_at=evening),
        gold.visit("p0001", "A09", 100, usable_at=evening + timedelta(seconds=1)),
    ]
    assert counted(one_person(visits)) == [("C01", 100, [1, 1, 1, 1]), ("C02", 100, [0, 1, 1, 1])]


def test_what_only_messages_tell_waits_for_the_record(lake: TestLake, watched: dict[str, Any]) -> None:
    told_by = [
        gold.visit("p0000", "A09", 100, told_by="hl7"),
        gold.visit("p0001", "A09", 100, told_by="both"),
    ]
    assert counted(one_person(told_by)) == [("C02", 100, [1, 1, 1, 1])]


def test_a_day_that_was_a_slip_and_never_known_makes_no_past(lake: TestLake, watched: dict[str, Any]) -> None:
    at = gold.FIRST + timedelta(days=100)
    slip = gold.visit("p0000", "A09", 20, encounter_key="slip", usable_at=at, superseded_at=at)
    long_ago = gold.visit("p0001", "A09", -2000)
    rows = one_person([gold.visit("p0001", "A09", 100), long_ago], **{SUPERSEDED[0]: [slip]})
    assert counted(rows) == [("C02", 100, [1, 1, 1, 1])]


def test_what_is_taken_back_counts_until_then(lake: TestLake, watched: dict[str, Any]) -> None:
    """One visit was of another day; the diagnosis of another was found a day later, and given up two days after."""
    at = gold.FIRST + timedelta(days=100)
    moved = gold.visit("p0000", "A09", 99, encounter_key="moved", usable_at=at + timedelta(hours=42))
    wrong = gold.visit("p0000", "A09", 100, encounter_key="moved", superseded_at=at + timedelta(hours=42))
    diagnosis = {
        "person_key": "p0001",
        "encounter_key": "seen",
        "code_system": ICD10,
        "code": "A04.7",
        "category_code": "encounter-diagnosis",
        "usable_at": at + timedelta(days=1, hours=12),
        "superseded_at": at + timedelta(days=3, hours=12),
    }
    rows = one_person(
        [moved, gold.visit("p0001", "Z00", 100, encounter_key="seen")],
        **dict(zip(SUPERSEDED, ([wrong], [diagnosis]), strict=True)),
    )
    assert counted(rows) == [
        ("C01", 99, [0, 0, 1, 1]),
        ("C01", 100, [1, 0, 0, 0]),
        ("C02", 100, [0, 1, 1, 0]),
    ]


def test_the_dead_of_later_came_too(lake: TestLake, watched: dict[str, Any]) -> None:
    rows = one_person([gold.visit("p0000", "A09", 100)])
    rows["gold.dim_person"][0] |= {"is_deceased": True, "deceased_at": gold.FIRST + timedelta(days=101)}
    assert counted(rows) == [("C01", 100, [1, 1, 1, 1])]
