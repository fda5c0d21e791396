"""SMART Backend Services sign-in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.city.city import City
from infra.city.smart import is_allowed
from tests.unit.city.served import Client, public_jwk, served

SignedIn = Callable[..., Client]


@pytest.mark.parametrize(("hospital", "algorithm"), [("north", "RS384"), ("harbour", "ES384")])
def test_both_algorithms_sign_in(client: SignedIn, hospital: str, algorithm: str) -> None:
    c = client(hospital)
    configuration = c.http.get(f"{c.base}/.well-known/smart-configuration").json()
    assert configuration["token_endpoint"] == f"{c.base}/auth/token"
    assert configuration["token_endpoint_auth_signing_alg_values_supported"] == [algorithm]
    granted = c.sign_in("system/*.rs openid").json()
    assert granted["token_type"] == "bearer"
    assert granted["expires_in"] == 300
    assert granted["scope"] == "system/*.rs"


NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "somebody"}, "iss and sub"),
        ({"sub": "somebody"}, "iss and sub"),
        ({"aud": "http://elsewhere/token"}, "aud must be"),
        ({"exp": NOW - 60}, "expired"),
        ({"exp": NOW + 3600}, "5 minutes"),
        ({"iat": NOW + 600}, "iat lies in the future"),
        ({"jti": None}, "lacks jti"),
        ({"exp": None}, "lacks exp"),
        ({"kid": "unknown"}, "kid"),
        ({"algorithm": "ES384"}, "sign with RS384"),
    ],
)
def test_assertions_that_are_refused(client: SignedIn, claims: dict[str, Any], words: str) -> None:
    c = client("north", scope="")
    answer = c.sign_in(assertion=c.assertion(**claims))
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert words in answer.json()["error_description"]


def test_an_assertion_counts_once(client: SignedIn) -> None:
    c = client("north", scope="")
    assertion = c.assertion()
    assert c.sign_in(assertion=assertion).status_code == 200
    again = c.sign_in(assertion=assertion)
    assert (again.status_code, again.json()["error_description"]) == (401, "this jti was used before")


def test_an_assertion_counts_once_over_a_restart(home: Path, city: City) -> None:
    with served(home, city) as servers:
        first = Client(servers, home, "north")
        assertion = first.assertion()
        assert first.sign_in(assertion=assertion).status_code == 200
    with served(home, city) as servers:
        second = Client(servers, home, "north", scope="")
        assert second.sign_in(assertion=assertion).status_code == 401
        second.token = first.token
        assert second.kick_off().status_code == 202, "a token outlives a restart"


def test_a_rotated_key_counts_at_once(client: SignedIn, home: Path) -> None:
    c = client("north")
    path = home / "keys/fhir_hospital_north.jwks.json"
    path.write_text(json.dumps({"keys": [public_jwk("RS384", kid="new")]}))
    assert "kid" in c.sign_in().json()["error_description"]
    assert c.sign_in(assertion=c.assertion(kid="new")).status_code == 200
    path.unlink()
    assert "no registered key" in c.sign_in().json()["error_description"]


def test_a_forged_signature_and_malformed_requests(client: SignedIn) -> None:
    c = client("north", scope="")
    head, _, signature = c.assertion().split(".")
    forged = ".".join([head, c.assertion().split(".")[1], signature])
    assert c.sign_in(assertion=forged).json()["error"] == "invalid_client"
    assert c.sign_in(assertion="no jwt").json()["error"] == "invalid_request"
    assert c.sign_in(scope="patient/*.read").json()["error"] == "invalid_scope"
    assert (
        c.http.post(f"{c.base}/auth/token", data={"grant_type": "password"}).json()["error"]
        == "unsupported_grant_type"
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": "soon"},
        {"exp": [1]},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"iat": {}},
        {"nbf": "x"},
        {"jti": [1]},
        {"aud": 7},
        {"aud": [7, None]},
    ],
)
def test_odd_claims_are_refused(client: SignedIn, claims: dict[str, Any]) -> None:
    c = client("north", scope="")
    answer = c.sign_in(assertion=c.assertion(**claims))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("token", ["", "é.é.é", "a.b.c", "Bearer"])
def test_odd_tokens_are_refused(client: SignedIn, token: str) -> None:
    c = client("north", scope="")
    headers = {"Authorization": f"Bearer {token}".encode(), "Prefer": "respond-async"}
    answer = c.http.get(f"{c.base}/$export", headers=headers)
    assert (answer.status_code, answer.json()["resourceType"]) == (401, "OperationOutcome")


def test_tokens_are_short_lived_and_the_hospitals_own(home: Path, city: City) -> None:
    with served(home, city, token_seconds=60) as servers:
        north = Client(servers, home, "north")
        assert north.kick_off().status_code == 202
        harbour = Client(servers, home, "harbour", scope="")
        harbour.token = north.token
        assert harbour.kick_off().status_code == 401
        servers.sites["north"].smart.clock = lambda: time.time() + 61.0
        expired = north.kick_off()
        assert expired.status_code == 401
        assert expired.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("seconds", [600, -600])
def test_clocks_ten_minutes_apart_are_named_as_the_cause(client: SignedIn, seconds: int) -> None:
    c = client("north", scope="")
    c.http.post(
        "http://testserver/city/faults", json={"kind": "clock_skew", "hospital": "north", "seconds": seconds}
    )
    answer = c.sign_in()
    assert "compare the clocks" in answer.json()["error_description"]
    c.http.delete("http://testserver/city/faults")
    assert c.sign_in().status_code == 200


@pytest.mark.parametrize(
    ("scope", "resource", "interaction", "allowed"),
    [
        ("system/*.read", "Patient", "r", True),
        ("system/*.read", "RiskAssessment", "c", False),
        ("system/*.rs", "Patient", "s", True),
        ("system/Patient.rs", "Encounter", "r", False),
        ("system/RiskAssessment.write", "RiskAssessment", "u", True),
        ("system/RiskAssessment.cruds", "RiskAssessment", "c", True),
        ("system/RiskAssessment.*", "RiskAssessment", "s", True),
        ("user/*.read", "Patient", "r", False),
        ("", "Patient", "r", False),
    ],
)
def test_scopes(scope: str, resource: str, interaction: str, allowed: bool) -> None:
    assert is_allowed(scope, resource, interaction) is allowed
