"""The APIs around the hospitals, asked as a client asks them, against the answer key."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from infra.city.city import City
from infra.city.surroundings.given_air import GivenAir
from infra.city.web import Servers, make_app
from jobs.errors import CitywellError
from tests.support.given import given
from tests.unit.city.served import served
from tests.unit.city.test_population import key, newest

HOST = "http://testserver"
Item = dict[str, Any]


@pytest.fixture
def http(servers: Servers) -> TestClient:
    return TestClient(make_app(servers), client=("127.0.0.1", 50_000), raise_server_exceptions=False)


def keys(home: Path) -> dict[str, str]:
    token = (home / "keys/city_housing.token").read_text()
    return {"X-Api-Key": (home / "keys/city_transport.key").read_text(), "Authorization": f"Bearer {token}"}


def air(
    http: TestClient, path: str = "air/v1/readings", limit: int = 10_000, **parameters: Any
) -> list[Item]:
    """All items of a query, page by page; the stated total is checked."""
    found: list[Item] = []
    asked: dict[str, Any] = {"limit": limit, **parameters}
    while True:
        page = http.get(f"{HOST}/{path}", params=asked).json()
        found += page["items"]
        assert len(page["items"]) <= limit
        if page["next_cursor"] is None:
            assert len(found) == page["total"]
            return found
        asked = {"limit": limit, "cursor": page["next_cursor"]}


def weather(http: TestClient, path: str = "weather/v1/readings", **parameters: Any) -> list[Item]:
    first = http.get(f"{HOST}/{path}", params={"per_page": 10_000, **parameters}).json()
    found: list[Item] = first["results"]
    for number in range(2, first["pages"] + 1):
        page = http.get(f"{HOST}/{path}", params={"per_page": 10_000, "page": number, **parameters}).json()
        found += page["results"]
    assert len(found) == first["count"]
    return found


def transport(http: TestClient, home: Path, name: str, **parameters: Any) -> list[Item]:
    found: list[Item] = []
    url: str | None = str(httpx.URL(f"{HOST}/transport/v1/{name}", params={"limit": 10_000, **parameters}))
    while url:
        answer = http.get(url, headers=keys(home))
        found += answer.json()
        url = answer.links.get("next", {}).get("url")
    assert len(found) == int(answer.headers["x-total-count"])
    return found


def housing(http: TestClient, home: Path, name: str, limit: int = 10_000, **parameters: Any) -> list[Item]:
    found: list[Item] = []
    asked: dict[str, Any] = {"limit": limit, **parameters}
    while True:
        page = http.get(f"{HOST}/housing/v1/{name}", params=asked, headers=keys(home)).json()
        found += page["data"]
        if page["next"] is None:
            assert len(found) == page["meta"]["count"]
            return found
        asked = {"limit": limit, "cursor": page["next"]}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def hour_key(row: Item) -> tuple[str, str, datetime]:
    return row["station"], row["thing"], row["hour_at"]


def test_air_readings_are_as_the_answer_key_says(http: TestClient, home: Path, city: City) -> None:
    items = air(http)
    assert items == air(http, limit=7919), "in pages of any size"
    assert [i["updated_at"] for i in items] == sorted(i["updated_at"] for i in items)
    found: dict[tuple[str, str, datetime], Item] = {}
    for item in items:
        found[item["station"], item["pollutant"], moment(item["hour"])] = item
    planted = {
        n: [r for r in key(home, n) if r["source"] == "air_city"]
        for n in ("reading_gaps", "reading_duplicates")
    }
    copies = {hour_key(r) for r in planted["reading_duplicates"]}
    assert len(items) - len(found) == len(copies) > 50
    gaps = {hour_key(r) for r in planted["reading_gaps"] if r["kind"] != "null"}
    nulls = {hour_key(r) for r in planted["reading_gaps"] if r["kind"] == "null"}
    assert nulls == {k for k, i in found.items() if i["value"] is None}
    assert {i["reason"] for i in found.values() if i["value"] is None} == {
        "maintenance",
        "calibration",
        "quality_control",
    }
    assert not gaps & found.keys()
    still_to_come = 365 * 24 * 23 - len(gaps) - len(found)
    assert 15 < still_to_come < 60, "the last hour's, and late ones"
    wrong = [r for r in key(home, "reading_bad_values") if r["source"] == "air_city"]
    assert {r["kind"] for r in wrong} == {"sentinel", "spike"}
    for row in wrong:
        expected = row["true_value"] if row["repaired_at"] else row["served_value"]
        assert found[hour_key(row)]["value"] == pytest.approx(expected, rel=1e-4)
    assert sum(i["value"] == -999 for i in found.values()) > 30


def test_revisions_come_days_later_and_are_told_once_they_are_seen(
    http: TestClient, home: Path, city: City
) -> None:
    before = {(i["station"], i["pollutant"], i["hour"]): i for i in air(http)}
    told_before = len(key(home, "reading_revisions"))
    city.advance(2)
    changed = air(http, updated_since="2026-01-01T00:00:00Z")
    assert 2 * 23 * 24 * 1.8 < len(changed) < 2 * 23 * 24 * 2.2, (
        "two days' readings, and two days' validations"
    )
    revised = {
        (i["station"], i["pollutant"], moment(i["hour"])): i
        for i in changed
        if (b := before.get((i["station"], i["pollutant"], i["hour"]))) and b["value"] != i["value"]
    }
    since = moment("2026-01-01T00:00:00Z")
    told = {
        hour_key(r): r
        for r in key(home, "reading_revisions")
        if r["source"] == "air_city" and r["visible_at"] > since
    }
    assert revised.keys() == told.keys()
    assert len(key(home, "reading_revisions")) > told_before
    for at, row in told.items():
        assert revised[at]["status"] == "validated"
        assert revised[at]["value"] == pytest.approx(row["final_value"], rel=1e-4)
    merged = {**before, **{(i["station"], i["pollutant"], i["hour"]): i for i in changed}}
    now = {(i["station"], i["pollutant"], i["hour"]): i for i in air(http)}
    assert merged == now, "what changed, on top of what was, is what is"


def test_a_cursor_keeps_its_moment(http: TestClient, city: City) -> None:
    since = {"updated_since": "2025-12-31T00:00:00Z", "limit": 100}
    first = http.get(f"{HOST}/air/v1/readings", params=since).json()
    rest = air(http, limit=100, **{"updated_since": since["updated_since"]})[100:]
    city.advance(1)
    got = []
    cursor = first["next_cursor"]
    while cursor:
        page = http.get(f"{HOST}/air/v1/readings", params={"cursor": cursor, "limit": 100}).json()
        assert page["generated_at"] == "2026-01-01T00:00:00Z"
        assert page["total"] == first["total"]
        got += page["items"]
        cursor = page["next_cursor"]
    assert got == rest


def test_weather_has_local_hours_that_come_twice_and_one_that_never_was(http: TestClient, home: Path) -> None:
    items = weather(http)
    keyed = Counter((i["station"], i["parameter"], i["local_time"], i.get("mark")) for i in items)
    copies = [r for r in key(home, "reading_duplicates") if r["source"] == "weather_city"]
    assert sum(n - 1 for n in keyed.values()) == len(copies) > 5
    marked = {(i["local_time"], i["mark"]) for i in items if "mark" in i}
    assert marked == {("2025-10-26T02:00:00", "A"), ("2025-10-26T02:00:00", "B")}
    ghosts = {(s, t) for s, _, t, _ in keyed if t.startswith("2025-03-30T02:")}
    assert ghosts == {("W1", "2025-03-30T02:00:00")}
    told = {
        (r["station"], r["local_time"], r["mark"]) for r in key(home, "weather_dst") if r["kind"] == "skipped"
    }
    assert told == {("W1", "2025-03-30T02:00:00", "")}
    units = {i["parameter"]: i["unit"] for i in items}
    assert units == {
        "temperature": "Cel",
        "humidity": "%",
        "wind_speed": "m/s",
        "precipitation": "mm",
        "pressure": "hPa",
    }
    assert {i["quality"] for i in items} == {1, 3}
    earlier = weather(http, updated_since="2025-12-30T00:00:00Z", updated_until="2025-12-31T00:00:00Z")
    assert 0.9 * 240 < len(earlier) < 1.1 * 240


def test_transport_needs_its_key_and_tells_what_happened(http: TestClient, home: Path, city: City) -> None:
    assert (home / "keys/city_transport.key").stat().st_mode & 0o777 == 0o600
    assert http.get(f"{HOST}/transport/v1/traffic").status_code == 401
    assert http.get(f"{HOST}/transport/v1/traffic", headers={"X-Api-Key": "guess"}).status_code == 401
    segments = transport(http, home, "segments")
    counted = transport(http, home, "traffic", updated_since="2025-12-01T00:00:00Z")
    assert {t["segment"] for t in counted} == {s["id"] for s in segments}
    assert all((t["vehicles"] is None) == (t["speed_kmh"] is None) for t in counted)
    lines = transport(http, home, "transit")
    assert all(t["run"] <= t["planned"] and t["delayed"] <= t["run"] for t in lines)
    runs = transport(http, home, "ambulance-runs")
    assert 30 < len(runs) < 90
    for run in runs:
        times = [
            moment(run[n])
            for n in ("incident_at", "dispatched_at", "arrived_at", "left_at", "hospital_at")
            if run[n]
        ]
        assert times == sorted(times)
        assert (run["hospital"] is None) == (run["hospital_at"] is None)
        assert not (run["cancelled"] and run["arrived_at"])
    before = {i["id"]: i for i in transport(http, home, "incidents")}
    city.advance(1)
    later = {i["id"]: i for i in transport(http, home, "incidents")}
    for id_ in before.keys() & later.keys():
        if before[id_]["cleared_at"] is None:
            assert later[id_]["cleared_at"] is not None
            assert moment(later[id_]["updated_at"]) > moment(before[id_]["updated_at"])
    assert before.keys() < later.keys()


def test_the_address_history_is_that_of_the_patients(http: TestClient, home: Path, city: City) -> None:
    assert http.get(f"{HOST}/housing/v1/residences").status_code == 401
    items = housing(http, home, "residences")
    assert items == housing(http, home, "residences", limit=53)
    living = [i for i in items if i["deleted_at"] is None]
    assert all(i.keys() == {"id", "updated_at", "deleted_at"} for i in items if i["deleted_at"])
    true = {r["residence_id"]: r for r in key(home, "residences")}
    errors = {r["residence_id"]: r for r in key(home, "residence_errors")}
    dwellings = {d["id"]: d for d in housing(http, home, "dwellings")}
    sector_of = {a["postal_sector"]: a["district"] for a in housing(http, home, "areas")}
    for item in living:
        is_phantom = errors.get(item["id"], {}).get("kind") == "phantom"
        row = true.get(item["id"])
        assert (row is None) == is_phantom
        if row is None:
            continue
        assert (
            dwellings[item["dwelling_id"]]["postal_sector"] == item["postal_code"][:5] == row["postal_sector"]
        )
        assert (
            sector_of[row["postal_sector"]] == row["district"] == dwellings[item["dwelling_id"]]["district"]
        )
        open_error = item["id"] in errors and errors[item["id"]]["ended_at"] is None
        expected = errors[item["id"]]["first_date"] if open_error else row["moved_in"]
        assert item["moved_in"] == expected
    addresses = {(i["national_id"], i["postal_code"]): i for i in living if i["moved_out"] is None}
    patients = [p for p in newest(home, "north", "Patient") if "deceasedDateTime" not in p]
    found = alike = 0
    for patient in patients:
        national = next(
            (n["value"] for n in patient["identifier"] if n["system"].endswith("/national")), None
        )
        code = patient["address"][0].get("postalCode") if patient.get("address") else None
        home_now = addresses.get((national, code))
        if home_now is not None:
            found += 1
            alike += home_now["family_name"] == patient["name"][0]["family"]
    assert found > 0.6 * len(patients)
    assert alike > 0.85 * found


def test_moves_and_statistics_come_with_the_days(http: TestClient, home: Path, city: City) -> None:
    """The register hears of moves later and closes the former address; districts are published in January."""
    assert housing(http, home, "districts") == []
    city.advance(16)
    changed = housing(http, home, "residences", updated_since="2026-01-01T00:00:00Z")
    assert any(i["deleted_at"] is None and i["moved_out"] for i in changed)
    moved = {
        r["residence_id"]: r["moved_in"] for r in key(home, "residences") if r["moved_in"] > "2025-12-17"
    }
    told = [i for i in changed if i["id"] in moved and i["deleted_at"] is None]
    assert told
    for item in told:
        assert moment(item["updated_at"]) - moment(f"{moved[item['id']]}T00:00:00Z") >= timedelta(days=1)
    rows = housing(http, home, "districts")
    assert [(r["district"], r["year"]) for r in rows] == [(f"CW{n:02d}", 2025) for n in range(1, 9)]
    assert {r["status"] for r in rows} == {"provisional"}
    assert abs(sum(r["residents"] for r in rows) - 300) < 25


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("air/v1/readings?cursor=nonsense", 400),
        ("air/v1/readings?cursor=AAAA", 400),
        ("air/v1/readings?updated_since=yesterday", 400),
        ("air/v1/readings?updated_since=2025-12-31T00:00:00", 400),
        ("air/v1/readings?limit=0", 400),
        ("air/v1/readings?limit=-1", 400),
        ("weather/v1/readings?page=0", 400),
        ("weather/v1/winds", 404),
        ("weather/v1/readings?page=99999", 200),
        ("air/v1/readings?updated_since=2030-01-01T00:00:00Z", 200),
    ],
)
def test_odd_questions(http: TestClient, query: str, status: int) -> None:
    answer = http.get(f"{HOST}/{query}")
    assert answer.status_code == status
    assert ("error" in answer.json()) == (status != 200)


def test_answers_name_their_moment_and_late_runs_are_entered_under_an_earlier_one(
    http: TestClient, home: Path, city: City
) -> None:
    assert http.get(f"{HOST}/weather/v1/stations").headers["x-as-of"] == "2026-01-01T00:00:00Z"
    known = {r["run_id"]: r for r in key(home, "late_runs")}
    assert known
    runs = {r["id"]: r for r in transport(http, home, "ambulance-runs")}
    for id_, row in known.items():
        assert moment(runs[id_]["updated_at"]) == row["updated_at"]
        before = {"updated_until": (row["visible_at"] - timedelta(hours=1)).isoformat()}
        assert id_ not in {r["id"] for r in transport(http, home, "ambulance-runs", **before)}


def strike(http: TestClient, **fault: Any) -> None:
    assert http.post(f"{HOST}/city/faults", json=fault).status_code == 201


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "too_many", "retry_after": "seconds", "seconds": 3}, 429),
        ({"kind": "unavailable"}, 503),
        ({"kind": "server_error", "status": 502}, 502),
        ({"kind": "unauthorized"}, 401),
    ],
)
def test_faults_strike_one_feed_in_plain_json(http: TestClient, fault: dict[str, Any], status: int) -> None:
    strike(http, hospital="air", type="readings", **fault)
    assert http.get(f"{HOST}/air/v1/stations").status_code == 200
    struck = http.get(f"{HOST}/air/v1/readings?limit=1")
    assert struck.status_code == status
    assert list(struck.json()) == ["error"]
    assert struck.headers.get("retry-after") == ("3" if status == 429 else None)
    assert http.get(f"{HOST}/air/v1/readings?limit=1").status_code == 200


def test_pages_are_spoiled_as_asked(http: TestClient) -> None:
    url = f"{HOST}/air/v1/readings?limit=5"
    honest = http.get(url)
    for kind in ("truncated", "invalid_json"):
        strike(http, hospital="air", kind=kind)
        spoiled = http.get(url)
        assert spoiled.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            spoiled.json()
    strike(http, hospital="air", kind="wrong_total", by=-2)
    assert http.get(url).json()["total"] == honest.json()["total"] - 2
    strike(http, hospital="air", kind="stuck_cursor")
    stuck = http.get(url).json()
    again = http.get(url, params={"limit": 5, "cursor": stuck["next_cursor"]}).json()
    assert again["items"] == stuck["items"]
    assert http.get(url).content == honest.content


def test_real_readings_are_served_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "city").mkdir()
    with served(tmp_path, None, None) as servers:
        servers.given_air = GivenAir.read(given("beijing-pm25"))
        http = TestClient(make_app(servers), client=("127.0.0.1", 50_000))
        items = air(http, "beijing/air/v1/readings")
        assert len(items) == 43_824
        gaps = [i for i in items if i["value"] is None]
        assert len(gaps) == 2_067
        assert {i["reason"] for i in gaps} == {"not_measured"}
        assert items[24]["hour"] == "2010-01-01T16:00:00Z"
        assert items[24]["value"] == 129
        hourly = weather(http, "beijing/weather/v1/readings", updated_until="2010-01-02T16:00:00Z")
        first = {i["parameter"]: i["value"] for i in hourly if i["local_time"] == "2010-01-02T00:00:00"}
        assert first["temperature"] == -4
        assert first["dew_point"] == -16
        assert first["pressure"] == 1020
        assert http.get(f"{HOST}/air/v1/readings").status_code == 404, "there is no generated city"


def test_what_holds_no_air_readings_is_said(tmp_path: Path) -> None:
    with pytest.raises(CitywellError, match="no air readings"):
        GivenAir.read(tmp_path)
    (tmp_path / "pollution.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CitywellError, match="not those of Beijing"):
        GivenAir.read(tmp_path)
