"""Gold is the same on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.engine.launch import Engine
from tests.unit.dbt.city import a_city
from tests.unit.dbt.silver_rows import EARLIER, SILVER


@pytest.mark.slow
@pytest.mark.spark
def test_gold_is_the_same_on_sail_and_spark(
    sail_engine: Engine, spark_engine: Engine, tmp_path: Path
) -> None:
    """Built with all tests and unit tests, and built again after a change."""
    tables = {}
    for engine in (sail_engine, spark_engine):
        with a_city(engine, tmp_path / engine.remote.rpartition(":")[2]) as city:
            city.put(EARLIER, **SILVER)
            city.build(unit_tests=True)
            city.put(EARLIER, observation=SILVER["observation"][1:], patient=SILVER["patient"][:1])
            result = city.build("resource_type:model")
            tables[engine] = {name: city.rows(name.removeprefix("gold.")) for name in result.versions}
    assert tables[sail_engine] == tables[spark_engine]
    assert all(tables[sail_engine].values())
