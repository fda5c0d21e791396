"""The generated city: reproducible, continued as it was, and its labels are the drawn ones."""

from __future__ import annotations

import errno
import shutil
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from infra.city.city import City
from infra.city.habits import HOSPITALS
from infra.city.options import Options
from infra.city.segment import SegmentWriter
from infra.city.simulation import World
from jobs.errors import CitywellError
from tests.unit.city.conftest import SMALL
from tests.unit.city.served import resources

TINY = Options(population=60, years=0.3, admission_factor=4.0)


def files_of(root: Path) -> dict[str, bytes]:
    """All of a city but its compressed state and lock."""
    kept = [p for p in root.rglob("*") if p.is_file() and p.suffix not in (".npz",) and p.name != "lock"]
    return {str(p.relative_to(root)): p.read_bytes() for p in kept}


def key(home: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(home / "city" / "answer_key" / f"{name}.parquet").to_pylist()
    return rows


def test_equal_options_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        City.open(tmp_path / name, TINY).close()
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    City.open(tmp_path / "c", replace(TINY, seed=8)).close()
    assert files_of(tmp_path / "c") != files_of(tmp_path / "a")


@pytest.mark.parametrize("place", ["segment", "state", "answer key", "drops"])
def test_a_day_that_cannot_be_written_has_not_been_lived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    City.open(tmp_path / "a", TINY).close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    undisturbed = City.open(tmp_path / "a", TINY)
    undisturbed.advance(2)
    undisturbed.close()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    city = City.open(tmp_path / "b", TINY)
    before = city.moment
    with monkeypatch.context() as patched:
        if place == "segment":
            patched.setattr("infra.city.segment.write_segment_file", full)
        elif place == "state":
            patched.setattr("numpy.savez", full)
        elif place == "answer key":
            patched.setattr("infra.city.answer_key.publish", full)
        else:
            patched.setattr("infra.city.drops.shutil.copyfile", full)
        with pytest.raises(OSError, match="No space"):
            city.advance(2)
    is_lived = place in ("answer key", "drops")
    assert (city.moment != before) == is_lived, "a day on disk has been lived"
    city.advance(1 if is_lived else 2)
    city.close()
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_the_clock_moves_when_the_day_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    city = City.open(tmp_path / "a", TINY)
    seen: list[tuple[str, int]] = []
    write = SegmentWriter.write

    def looked(writer: SegmentWriter, *rest: Any) -> None:
        write(writer, *rest)
        seen.append((city.now, city.segments))

    monkeypatch.setattr(SegmentWriter, "write", looked)
    city.advance(1)
    city.close()
    assert seen == [("2026-01-01T00:00:00Z", 1)]
    assert (city.now, city.segments) == ("2026-01-02T00:00:00Z", 2)


def test_days_are_the_same_in_one_go_or_one_by_one_and_over_a_restart(tmp_path: Path) -> None:
    City.open(tmp_path / "a", TINY).close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    at_once = City.open(tmp_path / "a", TINY)
    at_once.advance(3)
    at_once.close()
    for _ in range(3):
        restarted = City.open(tmp_path / "b", TINY)
        restarted.advance(1)
        restarted.close()
    assert at_once.now == restarted.now == "2026-01-04T00:00:00Z"
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_a_crash_before_the_commit_leaves_the_city_as_it_was(tmp_path: Path) -> None:
    City.open(tmp_path / "a", TINY).close()
    before = files_of(tmp_path / "a")
    half_written = tmp_path / "a" / "segments" / "00001" / "north"
    half_written.mkdir(parents=True)
    (half_written / "Patient.ndjson").write_bytes(b'{"resourceType":"Pat')
    (tmp_path / "a" / "state" / "00002.npz").write_bytes(b"half")
    city = City.open(tmp_path / "a", TINY)
    city.close()
    assert city.now == "2026-01-01T00:00:00Z"
    assert files_of(tmp_path / "a") == before


def test_other_options_and_a_second_server_are_refused(city: City) -> None:
    with pytest.raises(CitywellError, match="another process"):
        City.open(city.root, SMALL)
    city.close()
    with pytest.raises(CitywellError, match=r"population 300 \(asked: 301\)"):
        City.open(city.root, replace(SMALL, population=301))


@pytest.mark.parametrize(
    "wrong",
    [{"population": 0}, {"years": 0}, {"dirt": -1}, {"now": "2026-01-01"}, {"now": "2026-01-01T06:00:00Z"}],
)
def test_options_that_make_no_city_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CitywellError):
        Options(**wrong)


def test_the_default_city_has_discharges_enough_and_a_learnable_risk() -> None:
    options = Options()
    world = World(options.seed, options.admission_factor, options.first_day)
    world.settle(options.population)
    _, stays = world.live(options.history_days)
    risk, outcome = stays["true_risk"], stays["readmitted"]
    assert len(risk) >= 1200
    assert 0.12 <= outcome.mean() <= 0.18
    assert 0.72 <= roc_auc_score(outcome, risk) <= 0.82


def test_outcomes_are_drawn_from_the_true_risk() -> None:
    world = World(seed=3, admission_factor=4.0, day=20_000)
    world.settle(2_500)
    _, stays = world.live(300)
    risk, outcome = stays["true_risk"], stays["readmitted"]
    spread = np.sqrt((risk * (1 - risk)).sum())
    assert abs(outcome.sum() - risk.sum()) < 3.5 * spread
    high = risk > np.quantile(risk, 0.9)
    assert abs(outcome[high].mean() - risk[high].mean()) < 0.07


def test_the_label_in_the_served_data_is_the_drawn_outcome(made_home: Path) -> None:
    """Stays joined over transfers, index stays, unplanned return in 30 days: read from the lines, as a model would."""
    drawn = {(r["source"], r["encounter_id"]): r for r in key(made_home, "discharges")}
    found: dict[tuple[str, str], bool] = {}
    for habits in HOSPITALS:
        by_patient = defaultdict(list)
        for e in newest(made_home, habits.name, "Encounter"):
            counts = e["status"] in ("finished", "in-progress") and e["class"]["code"] in ("IMP", "ACUTE")
            if counts:
                by_patient[e["subject"]["reference"]].append(e)
        for encounters in by_patient.values():
            stays = joined(sorted(encounters, key=lambda e: moment(e["period"]["start"])))
            for stay in stays:
                if stay["end"] is not None and stay["way"] not in ("exp", "hosp", "other-hcf"):
                    found[habits.source, stay["last_id"]] = any(
                        timedelta(0) < other["start"] - stay["end"] <= timedelta(days=30)
                        for other in stays
                        if not other["planned"]
                    )
    assert found.keys() == drawn.keys()
    observable = {k: r["readmitted_30d"] for k, r in drawn.items() if r["is_observable"]}
    assert len(observable) > 200
    assert {k: found[k] for k in observable} == observable


def test_people_known_to_two_hospitals_have_other_ids_and_one_person(made_home: Path) -> None:
    persons = key(made_home, "persons")
    by_person = defaultdict(set)
    for row in persons:
        by_person[row["person_id"]].add((row["source"], row["patient_id"]))
    assert max(len(v) for v in by_person.values()) >= 2
    assert len({r["patient_id"] for r in persons}) == len(persons)
    for habits in HOSPITALS:
        ids = {p["id"] for p in newest(made_home, habits.name, "Patient")}
        assert ids == {r["patient_id"] for r in persons if r["source"] == habits.source}


def newest(home: Path, hospital: str, type_: str) -> list[dict[str, Any]]:
    """The newest version of each sound record in the first segment."""
    lines = (home / "city/segments/00000" / hospital / f"{type_}.ndjson").read_bytes().split(b"\n")[:-1]
    versions: dict[str, dict[str, Any]] = {}
    for r in resources(lines):
        is_sound = r["resourceType"] == type_ and isinstance(r.get("status", ""), str)
        if is_sound and updated(r) >= updated(versions.get(r["id"], r)):
            versions[r["id"]] = r
    return list(versions.values())


def updated(resource: dict[str, Any]) -> datetime:
    return moment(resource["meta"]["lastUpdated"])


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def joined(encounters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stays of one patient, transfers within the hospital joined."""
    stays: list[dict[str, Any]] = []
    for e in encounters:
        hospitalization = e.get("hospitalization", {})
        source = hospitalization.get("admitSource", {}).get("coding", [{}])[0].get("code")
        way = hospitalization.get("dischargeDisposition", {}).get("coding", [{}])[0].get("code")
        end = moment(e["period"]["end"]) if "end" in e["period"] else None
        start = moment(e["period"]["start"])
        if source == "hosp-trans" and stays and stays[-1]["way"] == "other-hcf" and stays[-1]["end"] == start:
            stays[-1].update(end=end, way=way, last_id=e["id"])
            continue
        planned = e["priority"]["coding"][0]["code"] == "EL"
        stays.append({"start": start, "end": end, "way": way, "planned": planned, "last_id": e["id"]})
    return stays
