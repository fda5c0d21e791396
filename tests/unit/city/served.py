"""A client of the simulated hospitals, as a test needs it: keys, sign-in, export, without a network."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi.testclient import TestClient

from infra.city.city import City
from infra.city.given import GivenHospital
from infra.city.smart import ASSERTION_TYPE
from infra.city.web import ServerOptions, Servers, make_app, make_servers

ALGORITHMS = {"north": "RS384", "harbour": "ES384", "university": "RS384", "given": "RS384"}
_KEYS: dict[str, Any] = {
    "RS384": rsa.generate_private_key(65537, 2048),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
}
KID = "test-key"


def public_jwk(algorithm: str, kid: str = KID) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if algorithm == "RS384" else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(_KEYS[algorithm].public_key(), as_dict=True), "kid": kid, "alg": algorithm}


def register_keys(home: Path) -> None:
    """Register the client's public keys at every hospital."""
    (home / "keys").mkdir(exist_ok=True)
    for hospital, algorithm in ALGORITHMS.items():
        path = home / "keys" / f"fhir_hospital_{hospital}.jwks.json"
        path.write_text(json.dumps({"keys": [public_jwk(algorithm)]}))


@contextmanager
def served(
    home: Path, city: City | None, given: GivenHospital | None = None, **options: Any
) -> Iterator[Servers]:
    """The servers of a home; their worker threads end with the block."""
    servers = make_servers(ServerOptions(home=home, **{"export_seconds": 0.0, **options}), city, given)
    yield servers
    servers.pool.shutdown(wait=True)
    servers.close()


class Client:
    """Speaks to one hospital in this process; signs in when made, unless ``scope`` is empty."""

    def __init__(
        self,
        servers: Servers,
        home: Path,
        hospital: str,
        scope: str = "system/*.rs system/RiskAssessment.cruds",
    ) -> None:
        self.hospital, self.home = hospital, home
        self.http = TestClient(make_app(servers), client=("127.0.0.1", 50_000), raise_server_exceptions=False)
        self.base = f"http://testserver/{hospital}/fhir"
        self.token = self.sign_in(scope).json()["access_token"] if scope else ""

    def assertion(self, algorithm: str | None = None, kid: str = KID, **claims: Any) -> str:
        algorithm = algorithm or ALGORITHMS[self.hospital]
        now = int(time.time())
        usual = {
            "iss": "citywell",
            "sub": "citywell",
            "aud": f"{self.base}/auth/token",
            "exp": now + 240,
            "jti": uuid.uuid4().hex,
        }
        body = {k: v for k, v in {**usual, **claims}.items() if v is not None}
        return jwt.encode(body, _KEYS[algorithm], algorithm=algorithm, headers={"kid": kid})

    def sign_in(self, scope: str = "system/*.rs", assertion: str | None = None) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(),
            "scope": scope,
        }
        return self.http.post(f"{self.base}/auth/token", data=form)

    def headers(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/fhir+json", **more}

    def get(self, url: str, **headers: str) -> httpx.Response:
        url = url if url.startswith("http") else f"{self.base}/{url}"
        return self.http.get(url, headers=self.headers(**headers))

    def kick_off(
        self, path: str = "$export", prefer: str = "respond-async", **parameters: str
    ) -> httpx.Response:
        headers = self.headers(**({"Prefer": prefer} if prefer else {}))
        return self.http.get(f"{self.base}/{path}", params=parameters, headers=headers)

    def wait(self, kicked_off: httpx.Response) -> httpx.Response:
        """Poll until the export is over."""
        assert kicked_off.status_code == 202, kicked_off.text
        for _ in range(400):
            answer = self.get(kicked_off.headers["content-location"])
            if answer.status_code != 202:
                return answer
            time.sleep(0.01)
        raise AssertionError("the export does not end")

    def export(self, path: str = "$export", **parameters: str) -> dict[str, Any]:
        """The manifest of an export."""
        manifest: dict[str, Any] = self.wait(self.kick_off(path, **parameters)).json()
        return manifest

    def lines(self, manifest: dict[str, Any], type_: str, part: str = "output") -> list[bytes]:
        """The lines of all files of a type."""
        found: list[bytes] = []
        for row in manifest[part]:
            if row["type"] == type_:
                answer = self.get(row["url"])
                assert answer.status_code == 200, answer.text
                found += answer.content.split(b"\n")[:-1]
        return found


def resources(lines: list[bytes]) -> list[dict[str, Any]]:
    """The lines that are JSON, in their order."""
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found
