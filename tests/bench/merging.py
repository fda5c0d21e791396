"""A day's batch into a large current table: its cost against the first load, and as the table grows tenfold.

Both are loads as the ingest runs them, from landed NDJSON to published silver. The table's other nine tenths are laid
under it by the engine, because reading ten million records is not what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake import engine, load, tables
from jobs.lake.timeline import ORDER
from tests.bench.rows import Row
from tests.support.lake import Export, TestLake

SOURCE = "hospital_given"
TABLE = "silver.hospital__observation"
ROWS = 1_000_000
DAYS = 3
PATIENTS = 5_000
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
BEGIN, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def measure(lake: TestLake) -> Iterator[Row]:
    """Rows for a table of ROWS and of ten times ROWS; a batch is 1% of ROWS, nine new records for one changed."""
    first_s = _load(lake, END, _body(range(ROWS), END))
    daily_s = _median_day(lake, 0)
    yield Row(
        "daily_load_of_1m",
        daily_s,
        "s",
        f"first_load={first_s:.2f}",
        daily_s / first_s,
        "<=0.10",
        daily_s <= 0.1 * first_s,
    )
    with engine.session() as spark:
        _grow_tenfold(spark)
    larger_s = _median_day(lake, DAYS)
    yield Row(
        "daily_load_of_10m",
        larger_s,
        "s",
        f"of_1m={daily_s:.2f}",
        larger_s / daily_s,
        "<=3",
        larger_s <= 3 * daily_s,
    )


def _median_day(lake: TestLake, first: int) -> float:
    """Seconds of a day's batch, the median of DAYS days from day ``first``."""
    new, changed = ROWS // 100 * 9 // 10, ROWS // 100 // 10
    seconds = []
    for day in range(first, first + DAYS):
        fresh = range(ROWS + day * new, ROWS + (day + 1) * new)
        older = range(ROWS - (day + 1) * changed, ROWS - day * changed)
        at = END + timedelta(days=day + 1)
        seconds.append(_load(lake, at, _body(fresh, at) + _body(older, at)))
    return sorted(seconds)[DAYS // 2]


def _load(lake: TestLake, at: datetime, body: bytes) -> float:
    """Seconds from landed Observations to published silver."""
    batch = lake.land(SOURCE, Export(at, {"Observation": body}))
    with load.timed() as stages:
        load.load(batch)
    print(f"# batch of {at:%Y-%m-%d}: {stages.summary()}")
    return sum(stages.seconds.values())


def _body(numbers: range, at: datetime) -> bytes:
    """NDJSON of measurements ``numbers``, as they stand at ``at``: taken evenly over two years, ROWS of them."""
    return b"".join(msgspec.json.encode(_record(number, at)) + b"\n" for number in numbers)


def _record(number: int, at: datetime) -> dict[str, object]:
    taken = min(BEGIN + (END - BEGIN) * number / ROWS, at).isoformat()
    code = {
        "system": "http://loinc.org",
        "code": f"{number % 97 + 1000}-{number % 9}",
        "display": "a quantity",
    }
    return {
        "resourceType": "Observation",
        "id": f"measurement-{number}",
        "meta": {"lastUpdated": at.isoformat()},
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": "laboratory"}]}],
        "code": {"coding": [code]},
        "subject": {"reference": f"Patient/patient-{number % PATIENTS}"},
        "encounter": {"reference": f"Encounter/stay-{number // 20}"},
        "effectiveDateTime": taken,
        "issued": taken,
        "valueQuantity": {
            "value": (number + at.day) % 9973 / 10,
            "unit": "mg/dL",
            "system": "http://unitsofmeasure.org",
            "code": "mg/dL",
        },
    }


def _grow_tenfold(spark: SparkSession) -> None:
    """Nine copies of every current row under other keys, merged into the table."""
    rows, copies = tables.read(spark, TABLE), spark.range(9, numPartitions=1).withColumnRenamed("id", "copy")
    key = F.substring(F.sha2(F.concat_ws(" ", "observation_key", F.col("copy")), 256), 1, 32)
    grown = rows.crossJoin(copies).withColumn("observation_key", key).drop("copy")
    tables.merge_newest(
        spark,
        TABLE,
        grown,
        key=["source", "observation_key"],
        order=ORDER,
        partition="month",
        is_settled=True,
    )
