"""What the README shows is true: its example of a new source goes from its two files to silver."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from jobs.settings import PROJECT_DIR
from jobs.sources import load_file, reading
from tests.support.lake import Export, TestLake, instant, totals
from tests.support.readme import examples


def test_a_source_is_three_files_and_no_other(
    lake: TestLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = examples("jobs/")
    assert sorted(shown) == ["jobs/silver/noise.py", "jobs/sources/noise.yml"]
    declaration = tmp_path / "noise.yml"
    declaration.write_text(shown["jobs/sources/noise.yml"])
    source = load_file(declaration)
    others = reading.load_all()
    monkeypatch.setattr(reading, "load_all", lambda: {**others, "noise": source})
    transforms = ModuleType("jobs.silver.noise")
    exec(shown["jobs/silver/noise.py"], transforms.__dict__)
    monkeypatch.setitem(sys.modules, "jobs.silver.noise", transforms)

    levels = [{"meter": f"M{n}", "hour": "2026-01-01T00:00:00Z", "level": 61.2} for n in range(30)]
    levels.append({"meter": "M1", "hour": "2026-01-01T01:00:00Z", "level": 612})
    counted = totals(lake.ingest("noise_city", Export(instant("2026-01-02"), {"Level": levels})))
    assert counted == {"received": 31, "published": 30, "quarantined": 1}
    rows = lake.rows("select meter_id, level_db from silver.noise__level where meter_id = 'M1'")
    assert rows == [{"meter_id": "M1", "level_db": 61.2}]


def test_every_source_has_its_line() -> None:
    _, _, below = (PROJECT_DIR / "README.md").read_text().partition("| source | how it comes |")
    table, _, _ = below.partition("\n\n")
    missing = [name for name in reading.load_all() if f"`{name}`" not in table]
    assert not missing, (
        f"add to the table of sources in README.md how it comes and what it carries: {missing}"
    )
