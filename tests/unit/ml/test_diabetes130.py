"""The loader of the diabetes-130 data set."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jobs.errors import CitywellError
from ml import diabetes130
from tests.support.given import given
from tests.unit.ml import gold

CODES = """
code   | group
428    | circulatory
785.4  | circulatory
486    | respiratory
250.83 | diabetes
250    | diabetes
532    | digestive
820    | injury
715    | musculoskeletal
584    | genitourinary
174    | neoplasms
V57    | other
E909   | other
276    | other
"""


@pytest.mark.parametrize("case", gold.text_table(CODES), ids=lambda case: case["code"])
def test_diagnosis_groups(case: dict[str, str]) -> None:
    assert diabetes130.diagnosis_group(case["code"]) == case["group"]


def raw(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as published, of the given columns; the rest like the commonest encounter."""
    usual: dict[str, object] = {
        "patient_nbr": 1,
        "race": "Caucasian",
        "gender": "Female",
        "age": "[70-80)",
        "admission_type_id": 1,
        "discharge_disposition_id": 1,
        "admission_source_id": 7,
        "time_in_hospital": 3,
        "payer_code": np.nan,
        "medical_specialty": np.nan,
        "num_lab_procedures": 40,
        "num_procedures": 0,
        "num_medications": 13,
        "number_outpatient": 0,
        "number_emergency": 0,
        "number_inpatient": 2,
        "diag_1": "428",
        "diag_2": "250.01",
        "diag_3": np.nan,
        "number_diagnoses": 9,
        "max_glu_serum": "None",
        "A1Cresult": "None",
        "change": "No",
        "diabetesMed": "Yes",
        "readmitted": "NO",
        **dict.fromkeys(diabetes130.DRUGS, "No"),
    }
    return pd.DataFrame([{**usual, **row} for row in rows])


def test_deaths_and_hospices_are_left_out_and_the_label_is_within_30_days() -> None:
    cases = diabetes130.prepare(
        raw(
            [
                {"patient_nbr": 1, "readmitted": "<30"},
                {"patient_nbr": 2, "readmitted": ">30"},
                {"patient_nbr": 3, "readmitted": "NO", "discharge_disposition_id": 11},
                {"patient_nbr": 4, "readmitted": "NO", "discharge_disposition_id": 13},
                {"patient_nbr": 1, "readmitted": "NO", "insulin": "Up", "metformin": "Steady"},
            ]
        )
    )
    assert cases.person.tolist() == [1, 2, 1]
    assert cases.y.tolist() == [1, 0, 0]
    assert cases.x["age_years"].tolist() == [75.0] * 3
    assert cases.x["drugs_changed"].tolist() == [0.0, 0.0, 1.0]
    assert cases.x["drugs_taken"].tolist() == [0.0, 0.0, 2.0]
    assert cases.x["diagnosis_1_group"].tolist() == ["circulatory"] * 3
    assert cases.x["payer"].tolist() == [None] * 3
    assert cases.groups["age"].tolist() == ["60-79"] * 3
    assert list(cases.x) == diabetes130.QUESTION.feature_names


CONDITIONS = """
diagnoses           | conditions
428.0 250.01 403    | has_heart_failure has_kidney_disease
250.6 486 276.1     | has_diabetes_complication has_electrolyte_disorder has_pneumonia
V57 428 428         | has_heart_failure has_rehabilitation
E285 038.9 199      | has_neoplasm has_sepsis
"""


@pytest.mark.parametrize("case", gold.text_table(CONDITIONS), ids=lambda case: case["diagnoses"])
def test_conditions_are_found_in_any_of_the_three_diagnoses(case: dict[str, str]) -> None:
    codes = dict(zip(("diag_1", "diag_2", "diag_3"), case["diagnoses"].split(), strict=True))
    [row] = diabetes130.prepare(raw([codes])).x.to_dict("records")
    found = {name for name in row if name.startswith("has_") and row[name]}
    assert found == set(case["conditions"].split())


def test_every_drug_is_a_category_of_its_own() -> None:
    [row] = diabetes130.prepare(raw([{"glyburide-metformin": "Up"}])).x.to_dict("records")
    assert row["glyburide_metformin"] == "Up"
    assert row["insulin"] == "No"
    assert (row["drugs_taken"], row["drugs_changed"]) == (1.0, 1.0)


def test_the_published_file_has_the_published_size() -> None:
    given(diabetes130.default_directory().name)
    cases = diabetes130.load()
    assert len(cases) == 99_343, "101,766 encounters without 2,423 deaths and hospice discharges"
    assert len(set(cases.person)) == 69_990
    assert cases.y.mean() == pytest.approx(0.114, abs=0.001)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(CitywellError, match="not here"):
        diabetes130.load(tmp_path)
