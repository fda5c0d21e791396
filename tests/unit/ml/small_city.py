"""Gold tables of a made-up hospital where heart failure and a low sodium bring people back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from jobs.lake import catalog, engine, tables
from ml.features.facts import GOLD, SUPERSEDED
from tests.unit.ml import gold

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def city(people: int, seed: int = 0) -> dict[str, list[gold.Row]]:
    """Two years of a hospital with so many patients."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[gold.Row]] = {"persons": [], "encounters": [], "conditions": [], "measurements": []}
    for number in range(people):
        who, is_failing = f"p{number}", bool(rng.random() < 0.4)
        found["persons"].append(gold.person(who, born=int(rng.integers(1930, 1990))))
        day, stay = float(rng.uniform(0, 600)), 0
        while day < 728:
            start, end = FIRST + timedelta(days=day), FIRST + timedelta(days=day + 3)
            is_low = bool(rng.random() < 0.3)
            key = f"{who}-{stay}"
            found["encounters"].append(
                gold.encounter(
                    key=key, person=who, **{"from": _text(start), "to": _text(end)}, went_to="home"
                )
            )
            found["measurements"].append(
                gold.measurement(f"m{key}", who, "2951-2", 128.0 if is_low else 140.0, "mmol/L", _text(start))
            )
            if is_failing and not stay:
                found["conditions"].append(gold.condition(f"c{key}", who, "I50.9", _text(start)))
            is_back = rng.random() < 0.04 + 0.3 * is_failing + 0.2 * is_low
            day, stay = day + 3 + float(rng.uniform(2, 25) if is_back else rng.uniform(60, 500)), stay + 1
    found["encounters"].append(
        gold.encounter(
            key="last", person="p0", **{"from": "2025-12-31", "to": "2025-12-31T20:00"}, class_code="AMB"
        )
    )
    return found


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="minutes")


def publish(rows: dict[str, list[gold.Row]], superseded: Sequence[gold.Row] = ()) -> None:
    """Write gold tables as dbt would, and publish them. Of every encounter there is a version from when it went on;
    ``superseded``: further versions."""
    with engine.session() as spark:
        facts = gold.facts(spark, **rows)
        frames = (
            facts.person,
            facts.encounter,
            facts.condition,
            facts.measurement,
            facts.medication_request,
            facts.lifestyle_daily,
        )
        written = dict(zip(GOLD, frames, strict=True))
        written[SUPERSEDED["gold.fct_encounter"]] = gold.encounter_versions(
            spark, [*map(_going_on, rows["encounters"]), *superseded]
        )
        versions = {
            table: tables.replace_slice(spark, table, frame.selectExpr("*", "1 as part"), {"part": 1})
            for table, frame in written.items()
        }
    catalog.publish("gold", "test", versions)


def _going_on(row: gold.Row) -> gold.Row:
    unfinished = {"status": "in-progress", "ended_at": None, "ended_precision": None}
    return {**row, **unfinished, "usable_at": row["started_at"], "superseded_at": row["usable_at"]}
