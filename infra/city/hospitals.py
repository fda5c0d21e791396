"""What an export of a hospital consists of: files prepared from the city's segments, or a directory as it is.

Both kinds answer the same questions: which types are there, when is now, and which files hold the records
asked for."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from infra.city.city import City
from infra.city.habits import GIVEN, Habits
from infra.city.store import Piece, read_pieces, split_pieces
from infra.city.vocabulary import R4_TYPES, SHARED_TYPES
from jobs.errors import CitywellError

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


class Hospital(Protocol):
    """What the bulk server needs to know of a hospital."""

    habits: Habits

    def snapshot(self) -> Snapshot: ...
    def types(self, snapshot: Snapshot) -> list[str]: ...
    def knows_patient(self, patient_id: str) -> bool: ...
    def prepare(
        self, folder: Path, types: list[str], since_ms: int | None, snapshot: Snapshot, report: Report
    ) -> tuple[list[OutputFile], list[OutputFile]]: ...


class CityHospital:
    """A hospital of the generated city."""

    def __init__(self, habits: Habits, city: City) -> None:
        self.habits, self.city = habits, city

    def snapshot(self) -> Snapshot:
        with self.city.lock:
            return Snapshot(self.city.now_ms, self.city.segments)

    def types(self, snapshot: Snapshot) -> list[str]:
        return self.city.store.types(self.habits.name, snapshot.segments)

    def knows_patient(self, patient_id: str) -> bool:
        return patient_id in self.city.patient_ids(self.habits)

    def prepare(
        self, folder: Path, types: list[str], since_ms: int | None, snapshot: Snapshot, report: Report
    ) -> tuple[list[OutputFile], list[OutputFile]]:
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
        return outputs, deleted

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


class GivenHospital:
    """A directory of ``*.ndjson`` and ``*.ndjson.gz``, any resource types, served as it lies there.

    It stands still: its transactionTime is the time of its newest file, ``_since`` is ignored and nothing is
    ever deleted. Files are streamed, never loaded. Lines are counted once per file (blank lines do not count)
    and remembered in ``cache``. Raises CitywellError for a directory without NDJSON and for a file whose
    resource type cannot be told."""

    habits = GIVEN

    def __init__(self, directory: Path, cache: Path) -> None:
        self.directory, self.cache = directory, cache
        self._lock = threading.Lock()
        self._patients: set[str] | None = None
        if not directory.is_dir():
            raise CitywellError(
                "the hospital data is not a directory", where=str(directory), do="check --hospital-data"
            )
        paths = sorted(
            p for p in directory.rglob("*") if p.name.endswith((".ndjson", ".ndjson.gz")) and p.is_file()
        )
        if not paths:
            raise CitywellError(
                "the directory holds no NDJSON file",
                where=str(directory),
                do="give a directory with files named like Patient.ndjson or Patient.ndjson.gz",
            )
        self.files = [(p, _type_of(p)) for p in paths]

    def snapshot(self) -> Snapshot:
        newest = max(p.stat().st_mtime for p, _ in self.files)
        return Snapshot(int(newest) * 1000, 0)

    def types(self, snapshot: Snapshot) -> list[str]:
        return sorted({t for _, t in self.files})

    def knows_patient(self, patient_id: str) -> bool:
        with self._lock:
            if self._patients is None:
                found: set[str] = set()
                for path, type_ in self.files:
                    if type_ == "Patient":
                        found.update(_ids_in(path))
                self._patients = found
        return patient_id in self._patients

    def prepare(
        self, folder: Path, types: list[str], since_ms: int | None, snapshot: Snapshot, report: Report
    ) -> tuple[list[OutputFile], list[OutputFile]]:
        outputs = []
        chosen = [(p, t) for p, t in self.files if t in types]
        for n, (path, type_) in enumerate(chosen):
            report(n / len(chosen), path.name)
            is_packed = path.name.endswith(".gz")
            outputs.append(
                OutputFile(
                    type_,
                    path.name.removesuffix(".gz"),
                    self._count(path),
                    path=None if is_packed else str(path),
                    packed=str(path) if is_packed else None,
                )
            )
        return outputs, []

    def _count(self, path: Path) -> int:
        stat = path.stat()
        key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
        with self._lock:
            counts = json.loads(self.cache.read_text()) if self.cache.exists() else {}
            if key not in counts:
                counts[key] = sum(1 for _ in _lines_of(path))
                self.cache.parent.mkdir(parents=True, exist_ok=True)
                self.cache.write_text(json.dumps(counts))
        return int(counts[key])


_NAME = re.compile(r"^([A-Z][A-Za-z]+)(?=[^A-Za-z]|$)")
_RESOURCE_TYPE = re.compile(rb'"resourceType"\s*:\s*"([A-Z][A-Za-z]+)"')
_ID = re.compile(rb'"id"\s*:\s*"([A-Za-z0-9\-.]{1,64})"')


def _type_of(path: Path) -> str:
    """Resource type of a file: from its name (``Location.1767225600000.ndjson``), else from its first
    lines."""
    match = _NAME.match(path.name)
    if match and match[1] in R4_TYPES:
        return match[1]
    for n, line in enumerate(_lines_of(path)):
        found = _RESOURCE_TYPE.search(line)
        if found:
            return found[1].decode()
        if n > 1000:
            break
    raise CitywellError(
        "the resource type of a file cannot be told",
        where=str(path),
        do="name it after the type, such as Patient.ndjson",
    )


def _lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file that are not blank, one at a time."""
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        for line in file:
            if line.strip():
                yield line


def _ids_in(path: Path) -> Iterator[str]:
    for line in _lines_of(path):
        try:
            id_ = msgspec.json.decode(line, type=_WithId).id
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        yield id_


class _WithId(msgspec.Struct):
    id: str


def iso(ms: int) -> str:
    """A FHIR instant in UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
