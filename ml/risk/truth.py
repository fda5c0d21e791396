"""The true risks of a question's cases, and the declines planted in them, out of the simulated city's answer key.

For use inside the landing and vault zone: it turns the key's ids into pseudonyms. Only the simulated city has a key.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import CitywellError
from ml import answer_key as key
from ml.lake import opened
from ml.risk import questions

DISCHARGES, QUARTERS, DECLINES = "discharges", "true_risks", "declines"
"""Tables of the key: a true risk for each stay; those of everybody, by quarter and question; the admissions that a
participant's devices show beforehand."""
HAZARD = "emergency_90d"
"""The true risk that ranks people by how often they need a hospital unplanned, whatever their devices tell."""
LEAST_KNOWN = 0.95
"""Share of the city's cases that the key must know. Some records are not what they were, by the dirt that was planted;
of people it does not know either who is several in the lake, or whose records are mixed with another's."""


def told(answer_key: Path | None = None) -> list[str]:
    """The questions whose true risks the key tells, sorted. Raises CitywellError when there is no key."""
    by_quarter = pq.read_schema(key.table(QUARTERS, answer_key)).names
    return [name for name in questions.names() if _table_of(name) == DISCHARGES or name in by_quarter]


def true_risks(name: str, rows: pa.Table, answer_key: Path | None = None) -> np.ndarray:
    """The true risk of each case of question ``name``.

    NaN for those of hospitals that the city does not play, for those the key does not know, and for people who by the
    city's own account are not at risk: in hospital, dead, or ill already, and not yet told to be. rows: source,
    starts_at, encounter_key, person_key. answer_key: the city's directory of that name. Raises CitywellError when
    there is none, when it tells no risk of this name, or when it knows fewer than LEAST_KNOWN of the city's cases.
    """
    table = _table_of(name)
    path = key.table(table, answer_key)
    if table == DISCHARGES:
        sources, risk, is_known = _of_stays(rows, pq.read_table(path).to_pandas())
    else:
        if name not in pq.read_schema(path).names:
            raise CitywellError(
                f"The answer key tells no true risk of {name}.",
                where=str(path),
                do="judge it without the key",
            )
        sources, people = _people(name, answer_key)
        risk, is_known = of_people(rows, pd.read_parquet(path, columns=["person_id", "at", name]), people)
    _require_known(name, rows, sources, is_known, path)
    return risk


def planted_declines(
    name: str, rows: pa.Table, answer_key: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Of each case of question ``name``, as of :func:`of_declines`: whether it comes before the admission of a planted
    decline, and the person's hazard. rows: source, person_key, starts_at, ends_at. Raises CitywellError when there is
    no answer key, or when it knows fewer than LEAST_KNOWN of the city's cases.
    """
    path = key.table(DECLINES, answer_key)
    risks = pd.read_parquet(key.table(QUARTERS, answer_key), columns=["person_id", "at", HAZARD])
    sources, people = _people(name, answer_key)
    is_before, hazard = of_declines(rows, pd.read_parquet(path), risks, people)
    _require_known(name, rows, sources, ~np.isnan(is_before), path)
    return is_before, hazard


def of_people(rows: pa.Table, risks: pd.DataFrame, people: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The true risk of each case, NaN where there is none, and whether the key knows the person and the instant.

    rows: person_key, starts_at. risks: person_id, at, and the risk. people: person_id, person_key; who is several of
    either is not known.
    """
    person_id, at, risk = risks.columns
    asked = pd.DataFrame(
        {"person_key": rows["person_key"].to_pandas(), at: _micros(rows["starts_at"].to_pandas())}
    )
    risks = risks.assign(**{at: _micros(risks[at])})
    found = asked.merge(_certain(people), on="person_key", how="left").merge(
        risks, on=[person_id, at], how="left", validate="many_to_one"
    )
    is_known = found[person_id].notna() & found[at].isin(risks[at].unique())
    return found[risk].to_numpy(dtype=float), is_known.to_numpy()


def of_declines(
    rows: pa.Table, declines: pd.DataFrame, risks: pd.DataFrame, people: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Of each case 1 where the admission of one of the person's declines lies in [starts_at, ends_at), 0 where none
    does, NaN where the key does not know the person; and the newest HAZARD that the key tells of the person for an
    instant not after starts_at, NaN where it tells none.

    A decline that has begun, and whose admission comes after ``ends_at``, is a 0. rows: person_key, starts_at, ends_at.
    declines: person_id, admitted_at. risks: person_id, at, HAZARD. people: as of :func:`of_people`.
    """
    asked = pd.DataFrame(
        {
            "case": np.arange(rows.num_rows),
            "person_key": rows["person_key"].to_pandas(),
            **{name: _micros(rows[name].to_pandas()) for name in ("starts_at", "ends_at")},
        }
    )
    known = asked.merge(_certain(people), on="person_key").sort_values("starts_at")
    came = known.merge(declines, on="person_id")
    admitted_at = _micros(came["admitted_at"])
    is_within = (came["starts_at"] <= admitted_at) & (admitted_at < came["ends_at"])
    risks = risks.assign(at=_micros(risks["at"])).sort_values("at")
    told_last = pd.merge_asof(known, risks, left_on="starts_at", right_on="at", by="person_id")
    is_before, hazard = np.full((2, rows.num_rows), np.nan)
    is_before[known["case"]] = 0
    is_before[came.loc[is_within, "case"]] = 1
    hazard[told_last["case"]] = told_last[HAZARD]
    return is_before, hazard


def _of_stays(rows: pa.Table, stays: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources of the city, the true risk of each stay (encounter_key), and whether the key knows it."""
    makers = key.pseudonymisers(stays["source"])
    known = {
        makers[source].key("Encounter", stay): risk
        for source, stay, risk in zip(stays["source"], stays["encounter_id"], stays["true_risk"], strict=True)
    }
    risk = np.array([known.get(one, np.nan) for one in rows["encounter_key"].to_pylist()])
    return np.array(sorted(makers)), risk, ~np.isnan(risk)


def _people(name: str, answer_key: Path | None) -> tuple[np.ndarray, pd.DataFrame]:
    """Sources of the city; person_id, person_key of everybody whom the lake knows."""
    persons = pd.read_parquet(key.table(key.PERSONS, answer_key))
    with opened(f"true risks of {name}", (key.LINKED,)) as lake:
        return persons["source"].unique(), key.people_in_lake(lake.spark, persons)


def _certain(people: pd.DataFrame) -> pd.DataFrame:
    """Those who are one person in the city and one in the lake."""
    is_several = people["person_id"].duplicated(keep=False) | people["person_key"].duplicated(keep=False)
    return people[~is_several]


def _require_known(name: str, rows: pa.Table, sources: np.ndarray, is_known: np.ndarray, path: Path) -> None:
    is_of_city = np.isin(rows["source"].to_pylist(), sources)
    unknown = int((is_of_city & ~is_known).sum())
    if not is_of_city.any() or unknown > (1 - LEAST_KNOWN) * is_of_city.sum():
        raise CitywellError(
            f"The answer key does not know {unknown} of {int(is_of_city.sum())} cases of {name}.",
            where=str(path),
            do="evaluate a lake with the city it was loaded from",
        )


def _table_of(name: str) -> str:
    return DISCHARGES if questions.load(name).view.name == DISCHARGES else QUARTERS


def _micros(times: pd.Series) -> pd.Series:
    return pd.to_datetime(times, utc=True).dt.as_unit("us")
