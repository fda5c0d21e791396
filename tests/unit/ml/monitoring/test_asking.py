"""When a question is trained again, and what is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from ml import refusals, registry
from ml.aliases import Listed
from ml.monitoring import asking, words
from ml.monitoring.figures import SCHEMA, Figure, as_table
from ml.risk.declared import Risk
from ml.risk.emergency_90d import RISK as EMERGENCY
from ml.risk.readmission_30d import RISK as READMISSION
from ml.tracking import Version
from tests.unit.ml import gold

AS_OF = datetime(2026, 1, 31, tzinfo=UTC)
CROSSED = Figure("input_drift", "toy", "1", "sodium", "psi", 1.523, 300, line=0.28, q=0.0, is_crossed=True)
QUIET = Figure("input_drift", "toy", "1", "age", "psi", 0.02, 300, line=0.28, q=0.8)


def version(number: str, days_before: float) -> Version:
    return Version("toy", number, "run", {"as_of": (AS_OF - timedelta(days=days_before)).isoformat()})


def trained(days_before: float) -> asking.Training:
    return asking.Training.of(version("2", days_before))


@pytest.mark.parametrize(
    ("days_before", "unseen", "is_asked"),
    [
        (7, [QUIET, CROSSED], True),
        (7, [QUIET], False),
        (7, [], False),
        (0, [CROSSED], False),
        (-1, [CROSSED], False),
    ],
    ids=["crossed", "quiet", "nothing unseen", "trained for this instant", "trained for a later one"],
)
def test_a_question_is_asked_for_what_its_newest_training_has_not_seen(
    days_before: float, unseen: list[Figure], is_asked: bool
) -> None:
    assert asking.is_asked(trained(days_before), unseen, AS_OF) is is_asked


@pytest.mark.parametrize(
    ("refused_before", "comes_to"),
    [(9, "2"), (7, "2"), (3, None)],
    ids=["an older one was refused", "the same one was", "a later one was"],
)
def test_a_training_that_came_to_no_model_is_the_newest_too(
    mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, refused_before: float, comes_to: str | None
) -> None:
    listed = [Listed(made, (), False) for made in (version("3", 8), version("2", 7), version("1", 7))]
    monkeypatch.setattr(registry, "versions", lambda name, uri=None: listed)
    refused_for = AS_OF - timedelta(days=refused_before)
    refusals.note("toy", refused_for, "There are 3 cases.", uri=mlflow_uri)
    newest = asking.newest_training("toy", uri=mlflow_uri)
    assert newest is not None
    assert (newest.version and newest.version.number) == comes_to
    assert newest.as_of == max(refused_for, AS_OF - timedelta(days=7))


def test_what_crossed_is_said_in_words_the_worst_first_and_not_endlessly() -> None:
    many = [
        Figure("input_drift", "toy", "1", f"f{i}", "psi", 0.3 + i / 10, 9, line=0.25, is_crossed=True)
        for i in range(8)
    ]
    told = words.crossed([QUIET, *many, CROSSED], {"sodium": "last sodium"})
    assert told.startswith(
        "9 features have moved: last sodium (PSI 1.52, line 0.28); f7 (PSI 1.00, line 0.25); f6"
    )
    assert told.endswith("; and 4 more.")
    decayed = Figure(
        "performance", "toy", "1", "all", "auroc", 0.61, 9, low=0.58, high=0.64, line=0.7, is_crossed=True
    )
    assert words.crossed([decayed], {}) == (
        "It no longer holds what its card promised: AUROC 0.61 (0.58 to 0.64), line 0.70."
    )
    assert words.crossed([QUIET], {}) == ""


def test_a_row_says_when_it_was_measured_and_of_which_day() -> None:
    table = as_table([CROSSED], AS_OF, AS_OF + timedelta(hours=1))
    assert table.schema == SCHEMA
    [row] = table.to_pylist()
    assert (row["day"], row["as_of"], row["measured_at"]) == (AS_OF.date(), AS_OF, AS_OF + timedelta(hours=1))


@pytest.mark.parametrize(
    ("risk", "until", "has_more"),
    [(EMERGENCY, "2026-02-20", False), (EMERGENCY, "2026-04-02", True), (READMISSION, "2026-02-20", True)],
    ids=["people, in the same quarter", "people, in the next", "stays, any day"],
)
def test_where_there_are_no_cases_but_those_of_the_newest_training_none_is_asked_for(
    spark: SparkSession, risk: Risk, until: str, has_more: bool
) -> None:
    stays = [("first", "2025-03-01", "2025-03-04"), ("next", "2026-01-20", "2026-01-25")]
    encounters = [gold.encounter(key=key, person="a", **{"from": a, "to": b}) for key, a, b in stays]
    given = gold.facts(spark, persons=[gold.person("a")], encounters=encounters)
    since, moment = gold.at("2026-01-10"), gold.at(until)
    assert since is not None
    assert moment is not None
    assert asking.has_more_cases(risk, given, since, moment) is has_more
