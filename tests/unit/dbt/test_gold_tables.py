"""What stands in the gold tables, given the silver rows: built once, read many times."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from jobs import gold
from tests.unit.dbt.city import City, at
from tests.unit.dbt.silver_rows import EARLIER, SILVER
from tests.unit.dbt.surroundings_rows import SURROUNDINGS


@pytest.fixture(scope="module")
def built(city: City) -> tuple[City, gold.GoldResult]:
    city.put(EARLIER, **SILVER, **SURROUNDINGS)
    return city, city.build(unit_tests=True)


def test_every_model_is_built_and_every_test_passes(built: tuple[City, gold.GoldResult]) -> None:
    _, result = built
    tables = {name.removeprefix("gold.") for name in result.versions}
    assert tables == {
        "agg_district_daily",
        "agg_facility_daily",
        "agg_sector_daily",
        "dim_article",
        "dim_device",
        "dim_district",
        "dim_facility",
        "dim_medication",
        "dim_person",
        "dim_practitioner",
        "dim_schedule",
        "fct_allergy",
        "fct_condition",
        "fct_condition_superseded",
        "fct_diagnostic_report",
        "fct_diagnostic_report_result",
        "fct_dispense",
        "fct_encounter",
        "fct_encounter_superseded",
        "fct_exposure_daily",
        "fct_hospital_care_plan",
        "fct_immunization",
        "fct_lifestyle_daily",
        "fct_measurement",
        "fct_measurement_superseded",
        "fct_medication_administration",
        "fct_medication_request",
        "fct_medication_request_superseded",
        "fct_procedure",
        "fct_questionnaire",
        "fct_stock_daily",
        "quality.suspects",
        "quality.told_twice",
        "quality.unmapped",
    }
    assert {model.status for model in result.models} == {"success"}
    assert {test.status for test in result.tests} == {"pass", "warn"}
    assert "stays_are_present_across_midnight" in {test.name for test in result.tests}


def test_references_that_point_at_nothing_are_warnings(built: tuple[City, gold.GoldResult]) -> None:
    _, result = built
    assert {warning.name: warning.failures for warning in result.warnings} == {
        "holds_for_all_dim_device_is_facility_resolved": 1,
        "holds_for_all_dim_schedule_is_actor_resolved": 1,
        "holds_for_all_fct_diagnostic_report_result_is_result_resolved": 1,
        "holds_for_all_fct_medication_administration_is_medication_resolved": 1,
        "holds_for_all_fct_condition_is_encounter_resolved": 1,
        "holds_for_all_fct_encounter_is_facility_resolved": 4,
        "holds_for_all_fct_encounter_is_person_resolved": 2,
        "holds_for_all_fct_measurement_is_person_resolved": 1,
        "holds_for_all_fct_medication_request_is_medication_resolved": 1,
    }


def test_persons(built: tuple[City, gold.GoldResult]) -> None:
    columns = (
        "person_key",
        "patient_key",
        "sex",
        "birth_year",
        "birth_month",
        "is_deceased",
        "deceased_at",
        "postal_district",
    )
    died_at = at("2026-03-20 14:30")
    assert built[0].rows("dim_person", *columns) == {
        ("p1", "p1", "female", 1950, 3, False, None, "100"),
        ("p2", "p2_elsewhere", "unknown", 2001, None, True, died_at, None),
    }


def test_facilities(built: tuple[City, gold.GoldResult]) -> None:
    columns = ("facility_key", "facility_type", "is_current", "parent_facility_key", "location_count")
    assert built[0].rows("dim_facility", *columns) == {
        ("ward", "dept", True, None, 1),
        ("annex", None, False, "ward", 0),
    }


def test_encounters(built: tuple[City, gold.GoldResult]) -> None:
    columns = (
        "encounter_key",
        "person_key",
        "facility_key",
        "ended_at",
        "is_inpatient",
        "is_planned",
        "length_of_stay_hours",
        "is_person_resolved",
        "is_facility_resolved",
    )
    assert built[0].rows("fct_encounter", *columns) == {
        ("stay", "p1", "ward", at("2026-03-03 10:00"), True, True, 36.0, True, True),
        ("lasting", "p2", "ward", None, True, False, None, True, True),
        ("visit", "p2", "elsewhere", at("2026-03-04 09:30"), False, False, 1.5, True, False),
        ("after_visit", "p2", "elsewhere", at("2026-03-04 17:30"), True, False, 8.0, True, False),
        ("of_deleted", "deleted", None, None, False, False, None, False, False),
        ("of_unknown", "p9", None, None, False, False, None, False, False),
    }


def test_conditions(built: tuple[City, gold.GoldResult]) -> None:
    columns = (
        "condition_key",
        "code",
        "onset_at",
        "onset_precision",
        "recorded_precision",
        "is_encounter_resolved",
    )
    assert built[0].rows("fct_condition", *columns) == {
        ("c1", "I50.9", at("2024-01-01"), "year", "day", True),
        ("c2", "J44.9", None, None, None, False),
    }


def test_measurements(built: tuple[City, gold.GoldResult]) -> None:
    columns = (
        "measurement_key",
        "component_index",
        "person_key",
        "code",
        "category_code",
        "value_type",
        "value_number",
        "value_text",
        "unit",
        "concept",
        "value_canonical",
        "harmonisation",
        "effective_end_precision",
        "is_person_resolved",
        "is_encounter_resolved",
    )
    vital = "vital-signs"
    assert built[0].rows("fct_measurement", *columns) == {
        (
            "pressure-0",
            0,
            "p1",
            "85354-9",
            vital,
            "none",
            None,
            None,
            None,
            "blood_pressure",
            None,
            None,
            "day",
            True,
            True,
        ),
        (
            "pressure-1",
            1,
            "p1",
            "8480-6",
            vital,
            "quantity",
            120.0,
            None,
            "mm[Hg]",
            "systolic_pressure",
            120.0,
            "as_sent",
            "day",
            True,
            True,
        ),
        (
            "pressure-2",
            2,
            "p1",
            "8462-4",
            vital,
            "quantity",
            80.0,
            None,
            "mm[Hg]",
            "diastolic_pressure",
            80.0,
            "as_sent",
            "day",
            True,
            True,
        ),
        (
            "sodium-0",
            0,
            "p9",
            "2951-2",
            None,
            "quantity",
            140.5,
            "140.50",
            "mmol/L",
            "sodium",
            140.5,
            "as_sent",
            None,
            False,
            None,
        ),
    }


def test_medication_requests(built: tuple[City, gold.GoldResult]) -> None:
    columns = (
        "medication_request_key",
        "code_system",
        "code",
        "authored_precision",
        "is_medication_resolved",
    )
    assert built[0].rows("fct_medication_request", *columns) == {
        ("inline", None, "A10BA02", "day", True),
        ("referring", "atc", "C03CA01", "day", True),
        ("dangling", None, None, "day", False),
    }


def test_superseded_versions(built: tuple[City, gold.GoldResult]) -> None:
    """Each until the first later version is usable: the stay's second version was received after its third."""
    city, _ = built
    columns = ("encounter_key", "status", "class_code", "facility_key", "usable_at", "superseded_at")
    first, changed = at("2026-02-20"), at("2026-03-01")
    assert city.rows("fct_encounter_superseded", *columns) == {
        ("stay", "in-progress", "EMER", "ward", first, changed),
        ("stay", "in-progress", "IMP", "ward", at("2026-03-05"), changed),
        ("deleted", "finished", "AMB", None, first, changed),
    }
    assert city.rows(
        "fct_condition_superseded", "condition_key", "is_encounter_resolved", "superseded_at"
    ) == {("refuted", True, changed)}
    columns = ("measurement_key", "value_number", "value_boolean", "superseded_at")
    assert city.rows("fct_measurement_superseded", *columns) == {
        ("mistaken-0", 141.0, None, changed),
        ("mistaken-1", None, True, changed),
    }
    columns = ("medication_request_key", "code", "authored_precision", "superseded_at")
    assert city.rows("fct_medication_request_superseded", *columns) == {("inline", "C03CA01", "day", changed)}


def test_immunizations(built: tuple[City, gold.GoldResult]) -> None:
    columns = ("immunization_key", "person_key", "code", "occurred_at", "occurred_precision", "is_subpotent")
    assert built[0].rows("fct_immunization", *columns) == {
        ("given", "p1", "140", at("2026-03-02"), "day", True)
    }


def test_procedures_and_allergies(built: tuple[City, gold.GoldResult]) -> None:
    columns = ("procedure_key", "facility_key", "practitioner_key", "status", "is_encounter_resolved")
    assert built[0].rows("fct_procedure", *columns) == {
        ("catheter", "ward", "doctor", "completed", True),
        ("at_bed", "ward", None, "stopped", None),
    }
    columns = ("allergy_intolerance_key", "categories", "reaction_count", "reaction_code", "worst_severity")
    assert built[0].rows("fct_allergy", *columns) == {
        ("pollen", "environment,food", 2, "rash", "severe"),
        ("quiet", None, 0, None, None),
    }


def test_reports_and_their_results(built: tuple[City, gold.GoldResult]) -> None:
    columns = ("diagnostic_report_key", "practitioner_key", "result_count", "resolved_result_count")
    assert built[0].rows("fct_diagnostic_report", *columns) == {
        ("blood", "doctor", 3, 2),
        ("image", None, 0, 0),
    }
    columns = ("diagnostic_report_key", "observation_key", "measurement_key")
    assert built[0].rows("fct_diagnostic_report_result", *columns) == {
        ("blood", "sodium", "sodium-0"),
        ("blood", "pressure", "pressure-0"),
        ("blood", "lost", None),
    }


def test_plans_and_administrations(built: tuple[City, gold.GoldResult]) -> None:
    columns = ("care_plan_key", "practitioner_key", "condition_codes", "addressed_count", "activity_codes")
    assert built[0].rows("fct_hospital_care_plan", *columns, "activity_count") == {
        ("heart", "doctor", "I50.9,J44.9", 3, "60112009,exercise", 3),
        ("bare", "doctor", None, 0, None, 0),
    }
    columns = ("medication_administration_key", "code_system", "code", "dose_number", "practitioner_key")
    assert built[0].rows("fct_medication_administration", *columns) == {
        ("referring", "atc", "C03CA01", 40.0, "doctor"),
        ("dangling", None, None, None, None),
    }


def test_practitioners_devices_and_schedules(built: tuple[City, gold.GoldResult]) -> None:
    columns = ("practitioner_key", "is_current", "specialty_code", "facility_key", "role_count")
    assert built[0].rows("dim_practitioner", *columns) == {
        ("doctor", True, "cardiology", "ward", 3),
        ("retired", False, None, None, 0),
    }
    columns = ("device_key", "person_key", "location_key", "facility_key", "is_facility_resolved")
    assert built[0].rows("dim_device", *columns) == {
        ("pump", None, "bed", "ward", True),
        ("pacemaker", "p1", None, "elsewhere", False),
    }
    columns = ("schedule_key", "practitioner_key", "location_key", "device_key", "facility_key")
    assert built[0].rows("dim_schedule", *columns, "is_actor_resolved") == {
        ("of_doctor", "doctor", "bed", None, "ward", True),
        ("of_pump", None, None, "pump", "ward", True),
        ("of_stranger", "doctor", None, None, None, False),
        ("of_nobody", None, None, None, None, None),
    }


def test_facility_days(built: tuple[City, gold.GoldResult]) -> None:
    columns = ("facility_key", "date", "arrivals", "admissions", "discharges", "occupancy")
    assert built[0].rows("agg_facility_daily", *columns) == {
        ("ward", date(2026, 3, 1), 1, 1, 0, 1),
        ("ward", date(2026, 3, 2), 0, 0, 0, 1),
        ("ward", date(2026, 3, 3), 1, 1, 1, 1),
        ("ward", date(2026, 3, 4), 0, 0, 0, 1),
        ("elsewhere", date(2026, 3, 4), 1, 1, 1, 0),
    }


def test_the_session_is_left_as_it_was(built: tuple[City, gold.GoldResult]) -> None:
    spark = built[0].spark
    assert spark.conf.get("spark.sql.ansi.enabled") == "true"
    assert gold.BUILD_SCHEMA not in {row[0] for row in spark.sql("show databases").collect()}


def test_the_page_is_written_when_it_is_missing_or_says_something_else(
    built: tuple[City, gold.GoldResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    city, _ = built
    page = tmp_path / "reports" / "dbt_docs" / "index.html"

    def document() -> int:
        gold.document(city.spark, lake_dir=city.lake, target_dir=city.home / "target", page=page)
        return page.stat().st_mtime_ns

    written = document()
    assert "fct_encounter_superseded" in page.read_text()
    assert document() == written
    monkeypatch.setattr(gold, "logic", lambda: "of another release")
    assert document() > written


def test_exposures_follow_the_address_and_leave_gaps(built: tuple[City, gold.GoldResult]) -> None:
    """p1 lives at one address in the register; of p2 nobody knows where, and it dies. Air is missing on 3 March."""
    columns = (
        "person_key",
        "date",
        "district_code",
        "place_precision",
        "pm2_5_ug_m3",
        "pm2_5_coverage",
        "pm2_5_ug_m3_lag_1d",
        "temperature_mean_cel",
        "dwelling_age_years",
        "residents_per_room",
        "outage_minutes_per_customer",
    )
    home = ("A1", "address")
    assert built[0].rows("fct_exposure_daily", *columns) == {
        ("p1", date(2026, 3, 1), *home, 10.0, 1.0, None, 5.0, 76, 0.5, 30.0),
        ("p1", date(2026, 3, 2), *home, 20.0, 1.0, 10.0, 5.0, 76, 0.5, 0.0),
        ("p1", date(2026, 3, 3), *home, None, 0.0, 20.0, 5.0, 76, 0.5, None),
        ("p2", date(2026, 3, 1), None, "none", None, 0.0, None, None, None, None, None),
        ("p2", date(2026, 3, 2), None, "none", None, 0.0, None, None, None, None, None),
        ("p2", date(2026, 3, 3), None, "none", None, 0.0, None, None, None, None, None),
    }


def test_districts_of_both_codings(built: tuple[City, gold.GoldResult]) -> None:
    columns = (
        "kind",
        "area_code",
        "main_district_code",
        "district_shares",
        "residents",
        "stations",
        "facilities",
    )
    assert built[0].rows("dim_district", *columns) == {
        ("postal_district", "100", "A1", "A1 67%, A2 33%", 1, 2, 1),
        ("district", "A1", None, None, 90, 2, 1),
        ("district", "A2", None, None, None, 0, 0),
    }


def test_days_of_districts(built: tuple[City, gold.GoldResult]) -> None:
    columns = ("kind", "area_code", "date", "residents", "admissions", "ambulance_runs", "outages")
    rows = built[0].rows("agg_district_daily", *columns)
    assert {row for row in rows if row[2] == date(2026, 3, 1)} == {
        ("postal_district", "100", date(2026, 3, 1), 1, 1, None, None),
        ("district", "A1", date(2026, 3, 1), 1, 1, 1, 1),
        ("district", "A2", date(2026, 3, 1), 0, 0, 0, None),
    }
