"""What speaks against a trained model besides how good it is: its labels, features, age, alerts and fairness.

Each check is a pure function that gives reasons in words, none when all is well. ``ml.gate`` asks them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from ml import metrics
from ml.metrics import Evaluation
from ml.question import Cases, Question

MOST_SKEW = 0.01
"""Largest share of cases whose feature, computed afresh, may differ from the one that was learnt from."""
MOST_DAYS_OLD = 180
"""Beyond the horizon, within which no label can be known: half a year, in which a hospital's ways may change."""
MOST_OF_BUDGET = 1.5
EQUAL_OPPORTUNITY = ("sex", "district")
"""Divisions whose groups must be found alike. Not age: risk itself rises with it, and at one alert line more of the
events of old people are found by any model that is right (Kleinberg et al., ITCS 2017)."""
MOST_RECALL_GAP = 0.20
LEAST_OF_RECALL = 0.5
"""Of everybody else's recall, a group's at least: ours. It is what holds rare events, of which an alert line that few
cases lie above finds less than MOST_RECALL_GAP of anybody's."""


def skew_failures(skew: Mapping[str, float]) -> tuple[str, ...]:
    """skew: feature -> share of cases for which it was another at training than computed afresh, as one is that has
    been declared otherwise since it was built; empty where not one case could be computed afresh."""
    if not skew:
        return (
            "Its features could not be compared with what scoring would compute: no case of the training is open.",
        )
    return tuple(
        f"The feature {name} is not what scoring would compute: it differs in {share:.1%} of the cases, and at most "
        f"{MOST_SKEW:.0%} is allowed."
        for name, share in sorted(skew.items())
        if share > MOST_SKEW
    )


def stale_failures(question: Question, newest: np.datetime64, as_of: datetime) -> tuple[str, ...]:
    """newest: when the newest case was asked about, UTC; it may be the horizon and MOST_DAYS_OLD before ``as_of``."""
    allowed = question.horizon_days + MOST_DAYS_OLD
    moment = np.datetime64(as_of.astimezone(UTC).replace(tzinfo=None), "us")
    days = int((moment - newest) / np.timedelta64(1, "D"))
    if days <= allowed:
        return ()
    return (
        f"Its data are old: the newest case is of {str(newest)[:10]}, {days} days before, and at most {allowed} are "
        "allowed.",
    )


def earlier_failures(as_of: datetime, champion: datetime, number: str) -> tuple[str, ...]:
    """as_of, champion: the instants that a model and the champion, version ``number``, were trained for."""
    if as_of >= champion:
        return ()
    return (
        f"It was trained for {as_of:%Y-%m-%d %H:%M}, and version {number}, the champion, for a later instant, "
        f"{champion:%Y-%m-%d %H:%M}: it knows less.",
    )


def meaning_changes(learnt: Mapping[str, str], champion: Mapping[str, str], number: str) -> tuple[str, ...]:
    """What to say of features that mean something else than when champion ``number`` learnt them: it cannot score them,
    nor be compared on them."""
    changed = [name for name in sorted(set(learnt) & set(champion)) if learnt[name] != champion[name]]
    if not changed:
        return ()
    return (
        f"Since version {number} was trained, these features have changed in meaning: {', '.join(changed)}.",
    )


def budget_failures(question: Question, alert_share: float, cases: int) -> tuple[str, ...]:
    """alert_share: of the test cases, at or above the alert line; cases: how many these are. What few cases show by
    chance is not held against a model: the lower end of the share's interval is judged."""
    most = MOST_OF_BUDGET * question.alert_budget
    low, high = metrics.wilson(round(alert_share * cases), cases)
    if low <= most:
        return ()
    return (
        f"It raises too many alerts: {alert_share:.1%} ({low:.1%} to {high:.1%}) of the test cases lie above its line, "
        f"and a team can act on {question.alert_budget:.1%} (at most {most:.1%} is allowed).",
    )


def baseline_failures(question: Question, evaluation: Evaluation) -> tuple[str, ...]:
    """A model must rank better than every published score that ``question`` declares; on few test cases no difference
    is beyond noise, so its interval is on the card, and not asked for."""
    found = {baseline.name: baseline for baseline in evaluation.baselines}
    failures = []
    for name in question.baselines:
        if name not in found:
            failures.append(f"It cannot be compared with {name}: the score is known for too few test cases.")
        elif not found[name].difference.value > 0:
            failures.append(
                f"It is not better than the published score {name}: AUROC difference {found[name].difference}."
            )
    return tuple(failures)


def opportunity_failures(
    test: Cases,
    probability: np.ndarray,
    line: float,
    groups: Mapping[str, np.ndarray],
    *,
    level: float,
    replicates: int,
) -> tuple[str, ...]:
    """Equal opportunity (Hardt, Price and Srebro, NeurIPS 2016): of those who will have the event, each group's must be
    found nearly as often as everybody else's.

    groups: name, such as ``sex male`` -> its rows; those of divisions out of EQUAL_OPPORTUNITY are checked. level: of
    the interval, whose near end must lie within MOST_RECALL_GAP, and within LEAST_OF_RECALL where everybody else has
    enough events for it. A group of whose events none is found has a bootstrap interval without width, so the exact
    interval of its recall must lie below the line as well.
    """
    failures = []
    recall = metrics.at_threshold(line)["recall"]
    whole = np.ones((1, len(test)))
    for name, rows in groups.items():
        if not name.startswith(tuple(f"{division} " for division in EQUAL_OPPORTUNITY)):
            continue
        is_in = np.zeros(len(test))
        is_in[rows] = 1

        def short_of(share: float, is_in: np.ndarray = is_in) -> metrics.Metric:
            """The group's recall minus this share of everybody else's."""
            return lambda y, p, w: recall(y, p, w * is_in) - share * recall(y, p, w * (1 - is_in))

        found = metrics.estimates(
            {"gap": short_of(1), "rest": short_of(LEAST_OF_RECALL)},
            test.y,
            probability,
            test.person,
            replicates=replicates,
            level=level,
        )
        if not found:
            continue
        its, others = (float(recall(test.y, probability, whole * part)[0]) for part in (is_in, 1 - is_in))
        people = len(set(test.person[rows][test.y[rows] == 1].tolist()))
        at_most = metrics.share_at_most(its, people, level=level)
        if found["gap"].high < -MOST_RECALL_GAP and at_most < others - MOST_RECALL_GAP:
            failures.append(
                f"It is unfair to {name}: of their events fewer are found than of everybody else's, recall difference "
                f"{found['gap']}, and at most {MOST_RECALL_GAP:.2f} is allowed."
            )
        elif (
            (test.y * (1 - is_in)).sum() >= metrics.FEWEST_EVENTS
            and found["rest"].high < 0
            and at_most < LEAST_OF_RECALL * others
        ):
            failures.append(
                f"It is unfair to {name}: {its:.1%} of their events are found, and {others:.1%} of everybody else's; "
                f"at least {LEAST_OF_RECALL:g} times as many are asked for."
            )
    return tuple(failures)
