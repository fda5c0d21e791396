"""What a source definition may say.

Frozen, and an unknown word is an error: a typing slip must not pass silently. Endpoints are in
``jobs.sources.endpoints``, tables in ``jobs.sources.tables``.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from jobs.sources.declared import Declared, Name, Sentence
from jobs.sources.endpoints import AnyEndpoint, FhirEndpoint, FileFeed, Hl7Endpoint
from jobs.sources.tables import Table


class Checks(Declared):
    """What a staged batch as a whole must satisfy."""

    max_quarantined_pct: float = Field(
        ge=0, le=100, description="share of received records rejected by row rules"
    )
    tolerated_quarantined: int = Field(
        default=0, ge=0, description="rejected records of a table that never stop a batch, small as it may be"
    )
    max_absent_pct: float = Field(
        default=50,
        ge=0,
        le=100,
        description="share of a table's records that a full export may delete by leaving them out",
    )
    tolerated_absent: int = Field(
        default=20,
        ge=0,
        description="records of a table that a full export may leave out, whatever their share",
    )


class Source(Declared):
    """One source definition: how its records come, who answers for them, and the tables they become."""

    name: Name
    description: Sentence
    owner: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    schedule: str | None = Field(description="cron expression (UTC) or none for on demand only")
    endpoints: dict[Name, AnyEndpoint]
    checks: Checks
    tables: dict[Name, Table]
    consents: Name | None = Field(
        default=None,
        description="the table of consents: one row per person and purpose, with given_at and withdrawn_at",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_endpoints(cls, data: Any) -> Any:
        """The key of an endpoint is its name; its protocol is the source's where it names none."""
        if not isinstance(data, dict) or not isinstance(data.get("endpoints"), dict):
            return data
        rest = {key: value for key, value in data.items() if key != "protocol"}
        common = {"protocol": data["protocol"]} if "protocol" in data else {}
        named = {
            n: {**common, "name": n, **e} if isinstance(e, dict) else e for n, e in data["endpoints"].items()
        }
        return {**rest, "endpoints": named}

    @model_validator(mode="after")
    def _feeds_are_of_its_tables(self) -> Self:
        for name, endpoint in self.endpoints.items():
            for entity, feed in getattr(endpoint, "feeds", {}).items():
                fields = self.tables[entity].fields if entity in self.tables else None
                if fields is None:
                    raise ValueError(f"endpoints.{name}.feeds.{entity}: no table with fields is called so")
                if unknown := sorted(set(feed.names.values()) - set(fields)):
                    raise ValueError(
                        f"endpoints.{name}.feeds.{entity}.names: no fields: {', '.join(unknown)}"
                    )
                if unknown := sorted(feed.without - set(fields)):
                    raise ValueError(
                        f"endpoints.{name}.feeds.{entity}.without: no fields: {', '.join(unknown)}"
                    )
                told = feed.told_fields if isinstance(feed, FileFeed) else frozenset()
                if both := sorted(feed.without & {*feed.names.values(), *told}):
                    raise ValueError(
                        f"endpoints.{name}.feeds.{entity}: without {', '.join(both)}, yet it says how they come"
                    )
                if unknown := sorted(set(feed.identity) - set(fields)):
                    raise ValueError(
                        f"endpoints.{name}.feeds.{entity}.identity: no fields: {', '.join(unknown)}"
                    )
                if needed := sorted(feed.without & set(feed.identity or self.tables[entity].identity)):
                    raise ValueError(
                        f"endpoints.{name}.feeds.{entity}.without: records are told apart by {', '.join(needed)}"
                    )
                if unknown := sorted(told - set(fields)):
                    raise ValueError(
                        f"endpoints.{name}.feeds.{entity}.tells: no fields: {', '.join(unknown)}"
                    )
            if not isinstance(endpoint, FhirEndpoint | Hl7Endpoint) and not getattr(endpoint, "feeds", None):
                raise ValueError(f"endpoints.{name}: it has no feeds")
        return self

    @model_validator(mode="after")
    def _consents_can_be_looked_up(self) -> Self:
        asked = {name: table.consent for name, table in self.tables.items() if table.consent}
        if not asked:
            return self
        held = self.tables[self.consents].columns if self.consents in self.tables else {}
        for name, consent in asked.items():
            if missing := sorted({consent.person, "purpose", "given_at", "withdrawn_at"} - set(held)):
                raise ValueError(f"tables.{name}.consent: the table of consents has no {', '.join(missing)}")
        return self
