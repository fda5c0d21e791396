"""The same training code on real hospital records: "Diabetes 130-US Hospitals", 1999 to 2008.

Grain of the loaded frame: one hospital encounter. Source of the data: UCI Machine Learning Repository, CC BY
4.0; of its cleaning and of the diagnosis groups: B. Strack et al., "Impact of HbA1c Measurement on Hospital
Readmission Rates", BioMed Research International 2014, 781670, section 2 and table 2.

Flow: read -> drop encounters that ended in death or hospice (nobody left to be readmitted) -> group ICD-9 codes, and
look for conditions among them -> features. The label is readmission within 30 days (``readmitted`` is ``<30``). Only
what the encounter's own row says is used: the rows carry no date, so counting a patient's other rows could count the
future.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from jobs.errors import CitywellError
from jobs.settings import PROJECT_DIR
from ml.question import Cases, Feature, Question

DISPOSITION_DIED = {11, 19, 20, 21}
DISPOSITION_HOSPICE = {13, 14}

AGE_BANDS = {"[0-10)": "<40", "[10-20)": "<40", "[20-30)": "<40", "[30-40)": "<40"} | {
    f"[{low}-{low + 10})": ("40-59" if low < 60 else "60-79" if low < 80 else "80+")
    for low in range(40, 100, 10)
}

DRUGS = (
    "metformin",
    "repaglinide",
    "nateglinide",
    "chlorpropamide",
    "glimepiride",
    "acetohexamide",
    "glipizide",
    "glyburide",
    "tolbutamide",
    "pioglitazone",
    "rosiglitazone",
    "acarbose",
    "miglitol",
    "troglitazone",
    "tolazamide",
    "insulin",
    "glyburide-metformin",
    "glipizide-metformin",
    "glimepiride-pioglitazone",
    "metformin-rosiglitazone",
    "metformin-pioglitazone",
)
"""The columns of drugs that somebody takes; two of the published ones, examide and citoglipton, are empty."""

CONDITIONS = {
    "heart_failure": ("heart failure", r"428"),
    "ischaemic_heart_disease": ("ischaemic heart disease", r"41[0-4]"),
    "vascular_disease": ("disease of the arteries", r"44[034]"),
    "kidney_disease": ("kidney disease", r"403|404|58[45]"),
    "lung_disease": ("chronic obstructive lung disease", r"49[126]"),
    "pneumonia": ("pneumonia", r"48[126]"),
    "liver_disease": ("liver disease", r"57[123]"),
    "neoplasm": ("neoplasm", r"1[4-9]\d|2[0-3]\d"),
    "anaemia": ("anaemia", r"28[045]"),
    "mental_disorder": ("mental disorder", r"29[5-9]|30[01]|311"),
    "substance_use": ("alcohol or drug use", r"30[345]"),
    "sepsis": ("sepsis", r"038|995"),
    "skin_infection_or_ulcer": ("skin infection or ulcer", r"682|707"),
    "electrolyte_disorder": ("disorder of fluids or electrolytes", r"276"),
    "rehabilitation": ("rehabilitation", r"V57"),
    "diabetes_complication": ("diabetes with a complication", r"250\.[4-9]"),
}
"""Conditions looked for among the three diagnoses of the encounter: what is read, and how their codes begin (ICD-9-CM,
tabular list, National Center for Health Statistics)."""

QUESTION = Question(
    name="diabetes130_readmission_30d",
    title="Readmission of a diabetic patient within 30 days of discharge (1999 to 2008, 130 US hospitals)",
    horizon_days=30,
    alert_budget=0.10,
    features=(
        Feature("age_years", "number", "age (middle of the decade)", "years"),
        Feature("time_in_hospital_days", "count", "length of stay", "days"),
        Feature("lab_procedures", "number", "laboratory tests in the stay"),
        Feature("procedures", "count", "other procedures in the stay"),
        Feature("medications", "count", "different drugs in the stay"),
        Feature("outpatient_visits_1y", "count", "outpatient visits in the year before"),
        Feature("emergency_visits_1y", "count", "emergency visits in the year before"),
        Feature("inpatient_stays_1y", "count", "inpatient stays in the year before"),
        Feature("diagnoses", "number", "diagnoses coded"),
        Feature("drugs_changed", "count", "diabetes drugs whose dose was changed"),
        Feature("drugs_taken", "count", "diabetes drugs taken"),
        Feature("is_female", "flag", "female"),
        Feature("is_drug_changed", "flag", "diabetes medication changed"),
        Feature("is_on_diabetes_drug", "flag", "diabetes medication prescribed"),
        *(Feature(f"has_{name}", "flag", label) for name, (label, _) in CONDITIONS.items()),
        Feature("race", "category", "race as recorded"),
        Feature("admission_type", "category", "admission type"),
        Feature("admission_source", "category", "admission source"),
        Feature("discharge_disposition", "category", "discharged to"),
        Feature("medical_specialty", "category", "specialty of the admitting physician"),
        Feature("payer", "category", "payer"),
        Feature("glucose_serum", "category", "highest serum glucose"),
        Feature("hba1c", "category", "HbA1c"),
        *(Feature(drug.replace("-", "_"), "category", f"{drug} dose") for drug in DRUGS),
        Feature("diagnosis_1_group", "category", "first diagnosis (chapter)"),
        Feature("diagnosis_2_group", "category", "second diagnosis (chapter)"),
        Feature("diagnosis_3_group", "category", "third diagnosis (chapter)"),
    ),
)


def default_directory() -> Path:
    """Where the test data lies: ``CITYWELL_TEST_DATA``, else ``../shared/data`` beside the project."""
    root = os.environ.get("CITYWELL_TEST_DATA")
    return (Path(root) if root else PROJECT_DIR.parent / "shared" / "data") / "diabetes-130"


def load(directory: Path | None = None) -> Cases:
    """Read the data set. Raises CitywellError when the file is not there."""
    path = (directory or default_directory()) / "diabetic_data.csv.gz"
    if not path.exists():
        raise CitywellError(
            "The diabetes-130 data set is not here.",
            where=path.name,
            do="set CITYWELL_TEST_DATA to the directory that holds diabetes-130/",
        )
    return prepare(pd.read_csv(path, na_values=["?"], keep_default_na=False, low_memory=False))


def prepare(raw: pd.DataFrame) -> Cases:
    """Features and label from the published columns."""
    kept = raw[~raw["discharge_disposition_id"].isin(DISPOSITION_DIED | DISPOSITION_HOSPICE)]
    doses = kept[list(DRUGS)]
    x = pd.DataFrame(
        {
            "age_years": kept["age"].str.extract(r"\[(\d+)-", expand=False).astype(float) + 5,
            "time_in_hospital_days": kept["time_in_hospital"],
            "lab_procedures": kept["num_lab_procedures"],
            "procedures": kept["num_procedures"],
            "medications": kept["num_medications"],
            "outpatient_visits_1y": kept["number_outpatient"],
            "emergency_visits_1y": kept["number_emergency"],
            "inpatient_stays_1y": kept["number_inpatient"],
            "diagnoses": kept["number_diagnoses"],
            "drugs_changed": doses.isin(["Up", "Down"]).sum(axis=1),
            "drugs_taken": (doses != "No").sum(axis=1),
            "is_female": kept["gender"] == "Female",
            "is_drug_changed": kept["change"] == "Ch",
            "is_on_diabetes_drug": kept["diabetesMed"] == "Yes",
            **{f"has_{name}": _is_coded(kept, codes) for name, (_, codes) in CONDITIONS.items()},
        }
    ).astype(float)
    categories = {
        "race": kept["race"],
        "admission_type": kept["admission_type_id"].astype(str),
        "admission_source": kept["admission_source_id"].astype(str),
        "discharge_disposition": kept["discharge_disposition_id"].astype(str),
        "medical_specialty": kept["medical_specialty"],
        "payer": kept["payer_code"],
        "glucose_serum": kept["max_glu_serum"],
        "hba1c": kept["A1Cresult"],
        **{drug.replace("-", "_"): kept[drug] for drug in DRUGS},
        "diagnosis_1_group": kept["diag_1"].map(diagnosis_group, na_action="ignore"),
        "diagnosis_2_group": kept["diag_2"].map(diagnosis_group, na_action="ignore"),
        "diagnosis_3_group": kept["diag_3"].map(diagnosis_group, na_action="ignore"),
    }
    for name, column in categories.items():
        x[name] = column.astype(object).where(column.notna(), None)
    return Cases(
        x=x[QUESTION.feature_names].reset_index(drop=True),
        y=(kept["readmitted"] == "<30").to_numpy(dtype="int64"),
        person=kept["patient_nbr"].to_numpy(),
        groups={
            "sex": kept["gender"].str.lower().to_numpy(),
            "age": kept["age"].map(AGE_BANDS).to_numpy(),
        },
    )


def diagnosis_group(code: str) -> str:
    """Group of an ICD-9 code after Strack et al. 2014, table 2. E and V codes are ``other``."""
    if not code[:1].isdigit():
        return "other"
    number = float(code)
    whole = int(number)
    if whole == 250:
        return "diabetes"
    if 390 <= whole <= 459 or whole == 785:
        return "circulatory"
    if 460 <= whole <= 519 or whole == 786:
        return "respiratory"
    if 520 <= whole <= 579 or whole == 787:
        return "digestive"
    if 800 <= whole <= 999:
        return "injury"
    if 710 <= whole <= 739:
        return "musculoskeletal"
    if 580 <= whole <= 629 or whole == 788:
        return "genitourinary"
    if 140 <= whole <= 239:
        return "neoplasms"
    return "other"


def _is_coded(kept: pd.DataFrame, codes: str) -> pd.Series:
    """Whether one of an encounter's three diagnoses begins with ``codes``, a regular expression."""
    return kept[["diag_1", "diag_2", "diag_3"]].apply(lambda c: c.astype(str).str.match(codes)).any(axis=1)
