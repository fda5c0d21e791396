"""Index stays as cases: what tells a stay when it is judged tells it as of its score too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyspark.sql import SparkSession

from ml.risk.readmission_30d import cohort
from tests.unit.ml import gold
from tests.unit.ml.test_cohort import AS_OF_OF_A_STAY
from tests.unit.ml.test_features import AS_OF, make


@pytest.mark.parametrize("earlier", [(), ("2025-03-01",)], ids=["first stay", "second stay"])
def test_every_index_stay_has_a_row_and_a_discharge(spark: SparkSession, earlier: tuple[str, ...]) -> None:
    """However the records came: what tells a stay when it is judged must tell it as of its score too."""
    rows = gold.text_table(AS_OF_OF_A_STAY)
    versions = [gold.encounter(**row) for row in rows]
    versions += [
        gold.encounter(key="e0", person=person, **{"from": day, "to": day})
        for person in {row["person"] for row in rows}
        for day in earlier
    ]
    facts = replace(gold.facts(spark), encounter=gold.encounter_versions(spark, versions))
    stays = cohort.stays(facts.encounter, AS_OF)
    index = cohort.index_stays(stays, facts.encounter, facts.person, AS_OF).where("exclusion is null")
    expected = {row["person"]: gold.at(row["expected"]) for row in rows if row["expected"]}
    found = make(facts).where("encounter_key = 'e1'").toArrow().to_pylist()
    assert {row["person_key"]: row["as_of"] for row in found} == expected
    assert None not in [row["starts_at"] for row in found]
    assert None not in [row["length_of_stay_days"] for row in found]
    assert make(facts).count() == index.count()
