"""Any directory of NDJSON, served as a hospital."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.city import given as given_module
from infra.city.given import GivenHospital
from infra.city.web import Servers
from jobs.errors import CitywellError
from tests.unit.city.served import Client, register_keys, served

PATIENT = b'{"resourceType":"Patient","id":"p1"}\n'
NEWEST = 1_767_225_600


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "more").mkdir(parents=True)
    (data / "Patient.ndjson").write_bytes(PATIENT + b"\n" + b'{"resourceType":"Patient","id":"p2"}')
    with gzip.open(data / "Location.1767225600000.ndjson.gz", "wb") as file:
        file.write(b'{"resourceType":"Location","id":"l1"}\n' * 3)
    (data / "more" / "Export-0.ndjson").write_bytes(b'not json\n{"id":"d1","resourceType":"Device"}\n')
    (data / "notes.txt").write_text("not served")
    for path in data.rglob("*.ndjson*"):
        os.utime(path, (NEWEST, NEWEST))
    return data


@pytest.fixture
def given(directory: Path, tmp_path: Path) -> Iterator[tuple[Servers, Path]]:
    home = tmp_path / "home"
    (home / "city").mkdir(parents=True)
    register_keys(home)
    with served(home, None, GivenHospital(directory, home / "city/given_counts.json")) as servers:
        yield servers, home


def test_every_line_of_every_file_is_served(given: tuple[Servers, Path]) -> None:
    client = Client(*given, "given")
    manifest = client.export()
    assert manifest["transactionTime"] == "2026-01-01T00:00:00.000Z"
    assert {(r["type"], r["url"].split("/")[-1].split("?")[0], r["count"]) for r in manifest["output"]} == {
        ("Patient", "Patient.ndjson", 2),
        ("Location", "Location.1767225600000.ndjson", 3),
        ("Device", "Export-0.ndjson", 2),
    }
    location = next(r for r in manifest["output"] if r["type"] == "Location")
    assert client.get(location["url"]).headers["content-encoding"] == "gzip"
    plain = client.get(location["url"], **{"Accept-Encoding": "identity"})
    assert plain.content == b'{"resourceType":"Location","id":"l1"}\n' * 3
    patient = next(r for r in manifest["output"] if r["type"] == "Patient")
    assert client.get(patient["url"]).content.endswith(b'"p2"}'), "as it lies there, without a final newline"


def test_types_and_levels(given: tuple[Servers, Path]) -> None:
    client = Client(*given, "given")
    assert {r["type"] for r in client.export("Patient/$export")["output"]} == {"Patient", "Device"}
    assert {r["type"] for r in client.export(_type="Location")["output"]} == {"Location"}


def test_it_has_no_since_and_no_deletions(given: tuple[Servers, Path]) -> None:
    manifest = Client(*given, "given").export(_since="2030-01-01T00:00:00Z")
    assert sum(r["count"] for r in manifest["output"]) == 7
    assert manifest["deleted"] == []


def test_assessments_are_taken_for_its_patients(given: tuple[Servers, Path]) -> None:
    client = Client(*given, "given")
    for id_, status in (("p2", 201), ("p3", 422)):
        body = {
            "resourceType": "RiskAssessment",
            "status": "final",
            "subject": {"reference": f"Patient/{id_}"},
        }
        answer = client.http.post(f"{client.base}/RiskAssessment", json=body, headers=client.headers())
        assert answer.status_code == status


def test_the_clock_is_that_of_the_files_and_cannot_be_advanced(given: tuple[Servers, Path]) -> None:
    client = Client(*given, "given")
    assert client.http.get("http://testserver/city/clock").json() == {"now": "2026-01-01T00:00:00.000Z"}
    assert client.http.post("http://testserver/city/advance", json={"days": 1}).status_code == 400


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no NDJSON"),
        ({"notes.txt": b"x"}, "holds no NDJSON"),
        ({"data.ndjson": b"no type here\n"}, "data.ndjson: its resource type cannot be told"),
        ({"Patient.ndjson": b"\r\n\n", "._Patient.ndjson": PATIENT}, "can be served: .* hidden; .* empty"),
        ({"Patient.ndjson.gz": gzip.compress(PATIENT)[:-4]}, "cut off or damaged"),
    ],
)
def test_a_directory_that_cannot_be_served_is_refused(
    tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CitywellError, match=words):
        GivenHospital(tmp_path, tmp_path / "counts.json")
    with pytest.raises(CitywellError, match="not a directory"):
        GivenHospital(tmp_path / "nowhere", tmp_path / "counts.json")


# Directories as people have them


@contextmanager
def directory_of(tmp_path: Path, files: dict[str | bytes, bytes], at: float = NEWEST) -> Iterator[Client]:
    """A client of the hospital that serves a directory of these files; ``client.said`` is what it warned of."""
    home, data = tmp_path / "home", tmp_path / "data"
    (home / "city").mkdir(parents=True)
    data.mkdir()
    register_keys(home)
    for name, content in files.items():
        path = os.path.join(os.fsencode(data), os.fsencode(name))
        with open(path, "wb") as out:
            out.write(content)
        os.utime(path, (at, at))
    said: list[str] = []
    given = GivenHospital(data, home / "city" / "surveys.json", said.append)
    with served(home, None, given) as servers:
        client = Client(servers, home, "given")
        client.said = said  # type: ignore[attr-defined]
        yield client


def observation(name: str, **more: Any) -> bytes:
    return json.dumps({"resourceType": "Observation", "id": name, **more}).encode() + b"\n"


def bodies(client: Client, manifest: dict[str, Any]) -> dict[str, list[bytes]]:
    """The lines of each type as a client receives them; every file is as long as the manifest says."""
    found: dict[str, list[bytes]] = {}
    for row in manifest["output"]:
        answer = client.get(row["url"])
        assert answer.status_code == 200
        lines = [
            line for line in answer.content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b"\r")
        ]
        assert len(lines) == row["count"]
        found.setdefault(row["type"], []).extend(lines)
    return found


def test_names_that_mean_something_in_a_link_or_are_no_text_are_served(tmp_path: Path) -> None:
    names: list[str | bytes] = [
        "Patient#1.ndjson",
        "Patient?2.ndjson",
        "Patient%20%2F3.ndjson",
        "Patient 患.ndjson",
    ]
    names += [b"Patient-\xff\xfe.ndjson", "Patient." + "x" * 240 + ".ndjson"]
    with directory_of(tmp_path, dict.fromkeys(names, PATIENT)) as client:
        found = bodies(client, client.export())
    assert found == {"Patient": [PATIENT.rstrip()] * 6}


def test_strays_are_left_out_with_a_warning_and_the_rest_is_served(tmp_path: Path) -> None:
    files: dict[str | bytes, bytes] = {
        "Patient.ndjson": PATIENT,
        "log.ndjson": b'{"eventId":"kickoff","eventDetail":{"resourceType":"Patient"}}\n',
        "._Patient.ndjson": b"\x00\x05\x16\x07",
        "Encounter.ndjson": b"",
        "Condition.ndjson": b"\xef\xbb\xbf\r\n\r\r\n",
        b"\xff.ndjson": b"",
    }
    with directory_of(tmp_path, files) as client:
        assert set(bodies(client, client.export())) == {"Patient"}
        said: list[str] = client.said  # type: ignore[attr-defined]
    assert len(said) == 5
    for name, reason in (
        ("log.ndjson", "type cannot be told"),
        ("._Patient.ndjson", "hidden"),
        ("Encounter.ndjson", "empty"),
        ("Condition.ndjson", "empty"),
    ):
        assert any(name in words and reason in words for words in said)


@pytest.mark.parametrize("cut", [b"Location.ndjson.gz", b"other.ndjson.gz"])
def test_a_file_cut_off_is_named_as_an_error_and_the_others_are_served(tmp_path: Path, cut: bytes) -> None:
    location = b"".join(b'{"resourceType":"Location","id":"%d"}\n' % n for n in range(5000))
    files: dict[str | bytes, bytes] = {
        "Patient.ndjson": PATIENT,
        cut: gzip.compress(location)[:-20],
        "Device.ndjson.gz": gzip.compress(b'{"resourceType":"Device","id":"d"}\n'),
    }
    with directory_of(tmp_path, files) as client:
        manifest = client.export()
        assert set(bodies(client, manifest)) == {"Patient", "Device"}
        (error,) = manifest["error"]
        problem = json.loads(client.get(error["url"]).content)
        assert problem["resourceType"] == error["type"] == "OperationOutcome"
        assert f"{cut.decode()} is left out: its gzip stream is cut off" in problem["issue"][0]["diagnostics"]
        assert client.export(_type="Location")["error"]
        is_told = cut.startswith(b"Location")
        assert bool(client.export(_type="Device")["error"]) != is_told, (
            "what may hold the type asked for is named"
        )


def test_what_a_file_is_packed_as_is_seen_by_its_content(tmp_path: Path) -> None:
    files: dict[str | bytes, bytes] = {
        "Patient.ndjson.gz": PATIENT,
        "Device.ndjson": gzip.compress(b'{"resourceType":"Device","id":"d"}\n'),
    }
    with directory_of(tmp_path, files) as client:
        manifest = client.export()
        assert manifest["error"] == []
        assert {t: len(lines) for t, lines in bodies(client, manifest).items()} == {"Patient": 1, "Device": 1}


def test_a_file_of_several_types_is_served_as_a_file_of_each_and_no_line_is_lost(tmp_path: Path) -> None:
    patient = PATIENT.rstrip()
    lines = [
        b"\xef\xbb\xbf" + observation("o1").rstrip(),
        patient,
        b"not json",
        b"",
        observation("o2", contained=[{"resourceType": "Patient"}]).rstrip() + b"\r",
        b"{'resourceType':'Patient'}",
        b'{"resourceType":"Nonsense"}',
        patient,
        observation("o3").rstrip(),
    ]
    with directory_of(tmp_path, {"all.ndjson": b"\n".join(lines)}) as client:
        found = bodies(client, client.export())
        assert found["Patient"] == [patient] * 2
        everything = Counter(line for group in found.values() for line in group)
        assert everything == Counter(line.removeprefix(b"\xef\xbb\xbf") for line in lines if line)
        assert len(found["Observation"]) == 6
        assert set(bodies(client, client.export(_type="Patient"))) == {"Patient"}
        body = {
            "resourceType": "RiskAssessment",
            "status": "final",
            "subject": {"reference": "Patient/p1"},
        }
        answer = client.http.post(f"{client.base}/RiskAssessment", json=body, headers=client.headers())
        assert answer.status_code == 201


def test_the_type_of_an_oddly_named_file_is_its_resources_own_not_a_contained_ones(tmp_path: Path) -> None:
    contained = b'{"contained":[{"resourceType":"Patient"}],"resourceType":"Device","id":"d"}\n'
    with directory_of(tmp_path, {"part-0.ndjson": contained}) as client:
        assert set(bodies(client, client.export())) == {"Device"}


@pytest.mark.parametrize(
    ("mtime", "updated", "expected"),
    [
        (NEWEST, None, "2026-01-01T00:00:00.000Z"),
        (NEWEST, "2026-02-01T01:00:00.1234+01:00", "2026-02-01T00:00:00.124Z"),
        (NEWEST, "2025-02-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
        (315_532_800, "2025-02-01T00:00:00Z", "2025-02-01T00:00:00.000Z"),
        (NEWEST, "9998-12-31T00:00:00Z", "2026-01-01T00:00:00.000Z"),
        (NEWEST, "yesterday", "2026-01-01T00:00:00.000Z"),
    ],
)
def test_the_export_is_as_new_as_its_files_and_records(
    tmp_path: Path, mtime: float, updated: str | None, expected: str
) -> None:
    meta = {"meta": {"lastUpdated": updated}} if updated else {}
    with directory_of(tmp_path, {"o.ndjson": observation("o", **meta)}, at=mtime) as client:
        assert client.export()["transactionTime"] == expected


def test_an_archive_without_times_is_as_new_as_its_arrival_here(tmp_path: Path) -> None:
    with directory_of(tmp_path, {"Patient.ndjson": PATIENT}, at=315_532_800) as client:
        moment = datetime.fromisoformat(client.export()["transactionTime"])
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_file_is_surveyed_once_and_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    survey = given_module._surveyed
    monkeypatch.setattr(given_module, "_surveyed", lambda path: looked.append(path.name) or survey(path))
    with directory_of(tmp_path, {"Patient.ndjson": PATIENT}) as client:
        client.export()
        (tmp_path / "data" / "Patient.ndjson").write_bytes(PATIENT * 2)
        assert [row["count"] for row in client.export()["output"]] == [2]
    (tmp_path / "home" / "city" / "surveys.json").write_bytes(b'{"old": 1}')
    GivenHospital(tmp_path / "data", tmp_path / "home" / "city" / "surveys.json")
    GivenHospital(tmp_path / "data", tmp_path / "home" / "city" / "surveys.json")
    assert looked == ["Patient.ndjson"] * 3
