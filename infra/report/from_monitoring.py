"""What the City report tells of monitoring: the figures of ``quality.monitoring``, as they were measured last."""

from __future__ import annotations

from collections.abc import Mapping

from infra.report.from_mining import Rows
from infra.report.model import Monitored

TABLE = "quality.monitoring"
ALL = "all"
"""Subject of a figure that is of no feature and no group."""
_MONITORED = f"""
select day, kind, target, subject, metric, value, line, is_crossed, n
from (
    select
        *,
        row_number() over (
            partition by day, kind, target, subject, metric
            order by as_of desc, case when line is null then 1 else 0 end, cast(model_version as int) desc
        ) as place
    from {TABLE}
)
where place = 1 and value is not null
order by target, kind, metric, subject, day
"""  # noqa: S608


def monitored(rows: Rows, versions: Mapping[str, int]) -> tuple[Monitored, ...] | None:
    """Every figure's last measurement for each day, by target, kind, metric, subject and day: of several versions that
    of the one that has a line, the champion; None where the table is not published."""
    if TABLE not in versions:
        return None
    return tuple(
        Monitored(
            day=r["day"],
            kind=r["kind"],
            target=r["target"],
            subject=None if r["subject"] in (None, ALL, r["target"]) else r["subject"],
            metric=r["metric"],
            value=r["value"],
            line=r["line"],
            is_crossed=bool(r["is_crossed"]),
            n=r["n"] or 0,
        )
        for r in rows(_MONITORED, TABLE)
        if r["value"] == r["value"]
    )
