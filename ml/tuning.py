"""A search for better settings under a stated budget, by a tree-structured Parzen estimator (Optuna's TPE; Bergstra et
al., NeurIPS 2011) over families and their declared search spaces.

Flow: the declared settings of every family are tried first, so that with time enough for them tuning does not end
below an untuned comparison ->
TPE proposes a family and a setting, judged by the log loss of its out-of-fold probabilities (grouped folds of the
training part, no test case anywhere) -> ... until the time or the trials are used up. The candidates then go the way of
all candidates: the simplest within one standard error of the best is chosen, recalibrated, fitted, tested once.

Half of the time is for the search, a tenth for each outer fold of the nested cross-validation that says how good such
a search is. A search that has begun a trial ends it: the last of each may run over. Nothing is kept but in memory: a
``Tuning`` that is searched again goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import Trial

from ml import metrics, models, training
from ml.models import Setting
from ml.procedure import FOLD_COUNT, Candidate, Folds, cross_validate, declared
from ml.question import Cases, Question
from ml.training import Refusal, Trained

SEARCH_SHARE = 0.5
"""Of the time; what is left is for the outer folds, in equal parts."""


@dataclass(frozen=True)
class Budget:
    """What a tuning may cost. minutes: in all. trials: the most that each of its searches makes, the declared settings
    among them."""

    minutes: float
    trials: int


@dataclass
class Tuning:
    """A search on one training part: call it to go on with it. candidates: one per trial, in their order."""

    question: Question
    families: Sequence[str]
    seconds: float
    trials: int
    seed: int = 0
    study: optuna.Study = field(init=False)
    candidates: list[Candidate] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(sampler=TPESampler(seed=self.seed))
        for name, setting in declared(self.families):
            self.study.enqueue_trial(_named(name, setting))

    def __call__(self, training_part: Cases, folds: Folds) -> list[Candidate]:
        """Trials until the time is used up or there are as many as may be; all candidates so far."""

        def objective(trial: Trial) -> float:
            name, setting = _proposed(trial, self.families)
            found = cross_validate(self.question, training_part, folds, name, setting, self.seed)
            self.candidates.append(found)
            return found.log_loss

        until = time.monotonic() + self.seconds
        while len(self.candidates) < self.trials and (not self.candidates or time.monotonic() < until):
            self.study.optimize(objective, n_trials=1)
        return list(self.candidates)


def tune(
    question: Question,
    cases: Cases,
    families: Sequence[str],
    budget: Budget,
    *,
    seed: int = 0,
    replicates: int = metrics.REPLICATES,
) -> Trained | Refusal:
    """As ``training.train``, with the candidates of a search under ``budget`` and its nested cross-validation."""
    seconds = 60 * budget.minutes

    def outer(training_part: Cases, folds: Folds) -> list[Candidate]:
        share = (1 - SEARCH_SHARE) / FOLD_COUNT
        return Tuning(question, families, share * seconds, budget.trials, seed)(training_part, folds)

    search = Tuning(question, families, SEARCH_SHARE * seconds, budget.trials, seed)
    return training.train_by(question, cases, search, outer_search=outer, seed=seed, replicates=replicates)


def _named(name: str, setting: Setting) -> dict[str, Any]:
    return {"family": name, **{f"{name}.{key}": value for key, value in setting.items()}}


def _proposed(trial: Trial, families: Sequence[str]) -> tuple[str, Setting]:
    """A family, and a value of each parameter of its space."""
    name = trial.suggest_categorical("family", list(families))
    setting: dict[str, Any] = {}
    for key, bounds in models.family(name).space.items():
        parameter = f"{name}.{key}"
        if bounds.is_whole:
            setting[key] = trial.suggest_int(parameter, int(bounds.low), int(bounds.high), log=bounds.is_log)
        else:
            setting[key] = trial.suggest_float(parameter, bounds.low, bounds.high, log=bounds.is_log)
    return name, setting
