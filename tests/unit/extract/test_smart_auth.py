"""Signing in: keys, assertions and tokens; a refusal is told apart by its reason."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from bulk_server import Answer, BulkServer, FakeClock, File, refusal

from jobs.errors import CitywellError
from jobs.extract import web
from jobs.extract.smart_auth import SmartClient, ensure_key, load_key, public_jwk
from jobs.sources import SmartSignIn

RS384 = SmartSignIn(method="smart", client_id="citywell", alg="RS384")
ES384 = SmartSignIn(method="smart", client_id="citywell", alg="ES384")


def sign_in(
    server: BulkServer,
    keys_dir: Path,
    clock: FakeClock,
    sign_in: SmartSignIn = RS384,
    scope: str | None = None,
) -> SmartClient:
    file = "fhir_north.pem" if sign_in.alg == "RS384" else "fhir_harbour.pem"
    return SmartClient(
        "north",
        server.base_url,
        sign_in,
        load_key(keys_dir / file, sign_in.alg),
        web.new_client(server.base_url),
        scope=scope,
        clock=clock.clock(),
    )


@pytest.mark.parametrize("alg", ["RS384", "ES384"])
def test_a_key_is_made_once_private_with_its_public_half_beside_it(tmp_path: Path, alg: str) -> None:
    path = tmp_path / "keys" / "fhir_x.pem"
    key = ensure_key(path, alg)  # type: ignore[arg-type]
    jwks = json.loads((tmp_path / "keys" / "fhir_x.jwks.json").read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert jwks == {"keys": [public_jwk(key)]}
    assert jwks["keys"][0]["kty"] == {"RS384": "RSA", "ES384": "EC"}[alg]
    assert not {"d", "p", "q"} & set(jwks["keys"][0])
    (tmp_path / "keys" / "fhir_x.jwks.json").unlink()
    assert ensure_key(path, alg).kid == key.kid  # type: ignore[arg-type]
    assert json.loads((tmp_path / "keys" / "fhir_x.jwks.json").read_text()) == jwks


def test_a_key_is_made_once_even_by_many_at_a_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kids = set(pool.map(lambda _: ensure_key(tmp_path / "k" / "fhir_x.pem", "ES384").kid, range(8)))
    assert len(kids) == 1
    assert sorted(p.name for p in (tmp_path / "k").iterdir()) == ["fhir_x.jwks.json", "fhir_x.pem"]


def test_a_missing_a_broken_and_an_unfitting_key_are_named(tmp_path: Path, keys_dir: Path) -> None:
    with pytest.raises(CitywellError, match="sign in with is missing"):
        load_key(tmp_path / "none.pem", "RS384")
    (tmp_path / "broken.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(CitywellError, match="cannot be read"):
        load_key(tmp_path / "broken.pem", "RS384")
    with pytest.raises(CitywellError, match="not one for RS384"):
        load_key(keys_dir / "fhir_harbour.pem", "RS384")


@pytest.mark.parametrize("how", [RS384, ES384])
def test_a_server_that_checks_everything_lets_us_in(
    server: BulkServer, keys_dir: Path, clock: FakeClock, how: SmartSignIn
) -> None:
    client = sign_in(server, keys_dir, clock, how)
    assert client.token() in server.tokens
    claims = server.assertions[0]
    assert claims["exp"] - clock.now().timestamp() <= 300
    assert claims["iss"] == claims["sub"] == "citywell"


def test_a_token_is_kept_and_renewed_before_it_ends(
    server: BulkServer, keys_dir: Path, clock: FakeClock
) -> None:
    client = sign_in(server, keys_dir, clock)
    first = client.token()
    clock.sleep(200)
    assert client.token() == first
    clock.sleep(60)
    assert client.token() != first
    assert len(set(server.used_jti)) == len(server.used_jti) == 2


def test_many_threads_share_one_token(server: BulkServer, keys_dir: Path, clock: FakeClock) -> None:
    client = sign_in(server, keys_dir, clock)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: client.token(), range(16)))) == 1
    assert server.count("token") == 1


def test_a_token_endpoint_that_is_busy_gets_a_new_assertion(
    server: BulkServer, keys_dir: Path, clock: FakeClock
) -> None:
    lost_answer = Answer(503, before=lambda: server.used_jti.append("the assertion sent now"))
    server.script["token"] = [lost_answer, Answer(429, {"Retry-After": "5"})]
    assert sign_in(server, keys_dir, clock).token() in server.tokens
    assert server.count("token") == 3
    assert any(5 <= s <= 6 for s in clock.sleeps)


def test_a_request_answered_401_is_sent_again_with_a_new_token(
    server: BulkServer, keys_dir: Path, clock: FakeClock
) -> None:
    client = sign_in(server, keys_dir, clock)
    server.files["a.ndjson"] = file = File("Patient", b"{}\n")
    with web.new_client(server.base_url) as http:
        assert http.get(f"{server.base_url}/files/a.ndjson", auth=client).content == file.body
        server.tokens.clear()
        assert http.get(f"{server.base_url}/files/a.ndjson", auth=client).content == file.body
        assert server.count("token") == 2
        server.script["a.ndjson"] = [Answer(401, forever=True)]
        assert http.get(f"{server.base_url}/files/a.ndjson", auth=client).status_code == 401
    assert server.count("token") == 3


@pytest.mark.parametrize(
    ("ahead_s", "words"), [(600, "10 minutes ahead of ours"), (-600, "10 minutes behind ours")]
)
def test_clocks_ten_minutes_apart_are_the_diagnosis(
    server: BulkServer, keys_dir: Path, clock: FakeClock, ahead_s: float, words: str
) -> None:
    server.clock_ahead_s = ahead_s
    with pytest.raises(CitywellError, match=words) as error:
        sign_in(server, keys_dir, clock).token()
    assert "NTP" in error.value.do


def test_clocks_half_a_minute_apart_do_no_harm(server: BulkServer, keys_dir: Path, clock: FakeClock) -> None:
    for ahead_s in (30, -30):
        server.clock_ahead_s = ahead_s
        assert sign_in(server, keys_dir, clock).token() in server.tokens


def test_a_key_the_server_no_longer_knows_is_the_diagnosis(
    server: BulkServer, keys_dir: Path, clock: FakeClock
) -> None:
    server.jwks = [key for key in server.jwks if key["kty"] == "EC"]
    with pytest.raises(CitywellError, match="no key registered for us that fits") as error:
        sign_in(server, keys_dir, clock).token()
    assert ".jwks.json" in error.value.do


def test_an_unknown_client_is_the_diagnosis(server: BulkServer, keys_dir: Path, clock: FakeClock) -> None:
    server.known_client = "another"
    with pytest.raises(CitywellError, match="does not know the client 'citywell'"):
        sign_in(server, keys_dir, clock).token()


@pytest.mark.parametrize(
    ("error", "description", "words"),
    [
        ("invalid_scope", "", "does not grant this client the scope"),
        ("invalid_client", "this jti was used before", "used before"),
        ("invalid_client", "Client not found", "does not know the client"),
        ("invalid_client", "aud must be the token address", "not the address its own configuration names"),
        ("invalid_client", "token expired", "clocks seem to agree"),
        ("invalid_client", "", "neither this client id nor this key"),
        ("<script>", "x", r"HTTP 400"),
    ],
)
def test_other_refusals_are_told_apart(
    server: BulkServer, keys_dir: Path, clock: FakeClock, error: str, description: str, words: str
) -> None:
    server.script["token"] = [refusal(error, description)]
    with pytest.raises(CitywellError, match=words):
        sign_in(server, keys_dir, clock).token()


def test_the_description_of_a_refusal_is_not_repeated(
    server: BulkServer, keys_dir: Path, clock: FakeClock
) -> None:
    server.script["token"] = [refusal("invalid_client", "bad assertion eyJhbGciOi")]
    with pytest.raises(CitywellError) as error:
        sign_in(server, keys_dir, clock).token()
    assert "eyJ" not in str(error.value)


def test_a_server_without_smart_configuration_is_named(
    server: BulkServer, keys_dir: Path, clock: FakeClock
) -> None:
    server.script["configuration"] = [Answer(404)]
    with pytest.raises(CitywellError, match="offers no SMART sign-in") as error:
        sign_in(server, keys_dir, clock).token()
    assert "auth.token_url" in error.value.do
    declared = RS384.model_copy(update={"token_url": f"{server.base_url}/auth/token"})
    assert sign_in(server, keys_dir, clock, declared).token() in server.tokens


def test_an_algorithm_that_is_not_offered_is_named(
    server: BulkServer, keys_dir: Path, clock: FakeClock
) -> None:
    server.configuration = {"token_endpoint_auth_signing_alg_values_supported": ["ES384"]}
    with pytest.raises(CitywellError, match="signed with RS384") as error:
        sign_in(server, keys_dir, clock).token()
    assert "ES384" in error.value.do


@pytest.mark.parametrize(
    ("offered", "asked", "sent"),
    [
        (None, None, "system/*.read"),
        (["system/*.read", "system/*.rs"], None, "system/*.rs"),
        (["system/*.rs"], "system/RiskAssessment.cruds", "system/RiskAssessment.cruds"),
    ],
)
def test_the_scope_is_the_one_asked_for_or_the_one_offered(
    server: BulkServer, keys_dir: Path, clock: FakeClock, offered: object, asked: str | None, sent: str
) -> None:
    server.configuration = {"scopes_supported": offered}
    forms = []
    usual = server.sign_in
    server.sign_in = lambda form: forms.append(form) or usual(form)  # type: ignore[method-assign,func-returns-value]
    sign_in(server, keys_dir, clock, scope=asked).token()
    assert forms[0]["scope"] == [sent]


def test_a_token_is_not_asked_for_over_an_unencrypted_link(keys_dir: Path, clock: FakeClock) -> None:
    def configuration(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"token_endpoint": "http://hospital.example/token"})

    key = load_key(keys_dir / "fhir_north.pem", "RS384")
    with httpx.Client(transport=httpx.MockTransport(configuration)) as http:
        client = SmartClient("north", "https://hospital.example/fhir", RS384, key, http, clock=clock.clock())
        with pytest.raises(CitywellError, match="link without encryption"):
            client.token()


def test_a_server_that_is_down_is_named(keys_dir: Path, clock: FakeClock, server: BulkServer) -> None:
    client = sign_in(server, keys_dir, clock)
    client._base_url = "http://127.0.0.1:1/fhir"
    with pytest.raises(CitywellError, match="failed 6 times, lastly: no connection") as error:
        client.token()
    assert "north" in error.value.where
