"""``citywell tune``."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def tune(
    question: Annotated[str, typer.Argument(help="A question, such as readmission_30d.")],
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Longest time: half for the search, half to judge such a search.")
    ] = 30,
    trials: Annotated[int, typer.Option(min=1, help="Most settings that one search tries.")] = 60,
    family: Annotated[
        list[str] | None, typer.Option(help="A model family to search; may be repeated. By default all.")
    ] = None,
) -> None:
    """Search families and settings for a better model of a question, within a budget.

    It is trained on the features built last, tested once, and goes through the same gate as any other. What wins is
    what scheduled trainings fit again from then on.

    Example: citywell tune readmission_30d --minutes 20 --trials 80 --family logistic --family lightgbm
    """
    from ml import models
    from ml.risk import retune
    from ml.tuning import Budget

    result = retune.retune(question, Budget(minutes, trials), tuple(family or models.FAMILIES))
    typer.echo(json.dumps(result, indent=1))
