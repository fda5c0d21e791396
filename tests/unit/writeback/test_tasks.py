"""The steps of the write-back DAG, over a lake, a serving database and a hospital."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from infra.cli.app import app
from infra.stack.postgres import Cluster
from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake import control, engine, tables
from jobs.settings import settings
from jobs.writeback import ages, serving, tasks

SOURCE = "hospital_given"
AS_OF = "2026-01-02T00:00:00+00:00"
PATIENTS = 12
KEYS = Pseudonymiser(bytes(32), SOURCE)
HOUSE = KEYS.key("Organization", "o1")


@pytest.fixture
def scored(lake: Any, simulator: Any, postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A lake whose scores are published, with settings that lead to it and to the simulator."""
    monkeypatch.setenv("CITYWELL_CITY_PORT", simulator.url.rpartition(":")[2])
    settings.cache_clear()
    name = f"fhir_{SOURCE}.pem"
    shutil.copy(simulator.home / "keys" / name, settings().keys_dir / name)
    simulator.mend()
    with psycopg.connect(postgres.dsn("serving", serving.OWNER_ROLE)) as owner:
        owner.execute("drop schema if exists serving cascade")
    patients = [KEYS.key("Patient", f"p{n}") for n in range(PATIENTS)]
    with vault.connect() as conn:
        seen_at = datetime(2026, 1, 1, tzinfo=UTC)
        known = [
            vault.Identity(key, "k", SOURCE, "Patient", f"p{n}", seen_at) for n, key in enumerate(patients)
        ]
        vault.register(conn, "batch", known, method="test")
    _publish({SOURCE: patients}, "b")
    yield
    settings.cache_clear()


def _publish(patients: dict[str, list[str]], batch: str, hour: int = 0) -> None:
    """Publish scores of ``patients`` by source as one batch, made at ``hour``, beside those there are."""
    people = ", ".join(
        f"('{source}', 'tasks-{source}-{n}', '{key}', {0.1 + hour / 10 + n / 100}D)"
        for source, keys in patients.items()
        for n, key in enumerate(keys)
    )
    queries = {
        "scores.risk": f"""
            select
                risk_key, patient_key, patient_key as person_key, cast(null as string) as encounter_key,
                source, 'readmission_30d' as target, timestamp '2026-01-02 00:00:00' as as_of,
                probability, 'low' as band, '[]' as reasons, 'readmission' as model_name, '1' as model_version,
                timestamp '2026-01-02 {hour:02}:00:00' as scored_at, timestamp '2026-02-01 00:00:00' as expires_at,
                'active' as status, true as is_alert, 'values' as input_digest
            from values {people} as t (source, risk_key, patient_key, probability)""",
        "scores.question": """
            select
                'readmission_30d' as target, 'Unplanned readmission' as title, 'Call' as mitigation,
                30 as horizon_days""",
        "scores.answered": """
            select
                'readmission_30d' as target, timestamp '2026-01-02 00:00:00' as as_of,
                timestamp '2026-01-02 01:00:00' as answered_at, '1' as model_version, 60L as cases""",
        "gold.fct_encounter": "select 'e' as encounter_key, cast(null as string) as person_key, 'f' as facility_key",
        "gold.dim_facility": f"""
            select
                '{HOUSE}' as facility_key, 'Ward One' as name, true as is_current, '{SOURCE}' as source,
                'hospital' as kind""",
    }
    once = ("scores.question", "scores.answered")
    with engine.session() as spark, control.connect() as conn:
        versions = {
            n: tables.append_batch(spark, n, spark.sql(q), "once" if n in once else batch)
            for n, q in queries.items()
        }
        control.publish_tables(conn, "test", AS_OF, versions)


def test_scores_reach_serving_and_the_hospital_once(scored: None, postgres: Cluster) -> None:
    assert tasks.to_serving(AS_OF) == {"rows": PATIENTS, "changed": PATIENTS}
    assert tasks.to_hospitals(AS_OF) == {SOURCE: {"sent": PATIENTS, "refused": 0, "pending": 0}}
    assert tasks.to_serving(AS_OF) == {"rows": PATIENTS, "changed": 0}
    assert tasks.to_hospitals(AS_OF) == {SOURCE: {"sent": PATIENTS, "refused": 0, "pending": 0}}
    assert tasks.verify_hospitals(AS_OF)[SOURCE].matching == PATIENTS
    with psycopg.connect(postgres.dsn("serving", "care")) as care:
        [(versions,)] = care.execute("select data_versions from serving.load").fetchall()
        [age] = ages.ages(care)
    assert set(versions) == set(tasks.TABLES)
    assert (age.target, age.as_of.isoformat()) == ("readmission_30d", "2026-01-02T00:00:00+00:00")
    assert abs(age.age - (datetime.now(UTC) - age.answered_at)) < timedelta(minutes=1)
    told = CliRunner().invoke(app, ["status"]).output
    assert "scores of readmission_30d: as of 2026-01-02 00:00 UTC, made " in told


def test_a_run_that_had_to_wait_sends_what_was_published_meanwhile(scored: None, postgres: Cluster) -> None:
    """A run never sends scores it read before another run sent newer ones."""
    control_dsn = postgres.dsn("control", "control")
    with (
        psycopg.connect(control_dsn, autocommit=True) as other,
        psycopg.connect(control_dsn, autocommit=True) as watch,
        ThreadPoolExecutor(1) as pool,
    ):
        with control.lock(other, "writeback"):
            late = pool.submit(tasks.to_hospitals, AS_OF)
            waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            while not watch.execute(waiting).fetchone()[0]:
                time.sleep(0.05)
            _publish({SOURCE: [KEYS.key("Patient", f"p{n}") for n in range(PATIENTS)]}, "newer", hour=1)
        assert late.result(60)[SOURCE]["sent"] == PATIENTS
    try:
        assert tasks.verify_hospitals(AS_OF)[SOURCE].matching == PATIENTS
    finally:
        tables.delete_slice("scores.risk", {tables.BATCH_COLUMN: "newer"})


def test_a_hospital_that_is_down_fails_the_step_and_says_why(scored: None, simulator: Any) -> None:
    with control.connect() as conn:
        conn.execute("drop table if exists writeback")
    simulator.fault(kind="refuse", times=-1)
    assert tasks.to_hospitals(AS_OF) == {SOURCE: {"sent": 0, "refused": PATIENTS, "pending": 0}}
    simulator.mend()
    simulator.fault(kind="clock_skew", seconds=3600)
    with pytest.raises(CitywellError, match="clock"):
        tasks.to_hospitals(AS_OF)
    simulator.mend()
    assert tasks.to_hospitals(AS_OF)[SOURCE]["sent"] == PATIENTS


def test_a_hospital_that_cannot_be_served_holds_up_nobody_else(
    scored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no key; the one that is well comes last."""
    with control.connect() as conn:
        conn.execute("drop table if exists writeback")
    _publish({"hospital_harbour": ["e" * 32]}, "others")
    monkeypatch.setattr(tasks, "_sources", lambda spark: ["hospital_harbour", SOURCE])
    try:
        with pytest.raises(CitywellError, match="hospital_harbour: The key") as raised:
            tasks.to_hospitals(AS_OF)
    finally:
        tables.delete_slice("scores.risk", {tables.BATCH_COLUMN: "others"})
    assert SOURCE not in raised.value.what
    with control.connect() as conn:
        rows = conn.execute("select source, state, count(*) from writeback group by 1, 2 order by 2")
        assert rows.fetchall() == [("hospital_harbour", "pending", 1), (SOURCE, "sent", PATIENTS)]


def test_a_hospital_that_is_no_longer_declared_fails_nothing(
    scored: None, caplog: pytest.LogCaptureFixture
) -> None:
    _publish({"clinic_closed": ["f" * 32]}, "others")
    try:
        assert tasks.to_hospitals(AS_OF) == {SOURCE: {"sent": PATIENTS, "refused": 0, "pending": 0}}
        assert set(tasks.verify_hospitals(AS_OF)) == {SOURCE}
    finally:
        tables.delete_slice("scores.risk", {tables.BATCH_COLUMN: "others"})
    assert "clinic_closed is no longer declared: its risk scores are not sent" in caplog.text


FORECASTS = f"""
select
    'occupancy_daily' as family, '{HOUSE}' as series, 'hospital' as level, 'day' as grain,
    timestamp '2026-01-02 00:00:00' as issue_at, timestamp '2026-01-03 00:00:00' as target_at,
    date '2026-01-03' as target_date, 1 as horizon, 40D as expected, 31D as p05, 33D as p10, 40D as p50, 46D as p90,
    48D as p95, 1D as scale, 'm' as model_name, '3' as model_version, '' as data_versions
"""


def test_forecasts_reach_the_hospitals_that_take_them(
    scored: None, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.session() as spark, control.connect() as conn:
        version = tables.append_batch(spark, "scores.forecast", spark.sql(FORECASTS), "b")
        control.publish_tables(conn, "test", "forecast", {"scores.forecast": version})
    seen_at = datetime(2026, 1, 1, tzinfo=UTC)
    with vault.connect() as conn:
        known = [vault.Identity(HOUSE, "k", SOURCE, "Organization", "o1", seen_at)]
        vault.register(conn, "organizations", known, method="test")
    sent = {"sent": 1, "already": 0, "refused": 0, "unknown": 0, "holding": 1, "codes": ""}
    simulator.fault(kind="refuse", where="observation", times=1)
    assert tasks.forecasts_to_hospitals(AS_OF)[SOURCE]["refused"] == 1
    assert _refused_forecasts() == [(SOURCE, 1, "HTTP 422 business-rule")]
    assert tasks.forecasts_to_hospitals(AS_OF) == {SOURCE: sent}
    assert _refused_forecasts() == []
    assert tasks.forecasts_to_hospitals(AS_OF) == {SOURCE: {**sent, "sent": 0, "already": 1}}
    assert tasks.forecasts_to_hospitals("2026-01-03T23:30:00+00:00") != {}, "a day that is not over"
    assert tasks.forecasts_to_hospitals("2026-01-04T00:00:00+00:00") == {}, "a day that is over"
    monkeypatch.setattr(tasks, "_taking_forecasts", lambda: {"hospital_north"})
    assert tasks.forecasts_to_hospitals(AS_OF) == {}


def _refused_forecasts() -> list[tuple[Any, ...]]:
    """What the webhook is told of afterwards."""
    with control.connect() as conn:
        return conn.execute("select source, forecasts, codes from refused_forecast").fetchall()


def test_without_scores_it_says_what_to_run(scored: None) -> None:
    with control.connect() as conn:
        conn.execute("truncate publication")
    with pytest.raises(CitywellError, match=r"scores\.risk"):
        tasks.to_serving(AS_OF)
