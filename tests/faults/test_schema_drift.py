"""A source whose columns are others one day: what is new is kept and announced; what is gone, renamed or retyped stops
that source alone, by name, and after the declaration or the file is mended every record is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jobs import ingest
from jobs.errors import CitywellError
from jobs.lake import control, landing
from jobs.settings import settings
from tests.support.lake import TestLake
from tests.support.promises import assert_promises

GRID = "energy_grid"
NAMES = ["Netzgebiet", "Datum", "Strom_kWh", "Wärme_kWh", "Zählpunkte"]
AREAS = [f"CW{n:02}" for n in range(1, 31)]
PUBLISHED = [
    {"district_code": area, "electricity_kwh": 1250.5, "heat_kwh": 800.25, "meters": 412} for area in AREAS
]
WEEKS = count()
READ = "select district_code, electricity_kwh, heat_kwh, meters from silver.energy__consumption where consumed_date = "


@dataclass(frozen=True)
class Grid:
    """The grid company, which drops files in ``directory``. week: counts the tests, which share a lake."""

    lake: TestLake
    directory: Path
    week: int

    def morning(self, day: int) -> datetime:
        return datetime(2026, 3, 2, 4, 30, tzinfo=UTC) + timedelta(days=7 * self.week + day)

    def lines(self, day: int, **other: str) -> list[dict[str, str]]:
        """What every area consumed on the day before."""
        date = f"{self.morning(day - 1):%d.%m.%Y}"
        return [
            dict(zip(NAMES, (area, date, "1.250,5", "800,25", "412"), strict=True)) | other for area in AREAS
        ]

    def drop(self, day: int, names: list[str], lines: list[dict[str, str]]) -> None:
        """A file of consumption, two hours before ``day``'s run."""
        rows = [
            ";".join(names),
            *(";".join(row[name] for name in names) for row in lines),
            f"#ENDE;{len(lines)}",
        ]
        self.write(day, f"consumption_{self.morning(day):%Y%m%d}.csv", rows)

    def write(self, day: int, name: str, rows: list[str]) -> None:
        path = self.directory / name
        path.write_bytes("".join(f"{row}\n" for row in rows).encode("iso-8859-15"))
        os.utime(path, (self.morning(day).timestamp() - 7200,) * 2)

    def take(self, day: int) -> dict[str, Any]:
        """``day``'s run."""
        return ingest.ingest(GRID, self.morning(day).isoformat())

    def is_published(self, day: int) -> bool:
        """Whether what was consumed on the day before is there, every value of it; or nothing at all."""
        rows = self.lake.rows(f"{READ} date'{self.morning(day - 1):%Y-%m-%d}' order by 1")
        assert rows in ([], PUBLISHED)
        return bool(rows)


@pytest.fixture
def grid(lake: TestLake) -> Iterator[Grid]:
    """After one day whose file is as declared."""
    directory = settings().city_dir / "drops" / "energy"
    directory.mkdir(parents=True)
    grid = Grid(lake, directory, next(WEEKS))
    grid.drop(0, NAMES, grid.lines(0))
    assert grid.take(0)["published"] == len(AREAS)
    yield grid
    shutil.rmtree(directory)
    assert grid.is_published(0)
    assert_promises()


def test_a_column_added_is_kept_and_announced(grid: Grid) -> None:
    grid.drop(1, [*NAMES[:2], "Solar_kWh", *NAMES[2:]], grid.lines(1, Solar_kWh="77,125"))
    done = grid.take(1)
    assert done["published"] == len(AREAS)
    assert [finding for finding in done["findings"] if "Solar_kWh" in finding]
    assert grid.is_published(1)
    key = landing.load_key(settings().keys_dir / "landing.key")
    files = landing.batch_dir(settings().landing_dir, GRID, done["batch_id"]).glob("*.cwl")
    landed = b"".join(frame for file in files for frame in landing.read_frames(file, key))
    assert landed.count(b"77,125") == len(AREAS)


def test_columns_in_another_order_are_no_trouble(grid: Grid) -> None:
    grid.drop(1, NAMES[::-1], grid.lines(1))
    assert grid.take(1)["findings"] == []
    assert grid.is_published(1)


@pytest.mark.parametrize("fault", ["removed", "renamed", "retyped"])
def test_a_column_that_is_not_what_was_declared_stops_the_source(grid: Grid, fault: str) -> None:
    names = {
        "removed": NAMES[:-1],
        "renamed": [*NAMES[:-1], "Zählpunkte_gesamt"],
        "retyped": NAMES,
    }[fault]
    other = {"Zählpunkte_gesamt": "412"} if fault == "renamed" else {"Zählpunkte": "vierhundert"}
    grid.drop(1, names, grid.lines(1, **other))
    with pytest.raises(CitywellError) as stopped:
        grid.take(1)
    said = str(stopped.value)
    assert {
        "removed": "Zählpunkte",
        "renamed": "'Zählpunkte_gesamt' is 'Zählpunkte' now",
        "retyped": "30 by invalid_value:meters",
    }[fault] in said
    assert "vierhundert" not in said
    assert not grid.is_published(1)

    grid.drop(1, NAMES, grid.lines(1))
    assert grid.take(2)["published"] == len(AREAS)
    assert grid.is_published(1)


def test_a_file_without_its_header_stops_the_source_and_none_of_its_cells_is_told(grid: Grid) -> None:
    rows = [
        "Quill;1961-04-09;470123456789;Mill Street 4;C-77",
        *(";".join(r.values()) for r in grid.lines(1)),
    ]
    grid.write(1, f"consumption_{grid.morning(1):%Y%m%d}.csv", [*rows, f"#ENDE;{len(rows)}"])
    with pytest.raises(CitywellError) as stopped:
        grid.take(1)
    with control.connect() as conn:
        said = f"{stopped.value} {[batch.failure for batch in control.batches(conn, GRID)]}"
    assert said.count("The file has no header") == 2
    assert not [cell for cell in rows[0].split(";") if cell in said]
    assert not grid.is_published(1)

    grid.drop(1, NAMES, grid.lines(1))
    assert grid.take(2)["published"] == len(AREAS)
    assert grid.is_published(1)


def test_an_unknown_value_of_an_enumeration_is_held_back_alone(grid: Grid) -> None:
    names = "Störung;Beginn;Ende;Netzgebiet;Kunden;Heimgeräte;Ursache"
    day = f"{grid.morning(0):%d.%m.%Y}"
    outages = [
        f"{cause} {day};{day} 10:00;{day} 11:00;CW01;50;2;{cause}"
        for cause in ("storm", "sabotage", "overload")
    ]
    name = f"outages_{grid.morning(0):%Y%m%d}.csv"
    grid.write(1, name, [names, *outages])
    grid.write(1, f"{name}.ok", ["3"])
    done = grid.take(1)
    assert (done["received"], done["published"], done["quarantined"]) == (3, 2, 1)
    causes = {row["cause"] for row in grid.lake.rows("select cause from silver.energy__outage")}
    assert causes == {"storm", "overload"}
    held = grid.lake.rows(f"select rule from quality.quarantine where batch_id = '{done['batch_id']}'")
    assert [row["rule"] for row in held] == ["value_set:cause"]
