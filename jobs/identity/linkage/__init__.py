"""Which records are of one person: rules, scores and decisions, inside the vault.

    demographics --score pairs--> link_pair --with link_decision, link_told--> persons --> person_link, link_review,
    link_audit

``run`` links what is new and heeds what hospitals tell (``told``); ``merge``, ``split``, ``reject`` and ``unmerge`` are
what somebody decides. ``task.run`` does the linkage and takes its persons into the lake.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jobs.identity import vault
from jobs.identity.linkage.audit import history as history
from jobs.identity.linkage.people import describe as describe
from jobs.identity.linkage.people import merge as merge
from jobs.identity.linkage.people import reject as reject
from jobs.identity.linkage.people import split as split
from jobs.identity.linkage.people import unmerge as unmerge
from jobs.identity.linkage.running import Result as Result
from jobs.identity.linkage.running import run as run
from jobs.identity.linkage.stored import review as review


@contextmanager
def connect() -> Iterator[vault.Connection]:
    """A connection to the vault as linkage's own role; see ``vault.connect``."""
    with vault.connect(vault.LINKER_ROLE) as conn:
        yield conn
