"""Faults on demand: what a server of the city does wrong. For tests and drills.

POST /city/faults (loopback only) takes one JSON object or a list; ``serve --faults FILE`` starts with such a list:

    kind       what goes wrong, see below (needed)
    hospital   north | harbour | university | given | laboratory (HL7 only) | air | weather | transport | housing |
               beijing | * (default *)
    where      kickoff | status | download | token | risk | metadata | configuration | feed (a page of the APIs around
               the hospitals) | mllp | batch; * (default): wherever the kind may strike
    type       strike only downloads, counts or errors of this resource type, or the feed of this name (readings, …)
    skip       let so many matching requests pass first (default 0)
    times      how many requests it hits; -1 for ever (default 1)
    …          the parameters of the kind

    kind           where     does
    too_many       any       429; retry_after: seconds (default) | http-date | epoch | none; seconds: how long (2)
    unavailable    any       503; the same parameters, but retry_after is none unless given
    server_error   any       500 with an OperationOutcome; status: another code
    slow           any       waits ``seconds`` (1) before it answers
    unauthorized   download, feed  401, as for an expired token
    revoke_tokens  download  all tokens given out so far stop working, that of this request too
    cut            download, feed  the connection breaks after ``bytes`` of the body (default half of it)
    truncated      download, feed  a well-formed answer that ends after ``bytes`` of the file (default half)
    expired_link   download  410 Gone (status: another code); all links of the export die unless only_this is true
    missing_file   download  404
    failing_file   download  500, for ever unless times is given
    wrong_count    status    the manifest states ``by`` (1) lines too many, for ``type`` or the first file
    no_count       status    the manifest states no counts
    error_list     status    ``error`` names a file of OperationOutcomes without a final newline
    no_deleted     status    the manifest has no ``deleted``
    missing_output status    the manifest leaves ``type``, or the first file, out
    export_failed  status    500 with an OperationOutcome: the export has failed
    never_ending   status    202 for ever
    ignore_since   kickoff   a server without ``_since``: serves everything, lists no deletions; for ever
    reject_since   kickoff   a server without ``_since``: 400; for ever
    lost_ack       mllp      a message is sent, its acknowledgement lost with the connection; it is sent again
    cut_message    mllp      the connection breaks in the middle of a message, which is sent again
    resend         mllp      a message that was acknowledged is sent again
    out_of_order   mllp      a message is sent before the one that comes first
    odd_separators mllp      a message has other separators than its sender's usual ones
    no_trailer     batch     a batch file has no BTS and FTS (with --faults alone: they are written at the start)
    refuse         risk      422 with an OperationOutcome for creates and updates
    invalid_json   feed      the page is no JSON
    wrong_total    feed      the page states ``by`` (1) items too many
    stuck_cursor   feed      the page names itself as the next one
    clock_skew     server    its clock is off by ``seconds``, for tokens and the Date header, until removed

GET /city/faults lists them with how often each has hit; DELETE /city/faults removes all, DELETE /city/faults/ID one.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import msgspec

HTTP_PLACES = (
    "kickoff",
    "status",
    "download",
    "token",
    "risk",
    "observation",
    "metadata",
    "configuration",
    "feed",
)
PLACES = (*HTTP_PLACES, "mllp", "batch")
USUAL_PLACES: dict[str, tuple[str, ...]] = {
    "too_many": HTTP_PLACES,
    "unavailable": HTTP_PLACES,
    "server_error": HTTP_PLACES,
    "slow": HTTP_PLACES,
    "unauthorized": ("download", "feed"),
    "revoke_tokens": ("download",),
    "cut": ("download", "feed"),
    "truncated": ("download", "feed"),
    "expired_link": ("download",),
    "missing_file": ("download",),
    "failing_file": ("download",),
    "wrong_count": ("status",),
    "no_count": ("status",),
    "error_list": ("status",),
    "no_deleted": ("status",),
    "missing_output": ("status",),
    "export_failed": ("status",),
    "never_ending": ("status",),
    "ignore_since": ("kickoff",),
    "reject_since": ("kickoff",),
    "lost_ack": ("mllp",),
    "cut_message": ("mllp",),
    "resend": ("mllp",),
    "out_of_order": ("mllp",),
    "odd_separators": ("mllp",),
    "no_trailer": ("batch",),
    "refuse": ("risk", "observation"),
    "invalid_json": ("feed",),
    "wrong_total": ("feed",),
    "stuck_cursor": ("feed",),
    "clock_skew": (),
}
_LASTING = {"failing_file", "never_ending", "ignore_since", "reject_since", "clock_skew"}
MANIFEST_KINDS = ("wrong_count", "no_count", "error_list", "no_deleted", "missing_output")


class FaultSpec(msgspec.Struct, forbid_unknown_fields=True):
    """A fault as it is asked for; see the module's table."""

    kind: str
    hospital: str = "*"
    where: str = "*"
    type: str | None = None
    skip: int = 0
    times: int | None = None
    retry_after: str | None = None
    seconds: float | None = None
    bytes: int | None = None
    status: int | None = None
    by: int = 1
    only_this: bool = False


@dataclass
class Fault:
    """A fault in force: ``left`` hits to go (-1 for ever), ``skip`` requests to let pass, ``hits`` so far."""

    id: int
    spec: FaultSpec
    left: int
    skip: int
    hits: int = 0
    places: tuple[str, ...] = field(default_factory=tuple)

    def described(self) -> dict[str, Any]:
        return {"id": self.id, "left": self.left, "hits": self.hits, **msgspec.to_builtins(self.spec)}

    def matches(self, hospital: str, where: str, type_: str | None) -> bool:
        spec = self.spec
        return (
            self.left != 0
            and spec.hospital in ("*", hospital)
            and where in self.places
            and (where == "status" or spec.type in (None, type_))
        )


class FaultBook:
    """The faults in force. Thread-safe; forgotten at restart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[int, Fault] = {}
        self._next = 1

    def add(self, raw: bytes) -> list[dict[str, Any]]:
        """Add one fault or a list of them. Raises ValueError with words for the caller."""
        try:
            specs = msgspec.json.decode(raw, type=FaultSpec | list[FaultSpec])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(str(error)) from None
        added = []
        for spec in specs if isinstance(specs, list) else [specs]:
            if spec.kind not in USUAL_PLACES:
                raise ValueError(f"unknown kind {spec.kind!r}; there are {', '.join(USUAL_PLACES)}")
            if spec.where not in ("*", *PLACES):
                raise ValueError(f"unknown where {spec.where!r}; there are {', '.join(PLACES)}")
            places = USUAL_PLACES[spec.kind] if spec.where == "*" else (spec.where,)
            times = spec.times if spec.times is not None else -1 if spec.kind in _LASTING else 1
            with self._lock:
                fault = Fault(self._next, spec, times, spec.skip, places=places)
                self._faults[self._next] = fault
                self._next += 1
            added.append(fault.described())
        return added

    def listed(self) -> list[dict[str, Any]]:
        return [f.described() for f in self._faults.values()]

    def remove(self, number: int | None) -> None:
        with self._lock:
            if number is None:
                self._faults.clear()
            else:
                self._faults.pop(number, None)

    def hit(
        self, hospital: str, where: str, kinds: tuple[str, ...] | None = None, type_: str | None = None
    ) -> FaultSpec | None:
        """The first fault of these kinds (any, for None) that strikes this request; its count goes down."""
        with self._lock:
            for fault in self._faults.values():
                if (kinds is None or fault.spec.kind in kinds) and fault.matches(hospital, where, type_):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.left -= fault.left > 0
                    fault.hits += 1
                    return fault.spec
        return None

    def skew_seconds(self, hospital: str) -> float:
        """How far the server's clock is off."""
        return sum(
            f.spec.seconds or 0.0
            for f in list(self._faults.values())
            if f.spec.kind == "clock_skew" and f.spec.hospital in ("*", hospital)
        )


def retry_header(spec: FaultSpec, default: str) -> dict[str, str]:
    """``Retry-After`` in the style the fault asks for."""
    seconds = spec.seconds if spec.seconds is not None else 2.0
    style = spec.retry_after or default
    if style == "none":
        return {}
    if style == "http-date":
        return {"Retry-After": formatdate(time.time() + seconds, usegmt=True)}
    if style == "epoch":
        return {"Retry-After": str(int(time.time() + seconds))}
    return {"Retry-After": str(int(seconds) if float(seconds).is_integer() else seconds)}
