"""What an export of a hospital consists of: which types are there, when is now, and which files hold the records
asked for. Here for a hospital of the generated city, whose files are prepared from its segments."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from infra.city.city import City
from infra.city.habits import Habits
from infra.city.store import Piece, read_pieces, split_pieces
from infra.city.vocabulary import HOUSE_TYPES, SHARED_TYPES

NOT_OF_A_PATIENT = frozenset(
    {
        *SHARED_TYPES,
        "PractitionerRole",
        "Schedule",
        "HealthcareService",
        "Endpoint",
        "Substance",
        "OrganizationAffiliation",
        "InsurancePlan",
        "ValueSet",
        "CodeSystem",
    }
)
Report = Callable[[float, str], None]
_WHOSE = re.compile(rb'"(?:subject|patient)":\{"reference":"Patient/([^"]+)"')
_ID = re.compile(rb'^\{"resourceType":"Patient","id":"([^"]+)"')


@dataclass(frozen=True)
class Snapshot:
    """The moment an export stands for: the clock (ms) and how many segments there were."""

    now_ms: int
    segments: int


class OutputFile(msgspec.Struct):
    """One file of an export. ``path`` is plain NDJSON, ``packed`` the same gzip-encoded; one of them may be
    missing."""

    type: str
    name: str
    count: int
    path: str | None = None
    packed: str | None = None


class Prepared(NamedTuple):
    """The files of an export, by the part of the manifest they belong to."""

    outputs: list[OutputFile]
    deleted: list[OutputFile]
    errors: list[OutputFile]


class Hospital(Protocol):
    """What the bulk server needs to know of a hospital."""

    habits: Habits
    not_of_a_patient: frozenset[str]

    def snapshot(self) -> Snapshot: ...
    def types(self, snapshot: Snapshot) -> list[str]: ...
    def knows_patient(self, patient_id: str) -> bool: ...
    def members(self, group: str) -> frozenset[str] | None:
        """Ids of the patients of a group; None where there is no such group."""
        ...

    def prepare(
        self,
        folder: Path,
        types: list[str],
        since_ms: int | None,
        snapshot: Snapshot,
        report: Report,
        members: frozenset[str] | None = None,
    ) -> Prepared:
        """The files of an export, of the patients ``members`` alone where a group was asked for."""
        ...


class CityHospital:
    """A hospital of the generated city. Its groups are the keys of CHRONIC, such as ``diabetes``."""

    not_of_a_patient = NOT_OF_A_PATIENT | frozenset(HOUSE_TYPES)

    def __init__(self, habits: Habits, city: City) -> None:
        self.habits, self.city = habits, city

    def snapshot(self) -> Snapshot:
        return Snapshot(*self.city.moment)

    def types(self, snapshot: Snapshot) -> list[str]:
        return self.city.store.types(self.habits.name, snapshot.segments)

    def knows_patient(self, patient_id: str) -> bool:
        return patient_id in self.city.patient_ids(self.habits)

    def members(self, group: str) -> frozenset[str] | None:
        return self.city.group_members(self.habits, group)

    def prepare(
        self,
        folder: Path,
        types: list[str],
        since_ms: int | None,
        snapshot: Snapshot,
        report: Report,
        members: frozenset[str] | None = None,
    ) -> Prepared:
        """Output and ``deleted`` files of the export; a type without records has no file.

        A deletion does not say whose record it was: a group's export names them all.
        """
        outputs: list[OutputFile] = []
        deleted: list[OutputFile] = []
        for n, type_ in enumerate(types):
            report(n / len(types), type_)
            pieces = list(self.city.store.select(self.habits.name, type_, snapshot.segments, since_ms))
            files = split_pieces(pieces, self.habits.lines_per_file)
            for part, file in enumerate(files, 1):
                made = self._file(folder, type_, part if len(files) > 1 else 0, file, snapshot, members)
                if made.count:
                    outputs.append(made)
            if since_ms is not None:
                deleted += self._deleted(folder, type_, since_ms, snapshot)
        return Prepared(outputs, deleted, [])

    def _file(
        self,
        folder: Path,
        type_: str,
        part: int,
        pieces: list[Piece],
        snapshot: Snapshot,
        members: frozenset[str] | None,
    ) -> OutputFile:
        """A file of lines; a segment that is wanted whole is served as it lies there."""
        stamp = f".{snapshot.now_ms}" if self.habits.stamped_files else ""
        name = f"{type_}{f'-{part}' if part else ''}{stamp}.ndjson"
        whole = len(pieces) == 1 and pieces[0].start == 0 and pieces[0].stop == pieces[0].path.stat().st_size
        path = pieces[0].path if whole and members is None else folder / name
        count = sum(p.lines for p in pieces)
        if members is not None:
            count = _write_members(path, pieces, members)
        elif not whole:
            with path.open("wb") as out:
                for block in read_pieces(pieces):
                    out.write(block)
        file = OutputFile(type_, name, count, path=str(path))
        if self.habits.gzip:
            file.packed = str(_packed(path, folder / f"{name}.gz"))
        return file

    def _deleted(self, folder: Path, type_: str, since_ms: int, snapshot: Snapshot) -> list[OutputFile]:
        """Deletions as Bulk Data has them: one transaction Bundle with DELETE entries a line."""
        found = [
            d
            for d in self.city.store.current_deletions(self.habits.name, type_, snapshot.segments, since_ms)
            if d.at_ms <= snapshot.now_ms
        ]
        if not found:
            return []
        lines = []
        for first in range(0, len(found), 100):
            entries = [
                {"request": {"method": "DELETE", "url": f"{type_}/{d.id}"}}
                for d in found[first : first + 100]
            ]
            lines.append(
                msgspec.json.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
            )
        path = folder / f"deleted-{type_}.ndjson"
        path.write_bytes(b"\n".join(lines) + b"\n")
        return [OutputFile("Bundle", path.name, len(lines), path=str(path))]


def _write_members(path: Path, pieces: list[Piece], members: frozenset[str]) -> int:
    """Write the lines of those patients; their number."""
    count, rest = 0, b""
    with path.open("wb") as out:
        for block in read_pieces(pieces):
            *lines, rest = (rest + bytes(block)).split(b"\n")
            for line in lines:
                whose = _ID.match(line) or _WHOSE.search(line)
                if whose and whose[1].decode(errors="replace") in members:
                    out.write(line + b"\n")
                    count += 1
    return count


def _packed(plain: Path, packed: Path) -> Path:
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as out:
        shutil.copyfileobj(source, out, 1 << 20)
    return packed


def iso(ms: int) -> str:
    """A FHIR instant in UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
