"""SMART Backend Services sign-in of one hospital (HL7 SMART App Launch 2.x, "Backend Services" and
"Asymmetric client authentication").

A client proves itself with a ``private_key_jwt`` assertion: signed with a key of its registered JWKS by an
algorithm the hospital takes (RS384 or ES384), ``iss`` = ``sub`` = client id, ``aud`` = the token address,
``exp`` at most five minutes ahead, and a ``jti`` never seen before. It gets a bearer token (HS256 JWT of the
hospital's own) that lives ``token_seconds``. The one registered client is ``citywell``; its public keys are
read from ``<home>/keys/fhir_<source>.jwks.json`` whenever a token is asked for, so that a rotated key counts
at once."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt

from infra.city.outcomes import FhirError

CLIENT_ID = "citywell"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION_SECONDS = 300
LEEWAY_SECONDS = 5
_FAR = 1e12
SCOPES = (
    "system/*.read",
    "system/*.rs",
    "system/RiskAssessment.write",
    "system/RiskAssessment.cruds",
    "system/Observation.cruds",
)
_SCOPE = re.compile(r"^system/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|(?=[cruds])c?r?u?d?s?)$")


class AuthError(Exception):
    """A refusal of the token endpoint: OAuth error code and words, HTTP status."""

    def __init__(self, error: str, words: str, status: int = 401) -> None:
        super().__init__(words)
        self.error, self.words, self.status = error, words, status


def is_allowed(scope: str, resource: str, interaction: str) -> bool:
    """Whether granted scopes (v1 ``read``/``write``/``*`` or v2 ``cruds``) allow ``interaction`` (c, r, u, d
    or s)."""
    for part in scope.split():
        match = _SCOPE.match(part)
        if not match or match[1] not in ("*", resource):
            continue
        allowed = {"read": "rs", "write": "cud", "*": "cruds"}.get(match[2], match[2])
        if interaction in allowed:
            return True
    return False


class SmartServer:
    """Tokens of one hospital.

    folder holds the signing secret and the used ``jti``s, shared by the city's hospitals. clock gives
    wall-clock seconds."""

    def __init__(
        self,
        hospital: str,
        algorithms: tuple[str, ...],
        jwks_path: Path,
        folder: Path,
        token_seconds: int,
        clock: Callable[[], float],
    ) -> None:
        self.hospital, self.algorithms, self.jwks_path = hospital, algorithms, jwks_path
        self.token_seconds, self.clock = token_seconds, clock
        self.revoked_before = 0.0
        self._secret = _secret(folder / "token.key")
        self._lock = threading.Lock()
        self._used = sqlite3.connect(folder / "assertions.sqlite", check_same_thread=False)
        self._used.execute(
            "create table if not exists used (jti text primary key, expires real) without rowid"
        )

    def close(self) -> None:
        self._used.close()

    def configuration(self, base: str) -> dict[str, Any]:
        """``.well-known/smart-configuration``."""
        return {
            "issuer": base,
            "token_endpoint": f"{base}/auth/token",
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(self.algorithms),
            "scopes_supported": list(SCOPES),
            "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        }

    def grant(self, form: dict[str, str], token_url: str) -> dict[str, Any]:
        """The token answer to a client-credentials request. Raises AuthError."""
        if form.get("grant_type") != "client_credentials":
            raise AuthError("unsupported_grant_type", "grant_type must be client_credentials", 400)
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise AuthError("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}", 400)
        self._check_assertion(form.get("client_assertion", ""), token_url)
        wanted = form.get("scope", "").split()
        granted = [s for s in wanted if _SCOPE.match(s)]
        if not granted:
            raise AuthError("invalid_scope", "ask for at least one system scope, such as system/*.read", 400)
        now = int(self.clock())
        claims = {
            "iss": self.hospital,
            "sub": CLIENT_ID,
            "scope": " ".join(granted),
            "iat": now,
            "issued": self.clock(),
            "exp": now + self.token_seconds,
            "jti": secrets.token_hex(8),
        }
        return {
            "access_token": jwt.encode(claims, self._secret, algorithm="HS256"),
            "token_type": "bearer",
            "expires_in": self.token_seconds,
            "scope": claims["scope"],
        }

    def authorise(self, header: str | None) -> str:
        """The granted scopes of a bearer token. Raises FhirError 401 when it is missing, expired, revoked or
        not ours."""
        if not header or not header.lower().startswith("bearer "):
            raise _unauthorised("a bearer token is needed")
        try:
            claims = jwt.decode(
                header[7:].strip(),
                self._secret,
                algorithms=["HS256"],
                options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
                issuer=self.hospital,
            )
        except jwt.PyJWTError:
            raise _unauthorised("the token is not one of this server") from None
        if claims["exp"] <= self.clock():
            raise _unauthorised("the token has expired", "expired")
        if claims["issued"] < self.revoked_before:
            raise _unauthorised("the token was revoked", "expired")
        return str(claims["scope"])

    def _check_assertion(self, assertion: str, token_url: str) -> None:
        try:
            header = jwt.get_unverified_header(assertion)
        except jwt.PyJWTError:
            raise AuthError("invalid_request", "client_assertion is not a JWT", 400) from None
        algorithm = header.get("alg")
        if algorithm not in self.algorithms:
            raise AuthError("invalid_client", f"sign with {' or '.join(self.algorithms)}, not {algorithm}")
        key = self._registered_key(header.get("kid"))
        try:
            claims = jwt.decode(
                assertion,
                key,
                algorithms=[algorithm],
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "verify_aud": False,
                    "require": ["iss", "sub", "aud", "exp", "jti"],
                },
            )
        except jwt.MissingRequiredClaimError as error:
            raise AuthError("invalid_client", f"the assertion lacks {error.claim}") from None
        except jwt.PyJWTError:
            raise AuthError("invalid_client", "the signature does not fit the registered key") from None
        self._check_claims(claims, token_url)

    def _check_claims(self, claims: dict[str, Any], token_url: str) -> None:
        if claims["iss"] != CLIENT_ID or claims["sub"] != CLIENT_ID:
            raise AuthError("invalid_client", "iss and sub must both be the registered client id")
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if token_url not in audience:
            raise AuthError("invalid_client", f"aud must be {token_url}")
        now, expires = self.clock(), _instant(claims, "exp")
        if expires <= now - LEEWAY_SECONDS:
            raise AuthError("invalid_client", "the assertion has expired; compare the clocks")
        if expires > now + LONGEST_ASSERTION_SECONDS + LEEWAY_SECONDS:
            raise AuthError("invalid_client", "exp lies more than 5 minutes ahead; compare the clocks")
        for name in ("iat", "nbf"):
            if name in claims and _instant(claims, name) > now + LEEWAY_SECONDS:
                raise AuthError("invalid_client", f"{name} lies in the future; compare the clocks")
        jti = f"{self.hospital}|{claims['jti']}"
        with self._lock, self._used:
            self._used.execute("delete from used where expires < ?", (now - 2 * LONGEST_ASSERTION_SECONDS,))
            added = self._used.execute("insert or ignore into used values (?, ?)", (jti, expires)).rowcount
        if not added:
            raise AuthError("invalid_client", "this jti was used before")

    def _registered_key(self, kid: str | None) -> Any:
        try:
            keys = json.loads(self.jwks_path.read_text())["keys"]
        except (OSError, ValueError, KeyError):
            raise AuthError("invalid_client", f"the client {CLIENT_ID} has no registered key here") from None
        for key in keys:
            if key.get("kid") == kid:
                return jwt.PyJWK.from_dict(key).key
        raise AuthError("invalid_client", "no registered key has this kid")


def _instant(claims: dict[str, Any], name: str) -> float:
    """Seconds since 1970 of a claim. Raises AuthError for what is no number."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _FAR:
        raise AuthError("invalid_client", f"{name} must be a number of seconds since 1970")
    return float(value)


def _unauthorised(words: str, code: str = "login") -> FhirError:
    return FhirError(401, code, words, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _secret(path: Path) -> bytes:
    """The key that signs tokens; made once, so that tokens outlive a restart."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()
