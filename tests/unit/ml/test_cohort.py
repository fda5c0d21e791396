"""Stays and labels as readable tables. Every case is a person of its own; one query answers for all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ml.risk.readmission_30d import cohort
from tests.unit.ml import gold

AS_OF = datetime(2025, 12, 31, tzinfo=UTC)
END_OF_DATA = "nobody | end | 2025-12-01 | 2025-12-30 | AMB | R | - | -"

# What follows the stay of 1 to 5 June that everybody begins with, and what is made of that stay.
CASES = """
person             | key | from             | to               |class_code|priority|came_from|went_to| stays | expected
alone              | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | 0
unplanned_return   | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 2 | 1
unplanned_return   | e2  | 2025-06-20       | 2025-06-25       | IMP | EM | emd        | home      | - | -
planned_return     | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 2 | 0
planned_return     | e2  | 2025-06-20       | 2025-06-22       | IMP | EL | outp       | home      | - | -
planned_then_urgent| e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 3 | 0
planned_then_urgent| e2  | 2025-06-20       | 2025-06-22       | IMP | EL | outp       | home      | - | -
planned_then_urgent| e3  | 2025-06-25       | 2025-06-27       | IMP | EM | emd        | home      | - | -
no_priority_return | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 2 | 1
no_priority_return | e2  | 2025-06-20       | 2025-06-22       | IMP | -  | -          | -         | - | -
still_there_return | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 2 | censored
still_there_return | e2  | 2025-06-20       | -                | IMP | EM | emd        | -         | - | -
emergency_visit    | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | 0
emergency_visit    | e2  | 2025-06-20       | 2025-06-20T03:00 | EMER | EM | -         | home      | - | -
last_moment        | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 2 | 1
last_moment        | e2  | 2025-07-05T09:59 | 2025-07-08       | IMP | EM | emd        | home      | - | -
a_moment_too_late  | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 2 | 0
a_moment_too_late  | e2  | 2025-07-05T10:00 | 2025-07-08       | IMP | EM | emd        | home      | - | -
back_within_hours  | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 2 | 1
back_within_hours  | e2  | 2025-06-05T20:00 | 2025-06-08       | IMP | EM | emd        | home      | - | -
died_inside        | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | exp       | 1 | died
died_that_hour     | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | died
died_next_week     | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | 0
hospice            | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | hosp      | 1 | hospice
against_advice     | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | aadvice   | 1 | 0
moved_elsewhere    | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | other-hcf | 1 | transferred_out
never_left         | e1  | 2025-06-01       | -                | IMP | EM | emd        | -         | 1 | ongoing
planned_index      | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EL | outp       | home      | 1 | 0
died_day_before    | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | died
died_that_day      | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | 0
died_month_before  | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | died
died_that_month    | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | 0
died_that_year     | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 1 | 0
too_recent         | e1  | 2025-11-30T23:59 | 2025-11-30T23:59 | IMP | EM | emd        | home      | 1 | censored
too_recent_return  | e1  | 2025-12-01       | 2025-12-05       | IMP | EM | emd        | home      | 2 | censored
too_recent_return  | e2  | 2025-12-10       | 2025-12-12       | IMP | EM | emd        | home      | - | -
just_long_enough   | e1  | 2025-11-28       | 2025-11-30       | IMP | EM | emd        | home      | 1 | 0
"""

# Ward periods are part of a stay: the stay says why and how, whatever the keys, and they end with it.
WARDS = """
person        | key | from             | to               | part_of | priority | went_to   | stays | expected
died          | e1  | 2025-06-01       | 2025-06-05T10:00 | -       | EM | exp             | 1 | died
died          | w2  | 2025-06-03       | 2025-06-05T10:00 | e1      | -  | -               | - | -
died_two_deep | e1  | 2025-06-01       | 2025-06-05T10:00 | -       | EM | exp             | 1 | died
died_two_deep | w2  | 2025-06-03       | 2025-06-05T10:00 | e1      | -  | -               | - | -
died_two_deep | w3  | 2025-06-04       | 2025-06-05T10:00 | w2      | -  | home            | - | -
to_hospice    | e1  | 2025-06-01       | 2025-06-05T10:00 | -       | EM | hosp            | 1 | hospice
to_hospice    | w2  | 2025-06-03       | 2025-06-05T10:00 | e1      | -  | home            | - | -
planned_back  | e1  | 2025-06-01       | 2025-06-05T10:00 | -       | EM | home            | 2 | 0
planned_back  | e3  | 2025-06-20       | 2025-06-22       | -       | EL | home            | - | -
planned_back  | a2  | 2025-06-20       | 2025-06-22       | e3      | -  | -               | - | -
sent_on       | e1  | 2025-06-01       | 2025-06-05T10:00 | -       | EM | other-hcf       | 1 | 0
sent_on       | w2  | 2025-06-02       | 2025-06-03       | e1      | EM | home            | - | -
sent_on       | e3  | 2025-06-05T20:00 | 2025-06-08       | -       | EM | home            | - | -
sent_on_loose | e1  | 2025-06-01       | 2025-06-05T10:00 | -       | EM | other-hcf       | 1 | 0
sent_on_loose | e2  | 2025-06-02       | 2025-06-03       | -       | EM | home            | - | -
sent_on_loose | e3  | 2025-06-05T20:00 | 2025-06-08       | -       | EM | home            | - | -
ward_is_over  | e1  | 2025-06-01       | -                | -       | EM | -               | 1 | ongoing
ward_is_over  | w2  | 2025-06-01       | 2025-06-03       | e1      | EM | home            | - | -
own_parent    | e1  | 2025-06-01       | 2025-06-05T10:00 | e1      | EM | home            | 1 | 0
parent_unseen | e1  | 2025-06-01       | 2025-06-05T10:00 | e0      | EM | home            | 1 | 0
"""

# A time alone is a year or a month when it is written so, and a day with a d.
PARTIAL_TIMES = """
person          | key | from             | to               | stays | expected
month           | e1  | 2025-06          | 2025-06          | 1 | imprecise
year_of_start   | e1  | 2025             | 2025-06-05T10:00 | 1 | imprecise
month_of_end    | e1  | 2025-06-03       | 2025-06          | 1 | imprecise
month_and_there | e1  | 2025-06          | -                | 1 | imprecise
days            | e1  | 2025-06-01d      | 2025-06-05d      | 1 | 0
day_of_end      | e1  | 2025-06-05T10:00 | 2025-06-05d      | 1 | 0
maybe_back      | e1  | 2025-06-01       | 2025-06-05T10:00 | 2 | censored
maybe_back      | e2  | 2025-06          | 2025-06          | - | -
maybe_back_year | e1  | 2025-06-01       | 2025-06-05T10:00 | 2 | censored
maybe_back_year | e2  | 2025             | 2025             | - | -
not_back        | e1  | 2025-06-01       | 2025-06-05T10:00 | 2 | 0
not_back        | e2  | 2025-05          | 2025-05          | - | -
back_for_days   | e1  | 2025-06-01       | 2025-06-05T10:00 | 2 | 1
back_for_days   | e2  | 2025-06-20       | 2025-06          | - | -
"""

# What is not over is no return, and what ends in the future is not over.
UNFINISHED = """
person         | key | from             | to               | status      | source  | usable     | stays | expected
no_end_written | e1  | 2025-06-01       | 2025-06-05T10:00 | finished    | north   | -          | 2 | 1
no_end_written | e2  | 2025-06-20       | -                | finished    | north   | -          | - | -
on_leave       | e1  | 2025-06-01       | 2025-06-05T10:00 | finished    | north   | -          | 2 | censored
on_leave       | e2  | 2025-06-20       | -                | onleave     | north   | -          | - | -
sent_on_return | e1  | 2025-06-01       | 2025-06-05T10:00 | finished    | north   | -          | 2 | censored
sent_on_return | e2  | 2025-06-20       | 2025-06-22       | finished    | north   | -          | - | -
sent_on_return | e3  | 2025-06-22       | -                | in-progress | harbour | -          | - | -
left_tomorrow  | e1  | 2025-12-20       | 2026-01-01       | finished    | north   | 2025-12-30 | 1 | ongoing
sent_on        | e1  | 2025-06-01       | 2025-06-05T10:00 | finished    | north   | -          | 1 | ongoing
sent_on        | e2  | 2025-06-05T11:00 | -                | arrived     | harbour | -          | - | -
"""
DEATHS = {
    "died_that_hour": "2025-06-05T10:00",
    "died_next_week": "2025-06-12",
    "died_day_before": "2025-06-04d",
    "died_that_day": "2025-06-05d",
    "died_month_before": "2025-05",
    "died_that_month": "2025-06",
    "died_that_year": "2025",
}

TRANSFERS = """
person        | key | from             | to               | source | priority | came_from  | went_to   | joined
touching      | e1  | 2025-06-01       | 2025-06-03T10:00 | north   | EL | outp       | home      | yes
touching      | e2  | 2025-06-03T10:00 | 2025-06-05       | north   | EM | emd        | home      | -
overlapping   | e1  | 2025-06-01       | 2025-06-09       | north   | EM | emd        | home      | yes
overlapping   | e2  | 2025-06-03       | 2025-06-05       | north   | EM | emd        | home      | -
sent_on       | e1  | 2025-06-01       | 2025-06-03       | north   | EM | emd        | other-hcf | yes
sent_on       | e2  | 2025-06-04       | 2025-06-05       | north   | EM | emd        | home      | -
received      | e1  | 2025-06-01       | 2025-06-03       | north   | EM | emd        | home      | yes
received      | e2  | 2025-06-04       | 2025-06-05       | north   | EM | hosp-trans | home      | -
other_hospital| e1  | 2025-06-01       | 2025-06-03       | north   | EM | emd        | home      | yes
other_hospital| e2  | 2025-06-03T20:00 | 2025-06-05       | harbour | EM | emd        | home      | -
sent_too_late | e1  | 2025-06-01       | 2025-06-03       | north   | EM | emd        | other-hcf | no
sent_too_late | e2  | 2025-06-04T00:01 | 2025-06-05       | north   | EM | hosp-trans | home      | -
home_and_back | e1  | 2025-06-01       | 2025-06-03       | north   | EM | emd        | home      | no
home_and_back | e2  | 2025-06-03T20:00 | 2025-06-05       | north   | EM | emd        | home      | -
lost_its_end  | e1  | 2025-06-01       | -                | north   | EM | emd        | -         | no
lost_its_end  | e2  | 2025-06-20       | 2025-06-25       | north   | EM | emd        | home      | -
"""


def people(name: str, table: str) -> list[dict[str, str | None]]:
    """Rows of ``table``, their persons marked as its own."""
    return [{**row, "person": f"{name}: {row['person']}"} for row in gold.text_table(table)]


_ROWS = [
    *gold.text_table(CASES),
    *people("ward", WARDS),
    *people("partial time", PARTIAL_TIMES),
    *people("unfinished", UNFINISHED),
]
_EXPECTED = {str(row["person"]): row for row in reversed(_ROWS) if row["expected"]}
_HEADER = "person | key | from | to | class_code | priority | came_from | went_to"


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> dict[str, list[Any]]:
    """The stays of every person of the tables, the one of their encounter e1 first."""
    rows = [
        {**row, **{name: f"{row['person']} {row[name]}" for name in ("key", "part_of") if row.get(name)}}
        for row in [*_ROWS, *gold.text_table(f"{_HEADER}\n{END_OF_DATA}")]
    ]
    facts = gold.facts(
        spark,
        encounters=[gold.encounter(**{"priority": "EM", **row}) for row in rows],
        persons=[gold.person(name, died=DEATHS.get(name)) for name in _EXPECTED],
    )
    stays = cohort.stays(facts.encounter, AS_OF)
    index = cohort.index_stays(stays, facts.encounter, facts.person, AS_OF).collect()
    return {
        name: sorted(
            (row for row in index if row["person_key"] == name),
            key=lambda row: f"{row['person_key']} e1" not in row["encounter_keys"],
        )
        for name in _EXPECTED
    }


@pytest.mark.parametrize("person", list(_EXPECTED))
def test_what_becomes_of_a_stay(judged: dict[str, list[Any]], person: str) -> None:
    stays, first = judged[person], judged[person][0]
    label = "censored" if first["is_readmitted_30d"] is None else str(first["is_readmitted_30d"])
    assert (first["exclusion"] or label) == _EXPECTED[person]["expected"]
    assert len(stays) == int(str(_EXPECTED[person]["stays"]))


def test_death_after_discharge_competes_and_is_marked(judged: dict[str, list[Any]]) -> None:
    marked = {name for name, stays in judged.items() if stays[0]["has_died_30d"]}
    assert marked == {"died_next_week", "died_that_day", "died_that_month"}
    assert {name for name, stays in judged.items() if stays[0]["is_dead"]} == set(DEATHS)


PERIODS = """
begins           | written | ends
2025-03-01T00:00 | month   | 2025-04-01T00:00
2025-02-28T15:00 | month   | 2025-03-31T15:00
2025-03-01T05:00 | month   | 2025-04-01T05:00
2024-12-31T15:00 | year    | 2025-12-31T15:00
2024-02-28T15:00 | day     | 2024-02-29T15:00
2025-02-28T15:00 | second  | 2025-02-28T15:00
2025-02-28T15:00 | -       | 2025-02-28T15:00
"""


def test_a_period_ends_with_the_sources_own_midnight(spark: SparkSession) -> None:
    """In UTC, Tokyo and New York."""
    rows = gold.text_table(PERIODS)
    frame = spark.createDataFrame(
        [(gold.at(row["begins"]), row["written"]) for row in rows], "begins timestamp, written string"
    )
    found = frame.select(cohort.period_end("begins", "written").alias("ends")).collect()
    assert [row["ends"].replace(tzinfo=UTC) for row in found] == [gold.at(row["ends"]) for row in rows]


def test_a_death_is_known_from_its_own_time_on(spark: SparkSession) -> None:
    persons = [gold.person("later", died="2025-09-01"), gold.person("before", died="2025-06-20")]
    persons += [{**gold.person("undated"), "is_deceased": True}, gold.person("alive")]
    stay = {"from": "2025-06-01", "to": "2025-06-05"}
    encounters = [gold.encounter(key=p["person_key"], person=p["person_key"], **stay) for p in persons]
    facts = gold.facts(spark, persons=persons, encounters=encounters)
    as_of = datetime(2025, 7, 1, tzinfo=UTC)
    index = cohort.index_stays(cohort.stays(facts.encounter, as_of), facts.encounter, facts.person, as_of)
    assert gold.by_key(index.collect(), "person_key", lambda row: row["is_dead"]) == {
        "later": False,
        "before": True,
        "undated": True,
        "alive": False,
    }


def test_transfers_are_one_stay_and_readmissions_are_two(spark: SparkSession) -> None:
    rows = gold.text_table(TRANSFERS)
    encounters = gold.frame(spark, gold.ENCOUNTER, [gold.encounter(**row) for row in rows])
    stays = cohort.stays(encounters, AS_OF).orderBy("person_key", "admitted_at").collect()
    joined = {
        name: [s for s in stays if s["person_key"] == name] for name in {s["person_key"] for s in stays}
    }
    expected = {str(row["person"]): row["joined"] for row in reversed(rows) if row["joined"]}
    assert {name: "yes" if len(found) == 1 else "no" for name, found in joined.items()} == expected
    [touching], [overlapping], [other] = joined["touching"], joined["overlapping"], joined["other_hospital"]
    assert touching["is_planned"], "a stay is planned when its first encounter is"
    assert (touching["encounter_key"], sorted(touching["encounter_keys"])) == ("e2", ["e1", "e2"])
    assert (overlapping["encounter_key"], overlapping["discharged_at"].day) == ("e1", 9)
    assert (other["source"], other["encounter_key"]) == ("harbour", "e2")
    assert joined["lost_its_end"][0]["discharged_at"] is None


AS_OF_OF_A_STAY = """
person       | key | from       | to               | class_code | usable           | superseded       | expected
first_load   | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-05T10:00 | -                | 2025-06-05T10:00
next_day     | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-06       | -                | 2025-06-06
next_week    | e1  | 2025-06-01 | -                | IMP | 2025-06-01T12:00 | 2025-06-08       | -
next_week    | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-08       | -                | 2025-06-08
announced    | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-05T09:00 | -                | 2025-06-05T10:00
put_off      | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-05T08:00 | 2025-06-05T09:00 | -
put_off      | e1  | 2025-06-01 | 2025-06-05T12:00 | IMP | 2025-06-05T09:00 | -                | 2025-06-05T12:00
corrected    | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-06       | 2025-08-01       | 2025-06-06
corrected    | e1  | 2025-06-01 | 2025-06-05T11:00 | IMP | 2025-08-01       | -                | -
only_corrected| e1 | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-08-01       | -                | 2025-08-01
taken_back   | e1  | 2025-06-01 | 2025-06-03       | IMP | 2025-06-03       | 2025-06-04       | -
taken_back   | e1  | 2025-06-01 | -                | IMP | 2025-06-04       | 2025-06-09       | -
taken_back   | e1  | 2025-06-01 | 2025-06-08       | IMP | 2025-06-09       | -                | 2025-06-09
overtaken    | e1  | 2025-06-01 | 2025-06-04       | IMP | 2025-07-01       | 2025-06-06       | -
overtaken    | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-06       | -                | 2025-06-06
no_inpatient | e1  | 2025-06-01 | 2025-06-05T10:00 | AMB | 2025-06-05T10:00 | 2025-06-20       | -
no_inpatient | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-20       | -                | 2025-06-20
vague_start  | e1  | 2025-06    | 2025-06-05T10:00 | IMP | 2025-06-05T11:00 | 2025-06-20       | -
vague_start  | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-20       | -                | 2025-06-20
vague_end    | e1  | 2025-06-01 | 2025-06          | IMP | 2025-07-01       | 2025-07-20       | -
vague_end    | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-07-20       | -                | 2025-07-20
vague_between| e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-06       | 2025-06-20       | 2025-06-06
vague_between| e1  | 2025-06    | 2025-06-05T10:00 | IMP | 2025-06-20       | 2025-07-20       | -
vague_between| e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-07-20       | -                | -
deleted_later| e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-05T10:00 | 2026-01-02       | 2025-06-05T10:00
deleted      | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2025-06-05T10:00 | 2025-07-01       | -
unheard_of   | e1  | 2025-06-01 | 2025-06-05T10:00 | IMP | 2026-01-02       | -                | -
"""


def test_a_score_is_as_of_when_the_discharge_was_first_known(spark: SparkSession) -> None:
    rows = gold.text_table(AS_OF_OF_A_STAY)
    encounter = gold.encounter_versions(spark, [gold.encounter(**row) for row in rows])
    nobody = gold.frame(spark, gold.PERSON, [])
    index = cohort.index_stays(cohort.stays(encounter, AS_OF), encounter, nobody, AS_OF)
    found = gold.by_key(index.collect(), "person_key", lambda row: row["as_of"].replace(tzinfo=UTC))
    assert found == {row["person"]: gold.at(row["expected"]) for row in rows if row["expected"]}


def test_a_label_counts_from_the_discharge_as_it_is_known_now(spark: SparkSession) -> None:
    """The stay's end was written three days too early at first; the return is within 30 days of the true one."""
    table = """
    person | key | from             | to               | usable     | superseded
    p      | e1  | 2025-06-01       | 2025-06-05T10:00 | 2025-06-06 | 2025-08-01
    p      | e1  | 2025-06-01       | 2025-06-08T10:00 | 2025-08-01 | -
    p      | e2  | 2025-07-07       | 2025-07-09       | 2025-07-09 | -
    other  | e3  | 2025-12-01       | 2025-12-02       | 2025-12-02 | -
    """
    encounter = gold.encounter_versions(spark, [gold.encounter(**row) for row in gold.text_table(table)])
    nobody = gold.frame(spark, gold.PERSON, [])

    def label(as_of: datetime) -> int | None:
        index = cohort.index_stays(cohort.stays(encounter, as_of), encounter, nobody, as_of)
        found: list[int | None] = [
            row["is_readmitted_30d"] for row in index.where("encounter_key = 'e1'").collect()
        ]
        return found[0]

    assert label(datetime(2025, 7, 15, tzinfo=UTC)) == 0
    assert label(AS_OF) == 1


def test_the_end_of_data_is_each_sources_own(spark: SparkSession) -> None:
    table = """
    person | key | from       | to         | class_code | source  | usable     | received
    a      | e1  | 2025-06-01 | 2025-06-05 | IMP        | north   | -          | -
    b      | e2  | 2025-09-01 | -          | IMP        | north   | -          | -
    c      | e3  | 2025-03-01 | 2025-03-02 | AMB        | harbour | -          | 2025-03-03
    d      | e4  | 2026-03-01 | 2026-03-02 | AMB        | harbour | 2025-01-01 | -
    slip   | e5  | 2025-10-01 | 2025-10-02 | AMB        | harbour | 2025-03-03 | 2025-03-03
    stays  | e6  | 2025-03-02 | 2025-04-02 | IMP        | harbour | 2025-03-03 | 2025-03-03
    slow   | e7  | 2025-03-02T10:00 | 2025-03-02T11:00 | AMB | harbour | 2025-03-08 | 2025-03-08
    """
    encounters = gold.frame(spark, gold.ENCOUNTER, [gold.encounter(**row) for row in gold.text_table(table)])
    found = gold.by_key(
        cohort.data_end(encounters, AS_OF).collect(), "source", lambda r: f"{r['data_end_at']:%Y-%m-%dT%H}"
    )
    assert found == {"north": "2025-09-01T00", "harbour": "2025-03-02T11"}


def test_what_only_messages_tell_is_no_stay_before_its_record_arrives(spark: SparkSession) -> None:
    """It is no return either; an end told by messages is one, and is not where the source's data ends. Nor does it move
    when the record has it."""
    table = """
    person | key   | from       | to         | usable     | superseded | told_by | end_told_by
    a      | e1    | 2025-06-01 | -          | 2025-06-01 | 2025-06-05 | fhir    | -
    a      | e1    | 2025-06-01 | 2025-06-05 | 2025-06-05 | -          | both    | hl7
    c      | e2    | 2025-06-01 | -          | 2025-06-01 | 2025-06-03 | fhir    | -
    c      | e2    | 2025-06-01 | 2025-06-03 | 2025-06-03 | 2025-06-05 | both    | hl7
    c      | e2    | 2025-06-01 | 2025-06-03 | 2025-06-05 | 2025-06-07 | both    | hl7
    c      | e2    | 2025-06-01 | 2025-06-03 | 2025-06-07 | -          | both    | fhir
    a      | visit | 2025-06-20 | 2025-06-21 | 2025-06-21 | -          | hl7     | hl7
    b      | other | 2025-06-03 | 2025-06-04 | 2025-06-04 | -          | fhir    | fhir
    """
    encounter = gold.encounter_versions(spark, [gold.encounter(**row) for row in gold.text_table(table)])
    stays = cohort.stays(encounter, AS_OF)
    discharged = {row["encounter_key"]: f"{row['told_at']:%Y-%m-%d}" for row in stays.collect()}
    assert discharged == {"e1": "2025-06-05", "e2": "2025-06-03", "other": "2025-06-04"}
    (end,) = cohort.data_end(encounter, AS_OF).collect()
    assert f"{end['data_end_at']:%Y-%m-%d}" == "2025-06-04"
