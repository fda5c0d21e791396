"""Row rules: the predicates, derived from a source's YAML, that split a staged batch into good and quarantined rows.

A row takes the first rule it breaks, in the order of the declaration. Names follow Kahn et al., "A Harmonized Data
Quality Assessment Terminology and Framework for the Secondary Use of EHR Data" (eGEMs 2016): completeness (required),
value conformance (value_set), atemporal plausibility (range, implausible_value, unexpected_unit), temporal plausibility
(not_before).
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.sources import Limit, Table

_VERDICT = "_verdict"


def apply(rows: DataFrame, table: Table) -> DataFrame:
    """``rows`` with ``rule`` and ``reason`` set where a rule is broken and nothing was found before.

    Tombstones carry no content, and what a record entered in error says no longer matters: neither breaks a rule, or
    the retraction would be held back and the wrong fact stay published.
    """
    found = [(F.col("rule").isNotNull(), F.col("rule"), F.col("reason")), *_rules(table)]
    is_retraction = F.col("is_deleted") | F.col("is_entered_in_error")
    is_judged = F.col("rule").isNotNull() | ~F.coalesce(is_retraction, F.lit(False))
    first = F.coalesce(*(F.when(broken, _verdict(rule, reason)) for broken, rule, reason in found))
    judged = rows.withColumn(_VERDICT, F.when(is_judged, first))
    return judged.withColumns({name: F.col(_VERDICT)[name] for name in ("rule", "reason")}).drop(_VERDICT)


def _verdict(rule: Column, reason: Column) -> Column:
    """A struct of both; the cast makes its fields nullable, without which Sail refuses the plan."""
    return F.struct(rule.alias("rule"), reason.alias("reason")).cast("struct<rule:string,reason:string>")


def _rules(table: Table) -> list[tuple[Column, Column, Column]]:
    rules: list[tuple[Column, str, str]] = []
    for name, column in table.columns.items():
        value = F.col(name)
        if column.required:
            rules.append((value.isNull(), f"required:{name}", f"{name} is required"))
        if column.values:
            rules.append(
                (~value.isin(*column.values), f"value_set:{name}", f"{name} is outside its value set")
            )
        if column.min is not None:
            rules.append((value < column.min, f"range:{name}", f"{name} is below {column.min}"))
        if column.max is not None:
            rules.append((value > column.max, f"range:{name}", f"{name} is above {column.max}"))
        if column.not_before:
            is_before = _latest(value, column.precision) < F.col(column.not_before)
            rules.append((is_before, f"not_before:{name}", f"{name} is before {column.not_before}"))
    literal = [(broken, F.lit(rule), F.lit(reason)) for broken, rule, reason in rules]
    return literal + (_limit_rules(table.limits) if table.limits else [])


def _latest(value: Column, precision: str | None) -> Column:
    """The last instant a partial date may stand for; an hour more, for the day of a clock change."""
    if precision is None:
        return value
    written = F.col(precision)
    return (
        F.when(written == "day", value + F.expr("interval 25 hours"))
        .when(written == "month", value + F.expr("interval 745 hours"))
        .when(written == "year", value + F.expr("interval 8785 hours"))
        .otherwise(value)
    )


def _limit_rules(limits: tuple[Limit, ...]) -> list[tuple[Column, Column, Column]]:
    """Limits by code, for the record's own value and for those of its components."""

    def broken(code: Column, number: Column, unit: Column) -> tuple[Column, Column]:
        units: dict[str, list[str]] = {}
        for limit in limits:
            units.setdefault(limit.code, []).append(limit.unit)
        is_limited = number.isNotNull() & code.isin(*units)
        outside = _any(
            [(code == x.code) & (unit == x.unit) & ((number < x.low) | (number > x.high)) for x in limits]
        )
        strange = _any([(code == c) & ~F.coalesce(unit, F.lit("")).isin(*u) for c, u in units.items()])
        return F.when(is_limited, outside), F.when(is_limited, strange)

    def anywhere(index: int) -> Column:
        own = broken(F.col("code"), F.col("value_number"), F.col("unit"))[index]
        parts = F.exists("components", lambda c: broken(c["code"], c["value_number"], c["unit"])[index])
        return F.coalesce(own, F.lit(False)) | F.coalesce(parts, F.lit(False))

    return [
        (anywhere(1), F.lit("unexpected_unit"), F.lit("a value is not in a unit declared for its code")),
        (
            anywhere(0),
            F.lit("implausible_value"),
            F.lit("a value is outside the limits declared for its code"),
        ),
    ]


def _any(conditions: list[Column]) -> Column:
    return reduce(lambda left, right: left | right, conditions)
