"""Any directory of NDJSON, served as a hospital."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.city.app import Servers
from infra.city.hospitals import GivenHospital
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
        ({"data.ndjson": b"no type here\n"}, "resource type of a file cannot be told"),
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
