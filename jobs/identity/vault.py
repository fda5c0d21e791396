"""The vault: which source identity a pseudonym stands for, in a PostgreSQL database of its own.

Three roles use it. The owner, ``vault``, runs ``migrate`` and nothing in daily work. Jobs connect as
``vault_client``, which can select no identity: it puts rows into an inbox and calls functions that run with
the owner's rights. Linkage (``jobs.identity.linkage``) connects as ``vault_linker``, which reads demographics and
decides who is one person; it says so in ``link_run`` first.

Reading is audited by the database itself, in two transactions: ``request_access`` appends to
``access_audit`` who asks, for what purpose and for which pseudonyms; ``read_access`` answers those only,
and only once that row is committed. An answer without a lasting trace is thus impossible, even for a caller
that rolls back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from jobs import postgres
from jobs.errors import CitywellError
from jobs.identity.demographics import Demographics
from jobs.settings import settings

DATABASE = "vault"
OWNER_ROLE = "vault"
CLIENT_ROLE = "vault_client"
LINKER_ROLE = "vault_linker"
KEYS_PER_REQUEST = 10_000

Connection = psycopg.Connection[tuple[Any, ...]]

_TABLES = """
create schema if not exists vault;
revoke all on schema vault from public;

create table if not exists vault.source_identity (
    pseudonym text collate "C" primary key check (pseudonym ~ '^[0-9a-f]{32}$'),
    key_id text not null,
    source text not null,
    resource_type text not null,
    source_id text not null,
    first_seen_at timestamptz not null,
    last_batch_id text not null
);
comment on table vault.source_identity is
    'One row per pseudonym: the source identity it was made from. The only way back from a pseudonym.';

create table if not exists vault.identity_inbox (
    pseudonym text collate "C",
    key_id text,
    source text,
    resource_type text,
    source_id text,
    seen_at timestamptz
);
comment on table vault.identity_inbox is
    'One row per identity being registered by an open transaction; empty between transactions.';
alter table vault.identity_inbox add column if not exists demographics jsonb;

create table if not exists vault.person_link (
    patient_key text collate "C" primary key,
    source text not null,
    person_key text not null,
    linked_at timestamptz not null,
    method text not null
);
comment on table vault.person_link is
    'One row per source patient: the person it belongs to, since when and by what. registered_at: linked_at of the
patient as a person of its own. Pseudonyms only.';
alter table vault.person_link add column if not exists registered_at timestamptz;
update vault.person_link set registered_at = linked_at where registered_at is null;

create table if not exists vault.access_audit (
    access_id bigint generated always as identity primary key,
    requested_at timestamptz not null default clock_timestamp(),
    transaction_id xid8 not null default pg_current_xact_id(),
    role text not null,
    actor text not null check (actor <> ''),
    purpose text not null check (purpose <> '' and length(purpose) <= 200),
    run_id text not null,
    keys_requested integer not null,
    keys text[] not null
);
comment on table vault.access_audit is
    'One row per request to read identities: who, when, what for, which pseudonyms. Append-only.';

create or replace function vault.refuse_change() returns trigger language plpgsql as $body$
begin
    raise exception '% is append-only', tg_table_name;
end $body$;
create or replace trigger access_audit_append_only before update or delete or truncate on vault.access_audit
    for each statement execute function vault.refuse_change();

"""
_FUNCTIONS = """
create or replace function vault.register(batch text, method text) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp as $body$
    with
    taken as (delete from vault.identity_inbox returning *),
    registered as (
        insert into vault.source_identity as known
            (pseudonym, key_id, source, resource_type, source_id, first_seen_at, last_batch_id)
        select distinct on (pseudonym) pseudonym, key_id, source, resource_type, source_id, seen_at, batch
        from taken order by pseudonym, seen_at
        on conflict (pseudonym) do update
            set first_seen_at = least(known.first_seen_at, excluded.first_seen_at),
                last_batch_id = greatest(known.last_batch_id, excluded.last_batch_id)
            where known.first_seen_at > excluded.first_seen_at
                or known.last_batch_id < excluded.last_batch_id
        returning known.pseudonym, known.source, known.resource_type, known.first_seen_at
    ),
    said as (
        select t.source, d.* from taken as t
        cross join lateral jsonb_to_record(t.demographics) as d (
            patient_key text, house text, record_number text, given text, family text, birth_date text,
            birth_precision text, sex text, national_id text, phone text, email text, postal_code text, street text,
            city text, version_at timestamptz, digest text
        )
        where t.demographics is not null
    ),
    linked as (
        insert into vault.person_link (patient_key, source, person_key, linked_at, method, registered_at)
        select pseudonym, source, pseudonym, first_seen_at, register.method, first_seen_at
        from registered where resource_type = 'Patient' or pseudonym in (select s.patient_key from said as s)
        on conflict (patient_key) do nothing
    ),
    described as (
        insert into vault.demographics as known (
            patient_key, source, house, record_number, given, family, birth_date, birth_precision, sex, national_id,
            phone, email, postal_code, street, city, version_at, digest
        )
        select distinct on (patient_key) patient_key, source, house, record_number, given, family, birth_date,
            birth_precision, sex, national_id, phone, email, postal_code, street, city, version_at, digest
        from said order by patient_key, version_at desc, digest collate "C" desc
        on conflict (patient_key) do update set
            house = excluded.house, record_number = excluded.record_number, given = excluded.given,
            family = excluded.family, birth_date = excluded.birth_date, birth_precision = excluded.birth_precision,
            sex = excluded.sex, national_id = excluded.national_id, phone = excluded.phone, email = excluded.email,
            postal_code = excluded.postal_code, street = excluded.street, city = excluded.city,
            version_at = excluded.version_at, digest = excluded.digest,
            is_linked = known.is_linked and known.digest = excluded.digest
            where (known.version_at, known.digest) < (excluded.version_at, excluded.digest)
    )
    select count(*) from registered
$body$;

create or replace function vault.request_access(keys text[], purpose text, actor text, run_id text)
returns bigint
language sql security definer set search_path = pg_catalog, pg_temp as $body$
    insert into vault.access_audit (role, actor, purpose, run_id, keys_requested, keys)
    values (session_user, actor, purpose, run_id, cardinality(keys), keys)
    returning access_id
$body$;

create or replace function vault.read_access(access bigint)
returns table (pseudonym text, source text, resource_type text, source_id text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
begin
    if not exists (
        select from vault.access_audit as a
        where a.access_id = access and a.role = session_user and a.transaction_id <> pg_current_xact_id()
            and a.requested_at > clock_timestamp() - interval '10 minutes'
    ) then
        raise exception 'no committed request of this role in the last ten minutes has this number';
    end if;
    return query
        select i.pseudonym, i.source, i.resource_type, i.source_id
        from vault.access_audit as a
        cross join unnest(a.keys) as asked (pseudonym)
        inner join vault.source_identity as i on i.pseudonym = asked.pseudonym
        where a.access_id = access;
end $body$;

revoke all on all tables in schema vault from public, vault_client, vault_linker;
revoke all on all functions in schema vault from public;
grant usage on schema vault to vault_client;
grant insert on vault.identity_inbox to vault_client;
grant select on vault.person_link to vault_client;
grant execute on function vault.register(text, text), vault.request_access(text[], text, text, text),
    vault.read_access(bigint) to vault_client;

grant temporary on database vault to vault_linker;
grant usage on schema vault to vault_linker;
grant select on vault.demographics to vault_linker;
grant update (is_linked) on vault.demographics to vault_linker;
grant select (pseudonym, source, resource_type, first_seen_at) on vault.source_identity to vault_linker;
grant select, update on vault.person_link to vault_linker;
grant select, insert on vault.link_model, vault.link_audit, vault.link_run to vault_linker;
grant select, insert, update, delete on vault.link_calibration, vault.link_term, vault.link_crowded,
    vault.link_pair, vault.link_decision, vault.link_told, vault.link_review to vault_linker;
grant execute on function vault.request_access(text[], text, text, text), vault.read_demographics(bigint)
    to vault_linker;
"""
_LINKAGE_DDL = Path(__file__).with_name("linkage") / "schema.sql"


class Description(NamedTuple):
    """Who a version of a record says somebody is; ``version_at``: the version's instant."""

    version_at: datetime
    demographics: Demographics


class Identity(NamedTuple):
    """One identity of a source. ``seen_at``: transaction time of the export it came with. ``said``: who a patient's
    record says it is, if the record came too."""

    pseudonym: str
    key_id: str
    source: str
    resource_type: str
    source_id: str
    seen_at: datetime
    said: Description | None = None


class SourceIdentity(NamedTuple):
    """What a pseudonym stands for at its source."""

    source: str
    resource_type: str
    source_id: str


@dataclass(frozen=True)
class Access:
    """Why identities are read: the name of the job, its purpose, and the batch or run it is part of."""

    actor: str
    purpose: str
    run_id: str


@contextmanager
def connect(role: str = CLIENT_ROLE) -> Iterator[Connection]:
    """A connection to the vault in the jobs' role, or linkage's, in autocommit, closed at exit.

    Raises CitywellError when the vault cannot be reached, and in the place of every psycopg.Error in the block.
    """
    try:
        conn = psycopg.connect(settings().postgres_dsn(DATABASE, role), autocommit=True, connect_timeout=10)
    except (psycopg.OperationalError, FileNotFoundError) as error:
        raise CitywellError(
            f"The vault does not answer ({type(error).__name__}).",
            where=postgres.where(DATABASE),
            do="Run `citywell status`; start the stack with `citywell up`.",
        ) from None
    with postgres.discreet(DATABASE), conn:
        yield conn


def migrate(conn: Connection) -> None:
    """Bring tables, functions and rights to this version, as the owner. Changes nothing the second time."""
    postgres.migrate(
        conn, "vault.source_identity", _TABLES.encode(), _LINKAGE_DDL.read_bytes(), _FUNCTIONS.encode()
    )


def register(conn: Connection, batch_id: str, identities: Iterable[Identity], *, method: str) -> int:
    """Upsert ``identities`` seen in ``batch_id`` and link new patients to a person of their own. Of what is said of a
    patient the newest version stands.

    One transaction; the same batch again changes nothing. Returns the number of rows added or updated.
    Earlier batches that come late move ``first_seen_at`` back and leave ``last_batch_id``, so order does
    not matter. Raises CitywellError, without any value, when the database refuses a row or stops answering.
    """
    with postgres.discreet(DATABASE), conn.transaction(), conn.cursor() as cursor:
        with cursor.copy(
            "copy vault.identity_inbox "
            "(pseudonym, key_id, source, resource_type, source_id, seen_at, demographics) from stdin"
        ) as copy:
            for identity in identities:
                copy.write_row((*identity[:-1], _described(identity)))
        row = cursor.execute("select vault.register(%s, %s)", (batch_id, method)).fetchone()
    assert row is not None
    return int(row[0])


def _described(identity: Identity) -> Jsonb | None:
    if identity.said is None:
        return None
    version_at, demographics = identity.said
    return Jsonb(
        {
            "patient_key": identity.pseudonym,
            "version_at": version_at.isoformat(),
            "digest": demographics.digest,
            **demographics._asdict(),
        }
    )


def resolve(conn: Connection, keys: Sequence[str], access: Access) -> Mapping[str, SourceIdentity]:
    """The source identities behind ``keys``; a pseudonym the vault does not know is absent from the answer.

    Commits one ``access_audit`` row per 10,000 keys before the first identity is read, so ``conn`` must not
    be inside a transaction. Raises CitywellError then, and when the database refuses or stops answering.
    """
    if conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        raise CitywellError(
            "The vault is read outside a transaction only: the audit row must be committed first.",
            where=f"{access.actor}, run {access.run_id}",
            do="Commit or close the open transaction before resolving.",
        )
    unique = list(dict.fromkeys(keys))
    found: dict[str, SourceIdentity] = {}
    with postgres.discreet(DATABASE):
        for start in range(0, len(unique), KEYS_PER_REQUEST):
            found.update(_resolve(conn, unique[start : start + KEYS_PER_REQUEST], access))
    return found


def request(conn: Connection, keys: Sequence[str], access: Access) -> int:
    """Commit to the audit who reads identities, what for and of whom; the number of the request."""
    with postgres.discreet(DATABASE), conn.transaction():
        row = conn.execute(
            "select vault.request_access(%s, %s, %s, %s)",
            (list(keys), access.purpose, access.actor, access.run_id),
        ).fetchone()
    assert row is not None
    return int(row[0])


def _resolve(conn: Connection, keys: list[str], access: Access) -> Iterator[tuple[str, SourceIdentity]]:
    number = request(conn, keys, access)
    with conn.transaction():
        answers = conn.execute("select * from vault.read_access(%s)", (number,)).fetchall()
    return ((key, SourceIdentity(*identity)) for key, *identity in answers)
