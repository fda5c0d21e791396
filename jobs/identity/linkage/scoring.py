"""Scores pairs of records with Splink on DuckDB, in this process: nothing is written anywhere.

Flow: demographics -> records with derived columns -> blocking -> Splink's match weight, without the prior for the
population -> per pair what speaks against it. Match weights are log2 Bayes factors plus the log2 of the model's prior.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from jobs.identity.demographics import is_valid_national_id
from jobs.identity.linkage.clusters import Pair, Patient
from jobs.identity.linkage.records import BLOCKS, database, derive

PAIR_SCHEMA = pa.schema(
    [
        ("key_a", pa.string()),
        ("key_b", pa.string()),
        ("weight", pa.float64()),
        ("rule", pa.string()),
        ("against", pa.string()),
    ]
)
"""Grain: a pair, ``key_a`` < ``key_b``. ``weight``: bits. ``rule``: the deterministic rule that joins them, or null.
``against``: what contradicts, comma-separated: national_id, given, birth, generation (a parent and child by age),
names (neither the given nor the family name of the one can be held against that of the other)."""

TERMS = ("given1", "family")
"""Columns whose frequent values count less."""
LEAST_SHARE_WITH_ID = 0.2
LEAST_PAIRS_PER_RECORD, MOST_PAIRS_PER_RECORD = 0.01, 2.0
MOST_PRIOR = 0.05

# What holds of two given names that may be one: a typing slip, an initial, a pet name, a second name used first.
_GIVEN_VARIANT = """(
    jaro_winkler_similarity(given1_l, given1_r) >= 0.88
    or starts_with(given1_l, given1_r) or starts_with(given1_r, given1_l)
    or coalesce(given1_l = given2_r, false) or coalesce(given2_l = given1_r, false)
    or list_has_any(root_l, root_r)
    or damerau_levenshtein(given1_l, given1_r) <= 1
)"""
_REVERSED = """(
    (given1_l = family_r and jaro_winkler_similarity(given1_r, family_l) >= 0.85)
    or (given1_r = family_l and jaro_winkler_similarity(given1_l, family_r) >= 0.85)
)"""
# Two second names that are known, neither an initial or a slip of the other, nor a first name there.
_OTHER_SECOND = """(
    jaro_winkler_similarity(given2_l, given2_r) < 0.88
    and not starts_with(given2_l, given2_r) and not starts_with(given2_r, given2_l)
    and given1_l <> given2_r and given2_l <> given1_r
)"""
# DuckDB compares bytes: of letters that are not Latin, names that differ look alike.
_OTHER_GIVEN = f"""(
    given1_is_latin_l = given1_is_latin_r
    and (
        not (given1_l = given1_r or {_GIVEN_VARIANT} or coalesce({_REVERSED}, false))
        or coalesce({_OTHER_SECOND}, false)
        or (given1_l <> given1_r and (not given1_is_latin_l or coalesce(sex_l <> sex_r, false)))
    )
)"""
_BIRTH_NEAR = """(
    starts_with(birth_date_l, birth_date_r) or starts_with(birth_date_r, birth_date_l)
    or damerau_levenshtein(birth_date_l, birth_date_r) <= 1
    or coalesce(birth_date_l = birth_flipped_r, false)
    or coalesce(abs(datediff('day', birth_day_l, birth_day_r)) in (1, 2, 9, 10, 11, 364, 365, 366), false)
)"""


@dataclass(frozen=True)
class Model:
    """A trained model. settings: Splink's, with m and u probabilities and no value of a person. prior: the probability
    that two random records are of one person. terms: per column of TERMS the share of records with each value."""

    settings: Mapping[str, Any]
    prior: float
    terms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """What a run of scoring gives. pairs: PAIR_SCHEMA, ordered. keys: patients scored against everybody. crowded: the
    block and value of each crowded block."""

    pairs: pa.Table
    keys: list[str]
    crowded: list[tuple[str, str]]


def untrained() -> dict[str, Any]:
    """Splink's settings before training: comparisons and their levels."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "patient_key",
        "retain_matching_columns": False,
        "probability_two_random_records_match": 1e-4,
        "blocking_rules_to_generate_predictions": [],
        "comparisons": [
            _comparison(
                "given",
                "coalesce(given1_is_latin_l <> given1_is_latin_r, true)",
                _tf("given1_l = given1_r", "given1"),
                _level(_GIVEN_VARIANT, "variant"),
                _level(_REVERSED, "reversed"),
            ),
            _comparison(
                "family",
                "coalesce(family_is_latin_l <> family_is_latin_r, true)",
                _tf("family_l = family_r", "family"),
                _level(
                    "(jaro_winkler_similarity(family_l, family_r) >= 0.9 "
                    "or damerau_levenshtein(family_l, family_r) <= 1)",
                    "slip",
                ),
                _level(_REVERSED, "reversed"),
            ),
            _comparison(
                "birth",
                "birth_date_l is null or birth_date_r is null",
                _level("birth_date_l = birth_date_r and length(birth_date_l) = 10", "same day"),
                _level(_BIRTH_NEAR, "near or partial"),
            ),
            _comparison("sex", "sex_l is null or sex_r is null", _level("sex_l = sex_r", "same")),
            _comparison(
                "national_id",
                "national_id_l is null or national_id_r is null",
                _level("national_id_l = national_id_r", "same"),
                _level("levenshtein(national_id_l, national_id_r) <= 2", "near"),
            ),
            _comparison(
                "contact",
                "(email_l is null or email_r is null) and (phone_l is null or phone_r is null) "
                "and (home_l is null or home_r is null)",
                _level("email_l = email_r", "e-mail"),
                _level("phone_l = phone_r and home_l = home_r", "phone and home"),
                _level("phone_l = phone_r or home_l = home_r", "phone or home"),
            ),
        ],
    }


def pairs_of(scored: pa.Table) -> list[Pair]:
    """Rows of PAIR_SCHEMA as pairs."""
    return [
        Pair(a, b, weight, rule or "", frozenset(against.split(",")) if against else frozenset())
        for a, b, weight, rule, against in zip(
            *(column.to_pylist() for column in scored.columns), strict=True
        )
    ]


def patients_of(records: pa.Table) -> dict[str, Patient]:
    """What clustering must know of ``records`` (RECORD_SCHEMA)."""
    columns = (records[name].to_pylist() for name in ("patient_key", "house", "national_id"))
    return {
        key: Patient(house, national_id if is_valid_national_id(national_id) else "")
        for key, house, national_id in zip(*columns, strict=True)
    }


def score(
    records: pa.Table,
    model: Model,
    *,
    changed: Sequence[str] | None = None,
    crowded: Sequence[tuple[str, str]] = (),
    least_weight: float = 0.0,
) -> Scored:
    """Pairs of ``records`` (RECORD_SCHEMA) of at least that weight, and those a rule joins.

    changed: only pairs with one of these patients, or of a block that was crowded when the others were scored
    (``crowded``) and is not now, or the other way round; by default all.
    """
    with database() as db:
        derive(db, records, changed, crowded)
        keys = db.execute("select patient_key from records where is_changed order by 1").fetchall()
        now_crowded = db.execute("select block, value from crowded order by 1, 2").fetchall()
        return Scored(_pairs(db, model, least_weight), [row[0] for row in keys], now_crowded)


def train(records: pa.Table, *, seed: int = 1, max_pairs: float = 2e6) -> dict[str, Any]:
    """Splink's settings with u by random sampling and m by expectation maximisation over ``records``.

    Two sessions, each blind to what it is blocked on, so that every comparison is learnt in one: pairs of one national
    id, and pairs of one given name and birth date.
    """
    from splink import DuckDBAPI, Linker

    with database() as db:
        derive(db, records)
        api = DuckDBAPI(connection=db)
        linker = Linker(api.register("records", table_name="people"), untrained(), log_level=logging.ERROR)
        linker.training.estimate_u_using_random_sampling(max_pairs=max_pairs, seed=seed)
        for rule in (
            "l.national_id = r.national_id",
            "l.given1 = r.given1 and l.birth_date = r.birth_date",
        ):
            linker.training.estimate_parameters_using_expectation_maximisation(
                rule, estimate_without_term_frequencies=True
            )
        settings: dict[str, Any] = linker.misc.save_model_to_json()
    del settings["linker_uid"]
    return _with_floor(settings, 1 / max_pairs)


def _with_floor(settings: dict[str, Any], least: float) -> dict[str, Any]:
    """Settings in which no level is without probabilities: what was never seen is as rare as the sample can say."""
    for comparison in settings["comparisons"]:
        for level in comparison["comparison_levels"]:
            if not level.get("is_null_level"):
                for name in ("m_probability", "u_probability"):
                    level[name] = max(level.get(name) or least, least)
    return settings


def calibrated(records: pa.Table, settings: Mapping[str, Any], pairs_per_record: float) -> Model:
    """A model fitted to ``records``: the shares of names, and how probable it is that two records are of one person.

    The latter from the pairs with one valid national id and birth date, as far as records have an id; where hardly any
    has one, from ``pairs_per_record``, what there was where the model was trained.
    """
    with database() as db:
        derive(db, records)
        terms = {
            column: dict(
                db.execute(
                    f"select {column}, count(*) / sum(count(*)) over () from records "  # noqa: S608
                    f"where {column} is not null group by 1 order by 1"
                ).fetchall()
            )
            for column in TERMS
        }
        row = db.execute(_CERTAIN).fetchone()
    count = records.num_rows
    certain, with_id = row if row else (0, 0)
    share = with_id / count if count else 0.0
    expected = certain / share**2 if share >= LEAST_SHARE_WITH_ID else pairs_per_record * count
    expected = min(max(expected, LEAST_PAIRS_PER_RECORD * count), MOST_PAIRS_PER_RECORD * count)
    possible = max(count * (count - 1) / 2, 1.0)
    return Model(settings, min(expected / possible, MOST_PRIOR), terms)


_CERTAIN = """
select coalesce(sum(n * (n - 1) / 2), 0), coalesce(sum(n), 0)
from (select count(*) as n from records where valid_id is not null group by valid_id, birth_date)
"""


def _pairs(db: duckdb.DuckDBPyConnection, model: Model, least_weight: float) -> pa.Table:
    from splink import DuckDBAPI, Linker

    settings = {
        **model.settings,
        "probability_two_random_records_match": model.prior,
        "blocking_rules_to_generate_predictions": [
            {"blocking_rule": f"l.{block}_block = r.{block}_block and (l.is_changed or r.is_changed)"}
            for block in BLOCKS
        ],
    }
    api = DuckDBAPI(connection=db)
    linker = Linker(
        api.register("records", table_name="people"),
        settings,
        log_level=logging.ERROR,
        validate_settings=False,
    )
    for column in TERMS:
        terms = model.terms.get(column, {})
        shares = pa.table(
            {
                column: pa.array(list(terms), pa.string()),
                f"tf_{column}": pa.array(list(terms.values()), pa.float64()),
            }
        )
        db.register(f"terms_{column}", shares)
        linker.table_management.register_term_frequency_lookup(
            api.register(f"terms_{column}", table_name=f"tf_{column}"), column
        )
    scored = linker.inference.predict(warning_mode="never").physical_name
    judged = _JUDGED.format(
        scored=scored,
        other_given=_sides(_OTHER_GIVEN),
        birth=_sides(_BIRTH_NEAR),
        least=least_weight,
    )
    return db.sql(judged).to_arrow_table().cast(PAIR_SCHEMA)


_JUDGED = """
with judged as (
    select
        least(s.patient_key_l, s.patient_key_r) as key_a,
        greatest(s.patient_key_l, s.patient_key_r) as key_b,
        round(s.match_weight, 6) as weight,
        coalesce(l.valid_id = r.valid_id, false) as is_same_id,
        coalesce(l.valid_id <> r.valid_id and l.id_scheme = r.id_scheme, false) as is_other_id,
        coalesce(l.record_block = r.record_block, false) as is_same_record,
        coalesce({other_given}, false) or l.is_placeholder or r.is_placeholder as is_other_given,
        coalesce(not ({birth}), false) as is_other_birth,
        coalesce(abs(l.birth_year - r.birth_year) >= 12, false) as is_other_generation,
        coalesce(l.given1_is_latin <> r.given1_is_latin, true)
        and coalesce(l.family_is_latin <> r.family_is_latin, true) as is_without_names
    from {scored} as s
    inner join records as l on s.patient_key_l = l.patient_key
    inner join records as r on s.patient_key_r = r.patient_key
),

ruled as (
    select
        *,
        case
            when is_same_record and not is_other_birth then 'record_number'
            when is_same_id and not is_other_given and not is_other_birth then 'national_id'
        end as rule
    from judged
)

select
    key_a,
    key_b,
    weight,
    rule,
    concat_ws(
        ',',
        case when is_other_id then 'national_id' end,
        case when is_other_given then 'given' end,
        case when is_other_birth then 'birth' end,
        case when is_other_generation then 'generation' end,
        case when is_without_names then 'names' end
    ) as against
from ruled
where weight >= {least:f} or rule is not null
order by key_a, key_b
"""


def _sides(condition: str) -> str:
    """A condition over columns ``x_l`` and ``x_r`` as one over ``l.x`` and ``r.x``."""
    return re.sub(r"\b([a-z_0-9]+)_([lr])\b", r"\2.\1", condition)


def _comparison(name: str, is_null: str, *levels: dict[str, Any]) -> dict[str, Any]:
    null = {"sql_condition": is_null, "label_for_charts": "not known", "is_null_level": True}
    other = {"sql_condition": "ELSE", "label_for_charts": "other"}
    return {"output_column_name": name, "comparison_levels": [null, *levels, other]}


def _level(condition: str, label: str) -> dict[str, Any]:
    return {"sql_condition": condition, "label_for_charts": label}


def _tf(condition: str, column: str) -> dict[str, Any]:
    return {**_level(condition, "same"), "tf_adjustment_column": column, "tf_adjustment_weight": 1.0}
