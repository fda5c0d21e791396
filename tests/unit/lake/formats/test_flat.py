"""Flat records: each member by its declared type, under its own name; what is unclear is rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake.formats.flat import Flat, FlatReader, wires
from jobs.lake.strict import Rejected
from jobs.sources import find_endpoint

KEY = bytes(range(32))


def reader(endpoint: str, resource: str) -> FlatReader:
    source, found = find_endpoint(endpoint)
    return FlatReader(wires(source, found)[resource], Pseudonymiser(KEY, endpoint), ZoneInfo(found.time_zone))


def test_a_column_that_the_feed_is_without_is_not_read_when_it_comes() -> None:
    price = dict(article_no="A1", valid_from="2026-01-01", valid_to="", price="2.50", currency="EUR")
    price |= {"atc_code": "N02BE01", "article_name": "b"}
    linden = reader("pharmacy_linden", "Price")
    more = price | {"is_deleted": "true", "changed_at": "2026-01-02T00:00:00Z"}
    assert linden.of_cells(more) == linden.of_cells(price)


def kept(read: Callable[[Any], Flat], sent: Any) -> dict[str, Any]:
    """What is kept of a record by field; of one that is rejected the rule, by the field that it names."""
    try:
        return dict(msgspec.json.decode(read(sent).record))
    except Rejected as rejected:
        rule = str(rejected.args[0])
        return {rule.partition(":")[2]: rule}


def consumption(**other: str) -> dict[str, Any]:
    """What is kept of a row of the grid company."""
    cells = {
        "Netzgebiet": "CW01",
        "Datum": "01.12.2025",
        "Strom_kWh": "1",
        "Wärme_kWh": "0",
        "Zählpunkte": "4",
    }
    return kept(reader("energy_grid", "Consumption").of_cells, cells | other)


def summary(**other: object) -> dict[str, Any]:
    """What is kept of a day of a device."""
    daily = reader("wearables_city", "DailySummary")
    integers = [name for name, field in (daily.table.fields or {}).items() if field.type == "integer"]
    sent = {"participant_id": "p", "date": "2026-05-01", "updated_at": "2026-05-02T00:00:00Z"}
    line = {**dict.fromkeys(integers, 1), **sent, **other}
    return kept(daily.of_line, msgspec.json.encode(line))


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2026-05-01", "2026-05-01"),
        ("2026-05", "invalid_value:date"),
        ("2026", "invalid_value:date"),
        ("2026-04-30T22:00:00Z", "invalid_value:date"),
        ("9999-12-31", "invalid_value:date"),
    ],
)
def test_a_date_is_a_full_day(date: str, expected: str) -> None:
    assert summary(date=date)["date"] == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("01.12.2025", "2025-12-01"),
        ("1.1.1850", "1850-01-01"),
        ("01.12.0025", "invalid_value:date"),
        ("31.12.9999", "invalid_value:date"),
    ],
)
def test_years_are_held_to_what_can_be_whatever_the_form_of_dates(date: str, expected: str) -> None:
    assert consumption(Datum=date)["date"] == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1.250,5", "1250.5"),
        ("-1.250.000", "-1250000"),
        ("0,500", "0.500"),
        ("0.500", "invalid_value:electricity_kwh"),
        ("-0.125", "invalid_value:electricity_kwh"),
        ("00.125", "invalid_value:electricity_kwh"),
        ("12.5", "invalid_value:electricity_kwh"),
    ],
)
def test_points_between_groups_of_digits_follow_no_zero(number: str, expected: str) -> None:
    assert consumption(Strom_kWh=number)["electricity_kwh"] == expected


@pytest.mark.parametrize("sign", [1, -1])
def test_an_integer_beyond_32_bits_is_rejected_with_its_own_record(sign: int) -> None:
    largest = 2**31 - (sign == 1)
    assert summary(steps=sign * largest)["steps"] == sign * largest
    assert summary(steps=sign * (largest + 1))["steps"] == "invalid_value:steps"
