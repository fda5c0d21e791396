"""What the routes need: each hospital's servers, what lies around them, and what every request goes through."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request

from infra.city.bulk import BulkServer
from infra.city.city import City
from infra.city.faults import FaultBook, FaultSpec, retry_header
from infra.city.given import GivenHospital
from infra.city.habits import HOSPITALS
from infra.city.hospitals import CityHospital, Hospital, iso
from infra.city.messages.outbox import Outbox
from infra.city.messages.post import Post
from infra.city.outcomes import FhirError
from infra.city.risk_assessment import WrittenResources
from infra.city.smart import SmartServer
from infra.city.surroundings.given_air import GivenAir


@dataclass(frozen=True)
class ServerOptions:
    """How the servers behave: lifetimes in seconds, how long an export takes at least, where keys and state
    live."""

    home: Path
    token_seconds: int = 300
    link_seconds: float = 3600.0
    export_seconds: float = 0.5
    hl7_listeners: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Where each HL7 sender finds the listener; a sender that is not named only queues."""


@dataclass
class Site:
    """One hospital's servers."""

    hospital: Hospital
    smart: SmartServer
    bulk: BulkServer


@dataclass
class Servers:
    """Everything the routes need."""

    options: ServerOptions
    city: City | None
    sites: dict[str, Site]
    risk: WrittenResources
    observations: WrittenResources
    faults: FaultBook
    pool: ThreadPoolExecutor = field(repr=False)
    post: Post | None = None
    """The HL7 senders of a generated city."""
    given_air: GivenAir | None = None

    @property
    def now_ms(self) -> int:
        """The city's clock; without a city, the end of the given readings."""
        if self.city is not None:
            return self.city.now_ms
        return self.given_air.end_ms if self.given_air is not None else 0

    def site(self, name: str) -> Site:
        if name not in self.sites:
            raise FhirError(
                404, "not-found", f"there is no hospital here by that name; there are {', '.join(self.sites)}"
            )
        return self.sites[name]

    def close(self) -> None:
        """Stop the senders and close the databases."""
        if self.post is not None:
            self.post.close()
        self.risk.close()
        self.observations.close()
        for site in self.sites.values():
            site.smart.close()

    def now(self, site: Site) -> str:
        return iso(site.hospital.snapshot().now_ms)


def make_servers(
    options: ServerOptions,
    city: City | None,
    given: GivenHospital | None,
    given_air: GivenAir | None = None,
) -> Servers:
    """The servers of the city's hospitals, of the given directory, and of what lies around them."""
    faults = FaultBook()
    pool = ThreadPoolExecutor(2, thread_name_prefix="export")
    root = options.home / "city"
    hospitals: list[Hospital] = [CityHospital(h, city) for h in HOSPITALS] if city else []
    if given is not None:
        hospitals.append(given)
    sites = {}
    for hospital in hospitals:
        habits = hospital.habits
        name = habits.name
        smart = SmartServer(
            name,
            habits.algorithms,
            options.home / "keys" / f"fhir_{habits.source}.jwks.json",
            root,
            options.token_seconds,
            lambda name=name: time.time() + faults.skew_seconds(name),  # type: ignore[misc]
        )
        bulk = BulkServer(
            hospital, root / "exports" / name, pool, options.link_seconds, options.export_seconds
        )
        sites[name] = Site(hospital, smart, bulk)
    post = None
    if city is not None:
        outbox = Outbox(root, lambda sender: faults.hit(sender, "batch", ("no_trailer",)) is not None)
        post = Post(city, outbox, faults, options.hl7_listeners)
    risk = WrittenResources(root / "risk_assessment.sqlite", "RiskAssessment", "Patient")
    observations = WrittenResources(root / "observation.sqlite", "Observation", "Organization")
    return Servers(options, city, sites, risk, observations, faults, pool, post, given_air)


def base(request: Request, hospital: str) -> str:
    """Address of a hospital's FHIR server as the client wrote it."""
    return f"{str(request.base_url).rstrip('/')}/{hospital}/fhir"


async def strike(servers: Servers, hospital: str, where: str, type_: str | None = None) -> FaultSpec | None:
    """Let the general faults strike: waits, or raises FhirError; a fault special to the place is returned."""
    slow = servers.faults.hit(hospital, where, ("slow",), type_)
    if slow is not None:
        await asyncio.sleep(slow.seconds if slow.seconds is not None else 1.0)
    spec = servers.faults.hit(hospital, where, ("too_many", "unavailable", "server_error"), type_)
    if spec is None:
        return None
    if spec.kind == "too_many":
        raise FhirError(429, "throttled", "too many requests", retry_header(spec, "seconds"))
    if spec.kind == "unavailable":
        raise FhirError(503, "transient", "the server is busy", retry_header(spec, "none"))
    raise FhirError(spec.status or 500, "exception", "the server has failed")


def scope_of(site: Site, request: Request) -> str:
    """Scopes of the request's token. Raises FhirError without a good one."""
    return site.smart.authorise(request.headers.get("authorization"))
