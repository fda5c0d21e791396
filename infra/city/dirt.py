"""Planted dirt: what goes wrong in real feeds, at low rates, each case written into the answer key.

Three ways to be dirty. *Fates* are what later happens to a record that was right: it is changed, withdrawn as
entered in error, deleted (and sometimes comes back), or reaches the export late. *Slips* are wrong values in
good records: units. *Line dirt* spoils the text: corrupt lines, unknown code systems, dangling references,
values of the wrong type. Inpatient encounters and patients are spared what would destroy them, so that the
labels in the data stay the drawn ones; instead spurious stays are planted that must not count."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from infra.city.admissions import HOUR_MS
from infra.city.population import DAY_MS, NEVER
from infra.city.simulation import Columns
from infra.city.vocabulary import EMD, EMERGENCY, HOME, IMP, MEASURE_INDEX, MEASURES

FATE_RATES = {"changed": 0.010, "entered_in_error": 0.002, "deleted": 0.002, "revived": 0.0004, "late": 0.003}
UNIT_SLIP_RATE = 0.004
DECIMAL_SLIP_RATE = 0.001
CORRUPT_RATE = 0.0008
ODDITY_RATE = 0.0008
DUPLICATE_RATE = 0.001
TWIN_RATE = 0.0003
OLDER_VERSION_SHARE = 0.15
SPURIOUS_STAY_RATE = 0.01
CORRUPT_KINDS = (
    "truncated",
    "invalid_utf8",
    "duplicate_key",
    "nan",
    "trailing_text",
    "single_quotes",
    "huge_number",
    "nul",
)
ODDITY_KINDS = ("unknown_system", "dangling_reference", "wrong_value_type", "wrong_resource_type", "bad_date")
SPURIOUS_KINDS = ("entered-in-error", "cancelled", "planned", "deleted")


@dataclass(frozen=True)
class Slip:
    """A value that keeps the unit it should have had but is in another one, or whose decimal point has moved: served =
    factor * true + offset. decimals: digits after the point, where they are not those of the measure."""

    measure: str
    factor: float
    offset: float
    true_unit: str
    is_unit: bool = True
    decimals: int | None = None

    @property
    def kind(self) -> str:
        if self.is_unit:
            return f"{self.measure} in {self.true_unit}"
        return f"{self.measure} with a moved decimal point"

    def true_of(self, served: float) -> float:
        """What a served number stands for."""
        return (served - self.offset) / self.factor


SLIPS = (
    Slip("glucose", 1 / 18.016, 0.0, "mmol/L", decimals=1),
    Slip("temperature", 1.8, 32.0, "[degF]"),
    Slip("weight", 2.2046226, 0.0, "[lb_av]"),
    Slip("haemoglobin", 10.0, 0.0, "g/L"),
    Slip("creatinine", 88.42, 0.0, "umol/L"),
    Slip("height", 1 / 2.54, 0.0, "[in_i]"),
    Slip("cholesterol", 1 / 38.67, 0.0, "mmol/L", decimals=2),
    Slip("hdl", 1 / 38.67, 0.0, "mmol/L", decimals=2),
    Slip("weight", 10.0, 0.0, "kg", is_unit=False),
    Slip("weight", 0.1, 0.0, "kg", is_unit=False, decimals=2),
    Slip("temperature", 0.1, 0.0, "Cel", is_unit=False, decimals=2),
    Slip("sodium", 10.0, 0.0, "mmol/L", is_unit=False),
)
OWN_VALUES = 3
OWN_MARGIN = 1.5
"""A slip of the unit can be put right when the person has so many other values of the measure at that hospital, and the
number served is so many times beyond all of them: nothing of theirs looks like it."""


def pick(rng: np.random.Generator, rows: np.ndarray, rate: float, least: int = 0) -> np.ndarray:
    """A random subset of rows at that rate, but at least so many (or all there are)."""
    wanted = min(len(rows), max(least, int(rng.binomial(len(rows), min(rate, 1.0)))))
    return np.sort(rng.choice(rows, wanted, replace=False)) if wanted else rows[:0]


@dataclass
class Fates:
    """What happens to each record of a table; times in ms, NEVER where it does not.

    changed: a second version appears. is_error: that version says entered-in-error. deleted, revived,
    delivered (when an export first has it). keeps_older: the version before stays in the feed."""

    changed: np.ndarray
    is_error: np.ndarray
    deleted: np.ndarray
    revived: np.ndarray
    delivered: np.ndarray
    keeps_older: np.ndarray

    def without(self) -> np.ndarray:
        """Row numbers of the records whose first version stays the only one."""
        return np.flatnonzero((self.changed == NEVER) & (self.deleted == NEVER))


def fates(
    rng: np.random.Generator, recorded: np.ndarray, eligible: np.ndarray, factor: float, least: int
) -> Fates:
    """Draw fates; a record has at most one. ``eligible`` are row numbers, ``least`` how many of each kind at
    least."""
    rows = len(recorded)
    f = Fates(
        changed=np.full(rows, NEVER),
        is_error=np.zeros(rows, dtype=bool),
        deleted=np.full(rows, NEVER),
        revived=np.full(rows, NEVER),
        delivered=recorded.copy(),
        keeps_older=np.zeros(rows, dtype=bool),
    )
    left = eligible
    for kind, rate in FATE_RATES.items():
        chosen = pick(rng, left, rate * factor, least if factor else 0)
        left = np.setdiff1d(left, chosen, assume_unique=True)
        later = recorded[chosen] + (rng.uniform(0.05, 6.0, len(chosen)) * DAY_MS).astype(np.int64)
        if kind == "late":
            f.delivered[chosen] = later + DAY_MS
        elif kind in ("deleted", "revived"):
            f.deleted[chosen] = later
            if kind == "revived":
                f.revived[chosen] = later + (rng.uniform(0.5, 4.0, len(chosen)) * DAY_MS).astype(np.int64)
        else:
            f.changed[chosen] = later
            f.is_error[chosen] = kind == "entered_in_error"
            f.keeps_older[pick(rng, chosen, OLDER_VERSION_SHARE, 1 if least else 0)] = True
    return f


def promise_tomorrow(rng: np.random.Generator, f: Fates, recent: np.ndarray, now_ms: int) -> None:
    """Of the recent records without a fate, have one changed, one deleted and one delivered in the coming
    day."""
    free = recent[(f.changed[recent] == NEVER) & (f.deleted[recent] == NEVER)]
    for kind, row in zip(("change", "delete", "deliver"), pick(rng, free, 0.0, 3).tolist(), strict=False):
        at = now_ms + int(rng.integers(HOUR_MS, 23 * HOUR_MS))
        if kind == "deliver":
            f.delivered[row] = at
        elif f.delivered[row] <= now_ms:
            (f.changed if kind == "change" else f.deleted)[row] = at


@dataclass(frozen=True)
class Slipped:
    """A planted slip. true: the value before; is_recoverable: see OWN_VALUES."""

    row: int
    slip: Slip
    true: float
    is_recoverable: bool


def unit_slips(rng: np.random.Generator, table: Columns, factor: float, least: int) -> list[Slipped]:
    """Change ``table["value"]`` and ``table["decimals"]`` in place; what was planted, a row at most once."""
    true = table["value"].copy()
    is_slipped = np.zeros(len(true), dtype=bool)
    chosen: list[tuple[int, Slip]] = []
    for slip in SLIPS:
        rows = np.flatnonzero((table["measure"] == MEASURE_INDEX[slip.measure]) & ~is_slipped)
        rate = UNIT_SLIP_RATE if slip.is_unit else DECIMAL_SLIP_RATE
        for row in pick(rng, rows, rate * factor, least if factor else 0).tolist():
            is_slipped[row] = True
            table["value"][row] = true[row] * slip.factor + slip.offset
            if slip.decimals is not None:
                table["decimals"][row] = slip.decimals
            chosen.append((row, slip))
    alike = _Alike(table, true, is_slipped)
    return [
        Slipped(
            row, slip, float(true[row]), slip.is_unit and alike.stands_out(row, float(table["value"][row]))
        )
        for row, slip in chosen
    ]


class _Alike:
    """The values of a table that have not slipped, by person and measure."""

    def __init__(self, table: Columns, true: np.ndarray, is_slipped: np.ndarray) -> None:
        self._of = table["person"].astype(np.int64) * len(MEASURES) + table["measure"]
        sound = np.flatnonzero(~is_slipped)
        order = sound[np.argsort(self._of[sound], kind="stable")]
        self._sorted, self._values = self._of[order], true[order]

    def stands_out(self, row: int, served: float) -> bool:
        """Whether a served number is far from everything else that was measured of the same person."""
        first, last = np.searchsorted(self._sorted, [self._of[row], self._of[row] + 1])
        own = self._values[first:last]
        return len(own) >= OWN_VALUES and bool(
            served > OWN_MARGIN * own.max() or served * OWN_MARGIN < own.min()
        )


def spurious_stays(
    rng: np.random.Generator, stays: Columns, factor: float, least: int
) -> tuple[Columns, np.ndarray]:
    """Inpatient encounters that never were, in the 30 days after a discharge whose person did not come back.

    Returns encounter columns (see ``simulation``) and each row's kind (one of SPURIOUS_KINDS). All are
    withdrawn, deleted or never come true before the 30 days are over."""
    quiet = np.flatnonzero(~stays["readmitted"])
    chosen = pick(rng, quiet, SPURIOUS_STAY_RATE * factor, least * len(SPURIOUS_KINDS) if factor else 0)
    start = stays["discharged"][chosen] + (rng.uniform(3, 18, len(chosen)) * DAY_MS).astype(np.int64)
    rows = len(chosen)
    columns: Columns = {
        "person": stays["person"][chosen],
        "hospital": stays["hospital"][chosen],
        "class_": np.full(rows, IMP, dtype=np.int8),
        "start": start,
        "end": start + rng.integers(20, 60, rows) * HOUR_MS,
        "priority": np.full(rows, EMERGENCY, dtype=np.int8),
        "reason": rng.integers(0, 8, rows).astype(np.int16),
        "admit_source": np.full(rows, EMD, dtype=np.int8),
        "disposition": np.full(rows, HOME, dtype=np.int8),
        "stay": np.full(rows, -1),
        "haemoglobin": np.full(rows, np.nan),
        "sodium": np.full(rows, np.nan),
        "creatinine": np.full(rows, np.nan),
    }
    return columns, np.array(SPURIOUS_KINDS, dtype=object)[np.arange(rows) % len(SPURIOUS_KINDS)]


def corrupt(line: bytes, kind: str) -> bytes:
    """One line of JSON, spoiled. It stays one line: no LF is added."""
    if kind == "truncated":
        return line[: len(line) * 3 // 5]
    if kind == "invalid_utf8":
        return b'{"language":"\xff\xfe\x80",' + line[1:]
    if kind == "duplicate_key":
        return line[:-1] + b',"resourceType":"Basic"}'
    if kind == "nan":
        return line[:-1] + b',"extension":[{"url":"https://city.example/x","valueDecimal":NaN}]}'
    if kind == "trailing_text":
        return line + b" # corrected by hand"
    if kind == "single_quotes":
        return line.replace(b'"', b"'")
    if kind == "huge_number":
        return line[:-1] + b',"extension":[{"url":"https://city.example/x","valueDecimal":1e400}]}'
    if kind == "nul":
        return line[: len(line) // 2] + b"\x00" + line[len(line) // 2 :]
    raise ValueError(f"unknown kind of corruption {kind!r}")


def twin(line: bytes) -> bytes:
    """The same observation, id and lastUpdated, with other content: two versions that claim one instant."""
    return line.replace(b'"status":"final"', b'"status":"corrected"', 1)


_SYSTEM = re.compile(rb'"code":\{"coding":\[\{"system":"[^"]+"')
_ENCOUNTER = re.compile(rb'"encounter":\{"reference":"Encounter/[^"]+"')
_STATUS = re.compile(rb'"status":"((?!generated)[a-z-]+)",')
_NUMBER = re.compile(rb'"valueQuantity":\{"value":([0-9.]+)')
_TYPE = re.compile(rb'^\{"resourceType":"[A-Za-z]+"')
_DATE = re.compile(rb'"(effectiveDateTime|authoredOn|recordedDate|occurrenceDateTime)":"[^"]+"')


def make_odd(line: bytes, kind: str) -> bytes | None:
    """A line that is sound JSON but not sound FHIR, or not what it should point to; None where the kind does
    not apply."""
    if kind == "unknown_system":
        return _replaced(_SYSTEM, b'"code":{"coding":[{"system":"urn:oid:1.3.6.1.4.1.99999.7"', line)
    if kind == "dangling_reference":
        return _replaced(_ENCOUNTER, b'"encounter":{"reference":"Encounter/gone-0000000000"', line)
    if kind == "wrong_value_type":
        as_text = _replaced(_NUMBER, rb'"valueQuantity":{"value":"about \1"', line)
        return as_text or _replaced(_STATUS, rb'"status":["\1"],', line)
    if kind == "wrong_resource_type":
        return _replaced(_TYPE, b'{"resourceType":"Basic"', line)
    if kind == "bad_date":
        return _replaced(_DATE, rb'"\1":"31/12/2025 noon"', line)
    raise ValueError(f"unknown kind of oddity {kind!r}")


def _replaced(pattern: re.Pattern[bytes], by: bytes, line: bytes) -> bytes | None:
    changed, count = pattern.subn(by, line, count=1)
    return changed if count else None
