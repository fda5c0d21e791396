"""How people are known where no hospital wrote them down: at a pharmacy's counter, to an app."""

from __future__ import annotations

from infra.city.population import Identity


def known_as(identity: Identity, source: str) -> Identity:
    """The identity of each person as ``source`` has it."""
    del source
    return identity
