"""The journal: what was synced is there, a torn tail is cut, damage is told, a handover doubles and loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import CitywellError
from jobs.extract.mllp import Entry, Kind, entries, land, release, seal, sealed
from jobs.extract.mllp.handover import segment_number
from jobs.extract.mllp.journal import Journal
from jobs.lake import landing
from jobs.lake.formats.hl7v2 import Pieces
from jobs.lake.landing import LandingKey
from tests.support.disk import fill
from tests.unit.hl7.messages import HEADER

BATCH = [Entry(n, Kind.MESSAGE, f"MSH|{n}".encode()) for n in range(1, 6)]


@pytest.fixture
def key(tmp_path: Path) -> LandingKey:
    return landing.ensure_key(tmp_path / "landing.key")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "landing" / "mllp" / "north"


def written(place: Path, key: LandingKey, batch: list[Entry] = BATCH) -> Path:
    """An open segment whose writer has gone."""
    journal = Journal(place, key)
    for entry in batch:
        journal.write([entry])
    journal.sync()
    path = next(place.glob("*.open"))
    content = path.read_bytes()
    journal.close()
    (sealed_path,) = place.glob("*.cwj")
    sealed_path.unlink()
    path.write_bytes(content)
    return path


def test_what_is_written_comes_back_and_plaintext_never_touches_the_disk(
    place: Path, key: LandingKey
) -> None:
    journal = Journal(place, key)
    journal.write(BATCH[:3])
    journal.write(BATCH[3:])
    journal.close()
    (segment,) = seal(place, key)
    assert list(entries(segment.path, key)) == BATCH
    assert b"MSH" not in segment.path.read_bytes()


def test_a_tail_torn_at_any_byte_is_cut_off(place: Path, key: LandingKey) -> None:
    path = written(place, key)
    content = path.read_bytes()
    frame = (len(content) - 56) // 5
    ends = range(56 + frame, len(content) + 1, frame)
    for size in range(len(content) - 2 * frame, len(content)):
        for torn in (content[:size], content[:size] + bytes(len(content) - size)):
            path.write_bytes(torn)
            (segment,) = seal(place, key)
            whole = sum(torn[:end] == content[:end] for end in ends)
            assert list(entries(segment.path, key)) == BATCH[:whole]
            segment.path.unlink()
    for size in (0, 10, 56, 60):
        path.write_bytes(content[:size])
        assert seal(place, key) == []


def test_damage_in_the_middle_is_told_and_nothing_is_cut(place: Path, key: LandingKey) -> None:
    path = written(place, key)
    content = bytearray(path.read_bytes())
    content[56 + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(CitywellError, match="Message 1 of a journal's segment is damaged"):
        seal(place, key)
    assert path.read_bytes() == bytes(content)


@pytest.mark.parametrize("change", ["renamed", "key"])
def test_a_segment_is_read_only_as_what_it_is(
    place: Path, key: LandingKey, tmp_path: Path, change: str
) -> None:
    written(place, key)
    (segment,) = seal(place, key)
    if change == "renamed":
        path = segment.path.rename(segment.path.with_stem("0000000000000001"))
    else:
        path, key = segment.path, landing.ensure_key(tmp_path / "other.key")
    with pytest.raises(CitywellError):
        list(entries(path, key))


def test_a_journal_has_one_writer(place: Path, key: LandingKey) -> None:
    journal = Journal(place, key)
    with pytest.raises(CitywellError, match="another process"):
        Journal(place, key)
    journal.close()
    Journal(place, key).close()


def test_segments_are_sealed_by_age_and_size_and_never_number_twice(place: Path, key: LandingKey) -> None:
    journal = Journal(place, key, seal_bytes=100)
    journal.write(BATCH[:1])
    assert not journal.is_due
    journal.write(BATCH[1:3])
    assert journal.is_due
    journal.seal()
    (first,) = sealed(place)
    release(place, [first.number])
    journal.write(BATCH[3:])
    journal.close()
    (second,) = sealed(place)
    assert second.number > first.number
    release(place, [first.number])
    assert sealed(place) == [second]
    old = Journal(place, key, seal_seconds=0)
    old.write(BATCH[:1])
    assert old.is_due
    old.close()


def test_a_listener_that_hangs_is_told(place: Path, key: LandingKey) -> None:
    journal = Journal(place, key)
    with pytest.raises(CitywellError, match="does not seal"):
        seal(place, key, timeout=0.1)
    journal.close()
    assert seal(place.with_name("never"), key) == []


def test_a_handover_run_twice_lands_the_same_files(place: Path, key: LandingKey, tmp_path: Path) -> None:
    mixed = [*BATCH, Entry(9, Kind.UNPARSEABLE, b"what\x0bis\x1cthis")]
    journal = Journal(place, key)
    journal.write(mixed[:2])
    journal.seal()
    journal.write(mixed[2:])
    journal.close()
    batch = tmp_path / "landing" / "hospital_events" / "batch"
    first = land(seal(place, key), batch, key)
    again = land(seal(place, key), batch, key)
    assert first == again
    assert [(one.entries, one.messages, one.unparseable) for one in first] == [(2, 2, 0), (4, 3, 1)]
    assert [(one.first_us, one.last_us) for one in first] == [(1, 2), (3, 9)]
    assert [segment_number(one.file) for one in first] == [one.number for one in first]
    pieces = [p.body for one in first for p in Pieces(landing.read_frames(batch / one.file, key))]
    assert pieces == [*(entry.body for entry in BATCH), b"whatisthis"]
    for _ in range(2):
        release(place, [one.number for one in first])
        assert seal(place, key) == []


def test_what_was_cut_is_no_message_after_the_handover_either(
    place: Path, key: LandingKey, tmp_path: Path
) -> None:
    whole, cut, long = HEADER.encode() + b"\r", HEADER.encode()[:60], HEADER.encode()[:70]
    entries = [
        Entry(1, Kind.CUT, cut),
        Entry(2, Kind.CUT, cut),
        Entry(3, Kind.MESSAGE, whole),
        Entry(4, Kind.TOO_LONG, long),
    ]
    journal = Journal(place, key)
    journal.write(entries)
    journal.close()
    (landed,) = land(seal(place, key), tmp_path / "batch", key)
    pieces = Pieces(landing.read_frames(tmp_path / "batch" / landed.file, key))
    assert [(piece.body, piece.ended) for piece in pieces] == [
        (cut, False),
        (cut, False),
        (whole, True),
        (long, False),
    ]
    assert (landed.entries, landed.unparseable) == (4, 3)


@pytest.mark.parametrize("small_disk", ["1m"], indirect=True)
def test_what_a_full_disk_took_in_half_is_not_in_the_journal(small_disk: Path, key: LandingKey) -> None:
    place = small_disk / "north"
    journal = Journal(place, key)
    journal.write(BATCH[:2])
    journal.sync()
    filler = fill(small_disk)
    large = [Entry(7, Kind.MESSAGE, bytes(5000))] * 1000
    with pytest.raises(CitywellError, match="disk is full"):
        journal.write(large)
    filler.unlink()
    journal.write(BATCH[2:])
    journal.close()
    found = [entry for segment in seal(place, key) for entry in entries(segment.path, key)]
    assert [entry for entry in found if entry.received_us != 7] == BATCH
