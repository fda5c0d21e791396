"""The wearables platform: its routes, whose consent holds, and values in which a later model finds signal."""

from __future__ import annotations

import json
import stat
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import mean, median
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from infra.city.city import City
from infra.city.options import Options
from infra.city.web import Servers, make_app
from tests.unit.city.served import served
from tests.unit.city.test_population import key

BASE = "http://testserver/wearables/v1"


class Platform:
    """A client of the platform with its token."""

    def __init__(self, servers: Servers, home: Path) -> None:
        self.http = TestClient(make_app(servers), client=("127.0.0.1", 50_000))
        secret = (home / "keys/city_wearables.token").read_text().strip()
        self.headers = {"Authorization": f"Bearer {secret}"}

    def get(self, feed: str, headers: dict[str, str] | None = None, **asked: str) -> httpx.Response:
        return self.http.get(f"{BASE}/{feed}", params=asked, headers={**self.headers, **(headers or {})})

    def walk(self, feed: str, **asked: str) -> list[dict[str, Any]]:
        """All pages."""
        answer = self.get(feed, **asked)
        lines = answer.text.splitlines()
        while after := answer.headers.get("x-next-after"):
            answer = self.get(feed, after=after)
            lines += answer.text.splitlines()
        assert len(lines) == int(answer.headers["x-total-count"])
        return [json.loads(line) for line in lines]


@pytest.fixture
def platform(servers: Servers, home: Path) -> Platform:
    return Platform(servers, home)


def test_only_the_token_opens_it(platform: Platform, home: Path) -> None:
    secret = home / "keys/city_wearables.token"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert platform.get("daily", headers={"Authorization": "Bearer x"}).status_code == 401
    assert platform.http.get(f"{BASE}/daily").status_code == 401
    assert platform.get("steps").status_code == 404
    for wrong in ({"limit": "0"}, {"limit": "x"}, {"after": "x"}, {"updated_since": "2026-01-01T00:00:00"}):
        assert platform.get("daily", **wrong).status_code == 400
    fault = {"kind": "too_many", "hospital": "wearables", "seconds": 3}
    assert platform.http.post("http://testserver/city/faults", json=fault).status_code == 201
    struck = platform.get("daily")
    assert (struck.status_code, struck.headers["retry-after"]) == (429, "3")


def test_pages_show_one_moment_and_the_next_walk_goes_on(platform: Platform, city: City) -> None:
    whole = platform.walk("readings")
    first = platform.get("readings", limit="700")
    assert first.headers["content-type"] == "application/x-ndjson"
    assert int(first.headers["x-total-count"]) == len(whole) > 1400
    city.advance(1)
    lines, after = first.text.splitlines(), first.headers.get("x-next-after")
    while after:
        answer = platform.get("readings", after=after)
        lines, after = lines + answer.text.splitlines(), answer.headers.get("x-next-after")
    assert [json.loads(line) for line in lines] == whole
    newest = whole[-1]["updated_at"]
    assert newest == max(r["updated_at"] for r in whole)
    later = platform.walk("readings", updated_since=newest)
    assert min(r["updated_at"] for r in later) >= newest
    assert len({r["reading_id"] for r in whole + later}) == len(
        {r["reading_id"] for r in platform.walk("readings")}
    )
    plain = platform.get("daily", headers={"Accept-Encoding": "identity"})
    packed = platform.get("daily", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content


def test_the_platform_sends_on_what_nobody_consented_to(platform: Platform, city: City, home: Path) -> None:
    city.advance(14)
    consents = platform.walk("consents")
    assert len({(c["participant_id"], c["purpose"]) for c in consents}) == len(consents)
    holds = {
        (c["participant_id"], c["purpose"]): c["given_at"] is not None and c["withdrawn_at"] is None
        for c in consents
    }
    last: dict[tuple[str, str], bool] = {}
    changes = sorted(key(home, "consents"), key=lambda r: r["at"])
    for r in changes:
        last[r["participant_id"], r["purpose"]] = r["is_given"]
    assert {k for k, given in last.items() if given} == {k for k, given in holds.items() if given}
    began = datetime(2026, 1, 1, tzinfo=UTC)
    assert any(r["at"] >= began and not r["is_given"] and r["purpose"] == "care" for r in changes)

    def consented(participant: str, at: datetime) -> bool:
        care = [r for r in changes if r["participant_id"] == participant and r["purpose"] == "care"]
        return [False, *(r["is_given"] for r in care if r["at"] <= at)][-1]

    noted = {(r["table"], r["record_id"]) for r in key(home, "unconsented")}
    assert {r["reason"] for r in key(home, "unconsented")} == {"withdrawn", "never"}
    sent = {
        ("daily", f"{r['participant_id']}/{r['date']}")
        for r in platform.walk("daily", updated_since="2026-01-01T00:00:00Z")
        if not consented(r["participant_id"], datetime.fromisoformat(r["updated_at"]) + timedelta(seconds=1))
    }
    assert sent
    assert sent <= noted


def test_participants_are_people_of_the_city(platform: Platform, home: Path) -> None:
    true = {
        r["source_id"]: r["person_id"] for r in key(home, "identities") if r["source"] == "wearables_city"
    }
    found = {r["participant_id"]: r for r in platform.walk("participants")}
    assert found.keys() == true.keys()
    assert 30 < len(found) < 90
    assert all(r["email"] and r["phone"] and len(r["birth_date"]) == 10 for r in found.values())


def test_the_planted_is_served_as_the_key_says(platform: Platform, home: Path) -> None:
    planted = defaultdict(dict)
    for r in key(home, "planted"):
        if r["source"] == "wearables_city":
            planted[r["table"], r["kind"]][r["record_id"]] = r
    readings = platform.walk("readings")
    by_id = {r["reading_id"]: r for r in readings}
    assert {r["unit"] for r in readings} == {"mmHg", "/min", "mmol/L", "mg/dL", "kg", "lb"}
    slips = planted["readings", "unit_slip"]
    assert slips
    for id_, slip in slips.items():
        assert f"{by_id[id_]['value']} {by_id[id_]['unit']}" == slip["served"] != slip["true"]
    for r in readings:
        if r["reading_id"] not in slips and r["kind"] in ("glucose", "weight"):
            low, high = {"mmol/L": (2, 28), "mg/dL": (36, 510), "kg": (30, 220), "lb": (66, 480)}[r["unit"]]
            assert low <= r["value"] <= high
    for id_, wrong in planted["readings", "wrong_clock"].items():
        assert by_id[id_]["measured_at"] == wrong["served"] != wrong["true"]
    counts = Counter(r["reading_id"] for r in readings)
    assert {id_ for id_, n in counts.items() if n > 1} == planted["readings", "sent_twice"].keys()
    for form in platform.walk("questionnaires"):
        items = [form[f"item_{n}"] for n in range(1, 11 if form["kind"] == "PSS-10" else 10)]
        if form["kind"] == "PSS-10" and form["response_id"] not in planted["questionnaires", "not_reversed"]:
            items = [4 - a if a is not None and n in (4, 5, 7, 8) else a for n, a in enumerate(items, 1)]
        is_incomplete = form["response_id"] in planted["questionnaires", "incomplete"]
        assert (None in items) == is_incomplete
        assert form["total"] == sum(a for a in items if a is not None)


def test_people_decline_before_they_are_admitted(tmp_path: Path) -> None:
    """In the history, and in days lived one by one, where the admission is still to come."""
    options = Options(population=700, years=0.3, admission_factor=25.0)
    city = City.open(tmp_path / "city", options)
    city.advance(10)
    with served(tmp_path, city) as servers:
        platform = Platform(servers, tmp_path)
        days: dict[str, dict[date, dict[str, Any]]] = defaultdict(dict)
        for r in platform.walk("daily"):
            days[r["participant_id"]][date.fromisoformat(r["date"])] = r
    city.close()
    ids = {
        r["person_id"]: r["source_id"] for r in key(tmp_path, "identities") if r["source"] == "wearables_city"
    }
    ratios: dict[bool, list[float]] = {True: [], False: []}
    rises: list[float] = []
    for d in key(tmp_path, "declines"):
        mine, came = days[ids[d["person_id"]]], d["admitted_at"].date()
        just, usual = (
            [mine[day] for n in span if (day := came - timedelta(days=n)) in mine]
            for span in (range(1, 4), range(12, 40))
        )
        if len(just) > 1 and len(usual) > 5:
            is_lived = came >= date(2026, 1, 3)
            ratios[is_lived].append(mean(r["steps"] for r in just) / median(r["steps"] for r in usual))
            rises.append(
                mean(r["resting_heart_rate"] for r in just) - mean(r["resting_heart_rate"] for r in usual)
            )
    for is_lived, found in ratios.items():
        assert len(found) >= (5 if is_lived else 30)
        assert median(found) < 0.8
    assert median(rises) > 4
