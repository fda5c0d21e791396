"""Dropped files: each taken once and whole, corrected ones again, counts held against what their owner states."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bulk_server import FakeClock
from clinic import AS_OF, DAY_LATER, Desk, source

from jobs.errors import CitywellError
from jobs.extract import feed_check, files
from jobs.extract.delivery import Places
from jobs.lake import control

HEADER = "Nummer;Wert\n"
SENT = AS_OF.replace(hour=1)


@pytest.fixture
def drops(tmp_path: Path) -> Path:
    directory = tmp_path / "drops"
    directory.mkdir()
    return directory


@pytest.fixture
def desk(conn: control.Connection, tmp_path: Path, drops: Path, clock: FakeClock) -> Callable[..., Desk]:
    def of(**feed: Any) -> Desk:
        csv = {"encoding": "windows-1252", "delimiter": ";", "decimal_comma": True, **feed.pop("csv", {})}
        names = {"Nummer": "id", "Wert": "value"}
        feed = {"without": ["note", "changed_at", "deleted_at"], **feed}
        endpoint = {
            "protocol": "files",
            "directory": str(drops),
            "feeds": {"visit": {"pattern": "visits_*.csv", "csv": csv, "names": names, **feed}},
        }
        places = Places(tmp_path / "landing", tmp_path / "keys")
        return Desk(
            conn,
            source(**endpoint),
            places,
            lambda source, endpoint, batch: files.extract(
                conn, source, endpoint, batch, places=places, clock=clock.clock()
            ),
        )

    return of


def drop(path: Path, text: str, at: datetime = SENT) -> None:
    path.write_bytes(text.encode("windows-1252"))
    os.utime(path, (at.timestamp(), at.timestamp()))


def checked(desk: Desk) -> list[tuple[str, str]]:
    """Verdict and message of each feed's check."""
    results = feed_check.check(desk.source, desk.source.endpoints["clinic"])
    return [(result.verdict, result.message) for result in results]


def test_files_are_taken_once_in_the_order_they_came(drops: Path, desk: Callable[..., Desk]) -> None:
    drop(drops / "visits_2.csv", HEADER + "ä;1,5\n", SENT.replace(hour=2))
    drop(drops / "visits_1.csv", HEADER + "b;2\nc;3\n")
    drop(drops / "other.csv", "x\n")
    at_desk = desk()
    first = at_desk.extract()
    at_desk.publish(first)
    assert [(f.origin, f.received, f.sent_at) for f in first.files] == [
        ("visits_1.csv", 2, SENT),
        ("visits_2.csv", 1, SENT.replace(hour=2)),
    ]
    assert at_desk.content(first)[1] == (HEADER + "ä;1,5\n").encode("windows-1252")
    drop(drops / "visits_3.csv", HEADER + "d;4\n", DAY_LATER)
    second = at_desk.extract(DAY_LATER)
    assert [f.origin for f in second.files] == ["visits_3.csv"]


def test_files_changed_after_the_day_that_is_run_keep_their_order(
    drops: Path, desk: Callable[..., Desk]
) -> None:
    drop(drops / "visits_b.csv", HEADER + "b;1\n", DAY_LATER)
    drop(drops / "visits_a.csv", HEADER + "b;2\n", DAY_LATER)
    drop(drops / "visits_0.csv", HEADER + "b;3\n", DAY_LATER.replace(hour=6))
    files = desk().extract().files
    assert [f.origin for f in files] == ["visits_a.csv", "visits_b.csv", "visits_0.csv"]
    instants = [f.sent_at for f in files]
    assert instants == sorted(set(instants))
    assert instants[-1] == AS_OF


def test_what_a_batch_landed_that_was_not_loaded_comes_with_the_next_one_too(
    drops: Path, desk: Callable[..., Desk]
) -> None:
    drop(drops / "visits_1.csv", HEADER + "b;2\n")
    at_desk = desk()
    stopped = at_desk.extract()
    next_day = at_desk.extract(DAY_LATER)
    assert [f.origin for f in next_day.files] == ["visits_1.csv"]
    at_desk.publish(next_day)
    assert at_desk.extract().files == stopped.files


def test_a_day_made_up_leaves_what_changed_after_it_to_a_later_run(
    drops: Path, desk: Callable[..., Desk]
) -> None:
    at_desk = desk()
    drop(drops / "visits_1.csv", HEADER + "b;100\n", DAY_LATER.replace(hour=1))
    at_desk.publish(at_desk.extract(DAY_LATER))
    drop(drops / "visits_1.csv", HEADER + "b;120\n", DAY_LATER.replace(hour=9))
    drop(drops / "visits_0.csv", HEADER + "c;1\n")
    made_up = at_desk.extract(AS_OF)
    at_desk.publish(made_up)
    assert [f.origin for f in made_up.files] == ["visits_0.csv"]
    (corrected,) = at_desk.extract(DAY_LATER.replace(day=3)).files
    assert (corrected.origin, corrected.sent_at) == ("visits_1.csv", DAY_LATER.replace(hour=9))


def test_a_corrected_file_is_taken_again_and_all_of_them_when_asked(
    drops: Path, desk: Callable[..., Desk]
) -> None:
    drop(drops / "visits_1.csv", HEADER + "b;2\n")
    drop(drops / "visits_2.csv", HEADER + "c;2\n")
    at_desk = desk()
    at_desk.publish(at_desk.extract())
    drop(drops / "visits_1.csv", HEADER + "b;3\n", SENT.replace(hour=3))
    second = at_desk.extract(DAY_LATER)
    at_desk.publish(second)
    assert [f.origin for f in second.files] == ["visits_1.csv"]
    everything = at_desk.extract(DAY_LATER.replace(hour=5), full=True)
    assert [f.origin for f in everything.files] == ["visits_2.csv", "visits_1.csv"]


def test_a_file_is_left_until_it_is_whole(drops: Path, desk: Callable[..., Desk], clock: FakeClock) -> None:
    drop(drops / "visits_1.csv", HEADER + "b;2\n", clock.now())
    assert desk().extract().files == ()
    clock.elapsed += 10
    assert len(desk().extract(DAY_LATER).files) == 1


def test_a_file_waits_for_its_confirmation_which_counts_its_rows(
    drops: Path, desk: Callable[..., Desk]
) -> None:
    drop(drops / "visits_1.csv", HEADER + "b;2\n")
    at_desk = desk(confirmed_by=".ok")
    assert at_desk.extract().files == ()
    drop(drops / "visits_1.csv.ok", "rows=2\n")
    result = at_desk.extract(DAY_LATER)
    assert not result.complete
    assert result.findings[0].message == "1 records came, 2 were announced"


def test_a_footer_counts_and_its_absence_tells_a_cut_file(drops: Path, desk: Callable[..., Desk]) -> None:
    at_desk = desk(csv={"footer": "#ENDE"})
    drop(drops / "visits_1.csv", HEADER + "b;2\n#ENDE;1\n")
    assert at_desk.extract().complete
    drop(drops / "visits_2.csv", HEADER + "c;2\n")
    result = at_desk.extract(DAY_LATER)
    assert "visits_2.csv has no footer" in result.findings[0].message


def test_a_list_of_counts_stands_for_confirmations(drops: Path, desk: Callable[..., Desk]) -> None:
    drop(drops / "visits_1.csv", HEADER + "b;2\n")
    drop(drops / "visits_2.csv", HEADER + "c;2\n")
    drop(drops / "manifest_1.json", '{"files": [{"name": "visits_1.csv", "rows": 1}]}')
    at_desk = desk(counted_by="manifest_*.json")
    (file,) = at_desk.extract().files
    assert (file.origin, file.expected_lines) == ("visits_1.csv", 1)
    drop(drops / "manifest_2.json", '{"files": ')
    with pytest.raises(CitywellError, match="state the records of others") as error:
        at_desk.extract(DAY_LATER)
    assert "manifest_2.json" in error.value.where


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Nummer;Betrag\n", "no longer has Wert; new is Betrag"),
        ("Nummer\n", "no longer has Wert"),
        ("Nummer;Wert;Farbe;Wert\n", "more than one column Wert"),
        ("", "has no header"),
    ],
)
def test_other_columns_stop_the_endpoint(
    drops: Path, desk: Callable[..., Desk], header: str, words: str
) -> None:
    drop(drops / "visits_1.csv", header or "\n")
    with pytest.raises(CitywellError, match=words) as error:
        desk().extract()
    assert "clinic, file visits_1.csv" in error.value.where


@pytest.mark.parametrize(
    "first",
    ["", "Nummer;\0Wert\n", '"Nummer;Wert\n'],
    ids=["lost", "a character NUL", "a quote that nobody closes"],
)
def test_a_file_without_its_header_stops_the_endpoint_and_no_cell_is_told(
    drops: Path, desk: Callable[..., Desk], first: str
) -> None:
    drop(drops / "visits_1.csv", first + "Anna;1950-03-02\nBerta;470123456789\n")
    at_desk = desk()
    with pytest.raises(CitywellError) as error:
        at_desk.extract()
    ((verdict, message),) = checked(at_desk)
    assert (verdict, message) == ("wrong", error.value.what)
    said = f"{error.value} {error.value.where} {error.value.do}"
    assert not [cell for cell in ("Anna", "1950", "Berta", "4701") if cell in said]
    assert not list(at_desk.places.landing_dir.rglob("*.csv*"))


def test_a_column_stays_away_only_where_the_feed_says_so(drops: Path, desk: Callable[..., Desk]) -> None:
    drop(drops / "visits_1.csv", "Nummer;Wert;note;removed_at\nb;2;;\n")
    with pytest.raises(CitywellError, match="no longer has deleted_at; new is removed_at"):
        desk(without=["changed_at"]).extract()
    result = desk(without=["changed_at", "deleted_at"]).extract()
    assert [finding.message for finding in result.findings] == [
        "Visit has parts that nothing declares: removed_at"
    ]


def test_columns_in_another_order_and_a_new_one_are_no_trouble(
    drops: Path, desk: Callable[..., Desk]
) -> None:
    drop(drops / "visits_1.csv", "Farbe;Wert;Nummer\nrot;1;a\n")
    result = desk().extract()
    assert result.complete
    assert "Farbe" in result.findings[0].message


def test_what_a_files_name_tells_is_no_column_and_must_be_told(
    drops: Path, desk: Callable[..., Desk]
) -> None:
    at_desk = desk(pattern="*.csv", tells=r"_(?P<id>[a-z]+)\.csv$")
    drop(drops / "visits_north.csv", "Wert\n2\n")
    result = at_desk.extract()
    assert result.complete
    assert result.findings == ()
    drop(drops / "visits_7.csv", "Wert\n2\n")
    with pytest.raises(CitywellError, match="name of a file does not tell id"):
        at_desk.extract(DAY_LATER)


def test_a_directory_that_is_not_there_is_named(drops: Path, desk: Callable[..., Desk]) -> None:
    drops.rmdir()
    with pytest.raises(CitywellError, match="directory of the files is not there"):
        desk().extract()


def test_a_check_tells_what_is_there_and_lands_nothing(drops: Path, desk: Callable[..., Desk]) -> None:
    at_desk = desk()
    assert checked(at_desk) == [("good", "no file as visits_*.csv is there")]
    drop(drops / "visits_1.csv", HEADER + "b;2\n")
    assert checked(at_desk) == [("good", "1 files; the newest has 1 records")]
    drop(drops / "visits_2.csv", "Nummer;Betrag\nb;2\n", SENT.replace(hour=2))
    ((verdict, message),) = checked(at_desk)
    assert (verdict, message) == ("wrong", "Visit no longer has Wert; new is Betrag")
    assert not at_desk.places.landing_dir.exists()
