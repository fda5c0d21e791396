-- The tables of the control database; run by jobs.lake.control.migrate, at any time and any number of times.

create table if not exists batch (
    batch_id text primary key,
    source text not null,
    as_of timestamptz not null,
    since timestamptz,
    is_full boolean not null generated always as (since is null) stored,
    is_first_load boolean not null,
    transaction_time timestamptz,
    status text not null default 'open' check (
        status in ('open', 'landed', 'staged', 'checked', 'judged', 'published', 'failed')
    ),
    failure jsonb,
    opened_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    published_at timestamptz
);
alter table batch add column if not exists is_complete boolean;
alter table batch add column if not exists newest_version_at timestamptz;
create index if not exists batch_source on batch (source, as_of);
comment on table batch is 'One row per export of one endpoint.';

create table if not exists export_job (
    batch_id text not null references batch on delete cascade,
    attempt integer not null check (attempt > 0),
    status_url text not null,
    kicked_off_at timestamptz not null,
    state text not null check (state in ('running', 'complete', 'expired', 'failed')),
    primary key (batch_id, attempt)
);
comment on table export_job is 'One row per export started for a batch: where its progress is asked for.';

create table if not exists landed_file (
    batch_id text not null references batch on delete cascade,
    file text not null,
    resource_type text not null,
    kind text not null check (kind in ('output', 'deleted', 'error')),
    url_digest text not null,
    bytes bigint not null check (bytes >= 0),
    lines bigint not null check (lines >= 0),
    blank_lines bigint not null check (blank_lines >= 0),
    sha256 text not null,
    expected_lines bigint,
    landed_at timestamptz not null default now(),
    primary key (batch_id, file)
);
alter table landed_file add column if not exists records bigint;
alter table landed_file add column if not exists origin text;
alter table landed_file add column if not exists sent_at timestamptz;
comment on table landed_file is 'One row per landed file of a batch.';

create table if not exists watermark (
    source text primary key,
    transaction_time timestamptz not null,
    batch_id text not null references batch,
    moved_at timestamptz not null default now()
);
comment on table watermark is 'One row per source: up to when everything has been received and published.';

create table if not exists publication (
    id bigint generated always as identity primary key,
    published_at timestamptz not null default now(),
    kind text not null,
    run_id text not null,
    tables jsonb not null
);
create unique index if not exists publication_batch on publication (run_id) where kind = 'batch';
comment on table publication is
    'One row per moment at which table versions became visible. The run_id of kind batch is the batch id.';

create table if not exists receipt (
    batch_id text not null references batch on delete cascade,
    source text not null,
    file text not null,
    resource_type text not null,
    received bigint not null check (received >= 0),
    published bigint not null check (published >= 0),
    superseded bigint not null check (superseded >= 0),
    duplicate bigint not null check (duplicate >= 0),
    deleted bigint not null check (deleted >= 0),
    unmodelled bigint not null check (unmodelled >= 0),
    quarantined bigint not null check (quarantined >= 0),
    primary key (batch_id, file, resource_type),
    constraint receipt_balances check (
        received = published + superseded + duplicate + deleted + unmodelled + quarantined
    )
);
alter table receipt add column if not exists withheld bigint not null default 0;
alter table receipt add column if not exists repaired bigint not null default 0;
comment on table receipt is
    'One row per received file: what became of its records, as judged when it was processed.';

create table if not exists repair (
    batch_id text not null references batch on delete cascade,
    file text not null,
    line bigint not null,
    repaired_by text not null references batch on delete cascade,
    primary key (batch_id, file, line)
);
comment on table repair is 'One row per rejected record that has been received again, repaired, and accepted.';
