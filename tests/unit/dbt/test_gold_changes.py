"""What a build does to tables that are there: nothing, only what changed, or nothing that a reader sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import StructType

from jobs import gold
from jobs.errors import CitywellError
from jobs.lake import tables
from tests.unit.dbt.city import City, at
from tests.unit.dbt.surroundings_rows import SURROUNDINGS

MEASUREMENTS = "+fct_measurement"


def measured(key: str, month: str, *, parts: int = 0, patient: str = "p1", **more: Any) -> dict[str, Any]:
    component = {"code": "part", "value_type": "quantity", "value_number": 1.0}
    return {
        "observation_key": key,
        "patient_key": patient,
        "status": "final",
        "code": "whole",
        "value_type": "none",
        "month": month,
        "components": [component] * parts,
        **more,
    }


def test_measurements_follow_every_change_and_leave_other_months_alone(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New, changed, moved, deleted and newly resolved observations; equal to building everything anew.

    Everything is built anew when the models' SQL is that of another release.
    """
    city.put(
        patient=[{"patient_key": "p1"}],
        person_link=[{"patient_key": "p1", "person_key": "p1"}],
        observation=[
            measured("untouched", "2026-01", parts=1),
            measured("shrinks", "2026-02", parts=2),
            measured("moves", "2026-02"),
            measured("goes", "2025"),
            measured("waits", "2026-03", patient="p2"),
        ],
    )
    first = city.build()
    assert city.build().versions == first.versions

    before = city.files("fct_measurement")
    city.put(
        patient=[{"patient_key": "p1"}, {"patient_key": "p2"}],
        person_link=[{"patient_key": p, "person_key": p} for p in ("p1", "p2")],
        observation=[
            measured("untouched", "2026-01", parts=1),
            measured("shrinks", "2026-02", parts=1),
            measured("moves", "2026-04"),
            measured("goes", "deleted", is_deleted=True),
            measured("waits", "2026-03", patient="p2"),
            measured("new", "2026-04"),
        ],
    )
    city.build_models(MEASUREMENTS)
    expected = {
        ("untouched-0", "2026-01", True),
        ("untouched-1", "2026-01", True),
        ("shrinks-0", "2026-02", True),
        ("shrinks-1", "2026-02", True),
        ("moves-0", "2026-04", True),
        ("waits-0", "2026-03", True),
        ("new-0", "2026-04", True),
    }
    assert city.rows("fct_measurement", "measurement_key", "month", "is_person_resolved") == expected
    kept = before & city.files("fct_measurement")
    assert kept == {file for file in before if "month=2026-01" in file}

    incremental = city.rows("fct_measurement")
    monkeypatch.setattr(gold, "logic", lambda: "of another release")
    city.build_models(MEASUREMENTS)
    assert city.rows("fct_measurement") == incremental
    assert not kept & city.files("fct_measurement")


def test_persons_that_become_one_and_two_again_touch_their_months_alone(city: City) -> None:
    """Every person key follows, months of others keep their files, and undoing gives back every row."""
    patients = [{"patient_key": p} for p in ("p1", "p2")]

    def links(person_of_p2: str) -> list[dict[str, Any]]:
        return [{"patient_key": "p1", "person_key": "p1"}, {"patient_key": "p2", "person_key": person_of_p2}]

    stays = [{"encounter_key": f"e-{p}", "patient_key": p, "status": "finished"} for p in ("p1", "p2")]
    city.put(
        patient=patients,
        person_link=links("p2"),
        encounter=stays,
        observation=[measured("hers", "2026-01"), measured("his", "2026-02", patient="p2")],
    )
    city.build()
    models = ("dim_person", "fct_encounter", "fct_measurement")
    before, files = {model: city.rows(model) for model in models}, city.files("fct_measurement")

    city.put(person_link=links("p1"))
    city.build_models()
    assert city.rows("dim_person", "person_key") == {("p1",)}
    assert city.rows("fct_encounter", "person_key", "patient_key") == {("p1", "p1"), ("p1", "p2")}
    assert city.rows("fct_measurement", "measurement_key", "person_key") == {
        ("hers-0", "p1"),
        ("his-0", "p1"),
    }
    assert files & city.files("fct_measurement") == {file for file in files if "month=2026-01" in file}

    city.put(person_link=links("p2"))
    city.build_models()
    assert {model: city.rows(model) for model in models} == before


def exposed(readings: Mapping[int, float]) -> list[dict[str, Any]]:
    """Hourly fine particles by day, the first of March 2026 being 0."""
    return [
        {
            "reading_key": f"{day} {hour}",
            "station_id": "S",
            "pollutant": "pm2_5",
            "observed_at": datetime(2026, 2, 28, 23, tzinfo=UTC) + timedelta(days=day, hours=hour),
            "value": value,
        }
        for day, value in readings.items()
        for hour in range(24)
    ]


def test_exposures_of_a_day_leave_other_months_and_people_alone(city: City) -> None:
    """New readings replace their month, what changes of a person that person's rows; what a killed build left is made
    good. In the end the table is as if built anew."""
    models = "+fct_exposure_daily"
    crowd = [{"patient_key": f"c{n}", "postal_district": "100"} for n in range(101)]
    mover = {"patient_key": "p1", "postal_district": "100"}
    born = {"patient_key": "new", "postal_district": "100", "birth_year": 2026, "birth_month": 2}
    readings = {-30: 5.0, -1: 6.0, 0: 10.0, 1: 20.0}
    city.put(
        **{**SURROUNDINGS, "air_quality__reading": exposed(readings)},
        patient=[*crowd, mover],
        person_link=[
            {"patient_key": p["patient_key"], "person_key": p["patient_key"]} for p in [*crowd, mover, born]
        ],
    )
    built = city.build().versions
    assert city.build_models(models).versions.items() <= built.items()

    def written() -> dict[str, int]:
        """Rows that a build wrote, by month."""
        before = city.files("fct_exposure_daily")
        city.build_models(models)
        months: Counter[str] = Counter()
        for file in city.files("fct_exposure_daily") - before:
            months[file.partition("month=")[2][:7]] += pq.read_metadata(file.removeprefix("file://")).num_rows
        return dict(months)

    city.put(**{"air_quality__reading": exposed(readings | {2: 30.0})}, patient=[*crowd, mover, born])
    assert written() == {"2026-02": 28, "2026-03": 3 * 103}
    assert ("c0", date(2026, 3, 3), 30.0, 20.0) in city.rows(
        "fct_exposure_daily", "person_key", "date", "pm2_5_ug_m3", "pm2_5_ug_m3_lag_1d"
    )

    moved = {
        "residence_key": "s",
        "resident_key": "p1",
        "dwelling_key": "far",
        "moved_in_date": date(2026, 2, 27),
    }
    city.put(
        **{"housing__residence": [*SURROUNDINGS["housing__residence"], moved]},
        patient=[*crowd, mover, {**born, "is_deceased": True, "deceased_at": "2026-03-01 10:00"}],
    )
    assert written() == {"2026-01": 2, "2026-02": 28 + 28, "2026-03": 3 + 1}

    path = tables.path_of("gold.fct_exposure_daily", city.lake)
    city.spark.sql(f"delete from delta.`{path}` where person_key = 'c7'")
    assert written() == {"2026-01": 2, "2026-02": 28, "2026-03": 3}

    rows = city.rows("fct_exposure_daily")
    city.build_models(models, full_refresh=True)
    assert city.rows("fct_exposure_daily") == rows


def registered(random: Random, person: str) -> list[dict[str, Any]]:
    """Up to four stays of a person, some of them at once, some over on the day they begin or after the last reading."""
    stays = []
    for number in range(random.randint(1, 4)):
        moved_in = date(2026, 2, 20) + timedelta(days=random.randint(0, 12))
        stays.append(
            {
                "residence_key": f"{person} {number}",
                "resident_key": person,
                "dwelling_key": random.choice(("home", "other", "far")),
                "postal_district": "100",
                "moved_in_date": moved_in,
                "moved_out_date": random.choice((None, moved_in + timedelta(days=random.randint(0, 8)))),
            }
        )
    return stays


def lived(stays: Iterable[Mapping[str, Any]], died: Mapping[str, date]) -> set[tuple[Any, ...]]:
    """person_key, date, district_code from the first stay to the last reading or death: of the newest that lasts."""
    districts = {"home": "A1", "other": "A1", "far": "A2", None: None}
    by_person: dict[str, list[Mapping[str, Any]]] = {}
    for stay in sorted(stays, key=lambda stay: (stay["moved_in_date"], stay["residence_key"])):
        by_person.setdefault(stay["resident_key"], []).append(stay)
    rows = set()
    for person, theirs in by_person.items():
        day = theirs[0]["moved_in_date"]
        while day <= min(date(2026, 3, 3), died.get(person, date.max)):
            lasting = [
                stay["dwelling_key"]
                for stay in theirs
                if stay["moved_in_date"] <= day <= (stay["moved_out_date"] or date.max)
            ]
            rows.add((person, day, districts[lasting[-1] if lasting else None]))
            day += timedelta(days=1)
    return rows


def test_people_live_at_the_newest_address_that_lasts_whatever_the_register_says_when(city: City) -> None:
    """Of random stays, some told of the time after a death; then of others, built by what has changed."""
    random = Random(8)
    people = [f"p{number}" for number in range(60)]
    died = {person: date(2026, 2, 20) + timedelta(days=random.randint(0, 12)) for person in people[::4]}
    city.put(
        **{**SURROUNDINGS, "air_quality__reading": exposed({-30: 5.0, 0: 10.0, 2: 20.0})},
        patient=[
            {
                "patient_key": person,
                "is_deceased": person in died,
                "deceased_at": f"{died[person]} 10:00" if person in died else None,
            }
            for person in people
        ],
        person_link=[{"patient_key": person, "person_key": person} for person in people],
    )
    register = {person: registered(random, person) for person in people}
    for changing in ((), people[1::3]):
        register |= {person: registered(random, person) for person in changing}
        stays = [stay for theirs in register.values() for stay in theirs]
        city.put(housing__residence=random.sample(stays, len(stays)))
        city.build_models("+fct_exposure_daily")
        assert city.rows("fct_exposure_daily", "person_key", "date", "district_code") == lived(stays, died)


def test_a_table_changes_when_a_value_moves_between_its_columns(city: City) -> None:
    """Or to another row; and only then."""
    city.build()
    north = {"organization_key": "o1", "name": "North"}
    facilities = "+dim_facility"
    versions = set()
    for organizations in (
        [{"organization_key": "o1", "type_code": "North"}, {"organization_key": "o2"}],
        [north, {"organization_key": "o2"}],
        [{"organization_key": "o1"}, {**north, "organization_key": "o2"}],
        [{**north, "organization_key": "o2"}, {"organization_key": "o1"}],
    ):
        city.put(organization=organizations)
        versions.add(city.build_models(facilities).versions["gold.dim_facility"])
    assert len(versions) == 3
    assert city.rows("dim_facility", "facility_key", "name") == {("o1", None), ("o2", "North")}


def test_a_later_version_of_a_medication_moves_nothing_that_was_known_before(city: City) -> None:
    """Given other words, another code, and deleted: each request had the code of the time, in one row."""
    request = {"patient_key": "p1", "status": "active", "intent": "order", "medication_key": "m1"}
    started = {
        **request,
        "medication_request_key": "changed",
        "usable_at": "2026-02-20",
        "version_at": "2026-02-20",
    }
    medication = {
        "medication_key": "m1",
        "code_system": "atc",
        "code": "C03CA01",
        "code_display": "Furosemid",
    }
    versions = (
        medication,
        {**medication, "code_display": "Furosemide", "version_at": "2026-05-01", "known_from": "2026-05-02"},
        {**medication, "code": "C03CA02", "version_at": "2026-06-01", "known_from": "2026-06-02"},
        {"medication_key": "m1", "is_deleted": True, "version_at": "2026-07-01", "known_from": "2026-07-02"},
    )
    history = {
        ("kept", "2026-03-02"): "C03CA01",
        ("kept", "2026-05-10"): "C03CA01",
        ("kept", "2026-06-10"): "C03CA02",
        ("kept", "2026-07-10"): None,
        ("changed", "2026-02-25"): "C03CA01",
        ("changed", "2026-05-10"): "C03CA01",
        ("changed", "2026-05-20"): "A10BA02",
        ("changed", "2026-07-10"): "A10BA02",
        ("new", "2026-06-10"): "C03CA02",
        ("new", "2026-07-10"): None,
    }
    following = [*(version["known_from"] for version in versions[1:]), "2027-01-01"]
    for number, (current, until) in enumerate(zip(versions, following, strict=True)):
        city.put(
            {"medication": versions[:number], "medication_request": [started]},
            medication=[current],
            medication_request=[
                {**request, "medication_request_key": "kept"},
                {**started, "code": "A10BA02", "version_at": "2026-05-14", "usable_at": "2026-05-15"},
                {
                    **request,
                    "medication_request_key": "new",
                    "usable_at": "2026-06-05",
                    "known_from": "2026-06-05",
                },
            ],
        )
        city.build("+fct_medication_request +fct_medication_request_superseded")
        told = {moment: code for moment, code in history.items() if moment[1] < until}
        assert codes_known(city, told) == {moment: [code] for moment, code in told.items()}
    columns = (
        "medication_request_key",
        "code_display",
        "usable_at",
        "superseded_at",
        "medication_superseded_at",
    )
    assert city.rows("fct_medication_request_superseded", *columns) == {
        ("kept", "Furosemid", at("2026-03-01"), at("2026-05-02"), at("2026-05-02")),
        ("kept", "Furosemide", at("2026-05-02"), at("2026-06-02"), at("2026-06-02")),
        ("kept", "Furosemid", at("2026-06-02"), at("2026-07-02"), at("2026-07-02")),
        ("changed", "Furosemid", at("2026-02-20"), at("2026-05-02"), at("2026-05-02")),
        ("changed", "Furosemide", at("2026-05-02"), at("2026-05-15"), at("2026-06-02")),
        ("changed", None, at("2026-07-02"), at("2026-05-15"), None),
        ("new", "Furosemid", at("2026-06-05"), at("2026-07-02"), at("2026-07-02")),
    }


def codes_known(city: City, moments: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[str | None]]:
    """For each medication request and instant: the codes of its rows that are known then."""
    columns = ("medication_request_key", "code", "usable_at")
    rows = [
        *((*row, datetime.max) for row in city.rows("fct_medication_request", *columns)),
        *city.rows("fct_medication_request_superseded", *columns, "superseded_at"),
    ]
    return {
        (key, instant): [code for of, code, start, end in rows if of == key and start <= at(instant) < end]
        for key, instant in moments
    }


def test_a_type_nobody_sent_is_an_empty_table(city: City) -> None:
    city.build_models("+fct_immunization")
    assert city.rows("fct_immunization") == set()
    sent = {table.tableName for table in city.spark.sql("show tables in silver").collect()}
    assert "hospital__immunization" not in sent


def test_a_failed_test_is_named_and_earlier_versions_stay_readable(city: City) -> None:
    """A key that silver holds twice: the error names the test and carries no value of a record."""
    encounter = {"encounter_key": "secret-key", "patient_key": "secret-patient", "status": "finished"}
    city.put(encounter=[encounter])
    published = city.build("+fct_encounter").versions["gold.fct_encounter"]
    rows = city.rows("fct_encounter")

    city.put(encounter=[encounter, {**encounter, "class_code": "IMP"}])
    with pytest.raises(CitywellError) as caught:
        city.build("+fct_encounter")
    assert "unique_fct_encounter_encounter_key (1 rows)" in caught.value.what
    assert "secret" not in str(caught.value)
    assert city.rows("fct_encounter", version=published) == rows


def test_a_model_that_cannot_be_built_is_named(city: City) -> None:
    city.spark.sql("create schema if not exists silver")
    city.spark.sql("drop table if exists silver.hospital__condition")
    city.spark.sql("create or replace view silver.hospital__condition as select 'secret' as condition_key")
    with pytest.raises(CitywellError, match="model fct_condition ") as caught:
        city.build_models("fct_condition")
    assert "secret" not in str(caught.value)


def test_a_table_of_other_columns_gets_those_of_the_contract(city: City) -> None:
    old = StructType.fromDDL("person_key string, shoe_size int")
    assert isinstance(old, StructType)
    tables.create("gold.dim_person", old, lake=city.lake)
    city.put(patient=[{"patient_key": "p1"}], person_link=[{"patient_key": "p1", "person_key": "p1"}])
    city.build("+dim_person")
    assert city.rows("dim_person", "person_key", "sex") == {("p1", "unknown")}


@pytest.mark.parametrize(
    "name", ["dbt/models/marts/a.sql", "dbt/macros/a.sql", "jobs/silver/a.py", "jobs/sources/a.yml"]
)
def test_what_gold_follows_from_is_its_logic(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    seen = set()
    for text in ("", "one", "other"):
        seen.add(gold.logic(tmp_path))
        file.write_text(text)
    assert len(seen | {gold.logic(tmp_path)}) == 4
