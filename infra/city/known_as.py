"""How people are known where no hospital wrote them down: at a pharmacy's counter, to an app."""

from __future__ import annotations

from typing import NamedTuple

from infra.city.lived import Lived
from infra.city.local_time import dates
from infra.city.population import Identity


class KnownAs(NamedTuple):
    """identity: empty texts for what is not known. births: ISO 8601, to the day (or the month, or the year)."""

    identity: Identity
    births: list[str]


def known_as(lived: Lived, source: str) -> KnownAs:
    """Everybody as the endpoint ``source`` has them."""
    del source
    return KnownAs(lived.identity, dates(lived.people.birth_day))
