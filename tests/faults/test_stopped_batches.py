"""A batch that cannot be finished holds up its own source alone, and is finished once what stopped it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from infra.engine.launch import Engine
from infra.stack.postgres import SUPERUSER, Cluster
from jobs.errors import CitywellError
from jobs.identity import link, vault
from jobs.lake import control, landing
from jobs.lake.control import Batch
from jobs.lake.load import load, steps
from jobs.settings import settings
from tests.support.lake import Export, TestLake, instant, totals, use_home

NORTH, HARBOUR = "hospital_north", "hospital_harbour"
AT = instant("2026-01-01")
STAY = {"status": "finished", "class": {"code": "IMP"}, "subject": {"reference": "Patient/p1"}}
STAY |= {"period": {"start": "2025-11-01T08:00:00Z", "end": "2025-11-05T12:00:00Z"}}


@pytest.fixture
def lake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Cluster, sail_engine: Engine
) -> Iterator[TestLake]:
    yield use_home(monkeypatch, tmp_path / "home", postgres, sail_engine.remote)
    settings.cache_clear()


class Killed(BaseException):
    """Ends a load at once, like a kill, but in this process."""


def killed_at(point: str, batch_id: str) -> None:
    def crash(name: str) -> None:
        if name == point:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "crash_here", crash)
        with pytest.raises(Killed):
            load(batch_id)


def batch(batch_id: str) -> Batch:
    with control.connect() as conn:
        return control.get_batch(conn, batch_id)


def resource(resource_type: str, source_id: str, **more: object) -> dict[str, object]:
    return {"resourceType": resource_type, "id": source_id, "gender": "female", **more}


def export(day: str = "2026-01-01", gender: str = "female") -> Export:
    """A patient and a stay."""
    patient, stay = resource("Patient", "p1", gender=gender), resource("Encounter", "e1", **STAY)
    return Export(instant(day), {"Patient": [patient], "Encounter": [stay]})


def sources(lake: TestLake, table: str) -> list[str]:
    return [row["source"] for row in lake.rows(f"select source from {table} order by source")]


@contextmanager
def without_its_patients(batch_id: str) -> Iterator[None]:
    """The landed Patient file of a batch is gone for a while, so that its identities cannot be registered."""
    [path] = landing.batch_dir(settings().landing_dir, batch(batch_id).source, batch_id).glob("*Patient*")
    path.rename(path.with_suffix(".away"))
    yield
    path.with_suffix(".away").rename(path)


@contextmanager
def closed_vault(postgres: Cluster) -> Iterator[None]:
    """A vault that lets nobody in for a while."""

    def allow(is_open: bool) -> None:
        with psycopg.connect(postgres.dsn("postgres", SUPERUSER), autocommit=True) as conn:
            conn.execute(sql.SQL("alter database vault allow_connections {}").format(is_open))

    allow(False)
    yield
    allow(True)


def test_a_nul_in_an_id_or_a_deletion_is_quarantined(lake: TestLake, postgres: Cluster) -> None:
    nul = "Canary\0Name"
    files = {
        "Patient": [resource("Patient", nul), resource("Patient", "p1")],
        "Encounter": [resource("Encounter", nul, **STAY), resource("Encounter", "e1", **STAY)],
    }
    receipts = lake.ingest(
        NORTH, Export(instant("2026-01-01"), files, deleted=[f"Patient/{nul}", "Patient/p2"])
    )
    assert totals(receipts) == {"received": 6, "published": 2, "deleted": 1, "quarantined": 3}
    rows = lake.rows("select resource_type, rule from quality.quarantine order by resource_type")
    assert [tuple(row.values()) for row in rows] == [
        ("Bundle", "nul_character"),
        ("Encounter", "nul_character"),
        ("Patient", "nul_character"),
    ]
    with psycopg.connect(postgres.dsn("vault", vault.OWNER_ROLE)) as owner:
        known = owner.execute(
            "select resource_type, source_id from vault.source_identity order by 2"
        ).fetchall()
    assert known == [("Encounter", "e1"), ("Patient", "p1"), ("Patient", "p2")]


def test_bundles_among_the_output_are_unmodelled_like_any_other_type(lake: TestLake) -> None:
    files = {
        "Patient": [resource("Patient", "p1")],
        "Bundle": [resource("Bundle", "b1"), {"id": "of no type"}],
    }
    receipts = lake.ingest(NORTH, Export(AT, files, deleted=["Patient/p2", "Bundle/b2"]))
    assert totals(receipts) == {
        "received": 5,
        "published": 1,
        "unmodelled": 2,
        "quarantined": 1,
        "deleted": 1,
    }
    [row] = lake.rows("select resource_type, rule from quality.quarantine")
    assert row == {"resource_type": "Bundle", "rule": "wrong_resource_type"}


def test_a_vault_that_is_down_leaves_the_batches_for_the_next_run(lake: TestLake, postgres: Cluster) -> None:
    north, harbour = lake.land(NORTH, export()), lake.land(HARBOUR, export())
    with closed_vault(postgres):
        for batch_id in (north, harbour):
            with pytest.raises(CitywellError, match="vault does not answer"):
                load(batch_id)
            assert batch(batch_id).status == "judged"
            assert "vault does not answer" in str(batch(batch_id).failure)
    load(harbour)
    assert batch(north).status == batch(harbour).status == "published"
    assert (
        sources(lake, "silver.hospital__patient") == sources(lake, "silver.person_link") == [HARBOUR, NORTH]
    )


def test_a_batch_that_cannot_be_finished_stops_its_own_source_alone(lake: TestLake) -> None:
    north = lake.land(NORTH, export())
    killed_at("judged", north)

    def fail(source: str, *rest: Any, **more: Any) -> Any:
        if source == NORTH:
            raise ValueError("Canary Name")
        return link_batch(source, *rest, **more)

    link_batch = link.link_batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "link_batch", fail)
        assert totals(lake.ingest(HARBOUR, export())) == {"received": 2, "published": 2}
        failure = batch(north).failure
        assert batch(north).status == "judged"
        assert failure is not None
        assert (failure["stage"], failure["what"]) == ("finish", "unexpected ValueError")
        with pytest.raises(CitywellError, match=north):
            lake.ingest(NORTH, export("2026-01-02", gender="male"))
        assert sources(lake, "silver.hospital__patient") == sources(lake, "silver.person_link") == [HARBOUR]
    receipts = lake.ingest(NORTH, export("2026-01-02", gender="male"))
    assert totals(receipts) == {"received": 2, "published": 1, "duplicate": 1}
    assert batch(north).status == "published"
    assert sources(lake, "silver.hospital__encounter") == [HARBOUR, NORTH]
    assert sources(lake, "silver.hospital__patient_history") == [HARBOUR, NORTH, NORTH]


@pytest.mark.parametrize("point", ["record:silver.person_link", "merge:patient"])
def test_half_a_batch_is_never_published_with_another(lake: TestLake, point: str) -> None:
    north, harbour = lake.land(NORTH, export()), lake.land(HARBOUR, export())
    killed_at(point, north)
    with without_its_patients(north):
        with pytest.raises(CitywellError, match=north):
            load(harbour)
        with control.connect() as conn:
            assert not [name for name in control.current_versions(conn) if name.startswith("silver.")]
    load(harbour)
    assert batch(north).status == "published"
    assert sources(lake, "silver.hospital__encounter") == [HARBOUR, NORTH]


def test_a_half_merged_batch_does_not_wait_for_one_that_is_stuck(lake: TestLake) -> None:
    north, harbour = lake.land(NORTH, export()), lake.land(HARBOUR, export())
    killed_at("judged", north)
    with without_its_patients(north):
        killed_at("merge:patient", harbour)
        load(harbour)
        assert sources(lake, "silver.hospital__patient") == [HARBOUR]


def test_a_batch_whose_own_run_is_at_work_is_left_to_it(lake: TestLake, postgres: Cluster) -> None:
    north = lake.land(NORTH, export())
    killed_at("judged", north)
    with (
        psycopg.connect(postgres.dsn("control", "control"), autocommit=True) as other,
        control.source_lock(other, NORTH),
    ):
        lake.ingest(HARBOUR, export())
        assert (batch(north).status, batch(north).failure) == ("judged", None)
    load(north)
    assert sources(lake, "silver.hospital__patient") == [HARBOUR, NORTH]


def test_a_judged_batch_whose_landed_file_is_lost_begins_anew(lake: TestLake) -> None:
    north = lake.land(NORTH, export())
    killed_at("judged", north)
    [file] = landing.batch_dir(settings().landing_dir, NORTH, north).glob("*Patient*")
    file.unlink()
    with pytest.raises(CitywellError, match="A landed file is missing"):
        load(north)
    assert batch(north).status == "failed"
    again = Export(AT, {"Patient": [resource("Patient", "p2")]})
    assert lake.land(NORTH, again) == north
    assert totals(load(north).receipts) == {"received": 1, "published": 1}
    assert lake.rows("select received from quality.receipts") == [{"received": 1}]
    assert sources(lake, "silver.hospital__patient") == [NORTH]


def test_receipts_and_quarantine_show_no_batch_that_is_not_published(lake: TestLake) -> None:
    north = lake.land(NORTH, Export(AT, {"Observation": [{"id": "of no type"}]}))
    killed_at("merged", north)
    with closed_for(NORTH):
        lake.ingest(HARBOUR, export())
    assert batch(north).status == "judged"
    assert sources(lake, "quality.quarantine") == []
    assert set(sources(lake, "quality.receipts")) == {HARBOUR}
    load(north)
    assert sources(lake, "quality.quarantine") == [NORTH]


@contextmanager
def closed_for(source: str) -> Iterator[None]:
    """Nobody's run can finish the batches of ``source`` for a while: another holds it."""
    with control.connect() as conn, control.source_lock(conn, source):
        yield
