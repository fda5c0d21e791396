"""Files compressed with gzip, in all the ways they come."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable

import pytest
from bulk_files import PATIENT_FILE, PATIENTS
from bulk_installation import Installation
from bulk_server import Answer, BulkServer, File

from jobs.extract import gzipped
from jobs.extract.waiting import Transient

MEMBERS = gzip.compress(PATIENTS[:1000]) + gzip.compress(PATIENTS[1000:])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(PATIENTS), {"Content-Encoding": "gzip"}),
        (gzip.compress(PATIENTS), {"Content-Type": "application/gzip"}),
        (MEMBERS, {"Content-Encoding": "gzip"}),
        (PATIENTS, {}),
    ],
    ids=["encoded", "a gzip file", "two members", "plain"],
)
def test_gzip_is_undone_however_it_comes(
    north: Installation, server: BulkServer, body: bytes, headers: dict[str, str]
) -> None:
    server.files["patient.ndjson"] = File("Patient", body, count=50, headers=headers)
    result = north.extract()
    assert result.complete
    assert north.content(result, PATIENT_FILE) == PATIENTS


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_gzip_is_undone_whatever_the_pieces(size: int) -> None:
    pieces = [MEMBERS[i : i + size] for i in range(0, len(MEMBERS), size)]
    assert b"".join(gzipped.ungzipped(pieces)) == PATIENTS
    assert b"".join(gzipped.ungzipped([b"", b"{", b"}"])) == b"{}"
    assert b"".join(gzipped.ungzipped([])) == b""


@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_a_gzip_stream_that_swells_comes_in_small_pieces(size: int) -> None:
    swollen = b"0" * (8 << 20)
    packed = gzip.compress(swollen) + gzip.compress(b"end")
    pieces = [packed[i : i + size] for i in range(0, len(packed), size)]
    plain = list(gzipped.ungzipped(pieces))
    assert max(map(len, plain)) <= 1 << 20
    assert b"".join(plain) == swollen + b"end"


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:50] + b"\x00\x01\x02\x03" + b[54:]])
def test_a_damaged_gzip_stream_is_seen(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Transient, match="gzip stream is"):
        b"".join(gzipped.ungzipped([damage(gzip.compress(os.urandom(5000)))]))


def test_a_gzip_stream_cut_off_is_fetched_again(north: Installation, server: BulkServer) -> None:
    server.files["patient.ndjson"] = File(
        "Patient", gzip.compress(PATIENTS), headers={"Content-Encoding": "gzip"}
    )
    server.script["patient.ndjson"] = [Answer(silent_cut=200)]
    result = north.extract()
    assert result.complete
    assert north.content(result, PATIENT_FILE) == PATIENTS
