"""What the model has learnt, and what hospitals hold of its scores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from infra.evaluate.figures import HOSPITALS, Line, Seen, is_published, none_of
from jobs.sources import load as load_source
from jobs.writeback import tasks

MOST_AUROC_GAP = 0.03
CHANCE = 0.5


def figures(key: Path, seen: Seen) -> Iterator[Line]:
    """Nothing before somebody is scored."""
    if not is_published("scores.risk"):
        return
    from ml import registry
    from ml.risk.evaluate import READMISSION

    if registry.champion(READMISSION) is None:
        yield Line("readmission_champion", 0, "versions", "==1", False)
    else:
        yield _champion()
        yield _learnt(key)
    yield _written_back(max(at.as_py() for at in seen.values()))


def _champion() -> Line:
    """Whether the model in use ranks people at all: the test people of a small city are few."""
    from ml.risk.evaluate import READMISSION, champion_on_test

    found = champion_on_test(READMISSION)
    return Line(
        "readmission_champion",
        round(found.value, 4),
        f"AUROC({found.low:.3f}..{found.high:.3f})",
        f"low>{CHANCE}",
        found.low > CHANCE,
    )


def _learnt(key: Path) -> Line:
    """How much AUROC models made as the champion is leave to the true risk. A small city has few readmissions: the
    interval's low end is what is judged. `python -m tests.bench readmission` judges the gap itself, on a city with
    enough of them."""
    from ml.risk.evaluate import learnt_against_truth

    found = learnt_against_truth(answer_key=key)
    return Line(
        "readmission_auroc_gap",
        round(found.gap.value, 4),
        f"AUROC({found.gap.low:.3f}..{found.gap.high:.3f})",
        f"low<={MOST_AUROC_GAP}",
        found.gap.low <= MOST_AUROC_GAP,
        found.events,
    )


def _written_back(at: datetime) -> Line:
    """Reads the RiskAssessments of the city's own hospitals back: a directory served as one more has no answer key, and
    is there for the time of its demo only."""
    given = [name for name, endpoint in load_source(HOSPITALS).endpoints.items() if endpoint.on_demand]
    found = tasks.verify_hospitals(at.isoformat(), but=given).values()
    unlike = sum(one.expected - one.matching for one in found)
    return none_of("risk_assessments_unlike_scores", unlike, "scores", sum(one.expected for one in found))
