"""A repaired line comes back alone, with a receipt of its own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest
from typer.testing import CliRunner

from infra.cli.app import app
from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.lake import control, landing, quarantine
from jobs.settings import settings
from tests.support.lake import Export, TestLake, instant, totals

SOURCE = "hospital_north"
GOOD = {
    "resourceType": "Patient",
    "id": "p1",
    "gender": "female",
    "meta": {"lastUpdated": "2025-12-30T10:00:00Z"},
}


def test_a_repaired_line_is_published_and_the_first_receipt_stays(lake: TestLake, tmp_path: Path) -> None:
    bad = {**GOOD, "id": "p2", "gender": "f"}
    first = lake.ingest(SOURCE, Export(instant("2026-01-01"), {"Patient": [GOOD, bad]}))
    assert totals(first) == {"received": 2, "published": 1, "quarantined": 1}
    [counted] = quarantine.by_rule(SOURCE)
    assert (counted.rule, counted.records) == ("value_set:sex", 1)
    report = io.StringIO()
    assert quarantine.write_report(SOURCE, report) == 1
    (row,) = csv.DictReader(report.getvalue().splitlines())
    assert (row["batch_id"], row["line"], row["rule"]) == (
        "hospital_north.20260101T000000Z",
        "2",
        "value_set:sex",
    )
    assert row["expected"] == "one of male, female, other, unknown"
    assert "p2" not in report.getvalue()

    repaired = tmp_path / "repaired.ndjson"
    repaired.write_bytes(msgspec.json.encode({**bad, "gender": "female"}))
    loaded = quarantine.replay(SOURCE, "Patient", repaired, at=instant("2026-01-02"))
    assert totals(loaded.receipts) == {"received": 1, "published": 1}
    assert len(lake.rows("select * from silver.hospital__patient")) == 2
    by_batch = lake.rows("select batch_id, quarantined from quality.receipts order by batch_id")
    assert [row["quarantined"] for row in by_batch] == [1, 0]
    assert loaded.batch_id in (settings().home / "reports" / "data_docs" / "index.html").read_text()


def test_a_repaired_deletion_deletes(lake: TestLake, tmp_path: Path) -> None:
    source, at = "hospital_university", instant("2026-01-01")
    first = lake.ingest(source, Export(at, {"Patient": [GOOD, {**GOOD, "id": "p2"}]}, deleted=["p1"]))
    assert totals(first) == {"received": 3, "published": 2, "quarantined": 1}
    entry = {"request": {"method": "DELETE", "url": "Patient/p1"}}
    repaired = tmp_path / "repaired.ndjson"
    repaired.write_bytes(msgspec.json.encode({"resourceType": "Bundle", "entry": [entry]}))
    loaded = quarantine.replay(source, "Bundle", repaired)
    assert totals(loaded.receipts) == {"received": 1, "deleted": 1}
    alive = f"select * from silver.hospital__patient where source = '{source}' and not is_deleted"
    assert len(lake.rows(alive)) == 1


def test_a_rule_is_counted_once_wherever_in_a_line_it_was_broken(lake: TestLake) -> None:
    lines = [b'{"id": "p4",}', b'{"resourceType": "Patient", "id": "p5",}', b'{"id": "\xff"}']
    lake.ingest("hospital_harbour", Export(instant("2026-01-01"), {"Patient": lines}))
    counted = [(c.resource_type, c.rule, c.records, c.reason) for c in quarantine.by_rule("hospital_harbour")]
    assert counted == [
        ("Patient", "invalid_json", 2, "JSON is malformed: trailing comma in object"),
        ("Patient", "invalid_utf8", 1, "not UTF-8"),
    ]


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("list", "hospital_nort"), "No source has an endpoint named 'hospital_nort'"),
        (("show", "hospital_nort"), "No source has an endpoint named 'hospital_nort'"),
        (("report", "hospital_nort"), "No source has an endpoint named 'hospital_nort'"),
        (("show", SOURCE, "--batch", "hospital_harbour.1"), f"{SOURCE} has no batch 'hospital_harbour.1'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_name_that_nothing_has_is_told(command: tuple[str, ...], said: str, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "defects.csv")) if command[0] == "report" else ()
    told = CliRunner().invoke(app, ["quarantine", *command, *out])
    assert isinstance(told.exception, CitywellError)
    assert told.exception.what == said
    assert told.stdout == ""
    assert not list(tmp_path.iterdir())


def test_a_repaired_old_line_does_not_overwrite_what_came_since(lake: TestLake, tmp_path: Path) -> None:
    old = {"resourceType": "Patient", "id": "p3", "gender": "f"}
    lake.ingest(SOURCE, Export(instant("2026-02-01"), {"Patient": [old]}))
    lake.ingest(SOURCE, Export(instant("2026-02-02"), {"Patient": [{**old, "gender": "male"}]}))
    repaired = tmp_path / "old.ndjson"
    repaired.write_bytes(msgspec.json.encode({**old, "gender": "female"}))
    rejected_by = f"{SOURCE}.20260201T000000Z"
    at = instant("2026-02-03")
    with pytest.raises(CitywellError, match="in 2 batches"):
        quarantine.replay(SOURCE, "Patient", repaired, at=at)
    loaded = quarantine.replay(SOURCE, "Patient", repaired, batch_id=rejected_by, at=at)
    assert totals(loaded.receipts) == {"received": 1, "superseded": 1}
    versions = lake.rows(
        "select sex, day(version_at) as version, day(known_from) as known from silver.hospital__patient_history "
        "where year(version_at) = 2026 and month(version_at) = 2 order by version_at"
    )
    assert versions == [
        {"sex": "female", "version": 1, "known": 3},
        {"sex": "male", "version": 2, "known": 2},
    ]


def test_two_repairs_of_one_second_are_both_published(lake: TestLake, tmp_path: Path) -> None:
    bad = [{**GOOD, "id": f"twin-{n}", "gender": "f"} for n in range(2)]
    lake.ingest(SOURCE, Export(instant("2026-03-01"), {"Patient": bad}))
    rejected_by, batches = f"{SOURCE}.20260301T000000Z", []
    for n, line in enumerate(bad):
        repaired = tmp_path / f"{n}.ndjson"
        repaired.write_bytes(msgspec.json.encode({**line, "gender": "female"}))
        at = instant("2026-03-02T10:00")
        loaded = quarantine.replay(SOURCE, "Patient", repaired, batch_id=rejected_by, at=at)
        assert totals(loaded.receipts) == {"received": 1, "published": 1}
        batches.append(loaded.batch_id)
    assert batches == [f"{SOURCE}.20260302T100000Z", f"{SOURCE}.20260302T100001Z"]


def test_a_repair_waits_for_no_other_run_of_its_source(lake: TestLake, tmp_path: Path) -> None:
    bad = {**GOOD, "id": "busy", "gender": "f"}
    lake.ingest(SOURCE, Export(instant("2026-04-01"), {"Patient": [bad]}))
    repaired = tmp_path / "busy.ndjson"
    repaired.write_bytes(msgspec.json.encode({**bad, "gender": "female"}))
    before = len(lake.rows("select * from silver.hospital__patient"))
    at, rejected_by = instant("2026-04-02"), f"{SOURCE}.20260401T000000Z"
    with control.connect() as conn, control.source_lock(conn, SOURCE):
        with pytest.raises(CitywellError, match="Another run is at work"):
            quarantine.replay(SOURCE, "Patient", repaired, batch_id=rejected_by, at=at)
        assert f"{SOURCE}.20260402T000000Z" not in {b.batch_id for b in control.batches(conn, SOURCE)}
    quarantine.replay(SOURCE, "Patient", repaired, batch_id=rejected_by, at=at)
    assert len(lake.rows("select * from silver.hospital__patient")) == before + 1


def worklist_of(lake: TestLake, source: str, mend: Callable[[str], str]) -> Path:
    """A worklist in which ``mend`` has been applied to what was sent."""
    path = quarantine.write_worklist(source, actor="tester").path
    items = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**item, "sent": mend(item["sent"])}) + "\n" for item in items))
    return path


def test_a_worklist_repairs_some_and_closes_the_receipt_with_the_last(lake: TestLake) -> None:
    source = "hospital_harbour"
    bad = [{**GOOD, "id": f"w{n}", "gender": "f"} for n in range(3)]
    lake.ingest(source, Export(instant("2026-05-01"), {"Patient": [*bad, GOOD]}))
    receipt = (
        f"select repaired, quarantined from quality.receipts where batch_id = '{source}.20260501T000000Z'"
    )

    path = worklist_of(lake, source, lambda sent: sent.replace('"f"', '"female"') if "w1" in sent else sent)
    assert path.stat().st_mode & 0o077 == 0
    [loaded] = quarantine.repair(path, at=instant("2026-05-02"))
    assert totals(loaded.receipts) == {"received": 1, "published": 1}
    assert lake.rows(receipt) == [{"repaired": 1, "quarantined": 3}]
    with pytest.raises(CitywellError, match="Nothing in the worklist was changed"):
        quarantine.repair(path)

    path = worklist_of(lake, source, lambda sent: sent.replace('"f"', '"female"' if "w2" in sent else '"m"'))
    [loaded] = quarantine.repair(path, at=instant("2026-05-03"))
    assert totals(loaded.receipts) == {"received": 2, "published": 1, "quarantined": 1}
    assert lake.rows(receipt) == [{"repaired": 2, "quarantined": 3}]
    repaired = {r["line"]: r["repaired_by"] for r in quarantine.records(source) if "0501" in r["batch_id"]}
    assert repaired == {1: None, 2: f"{source}.20260502T000000Z", 3: f"{source}.20260503T000000Z"}
    assert len(lake.rows(f"select * from silver.hospital__patient where source = '{source}'")) == 3


def test_rows_of_a_dropped_file_are_repaired_in_their_own_form(lake: TestLake) -> None:
    header = "Netzgebiet;Stichtag;Beatmung;Sauerstoff;Heimdialyse"
    rows = f'{header}\nCW01;01.12.2025;1;4;2\nCW02;1/12/2025;1;4;"zwei\n\n2"\n'
    lake.ingest("energy_grid", Export(instant("2026-01-01"), {"HomeDevice": rows.encode("iso-8859-15")}))
    path = worklist_of(lake, "energy_grid", lambda _: "CW02;01.12.2025;1;4;2")
    [loaded] = quarantine.repair(path)
    assert totals(loaded.receipts) == {"received": 1, "published": 1}
    areas = lake.rows("select district_code, dialysis_households from silver.energy__home_device order by 1")
    assert [tuple(row.values()) for row in areas] == [("CW01", 2), ("CW02", 2)]
    report = io.StringIO()
    quarantine.write_report("energy_grid", report, "json")
    document = json.loads(report.getvalue())
    assert [(r["rule"], r["records"], r["open"]) for r in document["rules"]] == [("invalid_value:date", 1, 0)]
    assert document["rules"][0]["expected"] == "date as date"


def test_what_the_name_of_a_file_tells_holds_for_its_repaired_rows(lake: TestLake, tmp_path: Path) -> None:
    bed = "Medicine,B{},standard,{},2026-01-01T10:00:00Z,2026-01-01T23:00:00Z\n"
    header = "ward,bed_id,kind,state,since,as_of\n"
    rows = header + bed.format(1, "free") + bed.format(2, "ocupied")
    name = {"Bed": "beds_north_2026-01-01.csv"}
    lake.ingest("resources_city", Export(instant("2026-01-02"), {"Bed": rows.encode()}, origins=name))
    path = worklist_of(lake, "resources_city", lambda sent: sent.replace("ocupied", "occupied"))
    [loaded] = quarantine.repair(path)
    assert totals(loaded.receipts) == {"received": 1, "published": 1}
    beds = lake.rows("select hospital_id, bed_id from silver.hospital_resources__bed order by 2")
    assert [tuple(row.values()) for row in beds] == [("north", "B1"), ("north", "B2")]

    bare = tmp_path / "beds.csv"
    bare.write_text(header + bed.format(2, "occupied"))
    with pytest.raises(CitywellError, match="name of their file tells") as refused:
        quarantine.replay("resources_city", "Bed", bare)
    assert "quarantine worklist resources_city" in refused.value.do


def test_a_repaired_row_keeps_its_place_among_the_rows_of_its_file(lake: TestLake) -> None:
    header = "Netzgebiet;Stichtag;Beatmung;Sauerstoff;Heimdialyse"
    mornings = ("CW11;01.12.2025;1;4;{}", "CW12;01.12.2025;1;4;{}")
    evening = "CW11;01.12.2025;9;9;{}"
    whole = "\n".join([header, *(row.format(2) for row in mornings), evening.format("neun")]) + "\n"
    lake.ingest("energy_grid", Export(instant("2026-06-01"), {"HomeDevice": whole.encode()}))
    current = "select dialysis_households from silver.energy__home_device where district_code = 'CW11'"
    path = worklist_of(lake, "energy_grid", lambda sent: sent.replace("neun", "elf"))
    [loaded] = quarantine.repair(path, at=instant("2026-06-02"))
    assert totals(loaded.receipts) == {"received": 1, "quarantined": 1}
    assert lake.rows(current) == [{"dialysis_households": 2}]

    path = worklist_of(lake, "energy_grid", lambda sent: sent.replace("elf", "11"))
    [loaded] = quarantine.repair(path, at=instant("2026-06-03"))
    assert totals(loaded.receipts) == {"received": 1, "published": 1}
    assert lake.rows(current) == [{"dialysis_households": 11}]


def test_a_repaired_object_keeps_its_place_among_the_lines_of_its_file(lake: TestLake) -> None:
    told = {"pollutant": "pm2_5", "hour": "2025-12-31T20:00:00Z", "unit": "ug/m3", "status": "provisional"}
    values = {"R0": (1.0, -999, 3.0), "R1": (3.0, -999, 1.0), "R2": (1.0, 2.0, -999), "R3": (2.0, 1.0, -999)}
    lines = [
        {**told, "station": station, "value": value, "updated_at": None}
        for station, sent in values.items()
        for value in sent
    ]
    lake.ingest("air_city", Export(instant("2026-06-01"), {"Reading": lines}))
    path = worklist_of(lake, "air_city", lambda sent: sent.replace("-999", "9.0"))
    [loaded] = quarantine.repair(path, at=instant("2026-06-02"))
    assert totals(loaded.receipts) == {"received": 4, "published": 2, "superseded": 2}
    rows = lake.rows("select value from silver.air_quality__reading order by station_id")
    assert [row["value"] for row in rows] == [3.0, 1.0, 9.0, 9.0]


def test_a_record_mended_over_several_lines_comes_back_as_one(lake: TestLake) -> None:
    source = "hospital_given"
    bad = [{**GOOD, "id": f"m{n}", "gender": "f"} for n in range(2)]
    lake.ingest(source, Export(instant("2026-07-01"), {"Patient": bad}))

    def mended(sent: str) -> str:
        record = json.loads(sent) | {"gender": "female"}
        return json.dumps(record, indent=1) + "\n" if record["id"] in ("m0", "m1") else sent

    path = worklist_of(lake, source, mended)
    [loaded] = quarantine.repair(path)
    assert totals(loaded.receipts) == {"received": 2, "published": 2}
    assert [
        r for r in quarantine.records(source) if r["repaired_by"] is None and "0701" in r["batch_id"]
    ] == []


@pytest.mark.parametrize(
    "sent",
    [
        "",
        'CW21;01.12.2025;1;4;"1',
        'CW21;01.12.2025;1;4;1"',
        "CW21;01.12.2025;1;4;1\nCW22;01.12.2025;1;4;1",
        "CW21;01.12.2025;1;4;\u0142",
    ],
    ids=["nothing", "a quote opened", "a quote closed", "two rows", "a character its encoding has not"],
)
def test_what_was_mended_to_other_than_one_record_is_named_and_nothing_taken_in(
    lake: TestLake, sent: str
) -> None:
    source = "energy_grid"
    header = "Netzgebiet;Stichtag;Beatmung;Sauerstoff;Heimdialyse"
    rows = f"{header}\nCW20;01.12.2025;1;4;a\nCW21;01.12.2025;1;4;b\n"
    lake.ingest(source, Export(instant("2026-07-01"), {"HomeDevice": rows.encode()}))
    mended = {"CW20;01.12.2025;1;4;a": "CW20;01.12.2025;1;4;1", "CW21;01.12.2025;1;4;b": sent}
    path = worklist_of(lake, source, lambda before: mended.get(before, before))
    with pytest.raises(CitywellError, match="not exactly one record") as told:
        quarantine.repair(path)
    assert told.value.where.startswith(f"batch {source}.20260701T000000Z, file ")
    assert told.value.where.endswith(", line 3")
    assert "CW21" not in str(told.value)
    open_ones = [r["line"] for r in quarantine.records(source) if "20260701" in r["batch_id"]]
    assert open_ones == [2, 3]


def test_what_was_landed_too_long_ago_keeps_nobody_from_repairing_the_rest(lake: TestLake) -> None:
    source = "hospital_university"
    for day, key in (("2026-08-01", "long-ago"), ("2026-08-02", "lately")):
        lake.ingest(source, Export(instant(day), {"Patient": [{**GOOD, "id": key, "gender": "f"}]}))
    rejected = {r["batch_id"]: r for r in quarantine.records(source) if "202608" in str(r["batch_id"])}
    old = rejected[f"{source}.20260801T000000Z"]
    (landing.batch_dir(settings().landing_dir, source, str(old["batch_id"])) / str(old["file"])).unlink()
    listed = quarantine.write_worklist(source, actor="tester")
    assert listed.expired == 1
    assert b"long-ago" not in listed.path.read_bytes()
    mended = listed.path.read_text().replace('\\"f\\"', '\\"female\\"')
    listed.path.write_text(mended)
    loaded = quarantine.repair(listed.path, at=instant("2026-08-03"))
    assert sum(totals(one.receipts).get("published", 0) for one in loaded) >= 1


def test_messages_are_for_their_sender_to_correct(lake: TestLake, tmp_path: Path) -> None:
    source, cut = "events_north", b"MSH|^~\\&|cut off in the mid\r"
    lake.ingest(source, Export(instant("2026-01-01"), {"Hl7Message": cut}))
    (rejected,) = quarantine.records(source)
    bare, worklist = tmp_path / "messages.hl7", tmp_path / "list.ndjson"
    bare.write_bytes(cut)
    named = {name: rejected[name] for name in ("source", "batch_id", "file", "line", "rule", "reason")}
    worklist.write_text(json.dumps({**named, "sent": "MSH"}) + "\n")
    for refused in (
        lambda: quarantine.write_worklist(source, actor="tester"),
        lambda: quarantine.repair(worklist),
        lambda: quarantine.replay(source, "Hl7Message", bare),
    ):
        with pytest.raises(CitywellError, match="their sender corrects them") as told:
            refused()
        assert f"quarantine report {source}" in told.value.do


def test_asking_for_a_worklist_is_audited(lake: TestLake) -> None:
    lake.ingest("hospital_given", Export(instant("2026-01-01"), {"Patient": [{**GOOD, "gender": "f"}]}))
    quarantine.write_worklist("hospital_given", actor="tester")
    with psycopg.connect(settings().postgres_dsn("vault", vault.OWNER_ROLE)) as conn:
        row = conn.execute(
            "select actor, purpose, keys_requested from vault.access_audit order by access_id desc"
        ).fetchone()
    assert row == ("tester", "repair rejected records", 1)


def test_what_is_no_worklist_is_told(tmp_path: Path) -> None:
    path = tmp_path / "list.ndjson"
    path.write_text('{"sent": 1}\n')
    with pytest.raises(CitywellError, match="no worklist"):
        quarantine.repair(path)


def test_a_repair_is_published_though_its_page_cannot_be_written(
    lake: TestLake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {**GOOD, "id": "p7", "gender": "f"}
    lake.ingest("hospital_university", Export(instant("2026-03-01"), {"Patient": [GOOD, bad]}))
    index = settings().home / "reports" / "data_docs" / "index.html"
    index.unlink(missing_ok=True)
    index.mkdir(parents=True)
    repaired = tmp_path / "repaired.ndjson"
    repaired.write_bytes(msgspec.json.encode({**bad, "gender": "female"}))
    at = instant("2026-03-02")
    loaded = quarantine.replay(
        "hospital_university", "Patient", repaired, batch_id="hospital_university.20260301T000000Z", at=at
    )
    assert totals(loaded.receipts) == {"received": 1, "published": 1}
    assert "were not built" in caplog.text
