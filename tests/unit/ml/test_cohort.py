"""Stays and labels as readable tables. Every case is a person of its own; one query answers for all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ml.readmission import cohort
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
still_there_return | e1  | 2025-06-01       | 2025-06-05T10:00 | IMP | EM | emd        | home      | 2 | 1
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
too_recent         | e1  | 2025-11-30T23:59 | 2025-11-30T23:59 | IMP | EM | emd        | home      | 1 | censored
too_recent_return  | e1  | 2025-12-01       | 2025-12-05       | IMP | EM | emd        | home      | 2 | censored
too_recent_return  | e2  | 2025-12-10       | 2025-12-12       | IMP | EM | emd        | home      | - | -
just_long_enough   | e1  | 2025-11-28       | 2025-11-30       | IMP | EM | emd        | home      | 1 | 0
"""
DEATHS = {"died_that_hour": "2025-06-05T10:00", "died_next_week": "2025-06-12"}

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


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> dict[str, list[Any]]:
    """The stays of every person of CASES, earliest first."""
    rows = gold.text_table(CASES)
    encounters = [gold.encounter(**row) for row in [*rows, *gold.text_table(f"{_HEADER}\n{END_OF_DATA}")]]
    people = sorted({str(row["person"]) for row in rows})
    facts = gold.facts(
        spark, encounters=encounters, persons=[gold.person(name, died=DEATHS.get(name)) for name in people]
    )
    stays = cohort.stays(facts.encounter, AS_OF)
    index = cohort.index_stays(stays, facts.encounter, facts.person, AS_OF)
    found: dict[str, list[Any]] = {name: [] for name in people}
    for row in index.orderBy("person_key", "admitted_at").collect():
        found[row["person_key"]].append(row)
    return found


_HEADER = "person | key | from | to | class_code | priority | came_from | went_to"
_EXPECTED = {row["person"]: row for row in reversed(gold.text_table(CASES)) if row["expected"]}


@pytest.mark.parametrize("person", list(_EXPECTED))
def test_what_becomes_of_a_stay(judged: dict[str, list[Any]], person: str) -> None:
    stays, first = judged[person], judged[person][0]
    label = "censored" if first["is_readmitted_30d"] is None else str(first["is_readmitted_30d"])
    assert (first["exclusion"] or label) == _EXPECTED[person]["expected"]
    assert len(stays) == int(str(_EXPECTED[person]["stays"]))


def test_death_after_discharge_competes_and_is_marked(judged: dict[str, list[Any]]) -> None:
    marked = {name for name, stays in judged.items() if stays[0]["has_died_30d"]}
    assert marked == {"died_next_week"}
    assert {name for name, stays in judged.items() if stays[0]["is_dead"]} == set(DEATHS)


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
person    | key | from       | to               | usable           | expected
first_load| e1  | 2025-06-01 | 2025-06-05T10:00 | 2025-06-05T10:00 | 2025-06-05T10:00
next_day  | e1  | 2025-06-01 | 2025-06-05T10:00 | 2025-06-06       | 2025-06-06
announced | e1  | 2025-06-01 | 2025-06-05T10:00 | 2025-06-05T09:00 | 2025-06-05T10:00
corrected | e1  | 2025-06-01 | 2025-06-05T10:00 | 2025-08-01       | 2025-06-07T10:00
unheard_of| e1  | 2025-06-01 | 2025-06-05T10:00 | 2026-01-02       | -
"""


def test_a_score_is_as_of_when_the_discharge_was_known(spark: SparkSession) -> None:
    rows = gold.text_table(AS_OF_OF_A_STAY)
    facts = gold.facts(spark, encounters=[gold.encounter(**row) for row in rows])
    stays = cohort.stays(facts.encounter, AS_OF)
    index = cohort.index_stays(stays, facts.encounter, facts.person, AS_OF)
    found = gold.by_key(index.collect(), "person_key", lambda row: row["as_of"].replace(tzinfo=UTC))
    assert found == {row["person"]: gold.at(row["expected"]) for row in rows if row["expected"]}


def test_the_end_of_data_is_each_sources_own(spark: SparkSession) -> None:
    table = """
    person | key | from       | to         | class_code | source  | usable
    a      | e1  | 2025-06-01 | 2025-06-05 | IMP        | north   | -
    b      | e2  | 2025-09-01 | -          | IMP        | north   | -
    c      | e3  | 2025-03-01 | 2025-03-02 | AMB        | harbour | -
    d      | e4  | 2026-03-01 | 2026-03-02 | AMB        | harbour | 2025-01-01
    """
    encounters = gold.frame(spark, gold.ENCOUNTER, [gold.encounter(**row) for row in gold.text_table(table)])
    found = gold.by_key(
        cohort.data_end(encounters, AS_OF).collect(), "source", lambda r: f"{r['data_end_at']:%Y-%m-%d}"
    )
    assert found == {"north": "2025-09-01", "harbour": "2025-03-02"}
