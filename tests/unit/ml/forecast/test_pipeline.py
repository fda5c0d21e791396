"""Training, issuing and scoring forecasts on a lake: what is published, and that doing it again changes nothing.

The tests follow one lake through its days, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import functions as F
from typer.testing import CliRunner

from infra.cli.app import app
from jobs.errors import CitywellError
from jobs.lake import control, engine, tables
from jobs.settings import settings
from jobs.writeback.forecasts import newest_batches
from ml import forecast, registry
from ml.forecast import families, gate, pipeline, store
from ml.gate import Decision
from ml.registry import Version
from tests.support.lake import TestLake
from tests.support.mlflow import tracking_store
from tests.unit.ml.forecast import told

FIRST, DAYS = "2024-11-18", 469
AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
REPEATED = AS_OF + timedelta(hours=7)
FAMILIES = ("arrivals_daily", "occupancy_daily")
QUERY = "select * from scores.forecast order by family, series, issue_at, target_at"


@pytest.fixture(scope="module", autouse=True)
def mlflow(lake: TestLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    names = [store.model_name(family) for family in families.FAMILIES]
    with pytest.MonkeyPatch.context() as monkeypatch:
        uri = tracking_store(tmp_path_factory.mktemp("mlflow"), *names)
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", uri)
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def city() -> list[dict[str, Any]]:
    return told.busy_city(DAYS, first=FIRST)


@pytest.fixture(scope="module")
def trained(city: list[dict[str, Any]]) -> dict[str, Any]:
    with pytest.raises(CitywellError, match=r"Not published yet: gold\.fct_encounter"):
        forecast.train(AS_OF, FAMILIES)
    told.publish({"gold.fct_encounter": city})
    assert forecast.issue(AS_OF)["added"] == 0
    return forecast.train(AS_OF, (*FAMILIES, "drug_demand_weekly"))


@pytest.fixture(scope="module")
def issued(trained: dict[str, Any]) -> dict[str, Any]:
    return forecast.issue(AS_OF)


def test_each_family_has_a_champion_of_its_own(trained: dict[str, Any]) -> None:
    for family in FAMILIES:
        assert trained[family]["outcome"] == "promoted", trained[family]
        champion = registry.champion(store.model_name(family))
        assert champion is not None
        assert champion.number == trained[family]["model_version"]
        assert '"gold.fct_encounter": ' in champion.tags["data_versions"]
    assert trained["arrivals_daily"]["against_naive"] <= 0.8
    assert 0.85 <= trained["arrivals_daily"]["coverage"] <= 0.95
    assert trained["drug_demand_weekly"]["outcome"] == "not_told"


def test_training_again_finds_the_version(trained: dict[str, Any]) -> None:
    again = forecast.train(AS_OF, FAMILIES)
    assert {name: found["outcome"] for name, found in again.items()} == dict.fromkeys(FAMILIES, "unchanged")
    fresh = forecast.train(AS_OF + timedelta(days=3), FAMILIES, max_age_days=7)
    assert {found["outcome"] for found in fresh.values()} == {"fresh"}


def test_forecasts_are_coherent_ordered_and_of_what_is_to_come(
    issued: dict[str, Any], lake: TestLake
) -> None:
    rows = lake.rows(QUERY)
    assert len(rows) == issued["added"] == sum(issued["rows"].values()) == 3 * 3 * 14
    assert {row["family"] for row in rows} == {*FAMILIES, "staff_need_daily"}
    for row in rows:
        assert 0 <= row["p05"] <= row["p10"] <= row["p50"] <= row["p90"] <= row["p95"]
        assert row["issue_at"].replace(tzinfo=UTC) == AS_OF
        assert row["target_date"] == AS_OF.date() + timedelta(days=row["horizon"] - 1)
        assert row["model_name"] == store.model_name(row["family"]) or row["family"] == "staff_need_daily"
    for family in FAMILIES:
        for horizon in (1, 14):
            values = {
                r["series"]: r["expected"] for r in rows if (r["family"], r["horizon"]) == (family, horizon)
            }
            assert values["h1"] + values["h2"] == pytest.approx(values["city"], abs=1e-3)


def test_nurse_shifts_follow_from_occupancy(issued: dict[str, Any], lake: TestLake) -> None:
    by_family = {
        family: lake.rows(
            f"select p95 from scores.forecast where family = '{family}' order by series, horizon"
        )
        for family in ("occupancy_daily", "staff_need_daily")
    }
    for patients, shifts in zip(*by_family.values(), strict=True):
        assert shifts["p95"] == pytest.approx(0.6 * patients["p95"], abs=1e-3)


def test_a_second_issue_adds_nothing(issued: dict[str, Any], lake: TestLake) -> None:
    before = lake.rows(QUERY)
    assert forecast.issue(AS_OF.isoformat())["added"] == 0
    assert lake.rows(QUERY) == before


def test_what_comes_later_changes_no_forecast(
    issued: dict[str, Any], city: list[dict[str, Any]], lake: TestLake
) -> None:
    later = [
        told.encounter(f"later-{n}", "2026-03-03T10:00", None, source="source_h1", known_from="2026-03-04")
        for n in range(40)
    ]
    told.publish({"gold.fct_encounter": [*city, *later]})
    assert forecast.issue(AS_OF)["added"] == issued["added"], "of other tables' versions: a batch of its own"
    columns = "family, series, target_at, expected, p05, p50, p95"
    rows = lake.rows(f"select {columns}, count(*) as n from scores.forecast group by {columns}")
    assert {row["n"] for row in rows} == {2}


def test_a_killed_issue_is_finished_by_the_next(
    trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    later = AS_OF + timedelta(hours=6)

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.Lake, "publish", kill)
        with pytest.raises(KeyboardInterrupt):
            forecast.issue(later)
    written = tables.version("scores.forecast")
    assert forecast.issue(later)["added"] == 0
    with control.connect() as conn:
        assert control.current_versions(conn)["scores.forecast"] == written


def test_a_day_is_forecast_until_it_is_over_where_it_is_counted(
    trained: dict[str, Any], lake: TestLake
) -> None:
    """Hospitals count days of UTC, whatever the zone of the city."""
    late = AS_OF + timedelta(hours=23, minutes=30)
    forecast.issue(late, FAMILIES)
    [row] = lake.rows(
        "select min(target_date) as day, min(target_at) as at, count(*) as n from scores.forecast "
        f"where issue_at = timestamp '{late:%Y-%m-%d %H:%M:%S}'"
    )
    assert (row["day"], row["n"]) == (AS_OF.date(), 3 * 3 * 14)
    assert row["at"].replace(tzinfo=UTC) == AS_OF


def test_of_a_repeated_issue_the_last_batch_counts_after_a_rollback_too(
    trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.champion(store.model_name("arrivals_daily"))
    assert before is not None
    promoted = replace(before, number="10")

    def issue(champion: Version) -> tuple[object, set[str]]:
        monkeypatch.setattr(registry, "champion", lambda name: champion)
        added = forecast.issue(REPEATED, ("arrivals_daily",))["added"]
        with engine.session() as spark:
            rows = tables.read(spark, "scores.forecast").where(F.col("issue_at") == F.lit(REPEATED))
            return added, {row["model_version"] for row in newest_batches(rows).collect()}

    rows = 3 * 14
    for champion, added in ((before, rows), (promoted, rows), (before, rows), (before, 0)):
        assert issue(champion) == (added, {champion.number})


def test_forecasts_are_scored_as_their_targets_come(
    issued: dict[str, Any], city: list[dict[str, Any]]
) -> None:
    assert forecast.score_past(AS_OF).num_rows == 0
    more = told.busy_city(DAYS + 14, first=FIRST)
    for row in more:
        row["known_from"] = told.at("2026-03-16")
    told.publish({"gold.fct_encounter": more})
    found = forecast.score_past(AS_OF + timedelta(days=14)).to_pylist()
    assert {row["model"] for row in found} == {f"forecast_{f}" for f in (*FAMILIES, "staff_need_daily")}
    assert {row["metric"] for row in found} == {"mae", "mase", "coverage_90", "inside_90", "pinball"}
    arrivals = [row for row in found if row["model"] == "forecast_arrivals_daily"]
    assert {row["day"] for row in arrivals} == {AS_OF.date() + timedelta(days=n) for n in range(14)}
    mean = {
        metric: sum(r["value"] * r["n"] for r in arrivals if r["metric"] == metric)
        / sum(r["n"] for r in arrivals if r["metric"] == metric)
        for metric in ("mase", "coverage_90")
    }
    assert 0.4 < mean["mase"] < 1.1
    assert 0.75 <= mean["coverage_90"] <= 1


def test_what_a_model_says_of_days_it_has_learnt_is_told_as_such_and_not_judged(
    issued: dict[str, Any],
) -> None:
    assert issued["younger"] == {}
    of_then = forecast.issue(AS_OF - timedelta(days=14))
    assert of_then["younger"] == dict.fromkeys(FAMILIES, AS_OF.isoformat())
    assert of_then["added"] == 3 * 3 * 14
    assert forecast.score_past(AS_OF).num_rows == 0


def test_the_last_batch_of_a_repeated_issue_is_scored(issued: dict[str, Any]) -> None:
    """Not the one with the last name."""
    now = AS_OF + timedelta(days=14)
    before = forecast.score_past(now).to_pylist()
    with engine.session() as spark, control.connect() as conn:
        held = tables.read(spark, "scores.forecast").where(F.col("issue_at") == F.lit(AS_OF))
        changes = {name: F.col(name) + 1000 for name in ("p05", "p10", "p50", "p90", "p95")}
        changes |= {"issued_at": F.lit(datetime(2020, 1, 1, tzinfo=UTC)), "batch_id": F.lit("z")}
        version = tables.append_batch(
            spark, "scores.forecast", newest_batches(held).withColumns(changes), "z"
        )
        control.publish_tables(conn, "scores", "test", {"scores.forecast": version})
    assert forecast.score_past(now).to_pylist() == before


def test_a_model_that_the_gate_refuses_issues_nothing(
    trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.champion("forecast_arrivals_daily")
    with monkeypatch.context() as patch:
        patch.setattr(gate, "judge", lambda *_: Decision(False, ("It is not good enough.",)))
        refused = forecast.train(AS_OF + timedelta(days=13), ("arrivals_daily",))["arrivals_daily"]
    assert (refused["outcome"], refused["reason"]) == ("refused", "It is not good enough.")
    assert registry.champion("forecast_arrivals_daily") == before


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(CitywellError, match="no family tides"):
        forecast.train(AS_OF, ("tides",))


def test_a_rollback_lasts(trained: dict[str, Any]) -> None:
    """The family is not trained again before the version left is as old, nor before as long after the rollback."""
    name, family = store.model_name("arrivals_daily"), ("arrivals_daily",)
    first = registry.champion(name)
    assert first is not None
    newer = AS_OF + timedelta(days=10)
    with registry.connected(None) as mlflow:
        client = mlflow.MlflowClient()
        left = client.create_model_version(name, source="made up", tags={"as_of": newer.isoformat()})
    assert registry.set_champion(name, str(left.version), instead_of=first.number)
    ended = CliRunner().invoke(
        app, ["models", "rollback", name, "--reason", "odd nights"], catch_exceptions=False
    )
    assert ended.exit_code == 0
    assert "citywell run forecast" in ended.output
    assert registry.champion(name) == first

    def outcome(day: int) -> str:
        found = forecast.train(AS_OF + timedelta(days=day), family, max_age_days=7)
        return found["arrivals_daily"]["outcome"]

    assert outcome(16) == "fresh"
    rolled_back = f"{(newer + timedelta(days=5)).isoformat()} to version {first.number}: odd nights"
    client.set_model_version_tag(name, left.version, "rolled_back", rolled_back)
    assert outcome(21) == "fresh"
    assert outcome(22) != "fresh"


def test_weeks_are_scored_for_half_a_year_and_days_for_five_weeks(issued: dict[str, Any]) -> None:
    transfusions = [told.transfusion(f"t{n}", told.day("2025-12-01", n)) for n in range(100)]
    for row in transfusions:
        row["known_from"] = told.at("2026-03-16")
    told.publish({"gold.fct_procedure": transfusions})
    with engine.session() as spark, control.connect() as conn:
        first = (F.col("family") == "arrivals_daily") & (F.col("series") == "city") & (F.col("horizon") == 1)
        held = tables.read(spark, "scores.forecast").where(first & (F.col("issue_at") == F.lit(AS_OF)))
        changes = {
            "family": F.lit("blood_demand_weekly"),
            "grain": F.lit("week"),
            "batch_id": F.lit("weekly"),
        }
        version = tables.append_batch(
            spark, "scores.forecast", newest_batches(held).withColumns(changes), "weekly"
        )
        control.publish_tables(conn, "scores", "test", {"scores.forecast": version})

    def scored(days: int) -> set[str]:
        return set(forecast.score_past(AS_OF + timedelta(days=days))["model"].to_pylist())

    weekly = "forecast_blood_demand_weekly"
    assert weekly in scored(30)
    assert scored(182) == {weekly}
    assert scored(183) == set()
