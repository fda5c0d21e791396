"""The page stands alone, says what is missing, and shows nobody."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from infra.report import ReportData, render
from infra.report.charts import Interval, bars, intervals, stacked_bar
from infra.report.model import (
    Activity,
    Checked,
    Coverage,
    Estimate,
    Flow,
    Group,
    Model,
    Quarantined,
    Reason,
    ReliabilityBin,
    Scored,
    Written,
)

EMPTY = ReportData(
    as_of=datetime(2026, 1, 2, tzinfo=UTC), made_at=datetime(2026, 1, 2, 6, tzinfo=UTC), engine="Sail"
)
MODEL = Model(
    name="readmission_30d",
    version="3",
    family="logistic",
    trained_at=datetime(2026, 1, 1, tzinfo=UTC),
    cases=1000,
    events=120,
    threshold=0.2,
    metrics={"auroc": Estimate(0.771, 0.74, 0.8), "calibration_error": Estimate(0.012)},
    roc=((0.0, 0.0), (0.2, 0.6), (1.0, 1.0)),
    reliability=(ReliabilityBin(0.05, 0.06, 400), ReliabilityBin(0.31, 0.987, 4)),
    groups=(
        Group("sex", "female", 500, 60, {"auroc": Estimate(0.78, 0.7, 0.83)}),
        Group("age_band", "0-44", 90, 3, {"auroc": Estimate(0.999)}),
    ),
    candidates={"logistic": Estimate(0.76, 0.75, 0.77)},
)
FULL = replace(
    EMPTY,
    tables={"gold.dim_person": 1234, "gold.fct_encounter": 2003, "silver.wearables__participant": 3},
    versions={"gold.dim_person": 7, "gold.fct_encounter": 8, "silver.wearables__participant": 2},
    flows=(
        Flow("hospital_north", "Patient", 1200, published=1190, quarantined=3, duplicate=7),
        Flow("hospital_harbour", "AllergyIntolerance", 50, unmodelled=50),
    ),
    quarantine=(Quarantined("hospital_north", "invalid_json", 3),),
    checks=(Checked("hospital_north", "hospital__patient", 9, 0, 1),),
    activity=tuple(Activity("hospital_north", date(2025, m, 1), 40 + m, 10, 20.5) for m in range(1, 7)),
    coverage=(Coverage("hospital_north", "Glucose (2345-7)", 61, 100),),
    model=MODEL,
    scored=(Scored("hospital_north", "low", 96), Scored("hospital_north", "high", 3)),
    reasons=(Reason("two stays in the last year", 12), Reason("a reason few have", 2)),
    written=(Written("hospital_north", 97, 2, 0),),
    stages={"read hospitals": 41.5, "train": 30.0},
)


class Tags(HTMLParser):
    """Collects addresses the page would fetch, and checks that tags are closed."""

    VOID = frozenset({"meta", "br", "line", "rect", "circle", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = ("src", "href", "xlink:href", "data", "action")
        self.fetched += [
            value for name, value in attributes if name in names and value and not value.startswith("#")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def page(data: ReportData, tmp_path: Path) -> str:
    return render(data, tmp_path / "reports" / "city.html").read_text(encoding="utf-8")


def text(html: str) -> str:
    """What a reader sees, white space collapsed."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)))


@pytest.mark.parametrize("data", [EMPTY, FULL], ids=["empty", "full"])
def test_the_page_is_well_formed_and_fetches_nothing(data: ReportData, tmp_path: Path) -> None:
    html = page(data, tmp_path)
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert tags.fetched == []
    assert "url(" not in html
    assert "<script" not in html
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["city.html"]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    seen = text(page(EMPTY, tmp_path))
    for sentence in (
        "Nothing has been received",
        "No checks have run",
        "No model has passed",
        "Nobody has been scored",
    ):
        assert sentence in seen


def test_the_figures_are_there(tmp_path: Path) -> None:
    seen = text(page(FULL, tmp_path))
    for figure in (
        "1,250 records received",
        "Patient",
        "1,190",
        "invalid_json",
        "all passed",
        "1 warnings",
        "60 %",
    ):
        assert figure in seen
    for figure in (
        "0.771",
        "0.740 to 0.800",
        "Calibration error",
        "sex: female",
        "0.780 (0.700 to 0.830)",
        "41.5 s",
    ):
        assert figure in seen
    assert "two stays in the last year" in seen


def test_small_numbers_of_people_are_withheld(tmp_path: Path) -> None:
    seen = text(page(FULL, tmp_path))
    assert " 95 0 <5 " in seen
    assert "North 95 <5 0 " in seen
    assert "a reason few have" not in seen
    assert "0.999" not in seen
    assert "0.987" not in seen
    assert "too few" in seen


def test_of_a_table_whose_rows_are_people_no_exact_count_is_shown(tmp_path: Path) -> None:
    seen = text(page(FULL, tmp_path))
    assert "gold.dim_person 1,235 7" in seen
    assert "silver.wearables__participant <5 2" in seen
    assert "gold.fct_encounter 2,003 8" in seen


def test_a_share_observed_tells_of_no_small_number(tmp_path: Path) -> None:
    points = (
        ReliabilityBin(0.01, 0.0, 40),
        ReliabilityBin(0.05, 0.048, 42),  # 2 with the event
        ReliabilityBin(0.15, 0.15, 40),
        ReliabilityBin(0.93, 0.925, 40),  # 3 without it
        ReliabilityBin(0.99, 1.0, 40),
    )
    html = page(replace(EMPTY, model=replace(MODEL, reliability=points)), tmp_path)
    assert re.findall(r"observed (\S+), 40 cases", html) == ["0.000", "0.150", "1.000"]
    assert "0.048" not in html


def test_groups_stand_youngest_first_with_each_interval_below_its_figure(tmp_path: Path) -> None:
    groups = tuple(
        Group("age", level, 100, 20, {"auroc": Estimate(0.71, 0.61, 0.81)})
        for level in ("18-44", "80+", "<18")
    )
    seen = text(page(replace(EMPTY, model=replace(MODEL, groups=groups)), tmp_path))
    table = seen[seen.index("Figures by group") :]
    assert "age: <18 100 20 0.710 0.610 to 0.810" in table
    assert table.index("age: <18") < table.index("age: 18-44") < table.index("age: 80+")


def test_a_table_that_is_too_wide_can_be_scrolled_to_its_last_column(tmp_path: Path) -> None:
    around = [place.rpartition('<div class="')[2] for place in page(FULL, tmp_path).split("<table")[:-1]]
    assert len(around) == 9
    assert [place for place in around if not place.startswith('card scroll"')] == []


def test_rows_of_the_serving_database_are_told(tmp_path: Path) -> None:
    assert "The serving database holds 100 scores" in text(page(replace(FULL, served=101), tmp_path))


def test_months_with_few_people_leave_a_gap(tmp_path: Path) -> None:
    months = [Activity("hospital_north", date(2025, m, 1), 4 if m == 3 else 50, 0, 3.0) for m in range(1, 7)]
    html = page(replace(EMPTY, activity=tuple(months)), tmp_path)
    assert html.count("<title>arrivals a month</title>") == 2
    assert "in bed at midnight</title>" not in html
    assert "A gap in a line, or a line that is missing, stands for fewer than 5 people" in text(html)


def test_only_the_newest_two_years_are_drawn(tmp_path: Path) -> None:
    months = [
        Activity("hospital_north", date(year, m, 1), 900 if year < 2023 else 50, 10, 20.0)
        for year in range(1990, 2026)
        for m in range(1, 13)
    ]
    html = page(replace(EMPTY, activity=tuple(months)), tmp_path)
    [arrivals] = re.findall(r'<polyline class="curve arrivals" points="([^"]*)"', html)
    assert len(arrivals.split()) == 24
    assert ">Dec 23<" in html
    assert ">Nov 23<" not in html


def test_words_from_a_hospital_cannot_become_markup(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    data = replace(
        EMPTY,
        coverage=(Coverage("hospital_north", evil, 50, 100),),
        quarantine=(Quarantined("hospital_north", evil, 5),),
        reasons=(Reason(evil, 50),),
        flows=(Flow("hospital_north", evil, 5, published=5),),
    )
    assert "<img" not in page(data, tmp_path)


def test_a_share_of_nothing_is_drawn_as_nothing() -> None:
    assert "<rect" not in stacked_bar({"published": 0})
    assert stacked_bar({"published": 1_000_000, "quarantined": 1}).count("<rect") == 2


def test_charts_take_a_single_value() -> None:
    assert bars([("one", 0.0, "0")]).count("<rect") == 1
    assert "0.500" in intervals([Interval("one", 0.5, None, None)], "AUROC")
