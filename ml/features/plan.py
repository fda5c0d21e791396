"""Cases joined with what was known of them: declared features as one plan of the engine.

Flow: events of all kinds, one below the other, each marked by the declarations it fits -> joined once with the cases of
its person, as far as it was known at the case's ``as_of`` and lies in a window -> aggregated by case -> formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ml.features.declared import Derived, FeatureSet, Windowed
from ml.features.events import EVENTS
from ml.features.facts import Facts
from ml.features.knowledge import back, days_between, is_known, rounded

OWN = "own_encounters"


def build(cases: DataFrame, facts: Facts, features: FeatureSet) -> DataFrame:
    """One row per case: the case's columns, then every feature in declared order.

    cases: one row per ``case_key``, with person_key, as_of, every instant that a declaration names, what formulas use,
    and OWN (array of encounter keys) where a declaration has ``with_own``. Numbers, counts and flags are doubles.
    """
    of_case = [name for name in cases.columns if name != OWN]
    table = cases.select(*of_case)
    if windowed := features.windowed:
        marks = _marks(windowed)
        seen = cases.join(_events(facts, windowed, marks), _is_seen(windowed), "left")
        table = seen.groupBy(*of_case).agg(
            *(_aggregate(one, F.col(marks[one.of, one.where])) for one in windowed)
        )
    for one in features.derived:
        table = table.withColumn(one.feature.name, _formula(one))
    names = [feature.name for feature in features.features]
    return table.select(*(name for name in of_case if name not in names), *names)


def _marks(windowed: Sequence[Windowed]) -> dict[tuple[str, str], str]:
    """(kind, where) -> the column that says whether an event of that kind fits."""
    pairs = dict.fromkeys((one.of, one.where) for one in windowed)
    return {pair: f"fits_{number}" for number, pair in enumerate(pairs)}


def _events(facts: Facts, windowed: Sequence[Windowed], marks: dict[tuple[str, str], str]) -> DataFrame:
    """The events that fit any declaration, each with its marks; ``newest`` is null but for kinds of which that is
    asked."""

    def of_kind(kind: str) -> DataFrame:
        fits = {
            name: F.coalesce(F.expr(where), F.lit(False)) if of == kind else F.lit(False)
            for (of, where), name in marks.items()
        }
        needs_newest = any(one.of == kind and one.how == "newest" for one in windowed)
        rows = (
            EVENTS[kind]
            .events(facts)
            .select(
                F.lit(kind).alias("kind"),
                F.col("person_key").alias("of_person"),
                F.col("encounter_key").alias("of_encounter"),
                *("at", "by", "usable_at", "superseded_at", "key", "value"),
                (_newest_text() if needs_newest else F.lit(None).cast("string")).alias("newest"),
                *(fit.alias(name) for name, fit in fits.items()),
            )
        )
        return rows.where(reduce(or_, (F.col(name) for (of, _), name in marks.items() if of == kind)))

    kinds = dict.fromkeys(one.of for one in windowed)
    return reduce(DataFrame.unionByName, map(of_kind, kinds))


def _newest_text() -> Column:
    """Instant, key and value as a text of which the greatest is the newest event's.

    A rank would sort all events with the columns of their cases, and of a struct Sail (0.7.2) keeps a whole batch of
    rows for each that a group holds. A DOUBLE and its text are one and the same on both engines.
    """
    # Microseconds, shifted to be positive: so their texts sort as the instants do.
    since_long_ago = F.unix_micros("at") + F.lit(10**17)
    return F.concat_ws(
        "|", F.lpad(since_long_ago.cast("string"), 20, "0"), "key", F.col("value").cast("string")
    )


def _is_seen(windowed: Sequence[Windowed]) -> Column:
    """Whether a case sees an event at all: its person's, known at ``as_of``, in some window over its kind."""
    windows: dict[str, list[Column]] = {}
    for one in windowed:
        windows.setdefault(one.of, []).append(_is_in_window(one))
    of_kinds = [
        (F.col("kind") == kind) & reduce(or_, {str(w): w for w in found}.values())
        for kind, found in windows.items()
    ]
    return (F.col("person_key") == F.col("of_person")) & is_known(F.col("as_of")) & reduce(or_, of_kinds)


def _is_in_window(one: Windowed) -> Column:
    at, by, until = F.col("at"), F.col("by"), F.col(one.until)
    is_before = (at < until) & (by <= until)
    if one.with_own:
        is_own = F.coalesce(F.array_contains(OWN, F.col("of_encounter")), F.lit(False))
        is_before = is_before | (is_own & (at <= until))
    begins = []
    if one.days is not None:
        begins.append(at >= back(until, one.days))
    if one.since is not None:
        begins.append(at >= F.col(one.since))
    return reduce(and_, begins, is_before)


def _aggregate(one: Windowed, fits: Column) -> Column:
    counts = (F.col("kind") == one.of) & fits & _is_in_window(one)
    value = F.when(counts, F.col("value"))
    match one.how:
        case "count":
            found = F.sum(F.when(counts, 1.0).otherwise(0.0))
        case "distinct":
            # A set, because several distinct counts multiply Spark's rows.
            found = F.size(F.collect_set(F.when(counts, F.col("key")))).cast("double")
        case "ever":
            found = F.max(F.when(counts, 1.0).otherwise(0.0))
        case "newest":
            newest = F.max(F.when(counts, F.col("newest")))
            found = rounded(F.substring_index(newest, "|", -1).cast("double"))
        case "least":
            found = rounded(F.min(value))
        case "most":
            found = rounded(F.max(value))
        case "mean":
            found = rounded(F.avg(value))
        case "days_since":
            ago = F.when(counts, days_between(F.col(one.until), F.col("at")))
            found = rounded(F.min(ago))
    return found.alias(one.feature.name)


def _formula(one: Derived) -> Column:
    value = F.expr(one.sql or one.feature.name)
    match one.feature.kind:
        case "flag":
            return F.coalesce(value.cast("double"), F.lit(0.0))
        case "category":
            return F.coalesce(value.cast("string"), F.lit("unknown"))
    return rounded(value.cast("double"))
