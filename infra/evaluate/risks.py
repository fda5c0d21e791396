"""What the risk models have learnt, and what hospitals hold of their scores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infra.evaluate.figures import HOSPITALS, Line, Seen, is_published, none_of, told
from jobs.sources import load as load_source
from jobs.writeback import tasks

if TYPE_CHECKING:
    from ml.metrics import Estimate
    from ml.risk.evaluate import Declines

CHANCE = 0.5
ALWAYS_THERE = "readmission_30d"
"""The question that a city of any size has the cases for."""


def figures(key: Path, seen: Seen) -> Iterator[Line]:
    """Of each question whose true risks the key tells, and of the one that is judged by planted declines; nothing
    before somebody is scored."""
    if not is_published("scores.risk"):
        return
    from ml import registry
    from ml.risk import truth
    from ml.risk.evaluate import JUDGED_BY_DECLINES

    for name in (*truth.told(key), JUDGED_BY_DECLINES):
        if registry.champion(name) is not None:
            yield from _declines(name, key) if name == JUDGED_BY_DECLINES else _learnt(name, key)
        elif name == ALWAYS_THERE:
            yield Line(f"{name}_champion", 0, "versions", "==1", False)
        else:
            yield told(f"{name}_champion", 0, "versions", 1)
    yield _written_back(max(at.as_py() for at in seen.values()))


def _learnt(name: str, key: Path) -> Iterator[Line]:
    """Whether the model in use ranks people at all, how much AUROC models made as it is leave to the true risk, and
    whether their probabilities are what came to pass. The test part of a small city has few events: of the gap the
    interval's low end is judged then, and the calibration error is told. `python -m tests.bench risks` judges the
    figures themselves, on a city with enough people."""
    from ml.risk.evaluate import MOST_CALIBRATION_ERROR, MOST_GAP, learnt_against_truth

    found = learnt_against_truth(name, answer_key=key)
    making = found.making
    yield _above(f"{name}_champion", found.champion, CHANCE)
    yield Line(
        f"{name}_auroc_gap",
        round(making.gap.value, 4),
        _auroc(making.gap),
        f"{'' if making.is_claimed else 'low'}<={MOST_GAP}",
        making.is_near,
        making.events,
    )
    error = (f"{name}_calibration_error", round(making.calibration_error, 4), "share")
    if making.is_claimed:
        yield Line(*error, f"<={MOST_CALIBRATION_ERROR}", making.is_calibrated, making.cases)
    else:
        yield told(*error, making.cases)


def _declines(name: str, key: Path) -> Iterator[Line]:
    from ml.risk.evaluate import declines_found

    found = declines_found(name, answer_key=key)
    yield _above(f"{name}_champion", found.champion, CHANCE)
    yield from of_declines(name, found.declines, found.over_hazard)


def of_declines(name: str, found: Declines, over_hazard: Estimate | None) -> Iterator[Line]:
    """Whether a model finds planted declines, and models made as it is do so better than who knows each person's hazard
    but no device; beside it the shares of the declines and of all cases that are alerts. Of few declines only their
    number is told."""
    few = told(f"{name}_declines", found.declines, "cases", found.cases)
    yield few if found.auroc is None else _above(f"{name}_declines", found.auroc, CHANCE, found.declines)
    if over_hazard is not None:
        yield _above(f"{name}_declines_over_hazard", over_hazard, 0)
    if found.declines:
        yield told(f"{name}_declines_alerted", round(found.alerted, 4), "share", found.declines)
        yield told(f"{name}_alerts", round(found.alerts, 4), "share", found.cases)


def _above(name: str, found: Estimate, line: float, cases: int | None = None) -> Line:
    """A figure whose interval must lie above a line."""
    return Line(name, round(found.value, 4), _auroc(found), f"low>{line}", found.low > line, cases)


def _auroc(found: Estimate) -> str:
    return f"AUROC({found.low:.3f}..{found.high:.3f})"


def _written_back(at: datetime) -> Line:
    """Reads the RiskAssessments of the city's own hospitals back: a directory served as one more has no answer key, and
    is there for the time of its demo only."""
    given = [name for name, endpoint in load_source(HOSPITALS).endpoints.items() if endpoint.on_demand]
    found = tasks.verify_hospitals(at.isoformat(), but=given).values()
    unlike = sum(one.expected - one.matching for one in found)
    return none_of("risk_assessments_unlike_scores", unlike, "scores", sum(one.expected for one in found))
