"""Which comorbidity groups a code of ICD-10 or ICD-10-CM belongs to; a category alone is its unspecified code."""

from __future__ import annotations

import re

import pytest

from ml.features.comorbidity import GROUPS
from tests.unit.ml import gold

CODES = """
code    | groups
I25.2   | heart_attack
I50.23  | heart_failure
I13.0   | heart_failure hypertension
J44.1   | lung
J45.909 | asthma
E11.9   | diabetes
E11.21  | diabetes_complicated
K70.30  | liver_mild alcohol
K76.6   | liver_severe
N18.30  | kidney
C18.9   | cancer
C44.9   | -
C78.00  | metastatic
E87.1   | fluid
F32.A   | depression
Z00.00  | -
E11     | diabetes
E14     | diabetes
E11.A   | diabetes
E10.A1  | -
E11.65  | diabetes
I09     | heart_failure
I42     | heart_failure
I73     | vascular
K55     | vascular
Z95     | vascular
I27     | lung
K70     | liver_mild alcohol
K76     | liver_mild
K76.82  | liver_mild
I85     | liver_severe
K72     | liver_severe
G83     | paralysis
Z49     | kidney
I45     | arrhythmia
I11     | hypertension
I25     | -
K71     | -
N03     | -
Z94     | -
"""


@pytest.mark.parametrize("case", gold.text_table(CODES), ids=lambda case: case["code"])
def test_comorbidity_groups(case: dict[str, str | None]) -> None:
    plain = str(case["code"]).replace(".", "")
    found = [group.name for group in GROUPS if re.search(group.pattern, plain)]
    assert found == (case["groups"] or "").split()
