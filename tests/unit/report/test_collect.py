"""The report's figures come from what is published, and hold no person."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from infra.report.collect import collect
from infra.report.from_mlflow import parse_model
from infra.report.model import Activity, Coverage, Estimate, Flow, Group, Reason, ReportData, Scored, Written
from jobs.lake import catalog, control, engine, tables
from jobs.writeback import fhir, serving

AS_OF = datetime(2026, 1, 3, tzinfo=UTC)
TABLES = {
    "gold.dim_person": """
        select * from values ('p1', 'hospital_north'), ('p2', 'hospital_north'), ('p4', 'hospital_harbour')
        as t (person_key, source)""",
    "silver.hospital__patient": """
        select * from values
            ('hospital_north', 'p1', false, false),
            ('hospital_north', 'p2', false, null),
            ('hospital_north', 'n4', false, false),
            ('hospital_harbour', 'p4', false, false),
            ('hospital_north', 'n5', true, false),
            ('hospital_north', 'n6', false, true)
        as t (source, patient_key, is_deleted, is_entered_in_error)""",
    "silver.person_link": """
        select * from values ('p1', 'p1'), ('n4', 'p4'), ('p4', 'p4'), ('n5', 'n5'), ('n6', 'n6')
        as t (patient_key, person_key)""",
    "gold.fct_measurement": """
        select * from values
            ('hospital_north', 'p1', '2345-7', 'Glucose', 'quantity', 'fhir'),
            ('hospital_north', 'p1', '2345-7', 'Glucose', 'quantity', 'both'),
            ('hospital_north', 'p2', '2345-7', null, 'quantity', 'fhir'),
            ('hospital_north', 'p2', '718-7', 'Haemoglobin', 'quantity', 'fhir'),
            ('hospital_north', 'p3', '718-7', null, 'quantity', 'hl7'),
            ('wearables_city', 'p1', 'glucose', null, 'quantity', 'wearables')
        as t (source, person_key, code, code_display, value_type, told_by)""",
    "gold.agg_facility_daily": """
        select * from values
            ('f1', 'hospital_north', date '2025-11-01', 3, 1, 10),
            ('f2', 'hospital_north', date '2025-11-01', 2, 1, 5),
            ('f1', 'hospital_north', date '2025-11-02', 4, 0, 6),
            ('m1', 'pharmacy_chain', date '2025-11-02', null, null, null)
        as t (facility_key, source, date, arrivals, admissions, occupancy)""",
    "gold.dim_facility": """
        select * from values ('f1', 'Ward One', true) as t (facility_key, name, is_current)""",
    "gold.fct_encounter": """
        select * from values ('stay-r3', 'f1', 'p2'), ('stay-r7', 'f1', 'p2')
        as t (encounter_key, facility_key, person_key)""",
    "scores.risk": """
        select
            *, person_key as patient_key, 'stay-' || risk_key as encounter_key, 'hospital_north' as source,
            'readmission_30d' as target, 0.5D as probability, 'readmission_30d' as model_name, '1' as model_version,
            as_of + interval 30 days as expires_at, timestamp '2026-01-01 00:00:00' + make_dt_interval(day) as scored_at
        from values
            ('r1', 'p1', timestamp '2026-01-01 00:00:00', 0, 'active', 'high', '[{"label": "many", "effect": 1}]'),
            ('r2', 'p1', timestamp '2026-01-02 00:00:00', 0, 'active', 'low', '[]'),
            (
                'r3', 'p2', timestamp '2026-01-02 00:00:00', 0, 'active', 'high',
                '[{"feature": "age", "label": "age: 81", "effect": "raises"}, {"label": "x", "effect": "lowers"}]'
            ),
            ('r4', 'p3', timestamp '2026-01-02 00:00:00', 0, 'active', 'high', '[]'),
            ('r4', 'p3', timestamp '2026-01-02 00:00:00', 1, 'withdrawn', 'high', '[]'),
            ('r5', 'p4', timestamp '2025-11-02 00:00:00', 0, 'active', 'high', '[]'),
            ('r6', 'p5', timestamp '2025-12-03 12:00:00', 0, 'active', 'high', '[]'),
            ('r7', 'p6', timestamp '2026-01-01 00:00:00', 0, 'active', 'high', '[]')
        as t (risk_key, person_key, as_of, day, status, band, reasons)""",
}


@pytest.fixture(scope="module")
def collected(lake: Any) -> ReportData:
    with control.connect() as conn, engine.session() as spark:
        versions = {
            name: tables.append_batch(spark, name, spark.sql(query), "b") for name, query in TABLES.items()
        }
        catalog.register(spark, versions)
        batch = control.open_batch(conn, "hospital_north", AS_OF)
        control.set_landed(conn, batch.batch_id, AS_OF, is_complete=True)
        control.set_status(conn, batch.batch_id, "staged")
        control.set_status(conn, batch.batch_id, "checked")
        receipts = [
            control.Receipt(batch.batch_id, "hospital_north", file, "Patient", 10, published=9, quarantined=1)
            for file in ("a", "b")
        ]
        control.set_judged(conn, batch.batch_id, receipts, AS_OF)
        fhir.migrate(conn)
        for number, state in enumerate(("sent", "sent", "refused")):
            conn.execute(
                "insert into writeback (risk_key, source, digest, state) values (%s, 'hospital_north', '', %s)",
                (str(number), state),
            )
        return collect(spark, conn, versions, as_of=AS_OF, stages={"train": 2.0})


def test_records_are_summed_by_source_and_type(collected: ReportData) -> None:
    assert collected.flows == (Flow("hospital_north", "Patient", 20, published=18, quarantined=2),)


def test_only_the_score_in_force_of_a_person_counts(collected: ReportData) -> None:
    assert set(collected.scored) == {
        Scored("readmission_30d", "hospital_north", "low", 1),
        Scored("readmission_30d", "hospital_north", "high", 1),
    }
    assert collected.people_scored == 2
    assert collected.reasons == (Reason("readmission_30d", "age", 1),)


def test_the_report_and_serving_have_the_same_scores_in_force(collected: ReportData) -> None:
    """Expired is what is over at the report's instant; whose a stay is may be known better than when it was scored."""
    with engine.session() as spark:
        catalog.register(spark, collected.versions)
        served = serving.newest(spark, AS_OF)
    assert set(served["person_key"].to_pylist()) == {"p1", "p2"}
    assert sum(row.people for row in collected.scored) == served.num_rows


def test_a_measurement_counts_a_person_once(collected: ReportData) -> None:
    assert set(collected.coverage) == {
        Coverage("hospital_north", "Glucose (2345-7)", 2, 3),
        Coverage("hospital_north", "Haemoglobin (718-7)", 1, 3),
    }, "whoever is linked with a newer record elsewhere is a patient of both hospitals"


def test_a_month_sums_arrivals_and_averages_beds(collected: ReportData) -> None:
    assert collected.activity == (Activity("hospital_north", date(2025, 11, 1), 9, 2, 10.5),)


def test_write_back_is_counted_by_state(collected: ReportData) -> None:
    assert collected.written == (Written("hospital_north", sent=2, refused=1, pending=0),)


def test_a_table_that_is_not_published_leaves_its_section_empty(collected: ReportData) -> None:
    assert collected.checks == ()
    assert collected.quarantine == ()
    assert collected.tables == {
        "gold.agg_facility_daily": 4,
        "gold.dim_facility": 1,
        "gold.dim_person": 3,
        "gold.fct_encounter": 2,
        "gold.fct_measurement": 6,
        "scores.risk": 8,
        "silver.hospital__patient": 6,
        "silver.person_link": 5,
    }


def test_an_evaluation_becomes_the_reports_model() -> None:
    evaluation = {
        "threshold": 0.2,
        "overall": {
            "group": "all",
            "cases": 100,
            "people": 90,
            "events": 12,
            "metrics": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9}, "f1": {"value": float("nan")}},
        },
        "groups": [
            {
                "group": "age=80+",
                "cases": 60,
                "people": 55,
                "events": 11,
                "metrics": {"auroc": {"value": 0.75, "low": 0.6, "high": 0.9}},
            }
        ],
        "reliability": [{"cases": 50, "predicted": 0.1, "observed": 0.2, "low": 0.1, "high": 0.3}],
        "roc": [[0, 0], [1, 1]],
        "ece_by_chance": 0.02,
    }
    tags = {"family": "hist_gradient_boosting", "as_of": "2026-01-01T00:00:00+00:00"}
    model = parse_model("readmission_30d", "2", tags, evaluation, {"logistic": 0.74})
    assert (model.family, model.cases, model.events, model.threshold) == (
        "hist gradient boosting",
        100,
        12,
        0.2,
    )
    assert model.trained_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert model.metrics == {"auroc": Estimate(0.8, 0.7, 0.9)}
    assert model.groups == (Group("age", "80+", 60, 11, {"auroc": Estimate(0.75, 0.6, 0.9)}),)
    assert model.roc == ((0.0, 0.0), (1.0, 1.0))
    assert model.candidates == {"logistic": Estimate(0.74)}
