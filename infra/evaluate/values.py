"""Values planted in another unit than their label's, or with a moved decimal point; and those that were right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from pyspark.sql import Row, SparkSession

from infra.evaluate.figures import (
    HOSPITALS,
    Line,
    Seen,
    all_of,
    keys,
    listed,
    none_of,
    seen_until,
    share,
    visible,
)
from jobs.harmonise.units import conversion, ucum
from ml.answer_key import pseudonymisers

MOST_GOOD_HELD_BACK = 0.003
"""Most of them are a heavy person's only weight, which may be in pounds: the heavier a city's people, the more."""


@dataclass(frozen=True)
class _Fact:
    """A planted slip that is a fact of its source, with what gold says of it; None where it is held back."""

    true: float
    tolerance: float
    is_recoverable: bool
    published: float | None

    @property
    def is_right(self) -> bool:
        return self.published is not None and abs(self.published - self.true) <= self.tolerance


def figures(spark: SparkSession, key: Path, seen: Seen) -> Iterator[Line]:
    planted = _newest(key, seen)
    slips = _slips(spark, planted)
    wrong = sum(slip.published is not None and not slip.is_right for slip in slips)
    recoverable = [slip for slip in slips if slip.is_recoverable]
    served = servable(key, seen, planted)
    yield none_of("unit_slips_missing", _missing(spark, served), "values", len(served))
    yield none_of("unit_slips_published_wrong", wrong, "values", len(slips))
    yield all_of("unit_slips_recovered", sum(slip.is_right for slip in recoverable), len(recoverable))
    readings = _slipped_readings(spark, key)
    if readings:
        wrong = sum(slip.published is not None and not slip.is_right for slip in readings.values())
        yield none_of("home_unit_slips_published_wrong", wrong, "values", len(readings))
    yield from _good_values(spark, [*planted, *readings])


def _newest(key: Path, seen: Seen) -> dict[str, dict[str, Any]]:
    """The newest version of each slip that an export we loaded could have had, by its observation's key."""
    newest: dict[str, dict[str, Any]] = {}
    planted = visible(key / "unit_slips.parquet", seen)
    for name, row in zip(keys(planted, "Observation"), planted.to_pylist(), strict=True):
        if name not in newest or newest[name]["visible_at"] < row["visible_at"]:
            newest[name] = row
    return newest


def servable(key: Path, seen: Seen, planted: Iterable[str]) -> set[str]:
    """The planted slips, by key, that the lake can have: others were spoilt, served as another type, or deleted, maybe
    before we came."""
    odd = visible(key / "oddities.parquet", seen)
    lost = [visible(key / f"{table}.parquet", seen) for table in ("corrupt_lines", "deleted")]
    lost.append(odd.filter(pc.equal(odd["kind"], "wrong_resource_type")))
    return set(planted) - {name for table in lost for name in keys(table, "Observation")}


def _missing(spark: SparkSession, served: Iterable[str]) -> int:
    """How many were never received: neither a fact, nor withdrawn, nor in quarantine."""
    received = spark.table(f"bronze.{HOSPITALS}__observation")
    return listed(spark, "observation_key", served).join(received, "observation_key", "left_anti").count()


def _slips(spark: SparkSession, planted: Mapping[str, dict[str, Any]]) -> list[_Fact]:
    facts = spark.table(f"silver.{HOSPITALS}__observation").where(
        "not is_deleted and not is_entered_in_error and value_number is not null "
        "and status not in ('registered', 'cancelled')"
    )
    published = spark.table("gold.fct_measurement").where("component_index = 0")
    found = (
        facts.join(listed(spark, "observation_key", planted), "observation_key", "left_semi")
        .select("observation_key")
        .join(
            published.select("observation_key", "value_number", "value_canonical"), "observation_key", "left"
        )
        .collect()
    )
    return [
        _Fact(row["true_value"], row["tolerance"], row["is_recoverable"], _value(one))
        for one in found
        for row in (planted[one["observation_key"]],)
    ]


def _slipped_readings(spark: SparkSession, key: Path) -> dict[str, _Fact]:
    """Readings at home in another unit than their label's, by key, with what gold says of them. What no device can
    have measured was rejected at load, and some people's readings have left with their consent."""
    seen = seen_until("wearables")
    if not seen:
        return {}
    planted = visible(key / "planted.parquet", seen)
    slips = planted.filter(
        pc.and_(pc.equal(planted["table"], "readings"), pc.equal(planted["kind"], "unit_slip"))
    )
    rows = slips.to_pylist()
    if not rows:
        return {}
    making = pseudonymisers(row["source"] for row in rows)
    by_key = {making[row["source"]].key("HomeReading", row["record_id"]): row for row in rows}
    published = spark.table("gold.fct_measurement").join(
        listed(spark, "observation_key", by_key), "observation_key", "left_semi"
    )
    of_gold = {row["observation_key"]: row for row in published.collect()}
    return {name: _reading(row["served"], row["true"], of_gold.get(name)) for name, row in by_key.items()}


def _reading(served: str, true: str, row: Row | None) -> _Fact:
    """served: the number as it was written, in the unit that is meant, and the label; true: number and unit, as it
    should have been written. Half a digit of each is let pass, since both are rounded, and half a percent."""
    if row is None:
        return _Fact(0.0, 0.0, False, None)
    (number, unit), told = true.split(" "), served.split(" ")[0]
    way = conversion(ucum(unit) or "", row["concept"])
    assert way is not None
    meant = way(float(number))
    # The number served is right in another unit than its label: one digit of it is worth that much in canonical units.
    digit_served = meant / float(told) * 10 ** -_decimals(told)
    tolerance = 0.51 * (way.factor * 10 ** -_decimals(number) + digit_served) + 0.005 * meant
    return _Fact(meant, tolerance, False, _value(row))


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])


def _value(row: Row) -> float | None:
    """The published value; as sent where no concept is known, None where nothing is published."""
    value = row["value_canonical"] if row["value_canonical"] is not None else row["value_number"]
    return None if value is None else float(value)


def _good_values(spark: SparkSession, slipped: list[str]) -> Iterator[Line]:
    """Values without a slip: the share of them that is held back as suspect, and how many were taken for a slip."""
    bad = listed(spark, "observation_key", slipped)
    measured = spark.sql(
        "select observation_key from gold.fct_measurement where value_canonical is not null and harmonisation <> "
        "'recovered' and source <> 'hospital_given'"
    )
    judged = spark.sql(
        "select observation_key, verdict from quality.suspects where is_current and source <> 'hospital_given'"
    )
    kept, changed, lost = (
        rows.join(bad, "observation_key", "left_anti").count()
        for rows in (measured, judged.where("verdict = 'recovered'"), judged.where("verdict <> 'recovered'"))
    )
    held = share(lost, kept + changed + lost)
    target = f"<={MOST_GOOD_HELD_BACK}"
    yield Line(
        "good_values_held_back", held, "share", target, held <= MOST_GOOD_HELD_BACK, kept + changed + lost
    )
    yield none_of("good_values_changed", changed, "values", kept + changed + lost)
