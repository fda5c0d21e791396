"""Figures for ``make bench``: the training code on real records, diabetes-130, in five folds grouped by person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml import diabetes130, models
from ml.training import Candidate, compare

LEAST_AUROC = 0.67
LEAST_AUROC_OF_ANY = 0.60
MOST_CALIBRATION_ERROR = 0.02


@dataclass(frozen=True)
class Row:
    """One figure: ``name value unit [peer ratio] target pass|short``. ratio: of the value to its peer's."""

    name: str
    value: float
    unit: str
    target: str
    is_met: bool
    peer: str = ""
    ratio: float | None = None

    def __str__(self) -> str:
        peer = f"{self.peer} {self.ratio:.3f} " if self.ratio is not None else ""
        return f"{self.name} {self.value:.4g} {self.unit} {peer}{self.target} {'pass' if self.is_met else 'short'}"


def rows(directory: Path | None = None, families: Sequence[str] = tuple(models.FAMILIES)) -> Iterator[Row]:
    """Each family's mean AUROC (logistic regression is the peer), calibration error and seconds, then the best.

    directory: of the data set; see :func:`ml.diabetes130.load`. Raises CitywellError when it is not there.
    """
    question, cases = diabetes130.QUESTION, diabetes130.load(directory)
    found: list[Candidate] = []
    for name in families:
        found += compare(question, cases, [name], first_settings_only=True)
        yield from _family(found[-1], found[0])
    best = max(found, key=lambda candidate: candidate.auroc)
    yield Row("diabetes130_auroc", best.auroc, "AUROC", f">={LEAST_AUROC}", best.auroc >= LEAST_AUROC)


def _family(candidate: Candidate, peer: Candidate) -> Iterator[Row]:
    name, auroc, error = candidate.family, candidate.auroc, candidate.calibration_error
    yield Row(
        f"diabetes130_{name}_auroc",
        auroc,
        "AUROC",
        f">={LEAST_AUROC_OF_ANY}",
        auroc >= LEAST_AUROC_OF_ANY,
        f"{peer.family}={peer.auroc:.4f}",
        auroc / peer.auroc,
    )
    yield Row(
        f"diabetes130_{name}_calibration_error",
        error,
        "share",
        f"<={MOST_CALIBRATION_ERROR}",
        error <= MOST_CALIBRATION_ERROR,
    )
    yield Row(f"diabetes130_{name}_seconds", candidate.seconds, "s", "<=600", candidate.seconds <= 600)
