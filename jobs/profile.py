"""What the columns of a batch hold, before and after: ``quality.profile``.

Flow: published batches without a profile -> for each of their tables, the rows received (bronze) and the rows kept by
the rules, and of measurements what gold makes of them -> counts, shares and moments by column -> quality.profile, one
slice a batch. A batch is profiled once.

Nothing in it tells of a person: pseudonyms are counted alone, values are named where they are codes that at least
FEWEST rows share, and moments are those of at least FEWEST values. A minimum or maximum is one row's own value, however
many there are: of ``health`` columns neither is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import control, tables
from jobs.sources import Source, load_all
from jobs.sources.tables import Column as Declared

PROFILE = "quality.profile"
FEWEST = 10
"""Values that fewer rows of a batch share are not named; of fewer values there are no moments."""
MOST_NAMED = 20
_MOST_BATCHES = 10_000
_FACTS = "gold.fct_measurement"

_SCHEMA = (
    "source string, table_name string, stage string, column_name string, row_count bigint, null_count bigint, "
    "distinct_count bigint, minimum double, maximum double, mean double, standard_deviation double, "
    "top_values array<struct<value:string,row_count:bigint>>"
)
_NUMBERS = ("int", "bigint", "double")
_CODED = (
    "code",
    "unit",
    "unit_canonical",
    "status",
    "type",
    "system",
    "precision",
    "sex",
    "concept",
    "harmonisation",
    "reason",
)
_MEASURED = {
    name: Declared(type=kind, description=f"{name} of a measurement", sensitivity="health")
    for name, kind in {
        "concept": "string",
        "value_number": "double",
        "unit": "string",
        "value_canonical": "double",
        "unit_canonical": "string",
        "harmonisation": "string",
        "data_absent_reason": "string",
    }.items()
}
Row = dict[str, Any]

_IS_KEPT = "rule is null and not is_deleted and not is_entered_in_error"
_STAGES = f"if({_IS_KEPT}, array('received', 'published'), array('received'))"
"""The stages that a row of bronze has reached."""


def update(spark: SparkSession, gold: Mapping[str, int]) -> int | None:
    """Profile every published batch that has none; the version of ``quality.profile``, None while there is none.

    gold: versions of gold tables to read; without fct_measurement, what became of measurements is left out.
    """
    with control.connect() as conn:
        wanted = {
            batch.batch_id: batch.source
            for source in load_all().values()
            for name in source.endpoints
            for batch in control.batches(conn, name, limit=_MOST_BATCHES)
            if batch.status == "published"
        }
    done = _profiled(spark)
    for batch_id, endpoint in wanted.items():
        if batch_id not in done:
            rows = list(_of_batch(spark, batch_id, endpoint, gold))
            if rows:
                frame = spark.createDataFrame([tuple(row.values()) for row in rows], _SCHEMA)
                tables.append_batch(spark, PROFILE, frame, batch_id)
    return tables.version(PROFILE)


def profile(rows: DataFrame, columns: Mapping[str, Declared]) -> dict[str, list[Row]]:
    """By the value of the column ``_stage``: one row per column of ``rows``, with how many rows and nulls, how many
    values (roughly), the moments of numbers and the most frequent codes, as far as they tell of nobody.

    columns: what is declared of each column to look at; those missing in ``rows`` are left out.
    """
    looked_at = {name: declared for name, declared in columns.items() if name in rows.columns}
    sums = (
        rows.groupBy("_stage")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            *(part for name, declared in looked_at.items() for part in _sums(name, declared)),
        )
        .collect()
    )
    if not sums:
        return {}
    named = _top_values(rows, [name for name, declared in looked_at.items() if _is_coded(name, declared)])
    return {
        of_stage["_stage"]: [
            _row(name, of_stage.asDict(), named.get((of_stage["_stage"], name))) for name in looked_at
        ]
        for of_stage in sums
    }


def _of_batch(spark: SparkSession, batch_id: str, endpoint: str, gold: Mapping[str, int]) -> Iterator[Row]:
    source = next(s for s in load_all().values() if endpoint in s.endpoints)
    for entity, table in source.tables.items():
        bronze = f"bronze.{source.name}__{entity}"
        if not tables.exists(bronze):
            continue
        received = tables.read(spark, bronze).where(F.col("batch_id") == batch_id)
        found = profile(received.withColumn("_stage", F.explode(F.expr(_STAGES))), table.columns)
        yield from _labelled(found, endpoint, bronze)
        if "published" in found and _is_measured(source, entity, gold):
            facts = tables.read(spark, _FACTS, gold[_FACTS]).where(F.col("source") == endpoint)
            own = facts.join(received.where(_IS_KEPT).select(table.key), table.key, "left_semi")
            yield from _labelled(
                profile(own.withColumn("_stage", F.lit("published")), _MEASURED), endpoint, _FACTS
            )


def _is_measured(source: Source, entity: str, gold: Mapping[str, int]) -> bool:
    return _FACTS in gold and (source.name, entity) == ("hospital", "observation")


def _labelled(found: Mapping[str, list[Row]], endpoint: str, table: str) -> Iterator[Row]:
    for stage, rows in found.items():
        for row in rows:
            yield {"source": endpoint, "table_name": table, "stage": stage, **row}


def _sums(name: str, declared: Declared) -> list[Column]:
    column = F.col(name)
    found = [F.count(column).alias(f"{name}:there")]
    if not declared.type.startswith(("array", "struct", "map")):
        found.append(F.approx_count_distinct(column.cast("string")).alias(f"{name}:distinct"))
    if declared.type in _NUMBERS and declared.sensitivity != "pseudonym":
        number = column.cast("double")
        moments = {"mean": F.avg, "std": F.stddev_samp}
        if declared.sensitivity == "none":
            moments |= {"min": F.min, "max": F.max}
        are_many = F.count(column) >= FEWEST
        found += [
            F.when(are_many, moment(number)).alias(f"{name}:{word}") for word, moment in moments.items()
        ]
    return found


def _is_coded(name: str, declared: Declared) -> bool:
    """Whether a column holds codes: those may be named where many rows share them. Free text never is a code."""
    is_code = declared.values is not None or name.endswith(_CODED)
    return declared.type == "string" and declared.sensitivity != "pseudonym" and is_code


def _top_values(rows: DataFrame, names: Sequence[str]) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """The most frequent values by stage and column, with how many rows have them."""
    if not names:
        return {}
    pairs = F.array(*(F.struct(F.lit(name).alias("name"), F.col(name).alias("value")) for name in names))
    counted = rows.select("_stage", F.explode(pairs).alias("pair")).groupBy(
        "_stage", "pair.name", "pair.value"
    )
    frequent = counted.agg(F.count(F.lit(1)).alias("row_count")).where(
        F.col("value").isNotNull() & (F.col("row_count") >= FEWEST)
    )
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for row in frequent.orderBy("_stage", "name", F.desc("row_count"), "value").collect():
        of_column = found.setdefault((row["_stage"], row["name"]), [])
        if len(of_column) < MOST_NAMED:
            of_column.append((row["value"], row["row_count"]))
    return found


def _row(name: str, sums: Row, named: list[tuple[str, int]] | None) -> Row:
    rows = sums["rows"]
    return {
        "column_name": name,
        "row_count": rows,
        "null_count": rows - sums[f"{name}:there"],
        "distinct_count": sums.get(f"{name}:distinct"),
        "minimum": sums.get(f"{name}:min"),
        "maximum": sums.get(f"{name}:max"),
        "mean": _rounded(sums.get(f"{name}:mean")),
        "standard_deviation": _rounded(sums.get(f"{name}:std")),
        "top_values": named,
    }


def _rounded(number: float | None) -> float | None:
    """Nine digits: the order in which an engine adds up shows in the last ones."""
    return None if number is None else float(f"{number:.9g}")


def _profiled(spark: SparkSession) -> set[str]:
    """The batches that have a profile."""
    if not tables.exists(PROFILE):
        return set()
    return {row["batch_id"] for row in tables.read(spark, PROFILE).select("batch_id").distinct().collect()}
