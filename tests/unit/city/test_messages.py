"""What the city says in HL7 v2: readable by the lake, of the same visits as FHIR, and sent until it is acknowledged."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from infra.city.city import City
from infra.city.messages.outbox import Outbox, read_messages
from infra.city.messages.post import Post, remarked
from infra.city.messages.speaker import Told
from infra.city.messages.voices import BY_NAME, VOICES
from infra.city.web import Servers
from jobs.extract.mllp import Kind
from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake.formats.hl7v2 import Pieces, parse
from jobs.lake.scrub import encode
from jobs.silver.hl7v2 import Record, merges, table_of
from tests.support.hl7 import dialect, recorder
from tests.unit.city.served import Client, served
from tests.unit.extract.mllp.mllp_client import journalled, listening

KEY = b"k" * 32


def told_by(home: Path, segments: int) -> list[Told]:
    return [one for n in range(segments) for one in read_messages(home / "city" / "segments" / f"{n:05d}")]


@pytest.fixture
def lived(city: City) -> City:
    """The small city two days on."""
    city.advance(2)
    return city


def records_of(one: Told) -> list[Record]:
    message = parse(one.body)
    assert table_of(message), one.body[:80]
    found = list(recorder(one.sender, KEY).records(message))
    assert all(isinstance(record, Record) for record in found), found
    return found  # type: ignore[return-value]


def test_the_lake_reads_every_message_and_keeps_no_name(home: Path, lived: City) -> None:
    told = told_by(home, lived.segments)
    assert {one.sender for one in told} == {voice.name for voice in VOICES}
    kinds = Counter(parse(one.body).trigger for one in told)
    assert {"A01", "A02", "A03", "A04", "A05", "A08", "A28", "A31", "R01", "S12", "O11", "O13", "O01"} <= set(
        kinds
    )
    assert len({(one.sender, one.control_id) for one in told}) == len(told)
    kept = b"\n".join(encode(record.shape) for one in told for record in records_of(one)).decode()
    canaries = json.loads((home / "city" / "answer_key" / "canary_kinds.json").read_text())
    sent = "\n".join(one.body.decode(BY_NAME[one.sender].charset) for one in told)
    for kind in ("family_names", "record_numbers", "phones", "streets", "national_ids"):
        assert any(secret in sent for secret in canaries[kind]), kind
        assert not [secret for secret in canaries[kind] if secret in kept], kind


def test_a_visit_told_by_both_messengers_is_one(home: Path, lived: City) -> None:
    by_fhir: dict[str, set[str]] = {}
    for hospital in ("north", "harbour", "university"):
        keys = Pseudonymiser(KEY, f"hospital_{hospital}")
        lines = (
            line
            for path in (home / "city" / "segments").glob(f"*/{hospital}/Encounter.ndjson")
            for line in path.read_bytes().splitlines()
        )
        found = by_fhir.setdefault(hospital, set())
        for line in lines:
            try:
                (identifier,) = json.loads(line)["identifier"]
            except (ValueError, KeyError, UnicodeDecodeError):
                continue
            found.add(keys.key("identifier", f"{identifier['system']}|{identifier['value']}"))
    truth = pq.read_table(home / "city" / "answer_key" / "messages.parquet").to_pylist()
    hospitals = {
        (row["source"], row["control_id"]): row["hospital"].removeprefix("hospital_") for row in truth
    }
    admitted = Counter()
    for one in told_by(home, lived.segments):
        for record in records_of(one):
            if record.table == "Admission" and record.shape.trigger == "A01":
                hospital = hospitals[f"events_{one.sender}", one.control_id]
                admitted[record.shape.visit_key in by_fhir[hospital]] += 1
    assert admitted[True] > 5
    assert admitted[False] <= 1 + admitted[True] * 0.05, (
        "only corrupt, late and deleted FHIR records are without"
    )


def test_the_answer_key_says_what_was_cancelled_and_merged(home: Path, lived: City) -> None:
    lived.advance(3)
    folder = home / "city" / "answer_key"
    rows = pq.read_table(folder / "messages.parquet").to_pylist()
    assert len(rows) == len(told_by(home, lived.segments))
    cancelled = [row for row in rows if row["type"] in ("ADT^A11", "ADT^A13")]
    mistaken = {row["visit_number"] for row in rows if row["mark"] == "mistaken"}
    assert {row["visit_number"] for row in cancelled} <= mistaken
    told = {(f"events_{one.sender}", one.control_id): one for one in told_by(home, lived.segments)}
    joined = pq.read_table(folder / "message_merges.parquet").to_pylist()
    assert joined
    for row in joined:
        one = told[row["source"], row["control_id"]]
        (merge,) = merges(parse(one.body), dialect(one.sender))
        assert (merge.ids[0].value, merge.prior_ids[0].value) == (row["patient_number"], row["prior_number"])
        assert row["is_right"] == (row["person_id"] == row["prior_person_id"])
    parted = [row for row in rows if row["type"] == "ADT^A37"]
    assert len(parted) == sum(row["unlinked_at"] is not None for row in joined)


def test_the_last_days_of_the_history_are_batch_files_that_agree_with_their_trailers(
    home: Path, city: City
) -> None:
    Outbox(home / "city").take(1, city.now_ms)
    Outbox(home / "city").take(1, city.now_ms)
    files = list((home / "city" / "drops" / "hl7").glob("*/*.hl7"))
    assert {file.parent.name for file in files} == {voice.name for voice in VOICES}
    found = []
    for file in files:
        pieces = Pieces([file.read_bytes()])
        found += [piece.body for piece in pieces]
        assert pieces.envelope.troubles() == []
        assert pieces.envelope.stated == pieces.envelope.found > 0
    assert sorted(map(bytes, found)) == sorted(one.body for one in told_by(home, 1))
    files[0].unlink()
    Outbox(home / "city").take(1, city.now_ms)
    assert not files[0].exists(), "a file that was taken away stays away"


def test_a_batch_can_lack_its_trailer(home: Path, city: City) -> None:
    with served(home, city) as servers:
        servers.faults.add(b'{"kind": "no_trailer", "hospital": "north"}')
        assert servers.post is not None
        servers.post.start()
        troubles = []
        for file in (home / "city" / "drops" / "hl7" / "north").iterdir():
            pieces = Pieces([file.read_bytes()])
            list(pieces)
            troubles += pieces.envelope.troubles()
    assert troubles == [
        "batch 1 has no trailer (BTS): it may have been cut off",
        "the file has no trailer (FTS): it may have been cut off",
    ]


@pytest.fixture
def faulty(home: Path, city: City) -> Iterator[Servers]:
    with served(home, city) as servers:
        yield servers


def test_everything_is_sent_until_it_is_acknowledged(home: Path, faulty: Servers, tmp_path: Path) -> None:
    """A listener that is killed once, and every fault of a sender: nothing is lost, and only resends come twice."""
    city, outbox = faulty.city, faulty.post and faulty.post.outbox
    assert city is not None
    assert outbox is not None
    kinds = ("lost_ack", "cut_message", "resend", "out_of_order", "odd_separators")
    for n, kind in enumerate(kinds):
        faulty.faults.add(json.dumps({"kind": kind, "hospital": "north", "skip": n + 1}).encode())
    city.advance(6)
    place = tmp_path / "lake"
    with listening(place) as first:
        post = Post(city, outbox, faulty.faults, {"north": ("127.0.0.1", first.port)}, answer_seconds=2.0)
        post.start()
        _wait(lambda: outbox.status()["north"]["acknowledged"] > 5)
        post._stopped.set()
        first.kill()
        for thread in post._threads:
            thread.join()
    with listening(place) as second:
        post = Post(city, outbox, faulty.faults, {"north": ("127.0.0.1", second.port)}, answer_seconds=2.0)
        post.start()
        _wait(lambda: outbox.status()["north"]["unsent"] == 0)
        post._stopped.set()
        for thread in post._threads:
            thread.join()
        assert second.stop() == 0
    told = {one.control_id: one.body for one in told_by(home, 7) if one.sender == "north"}
    too_old = {one.control_id for one in told_by(home, 2) if one.sender == "north"}
    found = [entry for entry in journalled(place) if entry.kind is Kind.MESSAGE]
    ids = Counter(parse(entry.body).control_id for entry in found)
    assert set(ids) == set(told) - too_old
    assert outbox.status()["north"]["acknowledged"] == len(ids)
    twice = sum(count - 1 for count in ids.values())
    assert 2 <= twice <= 4, (
        "the lost acknowledgement, the resend, and what was in flight when the listener died"
    )
    remade = [entry.body for entry in found if entry.body not in told.values()]
    assert [body[:9] for body in remade] == [b"MSH!:;$%!"]
    assert all(hit["hits"] == 1 for hit in faulty.faults.listed())


def test_without_a_listener_messages_wait_for_some_days_and_survive_a_restart(
    home: Path, faulty: Servers
) -> None:
    assert faulty.city is not None
    client = Client(faulty, home, "north")
    client.http.post("/city/advance", json={"days": 2})
    waiting = client.http.get("/city/status").json()["messages"]["harbour"]
    queued = told_by(home, 3)[len(told_by(home, 1)) :]
    count = sum(one.sender == "harbour" for one in queued)
    assert waiting == {"unsent": count, "acknowledged": 0, "refused": 0, "dropped": 0}
    again = Outbox(home / "city")
    assert again.status()["harbour"] == waiting
    again.close()
    client.http.post("/city/advance", json={"days": 6})
    later = client.http.get("/city/status").json()["messages"]["harbour"]
    assert later["dropped"] > 0
    assert later["unsent"] > 0


def test_a_message_with_other_separators_says_the_same(home: Path, city: City) -> None:
    for one in told_by(home, 1)[:200]:
        again = Told(one.sender, one.at_ms, one.control_id, remarked(one.body, BY_NAME[one.sender], "!:;$%"))
        assert again.body != one.body
        assert records_of(again)[0].shape == records_of(one)[0].shape


def _wait(is_so: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
