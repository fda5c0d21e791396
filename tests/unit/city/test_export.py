"""Bulk Data Access v2, as a client meets it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.city.city import City
from infra.city.store import Piece, split_pieces
from infra.city.web import Servers
from tests.unit.city.served import Client, resources, served
from tests.unit.city.test_population import key

SignedIn = Callable[..., Client]
PATIENT_LEVEL = {
    "Patient",
    "Encounter",
    "Condition",
    "Observation",
    "MedicationRequest",
    "Immunization",
    "Procedure",
    "AllergyIntolerance",
    "DiagnosticReport",
    "CarePlan",
    "MedicationAdministration",
}


def types(manifest: dict[str, Any], part: str = "output") -> set[str]:
    return {row["type"] for row in manifest[part]}


@pytest.mark.parametrize("hospital", ["north", "harbour", "university"])
def test_an_export_has_every_line_it_states(client: SignedIn, hospital: str) -> None:
    hospital_client = client(hospital)
    manifest = hospital_client.export()
    assert manifest["transactionTime"] == "2026-01-01T00:00:00.000Z"
    assert manifest["request"] == f"{hospital_client.base}/$export"
    assert manifest["requiresAccessToken"] is (hospital != "university")
    assert types(manifest) >= PATIENT_LEVEL | {
        "Organization",
        "Location",
        "Practitioner",
        "PractitionerRole",
        "Device",
        "Schedule",
    }
    assert manifest["error"] == manifest["deleted"] == []
    for row in manifest["output"]:
        assert len(hospital_client.lines({"output": [row]}, row["type"])) == row["count"]


def test_a_kick_off_is_asynchronous_and_progress_is_told(home: Path, city: City) -> None:
    with served(home, city, export_seconds=0.2) as servers:
        north = Client(servers, home, "north")
        kicked_off = north.kick_off()
        assert kicked_off.status_code == 202
        early = north.get(kicked_off.headers["content-location"])
        assert early.status_code == 202
        assert early.headers["retry-after"] == "1"
        assert early.headers["x-progress"]
        done = north.wait(kicked_off)
        assert done.headers["content-type"] == "application/json"
        assert done.headers["expires"].endswith("GMT")


@pytest.mark.parametrize(
    ("parameters", "prefer", "status"),
    [
        ({}, "", 400),
        ({"_outputFormat": "ndjson"}, "respond-async", 202),
        ({"_outputFormat": "application/fhir+ndjson"}, "respond-async", 202),
        ({"_outputFormat": "text/csv"}, "respond-async", 400),
        ({"_since": "yesterday"}, "respond-async", 400),
        ({"_since": "2026-01-01T00:00:00"}, "respond-async", 400),
        ({"_type": "Patient'--"}, "respond-async", 400),
        ({"_elements": "id"}, "respond-async", 400),
        ({"_elements": "id"}, "respond-async, handling=lenient", 202),
    ],
)
def test_kick_off_parameters(client: SignedIn, parameters: dict[str, str], prefer: str, status: int) -> None:
    answer = client("north").kick_off(prefer=prefer, **parameters)
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_type_and_level_choose_what_is_exported(client: SignedIn) -> None:
    north = client("north")
    assert types(north.export("Patient/$export")) == PATIENT_LEVEL
    assert types(north.export(_type="Patient,Location,Basic")) == {"Patient", "Location"}


def test_a_group_has_the_records_of_its_members_alone(client: SignedIn) -> None:
    north = client("north")
    manifest, everything = north.export("Group/diabetes/$export"), north.export()
    assert types(manifest) <= PATIENT_LEVEL
    of_all = resources(north.lines(everything, "Condition"))
    diabetic = {r["subject"]["reference"] for r in of_all if r["code"]["coding"][0]["code"] == "E11.9"}
    members = {f"Patient/{r['id']}" for r in resources(north.lines(manifest, "Patient"))}
    known = {f"Patient/{r['id']}" for r in resources(north.lines(everything, "Patient"))}
    assert members >= diabetic & known
    assert 0 < len(members) < len(known)
    observations = resources(north.lines(manifest, "Observation"))
    assert {r["subject"]["reference"] for r in observations} <= members
    assert sum(row["count"] for row in manifest["output"] if row["type"] == "Observation") == len(
        north.lines(manifest, "Observation")
    )
    assert north.kick_off("Group/nobody/$export").status_code == 404


def test_a_partial_manifest_grows_page_by_page(home: Path, city: City) -> None:
    with served(home, city, export_seconds=0.5) as servers:
        north = Client(servers, home, "north")
        whole = north.export()
        kicked_off = north.kick_off(allowPartialManifests="true")
        early: dict[str, Any] = {}
        for _ in range(40):
            answer = north.get(kicked_off.headers["content-location"])
            if answer.status_code == 202 and answer.content:
                early = answer.json()
                break
            time.sleep(0.01)
        assert answer.status_code == 202
        assert early["output"]
        assert all(north.get(row["url"]).status_code == 200 for row in early["output"])
        pages = [north.wait(kicked_off).json()]
        assert pages[0]["output"] == early["output"]
        while link := pages[-1].get("link"):
            pages.append(north.get(link[0]["url"]).json())
        rows = [row for page in pages for row in page["output"]]
        assert len(pages) == len(types(whole))
        assert [(r["type"], r["count"]) for r in rows] == [(r["type"], r["count"]) for r in whole["output"]]
        harbour = Client(servers, home, "harbour")
        assert harbour.kick_off(allowPartialManifests="true").status_code == 400
        assert harbour.kick_off().status_code == 202


def test_a_kick_off_by_post(client: SignedIn) -> None:
    north = client("north")
    body = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Location"}]}
    kicked_off = north.http.post(
        f"{north.base}/$export", json=body, headers=north.headers(Prefer="respond-async")
    )
    assert types(north.wait(kicked_off).json()) == {"Location"}


def test_since_serves_what_was_updated_after_it(client: SignedIn) -> None:
    north = client("north")
    since = "2025-12-01T00:00:00Z"
    recent = resources(north.lines(north.export(_since=since), "Encounter"))
    everything = resources(north.lines(north.export(), "Encounter"))
    assert {r["id"] for r in recent} == {r["id"] for r in everything if r["meta"]["lastUpdated"] > since}
    assert 0 < len(recent) < len(everything)


def test_an_advance_brings_new_changed_late_and_deleted_records(
    client: SignedIn, city: City, home: Path
) -> None:
    north = client("north")
    before = resources(north.lines(north.export(), "Observation"))
    since = "2026-01-01T00:00:00Z"
    assert north.http.post("http://testserver/city/advance", json={"days": 2}).json() == {
        "now": "2026-01-03T00:00:00Z"
    }
    delta = north.export(_since=since)
    assert delta["transactionTime"] == "2026-01-03T00:00:00.000Z"
    come = {r["id"]: r for r in resources(north.lines(delta, "Observation"))}
    known = {r["id"] for r in before}
    assert come.keys() - known, "new"
    assert any(r["status"] == "amended" for i, r in come.items() if i in known), "changed"
    late = {r["resource_id"] for r in key(home, "late") if r["visible_at"].isoformat() > "2026-01-01"}
    assert any(r["meta"]["lastUpdated"] < since for i, r in come.items() if i in late), "late"
    bundles = resources(north.lines(delta, "Bundle", "deleted"))
    gone = {e["request"]["url"] for b in bundles for e in b["entry"] if e["request"]["method"] == "DELETE"}
    assert {b["type"] for b in bundles} == {"transaction"}
    stayed_away = {
        f"{r['resource_type']}/{r['resource_id']}"
        for r in key(home, "deleted")
        if r["source"] == "hospital_north"
        and r["visible_at"].isoformat() > "2026-01-01"
        and not r["came_back_at"]
    }
    assert gone == stayed_away
    assert any(url.startswith("Observation/") and url.split("/")[1] in known for url in gone)
    full = {r["id"]: r for r in resources(north.lines(north.export(), "Observation"))}
    assert not {url.split("/")[1] for url in gone} & full.keys()
    assert all(full[i] == r for i, r in come.items() if r["meta"]["versionId"] == "2" and i in full)


def test_a_running_export_does_not_see_the_clock_advance(client: SignedIn, city: City) -> None:
    north = client("north")
    kicked_off = north.kick_off()
    city.advance(1)
    manifest = north.wait(kicked_off).json()
    assert manifest["transactionTime"] == "2026-01-01T00:00:00.000Z"
    later = [
        r for r in resources(north.lines(manifest, "Encounter")) if r["meta"]["lastUpdated"] > "2026-01-01"
    ]
    assert later == []


def test_university_stamps_its_files_and_packs_them(client: SignedIn) -> None:
    university = client("university")
    row = next(r for r in university.export()["output"] if r["type"] == "Patient")
    assert "/Patient.1767225600000.ndjson?" in row["url"]
    packed = university.http.get(row["url"], headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    plain = university.http.get(row["url"], headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == packed.content, "no token, and the client unpacks what was packed"


def test_a_download_can_be_resumed_by_range(client: SignedIn) -> None:
    north = client("north")
    row = next(r for r in north.export()["output"] if r["type"] == "Patient")
    whole = north.get(row["url"], **{"Accept-Encoding": "identity"}).content
    rest = north.get(row["url"], Range="bytes=1000-")
    assert (rest.status_code, rest.content) == (206, whole[1000:])


def test_links_cannot_be_forged_and_expire(home: Path, city: City) -> None:
    with served(home, city, link_seconds=60.0) as servers:
        north = Client(servers, home, "north")
        kicked_off = north.kick_off()
        manifest = north.wait(kicked_off).json()
        url = manifest["output"][0]["url"]
        assert north.get(url).status_code == 200
        assert north.get(url.replace("/0/", "/1/")).status_code == 403
        assert north.get(f"{url}0").status_code == 403
        servers.sites["north"].bulk.clock = lambda: time.time() + 61.0
        assert north.get(url).status_code == 410
        assert north.get(kicked_off.headers["content-location"]).status_code == 404


def test_files_need_the_token_and_its_scope(client: SignedIn, servers: Servers) -> None:
    north = client("north")
    row = next(r for r in north.export()["output"] if r["type"] == "Patient")
    assert north.http.get(row["url"]).status_code == 401
    narrow = client("north", scope="system/Location.rs")
    assert narrow.get(row["url"]).status_code == 403
    assert types(narrow.export()) == {"Location"}
    assert narrow.kick_off(_type="Patient").status_code == 403


def test_a_cancelled_export_is_gone(client: SignedIn) -> None:
    north = client("north")
    kicked_off = north.kick_off()
    status = kicked_off.headers["content-location"]
    assert north.http.delete(status, headers=north.headers()).status_code == 202
    assert north.get(status).status_code == 404
    assert north.http.delete(status, headers=north.headers()).status_code == 404


def test_an_export_survives_a_restart_of_the_server(home: Path, city: City) -> None:
    with served(home, city, export_seconds=60.0) as servers:
        status = Client(servers, home, "north").kick_off().headers["content-location"]
    with served(home, city) as servers:
        north = Client(servers, home, "north")
        answer = north.get(status)
        assert answer.status_code == 202, "as long as it was to take"
        servers.sites["north"].bulk.job(status.rsplit("/", 1)[1]).not_before = 0.0
        assert types(north.get(status).json()) >= PATIENT_LEVEL


def test_the_answer_key_is_not_served(client: SignedIn) -> None:
    north = client("north")
    for path in (
        "answer_key/discharges.parquet",
        "../answer_key/canaries.json",
        "%2e%2e/answer_key/canaries.json",
    ):
        for base in (north.base, "http://testserver", "http://testserver/city"):
            assert north.get(f"{base}/{path}").status_code == 404
    served_text = b"".join(north.get(r["url"]).content for r in north.export()["output"])
    assert b"true_risk" not in served_text


def test_large_types_are_split_at_line_ends(tmp_path: Path, made_home: Path) -> None:
    path = made_home / "city/segments/00000/north/Observation.ndjson"
    whole = path.read_bytes()
    lines = whole.count(b"\n")
    files = split_pieces([Piece(path, 0, len(whole), lines)], 1000)
    assert [sum(p.lines for p in f) for f in files] == [1000] * (lines // 1000) + [lines % 1000]
    assert b"".join(whole[p.start : p.stop] for f in files for p in f) == whole
    assert all(whole[f[-1].stop - 1 : f[-1].stop] == b"\n" for f in files)


def test_capability_and_configuration_are_open(client: SignedIn) -> None:
    north = client("north", scope="")
    statement = north.http.get(f"{north.base}/metadata").json()
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["rest"][0]["operation"][0]["name"] == "export"
    assert north.http.get("http://testserver/nowhere/fhir/metadata").status_code == 404
    assert north.kick_off().status_code == 401


def test_a_city_that_is_living_a_day_still_answers(client: SignedIn, city: City) -> None:
    north = client("north")
    is_held, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with city.lock:
            is_held.set()
            is_done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert is_held.wait(5)
        started = time.monotonic()
        assert types(north.export(_type="Location")) == {"Location"}
        assert north.http.get("http://testserver/city/clock").status_code == 200
        assert time.monotonic() - started < 20
    finally:
        is_done.set()
        holder.join()


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("0001-01-01T00:00:00Z", 202),
        ("0001-01-01T00:00:00+14:00", 400),
        ("9999-12-31T23:59:59Z", 202),
        ("9999-12-31T23:59:59-14:00", 400),
        ("10000-01-01T00:00:00Z", 400),
        ("", 400),
    ],
)
def test_instants_at_the_ends_of_the_calendar(client: SignedIn, since: str, status: int) -> None:
    north = client("north")
    answer = north.kick_off(_since=since, _type="Location")
    assert answer.status_code == status
    if status == 202:
        assert north.wait(answer).status_code == 200
    else:
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_odd_links_and_bodies_are_refused_with_an_outcome(client: SignedIn) -> None:
    north = client("north")
    url = north.export(_type="Location")["output"][0]["url"]
    for odd in (
        f"{url}%C3%A9",
        url.replace("expires=", "expires=x"),
        url.replace("/0/", "/x/"),
        url.split("?")[0],
    ):
        answer = north.get(odd)
        assert 400 <= answer.status_code < 500
        assert answer.json()["resourceType"] == "OperationOutcome"
    headers = north.headers(Prefer="respond-async")
    for body in (
        b"[]",
        b"{",
        b'{"parameter": 1}',
        b'{"parameter": [1]}',
        b'{"parameter": [{"name": [1], "valueString": "x"}]}',
        b'{"parameter": [{"name": "_type"}]}',
        b"[" * 100_000,
    ):
        answer = north.http.post(f"{north.base}/$export", content=body, headers=headers)
        assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome"), body[:50]
