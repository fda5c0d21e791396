"""What is counted in gold, as it was known, and what is no count but a gap."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from ml.forecast import families, pipeline, series
from ml.forecast.panel import Panel
from tests.unit.ml.forecast import told
from tests.unit.ml.forecast.told import day, encounter, sale, talk, transfusion

FIRST = "2025-12-01"
DAYS = 91
AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
"""The midnight after the last of DAYS, and the instant of the newest export."""


pytestmark = pytest.mark.usefixtures("lake")


def counted(family: str, rows: dict[str, list[dict[str, Any]]], as_of: datetime = AS_OF) -> Panel | None:
    """The panel of a family in a city with these rows and none of other tables."""
    told.publish({table: rows.get(table, []) for table in told.SCHEMAS})
    with pipeline._lake("count") as lake:
        return series.panel(lake.spark, families.FAMILIES[family], as_of, lake.inputs)


def row(panel: Panel | None, name: str) -> list[float]:
    assert panel is not None
    return list(panel.values[panel.names.index(name)])


def visits(*found: dict[str, Any], silent: tuple[int, ...] = ()) -> dict[str, list[dict[str, Any]]]:
    """Encounters ``found`` of a hospital that talks every day but ``silent``, and is no rare one."""
    often = [
        encounter(f"often-{n}", f"{day(FIRST, n)}T08:00", f"{day(FIRST, n)}T11:00")
        for n in range(DAYS)
        if n not in silent
    ]
    return {"gold.fct_encounter": [*talk(FIRST, DAYS, silent=silent), *often, *found]}


def test_arrivals_are_unplanned_and_counted_once() -> None:
    rows = visits(
        encounter("er", "2026-02-10T10:00", "2026-02-10T12:00"),
        encounter("er-stay", "2026-02-10T12:00", "2026-02-12T12:00", class_code="IMP", part_of_key="er"),
        encounter("stay", "2026-02-11T10:00", "2026-02-13T12:00", class_code="IMP"),
        encounter("planned", "2026-02-12T10:00", "2026-02-13T12:00", class_code="IMP", is_planned=True),
    )
    panel = counted("arrivals_daily", rows)
    assert panel is not None
    assert panel.values.shape == (2, DAYS)
    assert str(panel.starts[0])[:10] == FIRST
    assert str(panel.starts[-1])[:10] == "2026-03-01"
    start = int((np.datetime64("2026-02-09") - np.datetime64(FIRST)).astype(int))
    assert row(panel, "h1")[start : start + 4] == [1, 2, 2, 1]
    assert row(panel, "city") == row(panel, "h1")


def test_what_was_not_usable_yet_is_not_counted_and_an_older_version_stands_until_then() -> None:
    late = encounter("late", "2026-02-10T10:00", "2026-02-10T12:00", usable_at="2026-03-05")
    corrected = encounter("moved", "2026-02-12T10:00", "2026-02-12T12:00", usable_at="2026-03-03")
    before = encounter("moved", "2026-02-11T10:00", "2026-02-11T12:00") | {
        "superseded_at": told.at("2026-03-03")
    }
    rows = visits(late, corrected) | {"gold.fct_encounter_superseded": [before]}
    assert row(counted("arrivals_daily", rows), "h1")[71:75] == [1, 2, 1, 1]
    later = row(counted("arrivals_daily", rows, datetime(2026, 3, 6, tzinfo=UTC)), "h1")
    assert later[71:75] == [2, 1, 2, 1]


def test_the_future_changes_no_count_of_the_past() -> None:
    rows = visits()
    earlier = datetime(2026, 2, 1, tzinfo=UTC)
    before = counted("arrivals_daily", rows, earlier)
    more = visits(
        *(encounter(f"x{n}", f"2026-02-{n:02d}T10:00", f"2026-02-{n:02d}T11:00") for n in range(1, 20))
    )
    after = counted("arrivals_daily", more, earlier)
    assert before is not None
    assert after is not None
    assert str(before.starts[-1])[:10] == "2026-01-31"
    assert np.array_equal(before.values, after.values, equal_nan=True)


def test_a_day_ends_with_the_newest_delivery() -> None:
    rows = visits()
    for found in rows["gold.fct_encounter"]:
        found["known_from"] = told.at("2026-02-20T15:00")
    panel = counted("arrivals_daily", rows)
    assert panel is not None
    assert str(panel.starts[-1])[:10] == "2026-02-19"


def test_a_silent_day_of_a_talkative_hospital_is_a_gap_and_another_a_zero() -> None:
    rows = visits(silent=(40, 41))
    quiet = [found for found in rows["gold.fct_encounter"] if found["encounter_key"] != "often-50"]
    values = row(counted("arrivals_daily", {"gold.fct_encounter": quiet}), "h1")
    assert np.isnan(values[40:42]).all()
    assert values[50] == 0
    assert not np.isnan(values[42:]).any()


def test_a_hospital_that_lags_has_gaps_and_so_has_the_city() -> None:
    lagging = [
        encounter(
            f"h2-{n}",
            f"{day(FIRST, n)}T08:00",
            f"{day(FIRST, n)}T11:00",
            source="south",
            facility_key="h2",
            known_from="2026-02-25",
        )
        for n in range(DAYS - 5)
    ]
    rows = visits(*lagging)
    panel = counted("arrivals_daily", rows)
    assert np.isnan(row(panel, "h2")[-5:]).all()
    assert np.isnan(row(panel, "city")[-5:]).all()
    assert row(panel, "city")[-6] == 2
    assert row(panel, "h1") == [1] * DAYS, "who does not lag stays known"


def test_occupancy_counts_who_is_there_at_the_end_of_the_day() -> None:
    rows = visits(
        encounter("gone", "2026-02-10T10:00", "2026-02-12T09:00", class_code="IMP"),
        encounter("here", "2026-02-11T10:00", None, class_code="IMP"),
        encounter(
            "announced",
            "2026-02-12T10:00",
            "2026-03-04T10:00",
            class_code="IMP",
            usable_at="2026-02-12T10:00",
        ),
        *(
            encounter(
                f"old{n}", f"{day(FIRST, n % 30)}T05:00", f"{day(FIRST, n % 30)}T09:00", class_code="IMP"
            )
            for n in range(60)
        ),
    )
    values = row(counted("occupancy_daily", rows), "h1")
    assert np.isnan(values[: series.UNSEEN_DAYS]).all()
    assert values[70:75] == [0, 1, 2, 2, 2]
    assert values[-1] == 2


def test_rare_facilities_are_forecast_together() -> None:
    rare = [
        encounter(
            f"{name}-{n}", f"{day(FIRST, 3 * n)}T08:00", f"{day(FIRST, 3 * n)}T09:00", facility_key=name
        )
        for name in ("tiny", "small")
        for n in range(20)
    ]
    panel = counted("arrivals_daily", visits(*rare))
    assert panel is not None
    assert panel.names == ("h1", "other", "city")
    assert sum(row(panel, "other")) == 40


def test_wards_are_a_level_where_they_are_told() -> None:
    stays = [
        encounter(
            f"w{n}",
            f"{day(FIRST, n)}T08:00",
            f"{day(FIRST, n)}T20:00",
            class_code="IMP",
            location_unit=ward + "x",
        )
        for n in range(80)
        for ward in ("heart", "lung")
    ]
    for number, found in enumerate(stays):
        found["encounter_key"] += str(number)
    panel = counted("admissions_daily", {"gold.fct_encounter": [*talk(FIRST, DAYS), *stays]})
    assert panel is not None
    assert panel.names == ("h1|heartx", "h1|lungx", "h1", "city")
    assert panel.levels == ("ward", "ward", "hospital", "city")
    for found in stays[:40]:
        found["location_unit"] = None
    panel = counted("admissions_daily", {"gold.fct_encounter": [*talk(FIRST, DAYS), *stays]})
    assert panel is not None
    assert panel.names == ("h1", "city")


def test_hours_are_counted_by_the_hour() -> None:
    panel = counted("arrivals_hourly", visits(encounter("two", "2026-02-10T08:30", "2026-02-10T09:00")))
    assert panel is not None
    assert panel.values.shape[1] == DAYS * 24
    assert row(panel, "h1")[71 * 24 + 7 : 71 * 24 + 10] == [0, 2, 0]


def around_the_clock(hours: range) -> dict[str, list[dict[str, Any]]]:
    """An arrival in each of these hours of the day and of the days before AS_OF; exported later, in silence since."""
    return {
        "gold.fct_encounter": [
            encounter(
                f"n{n}-{hour}",
                f"{day(FIRST, n)}T{hour:02d}:10",
                f"{day(FIRST, n)}T{hour:02d}:30",
                known_from=told.at("2026-03-03"),
            )
            for n in range(DAYS)
            for hour in hours
        ]
    }


@pytest.mark.parametrize(
    ("hours", "now", "is_gap"),
    [
        (range(4, 24, 2), 2, False),
        (range(4, 24, 2), 16, False),
        (range(4, 24, 2), 17, True),
        (range(24), 2, False),
        (range(24), 7, True),
        (range(12, 24), 12, False),
    ],
)
def test_silence_since_midnight_is_a_gap_once_it_is_no_chance(hours: range, now: int, is_gap: bool) -> None:
    """Seven of the usual arrivals must be due: of an afternoon's clinic none is by noon."""
    panel = counted("arrivals_hourly", around_the_clock(hours), AS_OF.replace(hour=now))
    today = row(panel, "h1")[DAYS * 24 :]
    assert len(today) == now
    assert np.isnan(today).all() if is_gap else today == [0] * now


def test_demand_for_drugs_is_what_was_kept_by_what_was_known() -> None:
    sold = [sale(f"s{n}", day(FIRST, n)) for n in range(DAYS) for _ in range(1)]
    rows = [
        *sold,
        sale("big", "2026-02-10", 5),
        sale("back", "2026-02-18", -2, reverses_key="big"),
        sale("later", "2026-02-26", -3, reverses_key="big", usable_at=told.at("2026-03-05")),
        sale("soap", "2026-02-10", 9, atc_code=None, medication_missing_reason="no_medicine"),
    ]
    panel = counted(
        "drug_demand_weekly", {"gold.fct_encounter": talk(FIRST, DAYS), "gold.fct_dispense": rows}
    )
    assert panel is not None
    assert panel.names == ("a", "city")
    assert panel.levels == ("pharmacy", "city")
    assert str(panel.starts[0])[:10] == FIRST
    assert str(panel.starts[-1])[:10] == "2026-02-23"
    assert row(panel, "a")[10] == 7 + 3
    assert row(panel, "a")[11:] == [7, 7]


def test_demand_for_blood_is_transfusions_of_red_cells() -> None:
    rows = [
        *(transfusion(f"t{n}-{k}", day(FIRST, n)) for n in range(DAYS) for k in range(2)),
        transfusion("plasma", "2026-02-10", "30233K1"),
        transfusion("whole", "2026-02-10", "30243H1"),
        transfusion("knee", "2026-02-10", "0SRD0J9"),
    ]
    panel = counted(
        "blood_demand_weekly", {"gold.fct_encounter": talk(FIRST, DAYS), "gold.fct_procedure": rows}
    )
    assert row(panel, "h1")[10:12] == [15, 14]


def test_syndromes_are_counted_where_people_live() -> None:
    colds = [
        encounter(
            f"c{n}", f"{day(FIRST, n)}T08:00", f"{day(FIRST, n)}T09:00", reason_code=code, person_key=person
        )
        for n in range(DAYS)
        for code, person in (("J06.9", f"p{n % 2}"),)
    ]
    lived = [
        {
            "person_key": f"p{who}",
            "date": datetime.fromisoformat(day(FIRST, n)).date(),
            "district_code": f"CW0{who}",
        }
        for n in range(DAYS)
        for who in range(2)
    ]
    rows = visits(*colds, encounter("ankle", "2026-02-10T10:00", "2026-02-10T11:00", reason_code="S93.401A"))
    panel = counted("respiratory_daily", rows | {"gold.fct_exposure_daily": lived})
    assert panel is not None
    assert panel.names == ("other", "city")  # 45 a district are rare
    assert sum(row(panel, "city")) == DAYS
    assert counted("gastrointestinal_daily", rows) is None


def test_days_on_which_nobodys_district_is_known_are_no_zeros_of_districts() -> None:
    people, known_days = ("p0", "p1"), range(10, DAYS - 5)
    colds = [
        encounter(
            f"c{n}-{person}",
            f"{day(FIRST, n)}T08:00",
            f"{day(FIRST, n)}T09:00",
            reason_code="J06.9",
            person_key=person,
        )
        for n in range(DAYS)
        for person in people
    ]
    lived = [
        {
            "person_key": person,
            "date": datetime.fromisoformat(day(FIRST, n)).date(),
            "district_code": f"CW-{person}",
        }
        for n in known_days
        for person in people
    ]
    panel = counted("respiratory_daily", visits(*colds) | {"gold.fct_exposure_daily": lived})
    assert panel is not None
    assert panel.names == ("CW-p0", "CW-p1", "city")
    assert str(panel.starts[0])[:10] == day(FIRST, 10)
    assert str(panel.starts[-1])[:10] == day(FIRST, DAYS - 6)
    assert row(panel, "CW-p0") == [1.0] * len(known_days)
    assert row(panel, "city") == [2.0] * len(known_days)
    assert counted("respiratory_daily", visits(*colds)) is None, "of no day a district is known"


def test_the_surroundings_are_those_of_days_that_are_over() -> None:
    around = [
        {
            "kind": "district",
            "date": datetime.fromisoformat(day(FIRST, n)).date(),
            "pm2_5_ug_m3": float(n),
            "ambulance_runs": 2,
        }
        for n in range(DAYS + 1)
        for _ in range(2)
    ]
    panel = counted("arrivals_daily", visits() | {"gold.agg_district_daily": around})
    assert panel is not None
    assert panel.exogenous[:, 0].tolist() == list(range(DAYS))
    assert set(panel.exogenous[:, 2]) == {4.0}
    assert np.isnan(panel.exogenous[:, 3]).all()
    hours = counted("arrivals_hourly", visits() | {"gold.agg_district_daily": around})
    assert hours is not None
    assert np.isnan(hours.exogenous[:24, 0]).all()
    assert hours.exogenous[24:48, 0].tolist() == [0.0] * 24
