"""Columns that come and go: a table and the rows that are to be written into it, made to agree."""

from __future__ import annotations

from pathlib import Path

import deltalake
from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from jobs.lake.tables.names import quoted
from jobs.lake.tables.reading import columns_of, exists, nullable, open_table
from jobs.lake.tables.writing import lost


def fit(df: DataFrame, table: str, *, lake: Path | None = None) -> DataFrame:
    """``df`` with the columns of ``table``, which gets those that only ``df`` has; what either lacked is null there.

    For tables whose columns follow declarations of ours, as features do; rows of a source never change a table. A table
    that is not there is left so. A column of another type than the table's is for the write to refuse. Raises LostRace
    when another writer committed first.
    """
    if not exists(table, lake):
        return df
    handle = open_table(table, lake)
    held = columns_of(handle)
    new = StructType([field for field in df.schema.fields if field.name not in held.names])
    if new.fields:
        try:
            handle.alter.add_columns(deltalake.Schema.from_json(nullable(new).json()).fields)
        except DeltaError as error:
            raise lost(table) from error
    missing = [field for field in held.fields if field.name not in df.columns]
    return df.select(
        *(F.col(quoted(name)) for name in df.columns),
        *(F.lit(None).cast(field.dataType).alias(field.name) for field in missing),
    )
