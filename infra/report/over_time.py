"""Charts over time as inline SVG: forecasts with what went before, alarms by place, a figure and its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from html import escape

from markupsafe import Markup

from infra.report.charts import WIDTH, runs, svg, ticks_to

_LEFT, _TOP, _BOTTOM, _RIGHT = 52.0, 10.0, 26.0, 8.0


@dataclass(frozen=True)
class Fan:
    """What is to be expected at ``at``: the middle, and the ends of the 80 % and the 90 % interval."""

    at: datetime
    p05: float
    p10: float
    p50: float
    p90: float
    p95: float


@dataclass(frozen=True)
class Mark:
    """Something that happened on a day in a row of a timeline."""

    row: str
    day: date
    tip: str


def fan(
    past: Sequence[tuple[datetime, float | None]],
    ahead: Sequence[Fan],
    title: str,
    *,
    with_hours: bool = False,
    height: float = 230,
) -> Markup:
    """What was counted as a line with dots, what is to be expected as bands and their middle, from zero up.

    with_hours: times are told with their hour and its time zone.
    """
    times = [*(at for at, _ in past), *(point.at for point in ahead)]
    first, span = min(times), max(max(times) - min(times), timedelta(hours=1))
    highest = max([*(value for _, value in past if value is not None), *(point.p95 for point in ahead)])
    ceiling, marks_at = ticks_to(highest)
    scale = (height - _TOP - _BOTTOM) / ceiling

    def px(at: datetime) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * ((at - first) / span)

    def py(value: float) -> float:
        return height - _BOTTOM - value * scale

    marks = _grid(marks_at, py)
    every = -(-len(times) // 10)
    marks += [
        f'<text class="tick" x="{px(at):.1f}" y="{height - 6:g}" text-anchor="middle">'
        f"{at:{'%-d %b %H:00' if with_hours else '%-d %b'}}</text>"
        for at in times[::every]
    ]
    if with_hours:
        marks.append(
            f'<text class="axis" x="{WIDTH - _RIGHT:g}" y="{_TOP + 11:g}" text-anchor="end">'
            f"hours of {escape(f'{first:%Z}')}</text>"
        )
    begins = px(ahead[0].at)
    marks.append(
        f'<line class="diagonal" x1="{begins:.1f}" x2="{begins:.1f}" y1="{_TOP:g}" y2="{height - _BOTTOM:g}"/>'
    )
    for name, low, high in (("wide", "p05", "p95"), ("narrow", "p10", "p90")):
        edge = [(px(f.at), py(getattr(f, high))) for f in ahead]
        edge += [(px(f.at), py(getattr(f, low))) for f in reversed(ahead)]
        marks.append(f'<polygon class="band-{name}" points="{_points(edge)}"/>')
    middle = [(px(f.at), py(f.p50)) for f in ahead]
    marks.append(f'<polyline class="curve" points="{_points(middle)}"/>')
    for run in runs(past):
        marks.append(
            f'<polyline class="curve counted" points="{_points([(px(at), py(v)) for at, v in run])}"/>'
        )
    marks += [
        f'<circle class="counted-dot" cx="{px(at):.1f}" cy="{py(value):.1f}" r="2.6">'
        f"<title>{at:{'%-d %B %Y, %H:00 %Z' if with_hours else '%-d %B %Y'}}: {value:,.0f}</title></circle>"
        for at, value in past
        if value is not None
    ]
    return svg(WIDTH, height, title, marks)


def timeline(rows: Sequence[str], first: date, last: date, marks: Sequence[Mark], title: str) -> Markup:
    """A row per name with a bar for each day something happened."""
    left, step = 190.0, 24.0
    room, days = WIDTH - left - _RIGHT, max((last - first).days, 1)
    wide = max(room / days, 3.0)
    height = step * len(rows) + _BOTTOM
    place = {name: number for number, name in enumerate(rows)}
    drawn = []
    for name, number in place.items():
        y = number * step + step / 2
        drawn.append(
            f'<text class="label" x="{left - 12:g}" y="{y + 4:g}" text-anchor="end">{escape(name)}</text>'
            f'<line class="grid" x1="{left:g}" x2="{WIDTH - _RIGHT:g}" y1="{y:g}" y2="{y:g}"/>'
        )
    for mark in marks:
        x = left + (room - wide) * (mark.day - first).days / days
        drawn.append(
            f'<rect class="quarantined" x="{x:.1f}" y="{place[mark.row] * step + 4:g}" width="{wide:.1f}" '
            f'height="{step - 8:g}" rx="1"><title>{escape(mark.tip)}</title></rect>'
        )
    for number in range(7):
        day = first + timedelta(days=round(days * number / 6))
        x = left + (room - wide) * (day - first).days / days
        anchor = "end" if number == 6 else "middle"
        drawn.append(
            f'<text class="tick" x="{x:.1f}" y="{height - 6:g}" text-anchor="{anchor}">{day:%-d %b %Y}</text>'
        )
    return svg(WIDTH, height, title, drawn)


def figure(
    points: Sequence[tuple[date, float, str]], line: float | None, title: str, height: float = 150
) -> Markup:
    """A figure by day, (day, value, tooltip), with the line it should not cross dashed."""
    values = [value for _, value, _ in points] + ([line] if line is not None else [])
    low, high = _axis(min(values), max(values))
    scale = (height - _TOP - _BOTTOM) / (high - low)
    first, span = points[0][0], max((points[-1][0] - points[0][0]).days, 1)

    def px(day: date) -> float:
        return _LEFT + 8 + (WIDTH - _LEFT - _RIGHT - 16) * (day - first).days / span

    def py(value: float) -> float:
        return height - _BOTTOM - (value - low) * scale

    marks = _grid([low + (high - low) * part / 4 for part in range(5)], py)
    if line is not None:
        marks.append(
            f'<line class="limit" x1="{_LEFT:g}" x2="{WIDTH:g}" y1="{py(line):.1f}" y2="{py(line):.1f}"/>'
        )
    marks.append(
        f'<polyline class="curve" points="{_points([(px(day), py(value)) for day, value, _ in points])}"/>'
    )
    marks += [
        f'<circle class="dot" cx="{px(day):.1f}" cy="{py(value):.1f}" r="3.5"><title>{escape(tip)}</title></circle>'
        for day, value, tip in points
    ]
    every = -(-len(points) // 8)
    marks += [
        f'<text class="tick" x="{px(day):.1f}" y="{height - 6:g}" text-anchor="middle">{day:%-d %b %y}</text>'
        for day, _, _ in points[::every]
    ]
    return svg(WIDTH, height, title, marks)


def _axis(lowest: float, highest: float) -> tuple[float, float]:
    """Ends of an axis, from zero unless all values are far from it and close to each other."""
    if 0 <= lowest <= highest / 2 or highest == 0:
        return 0.0, 1.1 * highest or 1.0
    margin = 0.2 * (highest - lowest) or 0.1 * abs(highest)
    return lowest - margin, highest + margin


def _grid(marks_at: Sequence[float], py: Callable[[float], float]) -> list[str]:
    return [
        f'<line class="grid" x1="{_LEFT:g}" x2="{WIDTH:g}" y1="{py(t):.1f}" y2="{py(t):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6:g}" y="{py(t) + 4:.1f}" text-anchor="end">{t:.3g}</text>'
        for t in marks_at
    ]


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
