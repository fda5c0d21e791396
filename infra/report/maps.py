"""Maps as inline SVG: of correlations, and of the city's districts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, cos, hypot, radians, sqrt

from markupsafe import Markup

from infra.report.charts import WIDTH, svg

COLOURS = 5
"""Classes ``group-0`` to ``group-4`` of the page."""
_MOST_CELL, _LEAST_WITH_TEXT = 46.0, 32.0


@dataclass(frozen=True)
class Cell:
    """One pair of a heat map: ``value`` from -1 to 1, None where it is not told from chance."""

    row: str
    column: str
    value: float | None
    tip: str


@dataclass(frozen=True)
class Spot:
    """A place on a map; ``group``: number of its colour, None without one. ``is_marked``: drawn with a ring."""

    code: str
    tip: str
    longitude: float | None
    latitude: float | None
    group: int | None
    is_marked: bool = False


def heat(names: Sequence[str], cells: Sequence[Cell], title: str) -> Markup:
    """Half a square of ``names`` by ``names``: red above zero, blue below, empty where nothing is told."""
    by_pair = {frozenset((cell.row, cell.column)): cell for cell in cells}
    left = 210.0
    size = min((WIDTH - left) / max(len(names) - 1, 1), _MOST_CELL)
    bottom = 8 + size * (len(names) - 1)
    marks = []
    for row, name in enumerate(names[1:]):
        y = 8 + row * size
        marks.append(
            f'<text class="label" x="{left - 8:g}" y="{y + size / 2 + 4:.1f}" text-anchor="end">{escape(name)}</text>'
        )
        for column, other in enumerate(names[: row + 1]):
            cell = by_pair.get(frozenset((name, other)))
            marks.append(_square(cell, left + column * size, y, size))
    marks += [
        f'<text class="tick" transform="translate({left + column * size + size / 2 + 4:.1f} {bottom + 8:.1f}) '
        f'rotate(40)">{escape(name)}</text>'
        for column, name in enumerate(names[:-1])
    ]
    return svg(WIDTH, bottom + 110, title, marks)


def _square(cell: Cell | None, x: float, y: float, size: float) -> str:
    tip = f"<title>{escape(cell.tip)}</title>" if cell else ""
    where = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{size - 2:.1f}" height="{size - 2:.1f}" rx="3"'
    if cell is None or cell.value is None:
        return f'<rect class="empty" {where}>{tip}</rect>'
    colour = "warm" if cell.value > 0 else "cold"
    share = round(100 * min(1.0, sqrt(abs(cell.value))))
    text = (
        f'<text class="inside" x="{x + size / 2:.1f}" y="{y + size / 2 + 4:.1f}" text-anchor="middle">'
        f"{cell.value:+.2f}</text>"
        if size >= _LEAST_WITH_TEXT
        else ""
    )
    fill = f"fill: color-mix(in srgb, var(--{colour}) {share}%, var(--card))"
    return f'<rect {where} style="{fill}">{tip}</rect>{text}'


def city(spots: Sequence[Spot], title: str) -> Markup:
    """The spots where they lie, north up; side by side in rows where nobody knows where one of them lies."""
    at = _projected(spots)
    distances = [hypot(ax - bx, ay - by) for a, (ax, ay) in at.items() for b, (bx, by) in at.items() if a < b]
    radius = min(42.0, 0.46 * min(distances, default=90.0))
    width = max(x for x, _ in at.values()) + radius + 10
    height = max(y for _, y in at.values()) + radius + 10
    marks = []
    for spot in spots:
        x, y = at[spot.code]
        group = "" if spot.group is None else f" group-{spot.group % COLOURS}"
        ring = (
            f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{radius - 2:.1f}"/>' if spot.is_marked else ""
        )
        marks.append(
            f'<g><title>{escape(spot.tip)}</title><circle class="place{group}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="{radius - 2:.1f}"/>{ring}<text class="on-place" x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle">'
            f"{escape(spot.code)}</text></g>"
        )
    return svg(width, height, title, marks)


def _projected(spots: Sequence[Spot]) -> Mapping[str, tuple[float, float]]:
    """x and y of each spot: kilometres of equal scale both ways (equirectangular), or a grid."""
    known = [
        (spot.code, spot.longitude, spot.latitude)
        for spot in spots
        if spot.longitude is not None and spot.latitude is not None
    ]
    if len(known) < len(spots):
        columns = ceil(sqrt(len(spots)))
        return {
            spot.code: (52.0 + 92 * (n % columns), 52.0 + 92 * (n // columns)) for n, spot in enumerate(spots)
        }
    shrink = cos(radians(sum(latitude for *_, latitude in known) / len(known)))
    flat = {code: (longitude * shrink, latitude) for code, longitude, latitude in known}
    west, north = min(x for x, _ in flat.values()), max(y for _, y in flat.values())
    reach = max(max(x for x, _ in flat.values()) - west, north - min(y for _, y in flat.values())) or 1.0
    return {
        code: (52.0 + 420 * (x - west) / reach, 52.0 + 420 * (north - y) / reach)
        for code, (x, y) in flat.items()
    }
