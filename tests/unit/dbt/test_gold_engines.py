"""Gold is the same on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.engine.launch import Engine
from tests.unit.dbt.city import a_city
from tests.unit.dbt.messenger_rows import EVERYTHING, EVERYTHING_EARLIER
from tests.unit.dbt.pharmacy_rows import PHARMACY, RETIRED
from tests.unit.dbt.silver_rows import EARLIER, HARMONISED, SILVER
from tests.unit.dbt.surroundings_rows import SURROUNDINGS


@pytest.mark.slow
@pytest.mark.spark
def test_gold_is_the_same_on_sail_and_spark(
    sail_engine: Engine, spark_engine: Engine, tmp_path: Path
) -> None:
    """Built with all tests and unit tests, and built again after a change."""
    tables = {}
    parts = (SILVER, HARMONISED, EVERYTHING)
    rows = {name: [row for part in parts for row in part.get(name, [])] for name in {**SILVER, **EVERYTHING}}
    earlier = {
        name: [*EARLIER.get(name, []), *EVERYTHING_EARLIER.get(name, [])]
        for name in {**EARLIER, **EVERYTHING_EARLIER}
    }
    for engine in (sail_engine, spark_engine):
        with a_city(engine, tmp_path / engine.remote.rpartition(":")[2]) as city:
            city.put({**earlier, **RETIRED}, **rows, **SURROUNDINGS, **PHARMACY)
            city.build(unit_tests=True)
            city.put(
                earlier,
                observation=rows["observation"][1:],
                patient=rows["patient"][:-1],
                pharmacy__dispense=PHARMACY["pharmacy__dispense"][1:],
            )
            result = city.build_models()
            named = [name.partition(".")[::2] for name in result.versions]
            tables[engine] = {model: city.rows(model, schema=schema) for schema, model in named}
    assert tables[sail_engine] == tables[spark_engine]
    assert all(tables[sail_engine].values())
