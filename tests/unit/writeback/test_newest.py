"""Of ``scores.risk`` the newest score counts: per person in serving, per stay at the hospital."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs.errors import CitywellError
from jobs.lake import engine
from jobs.writeback import fhir, serving

RISK = """
select
    risk_key, 'patient-' || person_key as patient_key, person_key, encounter_key, source,
    'readmission_30d' as target, cast(as_of as timestamp) as as_of, probability, 'low' as band,
    '[]' as reasons, 'readmission' as model_name, model_version, cast(as_of as timestamp) as scored_at,
    cast('2026-03-01' as timestamp) as expires_at
from values
    ('r1', 'anna', 'stay-1', 'hospital_north', '2026-01-01', 0.10D, '1'),
    ('r1', 'anna', 'stay-1', 'hospital_north', '2026-01-02', 0.20D, '1'),
    ('r2', 'anna', 'stay-2', 'hospital_north', '2026-01-05', 0.30D, '2'),
    ('r3', 'ben', 'stay-3', 'hospital_harbour', '2026-01-01', 0.40D, '1')
as t (risk_key, person_key, encounter_key, source, as_of, probability, model_version)
"""
ENCOUNTERS = "select * from values ('stay-1', 'f1'), ('stay-2', 'f1') as t (encounter_key, facility_key)"
FACILITIES = """
select * from values ('f1', 'Old Name', false), ('f1', 'Ward One', true) as t (facility_key, name, is_current)
"""


@pytest.fixture
def spark(sail_engine: Engine) -> Iterator[SparkSession]:
    """A session in which the three tables are views of a few rows."""
    with engine.session(sail_engine.remote) as session:
        views = {"scores.risk": RISK, "gold.fct_encounter": ENCOUNTERS, "gold.dim_facility": FACILITIES}
        for name, query in views.items():
            session.sql(f"create schema if not exists {name.partition('.')[0]}")
            session.sql(f"create or replace view {name} as {query}")
        yield session


def test_serving_takes_the_newest_of_each_person_with_its_facility(spark: SparkSession) -> None:
    rows: list[dict[str, Any]] = serving.newest(spark).to_pylist()
    assert [(r["person_key"], r["risk_key"], r["probability"], r["facility_name"]) for r in rows] == [
        ("anna", "r2", 0.30, "Ward One"),
        ("ben", "r3", 0.40, None),
    ]
    assert tuple(rows[0]) == serving.COLUMNS


def test_a_hospital_gets_the_newest_of_each_of_its_stays(spark: SparkSession) -> None:
    scores = fhir.newest(spark, "hospital_north")
    assert [(s.risk_key, s.encounter_key, s.probability) for s in scores] == [
        ("r1", "stay-1", 0.20),
        ("r2", "stay-2", 0.30),
    ]


def test_only_a_declared_source_is_asked_for(spark: SparkSession) -> None:
    with pytest.raises(CitywellError, match="No source"):
        fhir.newest(spark, "x' or '1'='1")
