"""Anomalies of dispensing, facility days and readings that were planted are told, within the budget."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from ml.mining import budget, dispensing, facility_days, readings

FIRST = dt.date(2024, 1, 1)


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def windows(people: int = 2000, seed: int = 0) -> pd.DataFrame:
    """A pack or two of an opioid from one pharmacy, for most who take one; three people buy and buy."""
    rng = np.random.default_rng(seed)
    packs = 1 + rng.poisson(0.4, people)
    rows = pd.DataFrame(
        {
            "person_key": [f"p{n:04d}" for n in range(people)],
            "drug_class": "opioids",
            "to_date": [day(int(n)) for n in rng.integers(90, 700, people)],
            "packs": packs,
            "pharmacies": np.minimum(packs, 1 + rng.poisson(0.2, people)),
        }
    )
    rows.loc[:2, ["packs", "pharmacies"]] = [[14, 5], [12, 4], [11, 5]]
    rows["from_date"] = [to - dt.timedelta(days=89) for to in rows["to_date"]]
    return rows


def test_who_buys_at_many_pharmacies_stands_out() -> None:
    found = dispensing.find(windows(), people=20_000)
    assert set(found["subject"]) == {"p0000", "p0001", "p0002"}
    words = found.set_index("subject")["words"]
    assert words["p0000"] == "14 packs of opioids in 90 days from 5 pharmacies; 1.3 packs are usual"


def test_the_same_packs_from_more_pharmacies_are_odder() -> None:
    rows = windows()
    rows.loc[3:4, "packs"] = 9
    rows.loc[3:4, "pharmacies"] = [4, 1]
    score = dispensing.find(rows, 100_000).set_index("subject")["score"]
    assert score["p0003"] > score["p0004"]


def test_windows_of_a_person_that_overlap_are_told_as_one_and_few_rows_have_no_norm() -> None:
    rows = windows()
    first = rows.loc[0, "to_date"]
    ends = {n: first + dt.timedelta(days=n) for n in (-89, -90, 89, 90, 200)}
    more = [rows.head(1).assign(to_date=end, packs=13) for end in ends.values()]
    found = dispensing.find(pd.concat([rows, *more]), 100_000)
    told = found[found["subject"] == "p0000"].set_index("to_date")["observed"].to_dict()
    assert told == {first: 14, ends[-90]: 13, ends[90]: 13, ends[200]: 13}
    assert dispensing.find(rows.head(dispensing.FEWEST_ROWS - 1), 100_000).empty


def test_a_busy_month_takes_nothing_from_another() -> None:
    """A month has room for two; one in which five buy and buy leaves the other's one as it is."""
    rows = windows()
    rows.loc[:5, "to_date"] = [day(400), *[day(500)] * 5]
    rows.loc[:5, ["packs", "pharmacies"]] = [[10, 4], *[[14, 5]] * 5]
    found = dispensing.find(rows, people=4_000)
    assert sorted(found["to_date"]) == [day(400), day(500), day(500)]


def test_a_window_that_a_full_month_has_no_room_for_hides_no_other() -> None:
    rows = windows().iloc[2:].reset_index(drop=True)
    first, second = rows.head(1).assign(packs=14, pharmacies=5), rows.head(1).assign(packs=13, pharmacies=5)
    both = [
        first.assign(person_key="one", to_date=day(440)),
        second.assign(person_key="two", to_date=day(440)),
    ]
    next_month = second.assign(person_key="two", to_date=day(470))
    found = dispensing.find(pd.concat([rows.iloc[1:], *both, next_month]), people=2_000)
    assert found.set_index("subject")["to_date"].to_dict() == {"one": day(440), "two": day(470)}


def test_what_many_buy_is_no_anomaly() -> None:
    """Where half of all who take it need ten packs, ten packs are nothing."""
    rows = windows()
    rows.loc[rows.index[100:1100], "packs"] = 10
    told = dispensing.find(rows, 1_000_000)
    assert set(told["subject"]) <= {"p0000", "p0001", "p0002"}


def arrivals(seed: int = 0, daily: float = 30.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    days = pd.date_range(FIRST, periods=730)
    season = 1 + 0.2 * np.cos(2 * np.pi * days.dayofyear.to_numpy() / 365)
    mean = daily * season * np.where(days.dayofweek >= 5, 0.7, 1.1)
    found = pd.DataFrame({"facility_key": "north", "date": days.date, "arrivals": rng.poisson(mean)})
    return found.assign(injuries=rng.poisson(daily / 20, len(days)))


def test_a_closed_day_and_a_surge_are_found() -> None:
    rows = arrivals()
    rows.loc[200, "arrivals"] += 60
    rows = rows.drop(index=500)
    found = facility_days.find(pd.concat([rows, arrivals(1).assign(facility_key="harbour")]))
    north = found[found["subject"] == "north"].set_index("from_date")
    assert north.loc[day(200), "what"] == "more unplanned arrivals"
    assert north.loc[day(500), "what"] == "fewer unplanned arrivals"
    assert north.loc[day(500), "observed"] == 0
    assert north.loc[day(500), "expected"] == pytest.approx(30, rel=0.3)
    assert len(found) <= 24, "six a facility and year"


def test_an_accident_shows_among_the_injuries() -> None:
    """Eight more people are nothing among thirty; eight with an injury are, where one or two come with one."""
    rows = arrivals()
    rows.loc[300, ["arrivals", "injuries"]] += 8
    found = facility_days.find(rows).set_index(["from_date", "what"])
    assert (day(300), "more arrivals with an injury") in found.index
    assert (day(300), "more unplanned arrivals") not in found.index


def test_surges_do_not_become_what_is_expected() -> None:
    daily = arrivals().set_index("date")["arrivals"].astype(float)
    calm = facility_days.score("north", daily, "arrivals")["expected"]
    daily.iloc[[10, 17, 24, 31, 38, 45]] += 150
    surged = facility_days.score("north", daily, "arrivals")["expected"]
    assert (surged / calm).max() < 1.05


def test_the_budget_of_a_facility_holds() -> None:
    rows = arrivals()
    rows.loc[rows.index[:360:30], "arrivals"] += 60
    years = pd.to_datetime(facility_days.find(rows)["from_date"]).dt.year.value_counts()
    assert years[2024] == 6, "of twelve; a quiet year gives nothing of its budget away"
    assert facility_days.find(rows.head(facility_days.LEAST_DAYS - 1)).empty


def history(**own: tuple[int, float, float]) -> pd.DataFrame:
    """earlier, median, mad by person, of blood glucose at home; 20 others besides."""
    others = {f"o{n}": (30, 100.0, 5.0) for n in range(20)}
    return pd.DataFrame(
        [
            {
                "person_key": who,
                "concept": "glucose",
                "place": "home",
                "earlier": n,
                "median": middle,
                "mad": mad,
            }
            for who, (n, middle, mad) in (others | own).items()
        ]
    )


def new(**values: float) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "person_key": who,
                "concept": "glucose",
                "place": "home",
                "date": FIRST,
                "value": value,
                "unit": "mg/dL",
            }
            for who, value in values.items()
        ]
    )


def test_a_value_is_judged_by_the_persons_own_history() -> None:
    """250 mg/dL is nothing new to one whose values are about 240."""
    known = history(
        steady=(30, 100.0, 4.0), high=(30, 240.0, 10.0), young=(3, 100.0, 4.0), calm=(30, 100.0, 0.0)
    )
    found = readings.find(new(steady=250.0, high=250.0, young=250.0, calm=110.0), known, people=10_000)
    assert found["subject"].tolist() == ["steady"], "three values are no history, and a MAD of 0 is chance"
    assert found["score"][0] == pytest.approx(150 / (1.4826 * 5.0))
    assert found["words"][0] == "glucose at home 250 mg/dL where 100 is the person's own middle"


def test_a_value_far_below_counts_as_one_far_above() -> None:
    found = readings.find(new(one=40.0), history(one=(30, 100.0, 5.0)), people=10_000)
    assert found["score"].tolist() == pytest.approx([60 / (1.4826 * 5.0)])


def candidates(scores: list[float]) -> pd.DataFrame:
    rows = pd.DataFrame({"subject": [f"s{n}" for n in range(len(scores))], "score": scores, "what": "x"})
    return rows.assign(from_date=FIRST).reindex(columns=budget.COLUMNS)


@pytest.mark.parametrize(
    ("allowed", "told"),
    [(0.2, ["s1"]), (1.6, ["s1", "s0"]), (9.0, ["s1", "s0", "s3"])],
    ids=["never none", "rounded", "a quiet time has fewer"],
)
def test_a_budget_takes_the_most_striking(allowed: float, told: list[str]) -> None:
    assert budget.within(candidates([4.0, 5.0, 2.0, 4.0]), allowed, 3.0)["subject"].tolist() == told


@pytest.mark.parametrize("usual", [1.0, 6.0, 9.0, 30.0])
def test_the_power_of_a_facility_day_is_how_often_it_is_told(usual: float) -> None:
    """Of 30 closed days and 30 accidents, each among two usual years."""
    rng = np.random.default_rng(8)
    days = pd.date_range("2024-01-01", periods=730, freq="D")
    places = rng.choice(np.arange(30, 700), 60, replace=False)
    told: dict[float, list[bool]] = {0.0: [], 4.0: []}
    powers: dict[float, list[float]] = {0.0: [], 4.0: []}
    arrivals, injuries = rng.poisson(usual, 730), rng.poisson(0.1 * usual, 730)
    for nth, place in enumerate(places):
        factor = 4.0 * (nth % 2)
        daily = pd.DataFrame({"arrivals": arrivals, "injuries": injuries}, index=days).astype(float)
        if factor:
            daily.iloc[place] += rng.poisson(0.7 * usual * (factor - 1))
        else:
            daily.iloc[place] = [rng.poisson(facility_days.RETURNING_SHARE * usual), 0.0]
        powers[factor].append(facility_days.power(daily, pd.Series({days[place]: factor})).iloc[0])
        scores = [
            facility_days.score("f", daily[count], words) for count, words in facility_days.COUNTS.items()
        ]
        told[factor].append(max(table["score"].iloc[place] for table in scores) >= facility_days.LEAST_SCORE)
    for factor in told:
        assert np.mean(powers[factor]) <= np.mean(told[factor]) + 0.15, (factor, "it is not promised in vain")
        if usual >= 9:
            assert np.mean(powers[factor]) > 0.5
