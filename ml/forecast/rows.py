"""From a forecaster and a panel to rows of ``scores.forecast``, and from those and what came to figures of them.

Grain of ``scores.forecast``: series, issue and target, and ``batch_id``; append-only. ``issued_at``: when the batch was
made, by the wall clock; of an issue that was repeated the last batch counts
(:func:`jobs.writeback.forecasts.newest_batches`). ``series`` is the path from the top, parts separated by ``|``: a
hospital's or pharmacy's is its ``facility_key``, a district's its code; ``city`` is the sum of all. ``target_at``:
start of the hour; of days and weeks the midnight of ``target_date`` in the time zone by whose days the family is
counted (:func:`day_zone`). ``horizon``: periods from the last complete one to the target. ``expected`` adds up over
parts; quantiles do not. ``scale``: mean absolute error of the seasonal naive forecast within the series' history, the
unit of MASE; null where it is 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from statistics import mode

import numpy as np
import pandas as pd
import pyarrow as pa

from jobs.sources import load
from ml.forecast.backtest import Forecaster, naive_scale, pinball
from ml.forecast.conformal import QUANTILES
from ml.forecast.families import DERIVED, FAMILIES, Derived
from ml.forecast.panel import STEP, Grain, Panel
from ml.registry import Version

DIGITS = 4
_INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("family", pa.string()),
        ("series", pa.string()),
        ("level", pa.string()),
        ("grain", pa.string()),
        ("issue_at", _INSTANT),
        ("target_at", _INSTANT),
        ("target_date", pa.date32()),
        ("horizon", pa.int32()),
        ("expected", pa.float64()),
        ("p05", pa.float64()),
        ("p10", pa.float64()),
        ("p50", pa.float64()),
        ("p90", pa.float64()),
        ("p95", pa.float64()),
        ("scale", pa.float64()),
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("data_versions", pa.string()),
        ("issued_at", _INSTANT),
    ]
)
_SQL_TYPES = {
    pa.string(): "string",
    _INSTANT: "timestamp",
    pa.float64(): "double",
    pa.int32(): "int",
    pa.date32(): "date",
}
COLUMNS = ", ".join(f"{field.name} {_SQL_TYPES[field.type]}" for field in SCHEMA)
"""SCHEMA in SQL."""
MONITORED = pa.schema(
    [
        ("model", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("day", pa.date32()),
        ("n", pa.int64()),
    ]
)
"""``model``: of forecasts, by family. ``metric``: mae and mase (of p50), coverage_90 (share from p05 to p95), inside_90
(share strictly between them) or pinball (mean of the five quantiles, in units of ``scale``). ``day``: of the targets.
``n``: targets, each issue's counted."""
_VALUES = ("expected", "p05", "p10", "p50", "p90", "p95", "scale")


def day_zone(family: str) -> str:
    """The time zone by whose days a family, or one derived from it, is counted: that of its tellers, of most of them
    where they differ."""
    counted = DERIVED[family].of if family in DERIVED else family
    tellers = load(FAMILIES[counted].tellers).endpoints.values()
    return mode(endpoint.time_zone for endpoint in tellers)


def issued(
    panel: Panel,
    forecaster: Forecaster,
    as_of: datetime,
    version: Version,
    data_versions: Mapping[str, int],
    *,
    issued_at: datetime,
) -> pa.Table:
    """Rows of ``scores.forecast`` in SCHEMA: of the periods not over at ``as_of``, for the family and what is derived
    from it."""
    origin = np.array([len(panel.starts) - 1])
    expected = forecaster.expected(panel, origin)
    quantiles = forecaster.quantiles(panel, expected)
    starts = panel.target_starts(origin)[0]
    zone = day_zone(panel.family)
    target_at = instants(starts, panel.grain, zone)
    is_ahead = instants(starts + STEP[panel.grain], panel.grain, zone) > pd.Timestamp(as_of)
    series, steps = len(panel.names), len(starts)
    frame = pd.DataFrame(
        {
            "family": panel.family,
            "series": np.repeat(panel.names, steps),
            "level": np.repeat(panel.levels, steps),
            "grain": panel.grain,
            "issue_at": pd.Timestamp(as_of),
            "target_at": np.tile(target_at, series),
            "target_date": np.tile(starts.astype("datetime64[D]"), series),
            "horizon": np.tile(np.arange(1, steps + 1, dtype=np.int32), series),
            "expected": expected[:, 0].ravel(),
            **{
                name: values.ravel()
                for name, values in zip(("p05", "p10", "p50", "p90", "p95"), quantiles[:, :, 0], strict=True)
            },
            "scale": np.repeat(naive_scale(panel, len(panel.starts)), steps),
            "model_name": version.name,
            "model_version": version.number,
            "data_versions": json.dumps(dict(data_versions), sort_keys=True),
            "issued_at": pd.Timestamp(issued_at),
        }
    )[np.tile(is_ahead, series)]
    derived = [_derived(frame, rule) for rule in DERIVED.values() if rule.of == panel.family]
    whole = pd.concat([frame, *derived], ignore_index=True)
    whole = whole.assign(**{name: whole[name].round(DIGITS) for name in _VALUES})
    return pa.Table.from_pandas(whole, schema=SCHEMA, preserve_index=False)


def _derived(frame: pd.DataFrame, rule: Derived) -> pd.DataFrame:
    return frame.assign(family=rule.name, **{name: frame[name] * rule.factor for name in _VALUES})


def instants(starts: np.ndarray, grain: Grain, zone: str) -> pd.DatetimeIndex:
    """UTC instants of starts of periods: midnights of the time zone, or hours, which are UTC already."""
    naive = pd.DatetimeIndex(starts)
    if grain == "hour":
        return naive.tz_localize("UTC")
    ambiguous = np.ones(len(naive), dtype=bool)
    return naive.tz_localize(zone, nonexistent="shift_forward", ambiguous=ambiguous).tz_convert("UTC")


def foretold(forecasts: pa.Table, learnt_until: Mapping[tuple[str, str], datetime]) -> pa.Table:
    """The rows of ``scores.forecast`` whose model knew nothing later than their issue.

    learnt_until: by name and number of a model's version, the instant it was trained for; rows of others are left out.
    """
    made_by = zip(*(forecasts[name].to_pylist() for name in ("model_name", "model_version")), strict=True)
    is_foretold = [
        version in learnt_until and learnt_until[version] <= issue_at
        for version, issue_at in zip(made_by, forecasts["issue_at"].to_pylist(), strict=True)
    ]
    return forecasts.filter(pa.array(is_foretold, pa.bool_()))


def scored(forecasts: pa.Table, panel: Panel) -> pa.Table:
    """Figures in MONITORED of the forecasts (rows of ``scores.forecast``) of a panel's family, and of what is derived
    from it, whose targets have come; others are left out. forecasts: one batch of each issue."""
    factors = {panel.family: 1.0} | {r.name: r.factor for r in DERIVED.values() if r.of == panel.family}
    frame = forecasts.to_pandas()
    frame = frame[frame["family"].isin(list(factors))]
    starts = instants(panel.starts, panel.grain, day_zone(panel.family))
    came = pd.DataFrame(panel.values, index=list(panel.names), columns=starts).stack()
    keys = pd.MultiIndex.from_arrays([frame["series"], pd.DatetimeIndex(frame["target_at"])])
    actual = came.reindex(keys).to_numpy() * frame["family"].map(factors).to_numpy(dtype=float)
    frame = frame.assign(actual=actual)[~np.isnan(actual)]
    actual = frame["actual"].to_numpy()
    quantiles = frame[["p05", "p10", "p50", "p90", "p95"]].to_numpy().T
    scale = frame["scale"].to_numpy(dtype=float)
    error = np.abs(actual - quantiles[QUANTILES.index(0.5)])
    figures = {
        "mae": error,
        "mase": error / scale,
        "coverage_90": ((actual >= quantiles[0]) & (actual <= quantiles[-1])).astype(float),
        "inside_90": ((actual > quantiles[0]) & (actual < quantiles[-1])).astype(float),
        "pinball": pinball(quantiles, actual) / scale,
    }
    found = [
        frame.assign(metric=metric, value=value)[["family", "target_date", "metric", "value"]]
        for metric, value in figures.items()
    ]
    told = pd.concat(found).dropna(subset=["value"])
    by_day = told.groupby(["family", "metric", "target_date"])["value"].agg(["mean", "size"]).reset_index()
    return pa.table(
        {
            "model": pa.array("forecast_" + by_day["family"].astype(str), pa.string()),
            "metric": pa.array(by_day["metric"], pa.string()),
            "value": pa.array(by_day["mean"], pa.float64()),
            "day": pa.array(by_day["target_date"], pa.date32()),
            "n": pa.array(by_day["size"], pa.int64()),
        },
        schema=MONITORED,
    )
