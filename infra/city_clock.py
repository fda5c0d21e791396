"""The simulated city's time, which it keeps over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from jobs.errors import CitywellError
from jobs.settings import Settings

_TIMEOUT_S = 300
"""A day of a large city takes a while to happen."""


def read(config: Settings) -> datetime:
    """What time it is in the city, UTC. Raises CitywellError when the city does not answer."""
    return _asked(config, "GET", "/city/clock")


def advance(config: Settings, days: int) -> datetime:
    """Let so many days happen; what time it is then, UTC. Raises CitywellError when the city does not answer."""
    return _asked(config, "POST", "/city/advance", {"days": days})


def present(config: Settings) -> datetime:
    """What time it is for the sources, UTC, in whole seconds: in the simulated city while it is up, elsewhere by our
    clock. With schedules on, the sources live by our clock."""
    if not config.schedules and _is_up(config):
        return read(config)
    return datetime.now(UTC).replace(microsecond=0)


def _is_up(config: Settings) -> bool:
    try:
        httpx.get(config.city_url + "/city/clock", timeout=_TIMEOUT_S, trust_env=False)
    except httpx.ConnectError:
        return False
    return True


def _asked(config: Settings, method: str, path: str, body: object = None) -> datetime:
    try:
        answer = httpx.request(method, config.city_url + path, json=body, timeout=_TIMEOUT_S, trust_env=False)
        now: str = answer.raise_for_status().json()["now"]
    except httpx.HTTPError as error:
        raise CitywellError(
            f"the city does not answer ({type(error).__name__})",
            where=config.city_url + path,
            do="`citywell up`, or see the log of city that `citywell status` names",
        ) from error
    return datetime.fromisoformat(now).astimezone(UTC)
