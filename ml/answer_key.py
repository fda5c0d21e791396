"""Who is who: the simulated city's ids as the lake calls them. Only the simulated city has an answer key.

For use inside the landing and vault zone: it turns the key's ids into pseudonyms.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession

from jobs.errors import CitywellError
from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.settings import settings

PERSONS = "persons"
LINKED = "gold.fct_encounter"
"""Tells which patients are one person."""


def table(name: str, answer_key: Path | None = None) -> Path:
    """The file of a table of the key. answer_key: the city's directory of that name.

    Raises CitywellError when there is none.
    """
    folder = answer_key or settings().city_dir / "answer_key"
    path = folder / f"{name}.parquet"
    if not path.exists():
        raise CitywellError(
            "There is no answer key.", where=str(folder), do="only the simulated city has one"
        )
    return path


def pseudonymisers(sources: Iterable[str]) -> dict[str, Pseudonymiser]:
    """What makes the pseudonyms of each source."""
    master = load_key(settings().keys_dir / "pseudonym.key")
    return {source: Pseudonymiser(master, source) for source in set(sources)}


def people_in_lake(spark: SparkSession, persons: pd.DataFrame) -> pd.DataFrame:
    """person_id, person_key of everybody whom the lake knows: in several rows where a person of the city is several in
    the lake, or several are one.

    persons: the key's table. spark: a session with LINKED registered.
    """
    makers = pseudonymisers(persons["source"])
    keys = [
        makers[source].key("Patient", patient)
        for source, patient in zip(persons["source"], persons["patient_id"], strict=True)
    ]
    linked = spark.table(LINKED).select("patient_key", "person_key").distinct().toPandas()
    found = persons[["person_id"]].assign(patient_key=keys).merge(linked, on="patient_key")
    return found[["person_id", "person_key"]].drop_duplicates()
