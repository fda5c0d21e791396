"""A simulated city over real HTTP to tested gold tables: what the answer key says, and where names may be."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import evaluate
from infra.engine.launch import Engine
from infra.evaluate import dispensing, packs, people, records, values
from infra.evaluate.figures import HOSPITALS, seen_until
from infra.stack.postgres import Cluster
from jobs import ingest, profile, transform
from jobs.identity import linkage
from jobs.identity.linkage import task
from jobs.lake import catalog, control, quarantine
from jobs.settings import settings
from ml import risk
from tests.support import search
from tests.support.city import advance, clock, running_city
from tests.support.lake import TestLake, use_home

SOURCES = ("hospital_north", "hospital_harbour", "hospital_university")
MESSAGES = ("events_north", "events_harbour", "events_university")
PHARMACIES = ("pharmacy_chain", "pharmacy_linden", "pharmacy_anker")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The temporary and the working directory of this process, both the module's own."""
    temporary, working = tmp_path_factory.mktemp("tmp"), tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TMPDIR", str(temporary))
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        monkeypatch.chdir(working)
        yield temporary, working


FIGURES = {
    "receipts_out_of_balance",
    "corrupt_lines_quarantined",
    "deleted_records_still_published",
    "revived_records_missing",
    "errors_published_as_facts",
    "stays_that_never_were_published",
    "source_patients_published",
    "unit_slips_missing",
    "unit_slips_published_wrong",
    "unit_slips_recovered",
    "good_values_held_back",
    "good_values_changed",
    "patients_without_a_person",
    "person_linkage_precision",
    "person_linkage_recall",
    "all_systems_linkage_precision",
    "all_systems_linkage_recall",
    "person_linkage_review_queue",
    "unlinks_taken_effect",
    "dispensed_packs_knowable",
    "dispensed_packs_exact",
    "dispensed_pairs_off_unexplained",
    "dispensed_requests_right",
    "dispensed_requests_found",
}
EXPLAINED = {
    "merges_taken_effect",
    *(f"dispensed_pairs_off_{cause}" for cause in (*packs.CAUSES, packs.LINKAGE)),
}
"""There or not, by what was planted."""
CASES = FIGURES - {"revived_records_missing"}
"""Figures that rest on something in a city of this size."""
SHORT = FIGURES - {
    *("receipts_out_of_balance", "patients_without_a_person", "person_linkage_review_queue"),
    *("unlinks_taken_effect", "dispensed_packs_knowable"),
}
"""Figures that the answer key alone can spoil."""

Rows = list[dict[str, Any]]
NAMING = ("persons", "discharges")
"""Tables of the key from which ids are taken of what is in the lake."""


def _and(rows: Rows, **other: Any) -> Rows:
    """The rows, and the last one once more with other values."""
    return [*rows, {**rows[-1], **other}]


def _patient(ids: dict[str, Rows]) -> dict[str, Any]:
    return {
        "source": ids["persons"][0]["source"],
        "resource_type": "Patient",
        "resource_id": ids["persons"][0]["patient_id"],
        "visible_at": ids["discharges"][0]["admitted_at"],
    }


SPOILT: dict[str, Callable[[Rows, dict[str, Rows]], Rows]] = {
    "corrupt_lines": lambda rows, ids: _and(rows, resource_id="of nobody"),
    "deleted": lambda rows, ids: [
        *_and(rows, **_patient(ids), came_back_at=None),
        {
            **rows[-1],
            **_patient(ids),
            "resource_id": "of nobody",
            "came_back_at": _patient(ids)["visible_at"],
        },
    ],
    "entered_in_error": lambda rows, ids: _and(rows, **_patient(ids)),
    "spurious_stays": lambda rows, ids: [
        *rows,
        *(
            {
                "source": one["source"],
                "resource_type": "Encounter",
                "resource_id": one["encounter_id"],
                "patient_id": one["patient_id"],
                "kind": "cancelled",
                "visible_at": one["admitted_at"],
            }
            for one in ids["discharges"][:20]
        ),
    ],
    # Every value true otherwise, but the last: then it is not there, and was right.
    "unit_slips": lambda rows, ids: [
        *({**row, "true_value": 3 * row["true_value"]} for row in rows[: len(rows) // 2]),
        {**rows[-1], "resource_id": "of nobody"},
    ],
    "persons": lambda rows, ids: [
        *(
            {**row, "person_id": other["person_id"]}
            for row, other in zip(rows, rows[1:] + rows[:1], strict=True)
        ),
        *({**row, "patient_id": f"no {row['patient_id']}"} for row in rows[: len(rows) // 10]),
    ],
    "dispenses": lambda rows, ids: [
        {
            **row,
            "quantity": row["quantity"] + 1,
            "medication_request_id": "none" if row["medication_request_id"] else None,
        }
        for row in rows
    ],
}
"""The key's tables as they would be of another city: by name, what is made of the rows and ``NAMING``."""


def assert_shown(summaries: Sequence[dict[str, Any]]) -> None:
    """Data Docs have a page of each batch that brought anything."""
    index = (settings().home / "reports" / "data_docs" / "index.html").read_text()
    batches = [summary["batch_id"] for summary in summaries if summary["received"]]
    assert batches
    assert [batch for batch in batches if batch not in index] == []


@pytest.fixture(scope="module")
def city_lake(
    postgres: Cluster,
    sail_engine: Engine,
    tmp_path_factory: pytest.TempPathFactory,
    elsewhere: tuple[Path, Path],
) -> Iterator[TestLake]:
    """Three hospitals and all pharmacies read twice, two days apart, and modelled."""
    del elsewhere
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as monkeypatch:
        lake = use_home(monkeypatch, home, postgres, sail_engine.remote)
        with running_city(home, "--population", "150", "--years", "1", "--dirt", "2") as url:
            monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
            settings.cache_clear()
            for days in (0, 2):
                advance(url, days)
                summaries = [ingest.ingest(source, clock(url)) for source in SOURCES]
                assert_shown(summaries)
                others = [*PHARMACIES, *(MESSAGES if not days else ())]
                summaries += ingest.ingest_each(others, clock(url))
                assert_shown(summaries)
                for summary in summaries:
                    assert summary["received"] == sum(summary[name] for name in ingest.OUTCOMES[1:])
                task.run(clock(url))
                transform.run(clock(url))
            yield lake
    settings.cache_clear()


def test_what_was_planted_is_found(city_lake: TestLake) -> None:
    lines = {line.name: line for line in evaluate.evaluate()}
    assert lines.keys() - EXPLAINED == FIGURES
    assert [str(line) for line in lines.values() if not line.is_met] == []
    assert [name for name in CASES if not lines[name].cases] == []


def test_every_figure_falls_short_where_the_lake_is_not_as_the_key_says(
    city_lake: TestLake, tmp_path: Path
) -> None:
    key = Path(shutil.copytree(settings().city_dir / "answer_key", tmp_path / "key"))
    for name, spoilt in SPOILT.items():
        table = pq.read_table(key / f"{name}.parquet")
        rows = spoilt(table.to_pylist(), {n: pq.read_table(key / f"{n}.parquet").to_pylist() for n in NAMING})
        pq.write_table(pa.Table.from_pylist(rows, table.schema), key / f"{name}.parquet")
    seen = seen_until(HOSPITALS)
    with catalog.lake_session() as spark:
        lines = [
            *records.figures(spark, key, seen),
            *values.figures(spark, key, seen),
            *people.figures(spark, key),
            *dispensing.figures(spark, key),
        ]
    assert {line.name for line in lines if not line.is_met} >= SHORT


def test_reasons_are_what_the_records_say_first(city_lake: TestLake) -> None:
    """Hospitals of the city code reasons in ICD-10-CM alone."""
    [found] = city_lake.rows(
        "select count(*) as n, count_if(fact.reason_code <=> record.reason_code) as same, "
        "count(fact.reason_code) as told from gold.fct_encounter as fact "
        "join silver.hospital__encounter as record on fact.encounter_key = record.encounter_key"
    )
    assert found["n"] == found["same"] == found["told"] > 0


def test_modelling_again_changes_nothing(city_lake: TestLake) -> None:
    tables = ("gold.dim_person", "gold.fct_encounter", "gold.fct_measurement", "gold.agg_facility_daily")
    before = {name: sorted(map(str, city_lake.rows(f"select * from {name}"))) for name in tables}
    with control.connect() as conn:
        published = control.current_versions(conn)
    versions = transform.run("2026-01-03T00:00:00+00:00")["versions"]
    assert versions == {name: published[name] for name in versions}
    assert {name for name in published if name.startswith("gold.")} < versions.keys()
    assert {name: sorted(map(str, city_lake.rows(f"select * from {name}"))) for name in tables} == before
    assert all(before.values())


def test_values_held_back_are_in_quarantine_with_file_and_line(city_lake: TestLake) -> None:
    held = city_lake.rows(
        "select source, rule from quality.suspects where is_current and verdict = 'suspect'"
    )
    listed = [
        row
        for source in SOURCES
        for row in quarantine.records(source, held=True)
        if row["quarantined_at"] is None
    ]
    assert Counter((row["source"], row["rule"]) for row in listed) == Counter(
        (row["source"], row["rule"]) for row in held
    )
    assert all(row["file"].endswith(".cwl") and row["line"] > 0 and row["line_hash"] for row in listed)
    counts = {(one.source, one.rule): one.records for one in quarantine.by_rule()}
    assert counts.items() >= Counter((row["source"], row["rule"]) for row in held).items()
    assert listed


def test_every_batch_is_profiled_and_names_nothing_rare(city_lake: TestLake) -> None:
    rows = city_lake.rows("select * from quality.profile")
    with control.connect() as conn:
        assert {row["batch_id"] for row in rows} == {b.batch_id for b in control.batches(conn)}
    found = {
        (row["table_name"], row["stage"], row["column_name"]): row
        for row in rows
        if row["source"] == "hospital_north" and row["row_count"] > 1000
    }
    received = found["bronze.hospital__observation", "received", "value_number"]
    kept = found["bronze.hospital__observation", "published", "value_number"]
    assert received["row_count"] > kept["row_count"] > kept["null_count"] > 0
    assert (received["minimum"], received["maximum"]) == (None, None)
    assert min(received["mean"], received["standard_deviation"]) > 0
    canonical = found["gold.fct_measurement", "published", "unit_canonical"]["top_values"]
    assert {"kg", "mm[Hg]", "mg/dL"} <= {one["value"] for one in canonical}
    named = [one for row in rows for one in row["top_values"] or ()]
    assert min(one["row_count"] for one in named) >= profile.FEWEST
    assert not [
        row["column_name"] for row in rows if row["column_name"].endswith("_key") and row["top_values"]
    ]


def test_no_planted_name_phone_or_id_outside_landing_and_vault(
    city_lake: TestLake, postgres: Cluster, sail_engine: Engine, elsewhere: tuple[Path, Path]
) -> None:
    planted = search.planted(city_lake.home)
    words = set().union(*planted.values())
    others = chain.from_iterable(search.below(place, place) for place in (*elsewhere, sail_engine.log.parent))
    assert search.found(words, chain(search.files(city_lake.home), others)) == []
    assert search.found(words, search.databases(postgres)) == []
    sealed = {
        "landing": search.found(words, search.landed(city_lake.home)),
        "vault": search.found(words, search.tables(postgres, search.VAULT)),
    }
    for part, hits in sealed.items():
        here = {word for _, word in hits}
        assert {kind for kind in search.OF_PATIENTS if not planted[kind] & here} == set(), part


@pytest.mark.slow
def test_a_merge_that_is_taken_back_leaves_every_table_as_it_was(city_lake: TestLake) -> None:
    """Two patients with stays become one person and two again: silver, gold and features follow, and come back row for
    row. What features say of the gold they were made from moves with every build."""
    at = "2026-01-03T00:00:00+00:00"
    with control.connect() as conn:
        gold = [name for name in control.current_versions(conn) if name.startswith("gold.")]
    queries = {name: f"select * from {name}" for name in ("silver.person_link", *gold)}

    def state() -> dict[str, list[str]]:
        risk.build_features(at)
        found = {name: city_lake.rows(query) for name, query in queries.items()}
        found["features"] = city_lake.rows("select * from features.discharges")
        for row in found["features"]:
            del row["gold_versions"]
        return {name: sorted(map(str, rows)) for name, rows in found.items()}

    before = state()
    older, newer = (
        row["patient_key"]
        for row in city_lake.rows(
            "select patient_key, min(started_at) as first from gold.fct_encounter "
            "where is_inpatient and person_key = patient_key group by patient_key order by first, patient_key limit 2"
        )
    )
    with linkage.connect() as conn_:
        change = linkage.merge(conn_, older, newer, "one person", actor="test")
    published = task.run(at)["published"]
    transform.run(at)
    merged = state()
    changed = set(merged["silver.person_link"]) - set(before["silver.person_link"])
    assert published == len(changed) > 0
    differ = {name for name in before if merged[name] != before[name]}
    assert {"silver.person_link", "gold.dim_person", "gold.fct_encounter", "gold.fct_measurement"} <= differ
    assert "features" in differ
    with linkage.connect() as conn_:
        linkage.unmerge(conn_, change, "two people", actor="test")
    assert task.run(at)["published"] == published
    transform.run(at)
    assert state() == before
