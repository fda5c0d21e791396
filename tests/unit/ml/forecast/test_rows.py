"""Instants of forecasts: the days of a family are those of who tells of it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from ml.forecast.rows import day_zone, instants


@pytest.mark.parametrize(
    ("family", "midnight"),
    [
        ("occupancy_daily", datetime(2026, 3, 2, tzinfo=UTC)),
        ("staff_need_daily", datetime(2026, 3, 2, tzinfo=UTC)),
        ("blood_demand_weekly", datetime(2026, 3, 2, tzinfo=UTC)),
        ("drug_demand_weekly", datetime(2026, 3, 1, 23, tzinfo=UTC)),
    ],
)
def test_a_day_begins_at_the_midnight_of_who_counts_it(family: str, midnight: datetime) -> None:
    """Hospitals count days of UTC, pharmacies those of Berlin."""
    monday = np.array(["2026-03-02"], dtype="datetime64[s]")
    assert instants(monday, "day", day_zone(family)).to_pydatetime().tolist() == [midnight]
