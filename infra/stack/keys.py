"""Keys made before the first start. Pseudonyms and landing files depend on them: none is ever replaced."""

from __future__ import annotations

from jobs.extract import smart_auth
from jobs.identity import pseudonyms
from jobs.lake import landing
from jobs.settings import Settings
from jobs.sources.model import SmartSignIn
from jobs.sources.reading import load_all


def ensure_keys(config: Settings) -> None:
    """The landing key, the pseudonym key and one signing key for each endpoint that signs in with SMART."""
    landing.ensure_key(config.keys_dir / "landing.key")
    pseudonyms.ensure_key(config.keys_dir / "pseudonym.key")
    for source in load_all().values():
        for endpoint in source.endpoints.values():
            if isinstance(endpoint.auth, SmartSignIn):
                smart_auth.ensure_key(endpoint.key_path(config.keys_dir), endpoint.auth.alg)
