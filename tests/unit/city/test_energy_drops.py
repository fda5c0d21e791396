"""The grid company's files: their form, counts and corrections; the same bytes in whatever steps days go by."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np

from infra.city.city import City
from infra.city.surroundings import energy
from tests.unit.city.conftest import SMALL
from tests.unit.city.test_population import TINY, files_of, key


def lines(path: Path) -> list[str]:
    content = path.read_bytes().decode("iso-8859-15")
    assert content.endswith("\r\n")
    assert content.count("\n") == content.count("\r\n")
    return content.split("\r\n")[:-1]


def rows(path: Path) -> list[dict[str, str]]:
    """Data rows by header; the stated count is checked."""
    header, *body = lines(path)
    sidecar = path.with_name(f"{path.name}.ok")
    if sidecar.exists():
        assert sidecar.read_text() == f"rows={len(body)}\n"
    else:
        trailer = body.pop()
        assert trailer == f"#ENDE;{len(body)}"
    return [dict(zip(header.split(";"), line.split(";"), strict=True)) for line in body]


def test_a_month_of_history_is_one_file_of_each_kind(made_home: Path) -> None:
    folder = made_home / "city/drops/energy"
    assert len(list(folder.glob("consumption_2025??.csv"))) == 12
    assert not list(folder.glob("*.part"))
    december = rows(folder / "consumption_202512.csv")
    assert len(december) == 31 * 8
    assert december[0]["Datum"] == "01.12.2025"
    assert all("," in r["Wärme_kWh"] and "." not in r["Wärme_kWh"] for r in december)
    july = rows(folder / "consumption_202507.csv")
    heat = [sum(float(r["Wärme_kWh"].replace(",", ".")) for r in part) for part in (december, july)]
    assert heat[0] > 2 * heat[1]
    assert len(rows(folder / "home_devices_202506.csv")) == 8
    for path in folder.glob("outages_*.csv"):
        outages = rows(path)
        assert len({r["Störung"] for r in outages}) == len(outages), "once a file"
    warned = [r for p in folder.glob("stress_warnings_*.csv") for r in rows(p)]
    assert {r["Art"] for r in warned} >= {"Kälte"}
    assert all(r["Stufe"] in "12" for r in warned)


def test_days_drop_files_and_corrections_as_the_key_says(home: Path, city: City) -> None:
    city.advance(14)
    folder = home / "city/drops/energy"
    assert len(rows(folder / "consumption_20260111.csv")) == 8
    told = {(r["date"], r["district"]): r for r in key(home, "energy_corrections")}
    again = sorted(folder.glob("consumption_*_v2.csv"))
    assert len(again) == len({day for day, _ in told}) > 0
    for path in again:
        corrected = {r["Netzgebiet"]: r for r in rows(path)}
        day = "-".join(reversed(next(iter(corrected.values()))["Datum"].split(".")))
        first_file = folder / path.name.replace("_v2", "")
        if not first_file.exists():
            first_file = folder / f"{path.name[:18]}.csv"
        first = {r["Netzgebiet"]: r for r in rows(first_file) if r["Datum"] == corrected["CW01"]["Datum"]}
        differ = [a for a in corrected if corrected[a] != first[a]]
        assert [(day, a) for a in differ] == [k for k in told if k[0] == day]
        assert path.stat().st_mtime > first_file.stat().st_mtime, "what comes later is newer"
    assert (folder / "consumption_20260111.csv").stat().st_mtime == (SMALL.now_day + 11) * 86_400, (
        "by the city's clock"
    )
    ends: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.glob("outages_202601??.csv")):
        for row in rows(path):
            ends[row["Störung"]].append(row["Ende"])
    assert ends
    assert all(not e for found in ends.values() for e in found[:-1])


def test_ten_days_in_two_calls_give_the_bytes_of_one(tmp_path: Path) -> None:
    City.open(tmp_path / "a", TINY).close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name, steps in (("a", (10,)), ("b", (4, 6))):
        for days in steps:
            city = City.open(tmp_path / name, TINY)
            city.advance(days)
            city.close()
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert any(name.startswith("drops/energy/") for name in files_of(tmp_path / "a"))


def test_files_that_a_crash_left_out_are_dropped_at_the_next_start(home: Path, city: City) -> None:
    city.advance(2)
    city.close()
    folder = home / "city/drops/energy"
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    for path in folder.glob("*_20260102.csv*"):
        path.unlink()
    (home / "city/delivered").write_text(str(SMALL.now_day + 1))
    City.open(home / "city", SMALL).close()
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_consumption_follows_the_cold() -> None:
    supply = energy.Supply(7, 2000, SMALL.first_day, 1.0)
    days = np.arange(SMALL.first_day, SMALL.now_day)
    _, heat = energy.consumption(supply, days)
    assert heat[:30].sum() > 3 * heat[180:210].sum()
    assert abs(supply.households.sum() - 1000) < 5
