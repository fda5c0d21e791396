"""The forecasting models in use, by the test that each was given before it came into use (``ml.forecast.backtest``).

Forecasts are of what the city will do, which no answer key has to tell: what came is the truth. Judged are each
family's MASE; its error by that of the seasonal naive forecast of the same targets, as far ahead (the relative MASE of
the M4 competition: Makridakis, Spiliotis and Assimakopoulos 2020, International Journal of Forecasting 36:54); and what
its 90 % intervals cover, as the gate does (``ml.forecast.gate``). A small city's counts are few and its test is short:
a figure is short when its 95 % interval lies beyond the line. `python -m tests.bench city` judges the figures
themselves, on a city of 20,000 people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.evaluate.figures import Line, is_published, told
from ml import registry
from ml.forecast import store
from ml.forecast.families import FAMILIES
from ml.forecast.gate import LEAST_COVERAGE, MOST_COVERAGE
from ml.forecast.pipeline import FORECASTS

MOST_ERROR = 0.8


def figures() -> Iterator[Line]:
    """Nothing before forecasts have been issued."""
    if not is_published(FORECASTS):
        return
    champions = {name: registry.champion(store.model_name(name)) for name in FAMILIES}
    in_use = {name: version.tags for name, version in champions.items() if version is not None}
    yield told("forecast_families_in_use", len(in_use), "families", len(FAMILIES))
    for name, tags in in_use.items():
        yield from lines(name, tags)


def lines(family: str, tags: Mapping[str, str]) -> Iterator[Line]:
    """Of one family, from the tags of its model (``ml.forecast.gate.tags``). Between the shares within and strictly
    inside an interval lies the coverage of counts: the first must reach up to the least, the second down to the most.
    """
    targets = int(tags["test_targets"])
    for name, of in (("mase", "mase"), ("error_by_naive", "against_naive")):
        error, low, high = _figure(tags, of)
        yield Line(
            f"forecast_{family}_{name}",
            error,
            f"ratio({low:.3f}..{high:.3f})",
            f"low<={MOST_ERROR:g}",
            low <= MOST_ERROR,
            targets,
        )
    covered, low, high = _figure(tags, "coverage")
    inside, inside_low, _ = _figure(tags, "inside")
    yield Line(
        f"forecast_{family}_coverage",
        covered,
        f"share({low:.3f}..{high:.3f})",
        f"{LEAST_COVERAGE:g}..{MOST_COVERAGE:g}",
        high >= LEAST_COVERAGE and inside_low <= MOST_COVERAGE,
        targets,
    )
    yield told(f"forecast_{family}_strictly_inside", inside, "share", targets)


def _figure(tags: Mapping[str, str], name: str) -> tuple[float, float, float]:
    """Value, and the ends of its 95 % interval."""
    value, low, high = (float(tags[f"test_{name}{end}"]) for end in ("", "_low", "_high"))
    return value, low, high
