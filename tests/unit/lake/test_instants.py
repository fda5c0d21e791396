"""What a FHIR date, dateTime or instant becomes: where it begins, where its period ends, how precise it was."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from jobs.lake import instants

TOKYO, BERLIN, NEW_YORK = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def micros(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("text", "zone", "start", "end", "precision"),
    [
        ("2024", TOKYO, "2023-12-31T15:00", "2024-12-31T15:00", "year"),
        ("2024-02", BERLIN, "2024-01-31T23:00", "2024-02-29T23:00", "month"),
        ("2024-12", NEW_YORK, "2024-12-01T05:00", "2025-01-01T05:00", "month"),
        ("2024-03", BERLIN, "2024-02-29T23:00", "2024-03-31T22:00", "month"),
        ("2024-03-31", BERLIN, "2024-03-30T23:00", "2024-03-31T22:00", "day"),
        ("2024-02-28", TOKYO, "2024-02-27T15:00", "2024-02-28T15:00", "day"),
    ],
)
def test_a_partial_date_is_a_period_of_its_zone(
    text: str, zone: ZoneInfo, start: str, end: str, precision: str
) -> None:
    assert instants.parse(text, zone) == (micros(start), micros(end), precision)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-03-31T08:00:00", "2024-03-31T06:00"),
        ("2024-03-31T08:00:00Z", "2024-03-31T08:00"),
        ("2024-03-31T08:00:00.500+09:00", "2024-03-30T23:00:00.500"),
    ],
)
def test_a_time_has_no_end(text: str, at: str) -> None:
    assert instants.parse(text, BERLIN) == (micros(at), None, "second")


@pytest.mark.parametrize(
    "text", ["2024-13", "2024-02-30", "2024-03-31T02:30:00", "1849", "2201", "24", "yesterday"]
)
def test_anything_else_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a FHIR|year outside|skipped") as caught:
        instants.parse(text, BERLIN)
    assert text not in str(caught.value)
