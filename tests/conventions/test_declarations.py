"""Declarations, shapes, transforms and tables hold together; each layer imports only what it may."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from jobs.lake import bronze, catalog, engine, tables
from jobs.lake.load.staging import transforms
from jobs.lake.reader import Reading
from jobs.settings import PROJECT_DIR
from jobs.silver import fhir, hl7v2
from jobs.sources import RECORD_COLUMNS, load_all
from tests.support.exports import one_of_each
from tests.support.lake import TestLake, instant

ALLOWED = {
    "jobs": {"jobs", "expectations"},
    "expectations": {"expectations", "jobs"},
    "ml": {"ml", "jobs"},
    "infra": {"infra", "jobs", "ml", "expectations"},
    "dags": {"common", "jobs", "ml"},
}
OURS = {"jobs", "ml", "infra", "expectations", "dags", "tests", "common"}
NOW = instant("2026-01-01")
ENGINES = {"dags": {"pyspark", "deltalake", "delta"}}


def imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_layers(package: str) -> None:
    for file in (PROJECT_DIR / package).rglob("*.py"):
        found = imports(file)
        assert found & OURS <= ALLOWED[package], file
        assert "airflow" not in found or package == "dags", file
        assert not found & ENGINES.get(package, set()), file


def test_the_simulator_knows_nothing_of_the_jobs() -> None:
    for file in (PROJECT_DIR / "infra" / "city").rglob("*.py"):
        used = set(re.findall(r"^\s*(?:from|import) (jobs\.[a-z_.]+)", file.read_text(), re.MULTILINE))
        assert used <= {"jobs.settings", "jobs.errors", "jobs.private_files"}, file


def test_every_declared_table_has_a_shape() -> None:
    for source in load_all().values():
        for entity, table in source.tables.items():
            shapes = {"fhir": fhir.SHAPES, "hl7v2": hl7v2.SHAPES}.get(table.shape)
            assert shapes is None or table.resource in shapes
            assert table.key == f"{entity}_key"


def test_bronze_has_the_declared_columns(lake: TestLake) -> None:
    facts = bronze.BatchFacts("a", "a.1", NOW, NOW, is_first_load=True, key_id="k", monthly_since=2024)
    reading = Reading("a", "", "", "", 0, ())
    with engine.session() as spark:
        for source in load_all().values():
            of_source = transforms(source.name)
            for entity, declared in source.tables.items():
                rows = bronze.staged(spark, [], reading, facts, entity, declared, of_source[entity])
                columns = {f.name: f.dataType.simpleString() for f in rows.schema}
                expected = {declared.key: "string"} | {
                    name: c.type for name, c in {**RECORD_COLUMNS, **declared.columns}.items()
                }
                assert columns.keys() - {"rule", "reason"} == expected.keys(), (source.name, entity)
                assert {name: columns[name] for name in expected} == expected, (source.name, entity)


def test_silver_leaves_out_the_delivery(lake: TestLake) -> None:
    lake.ingest("hospital_north", one_of_each(instant("2026-01-01")))
    for entity, declared in load_all()["hospital"].tables.items():
        expected = {declared.key, *RECORD_COLUMNS, *declared.columns} - set(catalog.PROVENANCE)
        assert set(tables.columns(f"silver.hospital__{entity}").names) == expected


def test_every_source_has_its_transforms_and_its_test() -> None:
    """A source is three files: its YAML, its transforms, its test."""
    for source in load_all().values():
        assert set(transforms(source.name)) == set(source.tables)
        test = PROJECT_DIR / "tests" / "unit" / "silver" / f"test_{source.name}.py"
        assert test.exists() or source.name == "hospital", f"{source.name} has no test"


def test_no_host_of_a_registry_and_no_absolute_path_in_the_lock() -> None:
    text = (PROJECT_DIR / "requirements.lock").read_text()
    assert "://" not in text
    assert not re.search(r"(^|\s)/\w", text)
