"""What a platform sent of people who had not consented.

Consent is judged as of the batch: what was sent without it may come with a batch after it was given again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from infra.evaluate.figures import Line, Seen, is_published, listed, none_of, seen_until, visible
from jobs.sources import load as load_source
from ml.answer_key import pseudonymisers

SOURCE, PURPOSE = "wearables", "care"
TABLES = {"daily": "daily_summary", "readings": "home_reading", "questionnaires": "questionnaire"}
"""The platform's names of what needs consent, and ours."""


def figures(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Nothing before wearables are loaded."""
    seen = seen_until(SOURCE)
    if not seen:
        return
    planted = _never_consented(key, seen)
    making, found = pseudonymisers(seen), 0
    for theirs, entity in TABLES.items():
        table = load_source(SOURCE).tables[entity]
        name = f"silver.{SOURCE}__{entity}"
        wanted = [
            making[row["source"]].key(table.resource, row["record_id"].replace("/", "|"))
            for row in planted
            if row["table"] == theirs
        ]
        if wanted and is_published(name):
            rows = spark.table(name).where("not is_deleted")
            found += rows.join(listed(spark, table.key, wanted), table.key, "left_semi").count()
    yield none_of("unconsented_records_published", found, "records", len(planted))


def _never_consented(key: Path, seen: Seen) -> list[dict[str, Any]]:
    """What was sent of people who had not consented then, and have not since."""
    until = max(at.as_py() for at in seen.values())
    given = [
        row
        for row in pq.read_table(key / "consents.parquet").to_pylist()
        if row["purpose"] == PURPOSE and row["is_given"] and row["at"] <= until
    ]
    newest: dict[str, datetime] = {}
    for row in given:
        newest[row["participant_id"]] = max(row["at"], newest.get(row["participant_id"], row["at"]))
    return [
        row
        for row in visible(key / "unconsented.parquet", seen).to_pylist()
        if row["participant_id"] not in newest or newest[row["participant_id"]] < row["sent_at"]
    ]
