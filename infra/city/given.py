"""A directory of NDJSON, any resource types, served as a hospital.

Directories of real exports hold more than records: logs of the export, the shadow files of another system, files
that are cut off. Each file is surveyed once; what holds no records is left out with a warning, what cannot be read
to its end is named in the ``error`` part of every manifest, and no line is lost on the way.
"""

from __future__ import annotations

import gzip
import os
import re
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO

import msgspec

from infra.city.habits import GIVEN
from infra.city.hospitals import NOT_OF_A_PATIENT, OutputFile, Prepared, Report, Snapshot
from infra.city.outcomes import NOT_JSON, outcome
from infra.city.vocabulary import R4_TYPES
from jobs.errors import CitywellError

_NAME = re.compile(r"^([A-Z][A-Za-z]+)(?=[^A-Za-z]|$)")
_NOT_IN_A_LINK = re.compile(rb"[^A-Za-z0-9._-]")
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_SAVE_EVERY_S = 5.0
_DAMAGE = (OSError, EOFError, zlib.error)
_BELIEVABLE_FROM_MS = 946_684_800_000
"""2000-01-01. Archives without times unpack to 1970 or 1980; FHIR is younger than this."""


class Survey(msgspec.Struct):
    """What a file holds: records by resource type ("" for lines that name none), the newest ``meta.lastUpdated``
    (ms, 0 for none), and in words why it cannot be read to its end."""

    records: dict[str, int] = {}
    newest_ms: int = 0
    damage: str = ""


@dataclass(frozen=True)
class GivenFile:
    """A file that is served. ``main`` is the type of the lines that name none; None when nothing tells it."""

    path: Path
    main: str | None
    survey: Survey

    @property
    def counts(self) -> dict[str, int]:
        """Records by the type under which they are served."""
        counts = Counter({type_: n for type_, n in self.survey.records.items() if type_})
        if self.main is not None:
            counts[self.main] += self.survey.records.get("", 0)
        return {type_: n for type_, n in counts.items() if n}


class GivenHospital:
    """The directory's ``*.ndjson`` and ``*.ndjson.gz``, below it too.

    It stands still: its transactionTime is the newest of its files' times and its records' lastUpdated, ``_since`` is
    ignored and nothing is ever deleted. A file of one resource type is served as it lies there, one of several types
    as a file for each. Files are streamed, never loaded; surveys are remembered in ``cache``. ``say`` hears of files
    left out. Raises CitywellError when there is nothing to serve.
    """

    habits = GIVEN
    not_of_a_patient = NOT_OF_A_PATIENT

    def __init__(self, directory: Path, cache: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self.directory = Path(os.path.abspath(directory))
        self._surveys = _Surveys(cache)
        self._lock = threading.Lock()
        self._patients: set[str] | None = None
        if not directory.is_dir():
            raise CitywellError(
                "the hospital data is not a directory", where=str(directory), do="check --hospital-data"
            )
        paths = sorted(p for p in self.directory.rglob("*") if _is_ndjson(p) and p.is_file())
        if not paths:
            raise CitywellError(
                "the directory holds no NDJSON file",
                where=str(directory),
                do="give a directory with files named like Patient.ndjson or Patient.ndjson.gz",
            )
        self.files, refusals = [], []
        for path in paths:
            file = self._look_at(path)
            if isinstance(file, GivenFile):
                self.files.append(file)
            else:
                refusals.append(f"{_shown(path.relative_to(self.directory))}: {file}")
        self._surveys.save()
        for refusal in refusals:
            say(f"left out of the given records: {refusal}")
        for file in self.files:
            if file.survey.damage:
                shown = _shown(file.path.relative_to(self.directory))
                say(f"not served, and named as an error in every export: {shown}: {file.survey.damage}")
        if not any(file.counts and not file.survey.damage for file in self.files):
            damaged = [f"{_shown(f.path.name)}: {f.survey.damage}" for f in self.files]
            raise CitywellError(
                f"no NDJSON file of the directory can be served: {'; '.join([*refusals, *damaged][:5])}",
                where=str(directory),
                do="name files after their resource type, such as Patient.ndjson, and see that they can be read",
            )
        self._snapshot = Snapshot(self._newest_ms(), 0)

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def types(self, snapshot: Snapshot) -> list[str]:
        return sorted({type_ for file in self.files for type_ in (*file.counts, file.main) if type_})

    def knows_patient(self, patient_id: str) -> bool:
        with self._lock:
            if self._patients is None:
                files = [f for f in self.files if "Patient" in f.survey.records and not f.survey.damage]
                self._patients = {id_ for file in files for id_ in _patient_ids(file.path)}
        return patient_id in self._patients

    def members(self, group: str) -> frozenset[str] | None:
        """The directory has no groups."""
        return None

    def prepare(
        self,
        folder: Path,
        types: list[str],
        since_ms: int | None,
        snapshot: Snapshot,
        report: Report,
        members: frozenset[str] | None = None,
    ) -> Prepared:
        outputs: list[OutputFile] = []
        damaged: list[str] = []
        for n, known in enumerate(self.files):
            report(n / len(self.files), known.main or "records")
            file = GivenFile(known.path, known.main, self._surveys.of(known.path))
            if file.survey.damage:
                named = _type_in_name(file.path)
                if named is None or {named, *file.counts} & set(types):
                    shown = _shown(file.path.relative_to(self.directory))
                    damaged.append(f"{shown} is left out: {file.survey.damage}")
                continue
            wanted = [type_ for type_ in file.counts if type_ in types]
            if not wanted:
                continue
            if len(file.counts) == 1:
                outputs.append(_as_it_lies(file, wanted[0], folder / f"{n:05d}.ndjson"))
            else:
                outputs += _by_type(file, wanted, folder, n)
        self._surveys.save()
        return Prepared(outputs, [], _error_files(folder, damaged))

    def _look_at(self, path: Path) -> GivenFile | str:
        """The file, or why it is left out."""
        if any(part.startswith(".") for part in path.relative_to(self.directory).parts):
            return "it is hidden"
        survey = self._surveys.of(path)
        if not survey.records and not survey.damage:
            return "it is empty"
        told = Counter({type_: n for type_, n in survey.records.items() if type_})
        main = _type_in_name(path) or next((type_ for type_, _ in told.most_common(1)), None)
        if main is None and not survey.damage:
            return "its resource type cannot be told"
        return GivenFile(path, main, survey)

    def _newest_ms(self) -> int:
        stats = [file.path.stat() for file in self.files]
        times = [int(stat.st_mtime) * 1000 for stat in stats]
        times = [ms for ms in times if ms >= _BELIEVABLE_FROM_MS]
        times += [file.survey.newest_ms for file in self.files if file.survey.newest_ms]
        return max(times or [int(stat.st_ctime) * 1000 for stat in stats])


class _Surveys:
    """Surveys by path, size and time, kept in a file, so that a long one is done once even if it is cut short."""

    def __init__(self, cache: Path) -> None:
        self._cache, self._lock, self._saved_at = cache, threading.Lock(), time.monotonic()
        try:
            self._known = msgspec.json.decode(cache.read_bytes(), type=dict[str, Survey])
        except (OSError, msgspec.DecodeError):
            self._known = {}

    def of(self, path: Path) -> Survey:
        try:
            stat = path.stat()
            key = f"{os.fsencode(path).hex()}|{stat.st_size}|{stat.st_mtime_ns}"
            if key not in self._known:
                self._known[key] = _surveyed(path)
                if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
                    self.save()
            return self._known[key]
        except OSError as error:
            return Survey(damage=_words(error))

    def save(self) -> None:
        with self._lock:
            self._saved_at = time.monotonic()
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            part = self._cache.with_name(f"{self._cache.name}.part")
            part.write_bytes(msgspec.json.encode(dict(self._known)))
            part.replace(self._cache)


def _surveyed(path: Path) -> Survey:
    """Reads a file once."""
    records: Counter[str] = Counter()
    newest_ms, latest_ms = 0, _ms(datetime.now(UTC) + timedelta(days=1))
    damage = ""
    try:
        with _opened(path) as stream:
            for line in _lines(stream):
                head = _head(line)
                records[head.type if head.type in R4_TYPES else ""] += 1
                if newest_ms < head.updated_ms <= latest_ms:
                    newest_ms = head.updated_ms
    except _DAMAGE as error:
        damage = _words(error)
    return Survey(dict(records), newest_ms, damage)


@dataclass(frozen=True)
class _Head:
    type: str = ""
    updated_ms: int = 0


class _Resource(msgspec.Struct):
    resourceType: str = ""
    id: msgspec.Raw = msgspec.Raw()
    meta: msgspec.Raw = msgspec.Raw()


class _Meta(msgspec.Struct):
    lastUpdated: datetime


_RESOURCE, _META, _ID = (
    msgspec.json.Decoder(_Resource),
    msgspec.json.Decoder(_Meta),
    msgspec.json.Decoder(str),
)


def _head(line: bytes) -> _Head:
    """Resource type and lastUpdated of a line; nothing for what is no object."""
    try:
        resource = _RESOURCE.decode(line)
    except NOT_JSON:
        return _Head()
    try:
        updated = _META.decode(resource.meta).lastUpdated if len(bytes(resource.meta)) else None
        return _Head(resource.resourceType, _ms(updated) if updated else 0)
    except (*NOT_JSON, OverflowError):
        return _Head(resource.resourceType)


def _ms(moment: datetime) -> int:
    """Milliseconds since 1970, rounded up; a time without an offset is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return -int(-aware.timestamp() * 1000 // 1)


def _patient_ids(path: Path) -> Iterator[str]:
    with _opened(path) as stream:
        for line in _lines(stream):
            try:
                resource = _RESOURCE.decode(line)
                if resource.resourceType == "Patient":
                    yield _ID.decode(resource.id)
            except NOT_JSON:
                continue


def _as_it_lies(file: GivenFile, type_: str, link: Path) -> OutputFile:
    """The file itself, under a name that can stand in a link and in job.json whatever its own is."""
    link.unlink(missing_ok=True)
    link.symlink_to(file.path)
    place = str(link)
    is_packed = _is_packed(file.path)
    return OutputFile(
        type_,
        _link_name(file.path),
        file.counts[type_],
        path=None if is_packed else place,
        packed=place if is_packed else None,
    )


def _by_type(file: GivenFile, wanted: list[str], folder: Path, number: int) -> Iterator[OutputFile]:
    """A file for each type of a file of several, lines that name none among the main type's."""
    paths = {type_: folder / f"{number:05d}-{type_}.ndjson" for type_ in wanted}
    with ExitStack() as stack:
        outs: dict[str, BinaryIO] = {t: stack.enter_context(p.open("wb")) for t, p in paths.items()}
        stream = stack.enter_context(_opened(file.path))
        for line in _lines(stream):
            type_ = _head(line).type
            out = outs.get(type_ if type_ in R4_TYPES else str(file.main))
            if out is not None:
                out.write(line + b"\n")
    for type_, path in paths.items():
        yield OutputFile(type_, f"{type_}-of-{_link_name(file.path)}", file.counts[type_], path=str(path))


def _error_files(folder: Path, problems: list[str]) -> list[OutputFile]:
    if not problems:
        return []
    path = folder / "errors.ndjson"
    path.write_bytes(b"".join(msgspec.json.encode(outcome("exception", p)) + b"\n" for p in problems))
    return [OutputFile("OperationOutcome", path.name, len(problems), path=str(path))]


def _is_ndjson(path: Path) -> bool:
    return path.name.lower().endswith((".ndjson", ".ndjson.gz"))


def _type_in_name(path: Path) -> str | None:
    """The resource type a file is named after: ``Location.1767225600000.ndjson``."""
    match = _NAME.match(path.name)
    return match[1] if match and match[1] in R4_TYPES else None


def _is_packed(path: Path) -> bool:
    """Whether a file is gzip, by its content: names are wrong now and then, and NDJSON cannot begin so."""
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def _opened(path: Path) -> BufferedIOBase:
    """The plain bytes of a file."""
    return gzip.open(path, "rb") if _is_packed(path) else path.open("rb")


def _lines(stream: BufferedIOBase) -> Iterator[bytes]:
    """The lines of a stream that are not blank, without their LF and the stream's byte order mark; a CR stays."""
    for n, raw in enumerate(stream):
        line = (raw.removeprefix(_BOM) if n == 0 else raw).removesuffix(b"\n")
        if line.strip(b"\r"):
            yield line


def _link_name(path: Path) -> str:
    """A file's name with all that means something in a link replaced."""
    name = re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE)
    return _NOT_IN_A_LINK.sub(b"_", os.fsencode(name)).decode()


def _shown(path: Path | str) -> str:
    """A path that can be printed, whatever bytes it is made of."""
    return os.fsencode(path).decode(errors="replace")


def _words(error: Exception) -> str:
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return "its gzip stream is cut off or damaged"
    return f"it cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}"
