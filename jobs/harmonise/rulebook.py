"""The rules as rows: what dbt joins measurements and codes with, computed once a process.

Flow: analytes.yml and units.yml -> rows of known(), alternatives(), ranges(), concept_codes() -> views of the engine
(:func:`register`), which the models of dbt read as the source ``rules``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from jobs.harmonise.model import FOLDER, LOINC, Analyte, Band, analytes, code_maps
from jobs.harmonise.units import Conversion, conversion, spellings
from jobs.lake import tables

SCHEMA = "rules"
DECIMAL = (0.1, 10.0)
"""How a slipped decimal point changes a value."""
UNKNOWN_AGE = -1.0
_LAST_MONTH = 2400
SEXES = ("female", "male", "unknown")

_Span = tuple[float, float]


@dataclass(frozen=True)
class Code:
    """A code that means a concept of measurement. code_system: empty for none, and for names of our own. is_number: its
    values have a unit; else they are coded.
    """

    code_system: str
    code: str
    concept: str
    is_number: bool


@dataclass(frozen=True)
class Known:
    """One way of sending a concept. form: the unit in small letters. value in ``unit_canonical`` = factor * value as
    sent + addend. range_key: finds the ranges, by age and sex where ``is_banded``.
    """

    concept: str
    form: str
    ucum: str
    unit_canonical: str
    factor: float
    addend: float
    range_key: str
    is_banded: bool


@dataclass(frozen=True)
class Alternative:
    """What a value sent in unit ``ucum`` would be in the concept's unit, were it in ``meant`` instead.

    is_unit: another unit, which can be repaired; else a slipped decimal point, which cannot.
    """

    concept: str
    ucum: str
    meant: str
    factor: float
    addend: float
    is_unit: bool


@dataclass(frozen=True)
class Range:
    """What values can be for people of a sex and an age in [age_from, age_below), in the concept's unit.

    sex: ``any`` where it makes no difference. Outside low and high is no living person, outside usual_low and
    usual_high hardly anybody. From clear_low to clear_high a value is what its unit says, whoever it is from: usual,
    in no unit that gets mixed up possible as well, and not usual by another decimal point. varies_by, lasts: see
    analytes.yml.
    """

    range_key: str
    sex: str
    age_from: float
    age_below: float
    low: float
    high: float
    usual_low: float
    usual_high: float
    clear_low: float
    clear_high: float
    varies_by: float
    lasts: bool


@dataclass(frozen=True)
class Growth:
    """What is typical from one age in months to another, in the concept's unit: linear between the two values."""

    concept: str
    month_from: int
    month_below: int
    typical_from: float
    typical_below: float


@dataclass(frozen=True)
class Meaning:
    """A code of some field and the concept it means."""

    map: str
    code_system: str
    code: str
    concept: str


@dataclass(frozen=True)
class Medication:
    """A medication: our code and its ATC code of the fifth level, the one that holds now."""

    concept: str
    atc_code: str


@dataclass(frozen=True)
class Ranged:
    """A band of ages as limits and usual range."""

    limits: _Span
    usual: _Span


@cache
def concept_codes() -> tuple[Code, ...]:
    """LOINC's codes with and without their system, codes of further systems, and the names other systems of the city
    use."""
    rows = []
    for concept, analyte in analytes().items():
        is_number = analyte.unit is not None
        rows += [Code(LOINC, code, concept, is_number) for code in analyte.loinc]
        rows += [
            Code(system, code, concept, is_number) for system, many in analyte.codes.items() for code in many
        ]
        rows += [Code("", code, concept, is_number) for code in (*analyte.loinc, *analyte.aliases)]
    return tuple(rows)


@cache
def known() -> tuple[Known, ...]:
    """Every unit each concept can be sent in, in every spelling."""
    rows = []
    for concept, analyte in analytes().items():
        if analyte.unit is None:
            continue
        for form, ucum in spellings().items():
            way = conversion(ucum, concept)
            if way is not None:
                key = f"{concept} {ucum}" if _is_mixed_up(analyte) else concept
                is_banded = len(analyte.limits) > 1
                rows.append(Known(concept, form, ucum, analyte.unit, way.factor, way.offset, key, is_banded))
    return tuple(rows)


@cache
def alternatives() -> tuple[Alternative, ...]:
    """For each unit of a concept, what the number would mean in those that get mixed up with it."""
    ways = {(way.concept, way.ucum): Conversion(way.factor, way.addend) for way in known()}
    return tuple(row for (concept, ucum), way in ways.items() for row in _alternatives(concept, ucum, way))


@cache
def ranges() -> tuple[Range, ...]:
    """Ranges for every range_key, sex and age."""
    ways = {way.range_key: way for way in known()}
    others: dict[tuple[str, str], list[Alternative]] = {}
    for other in alternatives():
        others.setdefault((other.concept, other.ucum), []).append(other)
    rows = []
    for key, way in ways.items():
        analyte = analytes()[way.concept]
        mixed = others.get((way.concept, way.ucum), []) if _is_mixed_up(analyte) else []
        for sex, (age_from, age_below), found in _bands(analyte):
            clear = _clear(found, way, mixed)
            spans = (*found.limits, *found.usual, *clear)
            rows.append(Range(key, sex, age_from, age_below, *spans, analyte.varies_by, analyte.lasts))
    return tuple(rows)


@dataclass(frozen=True)
class Bound:
    """Numbers that may be a living person's, sent under a code in the concept's own unit."""

    code: str
    unit: str
    low: float
    high: float


@cache
def bounds() -> tuple[Bound, ...]:
    """What a number can be whoever it is from; the row rules reject what lies outside (jobs/lake/rules.py).

    Not of concepts whose units get mixed up: a number that is impossible in one unit may be right in another. Computes
    no conversion, which would cost every load the second it takes to read UCUM.
    """
    return tuple(
        Bound(code, analyte.unit, *_merged(analyte.limits).limits)
        for analyte in analytes().values()
        if analyte.unit is not None and not analyte.mixed_up
        for code in analyte.loinc
    )


@cache
def growths() -> tuple[Growth, ...]:
    """How children grow; at the last age given, people have grown up."""
    rows = []
    for concept, analyte in analytes().items():
        steps = sorted(analyte.growth.items())
        if steps:
            steps.append((_LAST_MONTH, steps[-1][1]))
        rows += [
            Growth(concept, month, later, float(typical), float(then))
            for (month, typical), (later, then) in pairwise(steps)
        ]
    return tuple(rows)


@cache
def meanings() -> tuple[Meaning, ...]:
    """Every code of the code maps, under each name of its system."""
    return tuple(
        Meaning(name, known_as, code, concept)
        for name, one in code_maps().items()
        for concept, by_system in one.concepts.items()
        for system, codes in by_system.items()
        for known_as in (one.systems.get(system, ""), *one.also.get(system, ()))
        for code in codes
    )


@cache
def medications() -> tuple[Medication, ...]:
    """Every medication of the code maps."""
    concepts = code_maps()["medication"].concepts
    return tuple(Medication(concept, by_system["atc"][0]) for concept, by_system in concepts.items())


def register(spark: SparkSession, lake: Path) -> list[str]:
    """Make the rules readable as views of the schema ``rules``; their names.

    Rules that this lake has not seen before are added to its tables ``rules.*``, which keep all there ever were.
    """
    spark.sql(f"create schema if not exists {SCHEMA}").collect()
    edition = _edition()
    views = []
    for name, of_rule in _BOOK.items():
        stored, rows = f"{SCHEMA}.{name}_editions", of_rule()
        frame = spark.createDataFrame(pa.Table.from_pylist([asdict(row) for row in rows]))
        tables.append_batch(spark, stored, frame, edition, lake=lake)
        columns = ", ".join(field.name for field in fields(rows[0]))
        place = str(tables.path_of(stored, lake)).replace("\\", "\\\\").replace("'", "\\'")
        spark.sql(f"create table if not exists {stored} using delta location '{place}'").collect()
        spark.sql(
            f"create or replace view {SCHEMA}.{name} as "  # noqa: S608
            f"select {columns} from {stored} where batch_id = '{edition}'"
        ).collect()
        views.append(f"{SCHEMA}.{name}")
    return views


@cache
def _edition() -> str:
    """Names the rules by what their files say."""
    digest = hashlib.sha256()
    for file in sorted(FOLDER.glob("*.[py]*")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"rules-{digest.hexdigest()[:16]}"


def _alternatives(concept: str, ucum: str, way: Conversion) -> Iterator[Alternative]:
    analyte = analytes()[concept]
    seen = {way}
    for meant in analyte.mixed_up:
        other = conversion(meant, concept)
        assert other is not None, f"{concept} cannot be in {meant}"
        if other not in seen:
            seen.add(other)
            yield Alternative(concept, ucum, meant, other.factor, other.offset, True)
    if analyte.decimal:
        for shift in DECIMAL:
            moved = Conversion(way.factor * shift, way.offset)
            if moved not in seen:
                yield Alternative(concept, ucum, "decimal point", moved.factor, moved.offset, False)


def _is_mixed_up(analyte: Analyte) -> bool:
    return bool(analyte.mixed_up) or analyte.decimal


def _bands(analyte: Analyte) -> Iterator[tuple[str, _Span, Ranged]]:
    """Sex, ages and ranges, without overlap; the first band that fits counts. An unknown sex or age fits all."""
    if len(analyte.limits) == 1:
        yield "any", (UNKNOWN_AGE, 200.0), _merged(analyte.limits)
        return
    edges = sorted({edge for band in analyte.limits for edge in band.age_range})
    for sex in SEXES:
        for ages in pairwise(edges):
            of_age = [b for b in analyte.limits if b.age_range[0] <= ages[0] and ages[1] <= b.age_range[1]]
            fitting = of_age if sex == "unknown" else [b for b in of_age if b.sex in (None, sex)][:1]
            yield sex, ages, _merged(fitting)
        yield (
            sex,
            (UNKNOWN_AGE, 0.0),
            _merged([b for b in analyte.limits if sex == "unknown" or b.sex in (None, sex)]),
        )


def _merged(bands: Sequence[Band]) -> Ranged:
    """The narrowest ranges that hold those of all bands."""
    usual = [band.usual_range for band in bands]
    return Ranged(
        (min(band.low for band in bands), max(band.high for band in bands)),
        (min(low for low, _ in usual), max(high for _, high in usual)),
    )


def _clear(found: Ranged, way: Known, mixed: Iterable[Alternative]) -> _Span:
    """The widest span of usual values that no other unit explains as possible, and no slipped decimal point as usual;
    all values within limits without an alternative.

    A value x as sent in ``way`` would be (x - way.addend) / way.factor * other.factor + other.addend.
    """
    mixed = list(mixed)
    if not mixed:
        return found.limits
    spans = [found.usual]
    for other in mixed:
        ratio = way.factor / other.factor
        low, high = (
            (edge - other.addend) * ratio + way.addend
            for edge in (found.limits if other.is_unit else found.usual)
        )
        cut = []
        for span in spans:
            cut += [(span[0], min(span[1], low)), (max(span[0], high), span[1])]
        spans = [span for span in cut if span[0] < span[1]]
    return max(spans, key=lambda span: span[1] - span[0], default=(1.0, 0.0))


_BOOK: dict[str, Callable[[], Sequence[Any]]] = {
    "measured_code": concept_codes,
    "unit": known,
    "alternative": alternatives,
    "value_range": ranges,
    "growth": growths,
    "code_meaning": meanings,
    "medication": medications,
}
