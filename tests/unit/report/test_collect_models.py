"""What the report tells of questions, mining, forecasts and monitoring comes from where they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from infra.engine.launch import Engine
from infra.report import from_forecasts, from_mining, from_mlflow, from_monitoring
from infra.report.from_mining import Rows
from infra.report.model import (
    Alarm,
    Cluster,
    Correlation,
    District,
    Estimate,
    FacilityDay,
    Monitored,
    Unusual,
)
from infra.stack.postgres import free_port
from jobs.lake import engine
from jobs.settings import settings
from ml import gate, refusals, registry, training
from ml.aliases import CHAMPION, Listed
from ml.forecast import backtest, models, store
from ml.forecast.families import FAMILIES
from ml.forecast.series import panel
from ml.mining import rules, shapes
from ml.risk import questions
from ml.tracking import Version
from ml.training import Trained
from tests.support.mlflow import tracking_store
from tests.unit.ml import toy
from tests.unit.ml.forecast import told
from tests.unit.ml.forecast.generated import panel as weekly
from tests.unit.ml.gold import frame

AS_OF = datetime(2026, 1, 5, tzinfo=UTC)
OLD, NEW = "20260101T000000.000000Z", "20260105T000000.000000Z"


@pytest.fixture
def spark(sail_engine: Engine) -> Iterator[SparkSession]:
    with engine.session(sail_engine.remote) as session:
        for schema in ("gold", "scores", "quality"):
            session.sql(f"create schema if not exists {schema}")
        yield session


def reading(spark: SparkSession, published: Mapping[str, Any]) -> Rows:
    def rows(query: str, *needed: str) -> list[dict[str, Any]]:
        return spark.sql(query).toArrow().to_pylist() if set(needed) <= set(published) else []

    return rows


def publish(spark: SparkSession, table: str, ddl: str, rows: list[dict[str, Any]]) -> None:
    names = [column.split()[0] for column in ddl.split(", ")]
    values = [tuple(row.get(name) for name in names) for row in rows]
    made = table.replace(".", "_")
    spark.createDataFrame(values, ddl).createOrReplaceTempView(made)
    spark.sql(f"create or replace view {table} as select * from {made}")


def counted(people: int, **sets: int) -> rules.ItemCounts:
    """People with each set of items, such as d1_m1, in one stratum."""
    rows = [
        dict(zip("abc", (*name.split("_"), None, None), strict=False)) | {"stratum": "all", "people": had}
        for name, had in sets.items()
    ]
    return rules.ItemCounts(pd.Series({"all": float(people)}), pd.DataFrame(rows), rules.least_people(people))


RULES = rules.find(counted(1000, d1=200, d2=200, m1=100, d1_d2=55, d1_m1=70, d2_m1=65, d1_d2_m1=50))
FOUND: Mapping[shapes.Shape, list[dict[str, Any]]] = {
    shapes.STATISTICS: [
        {
            "variable": "age_years",
            "unit": "a",
            "division": "all",
            "group_name": "all",
            "people": 900,
            "mean": 40.0,
        },
        {
            "variable": "age_years",
            "unit": "a",
            "division": "sex",
            "group_name": "male",
            "people": 400,
            "mean": 39.0,
        },
    ],
    shapes.CORRELATIONS: [
        {
            "variable": "a",
            "other_variable": "b",
            "people": 90,
            "rho": 0.4,
            "rho_low": 0.3,
            "rho_high": 0.5,
            "q": 0.01,
            "partial_rho": 0.02,
            "partial_rho_low": -0.1,
            "partial_rho_high": 0.14,
            "partial_q": 0.6,
        },
        {
            "variable": "a",
            "other_variable": "age_years",
            "people": 90,
            "rho": 0.6,
            "rho_low": 0.5,
            "rho_high": 0.7,
            "q": 0.001,
            "partial_rho": float("nan"),
        },
        {
            "variable": "a",
            "other_variable": "c",
            "people": 90,
            "rho": 0.1,
            "rho_low": 0.0,
            "rho_high": 0.2,
            "q": 0.02,
            "partial_rho": -0.3,
            "partial_rho_low": -0.4,
            "partial_rho_high": -0.2,
            "partial_q": 0.01,
        },
    ],
    shapes.RULES: RULES.assign(
        antecedent_words=RULES["antecedent"], consequent_words=RULES["consequent"]
    ).to_dict("records"),
    shapes.CLUSTERS: [
        {"kind": "patients", "cluster": 0, "members": 900, "words": "no clusters", "stability": float("nan")},
        {"kind": "districts", "cluster": 1, "members": 1, "words": "quiet", "stability": 0.8},
    ],
    shapes.MEMBERS: [
        {"kind": "districts", "area_code": "C01", "cluster": 1},
        {"kind": "patients", "person_key": "secret-person", "cluster": 0},
    ],
    shapes.ANOMALIES: [
        {
            "kind": "facility_day",
            "subject_kind": "facility",
            "subject": "f1",
            "what": "fewer arrivals",
            "from_date": date(2025, 12, 24),
            "observed": 3.0,
            "expected": 41.0,
            "score": 9.0,
        },
        *(
            {
                "kind": "reading",
                "subject_kind": "person",
                "subject": who,
                "what": "heart_rate at home",
                "to_date": (AS_OF - timedelta(days=ago)).date(),
            }
            for who, ago in (("secret-person", 1), ("secret-person", 89), ("another", 3), ("of-old", 90))
        ),
    ],
    shapes.OUTBREAKS: [
        {
            "area_code": "C01",
            "syndrome": "respiratory",
            "date": date(2026, 1, day),
            "observed": 2,
            "expected": 0.4,
            "window_observed": 9,
            "window_expected": 1.0,
            "is_alarm": day == 2,
        }
        for day in (1, 2, 3)
    ],
}


def test_the_newest_run_of_mining_is_told(spark: SparkSession) -> None:
    for shape, rows in FOUND.items():
        runs = [{**row, "run_id": NEW, "as_of": AS_OF} for row in rows]
        older = {**rows[0], "run_id": OLD, "as_of": AS_OF - timedelta(days=4), "people": 1, "observed": 1}
        publish(spark, shape.table, shape.ddl, [*runs, older])
    publish(
        spark,
        "gold.dim_district",
        "kind string, area_code string, name string, longitude double, latitude double",
        [
            {
                "kind": "postal_district",
                "area_code": "C01",
                "name": "Harbour",
                "longitude": 2.1,
                "latitude": 48.8,
            },
            {
                "kind": "postal_district",
                "area_code": "C02",
                "name": "Hill",
                "longitude": 2.2,
                "latitude": 48.8,
            },
            {"kind": "district", "area_code": "CW01", "name": "Centre", "longitude": 2.1, "latitude": 48.8},
        ],
    )
    publish(
        spark,
        "gold.dim_facility",
        "facility_key string, name string, is_current boolean",
        [{"facility_key": "f1", "name": "North", "is_current": True}],
    )
    tables = [shape.table for shape in shapes.SHAPES]
    found = from_mining.mined(
        reading(spark, dict.fromkeys([*tables, "gold.dim_district", "gold.dim_facility"]))
    )
    assert found is not None
    assert (found.as_of, found.watched_as_of) == (AS_OF, AS_OF)
    assert [(s.variable, s.people) for s in found.statistics] == [("age_years", 900)]
    assert found.correlations == (
        Correlation("a", "age_years", Estimate(0.6, 0.5, 0.7), None, 90, True),
        Correlation("a", "b", Estimate(0.4, 0.3, 0.5), Estimate(0.02, -0.1, 0.14), 90, False),
        Correlation("a", "c", Estimate(0.1, 0.0, 0.2), Estimate(-0.3, -0.4, -0.2), 90, True),
    )
    assert [
        (r.antecedent, r.consequent, r.both_people, r.antecedent_people, r.consequent_people)
        for r in found.rules
    ] == [
        ("d1 & d2", "m1", 50, 55, 100),
        ("m1", "d1", 70, 100, 200),
        ("m1", "d2", 65, 100, 200),
    ], "of a pair that makes a rule either way the surer way alone"
    assert found.clusters == (
        Cluster("districts", 1, 1, "quiet", 0.8),
        Cluster("patients", 0, 900, "no clusters", None),
    )
    assert found.districts == (
        District("C01", "Harbour", 2.1, 48.8, 1),
        District("C02", "Hill", 2.2, 48.8, None),
    )
    assert found.facility_days == (FacilityDay("North", date(2025, 12, 24), "fewer arrivals", 3.0, 41.0),)
    assert found.unusual == (Unusual("reading", "heart_rate at home", 2),)
    assert found.alarms == (Alarm("C01", "respiratory", date(2026, 1, 2), 9, 1.0),)
    assert [(w.first, w.last) for w in found.watched] == [(date(2026, 1, 1), date(2026, 1, 3))]
    assert "secret" not in repr(found)
    assert from_mining.mined(reading(spark, {})) is None
    watched = from_mining.mined(reading(spark, {shapes.OUTBREAKS.table: 1}))
    assert watched is not None
    assert (watched.as_of, watched.watched_as_of, watched.rules) == (None, AS_OF, ())
    assert watched.alarms == found.alarms


def test_forecasts_come_with_what_the_city_had_counted_when_they_were_issued(spark: SparkSession) -> None:
    city = told.busy_city(90, first="2025-12-01")
    later = told.encounter("late", "2026-02-28T10:00", known_from="2026-03-05", usable_at="2026-03-05")
    encounters = frame(spark, told.SCHEMAS["gold.fct_encounter"], [*city, later])
    encounters.createOrReplaceTempView("encounters")
    spark.sql("create or replace view gold.fct_encounter as select * from encounters")
    issue = datetime(2026, 3, 1, tzinfo=UTC)
    ahead = [
        {
            "family": family,
            "series": series,
            "level": level,
            "grain": "day",
            "issue_at": issue,
            "target_at": issue + timedelta(days=day),
            "target_date": (issue + timedelta(days=day)).date(),
            "horizon": 1 + day,
            **dict.fromkeys(("expected", "p05", "p10", "p50", "p90", "p95"), 10.0),
            "model_name": "m",
            "model_version": "2",
            "batch_id": "b",
        }
        for family in ("arrivals_daily", "staff_need_daily")
        for series, level in (
            ("h1", "hospital"),
            ("city", "city"),
            ("h1|ward", "ward"),
            ("other", "hospital"),
        )
        for day in (1, 0)
    ]
    ddl = (
        "family string, series string, level string, grain string, issue_at timestamp, target_at timestamp, "
        "target_date date, horizon int, expected double, p05 double, p10 double, p50 double, p90 double, p95 double, "
        "model_name string, model_version string, batch_id string"
    )
    publish(spark, "scores.forecast", ddl, ahead)
    publish(
        spark,
        "gold.dim_facility",
        "facility_key string, name string, is_current boolean",
        [{"facility_key": "h1", "name": "North", "is_current": True}],
    )
    published = dict.fromkeys(("scores.forecast", "gold.dim_facility", "gold.fct_encounter"), 1)
    assert from_forecasts.forecasts(spark, reading(spark, {}), {}) == ()
    arrivals, shifts = from_forecasts.forecasts(spark, reading(spark, published), published)
    assert (arrivals.family, arrivals.issue_at, arrivals.model_version) == ("arrivals_daily", issue, "2")
    assert [(s.place, s.level, len(s.ahead)) for s in arrivals.series] == [
        ("The city", "city", 2),
        ("North", "hospital", 2),
        ("others", "hospital", 2),
    ]
    assert [q.at for q in arrivals.series[0].ahead] == [issue, issue + timedelta(days=1)]
    known = panel(spark, FAMILIES["arrivals_daily"], issue, published)
    assert known is not None
    assert [value for _, value in arrivals.past] == known.values[-1][-56:].tolist()
    assert len(arrivals.past) == 56
    assert arrivals.past[-1][0] < issue
    occupied = panel(spark, FAMILIES["occupancy_daily"], issue, published)
    assert occupied is not None
    assert shifts.past[-1][1] == pytest.approx(0.6 * occupied.values[-1][-1])


def test_a_figure_that_was_measured_again_is_told_as_it_was_last(spark: SparkSession) -> None:
    ddl = (
        "day date, as_of timestamp, kind string, target string, model_version string, subject string, metric string, "
        "value double, low double, high double, line double, is_crossed boolean, n bigint"
    )
    figure = {
        "day": date(2026, 1, 1),
        "as_of": AS_OF,
        "kind": "input_drift",
        "target": "readmission_30d",
        "model_version": "3",
        "subject": "age",
        "metric": "psi",
        "value": 0.3,
        "line": 0.25,
        "is_crossed": True,
        "n": 400,
    }
    rows = [
        figure,
        {**figure, "as_of": AS_OF - timedelta(days=1), "value": 0.1, "is_crossed": False},
        *({**figure, "model_version": other, "value": 0.2, "line": None} for other in ("2", "9", "10")),
        {**figure, "subject": "unknown", "value": None},
        {**figure, "subject": "all", "metric": "missing", "line": None, "is_crossed": None, "n": None},
    ]
    publish(spark, "quality.monitoring", ddl, rows)
    published = {"quality.monitoring": 1}
    assert from_monitoring.monitored(reading(spark, published), published) == (
        Monitored(date(2026, 1, 1), "input_drift", "readmission_30d", None, "missing", 0.3, None, False, 0),
        Monitored(date(2026, 1, 1), "input_drift", "readmission_30d", "age", "psi", 0.3, 0.25, True, 400),
    )
    assert from_monitoring.monitored(reading(spark, {}), {}) is None


@pytest.fixture
def mlflow(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    uri = tracking_store(tmp_path_factory.mktemp("mlflow"), *questions.names())
    monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", uri)
    settings.cache_clear()
    yield uri
    settings.cache_clear()


def test_every_declared_question_is_told_with_its_champion_or_why_it_has_none(mlflow: str) -> None:
    asked = replace(toy.QUESTION, name="readmission_30d")
    trained = training.refit(asked, toy.cases(3000), "logistic", {"C": 0.1}, replicates=100)
    assert isinstance(trained, Trained)
    version = registry.register(trained, as_of=AS_OF, data_versions={}, key="k")
    assert gate.promote(trained, version, replicates=100).is_promoted
    refusals.note("tuberculosis_180d", AS_OF, "There are 3 cases.")
    found = {question.name: question for question in from_mlflow.questions()}
    assert list(found) == questions.names()
    answered, missing, untried = (found[n] for n in ("readmission_30d", "tuberculosis_180d", "diabetes_2y"))
    assert answered.model is not None
    assert (answered.verdict, answered.model.version, answered.model.trained_at) == (
        "promoted",
        version.number,
        AS_OF,
    )
    assert answered.model.metrics["auroc"].value == pytest.approx(
        trained.evaluation.overall.metrics["auroc"].value
    )
    assert (missing.model, missing.verdict, missing.reason) == (None, "too_few", "There are 3 cases.")
    assert (untried.verdict, untried.reason) == ("untrained", from_mlflow.UNTRAINED)


def test_every_family_of_forecasts_is_told_with_its_model_or_why_it_has_none(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = FAMILIES["blood_demand_weekly"]
    name = store.model_name(family.name)
    uri = tracking_store(tmp_path_factory.mktemp("mlflow"), name)
    monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", uri)
    settings.cache_clear()
    made = weekly(periods=100, grain="week")
    result = backtest.backtest(made, (models.NAIVE,))
    version = store.register(family, made, result, as_of=AS_OF, data_versions={}, key="k")
    registry.set_tags(version, {"gate": "promoted", "gate_reasons": "It meets the floors."})
    with registry.connected(None) as mlflow:
        mlflow.MlflowClient().set_registered_model_alias(name, CHAMPION, version.number)
    found = {one.title: one for one in from_mlflow.forecasters()}
    assert list(found) == [family.title for family in FAMILIES.values()]
    told = found[family.title]
    assert (told.version, told.kind, told.naive) == (version.number, models.NAIVE, "last week's value")
    assert told.reason == "It meets the floors."
    assert told.mase is not None
    assert told.mase.value == pytest.approx(result.test.mase.value, abs=1e-4)
    assert told.mase.low is not None
    assert told.mase.low <= told.mase.value
    without = found[FAMILIES["arrivals_daily"].title]
    assert (without.version, without.kind, without.mase) == (None, None, None)
    assert without.reason == from_mlflow.UNTRAINED
    settings.cache_clear()


def test_a_report_is_made_while_mlflow_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings.cache_clear()
    assert from_mlflow.questions() == ()
    assert "the models are not in the report" in caplog.text
    assert from_mlflow.forecasters() == ()
    assert "how forecasts are made is not in the report" in caplog.text
    settings.cache_clear()


@pytest.mark.parametrize(
    ("trained_for", "refused_for", "verdict"),
    [
        (1, None, "refused"),
        (1, 2, "too_few"),
        (2, 1, "refused"),
        (None, 1, "too_few"),
        (None, None, "untrained"),
    ],
)
def test_what_is_told_is_of_the_training_for_the_newest_instant(
    trained_for: int | None, refused_for: int | None, verdict: str
) -> None:
    tags = {"gate": "refused", "gate_reasons": "It is worse."}
    versions = (
        []
        if trained_for is None
        else [
            Listed(
                Version(
                    "q", "1", "r", {**tags, "as_of": datetime(2026, 1, trained_for, tzinfo=UTC).isoformat()}
                ),
                (),
                False,
            )
        ]
    )
    refusal = (
        None
        if refused_for is None
        else refusals.Refused(datetime(2026, 1, refused_for, tzinfo=UTC), "Three.")
    )
    assert from_mlflow.verdict_of(versions, refusal)[0] == verdict
