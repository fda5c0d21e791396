"""The model card of a family's forecasts: what they are for, from what, how good, and where they end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ml.forecast.backtest import Backtest
from ml.forecast.families import Family
from ml.forecast.models import NAIVE
from ml.forecast.panel import Panel

_STEPS = {"hour": "hours", "day": "days", "week": "weeks"}


def card(
    family: Family, panel: Panel, result: Backtest, as_of: datetime, data_versions: Mapping[str, int]
) -> str:
    """Markdown. No value of a series."""
    rhythm, steps = panel.rhythm, _STEPS[panel.grain]
    compared = "\n".join(
        f"| {score.naive if kind == NAIVE else kind} | {score.mase} | {score.against_naive} | {score.coverage} |"
        for kind, score in result.compared.items()
    )
    levels = ", ".join(f"{panel.levels.count(level)} {level}" for level in dict.fromkeys(panel.levels))
    inputs = ", ".join(f"{table} v{version}" for table, version in sorted(data_versions.items()))
    test = result.test
    return f"""# {family.title}

Intended use: planning of beds, staff and supplies up to {rhythm.horizon} {steps} ahead. Counted: {family.counts}.
Not for: decisions about a person.

Data: {len(panel.starts)} {steps} up to {panel.starts[-1]}, as known at {as_of:%Y-%m-%d %H:%M} UTC; series: {levels}.
Tables: {inputs}.

Model: {result.chosen}, chosen by rolling origin over {len(result.origins.compare)} origins; coherent from the bottom to
the city (MinT); quantiles conformal from {len(result.origins.all)} origins, each forecast by a model of its time.

| compared | MASE | error by that of {test.naive} | covered by 90 % intervals |
|---|---|---|---|
{compared}

Test, on {len(result.origins.test)} later origins and {test.targets} targets, touched once: MASE {test.mase}; error by
that of {test.naive}: {test.against_naive}; covered {test.coverage}, strictly inside {test.inside}; pinball
{test.pinball}.

Limits: a new hospital or pharmacy has no history; what has not happened in the past, such as a closure or an epidemic,
is not foreseen; counts near 0 have no interval that covers 90 % exactly; p50s of parts do not add up, expected values
do.
"""
