"""The control database: what becomes visible does so at once, once, and only when the receipts balance."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from infra.stack.postgres import Cluster
from jobs.errors import CitywellError
from jobs.lake import control
from jobs.lake.control import ExportJob, Receipt
from jobs.lake.landing import LandedFile
from jobs.settings import settings

NewConnection = Callable[[], control.Connection]

DAY_1 = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
DAY_2 = DAY_1 + timedelta(days=1)
NORTH = "hospital_north"


def receipt(batch: control.Batch, **counts: int) -> Receipt:
    return Receipt(batch.batch_id, batch.source, "0000-Patient.ndjson.cwl", "Patient", **counts)


def publish(
    conn: control.Connection, as_of: datetime, tables: dict[str, int], *, complete: bool = True
) -> int:
    batch = control.open_batch(conn, NORTH, as_of)
    return control.publish(
        conn, batch.batch_id, tables, [receipt(batch, received=2, published=2)], as_of if complete else None
    )


def test_a_batch_is_named_after_its_logical_instant(conn: control.Connection) -> None:
    batch = control.open_batch(conn, NORTH, datetime.fromisoformat("2026-03-01T05:30:00+01:00"))
    assert batch.batch_id == "hospital_north.20260301T043000Z"
    assert (batch.status, batch.since, batch.is_full, batch.is_first_load) == ("open", None, True, True)
    assert control.open_batch(conn, NORTH, DAY_1) == batch


def test_the_next_batch_goes_on_from_the_watermark(conn: control.Connection) -> None:
    publish(conn, DAY_1, {"silver.t": 1})
    batch = control.open_batch(conn, NORTH, DAY_2)
    assert (batch.since, batch.is_full, batch.is_first_load) == (DAY_1, False, False)
    assert control.open_batch(conn, "hospital_harbour", DAY_2).is_first_load


def test_a_source_without_since_is_always_exported_in_full(conn: control.Connection) -> None:
    publish(conn, DAY_1, {"silver.t": 1})
    batch = control.open_batch(conn, NORTH, DAY_2, use_since=False)
    assert (batch.since, batch.is_full) == (None, True)


def test_an_incomplete_batch_is_published_and_the_watermark_stays(conn: control.Connection) -> None:
    publish(conn, DAY_1, {"silver.t": 1})
    publish(conn, DAY_2, {"silver.t": 2}, complete=False)
    mark = control.watermark(conn, NORTH)
    assert mark is not None
    assert mark.transaction_time == DAY_1
    assert control.current_versions(conn) == {"silver.t": 2}


def test_the_watermark_never_moves_back(conn: control.Connection) -> None:
    late = control.open_batch(conn, NORTH, DAY_1)
    publish(conn, DAY_2, {"silver.t": 1})
    control.publish(conn, late.batch_id, {"silver.t": 2}, [], DAY_1)
    mark = control.watermark(conn, NORTH)
    assert mark is not None
    assert mark.transaction_time == DAY_2


def test_since_is_fixed_once_an_export_has_been_started_with_it(conn: control.Connection) -> None:
    waiting = control.open_batch(conn, NORTH, DAY_1)
    started = control.open_batch(conn, NORTH, DAY_1 + timedelta(hours=1))
    control.save_job(conn, ExportJob(started.batch_id, 1, "http://h/job/1", DAY_1, "running"))
    publish(conn, DAY_2, {"silver.t": 1})
    assert control.open_batch(conn, NORTH, waiting.as_of).since == DAY_2
    assert control.open_batch(conn, NORTH, started.as_of).since is None


def test_first_load_ends_with_the_first_complete_publication_whichever_batch_it_was(
    conn: control.Connection,
) -> None:
    control.open_batch(conn, NORTH, DAY_1)
    publish(conn, DAY_2, {"silver.t": 1})
    assert not control.open_batch(conn, NORTH, DAY_1).is_first_load


def test_an_incomplete_batch_does_not_end_the_first_load(conn: control.Connection) -> None:
    publish(conn, DAY_1, {"silver.t": 1}, complete=False)
    again = control.open_batch(conn, NORTH, DAY_2)
    assert (again.since, again.is_first_load) == (None, True)
    publish(conn, DAY_2, {"silver.t": 2})
    for use_since in (True, False):
        later = control.open_batch(conn, NORTH, DAY_2 + timedelta(days=1), use_since=use_since)
        assert not later.is_first_load


def test_a_failed_batch_says_why_and_can_be_taken_up_again(conn: control.Connection) -> None:
    batch = control.open_batch(conn, NORTH, DAY_1)
    control.mark_failed(
        conn, batch.batch_id, stage="checks", error=CitywellError("3 checks failed", where="silver.t", do="")
    )
    failed = control.get_batch(conn, batch.batch_id)
    assert failed.status == "failed"
    assert failed.failure is not None
    assert (failed.failure["stage"], failed.failure["what"]) == ("checks", "3 checks failed")
    with pytest.raises(CitywellError, match="failed and cannot be published"):
        control.publish(conn, batch.batch_id, {"silver.t": 1}, [], DAY_1)
    again = control.open_batch(conn, NORTH, DAY_1)
    assert (again.status, again.failure) == ("open", None)


def test_a_published_batch_stays_as_it_is_whatever_comes_later(conn: control.Connection) -> None:
    first = publish(conn, DAY_1, {"silver.t": 1})
    name = control.batch_id(NORTH, DAY_1)
    control.mark_failed(conn, name, stage="read", error=RuntimeError("a zombie task failed"))
    control.set_status(conn, name, "staged")
    control.set_landed(conn, name, DAY_2, is_complete=True)
    assert publish(conn, DAY_1, {"silver.t": 9}) == first
    assert control.open_batch(conn, NORTH, DAY_1).status == "published"
    assert control.current_versions(conn) == {"silver.t": 1}
    assert len(control.receipts(conn)) == 1


def test_stages_are_recorded(conn: control.Connection) -> None:
    batch = control.open_batch(conn, NORTH, DAY_1)
    control.set_landed(conn, batch.batch_id, DAY_2, is_complete=True)
    landed = control.get_batch(conn, batch.batch_id)
    assert (landed.status, landed.transaction_time) == ("landed", DAY_2)
    for status in ("staged", "checked"):
        control.set_status(conn, batch.batch_id, status)
        assert control.get_batch(conn, batch.batch_id).status == status
    with pytest.raises(CitywellError, match="no batch unknown"):
        control.set_status(conn, "unknown", "staged")


def test_a_judged_batch_keeps_its_receipts_and_goes_on_after_a_failure(conn: control.Connection) -> None:
    batch = control.open_batch(conn, NORTH, DAY_1)
    with pytest.raises(CitywellError, match="do not balance"):
        control.set_judged(conn, batch.batch_id, [receipt(batch, received=1)], None)
    judged = [receipt(batch, received=2, published=1, duplicate=1)]
    control.set_judged(conn, batch.batch_id, judged, DAY_2)
    control.mark_failed(conn, batch.batch_id, stage="merge", error=RuntimeError("a value"))
    assert control.open_batch(conn, NORTH, DAY_1).status == "judged"
    assert control.receipts(conn, batch.batch_id) == judged
    assert [b.batch_id for b in control.unpublished(conn, status="judged")] == [batch.batch_id]
    assert control.unpublished(conn, status="open") == []
    control.publish(conn, batch.batch_id, {"silver.t": 1}, judged, DAY_1)
    assert control.unpublished(conn) == []
    assert control.receipts(conn) == judged


def test_the_newest_transaction_is_that_of_published_batches(conn: control.Connection) -> None:
    for as_of in (DAY_2, DAY_1):
        control.set_landed(conn, control.open_batch(conn, NORTH, as_of).batch_id, as_of, is_complete=True)
    assert control.newest_transaction(conn, NORTH) is None
    publish(conn, DAY_2, {"silver.t": 2})
    publish(conn, DAY_1, {"silver.t": 1})
    assert control.newest_transaction(conn, NORTH) == DAY_2


@pytest.mark.parametrize(
    "counts", [{"received": 3, "published": 2}, {"received": 2, "published": 2, "duplicate": 1}]
)
def test_a_receipt_that_does_not_balance_stops_the_publication(
    conn: control.Connection, counts: dict[str, int]
) -> None:
    batch = control.open_batch(conn, NORTH, DAY_1)
    with pytest.raises(CitywellError, match=r"1 of 1 receipts do not balance: 0000-Patient\.ndjson\.cwl"):
        control.publish(conn, batch.batch_id, {"silver.t": 1}, [receipt(batch, **counts)], DAY_1)
    assert control.current_versions(conn) == {}
    assert control.watermark(conn, NORTH) is None


def test_the_database_itself_refuses_a_receipt_that_does_not_balance(conn: control.Connection) -> None:
    batch = control.open_batch(conn, NORTH, DAY_1)
    with pytest.raises(psycopg.errors.CheckViolation, match="receipt_balances"):
        conn.execute(
            "insert into receipt values (%s, %s, 'f', 'Patient', 3, 1, 1, 0, 0, 0, 0)",
            (batch.batch_id, NORTH),
        )


def test_publishing_is_all_or_nothing(conn: control.Connection) -> None:
    batch = control.open_batch(conn, NORTH, DAY_1)
    same_file_twice = [receipt(batch, received=1, published=1)] * 2
    with pytest.raises(psycopg.errors.UniqueViolation):
        control.publish(conn, batch.batch_id, {"silver.t": 1}, same_file_twice, DAY_1)
    assert control.current_versions(conn) == {}
    assert control.receipts(conn) == []
    assert control.watermark(conn, NORTH) is None
    assert control.get_batch(conn, batch.batch_id).status == "open"


def test_readers_get_the_versions_published_last_table_by_table(conn: control.Connection) -> None:
    first = publish(conn, DAY_1, {"silver.a": 1, "silver.b": 1})
    publish(conn, DAY_2, {"silver.b": 4})
    gold = control.publish_tables(conn, "gold", "run-1", {"gold.c": 7})
    assert control.publish_tables(conn, "gold", "run-1", {"gold.c": 7}) == gold
    assert control.publish_tables(conn, "gold", "run-1", {"gold.c": 8}) > gold
    assert control.current_versions(conn) == {"silver.a": 1, "silver.b": 4, "gold.c": 8}
    assert control.current_versions(conn, as_of_publication=first) == {"silver.a": 1, "silver.b": 1}
    assert [p.kind for p in control.publications(conn)] == ["gold", "gold", "batch", "batch"]


def test_the_newest_instant_is_that_of_runs_named_by_one(conn: control.Connection) -> None:
    control.publish_tables(conn, "gold", "run-1", {"gold.c": 7})
    control.publish_tables(conn, "scores", "2027-01-01T00:00:00+00:00", {"scores.d": 1})
    assert control.newest_instant(conn, "gold") is None
    for version, run in enumerate((DAY_2, DAY_1)):
        control.publish_tables(conn, "gold", run.isoformat(), {"gold.c": 8 + version})
    control.publish_tables(conn, "gold", "2027-01-01", {"gold.c": 10})
    assert control.newest_instant(conn, "gold") == DAY_2


def test_landed_files_and_jobs_are_kept_and_replaced(conn: control.Connection) -> None:
    batch = control.open_batch(conn, NORTH, DAY_1).batch_id
    file = LandedFile("0000-Patient.ndjson.cwl", "Patient", "output", "d1", 10, 2, 0, "s1", None)
    control.record_file(conn, batch, file)
    control.record_file(conn, batch, replace(file, lines=3, expected_lines=3))
    assert control.landed_files(conn, batch) == [replace(file, lines=3, expected_lines=3)]
    control.forget_files(conn, batch)
    assert control.landed_files(conn, batch) == []

    assert control.last_job(conn, batch) is None
    first = ExportJob(batch, 1, "http://h/job/1", DAY_1, "running")
    control.save_job(conn, first)
    control.save_job(conn, replace(first, state="expired"))
    control.save_job(conn, ExportJob(batch, 2, "http://h/job/2", DAY_2, "running"))
    assert control.last_job(conn, batch) == ExportJob(batch, 2, "http://h/job/2", DAY_2, "running")


def test_a_source_is_worked_on_by_one_run_at_a_time(new_connection: NewConnection) -> None:
    one, other = new_connection(), new_connection()
    with control.source_lock(one, NORTH):
        with pytest.raises(CitywellError, match="Another run is at work"), control.source_lock(other, NORTH):
            pytest.fail("both runs hold the lock")
        with control.source_lock(other, "hospital_harbour"):
            pass
    with control.source_lock(other, NORTH):
        pass


def test_the_lock_of_a_killed_run_is_free_again(new_connection: NewConnection) -> None:
    killed, next_run = new_connection(), new_connection()
    with control.source_lock(killed, NORTH):
        killed.close()
        with control.source_lock(next_run, NORTH):
            assert control.open_batch(next_run, NORTH, DAY_1).status == "open"


def test_a_zombie_cannot_publish_while_its_successor_works(new_connection: NewConnection) -> None:
    zombie, successor = new_connection(), new_connection()
    batch = control.open_batch(zombie, NORTH, DAY_1)
    with control.source_lock(successor, NORTH):
        with pytest.raises(CitywellError, match="taken over hospital_north"):
            control.publish(zombie, batch.batch_id, {"silver.t": 1}, [], DAY_1)
        control.publish(successor, batch.batch_id, {"silver.t": 2}, [], DAY_1)
    assert control.current_versions(successor) == {"silver.t": 2}


def test_a_double_trigger_publishes_once(new_connection: NewConnection) -> None:
    conns = [new_connection() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda c: publish(c, DAY_1, {"silver.t": 1}), conns))
    assert len(set(ids)) == 1
    assert len(control.publications(conns[0])) == 1


def test_migrating_is_safe_many_times_and_at_once(new_connection: NewConnection) -> None:
    conns = [new_connection() for _ in range(4)]
    publish(conns[0], DAY_1, {"silver.t": 1})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(control.migrate, conns))
    assert control.current_versions(conns[0]) == {"silver.t": 1}


def test_migrating_again_waits_for_nobodys_work(new_connection: NewConnection) -> None:
    at_work, starting = new_connection(), new_connection()
    starting.execute("set lock_timeout = '200ms'")
    with at_work.transaction():
        publish(at_work, DAY_1, {"silver.t": 1})
        control.migrate(starting)


def test_the_connection_follows_the_settings(
    postgres: Cluster, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(settings.cache_clear)
    for name, value in postgres.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    with control.connect() as conn:
        assert conn.execute("select current_database()").fetchone() == ("control",)
    assert conn.closed

    with pytest.raises(CitywellError, match="SQLSTATE 22P02") as error, control.connect() as conn:
        conn.execute("select 'Canary Name'::int")
    assert "Canary" not in "".join(traceback.format_exception(error.value))

    monkeypatch.setenv("CITYWELL_POSTGRES_PORT", "1")
    settings.cache_clear()
    with pytest.raises(CitywellError, match="cannot be reached") as error, control.connect():
        pytest.fail("connected to port 1")
    password = (postgres.secrets / control.ROLE).read_text().strip()
    assert password not in f"{error.value}{error.value.__cause__}"

    monkeypatch.setenv("CITYWELL_HOME", "/nonexistent")
    settings.cache_clear()
    with pytest.raises(CitywellError, match="never been started"), control.connect():
        pytest.fail("connected without a password")
