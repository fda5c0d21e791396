"""Records as they are compared: demographics, null where not known, with derived columns and the values of blocks.

Blocks hold the work down: pairs are made of records that are equal in one. A value that more than MOST_IN_BLOCK records
share (a placeholder such as ``000000``) is crowded and makes no pairs. When a value becomes crowded, or no longer is,
all who have it are scored anew, so that pairs do not depend on the order in which records came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources

import duckdb
import pyarrow as pa

from jobs.errors import CitywellError
from jobs.identity.demographics import is_valid_national_id

RECORD_SCHEMA = pa.schema(
    [
        (name, pa.string())
        for name in (
            "patient_key",
            "source",
            "house",
            "record_number",
            "given",
            "family",
            "birth_date",
            "sex",
            "national_id",
            "phone",
            "email",
            "postal_code",
            "street",
        )
    ]
)
"""Grain: one described patient. Empty texts where not known."""

MOST_IN_BLOCK = 100
BLOCKS = (
    "national_id",
    "phone",
    "email",
    "record",
    "home_given",
    "birth_given",
    "birth_family",
    "birth_second",
    "birth_name_set",
    "name_year",
    "name_set_year",
    "name_monthday",
)
PLACEHOLDERS = (
    *("baby", "babyboy", "babygirl", "boy", "girl", "infant", "neonate", "newborn", "twin", "triplet"),
    *("unknown", "unnamed"),
)
"""Words that stand for the given name of somebody who has none yet: hospitals name newborns so, with the mother's name
or a letter beside (The Joint Commission, R3 Report 17, Distinct Newborn Identification Requirement, 2018)."""
_THREADS = 2


@contextmanager
def _discreet() -> Iterator[None]:
    """What DuckDB, or Splink in its place, says of a failed statement quotes values; people and logs get the kind of
    error alone."""
    from splink.internals.exceptions import SplinkException

    try:
        yield
    except (duckdb.Error, SplinkException) as error:
        raise CitywellError(
            f"Pairs of records cannot be scored ({type(error.__cause__ or error).__name__})",
            where="linkage, in memory",
            do="run again; with little memory free, free some first",
        ) from None


@contextmanager
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in memory that touches no file and no network: it spills nothing, and what does not fit into memory
    fails. Raises CitywellError, also for what fails in the block."""
    with (
        _discreet(),
        duckdb.connect(
            ":memory:",
            config={
                "threads": _THREADS,
                "temp_directory": "",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        ) as db,
    ):
        yield db


def derive(
    db: duckdb.DuckDBPyConnection,
    records: pa.Table,
    changed: Sequence[str] | None = None,
    was_crowded: Sequence[tuple[str, str]] = (),
) -> None:
    """Table ``records``: RECORD_SCHEMA with nulls for what is not known, derived columns and the values of BLOCKS.
    Table ``crowded``: block and value."""
    valid = [is_valid_national_id(value) for value in records["national_id"].to_pylist()]
    db.register("given_records", records.append_column("is_valid_id", pa.array(valid, pa.bool_())))
    db.register("given_changed", pa.table({"patient_key": pa.array(list(changed or ()), pa.string())}))
    db.register("nicknames", _nicknames())
    db.execute(_DERIVED.format(all=changed is None, placeholders=list(PLACEHOLDERS)))
    crowded = " union all ".join(
        f"select '{block}' as block, {block}_raw as value from derived where {block}_raw is not null "  # noqa: S608
        f"group by {block}_raw having count(*) > {MOST_IN_BLOCK}"
        for block in BLOCKS
    )
    db.execute(f"create table crowded as {crowded}")
    blocks = {row[0] for row in db.execute("select distinct block from crowded").fetchall()}
    was = [pa.array([row[place] for row in was_crowded], pa.string()) for place in (0, 1)]
    db.register("was_crowded", pa.table(was, names=["block", "value"]))
    db.execute(
        "create table crossed as (from crowded except from was_crowded) "
        "union all (from was_crowded except from crowded)"
    )
    crossed = {row[0] for row in db.execute("select distinct block from crossed").fetchall()}
    is_changed = " or ".join(
        [
            "is_changed",
            *(
                f"coalesce({block}_raw in (select value from crossed where block = '{block}'), false)"  # noqa: S608
                for block in BLOCKS
                if block in crossed
            ),
        ]
    )
    limited = ", ".join(
        f"case when {block}_raw in (select value from crowded where block = '{block}') then null "  # noqa: S608
        f"else {block}_raw end as {block}_block"
        if block in blocks
        else f"{block}_raw as {block}_block"
        for block in BLOCKS
    )
    db.execute(
        f"create table records as select * exclude ({', '.join(f'{b}_raw' for b in BLOCKS)}) "  # noqa: S608
        f"replace ({is_changed} as is_changed), {limited} from derived"
    )
    db.execute("drop table derived")


_DERIVED = """
create table derived as
with split as (
    select
        patient_key,
        source,
        nullif(house, '') as house,
        nullif(record_number, '') as record_number,
        nullif(split_part(given, ' ', 1), '') as given1,
        nullif(split_part(given, ' ', 2), '') as given2,
        nullif(family, '') as family,
        nullif(birth_date, '') as birth_date,
        nullif(sex, '') as sex,
        nullif(national_id, '') as national_id,
        case when is_valid_id then national_id end as valid_id,
        split_part(national_id, ':', 1) as id_scheme,
        nullif(phone, '') as phone,
        nullif(email, '') as email,
        case when postal_code <> '' and street <> '' then postal_code || ' ' || street end as home,
        list_has_any(string_split(given, ' '), {placeholders}) as is_placeholder,
        {all} or patient_key in (select patient_key from given_changed) as is_changed
    from given_records
),

roots as (
    select called, list(distinct name order by name) as root from nicknames group by called
)

select
    split.*,
    coalesce(roots.root, []) as root,
    regexp_full_match(given1, '[a-z0-9]+') as given1_is_latin,
    regexp_full_match(family, '[a-z0-9 ]+') as family_is_latin,
    try_cast(birth_date[1:4] as integer) as birth_year,
    case when length(birth_date) = 10 then try_cast(birth_date as date) end as birth_day,
    case
        when length(birth_date) = 10 then birth_date[1:4] || '-' || birth_date[9:10] || '-' || birth_date[6:7]
    end as birth_flipped,
    national_id as national_id_raw,
    phone as phone_raw,
    email as email_raw,
    house || '|' || record_number as record_raw,
    home || '|' || given1[1:1] as home_given_raw,
    birth_date || '|' || given1[1:2] as birth_given_raw,
    birth_date || '|' || family[1:2] as birth_family_raw,
    birth_date || '|' || coalesce(given2, given1) as birth_second_raw,
    birth_date || '|' || least(given1[1:1], family[1:1]) || greatest(given1[1:1], family[1:1]) as birth_name_set_raw,
    given1 || '|' || family || '|' || birth_date[1:4] as name_year_raw,
    least(given1, family) || '|' || greatest(given1, family) || '|' || birth_date[1:3] as name_set_year_raw,
    family || '|' || given1[1:1] || '|' || birth_date[6:10] as name_monthday_raw
from split
left join roots on split.given1 = roots.called
"""


def _nicknames() -> pa.Table:
    """name, called: a name is called itself too."""
    text = resources.files("jobs.identity.linkage").joinpath("nicknames.txt").read_text()
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [(name, called) for name, *short in rows for called in (name, *short)]
    return pa.table({"name": [p[0] for p in pairs], "called": [p[1] for p in pairs]})
