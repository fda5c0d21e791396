"""Builds the gold tables: runs the dbt project in this process, on the caller's Spark Connect session.

Flow: silver tables registered as ``silver.<table>`` -> dbt models and their tests -> Delta tables below
``<lake>/gold`` -> their versions, for the caller to publish.

dbt builds in a schema of its own (BUILD_SCHEMA), which is registered over the Delta directories and dropped
again, so ``gold.*`` of any session goes on showing what is published. A build that fails leaves versions that
nobody has published.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import deltalake
import yaml
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from jobs.errors import CitywellError
from jobs.harmonise import rulebook
from jobs.lake import catalog, engine, tables, timeline
from jobs.settings import PROJECT_DIR
from jobs.sources import RECORD_COLUMNS, reading

PROJECT = PROJECT_DIR / "dbt"
SOURCES_FILE = PROJECT / "models" / "staging" / "_silver__sources.yml"
SCHEMA = "gold"
BUILD_SCHEMA = "gold_build"

BRONZE, SILVER = "bronze", "silver"
REVISED = "_revised"
"""Ends the name of the view of an entity's versions that the models read: those of ``<entity>_history``, without the
records received once. Most are, and to sort the versions of all would cost more than to build gold.
"""
LINK = "person_link"
LINK_COLUMNS = {
    "patient_key": ("string", "Pseudonym of the patient; identifies the row."),
    "source": ("string", "Endpoint the patient is known at."),
    "person_key": ("string", "The person it is linked to."),
    "linked_at": ("timestamp", "When it was linked, UTC."),
}
"""Columns of the link table that the models read: type and meaning."""

QUALITY = "quality"
SCRATCH = "scratch"
"""Folder of the lake for what a build computes once and reads twice (dbt/macros/replace_changed_slices.sql)."""
RECEIVED = "_received"
"""Ends the name of the view that tells where each content of an entity's records stood: batch, file and line."""
_RECEIVED_COLUMNS = ("source", "content_hash", "known_from", "batch_id", "file", "line", "line_hash")

_SCHEMAS = {"marts": SCHEMA, QUALITY: QUALITY}
"""The folders of models that become published tables, and the schema of each."""
_LOGIC = (
    "dbt/dbt_project.yml",
    "dbt/models/**/*.sql",
    "dbt/macros/**/*.sql",
    "jobs/silver/**/*.py",
    "jobs/sources/*.yml",
    "jobs/harmonise/*",
)
_LOGIC_FILE = ".logic.sha256"
_SESSION_CONFIG = ("spark.sql.session.timeZone", "spark.sql.ansi.enabled")


@dataclass(frozen=True)
class NodeRun:
    """One model or test that dbt ran. failures: rows a test found; above zero at status ``warn``."""

    name: str
    status: str
    seconds: float
    failures: int = 0


@dataclass(frozen=True)
class GoldResult:
    """A build whose models and tests have all passed. versions: ``gold.<model>`` to its Delta version."""

    models: tuple[NodeRun, ...]
    tests: tuple[NodeRun, ...]
    versions: Mapping[str, int]

    @property
    def warnings(self) -> tuple[NodeRun, ...]:
        """Tests that found something to know about, such as references that point at nothing yet."""
        return tuple(test for test in self.tests if test.status == "warn")


def build(
    spark: SparkSession,
    *,
    lake_dir: Path,
    target_dir: Path,
    select: str | None = None,
    full_refresh: bool = False,
    unit_tests: bool = False,
    data_tests: bool = True,
) -> GoldResult:
    """Build and test the gold tables from the ``silver`` tables registered in ``spark``.

    lake_dir: the lake, with or without gold tables. target_dir: dbt's compiled files, manifest and log; kept
    between builds, it makes them faster. select: a dbt selector, by default everything. full_refresh: build
    incremental tables anew; implied when the SQL has changed since the last whole build. unit_tests: run dbt's unit
    tests too, each before its model. data_tests: run dbt's tests of what was built.

    Raises CitywellError naming the models and tests that failed. Nothing is published here either way.
    """
    run = _Dbt(spark, lake_dir, target_dir, parts="view" if unit_tests else "ephemeral")
    with run.connected():
        fingerprint = logic()
        options = [] if select is None else ["--select", select, "--indirect-selection", "buildable"]
        if full_refresh or _logic_seen(lake_dir) != fingerprint:
            options.append("--full-refresh")
        for kind, is_wanted in (("unit_test", unit_tests), ("test", data_tests)):
            options += [] if is_wanted else ["--exclude-resource-type", kind]
        result = _results(run.invoke("build", *options), target_dir, lake_dir)
        if select is None:
            remember_logic(lake_dir, fingerprint)
    return result


def remember_logic(lake_dir: Path, fingerprint: str) -> None:
    """Note that all gold tables there are in ``lake_dir`` were built by the SQL of ``fingerprint`` (:func:`logic`)."""
    (lake_dir / SCHEMA / _LOGIC_FILE).write_text(fingerprint)


def _logic_seen(lake_dir: Path) -> str | None:
    noted = lake_dir / SCHEMA / _LOGIC_FILE
    return noted.read_text() if noted.exists() else None


def document(spark: SparkSession, *, lake_dir: Path, target_dir: Path, page: Path) -> None:
    """Write dbt's documentation of sources, models, columns and lineage to ``page``, one HTML file.

    A page that says what this project's logic is already is left as it is.
    """
    fingerprint, seen = logic(), page.with_name(_LOGIC_FILE)
    if page.exists() and seen.exists() and seen.read_text() == fingerprint:
        return
    run = _Dbt(spark, lake_dir, target_dir)
    with run.connected():
        run.invoke("docs", "generate", "--static")
    page.parent.mkdir(parents=True, exist_ok=True)
    (target_dir / "static_index.html").replace(page)
    seen.write_text(fingerprint)


def sources_yaml() -> str:
    """What SOURCES_FILE must hold: the silver tables as dbt sources, derived from the source definitions."""
    declared = [
        {
            "name": name,
            "description": grain,
            "columns": [{"name": column, "description": text} for column, (_, text) in columns.items()],
        }
        for name, (grain, columns) in _sources().items()
    ]
    text = yaml.safe_dump(
        {
            "sources": [
                {
                    "name": SILVER,
                    "description": "Current rows of every source, and their versions.",
                    "tables": declared,
                }
            ]
        },
        sort_keys=False,
        width=110,
        allow_unicode=True,
    )
    return f"# Derived from jobs/sources/*.yml by `python -m jobs.gold`; do not edit.\n{text}"


def source_columns() -> dict[str, dict[str, str]]:
    """The silver tables that dbt knows, with the type of each column."""
    return {
        name: {column: kind for column, (kind, _) in columns.items()}
        for name, (_, columns) in _sources().items()
    }


def _sources() -> dict[str, tuple[str, dict[str, tuple[str, str]]]]:
    """Name of each silver table that dbt knows: its grain, and type and meaning of its columns."""
    found = {}
    record = {name: column for name, column in RECORD_COLUMNS.items() if name not in catalog.PROVENANCE}
    for source in reading.load_all().values():
        for entity, table in source.tables.items():
            columns = {
                table.key: ("string", f"Pseudonym of the {table.resource}; identifies the row."),
                **{
                    name: (column.type, column.description)
                    for name, column in {**table.columns, **record}.items()
                },
            }
            found[f"{source.name}__{entity}"] = (table.grain, columns)
            versions = {**columns, table.key: ("string", f"Pseudonym of the {table.resource}.")}
            grain = f"One row per version of each record that was received more than once, for {source.name}__{entity}."
            found[f"{source.name}__{entity}{REVISED}"] = (grain, versions)
            places = {table.key: versions[table.key]} | {
                name: (RECORD_COLUMNS[name].type, RECORD_COLUMNS[name].description)
                for name in _RECEIVED_COLUMNS
            }
            grain = f"One row per line that was received for {source.name}__{entity} and kept."
            found[f"{source.name}__{entity}{RECEIVED}"] = (grain, places)
    found[LINK] = ("One row per source patient and the person it is linked to.", LINK_COLUMNS)
    return found


class _Dbt:
    """One dbt invocation's surroundings: the session it runs in, its directories and its tables.

    parts: how staging and intermediate models are materialized. As views, each costs a statement and a plan of all
    that it stands on.
    """

    def __init__(
        self,
        spark: SparkSession,
        lake_dir: Path,
        target_dir: Path,
        parts: Literal["ephemeral", "view"] = "ephemeral",
    ) -> None:
        self.spark, self.lake, self.target, self.parts = spark, lake_dir, target_dir, parts
        self.manifest: Any = None

    @property
    def marts(self) -> list[Any]:
        """The models that become gold tables, as dbt's manifest has them."""
        return [node for node in self.manifest.nodes.values() if _is_mart(node)]

    @property
    def silver_read(self) -> set[str]:
        """The silver tables, and views of them, that some model or test reads."""
        read = {name for node in self.manifest.nodes.values() for name in node.depends_on_nodes}
        sources = (self.manifest.sources[name] for name in read & self.manifest.sources.keys())
        return {source.name for source in sources if source.source_name == SILVER}

    @contextmanager
    def connected(self) -> Iterator[None]:
        """dbt parsed, its cursor on the caller's session, BUILD_SCHEMA there for the time being."""
        with _dbts_session(self.spark):
            self.manifest = self.invoke("parse").result
            self._clear_scratch()
            self._sql(f"drop schema if exists {BUILD_SCHEMA} cascade")
            self._sql(f"create schema {BUILD_SCHEMA}")
            views = [
                *rulebook.register(self.spark, self.lake),
                *self._show_bronze(),
                *self._stand_in_for_missing_sources(),
            ]
            try:
                for node in self.marts:
                    self._register(node)
                yield
            finally:
                self._sql(f"drop schema if exists {BUILD_SCHEMA} cascade")
                for view in views:
                    self._sql(f"drop view if exists {view}")
                self._clear_scratch()

    def invoke(self, *command: str) -> Any:
        """Run a dbt command; its dbtRunnerResult. Raises CitywellError when dbt itself fails."""
        from dbt.cli.main import dbtRunner

        endpoints = [e for source in reading.load_all().values() for e in source.endpoints.values()]
        variables = {
            "gold_dir": str(self.lake / SCHEMA),
            "quality_dir": str(self.lake / QUALITY),
            "scratch_dir": str(self._scratch),
            "parts": self.parts,
            "version_order": timeline.order_sql(),
            "time_zones": [[e.name, e.time_zone] for e in endpoints],
            "houses": [[e.name, house] for e in endpoints if (house := getattr(e, "house", None))],
        }
        places = {
            "--project-dir": PROJECT,
            "--profiles-dir": PROJECT,
            "--target-path": self.target,
            "--log-path": self.target / "logs",
            "--vars": json.dumps(variables),
        }
        quiet = ["--log-level", "none", "--log-level-file", "info", "--no-print", "--no-version-check"]
        arguments = [*command, *quiet, *(str(part) for pair in places.items() for part in pair)]
        result = dbtRunner(manifest=self.manifest).invoke(arguments)
        if result.exception is not None or (command[0] != "build" and not result.success):
            raise CitywellError(
                f"dbt {command[0]} could not run{_first_line(result.exception)}",
                where=str(PROJECT),
                do=f"read {_log(self.target)}",
            )
        return result

    @property
    def _scratch(self) -> Path:
        return self.lake / SCRATCH

    def _clear_scratch(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _register(self, node: Any) -> None:
        """Make the Delta directory of a mart readable in BUILD_SCHEMA, laid out as its contract says.

        Sail describes the table to dbt by the columns written here, but refuses them for a partitioned table.
        """
        table, partition = _table(node), node.config.get("partition_by")
        columns = ", ".join(f"`{column.name}` {column.data_type}" for column in node.columns.values())
        properties = {**tables.TABLE_PROPERTIES, **(node.config.get("tblproperties") or {})}
        _lay_out(table, _struct(columns), partition, properties, self.lake)
        location = str(tables.path_of(table, self.lake)).replace("\\", "\\\\").replace("'", "\\'")
        described = "" if partition else f"({columns})"
        self._sql(f"create table {BUILD_SCHEMA}.{node.name} {described} using delta location '{location}'")

    def _show_bronze(self) -> list[str]:
        """Views of the versions of records received more than once, and of where records stood, of each bronze table
        there is; their names."""
        self._sql(f"create schema if not exists {SILVER}")
        self._sql(f"create schema if not exists {BRONZE}")
        views = {}
        for name in sorted(self._tables(BRONZE) & source_columns().keys()):
            key, *columns = list(source_columns()[name])
            bronze = f"{BRONZE}.{name}"
            repeated = (
                f"(select source, `{key}` from {bronze} where rule is null "  # noqa: S608
                f"group by source, `{key}` having count(*) > 1)"
            )
            received = (
                f"(select b.* from {bronze} as b left semi join {repeated} as r "  # noqa: S608
                f"on b.source = r.source and b.`{key}` = r.`{key}`)"
            )
            views[name + REVISED] = timeline.versions_query(received, key, [key, *columns])
            received_at = ", ".join((f"`{key}`", *_RECEIVED_COLUMNS))
            views[name + RECEIVED] = f"select {received_at} from {bronze} where rule is null"  # noqa: S608
        read = sorted(views.keys() & self.silver_read)
        for name in read:
            self._sql(f"create or replace view {SILVER}.{name} as {views[name]}")
        return [f"{SILVER}.{name}" for name in read]

    def _tables(self, schema: str) -> set[str]:
        return {row.tableName for row in self.spark.sql(f"show tables in {schema}").collect()}

    def _stand_in_for_missing_sources(self) -> list[str]:
        """Empty views for the silver tables that no export has brought yet; their names."""
        there = self._tables(SILVER)
        missing = {
            name: columns for name, columns in source_columns().items() if name in self.silver_read - there
        }
        for name, columns in missing.items():
            nulls = ", ".join(f"cast(null as {kind}) as {column}" for column, kind in columns.items())
            self._sql(f"create view {SILVER}.{name} as select {nulls} where false")
        return [f"{SILVER}.{name}" for name in missing]

    def _sql(self, statement: str) -> None:
        self.spark.sql(statement).collect()


def _struct(ddl: str) -> StructType:
    struct = StructType.fromDDL(ddl)
    assert isinstance(struct, StructType)
    return struct


def _lay_out(
    table: str, schema: StructType, partition_by: str | None, properties: Mapping[str, str], lake: Path
) -> None:
    """Give ``table`` the columns of ``schema``, all nullable; empty when they were others before.

    An engine left to create the table writes down which columns happened to have no null this time, and Sail
    never changes the columns of a table that is there.
    """
    partitions = [partition_by] if partition_by else []
    tables.create(table, schema, partitions, properties=properties, lake=lake)
    if tables.columns(table, lake).simpleString() != schema.simpleString():
        DeltaTable.create(
            str(tables.path_of(table, lake)),
            schema=deltalake.Schema.from_json(schema.json()),
            mode="overwrite",
            partition_by=partitions,
            configuration=dict(properties),
        )


@contextmanager
def _dbts_session(spark: SparkSession) -> Iterator[None]:
    """Make ``spark`` the session that dbt's cursor finds, in every thread; leave its configuration as it was.

    The cursor asks pyspark for the thread's active session, then for the process's default one. It also turns
    ANSI mode off, and asks for Hive, which Apache Spark refuses with a warning at every statement.
    """
    connect: Any = type(spark)
    local = connect._active_session
    default, active = connect._default_session, getattr(local, "session", None)
    connect._default_session = local.session = spark
    before = {key: spark.conf.get(key, None) for key in _SESSION_CONFIG}
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Failed to set spark.sql.catalogImplementation")
            yield
    finally:
        for key, value in before.items():
            if value is not None:
                spark.conf.set(key, value)
        connect._default_session, local.session = default, active


def _results(run: Any, target_dir: Path, lake: Path) -> GoldResult:
    nodes = [
        (
            result.node.resource_type,
            NodeRun(result.node.name, str(result.status), result.execution_time, result.failures or 0),
        )
        for result in run.result
    ]
    built = [_table(result.node) for result in run.result if _is_mart(result.node)]
    failed = [(kind, node) for kind, node in nodes if node.status in ("error", "fail")]
    if failed or not run.success:
        lacks_memory = any(engine.is_out_of_memory(str(result.message)) for result in run.result)
        raise CitywellError(
            "The gold tables did not pass: "
            + "; ".join(
                f"{kind} {node.name}" + (f" ({node.failures} rows)" if node.failures else " (error)")
                for kind, node in failed
            ),
            where=str(PROJECT),
            do=(f"{engine.MORE_MEMORY}, and " if lacks_memory else "")
            + f"read {_log(target_dir)}; nothing was published, readers keep the last good tables",
        )
    versions = {table: tables.version(table, lake) for table in sorted(built)}
    return GoldResult(
        models=tuple(node for kind, node in nodes if kind == "model"),
        tests=tuple(node for kind, node in nodes if kind != "model"),
        versions={table: version for table, version in versions.items() if version is not None},
    )


def _is_mart(node: Any) -> bool:
    return bool(node.resource_type == "model" and node.fqn[1] in _SCHEMAS)


def _table(node: Any) -> str:
    """The published name of a model."""
    return f"{_SCHEMAS[node.fqn[1]]}.{node.name}"


def logic(project: Path = PROJECT_DIR) -> str:
    """Fingerprint of all that gold follows from, records aside: dbt's SQL, silver's derivations, the declarations."""
    digest = hashlib.sha256()
    for pattern in _LOGIC:
        for file in sorted(path for path in project.glob(pattern) if path.is_file()):
            digest.update(file.relative_to(project).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _log(target_dir: Path) -> Path:
    return target_dir / "logs" / "dbt.log"


def _first_line(error: BaseException | None) -> str:
    lines = str(error or "").strip().splitlines()
    return f": {lines[0]}" if lines else ""


if __name__ == "__main__":
    SOURCES_FILE.write_text(sources_yaml())
