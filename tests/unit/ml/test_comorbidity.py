"""Which comorbidity groups a code of ICD-10-CM belongs to."""

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
"""


@pytest.mark.parametrize("case", gold.text_table(CODES), ids=lambda case: case["code"])
def test_comorbidity_groups(case: dict[str, str | None]) -> None:
    plain = str(case["code"]).replace(".", "")
    found = [group.name for group in GROUPS if re.search(group.pattern, plain)]
    assert found == (case["groups"] or "").split()
