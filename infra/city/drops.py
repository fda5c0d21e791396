"""Files that the city's offices drop for others to fetch: CSV text, and how a day's files reach ``<city>/drops``.

A segment holds its drops under ``drops/<endpoint>/<file>``, and under ``late/`` what arrives with the next segment.
``publish`` copies each once, manifests last: a file appears whole, under its name, and what a reader takes away does
not come back.
``drops.json`` says how many segments have been delivered.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from infra.city.population import DAY_MS


def csv_lines(header: Sequence[str], columns: Sequence[Sequence[str]], delimiter: str) -> list[str]:
    """The header and one line per row. Cells that hold the delimiter or a quote are quoted."""
    cells = [[_cell(text, delimiter) for text in column] for column in columns]
    return [delimiter.join(header), *(delimiter.join(row) for row in zip(*cells, strict=True))]


def _cell(text: str, delimiter: str) -> str:
    if delimiter in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def drop_path(segment: Path, endpoint: str, name: str, *, is_late: bool = False) -> Path:
    """Where a segment keeps a file for ``endpoint``; its directory is made."""
    folder = segment / ("late" if is_late else "drops") / endpoint
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def publish(root: Path, segments: int, now_ms: int) -> None:
    """Copy the drops of segments that have not been delivered to ``root/drops``, dated by the city's clock: ``now_ms``
    at the end of the last segment, a day earlier for each before."""
    marker = root / "drops.json"
    delivered = json.loads(marker.read_text())["segments"] if marker.exists() else 0
    for number in range(delivered, segments):
        at = (now_ms - (segments - 1 - number) * DAY_MS) / 1000
        if number:
            _copy(root / "segments" / f"{number - 1:05d}" / "late", root / "drops", at)
        _copy(root / "segments" / f"{number:05d}" / "drops", root / "drops", at)
    part = root / "drops.json.part"
    part.write_text(json.dumps({"segments": segments}))
    part.replace(marker)


def _copy(source: Path, target: Path, at: float) -> None:
    files = [p for p in source.rglob("*") if p.is_file()]
    for path in sorted(files, key=lambda p: (p.name.startswith("manifest"), p)):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.part")
        shutil.copyfile(path, part)
        os.utime(part, (at, at))
        part.replace(place)
