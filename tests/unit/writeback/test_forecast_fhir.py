"""A hospital holds the newest forecast of each of its days once, about its own organization, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from jobs.errors import CitywellError
from jobs.extract.waiting import Clock
from jobs.identity import vault
from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import engine
from jobs.writeback import forecast_fhir, forecast_observation
from jobs.writeback.forecast_fhir import Sent
from jobs.writeback.forecast_observation import BedForecast

SOURCE = "hospital_given"
ISSUED = datetime(2026, 1, 2, 6, tzinfo=UTC)
KEYS = Pseudonymiser(bytes(32), SOURCE)
Send = Callable[..., Sent]


def bed_forecast(day: int, name: str, **more: Any) -> BedForecast:
    """For a day of January and an organization ``name``, which no other test uses."""
    values: dict[str, Any] = {
        "family": "occupancy_daily",
        "title": "patients in bed",
        "source": SOURCE,
        "facility_key": KEYS.key("Organization", name),
        "target_date": date(2026, 1, day),
        "issue_at": ISSUED,
        "p05": 31.0,
        "p10": 33.5,
        "p50": 40.128,
        "p90": 46.0,
        "p95": 48.0,
        "model_name": "forecast_occupancy_daily",
        "model_version": "3",
    }
    return BedForecast(**values | more)


@pytest.fixture
def send(hospital: Any, vault_conn: vault.Connection, request: pytest.FixtureRequest) -> Send:
    """Sends forecasts; the vault knows an organization called as the test is."""
    name = request.node.name
    known = [vault.Identity(KEYS.key("Organization", name), "k", SOURCE, "Organization", "o1", ISSUED)]
    vault.register(vault_conn, "batch", known, method="test")
    clock = Clock(sleep=lambda seconds: None)
    return lambda *found: forecast_fhir.write_back(
        SOURCE, found, vault_conn=vault_conn, run_id="run", clock=clock
    )


def held(*found: BedForecast) -> list[dict[str, Any]]:
    with forecast_fhir.opened(SOURCE, forecast_fhir.OBSERVATION, Clock()) as hospital:
        return list(hospital.search([forecast.key for forecast in found]))


def test_an_observation_says_day_model_and_quantiles_and_is_of_no_patient() -> None:
    made = forecast_observation.resource(bed_forecast(3, "any"), "o1")
    assert made["focus"] == [{"reference": "Organization/o1"}]
    assert "subject" not in made
    assert (made["effectiveDateTime"], made["issued"]) == ("2026-01-03", "2026-01-02T06:00:00Z")
    assert made["valueQuantity"]["value"] == 40.13
    assert made["method"]["coding"][0]["version"] == "3"
    found = {part["code"]["coding"][0]["code"]: part["valueQuantity"]["value"] for part in made["component"]}
    assert found == {"p05": 31.0, "p10": 33.5, "p90": 46.0, "p95": 48.0}


def test_a_hospital_holds_each_forecast_once(send: Send, request: pytest.FixtureRequest) -> None:
    days = [bed_forecast(day, request.node.name) for day in (3, 4)]
    assert send(*days) == Sent(sent=2, already=0, refused=0, unknown=0, holding=2)
    assert send(*days) == Sent(sent=0, already=2, refused=0, unknown=0, holding=2)
    assert sorted(resource["meta"]["versionId"] for resource in held(*days)) == ["1", "1"]
    assert {tag["code"] for resource in held(*days) for tag in resource["meta"]["tag"]} == {"forecast"}


def test_a_newer_issue_takes_the_place_of_the_older(send: Send, request: pytest.FixtureRequest) -> None:
    older = bed_forecast(3, request.node.name)
    send(older)
    newer = replace(older, p50=41.0, issue_at=ISSUED + timedelta(days=1))
    assert send(newer).sent == 1
    [resource] = held(older)
    assert (resource["meta"]["versionId"], resource["valueQuantity"]["value"]) == ("2", 41.0)


def test_what_a_hospital_refuses_is_tried_again(
    send: Send, hospital: Any, request: pytest.FixtureRequest
) -> None:
    days = [bed_forecast(day, request.node.name) for day in (3, 4)]
    hospital.fault(kind="refuse", where="observation", times=1)
    refused = send(*days)
    assert replace(refused, codes="") == Sent(sent=1, already=0, refused=1, unknown=0, holding=1)
    assert refused.codes == "HTTP 422 business-rule"
    assert send(*days) == Sent(sent=1, already=1, refused=0, unknown=0, holding=2)


def test_an_organization_that_nobody_knows_is_counted(send: Send, request: pytest.FixtureRequest) -> None:
    found = [bed_forecast(3, request.node.name), bed_forecast(3, "never heard of")]
    assert send(*found) == Sent(sent=1, already=0, refused=0, unknown=1, holding=1)


def test_a_hospital_that_does_not_let_us_in_says_so(
    send: Send, hospital: Any, request: pytest.FixtureRequest
) -> None:
    hospital.fault(kind="clock_skew", seconds=3600)
    with pytest.raises(CitywellError, match="clock"):
        send(bed_forecast(3, request.node.name))


ROWS = """
select
    family, series, level, 'day' as grain, timestamp '2026-01-02 06:00:00' as issue_at,
    cast(target_date as timestamp) as target_at, cast(target_date as date) as target_date, 1 as horizon,
    40D as expected, 31D as p05, 33D as p10, 40D as p50, 46D as p90, 48D as p95, 'm' as model_name,
    '3' as model_version, 'b' as batch_id
from values
    ('occupancy_daily', 'f1', 'hospital', '2026-01-03'),
    ('occupancy_daily', 'f1', 'hospital', '2026-01-02'),
    ('occupancy_daily', 'f1', 'hospital', '2026-01-01'),
    ('occupancy_daily', 'f2', 'hospital', '2026-01-03'),
    ('occupancy_daily', 'f1|ward', 'ward', '2026-01-03'),
    ('occupancy_daily', 'city', 'city', '2026-01-03'),
    ('arrivals_daily', 'f1', 'hospital', '2026-01-03')
as t (family, series, level, target_date)
"""
FACILITIES = """
select * from values
    ('f1', 'hospital_north', 'hospital', 'North', true), ('f2', 'pharmacy_chain', 'pharmacy', 'Shop', true)
as t (facility_key, source, kind, name, is_current)
"""


@pytest.mark.parametrize(
    "as_of", [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 23, 30, tzinfo=UTC)]
)
def test_only_beds_of_hospitals_on_days_that_are_not_over_are_told(
    sail_engine: Engine, as_of: datetime
) -> None:
    """Today is told to its end, in the hospital's time zone."""
    with engine.session(sail_engine.remote) as spark:
        _views(spark)
        found = forecast_fhir.newest(spark, as_of)
    assert [(f.source, f.facility_key, f.target_date) for f in found] == [
        ("hospital_north", "f1", date(2026, 1, day)) for day in (2, 3)
    ]


def _views(spark: SparkSession) -> None:
    for name, query in {"scores.forecast": ROWS, "gold.dim_facility": FACILITIES}.items():
        spark.sql(f"create schema if not exists {name.partition('.')[0]}")
        spark.sql(f"create or replace view {name} as {query}")
