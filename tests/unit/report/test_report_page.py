"""The page stands alone, says what is missing, and shows nobody."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from infra.report import ReportData, render
from infra.report.charts import Interval, bars, intervals, stacked_bar
from infra.report.model import (
    Activity,
    Against,
    Alarm,
    Checked,
    Cluster,
    Correlation,
    Coverage,
    District,
    Estimate,
    FacilityDay,
    Flow,
    Forecast,
    Forecaster,
    Group,
    Mined,
    Model,
    Monitored,
    Quantiles,
    Quarantined,
    Question,
    Reason,
    ReliabilityBin,
    Rule,
    Scored,
    Series,
    Statistic,
    Unusual,
    Watched,
    Written,
)
from infra.report.over_time import Fan, Mark, fan, figure, timeline

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
    baselines=(Against("lace", Estimate(0.68, 0.64, 0.72), Estimate(0.091, 0.06, 0.12)),),
)
TITLE = "Unplanned readmission within 30 days"
ASKED = Question(
    "readmission_30d",
    TITLE,
    MODEL,
    "promoted",
    "It meets the floors.",
    {"stays_365d": "stays in the last year"},
)


def quantiles(day: int, middle: float) -> Quantiles:
    """For a day after EMPTY's, with ends 20 and 40 % off the middle."""
    at = EMPTY.as_of + timedelta(days=day)
    return Quantiles(at, 0.6 * middle, 0.8 * middle, middle, 1.2 * middle, 1.4 * middle)


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
    questions=(ASKED,),
    people_scored=101,
    scored=(
        Scored("readmission_30d", "hospital_north", "low", 96),
        Scored("readmission_30d", "hospital_north", "high", 3),
    ),
    reasons=(Reason("readmission_30d", "stays_365d", 12), Reason("readmission_30d", "a_reason_few_have", 2)),
    written=(Written("hospital_north", 97, 2, 0),),
    mined=Mined(
        as_of=EMPTY.as_of,
        watched_as_of=EMPTY.as_of,
        statistics=(Statistic("age_years", "a", 1204, Estimate(41.2, 40, 42.4), 21, 40, 61),),
        correlations=(
            Correlation("age_years", "systolic_pressure", Estimate(0.44, 0.4, 0.48), None, 800, True),
            Correlation("age_years", "body_height", Estimate(0.777, 0.1, 0.9), None, 800, False),
            Correlation("body_height", "systolic_pressure", Estimate(0.91, 0.1, 1), None, 4, True),
            Correlation(
                "glucose",
                "systolic_pressure",
                Estimate(0.35, 0.3, 0.4),
                Estimate(-0.12, -0.2, -0.04),
                801,
                True,
            ),
        ),
        rules=(
            Rule("Diabetes", "Metformin", 61, 90, 80, 0.68, Estimate(5, 4, 6.25), 3),
            Rule("Few", "Have this", 4, 90, 80, 0.04, Estimate(5, 4, 6), 3),
            Rule("Nearly all", "Of these", 88, 90, 95, 0.98, Estimate(5, 4, 6), 3),
        ),
        clusters=(
            Cluster("patients", 0, 903, "nothing beside the others", 0.9),
            Cluster("patients", 1, 3, "a rare mix", 0.9),
            Cluster("districts", 0, 2, "quiet", 0.8),
            Cluster("districts", 1, 1, "near the roads", 0.8),
        ),
        districts=(
            District("C01", "Old Harbour", 2.1, 48.8, 0),
            District("C02", "Mill Hill", 2.13, 48.8, 0),
            District("C03", "North Gate", 2.1, 48.83, 1),
        ),
        facility_days=(
            FacilityDay("North", date(2025, 12, 24), "fewer arrivals", 3, 41.3),
            FacilityDay("North", date(2025, 12, 20), "more arrivals", 63, 41.3),
        ),
        unusual=(Unusual("dispensing", "opioids", 7), Unusual("reading", "heart_rate at home", 3)),
        alarms=(
            Alarm("C02", "respiratory", date(2025, 12, 27), 12, 2.1),
            Alarm("C02", "respiratory", date(2025, 12, 28), 4, 0.3),
            Alarm("C01", "respiratory", date(2025, 6, 1), 9, 2.1),
        ),
        watched=(Watched("respiratory", date(2024, 6, 1), date(2026, 1, 1)),),
    ),
    forecasts=(
        Forecast(
            family="arrivals_daily",
            title="Arrivals by hospital and day",
            counts="visits that began on the day",
            grain="day",
            issue_at=EMPTY.as_of - timedelta(hours=30),
            model_version="7",
            series=(
                Series("The city", "city", tuple(map(quantiles, range(14), [52.0] * 14))),
                Series("North", "hospital", tuple(map(quantiles, range(14), [23.0] * 14))),
                Series("others", "hospital", tuple(map(quantiles, range(14), [2.0] * 14))),
            ),
            past=tuple((EMPTY.as_of - timedelta(days=n), (None, 3.0, 48.0)[n % 3]) for n in range(9, 0, -1)),
        ),
    ),
    forecasters=(
        Forecaster(
            title="Arrivals",
            version="7",
            kind="boosted",
            naive="the seasonal naive forecast",
            against_naive=Estimate(0.74, 0.7, 0.78),
            mase=Estimate(0.73, 0.7, 0.76),
            coverage=Estimate(0.89, 0.88, 0.9),
            reason="It meets the floors.",
        ),
        Forecaster("Blood", None, None, None, None, None, None, "No training has been run for it."),
    ),
    monitored=(
        Monitored(
            date(2025, 12, 1), "input_drift", "readmission_30d", "stays_365d", "psi", 0.4, 0.25, True, 400
        ),
        Monitored(
            date(2026, 1, 1), "input_drift", "readmission_30d", "stays_365d", "psi", 0.2, 0.25, False, 400
        ),
        Monitored(date(2026, 1, 1), "input_drift", "readmission_30d", "age", "psi", 0.314, 0.25, True, 402),
        Monitored(date(2026, 1, 1), "performance", "readmission_30d", None, "auroc", 0.123, 0.7, True, 3),
    ),
    stages={"read hospitals": 41.5, "train": 30.0},
)


class Tags(HTMLParser):
    """Collects addresses the page would fetch, and checks that tags are closed."""

    VOID = frozenset({"meta", "br", "line", "rect", "circle", "polyline", "polygon"})

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
    assert "Are the models still right" not in seen, "nothing is said of monitoring before there is any"
    for sentence in (
        "Nothing has been received",
        "No checks have run",
        "No model has passed",
        "Nobody has been scored",
        "Nothing has been forecast",
        "Nothing has been mined",
    ):
        assert sentence in seen


def test_the_figures_are_there(tmp_path: Path) -> None:
    seen = text(page(FULL, tmp_path))
    for told in (
        "1,250 records received",
        "Patient",
        "1,190",
        "invalid_json",
        "all passed",
        "1 warnings",
        "60 %",
    ):
        assert told in seen
    for told in (
        "0.771",
        "0.740 to 0.800",
        "Calibration error",
        "sex: female",
        "0.780 (0.700 to 0.830)",
        "41.5 s",
    ):
        assert told in seen
    assert "stays in the last year" in seen


def test_small_numbers_of_people_are_withheld(tmp_path: Path) -> None:
    seen = text(page(FULL, tmp_path))
    assert " 95 0 <5 " in seen
    assert f"{TITLE} low: 95 of 95 95 0 <5" in seen
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
    html = page(
        replace(EMPTY, questions=(replace(ASKED, model=replace(MODEL, reliability=points)),)), tmp_path
    )
    assert re.findall(r"observed (\S+), 40 cases", html) == ["0.000", "0.150", "1.000"]
    assert "0.048" not in html


def test_groups_stand_youngest_first_with_each_interval_below_its_figure(tmp_path: Path) -> None:
    groups = tuple(
        Group("age", level, 100, 20, {"auroc": Estimate(0.71, 0.61, 0.81)})
        for level in ("18-44", "80+", "<18")
    )
    seen = text(
        page(replace(EMPTY, questions=(replace(ASKED, model=replace(MODEL, groups=groups)),)), tmp_path)
    )
    table = seen[seen.index("Figures by group") :]
    assert "age: <18 100 20 0.710 0.610 to 0.810" in table
    assert table.index("age: <18") < table.index("age: 18-44") < table.index("age: 80+")


def test_a_table_that_is_too_wide_can_be_scrolled_to_its_last_column(tmp_path: Path) -> None:
    html = page(FULL, tmp_path)
    around = [place.rpartition('<div class="')[2] for place in html.split("<table")[:-1]]
    assert len(around) > 15
    assert [place for place in around if not place.startswith(('card scroll"', 'scroll"'))] == []


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
        questions=(replace(ASKED, title=evil, reason=evil, labels={}),),
        reasons=(Reason("readmission_30d", evil, 50),),
        flows=(Flow("hospital_north", evil, 5, published=5),),
    )
    assert "<img" not in page(data, tmp_path)


def test_a_share_of_nothing_is_drawn_as_nothing() -> None:
    assert "<rect" not in stacked_bar({"published": 0})
    assert stacked_bar({"published": 1_000_000, "quarantined": 1}).count("<rect") == 2


def test_charts_take_a_single_value() -> None:
    assert bars([("one", 0.0, "0")]).count("<rect") == 1
    assert "0.500" in intervals([Interval("one", 0.5, None, None)], "AUROC")


def test_every_question_is_told_with_the_gates_reason(tmp_path: Path) -> None:
    others = (
        replace(
            ASKED,
            name="diabetes_2y",
            title="Onset of diabetes",
            model=None,
            verdict="refused",
            reason="Too close to chance.",
        ),
        replace(
            ASKED,
            name="tuberculosis_180d",
            title="Tuberculosis",
            model=None,
            verdict="too_few",
            reason="12 cases.",
        ),
    )
    html = page(replace(FULL, questions=(*others, ASKED)), tmp_path)
    seen = text(html)
    assert "1 of 3 risk questions answered" in seen
    assert (
        f"{TITLE} readmission_30d version 3 logistic 0.771 0.740 to 0.800 +0.091 +0.060 to +0.120 lace 0.680 0.012 "
        "1,000 120 1 Jan 2026 <5 passed It meets the floors." in seen
    )
    assert "Onset of diabetes diabetes_2y none – – – – – – – refused Too close to chance." in seen
    assert "Tuberculosis tuberculosis_180d none – – – – – – – too few to learn from 12 cases." in seen
    assert html.count("<h3>ROC curve</h3>") == 1


def test_of_mining_no_small_number_and_no_rule_about_few_is_shown(tmp_path: Path) -> None:
    html = page(FULL, tmp_path)
    seen = text(html)
    assert "Diabetes Metformin 60 68% 5.0 (4.0 to 6.2) 3.0" in seen
    assert "Have this" not in seen
    assert "Nearly all" not in seen
    assert "a rare mix <5" in seen
    assert "24 December 2025 North fewer arrivals <5 40" in seen
    assert "dispensing opioids 5" in seen
    assert "reading heart rate at home <5" in seen
    assert "C02, by 28 December 2025: <5 people came in three days" in seen
    assert "C02, by 27 December 2025: 10 people came in three days" in seen


def test_only_correlations_that_are_told_from_chance_have_a_colour(tmp_path: Path) -> None:
    html = page(FULL, tmp_path)
    assert html.count('style="fill: color-mix(in srgb, var(--warm)') == 1
    assert html.count('style="fill: color-mix(in srgb, var(--cold)') == 1
    assert "+0.44" in html
    assert "-0.12" in html
    assert "+0.35" not in html, "what age and sex explain is not drawn"
    assert "+0.78" not in html
    assert "0.910" not in html, "a pair that four people have both values of"


def test_a_correlation_is_told_given_age_and_sex_and_beside_it_as_it_is(tmp_path: Path) -> None:
    html = page(FULL, tmp_path)
    seen = text(html)
    assert "age years systolic pressure 800 – 0.440 (0.400 to 0.480)" in seen
    assert "glucose systolic pressure 800 -0.120 (-0.200 to -0.040) 0.350 (0.300 to 0.400)" in seen
    assert (
        "glucose and systolic pressure: -0.120 (-0.200 to -0.040) given age and sex, 0.350 (0.300 to 0.400) as they are"
    ) in html


def test_districts_lie_as_the_city_does_and_those_with_a_recent_alarm_are_marked(tmp_path: Path) -> None:
    html = page(FULL, tmp_path)
    places = re.findall(r'class="place group-(\d)" cx="([\d.]+)" cy="([\d.]+)".*?>(C\d+)</text>', html)
    at = {code: (float(x), float(y)) for _, x, y, code in places}
    assert [(code, group) for group, _, _, code in places] == [("C01", "0"), ("C02", "0"), ("C03", "1")]
    assert at["C02"][0] > at["C01"][0]
    assert at["C03"][1] < at["C01"][1], "north is up"
    assert re.findall(r'class="ring".*?>(C\d+)</text>', html) == ["C02"]
    assert "Circles stand at the middles" in html


def test_alarms_are_shown_before_anything_else_is_mined_and_the_reverse(tmp_path: Path) -> None:
    assert FULL.mined is not None
    watched = Mined(watched_as_of=FULL.as_of, alarms=FULL.mined.alarms, watched=FULL.mined.watched)
    html = page(replace(FULL, mined=watched), tmp_path)
    assert "Alarms for respiratory illness" in html
    assert "Nothing else has been mined yet" in html
    assert "No rule is told from chance" not in html
    html = page(replace(FULL, mined=replace(FULL.mined, watched_as_of=None, alarms=(), watched=())), tmp_path)
    assert "citywell run surveil" in html
    assert "Who has this often has that" in html


def test_a_day_with_alarms_for_two_syndromes_is_one_day_with_an_alarm(tmp_path: Path) -> None:
    assert FULL.mined is not None
    both = tuple(
        replace(alarm, syndrome=name) for alarm in FULL.mined.alarms for name in ("gastro", "respiratory")
    )
    seen = page(replace(FULL, mined=replace(FULL.mined, alarms=both)), tmp_path)
    assert "C02 Mill Hill, cluster 0, alarm on 2 of the last 28 days" in seen


def test_districts_that_nobody_has_placed_are_labelled_tiles(tmp_path: Path) -> None:
    lost = tuple(replace(district, latitude=None) for district in FULL.mined.districts)
    html = page(replace(FULL, mined=replace(FULL.mined, districts=lost)), tmp_path)
    assert "in the order of their codes" in html
    assert html.count('class="place') == 3


def test_a_forecast_is_drawn_with_what_was_counted_and_says_how_old_it_is(tmp_path: Path) -> None:
    html = page(FULL, tmp_path)
    seen = text(html)
    assert "issued 30 hours ago" in seen
    assert html.count('class="band-wide"') == html.count('class="band-narrow"') == 1
    assert html.count('class="counted-dot"') == 3, "gaps, and counts below five, are no dots"
    assert ": 50</title>" in html
    assert "The city 50 30 to 75" in seen
    assert "North 25 15 to 30" in seen
    assert "others <5 <5" in seen


def test_an_hourly_forecast_says_of_which_zone_its_hours_are(tmp_path: Path) -> None:
    daily = page(FULL, tmp_path)
    assert "hours of" not in daily
    assert "<title>31 December 2025: 50</title>" in daily
    [forecast] = FULL.forecasts
    html = page(replace(FULL, forecasts=(replace(forecast, grain="hour"),)), tmp_path)
    assert ">hours of UTC</text>" in html
    assert "<title>31 December 2025, 00:00 UTC: 50</title>" in html


def test_what_crossed_its_line_at_the_last_look_is_said_in_words(tmp_path: Path) -> None:
    html = page(FULL, tmp_path)
    assert re.findall("<li>([^<]*)</li>", html) == [
        f"{TITLE}, drift of the inputs: population stability index of age was 0.314, where the line is 0.25 "
        "(1 January 2026, 400 cases)"
    ]
    assert "0.123" not in html, "a figure of three cases"
    assert text(html).count("and 1 further") == 1


def test_how_forecasts_are_made_is_told_of_every_family(tmp_path: Path) -> None:
    seen = text(page(FULL, tmp_path))
    assert (
        "Arrivals boosted version 7 0.740 (0.700 to 0.780) the seasonal naive forecast 0.730 (0.700" in seen
    )
    assert "Blood none yet No training has been run for it." in seen


def test_a_single_figure_and_a_single_forecast_can_be_drawn() -> None:
    day = date(2026, 1, 1)
    assert figure([(day, 0.0, "zero")], None, "psi").count("<circle") == 1
    assert figure([(day, -0.2, "low"), (day, 0.9, "high")], 0.5, "gap").count('class="limit"') == 1
    assert fan([], [Fan(EMPTY.as_of, 0, 0, 0, 0, 0)], "nothing").count("<polygon") == 2
    assert timeline(["C01"], day, day, [Mark("C01", day, "one")], "alarms").count("<rect") == 1
