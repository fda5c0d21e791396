"""Which planted slips the evaluation asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.city.answer_key import SCHEMAS
from infra.evaluate.figures import keys
from infra.evaluate.values import servable
from jobs.settings import settings
from tests.support.lake import PSEUDONYM_KEY

AT = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = {"hospital_north": pa.scalar(AT, pa.timestamp("ms", tz="UTC"))}


def test_a_slip_that_came_in_no_readable_record_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYWELL_HOME", str(tmp_path))
    settings.cache_clear()
    settings().keys_dir.mkdir(parents=True)
    (settings().keys_dir / "pseudonym.key").write_text(PSEUDONYM_KEY)

    def told(table: str, record: str, kind: str | None = None) -> dict[str, object]:
        row = {"source": "hospital_north", "resource_type": "Observation", "resource_id": record}
        known = {**row, "kind": kind, "visible_at": AT}
        return {name: known.get(name) for name in SCHEMAS[table].names}

    tables = {
        "corrupt_lines": [told("corrupt_lines", "torn", "truncated")],
        "deleted": [told("deleted", "gone")],
        "oddities": [
            told("oddities", "mistyped", "wrong_resource_type"),
            told("oddities", "undated", "bad_date"),
        ],
    }
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[name]), tmp_path / f"{name}.parquet")
    slips = [told("unit_slips", one) for one in ("torn", "gone", "mistyped", "undated", "sound")]
    planted = keys(pa.Table.from_pylist(slips, SCHEMAS["unit_slips"]), "Observation")
    assert servable(tmp_path, SEEN, planted) == set(planted[3:])
    settings.cache_clear()
