"""The vault answers only callers that leave a lasting audit row; registering is idempotent in any order."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from infra.stack.postgres import Cluster, free_port
from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.identity.vault import Access, Identity
from jobs.settings import settings

ACCESS = Access("writeback", "return scores to the hospital", "run-1")
MONDAY, TUESDAY = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)


def identity(number: int, seen_at: datetime = MONDAY, resource_type: str = "Patient") -> Identity:
    return Identity(f"{number:032x}", "k1", "hospital_north", resource_type, f"id-{number}", seen_at)


@pytest.fixture
def configured(
    postgres: Cluster, vault_owner: vault.Connection, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Settings that lead to the vault."""
    for name, value in postgres.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_resolving_leaves_an_audit_row(vault_client: vault.Connection, vault_owner: vault.Connection) -> None:
    vault.register(vault_client, "b1", [identity(1), identity(2)], method="m")
    found = vault.resolve(vault_client, [f"{1:032x}", f"{99:032x}", f"{1:032x}"], ACCESS)
    assert found == {f"{1:032x}": ("hospital_north", "Patient", "id-1")}
    audit = vault_owner.execute(
        "select role, actor, purpose, run_id, keys_requested, keys from vault.access_audit"
    ).fetchall()
    assert audit == [
        ("vault_client", "writeback", ACCESS.purpose, "run-1", 2, [f"{1:032x}", f"{99:032x}"]),
    ]


def test_an_answer_without_a_committed_audit_row_is_impossible(vault_client: vault.Connection) -> None:
    vault.register(vault_client, "b1", [identity(1)], method="m")
    request = "select vault.request_access(%s, 'purpose', 'actor', 'run')"
    asked = vault_client.execute(request, ([f"{1:032x}"],)).fetchone()
    with pytest.raises(psycopg.errors.RaiseException, match="no committed request"):
        vault_client.execute("select * from vault.read_access(%s)", asked)
    vault_client.rollback()
    with pytest.raises(psycopg.errors.RaiseException, match="no committed request"):
        vault_client.execute("select * from vault.read_access(%s)", asked)


def test_an_open_transaction_is_refused_before_anything_is_asked(vault_client: vault.Connection) -> None:
    vault_client.execute("select 1")
    with pytest.raises(CitywellError, match="outside a transaction"):
        vault.resolve(vault_client, [f"{1:032x}"], ACCESS)


@pytest.mark.parametrize("table", ["source_identity", "access_audit", "identity_inbox"])
def test_jobs_cannot_select(vault_client: vault.Connection, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        vault_client.execute(f"select * from vault.{table}")


@pytest.mark.parametrize("purpose", ["", "x" * 201])
def test_a_purpose_is_required(vault_client: vault.Connection, purpose: str) -> None:
    with pytest.raises(CitywellError, match="CheckViolation, SQLSTATE 23514"):
        vault.resolve(vault_client, [f"{1:032x}"], Access("a", purpose, "r"))


@pytest.mark.parametrize(
    "change",
    [
        "delete from vault.access_audit",
        "update vault.access_audit set actor = 'x'",
        "truncate vault.access_audit",
    ],
)
def test_not_even_the_owner_changes_the_audit(vault_owner: vault.Connection, change: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        vault_owner.execute(change)


def test_batches_in_any_order_leave_the_same_rows(
    vault_client: vault.Connection, vault_owner: vault.Connection
) -> None:
    early, late = [identity(1, MONDAY), identity(2, MONDAY)], [identity(2, TUESDAY), identity(3, TUESDAY)]
    query = "select pseudonym, first_seen_at, last_batch_id from vault.source_identity order by pseudonym"
    expected = [
        (f"{1:032x}", MONDAY, "b1"),
        (f"{2:032x}", MONDAY, "b2"),
        (f"{3:032x}", TUESDAY, "b2"),
    ]
    vault.register(vault_client, "b2", late, method="m")
    assert vault.register(vault_client, "b1", early, method="m") == 2
    assert vault_owner.execute(query).fetchall() == expected
    assert vault.register(vault_client, "b1", early, method="m") == 0
    assert vault.register(vault_client, "b2", late, method="m") == 0


def test_an_interrupted_registration_leaves_nothing(
    vault_client: vault.Connection, vault_owner: vault.Connection
) -> None:
    def breaks_off() -> object:
        yield identity(1)
        raise RuntimeError("the file is damaged")

    with pytest.raises(RuntimeError, match="damaged"):
        vault.register(vault_client, "b1", breaks_off(), method="m")  # type: ignore[arg-type]
    assert vault_owner.execute("select count(*) from vault.source_identity").fetchone() == (0,)
    assert vault.register(vault_client, "b1", [identity(1)], method="m") == 1


def test_what_the_database_says_of_a_row_stays_there(
    vault_client: vault.Connection, postgres: Cluster
) -> None:
    """A row the COPY, the table or the driver refuses is quoted by PostgreSQL in full."""
    refused = {
        "CheckViolation, SQLSTATE 23514": Identity(
            "no pseudonym", "k", "s", "Patient", "Canary Name", MONDAY
        ),
        "NotNullViolation, SQLSTATE 23502": Identity(
            f"{1:032x}", None, "s", "Patient", "Canary Name", MONDAY
        ),  # type: ignore[arg-type]
        "DataError": identity(1)._replace(source_id="Canary\0Name"),
    }
    for kind, bad in refused.items():
        with pytest.raises(CitywellError, match=kind) as raised:
            vault.register(vault_client, "b1", [identity(2), bad], method="m")
        assert "Canary" not in "".join(traceback.format_exception(raised.value))
    log = (postgres.secrets.parent.parent / "postgres.log").read_text()
    assert "Canary" not in log
    assert vault.register(vault_client, "b1", [identity(2)], method="m") == 1


def test_a_copy_that_takes_too_long_is_told_without_its_row(vault_client: vault.Connection) -> None:
    vault_client.execute("set statement_timeout = '200ms'")
    vault_client.commit()

    def slow() -> Iterator[Identity]:
        yield identity(1)._replace(source_id="Canary Name")
        time.sleep(1)
        yield identity(2)._replace(source_id="Canary Name")

    with pytest.raises(CitywellError, match="QueryCanceled, SQLSTATE 57014") as raised:
        vault.register(vault_client, "b1", slow(), method="m")
    assert "Canary" not in "".join(traceback.format_exception(raised.value))


def test_any_statement_of_a_connection_is_told_without_values(configured: None) -> None:
    with pytest.raises(CitywellError, match="SQLSTATE 22P02") as raised, vault.connect() as conn:
        conn.execute("select 'Canary Name'::int")
    assert "Canary" not in "".join(traceback.format_exception(raised.value))
    assert conn.closed


def test_a_vault_that_is_down_is_told(configured: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYWELL_POSTGRES_PORT", str(free_port()))
    settings.cache_clear()
    with pytest.raises(CitywellError, match="vault does not answer") as raised, vault.connect():
        pytest.fail("nobody should have answered")
    assert "citywell up" in raised.value.do


def test_migrating_again_keeps_the_rows(
    vault_client: vault.Connection, vault_owner: vault.Connection
) -> None:
    vault.register(vault_client, "b1", [identity(1), identity(2, resource_type="Encounter")], method="m")
    vault.migrate(vault_owner)
    assert vault_owner.execute("select count(*) from vault.source_identity").fetchone() == (2,)
    assert vault_owner.execute("select patient_key, method from vault.person_link").fetchall() == [
        (f"{1:032x}", "m")
    ]
