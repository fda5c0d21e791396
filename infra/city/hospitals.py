"""What an export of a hospital consists of: which types are there, when is now, and which files hold the records
asked for. Here for a hospital of the generated city, whose files are prepared from its segments."""

from __future__ import annotations

import gzip
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
from infra.city.vocabulary import SHARED_TYPES

NOT_OF_A_PATIENT = frozenset(
    {
        *SHARED_TYPES,
        "PractitionerRole",
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

    def snapshot(self) -> Snapshot: ...
    def types(self, snapshot: Snapshot) -> list[str]: ...
    def knows_patient(self, patient_id: str) -> bool: ...
    def prepare(
        self, folder: Path, types: list[str], since_ms: int | None, snapshot: Snapshot, report: Report
    ) -> Prepared: ...


class CityHospital:
    """A hospital of the generated city."""

    def __init__(self, habits: Habits, city: City) -> None:
        self.habits, self.city = habits, city

    def snapshot(self) -> Snapshot:
        return Snapshot(*self.city.moment)

    def types(self, snapshot: Snapshot) -> list[str]:
        return self.city.store.types(self.habits.name, snapshot.segments)

    def knows_patient(self, patient_id: str) -> bool:
        return patient_id in self.city.patient_ids(self.habits)

    def prepare(
        self, folder: Path, types: list[str], since_ms: int | None, snapshot: Snapshot, report: Report
    ) -> Prepared:
        """Output and ``deleted`` files of the export; a type without records has no file."""
        outputs: list[OutputFile] = []
        deleted: list[OutputFile] = []
        for n, type_ in enumerate(types):
            report(n / len(types), type_)
            pieces = list(self.city.store.select(self.habits.name, type_, snapshot.segments, since_ms))
            files = split_pieces(pieces, self.habits.lines_per_file)
            for part, file in enumerate(files, 1):
                outputs.append(self._file(folder, type_, part if len(files) > 1 else 0, file, snapshot))
            if since_ms is not None:
                deleted += self._deleted(folder, type_, since_ms, snapshot)
        return Prepared(outputs, deleted, [])

    def _file(
        self, folder: Path, type_: str, part: int, pieces: list[Piece], snapshot: Snapshot
    ) -> OutputFile:
        """A file of lines; a segment that is wanted whole is served as it lies there."""
        stamp = f".{snapshot.now_ms}" if self.habits.stamped_files else ""
        name = f"{type_}{f'-{part}' if part else ''}{stamp}.ndjson"
        whole = len(pieces) == 1 and pieces[0].start == 0 and pieces[0].stop == pieces[0].path.stat().st_size
        path = pieces[0].path if whole else folder / name
        if not whole:
            with path.open("wb") as out:
                for block in read_pieces(pieces):
                    out.write(block)
        file = OutputFile(type_, name, sum(p.lines for p in pieces), path=str(path))
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


def _packed(plain: Path, packed: Path) -> Path:
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as out:
        shutil.copyfileobj(source, out, 1 << 20)
    return packed


def iso(ms: int) -> str:
    """A FHIR instant in UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
