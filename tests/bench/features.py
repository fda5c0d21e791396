"""Point-in-time features of many people, against DuckDB's ASOF join on the same files.

The newest value of every analyte of ``ml.features``, as known at an instant of each person's own. DuckDB joins on the
later of when a value was measured and when it could be used, in one ASOF join of person and analyte; Citywell's plan
also knows versions that were superseded, half-open windows and dates without a time. Both read the same Parquet files
and end with one row per person in Arrow. What all features of the view of people take is told beside.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
from pyspark.sql import SparkSession

from jobs.lake import engine
from ml.features import Facts, FeatureSet, build, common
from ml.features.analytes import ANALYTES
from ml.features.people import FEATURES
from tests.bench.rows import Row
from tests.support.lake import TestLake

PEOPLE = 100_000
MEASUREMENTS_EACH = 40
ROUNDS = 3
MOST_RATIO = 2.0


def measure(lake: TestLake, scratch: Path) -> Iterator[object]:
    """A Row for the ratio; lines that begin with # are for reading."""
    _make(scratch)
    peer, theirs = _timed(lambda: _duckdb(scratch))
    with engine.session() as spark:
        newest = FeatureSet(common.newest(ANALYTES, "as_of", None))
        ours, mine = _timed(lambda: _features(spark, scratch, newest))
        _compare(mine, theirs)
        yield Row(
            f"features_of_{PEOPLE}",
            ours,
            "s",
            f"duckdb_asof={peer:.2f}",
            ours / peer,
            f"<={MOST_RATIO:.0f}",
            ours <= MOST_RATIO * peer,
        )
        whole, _ = _timed(lambda: _features(spark, scratch, FEATURES))
        yield f"# all {len(FEATURES.declarations)} features of the view of people: {whole:.2f} s"


def _timed(work: Callable[[], pa.Table]) -> tuple[float, pa.Table]:
    """Median seconds of ROUNDS, after one that is not counted."""
    found = work()
    seconds = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        found = work()
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds), found


def _features(spark: SparkSession, scratch: Path, features: FeatureSet) -> pa.Table:
    facts = Facts(
        **{
            name: spark.read.parquet(str(scratch / f"{name}.parquet"))
            for name in ("person", "encounter", "condition", "measurement", "medication_request")
        },
        lifestyle_daily=spark.createDataFrame([], "person_key string"),  # no feature of people looks at it
    )
    cases = spark.read.parquet(str(scratch / "cases.parquet"))
    return build(cases, facts, features).toArrow()


def _duckdb(scratch: Path) -> pa.Table:
    wanted = ", ".join(f"('{a.concept}', '{a.name}', {a.low}, {a.high})" for a in ANALYTES)
    picked = ", ".join(f"max(value) filter (analyte = '{a.name}') as last_{a.name}" for a in ANALYTES)
    with duckdb.connect() as db:
        db.execute("set threads = 2")
        return db.execute(
            f"""
            with analytes(concept, analyte, low, high) as (values {wanted}),
            events as (
                select m.person_key, a.analyte, m.value_canonical as value,
                    greatest(m.effective_at, m.usable_at) as seen_at
                from '{scratch}/measurement.parquet' as m
                join analytes as a on m.concept = a.concept and m.value_canonical between a.low and a.high
            ),
            asked as (
                select c.case_key, c.person_key, c.as_of, a.analyte
                from '{scratch}/cases.parquet' as c cross join analytes as a
            ),
            found as (
                select asked.case_key, asked.analyte, events.value
                from asked asof left join events
                    on asked.person_key = events.person_key and asked.analyte = events.analyte
                    and asked.as_of > events.seen_at
            )
            select case_key, {picked} from found group by case_key
            """
        ).to_arrow_table()


def _compare(mine: pa.Table, theirs: pa.Table) -> None:
    """The two must say the same."""
    names = [f"last_{a.name}" for a in ANALYTES]
    one, other = (
        table.sort_by("case_key").select(["case_key", *names]).to_pandas() for table in (mine, theirs)
    )
    if not one.round(6).equals(other.round(6)):
        raise SystemExit("the features of Citywell and of DuckDB differ")


BEGIN = "timestamptz '2024-01-01 00:00:00+00'"
ICD10, ATC = "http://hl7.org/fhir/sid/icd-10-cm", "http://www.whocc.no/atc"
TABLES = {
    "cases": (
        PEOPLE,
        "'p' || n as case_key, 'p' || n as person_key, 50.0 as age_years, 'female' as sex, "
        f"{BEGIN} + to_seconds((hash(n, 1) % 63072000)::bigint) as as_of",
    ),
    "person": (PEOPLE, "'p' || n as person_key"),
    "measurement": (
        PEOPLE * MEASUREMENTS_EACH,
        "'m' || n as measurement_key, 'fhir' as told_by, {concept} as concept, "
        "10.0 + (hash(n, 7) % 1000)::double / 10 as value_canonical, "
        "happened as effective_at, 'second' as effective_precision, null::timestamptz as effective_end_at, "
        "null::varchar as effective_end_precision",
    ),
    "encounter": (
        PEOPLE * 8,
        "'fhir' as told_by, null::varchar as part_of_key, 'finished' as status, happened as started_at, "
        "'second' as started_precision, {class_code} as class_code, class_code = 'IMP' as is_inpatient, "
        "hash(n, 8) % 3 = 0 as is_planned",
    ),
    "condition": (
        PEOPLE * 6,
        f"'c' || n as condition_key, 'confirmed' as verification_status, '{ICD10}' as code_system, {{icd10}} as code, "
        "happened as recorded_at, 'second' as recorded_precision, "
        "null::timestamptz as onset_at, null::varchar as onset_precision",
    ),
    "medication_request": (
        PEOPLE * 8,
        f"'{ATC}' as code_system, 'active' as status, {{atc}} as code, happened as authored_at, "
        "'second' as authored_precision",
    ),
}
"""Table -> how many rows, and their columns by SQL over ``n`` and ``happened``, an instant of two years."""
CODES = {
    "concept": [a.concept for a in ANALYTES],
    "class_code": ["AMB", "AMB", "EMER", "IMP"],
    "icd10": ["I10", "E11.9", "J44.9", "I50.9", "R05.9", "M54.5"],
    "atc": ["A10BA02", "B01AF02", "C03CA01", "N02AX02", "H02AB06"],
}


def _make(scratch: Path) -> None:
    """People, two years of their records, and an instant for each, as Parquet files with gold's columns."""
    drawn = {name: f"{codes}[1 + (hash(n, 3) % {len(codes)})::bigint]" for name, codes in CODES.items()}
    of_fact = (
        f"'p' || (hash(n, 5) % {PEOPLE}) as person_key, 'e' || n as encounter_key, happened as usable_at, "
        "null::timestamptz as superseded_at"
    )
    with duckdb.connect() as db:
        for name, (rows, columns) in TABLES.items():
            chosen = columns.format(**drawn)
            if name not in ("cases", "person"):
                chosen = f"{chosen}, {of_fact}"
            happened = f"{BEGIN} + to_seconds((hash(n, 2) % 63072000)::bigint)"
            made = f"select n, {happened} as happened from range({rows}) t(n)"
            db.execute(f"copy (select {chosen} from ({made})) to '{scratch}/{name}.parquet'")
