"""The README's example of a new question, from its folder to scores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import ml.risk
from jobs.settings import PROJECT_DIR, settings
from ml import registry, risk
from ml.risk import questions
from tests.support.lake import TestLake
from tests.support.readme import examples
from tests.unit.ml import gold
from tests.unit.ml.small_city import publish

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
YEARS = 7
BEGIN = AS_OF - timedelta(days=YEARS * 365 + 1)
NAME = "admission_180d"
FOLDER = f"ml/risk/{NAME}"
MOST_LINES = 60


def city(people: int) -> dict[str, list[gold.Row]]:
    """Years of a hospital to which people come at a rate of their own: often those whose sodium is low."""
    rng = np.random.default_rng(7)
    persons, encounters, measurements = [], [], []
    for number in range(people):
        who, is_low = f"p{number}", bool(rng.random() < 0.3)
        yearly = rng.gamma(4, 0.15) * (4 if is_low else 1)
        persons.append(gold.person(who, born=int(rng.integers(1930, 1980))))
        days = np.sort(rng.uniform(0, YEARS * 365, rng.poisson(YEARS * yearly)))
        for stay, day in enumerate([rng.uniform(0, 60), *days]):
            start = BEGIN + timedelta(days=float(day))
            times = {"from": f"{start:%Y-%m-%dT%H:%M}", "to": f"{start + timedelta(hours=20):%Y-%m-%dT%H:%M}"}
            encounters.append(gold.encounter(key=f"{who}-{stay}", person=who, **times, went_to="home"))
            sodium = rng.normal(131 if is_low else 139, 4)
            measurements.append(
                gold.measurement(f"m{who}-{stay}", who, "2951-2", sodium, "mmol/L", times["from"])
            )
    return {"persons": persons, "encounters": encounters, "measurements": measurements, "conditions": []}


@pytest.fixture
def folder(tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The question's folder, beside those there are."""
    shown = examples(FOLDER)
    assert {Path(path).name for path in shown} == {"__init__.py", "definition.md", "question.py"}
    place = tmp_path / NAME
    place.mkdir()
    for path, text in shown.items():
        (place / Path(path).name).write_text(text)
    monkeypatch.setattr(ml.risk, "__path__", [*ml.risk.__path__, str(tmp_path)])
    monkeypatch.setenv("CITYWELL_MLFLOW_TRACKING_URI", mlflow_uri)
    settings.cache_clear()
    yield place
    settings.cache_clear()


def test_a_question_is_one_folder_and_nothing_else(
    folder: Path, lake: TestLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(city(500))
    with monkeypatch.context() as before:
        before.setattr(ml.risk, "__path__", ml.risk.__path__[:-1])
        assert NAME not in questions.names()
        risk.build_features(AS_OF - timedelta(days=7))
    assert NAME in questions.names()
    built = risk.build_features(AS_OF)
    assert built["people"]["features"] > len(questions.load("emergency_90d").question.features)

    trained = risk.train(NAME, AS_OF, candidates=("logistic",))
    assert trained["outcome"] == "promoted", trained["reason"]
    holder = registry.champion(NAME)
    assert holder is not None
    model = registry.load(holder)
    assert "low_sodium_365d" in model.features

    scored = risk.score(AS_OF, [NAME])[NAME]
    assert scored["outcome"] == "scored"
    [told] = lake.rows(
        f"select count(*) as scores, count(distinct person_key) as people from scores.risk "
        f"where target = '{NAME}'"
    )
    assert told["scores"] == told["people"] == scored["open"] > 0
    [asked] = lake.rows(f"select title from scores.question where target = '{NAME}'")
    assert asked["title"] == "Unplanned admission within half a year"


def test_the_readme_adds_a_question_in_few_lines() -> None:
    text = (PROJECT_DIR / "README.md").read_text()
    section = text.partition("## Adding a question\n")[2].partition("\n## ")[0]
    assert len(section.strip().splitlines()) < MOST_LINES
