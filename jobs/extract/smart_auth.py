"""SMART Backend Services: how Citywell signs in to a FHIR server without a person at the keyboard.

A signed assertion (private_key_jwt) is exchanged for a short-lived token. Source: SMART App Launch 2.2,
Backend Services, https://hl7.org/fhir/smart-app-launch/backend-services.html, and RFC 7523.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import threading
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from jobs.errors import CitywellError
from jobs.extract import web
from jobs.extract.waiting import SYSTEM_CLOCK, Clock
from jobs.private_files import create_private
from jobs.sources import SmartSignIn

log = logging.getLogger(__name__)

Algorithm = Literal["RS384", "ES384"]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

ASSERTION_LIFETIME = timedelta(minutes=4)
"""SMART allows five minutes at most; the rest is for clocks that differ a little."""
CLOCK_TOLERANCE_S = 60.0
_RSA_BITS = 3072
_DEFAULT_TOKEN_LIFETIME_S = 300.0
_RENEW_AT = 0.8
"""Share of a token's lifetime after which it is renewed."""
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_READ_SCOPES = ("system/*.rs", "system/*.read")
_OAUTH_ERROR = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True)
class SigningKey:
    """A private key, the algorithm it signs with, and its id (RFC 7638 thumbprint)."""

    alg: Algorithm
    kid: str
    private: PrivateKey = field(repr=False)


def ensure_key(path: Path, alg: Algorithm) -> SigningKey:
    """The private key at ``path`` (PEM, mode 0600), made if missing, with its public half beside it.

    The public half is ``<stem>.jwks.json``: what the hospital registers for us. Safe against two processes at
    once.
    """
    if not path.exists():
        create_private(path, _new_pem(alg))
    key = load_key(path, alg)
    jwks = path.with_suffix(".jwks.json")
    text = json.dumps({"keys": [public_jwk(key)]}, indent=2) + "\n"
    if not jwks.exists() or jwks.read_text() != text:
        part = jwks.with_name(f".{jwks.name}.{uuid.uuid4().hex}.part")
        part.write_text(text)
        os.replace(part, jwks)
    return key


def load_key(path: Path, alg: Algorithm) -> SigningKey:
    """The private key at ``path``.

    Raises CitywellError when it is missing or not of the kind ``alg`` needs.
    """
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        raise CitywellError(
            "The key to sign in with is missing",
            where=str(path),
            do="run `citywell up`, which makes one; then have the hospital register the .jwks.json beside it",
        ) from None
    except (ValueError, TypeError):
        raise CitywellError(
            "The key to sign in with cannot be read as an unencrypted private key in PEM",
            where=str(path),
            do="restore it from the backup of the keys",
        ) from None
    fits = (alg == "RS384" and isinstance(private, rsa.RSAPrivateKey)) or (
        alg == "ES384"
        and isinstance(private, ec.EllipticCurvePrivateKey)
        and isinstance(private.curve, ec.SECP384R1)
    )
    if not fits:
        raise CitywellError(
            f"The key to sign in with is not one for {alg}",
            where=str(path),
            do="set auth.alg in the source definition to this kind, or move the key away for a new one",
        )
    assert isinstance(private, PrivateKey)
    return SigningKey(alg, _thumbprint(_public_numbers(private)), private)


def public_jwk(key: SigningKey) -> dict[str, Any]:
    """The public half as a JSON Web Key, as SMART wants it registered."""
    numbers = _public_numbers(key.private)
    return {**numbers, "alg": key.alg, "kid": key.kid, "use": "sig", "key_ops": ["verify"], "ext": True}


class SmartClient(httpx.Auth):
    """Signs in at one server and keeps the token; pass it to httpx as ``auth``.

    Thread-safe. A token is renewed before it expires, and once when the server answers 401.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        sign_in: SmartSignIn,
        key: SigningKey,
        client: httpx.Client,
        *,
        scope: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._where = f"{name} ({base_url})"
        self._base_url, self._sign_in, self._key, self._client = base_url, sign_in, key, client
        self._scope, self._clock = scope or sign_in.scope, clock
        self._lock = threading.Lock()
        self._configuration: dict[str, Any] | None = None
        self._token = ""
        self._renew_at = 0.0

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self.token()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            log.info("%s: the token is no longer accepted; renewing it", self._where)
            request.headers["Authorization"] = f"Bearer {self.token(not_this=token)}"
            yield request

    def token(self, *, not_this: str | None = None) -> str:
        """A token that is still good for a while, and is another than ``not_this``.

        Raises CitywellError that says what is wrong when the server does not grant one.
        """
        with self._lock:
            if not self._token or self._token == not_this or self._clock.monotonic() >= self._renew_at:
                self._token, lifetime_s = self._request_token()
                self._renew_at = self._clock.monotonic() + lifetime_s * _RENEW_AT
            return self._token

    def configuration(self) -> dict[str, Any]:
        """The server's SMART configuration, read once. Raises CitywellError when there is none to be used."""
        if self._configuration is None:
            self._configuration = self._discover()
        return self._configuration

    def _discover(self) -> dict[str, Any]:
        if self._sign_in.token_url:
            return {"token_endpoint": self._sign_in.token_url}
        link = f"{self._base_url}/.well-known/smart-configuration"
        response = self._send(
            lambda: self._client.build_request("GET", link, headers={"Accept": "application/json"}),
            "Asking for the sign-in configuration",
        )
        document = _json_object(response) if response.status_code == 200 else {}
        endpoint = document.get("token_endpoint")
        if not isinstance(endpoint, str) or not endpoint.startswith(("https://", "http://")):
            raise CitywellError(
                f"The server offers no SMART sign-in (HTTP {response.status_code}, no token endpoint)",
                where=f"{self._where}, .well-known/smart-configuration",
                do="check base_url in the source definition, or set auth.token_url there",
            )
        algorithms = document.get("token_endpoint_auth_signing_alg_values_supported")
        if isinstance(algorithms, list) and self._key.alg not in algorithms:
            raise CitywellError(
                f"The server does not accept assertions signed with {self._key.alg}",
                where=f"{self._where}, .well-known/smart-configuration",
                do=f"set auth.alg to one it offers: {', '.join(map(str, algorithms))}",
            )
        return document

    def _request_token(self) -> tuple[str, float]:
        endpoint = self.configuration()["token_endpoint"]
        web.refuse_downgrade(self._base_url, endpoint, self._where)

        def request() -> httpx.Request:
            form = {
                "grant_type": "client_credentials",
                "scope": self._scope or self._read_scope(),
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": self._assertion(endpoint),
            }
            return self._client.build_request(
                "POST", endpoint, data=form, headers={"Accept": "application/json"}
            )

        response = self._send(request, "Signing in")
        document = _json_object(response)
        token = document.get("access_token")
        if response.status_code != 200 or not isinstance(token, str) or not token:
            raise self._refusal(response, document)
        lifetime = document.get("expires_in")
        if not isinstance(lifetime, int | float) or lifetime <= 0:
            lifetime = _DEFAULT_TOKEN_LIFETIME_S
        return token, float(lifetime)

    def _send(self, build: Callable[[], httpx.Request], what: str) -> httpx.Response:
        return web.send(self._client, build, what=what, where=self._where, clock=self._clock, cap_s=60.0)

    def _read_scope(self) -> str:
        offered = self.configuration().get("scopes_supported")
        known = [scope for scope in _READ_SCOPES if isinstance(offered, list) and scope in offered]
        return known[0] if known else _READ_SCOPES[-1]

    def _assertion(self, audience: str) -> str:
        claims = {
            "iss": self._sign_in.client_id,
            "sub": self._sign_in.client_id,
            "aud": audience,
            "exp": int((self._clock.now() + ASSERTION_LIFETIME).timestamp()),
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, self._key.private, algorithm=self._key.alg, headers={"kid": self._key.kid})

    def _refusal(self, response: httpx.Response, document: dict[str, Any]) -> CitywellError:
        """What is wrong, from the OAuth error, the hints in its description and the server's clock."""
        error, hint = str(document.get("error", "")), str(document.get("error_description", "")).lower()
        code = error if _OAUTH_ERROR.fullmatch(error) else f"HTTP {response.status_code}"
        ahead_s = web.clock_difference_s(response, self._clock.now())
        if ahead_s is not None and abs(ahead_s) > CLOCK_TOLERANCE_S:
            direction = "ahead of" if ahead_s > 0 else "behind"
            seems = "expired" if ahead_s > 0 else "made in the future"
            what = (
                f"its clock is {abs(ahead_s) / 60:.0f} minutes {direction} ours; our signature seems {seems}"
            )
            do = "set the clock that is wrong (NTP) here or at the hospital"
        elif error == "invalid_scope":
            what = "it does not grant this client the scope asked for"
            do = "have the hospital grant read access to the exported types, or set auth.scope to what it has"
        elif any(word in hint for word in ("jti", "replay", "already used")):
            what = "it says this assertion was used before"
            do = "run again; if it stays, something between here and the hospital repeats our requests"
        elif "aud" in hint:
            what = "it says our assertion was meant for another, not the address its own configuration names"
            do = "report it to its administrators; if they name another token address, set auth.token_url"
        elif any(word in hint for word in ("kid", "key", "signature", "jwks")):
            what = f"it has no key registered for us that fits our signature (our key: {self._key.kid})"
            do = "have the hospital register the .jwks.json that lies beside the private key"
        elif "client" in hint and any(w in hint for w in ("unknown", "not found", "regist", "exist")):
            what = f"it does not know the client {self._sign_in.client_id!r}"
            do = "have the hospital register this id with our .jwks.json, or mend auth.client_id"
        elif any(word in hint for word in ("exp", "time", "clock")):
            what = "it takes our signature for expired, though the clocks seem to agree"
            do = "compare both clocks; the hospital may allow assertions a shorter life than four minutes"
        else:
            what = "it knows neither this client id nor this key, or does not say which"
            do = (
                f"check with the hospital that client {self._sign_in.client_id!r} is registered "
                f"with key {self._key.kid} (the .jwks.json beside the private key)"
            )
        return CitywellError(f"The server refused our sign-in ({code}): {what}", where=self._where, do=do)


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _new_pem(alg: Algorithm) -> bytes:
    key: PrivateKey
    if alg == "RS384":
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    else:
        key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_numbers(private: PrivateKey) -> dict[str, str]:
    """The members of the public key that RFC 7638 names for its thumbprint."""
    if isinstance(private, rsa.RSAPrivateKey):
        jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        return {name: jwk[name] for name in ("e", "kty", "n")}
    jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {name: jwk[name] for name in ("crv", "kty", "x", "y")}


def _thumbprint(numbers: dict[str, str]) -> str:
    """RFC 7638: base64url of the SHA-256 of the required members, sorted, without white space."""
    canonical = json.dumps(numbers, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
