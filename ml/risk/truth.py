"""The true risks of a question's cases, out of the simulated city's answer key.

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

DISCHARGES, QUARTERS = "discharges", "true_risks"
"""Tables of the key: a true risk for each stay; those of everybody, by quarter and question."""
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
        persons = pd.read_parquet(key.table(key.PERSONS, answer_key))
        with opened(f"true risks of {name}", (key.LINKED,)) as lake:
            people = key.people_in_lake(lake.spark, persons)
        sources = persons["source"].unique()
        risk, is_known = of_people(rows, pd.read_parquet(path, columns=["person_id", "at", name]), people)
    is_of_city = np.isin(rows["source"].to_pylist(), sources)
    unknown = int((is_of_city & ~is_known).sum())
    if not is_of_city.any() or unknown > (1 - LEAST_KNOWN) * is_of_city.sum():
        raise CitywellError(
            f"The answer key does not know {unknown} of {int(is_of_city.sum())} cases of {name}.",
            where=str(path),
            do="evaluate a lake with the city it was loaded from",
        )
    return risk


def of_people(rows: pa.Table, risks: pd.DataFrame, people: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The true risk of each case, NaN where there is none, and whether the key knows the person and the instant.

    rows: person_key, starts_at. risks: person_id, at, and the risk. people: person_id, person_key; who is several of
    either is not known.
    """
    is_one = ~people["person_id"].duplicated(keep=False) & ~people["person_key"].duplicated(keep=False)
    person_id, at, risk = risks.columns
    asked = pd.DataFrame(
        {"person_key": rows["person_key"].to_pandas(), at: _micros(rows["starts_at"].to_pandas())}
    )
    risks = risks.assign(**{at: _micros(risks[at])})
    found = asked.merge(people[is_one], on="person_key", how="left").merge(
        risks, on=[person_id, at], how="left", validate="many_to_one"
    )
    is_known = found[person_id].notna() & found[at].isin(risks[at].unique())
    return found[risk].to_numpy(dtype=float), is_known.to_numpy()


def _of_stays(rows: pa.Table, stays: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources of the city, the true risk of each stay (encounter_key), and whether the key knows it."""
    makers = key.pseudonymisers(stays["source"])
    known = {
        makers[source].key("Encounter", stay): risk
        for source, stay, risk in zip(stays["source"], stays["encounter_id"], stays["true_risk"], strict=True)
    }
    risk = np.array([known.get(one, np.nan) for one in rows["encounter_key"].to_pylist()])
    return np.array(sorted(makers)), risk, ~np.isnan(risk)


def _table_of(name: str) -> str:
    return DISCHARGES if questions.load(name).view.name == DISCHARGES else QUARTERS


def _micros(times: pd.Series) -> pd.Series:
    return pd.to_datetime(times, utc=True).dt.as_unit("us")
