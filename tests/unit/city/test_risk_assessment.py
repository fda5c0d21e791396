"""RiskAssessments written to a hospital and read back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.city.city import City
from infra.city.habits import NORTH
from infra.city.web import Servers
from tests.unit.city.served import Client, served

SignedIn = Callable[..., Client]
SYSTEM = "https://citywell.example/score"


@pytest.fixture
def patient(city: City) -> str:
    return sorted(city.patient_ids(NORTH))[0]


def assessment(patient: str, value: str = "s-1", probability: float = 0.25, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "identifier": [{"system": SYSTEM, "value": value}],
        "subject": {"reference": f"Patient/{patient}"},
        "prediction": [{"probabilityDecimal": probability}],
        **more,
    }


def post(c: Client, body: Any, **headers: str) -> Any:
    return c.http.post(f"{c.base}/RiskAssessment", json=body, headers=c.headers(**headers))


def test_create_read_update_and_former_versions(client: SignedIn, patient: str) -> None:
    c = client("north")
    made = post(c, assessment(patient))
    assert (made.status_code, made.headers["etag"]) == (201, 'W/"1"')
    id_ = made.json()["id"]
    assert made.headers["location"] == f"{c.base}/RiskAssessment/{id_}/_history/1"
    assert made.json()["meta"] == {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00.000Z"}
    url = f"{c.base}/RiskAssessment/{id_}"
    body = {**assessment(patient, probability=0.5), "id": id_}
    changed = c.http.put(url, json=body, headers=c.headers(**{"If-Match": 'W/"1"'}))
    assert (changed.status_code, changed.headers["etag"]) == (200, 'W/"2"')
    assert c.http.put(url, json=body, headers=c.headers(**{"If-Match": 'W/"1"'})).status_code == 412
    assert c.get(url).json()["prediction"] == [{"probabilityDecimal": 0.5}]
    assert c.get(f"{url}/_history/1").json()["prediction"] == [{"probabilityDecimal": 0.25}]
    assert c.get(f"{c.base}/RiskAssessment/none").status_code == 404


def test_a_conditional_create_happens_once_even_from_many_threads(
    client: SignedIn, servers: Servers, patient: str
) -> None:
    c = client("north")
    condition = {"If-None-Exist": f"identifier={SYSTEM}|s-1"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(c, assessment(patient), **condition), range(8)))
    assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
    assert len({a.json()["id"] for a in answers}) == 1
    post(c, assessment(patient))
    assert post(c, assessment(patient), **condition).status_code == 412, "now two match"


def test_a_conditional_update_creates_then_replaces(client: SignedIn, patient: str) -> None:
    c = client("north")
    url = f"{c.base}/RiskAssessment?identifier={SYSTEM}|s-9"
    first = c.http.put(url, json=assessment(patient, "s-9"), headers=c.headers())
    second = c.http.put(url, json=assessment(patient, "s-9", 0.9), headers=c.headers())
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert second.json()["meta"]["versionId"] == "2"
    unconditional = c.http.put(f"{c.base}/RiskAssessment", json=assessment(patient), headers=c.headers())
    assert unconditional.status_code == 412


def test_search_by_subject_identifier_and_page(client: SignedIn, city: City) -> None:
    c = client("north")
    first, second = sorted(city.patient_ids(NORTH))[:2]
    for n in range(5):
        post(c, assessment(first, f"a-{n}"))
    post(c, assessment(second, "b-0"))

    def found(query: str) -> int:
        return int(c.get(f"RiskAssessment?{query}").json()["total"])

    assert found(f"subject=Patient/{first}") == found(f"patient={first}") == 5
    assert found(f"identifier={SYSTEM}|a-3") == found("identifier=a-3") == 1
    assert found(f"identifier={SYSTEM}|a-1,{SYSTEM}|b-0") == 2
    assert found(f"identifier=http://other|a-3&subject=Patient/{first}") == 0
    assert found("_lastUpdated=ge2026-01-01") == 6
    page = c.get(f"RiskAssessment?subject=Patient/{first}&_count=2").json()
    seen = []
    while True:
        seen += [e["resource"]["identifier"][0]["value"] for e in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not following:
            break
        page = c.get(following[0]).json()
    assert sorted(seen) == [f"a-{n}" for n in range(5)]
    form = c.http.post(f"{c.base}/RiskAssessment/_search", data={"identifier": "b-0"}, headers=c.headers())
    assert form.json()["total"] == 1
    assert c.get("RiskAssessment?code=x").status_code == 400


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        ({"resourceType": "Observation"}, 400),
        ({"status": "done"}, 422),
        ({"subject": None}, 422),
        ({"subject": {"reference": "Group/1"}}, 422),
        ({"subject": {"reference": "Patient/nobody"}}, 422),
        ({"prediction": [{"probabilityDecimal": 1.5}]}, 422),
        ({"identifier": "s-1"}, 422),
        ({"identifier": [{"value": ["s-1"]}]}, 422),
        ({"identifier": [{"value": "s-1", "system": 7}]}, 422),
        ({"identifier": [7]}, 422),
        ({"prediction": {"probabilityDecimal": 0.5}}, 422),
        ({"prediction": [0.5]}, 422),
        ({"prediction": [{"probabilityDecimal": True}]}, 422),
        ({"prediction": [{"probabilityDecimal": [0.5]}]}, 422),
        ({"meta": "x"}, 422),
        ({"meta": None}, 422),
        ({"status": ["final"]}, 422),
        ({"subject": {"reference": ["Patient/1"]}}, 422),
        ({"id": 7}, 422),
        ({"id": "a/b"}, 422),
    ],
)
def test_wrong_resources_are_refused_with_an_outcome(
    client: SignedIn, patient: str, spoil: dict[str, Any], status: int
) -> None:
    answer = post(client("north"), {**assessment(patient), **spoil})
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("body", [b'{"status":"\xff"}', b'{"status":"\\ud800"}', b"", b"[" * 100_000, b"7"])
def test_bytes_that_are_not_json_are_refused(client: SignedIn, body: bytes) -> None:
    c = client("north")
    answer = c.http.post(f"{c.base}/RiskAssessment", content=body, headers=c.headers())
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


def test_numbers_beyond_64_bits_do_no_harm(client: SignedIn, patient: str) -> None:
    c = client("north")
    made = post(c, assessment(patient, basis=[{"x": 10**30, "y": -(10**30)}]))
    assert made.status_code in (201, 400, 422)


@pytest.mark.parametrize(
    "query",
    [
        "_count=%C2%B2",
        "_count=-1",
        "_count=" + "9" * 40,
        "_offset=" + "9" * 5000,
        "_id=" + ",".join("x" * 300),
        "identifier=" + ",".join("x" * 2000),
        "&".join(["_id=x"] * 600),
        "code=x",
    ],
)
def test_odd_searches_are_refused_with_an_outcome(client: SignedIn, query: str) -> None:
    answer = client("north").get(f"RiskAssessment?{query}")
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


def test_a_conditional_update_does_not_take_over_another_ones_id(client: SignedIn, patient: str) -> None:
    c = client("north")
    made = post(c, assessment(patient, "s-1")).json()
    other = {**assessment(patient, "s-2"), "id": made["id"]}
    answer = c.http.put(f"{c.base}/RiskAssessment?identifier={SYSTEM}|s-2", json=other, headers=c.headers())
    assert (answer.status_code, answer.json()["resourceType"]) == (409, "OperationOutcome")
    assert c.get(f"RiskAssessment/{made['id']}").json() == made
    mine = {**assessment(patient, "s-3"), "id": "mine"}
    url = f"{c.base}/RiskAssessment?identifier={SYSTEM}|s-3"
    assert c.http.put(url, json=mine, headers=c.headers()).status_code == 201
    assert c.http.put(url, json=mine, headers=c.headers()).status_code == 200


def test_writing_needs_the_scope(client: SignedIn, patient: str) -> None:
    assert post(client("north", scope="system/*.rs"), assessment(patient)).status_code == 403
    assert post(client("north", scope="system/RiskAssessment.write"), assessment(patient)).status_code == 201


def test_assessments_survive_a_restart_and_stay_at_their_hospital(
    home: Path, city: City, patient: str
) -> None:
    with served(home, city) as servers:
        post(Client(servers, home, "north"), assessment(patient))
    with served(home, city) as servers:
        assert Client(servers, home, "north").get("RiskAssessment?identifier=s-1").json()["total"] == 1
        assert Client(servers, home, "harbour").get("RiskAssessment?identifier=s-1").json()["total"] == 0


def observation(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{"system": SYSTEM, "value": "day-1"}],
        "code": {"coding": [{"system": "urn:x", "code": "beds"}]},
        "focus": [{"reference": "Organization/o1"}],
        "valueQuantity": {"value": 40.5},
        "component": [{"code": {"text": "p95"}, "valueQuantity": {"value": 48}}],
        **more,
    }


def test_an_observation_of_an_organization_is_kept_beside_what_is_exported(client: SignedIn) -> None:
    c = client("north", scope="system/Observation.crus")
    link, params = f"{c.base}/Observation", {"identifier": f"{SYSTEM}|day-1"}
    made = c.http.put(link, params=params, json=observation(), headers=c.headers())
    changed = c.http.put(
        link, params=params, json=observation(valueQuantity={"value": 41}), headers=c.headers()
    )
    assert (made.status_code, changed.status_code, changed.headers["etag"]) == (201, 200, 'W/"2"')
    [entry] = c.http.get(link, params=params, headers=c.headers()).json()["entry"]
    assert entry["resource"]["valueQuantity"] == {"value": 41}
    assert entry["resource"]["id"] == made.json()["id"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": {"reference": "Patient/p1"}},
        {"focus": []},
        {"focus": [{"reference": "Patient/p1"}]},
        {"focus": [{"reference": "Organization/o1"}, {"display": "another"}]},
        {"code": {"text": "beds"}},
        {"status": "guessed"},
        {"valueQuantity": 40},
        {"component": [{"valueQuantity": {"value": "many"}}]},
        {"component": [{"valueQuantity": {"value": True}}]},
    ],
)
def test_an_observation_that_breaks_a_rule_is_refused(client: SignedIn, wrong: dict[str, Any]) -> None:
    c = client("north", scope="system/Observation.crus")
    answer = c.http.post(f"{c.base}/Observation", json=observation(**wrong), headers=c.headers())
    assert answer.status_code == 422
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_scope_for_assessments_is_none_for_observations(client: SignedIn) -> None:
    c = client("north", scope="system/RiskAssessment.crus")
    answer = c.http.post(f"{c.base}/Observation", json=observation(), headers=c.headers())
    assert answer.status_code == 403
