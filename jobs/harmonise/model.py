"""What the rules may say. Frozen, and an unknown word is an error: a typing slip must not pass silently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from jobs.errors import CitywellError

T = TypeVar("T")
FOLDER = Path(__file__).parent
LOINC = "http://loinc.org"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
Words = Annotated[str, StringConstraints(min_length=3)]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Band(_Rule):
    """What values of one age and sex can be, in the analyte's unit.

    ages: from, and below; all ages without. usual: the limits themselves where nothing narrower is said.
    """

    ages: tuple[float, ...] = Field(default=(), max_length=2)
    sex: Literal["female", "male"] | None = None
    low: float
    high: float
    usual: tuple[float, float] | None = None
    source: str = Field(description="short names of sources.yml, by comma")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        low, high = self.usual_range
        if not self.low <= low <= high <= self.high:
            raise ValueError("the order is low, usual low, usual high, high")
        return self

    @property
    def usual_range(self) -> tuple[float, float]:
        return self.usual or (self.low, self.high)

    @property
    def age_range(self) -> tuple[float, float]:
        """From this age, below that; the end of a life is far off."""
        whole = (0.0, 200.0)
        return (
            self.ages[0] if self.ages else whole[0],
            self.ages[1] if len(self.ages) > 1 else whole[1],
        )


class Analyte(_Rule):
    """One concept that is measured; what each word means stands at the head of analytes.yml.

    Without a unit its values are coded, not numbers.
    """

    name: Words
    unit: str | None = None
    loinc: tuple[str, ...]
    aliases: tuple[Name, ...] = ()
    codes: Mapping[str, tuple[str, ...]] = {}
    molar_mass: float | None = Field(default=None, gt=0)
    valence: int | None = Field(default=None, ge=1)
    same_as: tuple[str, ...] = ()
    convert: Mapping[str, tuple[float, float, str]] = {}
    mixed_up: tuple[str, ...] = ()
    decimal: bool = False
    lasts: bool = False
    varies_by: float = Field(default=1000, gt=1)
    growth: Mapping[int, float] = {}
    limits: tuple[Band, ...] = ()

    @model_validator(mode="after")
    def _numbers_have_limits(self) -> Self:
        if (self.unit is None) != (not self.limits):
            raise ValueError("a unit and limits belong together")
        return self

    @property
    def widest(self) -> tuple[float, float]:
        """The limits where neither age nor sex is known."""
        return min(b.low for b in self.limits), max(b.high for b in self.limits)

    @property
    def widest_usual(self) -> tuple[float, float]:
        usual = [b.usual_range for b in self.limits]
        return min(low for low, _ in usual), max(high for _, high in usual)


class Units(_Rule):
    """Units we know: UCUM codes, and print forms in small letters with the code each stands for."""

    ucum: tuple[str, ...]
    written: Mapping[str, str]

    @model_validator(mode="after")
    def _print_forms_are_small(self) -> Self:
        if large := [form for form in self.written if form != form.lower().strip()]:
            raise ValueError(f"not in small letters: {', '.join(large)}")
        return self


class CodeMap(_Rule):
    """Codes of one field that mean the same. concepts: our code, in the words of its key, to codes by system. also:
    other names that senders use for a system."""

    field: Words
    systems: Mapping[str, str] = {}
    also: Mapping[str, tuple[str, ...]] = {}
    concepts: Mapping[Name, Mapping[str, tuple[str, ...]]]


@cache
def analytes() -> Mapping[str, Analyte]:
    """Every concept that is measured, by key. Raises CitywellError where a rule is wrong."""
    found = _read("analytes.yml", lambda data: {key: Analyte.model_validate(a) for key, a in data.items()})
    _check_once("analytes.yml", [code for a in found.values() for code in (*a.loinc, *a.aliases)])
    _check_once(
        "analytes.yml",
        [f"{system}|{code}" for a in found.values() for system, many in a.codes.items() for code in many],
    )
    named = {name for a in found.values() for b in a.limits for name in b.source.split(", ")}
    named |= {source for a in found.values() for _, _, source in a.convert.values()}
    if unknown := sorted(named - sources().keys()):
        raise CitywellError(
            f"sources are cited that are not there: {', '.join(unknown)}",
            where=str(FOLDER / "analytes.yml"),
            do="add them to sources.yml",
        )
    return found


@cache
def sources() -> Mapping[str, str]:
    """Where figures come from, by the short name they are cited with."""
    return _read("sources.yml", lambda data: {str(name): str(text) for name, text in data.items()})


@cache
def units() -> Units:
    """The units we know."""
    return _read("units.yml", Units.model_validate)


@cache
def code_maps() -> Mapping[str, CodeMap]:
    """The maps of codes to one code a concept, by name."""
    found = _read("codes.yml", lambda data: {key: CodeMap.model_validate(m) for key, m in data.items()})
    for name, one in found.items():
        pairs = [
            f"{system}|{code}"
            for codes in one.concepts.values()
            for system, many in codes.items()
            for code in many
        ]
        _check_once(f"codes.yml, {name}", pairs)
    return found


def _read(file: str, made: Callable[[Any], T]) -> T:
    path = FOLDER / file
    try:
        return made(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        problem = (
            "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise CitywellError(f"a rule cannot be read: {problem}", where=str(path), do="correct it") from error


def _check_once(where: str, codes: list[str]) -> None:
    if twice := sorted({code for code in codes if codes.count(code) > 1}):
        raise CitywellError(
            f"codes mean two things: {', '.join(twice)}",
            where=str(FOLDER / where),
            do="keep one meaning of each",
        )
