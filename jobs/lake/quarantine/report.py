"""A defect report that can be sent to the sender: where, which rule, what was expected; no value of any record."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from jobs.lake import control, rules
from jobs.lake.quarantine.looking import records
from jobs.sources import Source, find_endpoint

REPORT_COLUMNS = (
    "source", "batch_id", "file", "sent_as", "line", "line_hash", "resource_type", "rule", "reason", "expected",
    "quarantined_at", "repaired_by",
)  # fmt: skip
"""sent_as: what a dropped file is called at its sender. expected: what would have been accepted."""
_OF_LINES = {
    "invalid_json": "one JSON object a line (RFC 8259)",
    "invalid_utf8": "text in UTF-8",
    "duplicate_key": "an object that names each key once",
    "nul_character": "text without the character NUL",
    "line_too_long": "a line of at most 64 MiB",
    "missing_id": "an id",
    "wrong_resource_type": "the resource type that the file is declared to hold",
    "invalid_deletion": "a Bundle of entries DELETE Type/id of this server",
    "unknown_modifier": "a resource without modifier extensions and implicit rules",
    "contained_not_read": "results as records of their own, a contained Medication once and with its code",
    "version_in_future": "a version dated no later than the delivery",
    "wrong_cell_count": "as many cells as the header has",
    "unbalanced_quote": "quotes that are closed (RFC 4180)",
    "unconvertible_unit": "a unit of what is measured",
    "unit_in_doubt": "the unit and the decimal point that the value was measured with",
    "no_consent": "no records of people who do not consent",
}


def write_report(source: str, out: TextIO, form: Literal["csv", "json"] = "csv") -> int:
    """Write the rejected records of an endpoint as CSV, or as JSON with a summary by rule; their number."""
    definition, _ = find_endpoint(source)
    rejected = _described(definition, records(source, held=True))
    if form == "csv":
        writer = csv.DictWriter(out, REPORT_COLUMNS)
        writer.writeheader()
        writer.writerows(rejected)
    else:
        json.dump(_document(source, rejected), out, indent=1, default=str)
        out.write("\n")
    return len(rejected)


def _document(source: str, rejected: list[dict[str, Any]]) -> dict[str, Any]:
    by_rule: dict[tuple[str, str], dict[str, Any]] = {}
    for record in rejected:
        found = by_rule.setdefault(
            (record["resource_type"], record["rule"]),
            {name: record[name] for name in ("resource_type", "rule", "expected")}
            | {"records": 0, "open": 0},
        )
        found["records"] += 1
        found["open"] += record["repaired_by"] is None
    return {
        "source": source,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rules": sorted(by_rule.values(), key=lambda rule: -rule["records"]),
        "records": rejected,
    }


def _described(definition: Source, rejected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tables = {table.resource: table for table in definition.tables.values()}
    with control.connect() as conn:
        names = {
            (batch_id, file.file): file.origin
            for batch_id in {record["batch_id"] for record in rejected}
            for file in control.landed_files(conn, batch_id)
        }
    described = []
    for record in rejected:
        table = tables.get(record["resource_type"])
        expected = _OF_LINES.get(record["rule"]) or (
            rules.expectation(table, record["rule"]) if table else ""
        )
        sent_as = names.get((record["batch_id"], record["file"]))
        found = {**record, "sent_as": sent_as, "expected": expected}
        described.append({name: found[name] for name in REPORT_COLUMNS})
    return described
