"""How good the whole procedure is: nested cross-validation.

A candidate that was chosen because it did best in its folds looks better there than it is (Varma and Simon, BMC
Bioinformatics 2006). So for each of the outer folds the whole procedure (search, choice, recalibration, fit) is done
anew on the other folds, and judged on the one held out, which had no part in any choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from ml import metrics, models
from ml.models import Setting
from ml.procedure import Search, grouped_folds, learn
from ml.question import Cases, Question


@dataclass(frozen=True)
class Fold:
    """An outer fold: AUROC and log loss of the cases held out, and what was chosen without them."""

    auroc: float
    log_loss: float
    family: str
    setting: Setting
    recalibration: str | None


@dataclass(frozen=True)
class Nested:
    """The procedure's own figures. calibration_error: of the held-out probabilities of all folds together."""

    folds: tuple[Fold, ...]
    calibration_error: float

    @property
    def auroc(self) -> float:
        return float(np.mean([fold.auroc for fold in self.folds]))

    @property
    def standard_error(self) -> float:
        """Of the mean AUROC, from its spread over the folds."""
        return float(np.std([fold.auroc for fold in self.folds], ddof=1) / np.sqrt(len(self.folds)))

    @property
    def families(self) -> Sequence[str]:
        """What each fold chose."""
        return [fold.family for fold in self.folds]


def nested(question: Question, cases: Cases, search: Search, *, seed: int = 0) -> Nested:
    """Nested cross-validation of ``search`` and all that follows it; no person is in two folds, outer or inner."""
    probability = np.empty(len(cases))
    folds = []
    for rows, held_out in grouped_folds(cases, seed=seed):
        learnt = learn(question, cases.take(rows), search, seed=seed)
        found = models.predict(learnt.pipeline, cases.x.iloc[held_out])
        probability[held_out] = found
        folds.append(
            Fold(
                auroc=float(roc_auc_score(cases.y[held_out], found)),
                log_loss=float(log_loss(cases.y[held_out], found, labels=[0, 1])),
                family=learnt.chosen.family,
                setting=learnt.chosen.setting,
                recalibration=learnt.recalibration.method,
            )
        )
    whole = np.ones((1, len(cases)))
    return Nested(tuple(folds), float(metrics.calibration_error(cases.y, probability, whole)[0]))
