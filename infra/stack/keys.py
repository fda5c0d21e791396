"""Keys made before the first start. Pseudonyms and landing files depend on them: none is ever replaced."""

from __future__ import annotations

from jobs.extract import smart_auth
from jobs.identity import pseudonyms
from jobs.lake import landing
from jobs.settings import Settings
from jobs.sources import FhirEndpoint, SmartSignIn, load_all


def ensure_lake_keys(config: Settings) -> None:
    """The key that encrypts landing and the key of the pseudonyms."""
    landing.ensure_key(config.keys_dir / "landing.key")
    pseudonyms.ensure_key(config.keys_dir / "pseudonym.key")


def ensure_sign_in_keys(config: Settings) -> None:
    """A signing key, and its public half to register, for each endpoint that signs in with SMART."""
    for source in load_all().values():
        for endpoint in source.endpoints.values():
            if isinstance(endpoint, FhirEndpoint) and isinstance(endpoint.auth, SmartSignIn):
                smart_auth.ensure_key(endpoint.key_path(config.keys_dir), endpoint.auth.alg)
