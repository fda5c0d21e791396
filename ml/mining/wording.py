"""How people call what is clustered by, and the units of its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CALLED = {
    "age_years": "age",
    "care_need": "need of help in daily life",
    "smokes_daily": "share who smoke daily",
    "pm2_5_ug_m3": "fine particles in the air",
    "no2_ug_m3": "nitrogen dioxide in the air",
    "o3_max_8h_ug_m3": "ozone in the air (highest eight hours of a day)",
    "temperature_mean_cel": "air temperature",
}
"""Columns whose name does not say it."""
UNITS = {
    "pm2_5_ug_m3": "ug/m3",
    "no2_ug_m3": "ug/m3",
    "o3_max_8h_ug_m3": "ug/m3",
    "temperature_mean_cel": "Cel",
}
"""Units (UCUM) of columns that are no variable of ``patients``."""
_PRINTED = {
    "1": "",
    "a": "years",
    "1/a": "a year",
    "d": "days",
    "{score}": "points",
    "kg/m2": "kg/m²",
    "ug/m3": "µg/m³",
    "mm[Hg]": "mmHg",
    "Cel": "°C",
}


def called(columns: Iterable[str], words: Mapping[str, str]) -> dict[str, str]:
    """What people call each column. words: of items, as ``inputs.words`` gives them."""
    return {name: words.get(name) or CALLED.get(name) or _by_name(name) for name in columns}


def printed(columns: Iterable[str], units: Mapping[str, str]) -> dict[str, str]:
    """The unit of each column as people write it, empty for none. units: of variables, UCUM."""
    known = {**UNITS, **units}
    return {name: _PRINTED.get(unit, unit) for name in columns for unit in [known.get(name, "1")]}


def _by_name(name: str) -> str:
    return name.partition("|")[2] or name.replace("_", " ")
