"""The extractor against the city simulator:

each hospital signs in, exports and sends its files its own way.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from bulk_installation import AS_OF, Installation
from bulk_server import FakeClock

from infra.stack.postgres import free_port
from jobs.extract import source_check
from jobs.extract.delivery import Places
from jobs.extract.smart_auth import ensure_key
from jobs.extract.waiting import SYSTEM_CLOCK
from jobs.lake import control
from jobs.sources import FhirEndpoint, SmartSignIn, load

HOSPITALS = ("hospital_north", "hospital_harbour", "hospital_university")


class RealClock(FakeClock):
    """The clock of the machine."""

    def clock(self) -> object:  # type: ignore[override]
        return SYSTEM_CLOCK


@contextmanager
def simulator(home: Path, *options: str) -> Iterator[str]:
    """Address of a running simulator that knows the keys of every hospital."""
    for name, endpoint in load("hospital").endpoints.items():
        assert isinstance(endpoint.auth, SmartSignIn)
        ensure_key(home / "keys" / f"fhir_{name}.pem", endpoint.auth.alg)
    port = free_port()
    command = [sys.executable, "-m", "infra.city", "serve", "--home", str(home), "--port", str(port)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--export-seconds", "0", *options], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{url}/city/clock", process, home / "log")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and home of a small running city."""
    home = tmp_path_factory.mktemp("city")
    with simulator(home, "--population", "60", "--years", "0.5") as url:
        yield url, home


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the simulator did not start: {log.read_text()[-2000:]}")


def endpoint_of(url: str, name: str) -> FhirEndpoint:
    short = name.removeprefix("hospital_")
    return load("hospital").endpoints[name].model_copy(update={"base_url": f"{url}/{short}/fhir"})


@pytest.mark.parametrize("name", HOSPITALS)
def test_a_hospital_is_read_whole_then_what_is_new(
    city: tuple[str, Path], conn: control.Connection, tmp_path: Path, name: str
) -> None:
    url, home = city
    hospital = Installation(
        conn, endpoint_of(url, name), Places(tmp_path / "landing", home / "keys"), RealClock()
    )
    results = source_check.check(hospital.endpoint, keys_dir=home / "keys")
    assert [r.verdict for r in results] == ["good"] * 5, results

    first = hospital.extract()
    assert first.complete, first.findings
    kinds = Counter()
    for file in first.files:
        records = [line for line in hospital.content(first, file.file).split(b"\n") if line.strip()]
        assert len(records) == file.expected_lines
        kinds[file.resource_type] += len(records)
    assert {"Patient", "Encounter", "Observation", "Organization", "Location"} <= set(kinds)
    hospital.publish(first)

    httpx.post(f"{url}/city/advance", content=json.dumps({"days": 2}), trust_env=False).raise_for_status()
    fault = {"kind": "revoke_tokens", "hospital": name.removeprefix("hospital_")}
    httpx.post(f"{url}/city/faults", json=fault, trust_env=False).raise_for_status()
    second = hospital.extract(AS_OF + timedelta(days=1))
    assert second.complete, second.findings
    assert second.transaction_time > first.transaction_time
    assert sum(file.lines for file in second.files) < kinds.total() / 2


def test_a_directory_as_people_have_it_lands_to_the_last_line(
    conn: control.Connection, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    line = b'{"resourceType":"%s","id":"%d"}\n'
    files = {
        b"Patient#1 \xff.ndjson": b"\xef\xbb\xbf" + b"".join(line % (b"Patient", n) for n in range(9)),
        b"Location.ndjson": b"\r\r\n" + line % (b"Location", 1) + b"\n\xef\xbb\xbf\n\r\n" + b"not json",
        b"mixed.ndjson": line % (b"Device", 1) + line % (b"Condition", 1) + line % (b"Device", 2),
        b"Encounter.ndjson.gz": gzip.compress(b"".join(line % (b"Encounter", n) for n in range(99)))[:-30],
        b"Procedure.ndjson.gz": line % (b"Procedure", 1),
        b"log.ndjson": b'{"eventId":"kickoff"}\n',
    }
    for name, content in files.items():
        with open(os.path.join(os.fsencode(data), name), "wb") as out:
            out.write(content)
    home = tmp_path / "home"
    home.mkdir()
    with simulator(home, "--only-given", "--hospital-data", str(data)) as url:
        endpoint = endpoint_of(url, "hospital_given")
        given = Installation(conn, endpoint, Places(tmp_path / "landing", home / "keys"), RealClock())
        result = given.extract()
    counts = Counter()
    for file in result.files:
        counts[file.resource_type] += file.lines - file.blank_lines
    del counts["OperationOutcome"]
    assert counts == {"Patient": 9, "Location": 3, "Device": 2, "Condition": 1, "Procedure": 1}
    assert [f.kind for f in result.findings] == ["server_errors"]
    said = (home / "log").read_text()
    assert "log.ndjson: its resource type cannot be told" in said
    assert "Encounter.ndjson.gz: its gzip stream is cut off" in said
