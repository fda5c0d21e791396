"""The only way to become champion: a gate in code that says, in words, why it lets a model pass or not.

A model passes when it meets the *floors* on its test people

* the lower end of its AUROC's interval is above 0.55: it is better than chance beyond doubt;
* its calibration error is at most 0.05, or no more than a perfectly calibrated model shows by chance; and it foretells
  at most one and a half times the events that came, and they it, at the near end of the ratio's interval;
* in no group (sex, age band, district) is it clearly worse than overall: AUROC more than 0.15 below, mean probability
  more than 0.10 off the observed share, or events foretold more than one and a half times those that came, or they
  these, at the near end of the group's interval;
* it finds the events of each sex and district nearly as often as everybody else's, and at least half as often where
  few are found of anybody's (``checks.opportunity_failures``);
* it raises at most one and a half times the alerts that a team can act on, but for chance;
* it ranks better than every published score that the question declares;

when nothing speaks against what it was made from

* its labels are as believable as the champion's were (``ml.labels``);
* its features are what scoring would compute, so that none has changed in meaning since it was built;
* its data are not old (``checks.stale_failures``), and it was not trained for an earlier instant than the champion;

and, where there is a champion, is better than it *beyond noise* on the same test people (the paired bootstrap interval
of the AUROC difference lies above zero) and clearly worse in no group, neither in AUROC nor in events foretold by those
that came (MOST_TIMES_WORSE times as far off, at the near end of the paired interval); or is at least not worse beyond
noise while the champion no longer meets the floors there or cannot score the present features: some are no longer made,
or mean something else than when it learnt them (and ``ml.risk.meaning`` keeps it from scoring anybody). Group intervals
are widened for their number (Bonferroni), or one group in twenty would be "clearly worse" by chance. A model that
passed all but the comparison is kept as ``challenger``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from jobs.crash import crash_here
from jobs.errors import CitywellError
from ml import checks, labels, metrics, models, registry
from ml.metrics import Estimate
from ml.question import Cases
from ml.registry import UnusableModel, Version
from ml.training import Trained

log = logging.getLogger(__name__)

LEAST_AUROC = 0.55
MOST_CALIBRATION_ERROR = 0.05
MOST_TIMES = 1.5
"""As many events as that are foretold for each that comes, or the other way round, at most: ours. It is what holds
rare events, of which probabilities may be many times too high and hardly off in shares."""
MOST_TIMES_WORSE = 1.1
"""As many times as that the events foretold for a group may be further off those that came than the champion's: ours.
Two models' mean probabilities for one group differ by a few per cent, which is beyond noise where there are many cases
and hurts nobody."""
CHANCE_LEVEL = 0.99
"""Of a hundred models that are calibrated perfectly, one is refused for its calibration error by chance."""
MOST_AUROC_BELOW_OVERALL = 0.15
MOST_GROUP_MISCALIBRATION = 0.10
ATTEMPTS = 3
PROMOTED, REFUSED = "promoted", "refused"


@dataclass(frozen=True)
class Decision:
    """Whether a version becomes champion, in words. compared_with: number of the champion it was measured against.
    difference: AUROC of the new model minus the champion's, on the same test people. is_sound: it may be used, whether
    or not it is better than the champion."""

    is_promoted: bool
    reasons: tuple[str, ...]
    compared_with: str | None = None
    difference: Estimate | None = None
    is_sound: bool = True

    def tags(self) -> dict[str, str]:
        """Why, for MLflow, all text."""
        found = {
            "gate_reasons": " ".join(self.reasons),
            "gate_compared_with": self.compared_with or "",
        }
        if self.difference is not None:
            found["gate_auroc_difference"] = json.dumps(
                [round(v, 4) for v in (self.difference.value, self.difference.low, self.difference.high)]
            )
        return found


def judge(
    test: Cases,
    probability: np.ndarray,
    champion: str | None = None,
    champion_probability: np.ndarray | None = None,
    *,
    objections: Sequence[str] = (),
    replicates: int = metrics.REPLICATES,
) -> Decision:
    """Decide from test cases and probabilities alone.

    champion: number of the present champion, None when there is none. champion_probability: its probabilities for the
    same cases, None when it cannot score them. objections: what else speaks against the model.
    """
    failures = (*objections, *floor_failures(test, probability, replicates=replicates))
    if failures:
        return Decision(False, failures, champion, is_sound=False)
    if champion is None:
        return Decision(True, ("There was no champion, and the model meets the floors.",))
    if champion_probability is None:
        return Decision(
            True,
            (f"Version {champion} cannot score the present features, and the model meets the floors.",),
            champion,
        )
    gap = metrics.difference(
        metrics.auroc, test.y, probability, champion_probability, test.person, replicates=replicates
    )
    shown = f"AUROC difference {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}) on the same test people"
    worse = worse_groups(test, probability, champion_probability, replicates=replicates)
    if worse:
        return Decision(False, worse, champion, gap, is_sound=False)
    if gap.low > 0:
        return Decision(
            True, (f"It is better than version {champion} beyond noise: {shown}.",), champion, gap
        )
    fallen = floor_failures(test, champion_probability, replicates=replicates)
    if fallen and gap.high >= 0:
        reason = f"Version {champion} no longer meets the floors, and this model is not worse: {shown}."
        return Decision(True, (reason, *fallen), champion, gap)
    return Decision(
        False, (f"It is not better than version {champion} beyond noise: {shown}.",), champion, gap
    )


def floor_failures(
    test: Cases, probability: np.ndarray, *, replicates: int = metrics.REPLICATES
) -> tuple[str, ...]:
    """What keeps a model from being used at all; empty when nothing does."""
    failures = []
    ranking = metrics.estimate(metrics.auroc, test.y, probability, test.person, replicates=replicates)
    if not ranking.low > LEAST_AUROC:
        failures.append(
            f"It may be hardly better than chance: AUROC {ranking}, and the lower end must be above {LEAST_AUROC}."
        )
    error = float(metrics.calibration_error(test.y, probability, np.ones((1, len(test))))[0])
    chance = metrics.error_by_chance(probability, level=CHANCE_LEVEL)
    if error > max(MOST_CALIBRATION_ERROR, chance):
        failures.append(
            f"Its probabilities are off: calibration error {error:.3f}, where at most {MOST_CALIBRATION_ERROR} is "
            f"allowed and chance explains {chance:.3f}."
        )
    times = metrics.estimate(
        metrics.expected_to_observed, test.y, probability, test.person, replicates=replicates
    )
    if is_off(times):
        failures.append(
            f"Its probabilities are off: it foretells {times} times the events that came, where "
            f"{1 / MOST_TIMES:.2f} to {MOST_TIMES} is allowed."
        )
    groups = _measured_groups(test)
    for name, rows in groups.items():
        found = metrics.estimates(
            {
                "auroc": metrics.auroc,
                "bias": metrics.calibration_in_the_large,
                "times": metrics.expected_to_observed,
            },
            test.y[rows],
            probability[rows],
            test.person[rows],
            replicates=replicates,
            level=_level(groups),
        )
        if found["auroc"].high < ranking.value - MOST_AUROC_BELOW_OVERALL:
            failures.append(
                f"It is clearly worse for {name}: AUROC {found['auroc']} against {ranking.value:.3f} overall."
            )
        if found["bias"].low > MOST_GROUP_MISCALIBRATION or found["bias"].high < -MOST_GROUP_MISCALIBRATION:
            failures.append(
                f"Its probabilities are off for {name}: mean predicted minus observed {found['bias']}."
            )
        elif is_off(found["times"]):
            failures.append(
                f"Its probabilities are off for {name}: it foretells {found['times']} times the events that came."
            )
    return tuple(failures)


def is_off(times: Estimate) -> bool:
    """Whether events foretold by events that came are clearly beyond MOST_TIMES, either way."""
    return times.low > MOST_TIMES or times.high < 1 / MOST_TIMES


def worse_groups(
    test: Cases, probability: np.ndarray, champion_probability: np.ndarray, *, replicates: int
) -> tuple[str, ...]:
    """Groups for which a model is clearly worse than the champion, in ranking or in events foretold."""
    groups = _measured_groups(test)
    found = []
    for name, rows in groups.items():
        y, ours, theirs = test.y[rows], probability[rows], champion_probability[rows]

        def gap(metric: metrics.Metric, rows: np.ndarray = rows) -> Estimate:
            return metrics.difference(
                metric,
                test.y[rows],
                probability[rows],
                champion_probability[rows],
                test.person[rows],
                replicates=replicates,
                level=_level(groups),
            )

        ranking = gap(metrics.auroc)
        if ranking.high < 0:
            found.append(f"It is clearly worse than the champion for {name}: AUROC difference {ranking}.")
        if gap(metrics.times_off).low > np.log(MOST_TIMES_WORSE):
            found.append(
                f"It is clearly worse than the champion for {name}: it foretells {ours.sum() / y.sum():.2f} times the "
                f"events that came, and the champion {theirs.sum() / y.sum():.2f} times."
            )
    return tuple(found)


def objections(
    trained: Trained,
    *,
    as_of: datetime,
    skew: Mapping[str, float] | None = None,
    replicates: int = metrics.REPLICATES,
) -> tuple[str, ...]:
    """What speaks against a model besides its figures and its labels; see ``ml.checks`` for the parameters."""
    groups = _measured_groups(trained.test)
    return (
        *(() if skew is None else checks.skew_failures(skew)),
        *checks.stale_failures(trained.question, newest_case(trained), as_of),
        *checks.budget_failures(trained.question, trained.evaluation.alert_share, len(trained.test)),
        *checks.baseline_failures(trained.question, trained.evaluation),
        *checks.opportunity_failures(
            trained.test,
            trained.test_probability,
            trained.lines.high,
            groups,
            level=_level(groups),
            replicates=replicates,
        ),
    )


def newest_case(trained: Trained) -> np.datetime64:
    """When the newest case of either part was asked about."""
    return max(part.at.max() for part in (trained.train, trained.test) if part.at is not None)


def promote(
    trained: Trained,
    version: Version,
    *,
    as_of: datetime | None = None,
    skew: Mapping[str, float] | None = None,
    uri: str | None = None,
    replicates: int = metrics.REPLICATES,
) -> Decision:
    """Judge ``version`` against the present champion, write down why, and move the aliases.

    as_of: the instant against which its data may be old, such as the newest that gold is published for; by default the
    one it was trained for. skew: feature -> share of cases for which it was another at training than computed afresh,
    None where that was not measured.

    The tag ``gate`` comes last: a version that has it is done with, and one without it is judged again by the next run
    of its training. One at a time: the caller holds a lock. Should the alias move all the same, the version is judged
    again against the new champion. Raises CitywellError when it keeps moving.
    """
    moment = as_of or _as_of(version)
    for _ in range(ATTEMPTS):
        holder = registry.champion(version.name, uri=uri)
        if holder is not None and holder.number == version.number:
            registry.set_tags(version, {"gate": PROMOTED}, uri=uri)
            return Decision(True, (holder.tags.get("gate_reasons", "It is the champion."),))
        decision = _decide(trained, version, holder, moment, skew, uri, replicates)
        registry.set_tags(version, decision.tags(), uri=uri)
        crash_here("gate:judged")
        moved = not decision.is_promoted or registry.set_champion(
            version.name, version.number, instead_of=holder.number if holder else None, uri=uri
        )
        crash_here("gate:moved")
        if moved:
            if decision.is_sound and not decision.is_promoted:
                registry.set_challenger(version, uri=uri)
            registry.set_tags(version, {"gate": PROMOTED if decision.is_promoted else REFUSED}, uri=uri)
            return decision
    raise CitywellError(
        "The champion kept changing while a model was being judged.",
        where=f"model {version.name}",
        do="run one training at a time, then run this one again",
    )


def _decide(
    trained: Trained,
    version: Version,
    holder: Version | None,
    as_of: datetime,
    skew: Mapping[str, float] | None,
    uri: str | None,
    replicates: int,
) -> Decision:
    before = registry.label_state(holder) if holder else None
    number = holder.number if holder else None
    if before and (wrong := labels.failures(registry.labels_of(trained), before)):
        # The test part's labels are of the same making: no figure of this model means anything.
        return Decision(False, wrong, number, is_sound=False)
    found = (
        *(() if holder is None else checks.earlier_failures(_as_of(version), _as_of(holder), holder.number)),
        *objections(trained, as_of=as_of, skew=skew, replicates=replicates),
    )
    changes = () if holder is None else _meaning_changes(version, holder)
    decision = judge(
        trained.test,
        trained.test_probability,
        number,
        _champion_scores(holder, trained, uri) if holder and not changes else None,
        objections=found,
        replicates=replicates,
    )
    return replace(decision, reasons=(*decision.reasons, *changes))


def _meaning_changes(version: Version, holder: Version) -> tuple[str, ...]:
    learnt, before = (registry.feature_digests(found) for found in (version, holder))
    return checks.meaning_changes(learnt, before, holder.number)


def _as_of(version: Version) -> datetime:
    return datetime.fromisoformat(version.tags["as_of"])


def _champion_scores(holder: Version, trained: Trained, uri: str | None) -> np.ndarray | None:
    """The champion's probabilities for the test cases; None when it cannot score them."""
    try:
        model = registry.load(holder, uri=uri)
        return models.predict(model.pipeline, trained.test.x[list(model.features)])
    except (UnusableModel, KeyError, ValueError) as error:
        log.warning("champion %s of %s cannot score (%s)", holder.number, holder.name, type(error).__name__)
        return None


def _measured_groups(test: Cases) -> Mapping[str, np.ndarray]:
    """Rows of each group with enough events to be measured."""
    found = {}
    for division, values in test.groups.items():
        for group in sorted(set(values.tolist())):
            rows = np.flatnonzero(values == group)
            events = int(test.y[rows].sum())
            if min(events, len(rows) - events) >= metrics.FEWEST_EVENTS:
                found[f"{division} {group}"] = rows
    return found


def _level(groups: Mapping[str, np.ndarray]) -> float:
    return 1 - (1 - metrics.LEVEL) / max(1, len(groups))
