"""The only way for forecasts to be issued: a gate in code that says, in words, why it lets a model pass or not.

A model passes when, on the origins of its test,

* its error is below that of the naive forecast of the same targets beyond noise: the upper end of the ratio's interval
  is below 1;
* its 90 % intervals cover between LEAST_COVERAGE and MOST_COVERAGE of what came, within noise: the interval of the
  coverage reaches up to the least, and that of the share strictly inside down to the most. Where most counts are 0 or 1
  no interval covers 90 % exactly: one that is right has at most 90 % strictly inside and at least 90 % within. Between
  the two lies what randomised probability integral transforms of counts would cover (Czado, Gneiting and Held 2009,
  Biometrics 65:1254);

and, where there is a champion, is not clearly worse than that one was in its own test: its MASE's interval does not lie
above the champion's MASE by more than MOST_WORSE. Both are relative to the naive forecast, which makes tests of
different seasons comparable. A model that is not worse takes over: it has learnt from newer data.
"""

from __future__ import annotations

from collections.abc import Mapping

from ml.forecast.backtest import Score
from ml.gate import Decision
from ml.metrics import Estimate

LEAST_COVERAGE, MOST_COVERAGE = 0.87, 0.93
TOLD = ("against_naive", "mase", "coverage", "inside")
MOST_WORSE = 0.05


def judge(
    test: Score, champion: str | None = None, champion_tags: Mapping[str, str] | None = None
) -> Decision:
    """Decide from the test alone. champion: number of the present one, None without. champion_tags: MLflow's, of
    :func:`tags`."""
    failures = floor_failures(test)
    if failures:
        return Decision(False, failures, champion)
    if champion is None:
        return Decision(True, ("There was no champion, and the model meets the floors.",))
    before = float((champion_tags or {}).get("test_against_naive", "inf"))
    ratio = f"{test.against_naive} of the error of {test.naive}, where version {champion} had {before:.3f}"
    if test.against_naive.low > before + MOST_WORSE:
        return Decision(False, (f"It is clearly worse than version {champion} was: {ratio}.",), champion)
    return Decision(True, (f"It meets the floors on newer data and is not worse: {ratio}.",), champion)


def floor_failures(test: Score) -> tuple[str, ...]:
    """What keeps a model from being used at all; empty when nothing does."""
    failures = []
    if not test.against_naive.high < 1:
        failures.append(
            f"It may be no better than {test.naive}: its error is "
            f"{test.against_naive} of that one's, and the upper end must be below 1."
        )
    if test.coverage.high < LEAST_COVERAGE:
        failures.append(
            f"Its 90 % intervals are too narrow: they cover {test.coverage}, and at least {LEAST_COVERAGE} is asked."
        )
    if test.inside.low > MOST_COVERAGE:
        failures.append(
            f"Its 90 % intervals are too wide: {test.inside} lies inside, and at most {MOST_COVERAGE} is asked."
        )
    return tuple(failures)


def tags(test: Score) -> dict[str, str]:
    """What a later model is compared with, and a reader wants to see, for MLflow: all text."""
    told = {"test_targets": str(test.targets), "test_naive": test.naive}
    for name in TOLD:
        figure: Estimate = getattr(test, name)
        told |= {
            f"test_{name}": f"{figure.value:.4f}",
            f"test_{name}_low": f"{figure.low:.4f}",
            f"test_{name}_high": f"{figure.high:.4f}",
        }
    return told
