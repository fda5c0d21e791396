"""Row rules: the predicates, derived from a source's YAML, that split a staged batch into good and quarantined rows.

A row takes the first rule it breaks, in the order of the declaration. Names follow Kahn et al., "A Harmonized Data
Quality Assessment Terminology and Framework for the Secondary Use of EHR Data" (eGEMs 2016): completeness (required),
value conformance (value_set), atemporal plausibility (range, implausible_value, unexpected_unit), temporal plausibility
(not_before, not_after).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise import rulebook
from jobs.sources import Limit, Table

NO_CONSENT = "no_consent"
"""The rule of records that nothing is wrong with, but that may not be taken."""
MEASURED = frozenset({"code", "value_number", "unit", "components"})
"""A table with these columns holds measurements: their numbers are held against the bounds of jobs/harmonise, whatever
the source. What needs more than the record, such as a unit that does not convert or a value implausible at that age, is
judged when gold is built (quality.suspects)."""
UNEXPECTED_UNIT, IMPLAUSIBLE_VALUE = "unexpected_unit", "implausible_value"
_LIMIT_REASONS = {
    UNEXPECTED_UNIT: "a value is not in a unit declared for its code",
    IMPLAUSIBLE_VALUE: "a value is outside the limits for its code",
}
_LIMITS = "_limits_broken"


def apply(rows: DataFrame, table: Table) -> DataFrame:
    """``rows`` with ``rule`` and ``reason`` set where a rule is broken and nothing was found before.

    Tombstones carry no content, and what a record entered in error says no longer matters: neither breaks a rule, or
    the retraction would be held back and the wrong fact stay published.
    """
    rules = _column_rules(table)
    found = [F.when(broken, F.lit(rule)) for broken, rule, _ in rules]
    reasons = {rule: reason for _, rule, reason in rules}
    limits: list[Limit | rulebook.Bound] = [*table.limits, *_bounds(table)]
    if limits:
        rows = rows.withColumn(_LIMITS, _limits_broken(table, limits))
        found += [F.when(F.array_contains(_LIMITS, rule), F.lit(rule)) for rule in _LIMIT_REASONS]
        reasons |= _LIMIT_REASONS
    if not found:
        return rows
    is_retraction = F.coalesce(F.col("is_deleted") | F.col("is_entered_in_error"), F.lit(False))
    judged = rows.withColumn("rule", F.coalesce("rule", F.when(~is_retraction, F.coalesce(*found))))
    reason = _item(list(reasons.values()), _position(list(reasons), F.col("rule")))
    return judged.withColumn("reason", F.coalesce("reason", reason)).drop(_LIMITS)


def expectation(table: Table, rule: str) -> str:
    """What a table's declaration would have accepted where ``rule`` rejected, in words."""
    kind, _, name = rule.partition(":")
    column, field = table.columns.get(name), (table.fields or {}).get(name)
    if kind in _LIMIT_REASONS:
        return "a value in a unit, and within the limits, declared for its code"
    if field is not None and kind in ("missing_field", "wrong_type", "invalid_value"):
        return f"{name} as {field.type.replace('_', ' ')}"
    if column is None:
        return "a value of the kind that FHIR defines"
    if kind == "value_set":
        return f"one of {', '.join(column.values or ())}"
    if kind == "range":
        ends = ("any" if end is None else f"{end:.15g}" for end in (column.min, column.max))
        return f"a number from {' to '.join(ends)}"
    if kind == "not_before":
        return f"a time no earlier than {column.not_before}"
    if kind == "not_after":
        return f"a time no later than {column.not_after}"
    return f"a value for {name}: {column.description}"


def without_consent(rows: DataFrame, table: Table, consenting: DataFrame) -> DataFrame:
    """``rows`` with the rule NO_CONSENT on every record of a person who is not among ``consenting``.

    It comes before all others: nothing else is to be found out about such a record. Deletions need no consent.
    """
    assert table.consent is not None
    given = consenting.toDF("_person").withColumn("_has_consent", F.lit(True))
    joined = rows.join(given, F.col(table.consent.person) == F.col("_person"), "left")
    lacks = F.col("_has_consent").isNull() & ~F.coalesce("is_deleted", F.lit(False))
    rule = F.coalesce("rule", F.when(lacks, NO_CONSENT))
    reason = F.when(lacks, f"the person does not consent to {table.consent.purpose}")
    return joined.select(
        *(name for name in rows.columns if name not in ("rule", "reason")),
        rule.alias("rule"),
        F.coalesce("reason", F.when(F.col("rule").isNull(), reason)).alias("reason"),
    )


def _bounds(table: Table) -> Sequence[rulebook.Bound]:
    """The bounds of measurements, of codes for which the source declares no limits of its own."""
    if not table.columns.keys() >= MEASURED:
        return ()
    own = {limit.code for limit in table.limits}
    return [bound for bound in rulebook.bounds() if bound.code not in own]


def _column_rules(table: Table) -> list[tuple[Column, str, str]]:
    rules: list[tuple[Column, str, str]] = []
    for name, column in table.columns.items():
        value = F.col(name)
        if column.required:
            rules.append((value.isNull(), f"required:{name}", f"{name} is required"))
        if column.values:
            rules.append(
                (~value.isin(*column.values), f"value_set:{name}", f"{name} is outside its value set")
            )
        if column.min is not None and column.max is not None:
            is_outside = (value < column.min) | (value > column.max)
            reason = f"{name} is outside {column.min:.15g} to {column.max:.15g}"
            rules.append((is_outside, f"range:{name}", reason))
        elif column.min is not None:
            rules.append((value < column.min, f"range:{name}", f"{name} is below {column.min:.15g}"))
        elif column.max is not None:
            rules.append((value > column.max, f"range:{name}", f"{name} is above {column.max:.15g}"))
        if column.not_before:
            bound = column.not_before
            earliest = F.lit(bound) if isinstance(bound, date) else F.col(bound)
            is_before = _later(_latest(value, column.precision), column.tolerance_min) < earliest
            rules.append((is_before, f"not_before:{name}", f"{name} is before {bound}"))
        if column.not_after:
            is_after = value > _later(F.col(column.not_after), column.tolerance_min)
            rules.append((is_after, f"not_after:{name}", f"{name} is after {column.not_after}"))
    return rules


def _later(moment: Column, minutes: int) -> Column:
    return moment + F.expr(f"interval {minutes} minutes") if minutes else moment


def _latest(value: Column, precision: str | None) -> Column:
    """The last instant a partial date or an hour may mean; of dates an hour more, for the day of a clock change."""
    if precision is None:
        return value
    written = F.col(precision)
    return (
        F.when(written == "hour", value + F.expr("interval 1 hour"))
        .when(written == "day", value + F.expr("interval 25 hours"))
        .when(written == "month", value + F.expr("interval 745 hours"))
        .when(written == "year", value + F.expr("interval 8785 hours"))
        .otherwise(value)
    )


def _limits_broken(table: Table, limits: Sequence[Limit | rulebook.Bound]) -> Column:
    """The limit rules broken by the record's own value and by those of its components, as an array.

    A code for which the source itself declares limits must have a value in a unit that has some. Limits are looked up
    in literal arrays: a condition for each would take the engine half a second to plan.
    """
    columns = table.limited
    expected = sorted({limit.code for limit in table.limits})
    units = [f"{limit.code} {limit.unit}" for limit in limits]

    def broken(code: Column, number: Column, unit: Column) -> Column:
        place = _position(units, F.concat_ws(" ", code, unit))
        is_low, is_high = (
            number < _item([limit.low for limit in limits], place),
            number > _item([limit.high for limit in limits], place),
        )
        is_unexpected = (place == 0) & code.isin(*expected) if expected else F.lit(False)
        return F.when(
            number.isNotNull(),
            F.when(is_unexpected, UNEXPECTED_UNIT).when(is_low | is_high, IMPLAUSIBLE_VALUE),
        )

    own = F.array(broken(F.col(columns.code), F.col(columns.value), F.col(columns.unit)))
    if "components" not in table.columns:
        return own
    parts = F.transform("components", lambda c: broken(c["code"], c["value_number"], c["unit"]))
    return F.concat(own, F.coalesce(parts, F.array().cast("array<string>")))


def _position(items: Sequence[str], item: Column) -> Column:
    """The place, from 1, of ``item`` among the literals ``items``; 0 when it is not there."""
    return F.array_position(F.array(*map(F.lit, items)), item)


def _item(items: Sequence[str | float], place: Column) -> Column:
    """The literal at ``place``, from 1; null for 0."""
    return F.get(F.array(*map(F.lit, items)), (place - 1).cast("int"))
