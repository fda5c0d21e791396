"""Encrypted landing: what is written is what is read, and no change to a file goes unseen."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import CitywellError
from jobs.lake import landing
from jobs.lake.landing import LandingKey, LandingWriter, read_frames
from jobs.lake.landing.counting import LineCounter
from jobs.lake.landing.encrypted import HEADER_BYTES
from jobs.lake.lines import split
from tests.support.disk import fill

FRAME = 64
SECRET_LINE = b'{"resourceType":"Patient","id":"p1","name":"Zorblax"}\n'


@pytest.fixture
def key(tmp_path: Path) -> LandingKey:
    return landing.ensure_key(tmp_path / "keys" / "landing.key")


def land(path: Path, key: LandingKey, *pieces: bytes, frame_size: int = FRAME) -> landing.Landed:
    with LandingWriter(path, key, frame_size=frame_size) as writer:
        for piece in pieces:
            writer.write(piece)
    assert writer.landed is not None
    return writer.landed


def read(path: Path, key: LandingKey) -> bytes:
    return b"".join(read_frames(path, key))


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 3 * FRAME + 7])
def test_what_is_written_is_read_and_is_as_large_as_foretold(
    tmp_path: Path, key: LandingKey, size: int
) -> None:
    content = os.urandom(size)
    path = tmp_path / "b1" / "0001-Patient.ndjson.cwl"
    landed = land(path, key, content)
    assert read(path, key) == content
    assert landed.bytes == size
    assert path.stat().st_size == landing.stored_size(size, FRAME)
    assert landing.verify(path, key, landed.sha256)


@pytest.mark.parametrize(
    ("content", "lines", "blank"),
    [
        (b"", 0, 0),
        (b"{}", 1, 0),
        (b"{}\n{}\n", 2, 0),
        (b"{}\n{}", 2, 0),
        (b"\n{}\n\n\n{}\r\n\r\n", 6, 4),
        (b"{}\n\r", 2, 1),
        (b"{}\r{}\n", 1, 0),
        (b"\xef\xbb\xbf", 0, 0),
        (b"\xef\xbb\xbf\r\n{}", 2, 1),
        (b"{}\n\r\r\n\r\r", 3, 2),
    ],
)
@pytest.mark.parametrize("piece", [1, 2, 3, 100])
def test_lines_are_counted_whatever_the_pieces(
    tmp_path: Path, key: LandingKey, content: bytes, lines: int, blank: int, piece: int
) -> None:
    landed = land(tmp_path / "b" / "f.cwl", key, content, frame_size=piece)
    assert (landed.lines, landed.blank_lines) == (lines, blank)


@given(
    octets=st.lists(st.sampled_from([b"\xef\xbb\xbf", b"\xef", b"a", b"\r", b"\n"]), max_size=30),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_a_record_is_counted_exactly_where_the_reader_finds_one(octets: list[bytes], cuts: list[int]) -> None:
    content = b"".join(octets)
    places = sorted({0, len(content), *(c for c in cuts if c < len(content))})
    counter = LineCounter()
    for start, stop in itertools.pairwise(places):
        counter.feed(content[start:stop])
    lines, blank = counter.totals()
    assert lines - blank == len(list(split([content])))
    without_bom = content.removeprefix(b"\xef\xbb\xbf")
    assert lines == without_bom.count(b"\n") + (not without_bom.endswith(b"\n") and without_bom != b"")


def test_a_line_too_long_to_be_held_is_counted_even_when_it_is_empty_but_for_crs() -> None:
    for content in (b"\r" * 11, b"\r" * 11 + b"\n", b"\r" * 10 + b"\na"):
        counter = LineCounter(longest=10)
        for n in range(len(content)):
            counter.feed(content[n : n + 1])
        lines, blank = counter.totals()
        assert lines - blank == len(list(split([content], longest=10)))


def test_nothing_of_a_record_is_readable_on_disk_or_by_others(tmp_path: Path, key: LandingKey) -> None:
    path = tmp_path / "b" / "f.cwl"
    land(path, key, SECRET_LINE * 20)
    assert b"Zorblax" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys" / "landing.key").stat().st_mode) == 0o600
    assert key.secret.hex() not in repr(key)


def flip_a_byte(stored: bytes) -> bytes:
    return stored[:100] + bytes([stored[100] ^ 1]) + stored[101:]


def swap_two_frames(stored: bytes) -> bytes:
    head, step = HEADER_BYTES, FRAME + 16
    return (
        stored[:head]
        + stored[head + step : head + 2 * step]
        + stored[head : head + step]
        + stored[head + 2 * step :]
    )


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a changed byte": flip_a_byte,
    "cut within a frame": lambda stored: stored[:-5],
    "cut between two frames": lambda stored: stored[: HEADER_BYTES + 2 * (FRAME + 16)],
    "cut to the header": lambda stored: stored[:HEADER_BYTES],
    "cut within the header": lambda stored: stored[:20],
    "empty": lambda stored: b"",
    "frames swapped": swap_two_frames,
    "a frame repeated": lambda stored: stored + stored[-(FRAME + 16) :],
    "text appended": lambda stored: stored + b"x",
    "a changed frame size": lambda stored: stored[:16] + (FRAME // 2).to_bytes(4, "big") + stored[20:],
    "an absurd frame size": lambda stored: stored[:16] + b"\xff\xff\xff\xff" + stored[20:],
    "a changed wrapped key": lambda stored: stored[:30] + b"\x00\x01\x02" + stored[33:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_detected(tmp_path: Path, key: LandingKey, damage: str) -> None:
    path = tmp_path / "b" / "f.cwl"
    landed = land(path, key, SECRET_LINE * 10)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(CitywellError, match="damaged") as error:
        read(path, key)
    assert str(path) in str(error.value)
    assert not landing.verify(path, key, landed.sha256)


def test_a_frame_of_another_file_is_detected(tmp_path: Path, key: LandingKey) -> None:
    one, other = tmp_path / "b" / "1.cwl", tmp_path / "b" / "2.cwl"
    land(one, key, b"a" * 3 * FRAME)
    land(other, key, b"b" * 3 * FRAME)
    cut = HEADER_BYTES + FRAME + 16
    one.write_bytes(one.read_bytes()[:cut] + other.read_bytes()[cut:])
    with pytest.raises(CitywellError, match=r"Frame 1 .* damaged"):
        read(one, key)


def test_a_file_under_another_files_name_is_detected_but_a_moved_landing_is_not(
    tmp_path: Path, key: LandingKey
) -> None:
    one, other = tmp_path / "landing" / "b1" / "1.cwl", tmp_path / "landing" / "b1" / "2.cwl"
    land(one, key, b"one")
    shutil.copy(one, other)
    with pytest.raises(CitywellError, match="renamed"):
        read(other, key)
    shutil.move(tmp_path / "landing", tmp_path / "elsewhere")
    assert read(tmp_path / "elsewhere" / "b1" / "1.cwl", key) == b"one"


def test_another_key_is_named_as_the_reason(tmp_path: Path, key: LandingKey) -> None:
    path = tmp_path / "b" / "f.cwl"
    land(path, key, b"x")
    other = landing.ensure_key(tmp_path / "other.key")
    with pytest.raises(CitywellError, match=f"locked with another key: it names {key.key_id}"):
        read(path, other)


def test_a_missing_file_and_a_missing_and_a_broken_key_are_named(tmp_path: Path, key: LandingKey) -> None:
    with pytest.raises(CitywellError, match="landed file is missing"):
        read(tmp_path / "b" / "none.cwl", key)
    with pytest.raises(CitywellError, match="landing key is missing"):
        landing.load_key(tmp_path / "none.key")
    (tmp_path / "short.key").write_text("abcd\n")
    with pytest.raises(CitywellError, match="not 64 hexadecimal digits"):
        landing.ensure_key(tmp_path / "short.key")


def test_a_key_is_made_once_even_by_many_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "landing.key"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: landing.ensure_key(path), range(16)))
    assert len({key.secret for key in keys}) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["landing.key"]


def cut_off(path: Path, key: LandingKey) -> None:
    with LandingWriter(path, key, frame_size=FRAME) as writer:
        writer.write(SECRET_LINE * 10)
        raise RuntimeError("cut")


def test_an_interrupted_write_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, key: LandingKey
) -> None:
    path = tmp_path / "b" / "f.cwl"
    land(path, key, b"before")
    with pytest.raises(RuntimeError, match="cut"):
        cut_off(path, key)
    assert read(path, key) == b"before"
    assert [entry.name for entry in path.parent.iterdir()] == ["f.cwl"]


@pytest.mark.parametrize("small_disk", ["1m"], indirect=True)
def test_a_full_disk_is_said_plainly(small_disk: Path, key: LandingKey) -> None:
    (small_disk / "b").mkdir()
    fill(small_disk)
    with pytest.raises(CitywellError, match="disk is full") as error:
        land(small_disk / "b" / "f.cwl", key, SECRET_LINE)
    assert "free some space" in str(error.value)
    assert list((small_disk / "b").iterdir()) == []


@pytest.mark.parametrize("small_disk", ["1m"], indirect=True)
def test_a_disk_that_fills_up_on_the_way_keeps_what_was_there(small_disk: Path, key: LandingKey) -> None:
    land(small_disk / "b" / "1.cwl", key, b"a" * 400_000, frame_size=100_000)
    with pytest.raises(CitywellError, match="disk is full"):
        land(small_disk / "b" / "2.cwl", key, b"b" * 900_000, frame_size=100_000)
    assert [path.name for path in (small_disk / "b").iterdir()] == ["1.cwl"]
    assert read(small_disk / "b" / "1.cwl", key) == b"a" * 400_000
    land(small_disk / "b" / "2.cwl", key, b"b" * 400_000, frame_size=100_000)


def test_reading_takes_the_memory_of_a_frame_not_of_a_file(tmp_path: Path, key: LandingKey) -> None:
    path = tmp_path / "b" / "f.cwl"
    land(path, key, *[os.urandom(1 << 20)] * 128, frame_size=1 << 20)
    code = (
        "import sys, resource; from pathlib import Path; from jobs.lake import landing\n"
        "key = landing.load_key(Path(sys.argv[2]))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "total = sum(len(frame) for frame in landing.read_frames(Path(sys.argv[1]), key))\n"
        "print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "keys" / "landing.key")],
        capture_output=True,
        text=True,
        check=True,
    )
    total, grown_kib = map(int, run.stdout.split())
    assert total == 128 << 20
    assert grown_kib < 32 * 1024


def test_old_files_expire_and_manifests_stay(tmp_path: Path, key: LandingKey) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    for batch, age in (("old", 40), ("needed", 40), ("new", 10)):
        path = tmp_path / "landing" / "north" / batch / "1.cwl"
        land(path, key, b"x")
        (path.parent / landing.MANIFEST).write_text("{}")
        for entry in path.parent.iterdir():
            then = (now - timedelta(days=age)).timestamp()
            os.utime(entry, (then, then))
    expired = landing.expire(tmp_path / "landing", 30, now=now, keep=["needed"])
    assert expired == [tmp_path / "landing/north/old/1.cwl"]
    left = sorted(
        str(p.relative_to(tmp_path / "landing")) for p in (tmp_path / "landing").rglob("*.*") if p.is_file()
    )
    assert left == [
        "north/needed/1.cwl",
        "north/needed/manifest.json",
        "north/new/1.cwl",
        "north/new/manifest.json",
        "north/old/manifest.json",
    ]


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    when = datetime(2026, 3, 1, 12, tzinfo=UTC)
    file = landing.LandedFile("0000-Patient.ndjson.cwl", "Patient", "output", "d1", 10, 2, 0, "s1", 3)
    finding = landing.Finding("count_mismatch", "2 lines came, 3 were announced", file.file, "Patient")
    manifest = landing.Manifest("b1", "north", when, None, when, 1, "k1", (file,), (finding,), complete=False)
    assert landing.read_manifest(tmp_path) is None
    landing.write_manifest(tmp_path, manifest)
    assert landing.read_manifest(tmp_path) == manifest
    (tmp_path / landing.MANIFEST).write_text("{")
    with pytest.raises(CitywellError, match="manifest of a batch is damaged"):
        landing.read_manifest(tmp_path)
