"""How believable the labels of a training part are, against those that the champion learnt from.

Two signs, both from out-of-fold probabilities, so that no label is judged by a model that has learnt it:

* the share of *doubtful* labels, by confident learning (Northcutt, Jiang and Chuang, J Artif Intell Res 2021, section
  3.1): a case counts for a class when its probability of it is at least the mean of those labelled so, and for the more
  probable of two; doubtful are those that count for the class they are not labelled as;
* how well the classes can be told apart at all (mean AUROC over the folds).

A hard question has doubtful labels too, so neither says anything by itself: what counts is that both have moved since
the champion's training. A world that has changed can be learnt anew, and its labels agree with one another; labels
that were flipped do not. On a made-up question of AUROC 0.76, flipping one label in five took the doubtful from 18 to
42 % and the AUROC to 0.58; of labels as they are, the doubtful were 17 to 22 % in six samples of 1,500 to 6,000 cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_MORE_DOUBTFUL = 0.10
MOST_LESS_TOLD_APART = 0.05
MOST_EVENT_RATIO = 2.0
Z = 1.959964
Z_OF_SHARES = 3.290527
"""The share of events is compared at one in a thousand by chance, since a label that has changed is a grave charge."""


@dataclass(frozen=True)
class LabelState:
    """What is kept of the labels of a training part, for the next training to be compared with.

    event_share: of ``cases``. auroc, standard_error: over the folds. doubtful: share of the cases that count for a
    class.
    """

    cases: int
    event_share: float
    auroc: float
    standard_error: float
    doubtful: float


def state(y: np.ndarray, out_of_fold: np.ndarray, fold_auroc: Sequence[float]) -> LabelState:
    """The state of the labels ``y``. out_of_fold: probability of each case. fold_auroc: of each fold."""
    return LabelState(
        cases=len(y),
        event_share=float(y.mean()),
        auroc=float(np.mean(fold_auroc)),
        standard_error=float(np.std(fold_auroc, ddof=1) / np.sqrt(len(fold_auroc))),
        doubtful=doubtful_share(y, out_of_fold),
    )


def doubtful_share(y: np.ndarray, p: np.ndarray) -> float:
    """Of the cases that count for a class, the share that is labelled otherwise."""
    event_line, other_line = float(p[y == 1].mean()), float((1 - p[y == 0]).mean())
    is_event, is_other = p >= event_line, 1 - p >= other_line
    is_event, is_other = is_event & ~(is_other & (p < 0.5)), is_other & ~(is_event & (p >= 0.5))
    counted = is_event | is_other
    doubtful = (is_event & (y == 0)) | (is_other & (y == 1))
    return float(doubtful.sum() / counted.sum()) if counted.any() else 0.0


def failures(now: LabelState, before: LabelState) -> tuple[str, ...]:
    """What speaks against the labels, in words; empty when nothing does. before: of the champion's training."""
    found = []
    noise = Z * float(np.hypot(now.standard_error, before.standard_error))
    is_less_told_apart = before.auroc - now.auroc - noise > MOST_LESS_TOLD_APART
    if is_less_told_apart and now.doubtful - before.doubtful > MOST_MORE_DOUBTFUL:
        found.append(
            f"Its labels look wrong: a cross-validated model doubts {now.doubtful:.0%} of those it can judge, where it "
            f"doubted {before.doubtful:.0%} of the champion's, and tells events from others by an AUROC of only "
            f"{now.auroc:.3f}, where it was {before.auroc:.3f}. Some may have been flipped or mixed up."
        )
    if _is_far(now, before):
        found.append(
            f"Its labels look wrong: {now.event_share:.1%} of the cases have the event, where "
            f"{before.event_share:.1%} had it at the champion's training."
        )
    return tuple(found)


def _is_far(now: LabelState, before: LabelState) -> bool:
    """Whether the share of events is more than MOST_EVENT_RATIO times the other, beyond noise."""
    pooled = (now.event_share * now.cases + before.event_share * before.cases) / (now.cases + before.cases)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / now.cases + 1 / before.cases))
    low, high = sorted((now.event_share, before.event_share))
    return bool(high > MOST_EVENT_RATIO * low and high - low > Z_OF_SHARES * spread)
