"""Whether every file that a table's versions need is there and whole, and mending what can be derived again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from jobs.errors import CitywellError
from jobs.lake import deletion_vectors
from jobs.lake.tables.names import path_of

HINT = "_last_checkpoint"
_LOG = "_delta_log"
_VERSION = re.compile(r"([0-9]{20})\.(json|crc|checkpoint\S*\.parquet)")
_PARQUET_MARK = b"PAR1"


@dataclass(frozen=True)
class Damage:
    """One file of a table that is missing or damaged.

    version: the newest looked at that needs the file; None where that cannot be told. file: relative to the table's
    directory. is_derived: the log can do without it, so :func:`mend` takes it away.
    """

    table: str
    version: int | None
    file: str
    what: str
    is_derived: bool = False

    def __str__(self) -> str:
        at = "" if self.version is None else f" version {self.version}:"
        return f"{self.table}{at} {self.file} {self.what}"


def check(table: str, versions: Sequence[int] = (), *, lake: Path | None = None) -> list[Damage]:
    """What is wrong with the files of ``table`` at its newest version and at ``versions``; nothing when it is sound.

    Looks at names, sizes and marks, not at every value. Where a commit is lost, data files are not looked at: nobody
    knows which there should be. Source: Delta Transaction Log Protocol.
    """
    path = path_of(table, lake)
    if not (path / _LOG).is_dir():
        return [Damage(table, max(versions, default=None), _LOG, "is missing")]
    log = _Log(table, path)
    found = [*log.damaged_commits(max(versions, default=0)), *log.damaged_derivatives()]
    if not found:
        wanted = sorted({*versions, log.newest})
        files = [damage for version in wanted for damage in _damaged_files(table, path, version)]
        found = list({damage.file: damage for damage in files}.values())
        found += _damaged_vectors(table, path)
    return found


def mend(damages: Iterable[Damage], *, lake: Path | None = None) -> list[Damage]:
    """Take away the damaged files that are derived from the log; those that are left."""
    left = []
    for damage in damages:
        if damage.is_derived:
            (path_of(damage.table, lake) / damage.file).unlink(missing_ok=True)
        else:
            left.append(damage)
    return left


def damaged(damages: Sequence[Damage]) -> CitywellError:
    """The error that names what nobody can mend from the lake itself."""
    shown = "; ".join(map(str, damages[:5]))
    return CitywellError(
        f"{len(damages)} files of the lake are missing or damaged: {shown}",
        where=", ".join(sorted({damage.table for damage in damages})),
        do="put the files back from a backup of the lake; without one, keep `keys`, move the rest of the data "
        "directory away, and run `citywell up` and a full ingest of every source (`citywell ingest NAME --full`)",
    )


class _Log:
    """The files of a table's log by version."""

    def __init__(self, table: str, path: Path) -> None:
        self.table, self.directory = table, path / _LOG
        named = [
            (match, file) for file in self.directory.iterdir() if (match := _VERSION.fullmatch(file.name))
        ]
        self.commits = {int(m[1]): file for m, file in named if m[2] == "json"}
        self.sums = {int(m[1]): file for m, file in named if m[2] == "crc"}
        self.checkpoints = [(int(m[1]), file) for m, file in named if m[2].startswith("checkpoint")]
        self.newest = max([*self.commits, *(version for version, _ in self.checkpoints)], default=-1)

    def damaged_commits(self, wanted: int) -> Iterator[Damage]:
        """Commits that are missing up to ``wanted`` or between others, or are no lines of JSON."""
        first = min(self.commits, default=0)
        if not self.checkpoints:
            first = 0
        for version in range(first, max(self.newest, wanted) + 1):
            if version not in self.commits:
                yield self._damage(version, f"{version:020}.json", "is missing")
            elif not _is_json_lines(self.commits[version]):
                yield self._damage(version, f"{version:020}.json", "is damaged")

    def damaged_derivatives(self) -> Iterator[Damage]:
        """Checkpoints, sums and the hint, which can be derived from commits that are all there."""
        is_whole = all(version in self.commits for version in range(self.newest + 1))
        for version, file in self.checkpoints:
            if not _is_parquet(file):
                yield self._damage(version, file.name, "is damaged", is_derived=is_whole)
        for version, file in self.sums.items():
            if version > self.newest or not _is_json_lines(file):
                yield self._damage(version, file.name, "is damaged", is_derived=True)
        hint = self.directory / HINT
        if hint.exists() and not self._leads_somewhere(hint):
            yield Damage(self.table, None, f"{_LOG}/{HINT}", "is damaged", is_derived=True)

    def _leads_somewhere(self, hint: Path) -> bool:
        try:
            version = json.loads(hint.read_text())["version"]
        except (ValueError, KeyError, TypeError):
            return False
        return any(version == found for found, _ in self.checkpoints)

    def _damage(self, version: int, name: str, what: str, *, is_derived: bool = False) -> Damage:
        return Damage(self.table, version, f"{_LOG}/{name}", what, is_derived)


def _damaged_files(table: str, path: Path, version: int) -> Iterator[Damage]:
    try:
        added = pa.table(DeltaTable(str(path), version=version).get_add_actions(flatten=True))
    except DeltaError as error:
        yield Damage(table, version, _LOG, f"cannot be read ({type(error).__name__})")
        return
    for name, size in zip(added["path"].to_pylist(), added["size_bytes"].to_pylist(), strict=True):
        file = path / name
        if not file.exists():
            file = path / unquote(name)
        if not file.exists():
            yield Damage(table, version, name, "is missing")
        elif file.stat().st_size != size or not _is_parquet(file):
            yield Damage(table, version, name, "is damaged")


def _damaged_vectors(table: str, path: Path) -> Iterator[Damage]:
    for name in sorted(deletion_vectors.referenced(path)):
        if not (path / name).exists():
            yield Damage(table, None, name, "is missing")


def _is_json_lines(file: Path) -> bool:
    try:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
    except ValueError:
        return False
    return bool(lines)


def _is_parquet(file: Path) -> bool:
    """Whether the file begins and ends as Parquet does and its footer can be read."""
    try:
        pq.read_metadata(file)
    except (pa.ArrowException, OSError):
        return False
    with file.open("rb") as content:
        return content.read(4) == _PARQUET_MARK
