"""Units of measure: what was written to UCUM, and how values are converted into a concept's own unit.

UCUM is parsed by ucumvert and computed by pint. Arbitrary units ([IU], [pH], INR …) convert only to multiples of
themselves, a mass to an amount of substance by the analyte's molar mass, and an amount to equivalents by its valence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from jobs.harmonise.model import Analyte, units

_ANNOTATION = re.compile(r"/?\{[^}]*\}(?!/)|\{[^}]*\}")
_ARBITRARY = re.compile(r"\[(?:IU|iU|arb'U|USP'U|pH|HPF|LPF|p'diop|cfu|pfu)\]")
_EQUIVALENT = re.compile(r"(^|[/.])[mun]?eq(/|$)")
_MEANINGFUL = ("{INR}", "{DDU}")
_DIGITS = 15


@dataclass(frozen=True)
class Conversion:
    """value in the concept's unit = factor * value as sent + offset."""

    factor: float
    offset: float = 0.0

    def __call__(self, value: float) -> float:
        return self.factor * value + self.offset


@lru_cache(maxsize=4096)
def ucum(written: str | None) -> str | None:
    """The UCUM code of a unit as written, in any case; None for one we do not know, the empty text for none."""
    text = (written or "").strip()
    if text in _by_letters().values():
        return text
    return _by_letters().get(text.lower())


@cache
def spellings() -> dict[str, str]:
    """Every form that is understood, in small letters, and the UCUM code it stands for."""
    return dict(_by_letters())


@cache
def _by_letters() -> dict[str, str]:
    known = units()
    return {**{code.lower(): code for code in known.ucum}, **known.written, "": ""}


@lru_cache(maxsize=65536)
def conversion(unit: str, analyte_key: str) -> Conversion | None:
    """How a value in ``unit`` (UCUM) becomes one in the analyte's unit; None where it cannot."""
    from jobs.harmonise.model import analytes

    analyte = analytes()[analyte_key]
    if analyte.unit is None:
        return None
    if _is_bare(analyte.unit) or not unit:
        return Conversion(1.0) if _is_bare(analyte.unit) and _is_bare(unit) else None
    if unit in analyte.convert:
        factor, offset, _ = analyte.convert[unit]
        return Conversion(factor, offset)
    if unit == analyte.unit or unit in analyte.same_as:
        return Conversion(_scale(unit, analyte.unit))
    if _arbitrary(unit) != _arbitrary(analyte.unit):
        return None
    return _computed(unit, analyte)


def _scale(unit: str, canonical: str) -> float:
    """The factor between units taken as the same: ng/mL and ug/L, IU/L and U/L (1 where UCUM sees no relation)."""
    if unit == canonical or _arbitrary(unit) != _arbitrary(canonical):
        return 1.0
    source, target = _parsed(unit), _parsed(canonical)
    return _factor(source, target) if source.dimensionality == target.dimensionality else 1.0


def _computed(unit: str, analyte: Analyte) -> Conversion | None:
    assert analyte.unit is not None
    source, target = _parsed(unit), _parsed(analyte.unit)
    per_charge = 1.0
    if _EQUIVALENT.search(unit):
        if analyte.valence is None:
            return None
        per_charge = 1 / analyte.valence
    if source.dimensionality == target.dimensionality:
        if _is_offset(unit) or _is_offset(analyte.unit):
            zero, one = (_temperature(v, unit, analyte.unit) for v in (0.0, 1.0))
            return Conversion(_rounded(one - zero), _rounded(zero))
        return Conversion(_rounded(_factor(source, target) * per_charge))
    if analyte.molar_mass is None or _is_offset(unit):
        return None
    registry = _registry()
    mole = registry.Quantity(analyte.molar_mass, "g/mol")
    for through in (source * mole, source / mole):
        if through.dimensionality == target.dimensionality:
            return Conversion(_rounded(_factor(through, target) * per_charge))
    return None


def _arbitrary(unit: str) -> tuple[str, ...]:
    """The atoms of a unit that no other unit can stand for, sorted."""
    kept = [word for word in _MEANINGFUL if word in unit]
    return tuple(sorted([*kept, *(atom.upper() for atom in _ARBITRARY.findall(unit))]))


@lru_cache(maxsize=4096)
def _parsed(unit: str) -> Any:
    """A pint quantity of one such unit; annotations and what pint does not know count as numbers."""
    plain = _ANNOTATION.sub("", unit)
    plain = plain.replace("[pH]", "1").replace("[HPF]", "1") or "1"
    return _registry().Quantity(1, _registry().from_ucum(plain))


def _is_bare(unit: str) -> bool:
    """A score, a count, a ratio by name or an acidity: a number whose unit says nothing, and may be left out."""
    return unit in ("", "1", "[pH]") or bool(_ANNOTATION.fullmatch(unit))


def _is_offset(unit: str) -> bool:
    return unit in ("Cel", "[degF]")


def _temperature(value: float, unit: str, canonical: str) -> float:
    registry = _registry()
    source, target = (registry.from_ucum(text).units for text in (unit, canonical))
    return float(registry.Quantity(value, source).to(target).magnitude)


def _factor(source: Any, target: Any) -> float:
    return float((source / target).to_base_units().magnitude)


def _rounded(number: float) -> float:
    """Without the dust of binary arithmetic."""
    return float(f"{number:.{_DIGITS}g}") if abs(number) > 1e-12 else 0.0


@cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()
