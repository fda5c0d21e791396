"""Planted drift: from one day on the laboratory reports other levels, and what they mean for people is another.

The tests follow one lake through its days, in their order: a champion on what it learnt, the change, the request for
training, the decay, and the new champion.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobs.settings import settings
from ml import gate, metrics, models, monitoring, refusals, registry, risk, training
from ml.monitoring import fate, figures
from ml.risk import pipeline
from ml.risk.readmission_30d import RISK
from ml.training import in_test_bucket
from tests.support.airflow import Airflow
from tests.support.lake import TestLake
from tests.support.mlflow import tracking_store
from tests.unit.ml import gold
from tests.unit.ml.small_city import FIRST, publish

TARGET = RISK.name
PEOPLE = 1500
REPLACED = 420
"""The day on which the analyser is replaced."""
LATEST = 200
"""Days from the change within which a training that monitoring asked for is promoted."""
ENOUGH_TEST_EVENTS = 30
"""In place of a thousand, which these few people do not have in years: what they have in a season, the shortest test
part. A city has a thousand in a season where it is large enough for its events (decision 14)."""
RETRAIN, CHAMPION = "citywell://models/retrain", "citywell://models/champions"
SODIUM = "last_sodium_mmol_l"


def at(day: float) -> datetime:
    return FIRST + timedelta(days=day)


def city(until: int) -> dict[str, list[gold.Row]]:
    """A hospital up to a day; who has been there already has the same past on every day.

    Before REPLACED the sodium of a third of the stays is 128, else 140, and fewer than half of the people have a
    failing heart: both bring people back. After it the analyser says 152 for fewer and 146 for the others, and the
    sodium alone matters, but far more.
    """
    found: dict[str, list[gold.Row]] = {"persons": [], "encounters": [], "conditions": [], "measurements": []}
    for number in range(PEOPLE):
        rng = np.random.default_rng((7, number))
        who, is_failing = f"p{number}", bool(rng.random() < 0.4)
        found["persons"].append(gold.person(who, born=int(rng.integers(1930, 1990))))
        day, stay = float(rng.uniform(0, 300)), 0
        while day + 3 <= until:
            is_new, key = day >= REPLACED, f"{who}-{stay}"
            is_odd = bool(rng.random() < (0.18 if is_new else 0.3))
            start, end = text(day), text(day + 3)
            found["encounters"].append(
                gold.encounter(key=key, person=who, **{"from": start, "to": end}, went_to="home")
            )
            sodium = (152.0 if is_odd else 146.0) if is_new else (128.0 if is_odd else 140.0)
            found["measurements"].append(gold.measurement(f"m{key}", who, "2951-2", sodium, "mmol/L", start))
            if is_failing and not stay:
                found["conditions"].append(gold.condition(f"c{key}", who, "I50.9", start))
            link = (0.0, 0.6) if is_new else (0.3, 0.2)
            is_back = rng.random() < 0.04 + link[0] * is_failing + link[1] * is_odd
            day, stay = day + 3 + float(rng.uniform(2, 25) if is_back else rng.uniform(60, 400)), stay + 1
    last = {"from": text(until - 0.5), "to": text(until - 0.2)}
    found["encounters"].append(gold.encounter(key="last", person="p0", **last, class_code="AMB"))
    return found


def text(day: float) -> str:
    return at(day).replace(tzinfo=None).isoformat(timespec="minutes")


def lived(until: int) -> None:
    """The city as it is known on a day, with everybody scored."""
    publish(city(until))
    risk.score(at(until))


def trained(until: int) -> dict[str, Any]:
    risk.build_features(at(until))
    return risk.train(TARGET, at(until), candidates=("decision_tree",))


def looked(day: float) -> dict[str, Any]:
    return monitoring.monitor(at(day))[TARGET]


def killed_while_looking(day: float) -> None:
    """Between the publication of what was seen and telling of it."""
    killed = subprocess.run(
        [sys.executable, "-c", f"from ml import monitoring; monitoring.monitor({at(day).isoformat()!r})"],
        env={**os.environ, "CITYWELL_CRASH_AT": "monitor:published"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert killed.returncode == 137, killed.stderr[-2000:]


@pytest.fixture(scope="module", autouse=True)
def mlflow(lake: TestLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        store = tracking_store(tmp_path_factory.mktemp("mlflow"), TARGET)
        monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", store)
        monkeypatch.setattr(training, "ENOUGH_TEST_EVENTS", ENOUGH_TEST_EVENTS)
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def champion(lake: TestLake) -> str:
    """The number of a champion of the time before the change."""
    publish(city(REPLACED))
    made = trained(REPLACED)
    assert made["outcome"] == "promoted", made
    risk.score(at(REPLACED))
    return str(made["model_version"])


@pytest.fixture(scope="module")
def moved(champion: str) -> dict[str, Any]:
    """What is seen forty days after the change, by the run after one that was killed before it told of it."""
    quiet = looked(REPLACED)
    assert (quiet["outcome"], quiet["words"], quiet["is_asked"]) == ("monitored", "", False), quiet
    lived(REPLACED + 40)
    killed_while_looking(REPLACED + 40)
    return looked(REPLACED + 40)


def test_a_change_of_a_measure_is_seen_named_and_asks_for_training(
    moved: dict[str, Any], champion: str, lake: TestLake
) -> None:
    assert moved["is_asked"]
    assert moved["is_new"], "nobody has been told of it yet"
    assert "last sodium (PSI" in moved["words"]
    crossed = lake.rows(
        f"select subject, model_version from {figures.TABLE} where is_crossed and kind = 'input_drift'"
    )
    assert {row["subject"] for row in crossed} <= {
        SODIUM,
        "min_sodium_mmol_l",
        "has_low_sodium",
        "hospital_points",
    }
    assert {row["model_version"] for row in crossed} == {champion}


def test_looking_again_replaces_what_was_said(moved: dict[str, Any], lake: TestLake) -> None:
    query = f"select * from {figures.TABLE} order by as_of, kind, subject, metric"
    before = lake.rows(query)
    again = looked(REPLACED + 40)
    assert again["crossed"] == moved["crossed"]
    after = lake.rows(query)
    for row in (*before, *after):
        del row["measured_at"]
    assert after == before


def test_the_report_shows_it_and_nobody(moved: dict[str, Any], lake: TestLake) -> None:
    assert monitoring.write_pages(at(REPLACED + 40)) == [TARGET]
    told = (settings().home / "reports" / "drift" / f"{TARGET}.html").read_text(encoding="utf-8")
    assert "last sodium" in told
    keys = [row["encounter_key"] for row in lake.rows("select encounter_key from features.discharges_now")]
    assert len(keys) > 50
    assert not [key for key in keys if key in told]


def test_a_training_that_came_to_no_model_is_not_asked_for_again(moved: dict[str, Any]) -> None:
    """The day's training has too few to learn from; on the next day nothing else has moved."""
    risk.build_features(at(REPLACED + 40))
    refusals.note(TARGET, at(REPLACED + 40), "There are 3 cases.")
    lived(REPLACED + 41)
    seen = looked(REPLACED + 41)
    assert "last sodium (PSI" in seen["words"], "it has moved since the champion's training"
    assert not seen["is_new"], "nobody is told twice of what had crossed the day before"
    assert not seen["is_asked"]


def test_a_training_that_saw_it_is_not_asked_for_again_whatever_the_gate_said(moved: dict[str, Any]) -> None:
    made = trained(REPLACED + 40)
    assert made["outcome"] in ("promoted", "refused")
    assert not looked(REPLACED + 40)["is_asked"]
    lived(REPLACED + 41)
    assert not looked(REPLACED + 41)["is_asked"]


def test_decay_on_outcomes_that_no_training_has_seen_asks_again(
    moved: dict[str, Any], lake: TestLake
) -> None:
    for day in (70, 100):
        lived(REPLACED + day)
    seen = looked(REPLACED + 131)
    assert "no longer holds what its card promised" in seen["words"], seen
    assert seen["is_asked"]
    [row] = lake.rows(
        f"select value, high, line, n from {figures.TABLE} where metric = 'auroc' "
        f"and as_of = timestamp '{at(REPLACED + 131):%Y-%m-%d}' and is_crossed"
    )
    assert row["high"] < row["line"]
    assert row["n"] > 200


def test_the_alerts_of_each_score_are_followed(moved: dict[str, Any], lake: TestLake) -> None:
    rows = lake.rows(f"select * from {fate.TABLE}")
    alerted = {
        row["risk_key"] for row in lake.rows("select distinct risk_key from scores.risk where is_alert")
    }
    assert rows
    assert {row["risk_key"] for row in rows} == alerted
    assert len({(row["risk_key"], row["issued_at"]) for row in rows}) == len(rows)
    assert any(row["closed_at"] for row in rows)
    assert not any(row["closed_at"] for row in rows if row["was_right"] is None)


@pytest.fixture(scope="module")
def recovered(airflow: Airflow, moved: dict[str, Any]) -> tuple[int, str]:
    """Month by month the DAGs alone: scores set off monitoring, which sets off a training where it asks for one, and a
    new champion scores everybody. The days from the change to the training that was promoted, and its version."""
    for day in range(131, LATEST + 1, 30):
        conf = {"as_of": at(REPLACED + day).isoformat()}
        publish(city(REPLACED + day))
        looked = airflow.run("monitor", set_off_by=airflow.run("score", conf))
        if RETRAIN not in looked.announced:
            continue
        assert looked.results["ask_for_training"] == [TARGET]
        trained = airflow.run("train", set_off_by=looked)
        [made] = [made for label, made in trained.results.items() if label.startswith("fit")]
        assert made["as_of"] == conf["as_of"]
        if CHAMPION in trained.announced:
            assert airflow.run("score", set_off_by=trained).state == "success"
            return day, str(made["model_version"])
    raise AssertionError(f"no training was promoted within {LATEST} days")


def test_the_new_champion_recovers_and_all_is_quiet(champion: str, recovered: tuple[int, str]) -> None:
    """On discharges after its training, of people whom neither it nor the first champion has learnt from."""
    promoted, number = recovered
    late = REPLACED + promoted + 120
    lived(late)
    risk.build_features(at(late))
    cases = pipeline.cases(RISK, pipeline.labelled(pipeline.training_rows(TARGET, at(late))))
    is_new = cases.at >= np.datetime64(pd.Timestamp(at(REPLACED + promoted)).tz_localize(None))
    is_other = np.array([in_test_bucket(RISK.question, patient) for patient in cases.patient])
    new = cases.take(np.flatnonzero(is_new & is_other))
    found = {item.version.number: item.version for item in registry.versions(TARGET)}
    auroc, error, by_chance = {}, {}, {}
    for one in (champion, number):
        model = registry.load(found[one])
        p = models.predict(model.pipeline, new.x[list(model.features)])
        auroc[one] = metrics.estimate(metrics.auroc, new.y, p, new.person)
        error[one] = float(metrics.calibration_error(new.y, p, np.ones((1, len(new))))[0])
        by_chance[one] = metrics.error_by_chance(p, level=gate.CHANCE_LEVEL)
    assert auroc[number].low > auroc[champion].high
    assert error[number] < error[champion]
    assert error[number] <= max(gate.MOST_CALIBRATION_ERROR, by_chance[number]), (error, by_chance)
    assert error[champion] > by_chance[champion], "the champion of the time before is off by more than chance"
    quiet = looked(late)
    assert (quiet["words"], quiet["is_asked"]) == ("", False), quiet
