"""Linkage of 100,000 patients in the vault, a first run from described to linked, against Splink as it comes.

The peer is Splink with the comparisons and the blocking of its own library and nothing of ours: u by sampling, m by one
session, predictions and clusters, over the same records in the same process, without a database behind it.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from infra.linkage_model import city_people
from jobs.identity import linkage, vault
from jobs.identity.demographics import Demographics
from jobs.identity.linkage import labelled
from tests.bench.rows import Row

POPULATION, LEAST_RECORDS = 85_000, 100_000
MOST_SECONDS = 60
SEEN_AT = datetime(2026, 1, 1, tzinfo=UTC)


def measure(scratch: Path) -> Iterator[Row]:
    options = ("--home", str(scratch), "--population", str(POPULATION), "--years", "0.01")
    subprocess.run([sys.executable, "-m", "infra.city", "make", *options], stdout=sys.stderr, check=True)
    records, truth = city_people(scratch / "city")
    assert records.num_rows >= LEAST_RECORDS
    with vault.connect() as conn:
        started = time.monotonic()
        vault.register(conn, "b1", _described(records), method="source_patient")
        print(f"# {records.num_rows:,} patients described in {time.monotonic() - started:.1f} s")
    with linkage.connect() as conn:
        started = time.monotonic()
        result = linkage.run(conn)
        seconds = time.monotonic() - started
        links = conn.execute(
            "select i.source || '|' || l.patient_key, l.person_key from vault.person_link as l "
            "inner join vault.source_identity as i on l.patient_key = i.pseudonym"
        ).fetchall()
        again_from = time.monotonic()
        linkage.run(conn)
        again = time.monotonic() - again_from
    person_of = {_key(place): key for place, key in enumerate(records["patient_key"].to_pylist())}
    joined = labelled.true_pairs({person_of[key.partition("|")[2]]: person for key, person in links})
    right = labelled.true_pairs(truth)
    precision, recall = (len(joined & right) / len(of) for of in (joined, right))
    print(f"# {result}")
    print(f"# precision {precision:.4f}, recall {recall:.4f}; a run without news {again:.1f} s")
    peer = _as_it_comes(records)
    yield Row(
        "linkage_100k",
        seconds,
        "s",
        f"splink_defaults={peer:.2f}",
        seconds / peer,
        f"<={MOST_SECONDS}s",
        seconds <= MOST_SECONDS,
    )


def _key(place: int) -> str:
    return f"{place:032x}"


def _described(records: pa.Table) -> Iterator[vault.Identity]:
    for place, record in enumerate(records.to_pylist()):
        said = {name: record[name] for name in Demographics._fields if name in record}
        precision = {10: "day", 7: "month", 4: "year"}.get(len(said["birth_date"]), "")
        who = Demographics(**said, birth_precision=precision)
        key = _key(place)
        yield vault.Identity(
            key, "k", record["source"], "Patient", key, SEEN_AT, vault.Description(SEEN_AT, who)
        )


def _as_it_comes(records: pa.Table) -> float:
    """Seconds that Splink takes with its library's own comparisons."""
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="patient_key",
        comparisons=[
            cl.NameComparison("given"),
            cl.NameComparison("family"),
            cl.DateOfBirthComparison("birth_date", input_is_string=True),
            cl.ExactMatch("national_id"),
            cl.EmailComparison("email"),
            cl.ExactMatch("phone"),
            cl.ExactMatch("street"),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("national_id"),
            block_on("birth_date"),
            block_on("given", "family"),
            block_on("phone"),
            block_on("street"),
        ],
    )
    with duckdb.connect(":memory:", config={"threads": 2}) as db:
        db.register("given_records", records)
        known = ", ".join(f"nullif({name}, '') as {name}" for name in records.schema.names)
        db.execute(f"create table records as select {known} from given_records")
        started = time.monotonic()
        api = DuckDBAPI(connection=db)
        linker = Linker(api.register("records", table_name="people"), settings, log_level=logging.ERROR)
        linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
        linker.training.estimate_parameters_using_expectation_maximisation(block_on("national_id"))
        scored = linker.inference.predict(threshold_match_probability=0.5, warning_mode="never")
        linker.clustering.cluster_pairwise_predictions_at_threshold(scored, 0.99)
        return time.monotonic() - started
