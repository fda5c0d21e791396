-- Tables of linkage in the vault. Everything here is pseudonyms and figures, but demographics, link_term and
-- link_crowded: those hold names and phones and never leave the vault.

create table if not exists vault.demographics (
    patient_key text collate "C" primary key,
    source text not null,
    house text not null,
    record_number text not null,
    given text not null,
    family text not null,
    birth_date text not null,
    birth_precision text not null check (birth_precision in ('day', 'month', 'year', '')),
    sex text not null check (sex in ('female', 'male', '')),
    national_id text not null,
    phone text not null,
    email text not null,
    postal_code text not null,
    street text not null,
    city text not null,
    version_at timestamptz not null,
    digest text collate "C" not null,
    is_linked boolean not null default false
);
comment on table vault.demographics is
    'One row per patient: who the newest version of its record says it is, normalised; empty texts where not known.
is_linked: scored against everybody as it stands.';
create index if not exists demographics_unlinked on vault.demographics (patient_key) where not is_linked;

create table if not exists vault.link_model (
    model_id bigint generated always as identity primary key,
    made_at timestamptz not null default clock_timestamp(),
    role text not null default session_user,
    actor text not null check (actor <> ''),
    origin text not null,
    settings jsonb not null,
    thresholds jsonb not null,
    evidence jsonb not null
);
comment on table vault.link_model is
    'One row per trained model, the newest in use: parameters without any value of a person, thresholds and the evidence
they were chosen on. Append-only.';

create table if not exists vault.link_calibration (
    is_only boolean primary key default true check (is_only),
    model_id bigint not null,
    calibrated_at timestamptz not null,
    records bigint not null,
    prior double precision not null
);
comment on table vault.link_calibration is
    'One row: how the model in use was fitted to the people here, when there were so many.';

create table if not exists vault.link_term (
    attribute text not null,
    term text collate "C" not null,
    share double precision not null,
    primary key (attribute, term)
);
comment on table vault.link_term is
    'One row per name: the share of people who have it. Names; stays in the vault.';

create table if not exists vault.link_crowded (
    block text not null,
    value text collate "C" not null,
    primary key (block, value)
);
comment on table vault.link_crowded is
    'One row per value of a block that too many records shared to make pairs when pairs were last scored. Phones, names;
stays in the vault.';

create table if not exists vault.link_pair (
    key_a text collate "C" not null,
    key_b text collate "C" not null check (key_a < key_b),
    weight double precision not null,
    rule text,
    against text not null,
    primary key (key_a, key_b)
);
comment on table vault.link_pair is
    'One row per pair of patients that may be one person: match weight (bits), the rule that joins them, and what speaks
against it.';
create index if not exists link_pair_b on vault.link_pair (key_b);

create table if not exists vault.link_decision (
    key_a text collate "C" not null,
    key_b text collate "C" not null check (key_a < key_b),
    verdict text not null check (verdict in ('link', 'apart')),
    decided_at timestamptz not null,
    actor text not null check (actor <> ''),
    reason text not null check (reason <> ''),
    primary key (key_a, key_b)
);
comment on table vault.link_decision is
    'One row per pair somebody has decided on: stands above every score, and above what is told.';

create table if not exists vault.link_told (
    key_a text collate "C" not null,
    key_b text collate "C" not null check (key_a < key_b),
    verdict text not null check (verdict in ('link', 'apart', 'none')),
    told_at timestamptz not null,
    source text not null check (source <> ''),
    kind text not null,
    said_in text not null,
    primary key (key_a, key_b)
);
comment on table vault.link_told is
    'One row per pair that a hospital has told to be one person or not (A34, A40, A37, Patient.link), as it stands: stands
above every score. none: a merge was taken back. source, kind, said_in: who tells it, by what, in which message or record.';

create table if not exists vault.link_review (
    key_a text collate "C" not null,
    key_b text collate "C" not null check (key_a < key_b),
    weight double precision not null,
    why text not null,
    queued_at timestamptz not null,
    primary key (key_a, key_b)
);
comment on table vault.link_review is
    'One row per pair that waits for a person to decide.';

create table if not exists vault.link_audit (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null,
    role text not null default session_user,
    actor text not null check (actor <> ''),
    run_id text not null,
    kind text not null check (kind in ('merge', 'split', 'rekey', 'decision', 'undo')),
    reason text not null check (reason <> ''),
    evidence jsonb not null,
    before jsonb not null,
    after jsonb not null,
    retired text[] not null,
    decisions_before jsonb not null,
    decisions_after jsonb not null,
    undoes bigint
);
alter table vault.link_audit add column if not exists told_before jsonb not null default '[]';
alter table vault.link_audit add column if not exists told_after jsonb not null default '[]';
comment on table vault.link_audit is
    'One row per change of who is one person: who, when, why, every member before and after, the person keys no longer in
use, and the decisions and what was told that it rests on; what undoing it needs. Append-only.';
create index if not exists link_audit_undoes on vault.link_audit (undoes);

create table if not exists vault.link_run (
    run_id text not null,
    begun_at timestamptz not null default clock_timestamp(),
    role text not null default session_user,
    actor text not null check (actor <> ''),
    purpose text not null check (purpose <> ''),
    records bigint not null
);
comment on table vault.link_run is
    'One row per reading of everybody''s demographics, committed before it: who, when, what for, how many. Append-only.';

create or replace trigger link_audit_append_only before update or delete or truncate on vault.link_audit
    for each statement execute function vault.refuse_change();
create or replace trigger link_run_append_only before update or delete or truncate on vault.link_run
    for each statement execute function vault.refuse_change();
create or replace trigger link_model_append_only before update or delete or truncate on vault.link_model
    for each statement execute function vault.refuse_change();

create or replace function vault.read_demographics(access bigint)
returns setof vault.demographics
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
        select d.*
        from vault.access_audit as a
        cross join unnest(a.keys) as asked (patient_key)
        inner join vault.demographics as d on d.patient_key = asked.patient_key
        where a.access_id = access;
end $body$;
