"""Which ward of a hospital a stay or visit is on: indices into ``vocabulary.WARDS``."""

from __future__ import annotations

import numpy as np

from infra.city.ids import hashed
from infra.city.vocabulary import AMB, EMER

OUTPATIENTS_WARD, EMERGENCY_WARD, INPATIENT_WARDS = 5, 0, (1, 2, 3, 4)


def inpatient_wards(seed: int, ordinals: np.ndarray) -> np.ndarray:
    """Index into WARDS of where each inpatient encounter lies."""
    place = hashed(seed, 12, ordinals) % np.uint64(len(INPATIENT_WARDS))
    return np.array(INPATIENT_WARDS)[place.astype(np.int64)]


def wards_of(seed: int, class_: np.ndarray, ordinals: np.ndarray) -> np.ndarray:
    """Index into WARDS of where each encounter takes place."""
    inpatient = inpatient_wards(seed, ordinals)
    return np.where(class_ == AMB, OUTPATIENTS_WARD, np.where(class_ == EMER, EMERGENCY_WARD, inpatient))
