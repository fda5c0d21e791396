"""The dbt project says what it must: sources as declared, grains, descriptions, types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import gold

MARTS = sorted((gold.PROJECT / "models" / "marts").glob("*.sql"))


def described(sql: Path) -> dict[str, Any]:
    beside = sql.with_name(f"{sql.stem.removesuffix('_superseded')}.yml")
    (model,) = (m for m in yaml.safe_load(beside.read_text())["models"] if m["name"] == sql.stem)
    return dict(model)


def test_sources_are_the_declared_silver_tables() -> None:
    assert gold.SOURCES_FILE.read_text() == gold.sources_yaml(), "run: python -m jobs.gold"


@pytest.mark.parametrize("sql", MARTS, ids=lambda path: path.stem)
def test_a_published_table_states_its_grain_and_describes_every_column(sql: Path) -> None:
    model = described(sql)
    assert model["description"].startswith("One row per ")
    for column in model["columns"]:
        assert column["description"].strip(), column["name"]
        assert column["data_type"] in ("string", "int", "bigint", "double", "boolean", "timestamp", "date"), (
            column["name"]
        )
        assert "constraints" not in column, "Sail cannot alter a table: write a test instead"


@pytest.mark.parametrize("sql", MARTS, ids=lambda path: path.stem)
def test_names_say_what_a_column_holds(sql: Path) -> None:
    for column in described(sql)["columns"]:
        kind = column["data_type"]
        name = column["name"]
        assert (kind == "timestamp") == (name.endswith("_at") or name == "known_from"), name
        assert (kind == "boolean") == (name.startswith(("is_", "has_")) or name == "value_boolean"), name
        assert (kind == "date") == (name == "date" or name.endswith("_date")), name
