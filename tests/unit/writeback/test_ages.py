"""How old the scores of each question are, by the clock of whoever asks, and for everybody who reads scores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from jobs.writeback import ages, serving

Connect = Callable[[str], serving.Connection]
AS_OF = datetime(2026, 1, 2, tzinfo=UTC)


def test_the_oldest_answer_comes_first_and_the_newest_run_counts(serving_as: Connect) -> None:
    now = datetime.now(UTC)
    owner = serving_as("serving")
    ages.load(owner, [("a", AS_OF, now - timedelta(hours=3), "1", 60), ("b", AS_OF, now, "1", 3)])
    ages.load(owner, [("b", AS_OF + timedelta(days=1), now - timedelta(days=2, hours=1), "2", 3)])
    for role in ("care", "analyst"):
        told = [age.words() for age in ages.ages(serving_as(role))]
        assert told == [
            "b: as of 2026-01-03 00:00 UTC, made 2 days ago",
            "a: as of 2026-01-02 00:00 UTC, made 3 hours ago",
        ]
    shown = serving_as("analyst").execute("select target, cases from serving.score_age order by 1").fetchall()
    assert shown == [("a", 60), ("b", None)], "small numbers are not shown"


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-3), "0 minutes ago"),
        (timedelta(seconds=61), "1 minute ago"),
        (timedelta(minutes=119), "1 hour ago"),
        (timedelta(hours=47), "1 day ago"),
        (timedelta(days=9), "9 days ago"),
    ],
)
def test_an_age_in_words(age: timedelta, words: str) -> None:
    assert ages.ago(age) == words
