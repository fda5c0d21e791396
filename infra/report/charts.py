"""Charts as inline SVG: no library, no script, nothing fetched. Colours are CSS classes of the page.

Every chart has a title for screen readers, and a tooltip on each mark. Sizes are user units; the page scales
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from math import ceil, floor
from typing import TypeVar

from markupsafe import Markup

WIDTH = 1000.0
Time = TypeVar("Time", bound=date)


@dataclass(frozen=True)
class Line:
    """A curve over time; None is a gap. ``style``: class of the stroke."""

    name: str
    style: str
    points: Sequence[tuple[date, float | None]]


@dataclass(frozen=True)
class Interval:
    """A value with its interval."""

    label: str
    value: float
    low: float | None
    high: float | None


def stacked_bar(parts: Mapping[str, int], width: float = 360, height: float = 16) -> Markup:
    """One bar of the shares of ``parts`` (class name -> count); a part that is not zero stays visible."""
    total = sum(parts.values())
    marks, x = [], 0.0
    visible = {name: count for name, count in parts.items() if count}
    spare = width - 2.0 * len(visible)
    for name, count in visible.items():
        size = 2.0 + spare * count / total
        marks.append(
            f'<rect class="fill {escape(name)}" x="{x:.1f}" y="0" width="{size:.1f}" height="{height:g}">'
            f"<title>{escape(name.removeprefix('band-'))}: {count:,} of {total:,}</title></rect>"
        )
        x += size
    return svg(width, height, "shares: " + ", ".join(f"{n} {c:,}" for n, c in visible.items()), marks)


def bars(rows: Sequence[tuple[str, float, str]], style: str = "accent", label_width: float = 300) -> Markup:
    """Horizontal bars of (label, value, value as text), in the order given."""
    step, room = 26.0, WIDTH - label_width - 90
    longest = max((value for _, value, _ in rows), default=0) or 1
    marks = []
    for place, (label, value, text) in enumerate(rows):
        y, size = place * step, max(room * value / longest, 1)
        marks.append(
            f'<text class="label" x="{label_width - 10:g}" y="{y + 15:g}" text-anchor="end">'
            f"{escape(_short(label, int(label_width / 7.5)))}<title>{escape(label)}</title></text>"
            f'<rect class="fill {style}" x="{label_width:g}" y="{y + 3:g}" width="{size:.1f}" height="17" rx="3"/>'
            f'<text class="value" x="{label_width + size + 8:.1f}" y="{y + 16:g}">{escape(text)}</text>'
        )
    return svg(WIDTH, step * len(rows), "; ".join(f"{label} {text}" for label, _, text in rows), marks)


def lines(series: Sequence[Line], title: str, height: float = 190) -> Markup:
    """Curves over time with a common vertical axis from zero."""
    left, top, bottom = 46.0, 10.0, 24.0
    days = sorted({day for line in series for day, _ in line.points})
    values = [value for line in series for _, value in line.points if value is not None]
    if not days or not values:
        return Markup("")
    first, span = days[0].toordinal(), max((days[-1] - days[0]).days, 1)
    ceiling, ticks = ticks_to(max(values))
    x = {day: left + (WIDTH - left - 8) * (day.toordinal() - first) / span for day in days}
    scale = (height - top - bottom) / ceiling
    marks = [
        f'<line class="grid" x1="{left:g}" x2="{WIDTH:g}" y1="{height - bottom - t * scale:.1f}" '
        f'y2="{height - bottom - t * scale:.1f}"/><text class="tick" x="{left - 6:g}" '
        f'y="{height - bottom - t * scale + 4:.1f}" text-anchor="end">{t:g}</text>'
        for t in ticks
    ]
    marks += [
        f'<text class="tick" x="{x[day]:.1f}" y="{height - 6:g}" text-anchor="middle">{day:%b %y}</text>'
        for day in days[:: -(-len(days) // 12)]
    ]
    for line in series:
        for run in runs(line.points):
            points = " ".join(f"{x[day]:.1f},{height - bottom - value * scale:.1f}" for day, value in run)
            marks.append(
                f'<polyline class="curve {line.style}" points="{points}"><title>{escape(line.name)}</title></polyline>'
            )
    return svg(WIDTH, height, f"{title}: " + ", ".join(line.name for line in series), marks)


def curve(
    points: Sequence[tuple[float, float]],
    title: str,
    x_label: str,
    y_label: str,
    *,
    dots: Sequence[tuple[float, float, float, str]] = (),
    limit: float = 1.0,
) -> Markup:
    """A square plot from 0 to ``limit`` with its diagonal. dots: (x, y, radius, tooltip)."""
    size, left, bottom, top = 330.0, 44.0, 40.0, 8.0
    room = size - left - top

    def px(value: float) -> float:
        return left + room * min(value, limit) / limit

    def py(value: float) -> float:
        return top + room * (1 - min(value, limit) / limit)

    marks = [f'<rect class="frame" x="{left:g}" y="{top:g}" width="{room:g}" height="{room:g}"/>']
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        t = fraction * limit
        marks.append(
            f'<line class="grid" x1="{px(t):.1f}" x2="{px(t):.1f}" y1="{top:g}" y2="{top + room:g}"/>'
            f'<line class="grid" x1="{left:g}" x2="{left + room:g}" y1="{py(t):.1f}" y2="{py(t):.1f}"/>'
            f'<text class="tick" x="{px(t):.1f}" y="{size - bottom + 8:g}" text-anchor="middle">{t:.3g}</text>'
            f'<text class="tick" x="{left - 6:g}" y="{py(t) + 4:.1f}" text-anchor="end">{t:.3g}</text>'
        )
    marks.append(
        f'<line class="diagonal" x1="{px(0):.1f}" y1="{py(0):.1f}" x2="{px(limit):.1f}" y2="{py(limit):.1f}"/>'
    )
    if points:
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in points)
        marks.append(f'<polyline class="curve accent" points="{path}"/>')
    marks += [
        f'<circle class="dot" cx="{px(x):.1f}" cy="{py(y):.1f}" r="{radius:.1f}"><title>{escape(tip)}</title></circle>'
        for x, y, radius, tip in dots
    ]
    marks.append(
        f'<text class="axis" x="{left + room / 2:g}" y="{size - 8:g}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text class="axis" transform="translate(11 {top + room / 2:g}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return svg(size, size, title, marks)


def intervals(rows: Sequence[Interval], title: str, reference: float | None = None) -> Markup:
    """Dots with whiskers on one axis; ``reference`` is drawn as a dashed line (the figure for everybody)."""
    if not rows:
        return Markup("")
    edges = [edge for row in rows for edge in (row.value, row.low, row.high) if edge is not None]
    if reference is not None:
        edges.append(reference)
    tick = next(t for t in (0.01, 0.02, 0.05, 0.1, 0.2) if max(edges) - min(edges) <= 6 * t or t == 0.2)
    low, high = floor(min(edges) / tick), ceil(max(edges) / tick + 1e-9)
    left, step, room = 190.0, 26.0, WIDTH - 190.0 - 180.0
    height = step * len(rows) + 26

    def px(value: float) -> float:
        return left + room * (value / tick - low) / (high - low)

    marks = []
    for t in (tick * place for place in range(low, high + 1)):
        marks.append(
            f'<line class="grid" x1="{px(t):.1f}" x2="{px(t):.1f}" y1="0" y2="{height - 22:g}"/>'
            f'<text class="tick" x="{px(t):.1f}" y="{height - 6:g}" text-anchor="middle">{t:.2f}</text>'
        )
    if reference is not None:
        marks.append(
            f'<line class="diagonal" x1="{px(reference):.1f}" x2="{px(reference):.1f}" y1="0" y2="{height - 22:g}"/>'
        )
    for place, row in enumerate(rows):
        y = place * step + 13
        text = f"{row.value:.3f}"
        whisker = ""
        if row.low is not None and row.high is not None:
            text += f" ({row.low:.3f} to {row.high:.3f})"
            whisker = f'<line class="whisker" x1="{px(row.low):.1f}" x2="{px(row.high):.1f}" y1="{y:g}" y2="{y:g}"/>'
        marks.append(
            f'<text class="label" x="{left - 12:g}" y="{y + 4:g}" text-anchor="end">{escape(row.label)}</text>'
            f'{whisker}<circle class="dot" cx="{px(row.value):.1f}" cy="{y:g}" r="5"/>'
            f'<text class="value" x="{left + room + 10:g}" y="{y + 4:g}">{text}</text>'
        )
    return svg(WIDTH, height, title, marks)


def svg(width: float, height: float, title: str, marks: Sequence[str]) -> Markup:
    """A drawing of ``marks``, which are escaped already; ``title`` is for screen readers."""
    label, drawn = escape(title), "".join(marks)
    svg = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">{drawn}</svg>'
    return Markup(svg)  # noqa: S704 - every text in it has been escaped


def ticks_to(highest: float) -> tuple[float, list[float]]:
    """A round upper end of an axis from 0, and three to five ticks."""
    if highest <= 0:
        return 1.0, [0.0, 1.0]
    power = 10.0 ** (len(str(int(highest))) - 1)
    step = next(s * power for s in (0.2, 0.25, 0.5, 1.0, 2.0, 2.5) if highest <= 4 * s * power)
    count = int(-(-highest // step))
    return count * step, [step * place for place in range(count + 1)]


def runs(points: Sequence[tuple[Time, float | None]]) -> list[list[tuple[Time, float]]]:
    """The stretches between gaps."""
    found: list[list[tuple[Time, float]]] = [[]]
    for day, value in points:
        if value is None:
            found.append([])
        else:
            found[-1].append((day, value))
    return [run for run in found if run]


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
