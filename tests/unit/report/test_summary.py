"""The terminal's summary: everything that came of a run, in 80 columns."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rich.console import Console

from infra.report import ReportData, summary
from infra.report.model import Checked, Estimate, Flow, Forecast, Model, Question, Scored, Series, Written

EMPTY = ReportData(
    as_of=datetime(2026, 1, 2, tzinfo=UTC), made_at=datetime(2026, 1, 2, 6, tzinfo=UTC), engine="Sail"
)
SOURCES = ("events_laboratory", "hospital_given", "hospital_harbour", "hospital_north", "hospital_university")
MODEL = Model(
    name="readmission_30d",
    version="3",
    family="hist gradient boosting",
    trained_at=None,
    cases=1004,
    events=120,
    threshold=0.2,
    metrics={"auroc": Estimate(0.771, 0.74, 0.8)},
)
CITY = Series("The city", "city", ())
FULL = replace(
    EMPTY,
    tables={
        "gold.dim_person": 1_234_567,
        "silver.hospital__medication_request": 10,
    },
    versions={
        "gold.dim_person": 7,
        "silver.hospital__medication_request": 3,
    },
    flows=tuple(
        Flow(s, "Patient", 1_200_000, published=1_199_990, quarantined=3, duplicate=7) for s in SOURCES
    ),
    checks=(
        Checked("hospital_north", "hospital__patient", 9, 1, 2),
        Checked("hospital_north", "hospital__encounter", 11, 0, 0),
    ),
    questions=(
        Question("diabetes_2y", "Onset of diabetes", None, "too_few", "There are 12 cases with the event."),
        Question("readmission_30d", "Readmission", MODEL, "refused", "It is not better beyond noise."),
        Question(
            "gastrointestinal_180d", "Complication", replace(MODEL, version="12"), "promoted", "It is better."
        ),
    ),
    people_scored=90,
    scored=(
        Scored("readmission_30d", "hospital_north", "low", 96),
        Scored("readmission_30d", "hospital_north", "high", 3),
    ),
    forecasts=(
        Forecast(
            "arrivals_daily", "Arrivals", "visits", "day", EMPTY.as_of - timedelta(days=3), "4", (CITY, CITY)
        ),
    ),
    written=(Written("hospital_north", 97, 2, 0), Written("hospital_harbour", 0, 0, 5)),
    served=104,
    stages={"stack": 41.5, "ingest_hospital": 30.25},
)


def shown(data: ReportData) -> list[str]:
    """The lines a terminal of 80 columns shows, each with its columns parted by two spaces."""
    console = Console(width=80, file=io.StringIO())
    for part in summary(data):
        console.print(part)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    return [re.sub(r" {2,}", "  ", line.strip()) for line in lines]


def test_every_part_is_there() -> None:
    lines = shown(FULL)
    for line in (
        "Tables  rows  version",
        "Records  received published duplicate quarantined",
        "Given  1,200,000 1,199,990  7  3",
        "Events laboratory 1,200,000 1,199,990  7  3",
        "all  6,000,000 5,999,950  35  15",
        "gold.dim_person  1,234,567  7",
        "silver.hospital__medication_request  10  3",
        "North  17  1  2",
        "Risk questions  version AUROC  95 % interval alerts  newest training",
        "diabetes_2y  too few to learn from",
        "readmission_30d  3 0.771 0.740 to 0.800  3  refused",
        "gastrointestinal_180d  12 0.771 0.740 to 0.800  0  passed",
        "people  90",
        "arrivals_daily  4  2  issued 3 days ago",
        "Harbour  0  0  0  5",
        "North  99  97  2  0",
        "serving.risk  104 rows",
        "ingest_hospital  30.2",
        "all  71.8",
    ):
        assert line in lines, "\n".join(lines)
    assert "…" not in "".join(lines)


def test_what_did_not_come_about_is_said() -> None:
    lines = shown(EMPTY)
    assert "nothing is published yet" in lines
    assert "none have run yet" in lines
    assert "the models could not be asked" in lines
    assert "nothing has been forecast yet" in lines
    assert "nobody has been scored yet" in lines
