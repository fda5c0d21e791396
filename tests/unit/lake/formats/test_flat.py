"""Flat records: each member by its declared type, under its own name; what is unclear is rejected."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake.formats.flat import Flat, FlatReader, Wire, wires
from jobs.lake.strict import Rejected
from jobs.sources import Table, find_endpoint

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


def weighing(**part: str) -> FlatReader:
    """A reader of records told apart by ``part`` alone."""
    table = Table.model_validate(
        {
            "resource": "Weighing",
            "grain": "One row per part.",
            "key": "weighing_key",
            "identity": ["part"],
            "fields": {"part": part},
            "columns": {},
        }
    )
    return FlatReader(Wire(table, {}), Pseudonymiser(KEY, "scales"), ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("kind", "same", "other"),
    [
        (
            "date_time",
            ['"2026-01-01T00:00:00Z"', '"2026-01-01T01:00+01:00"', '"2026-01-01T01:00:00.0"'],
            '"2026-01-01T00:00:01Z"',
        ),
        ("integer", ["7", '"07"', '"+7"'], "70"),
        ("decimal", ["1.5", "1.50", "15e-1", '"+1.5"'], "15"),
        ("decimal", ["0", "-0.0", "0e5"], "1"),
        ("decimal", ["100", "1e2"], "10"),
        ("text", ['"1.50"'], '"1.5"'),
    ],
)
def test_an_id_is_of_the_value_however_it_is_written(kind: str, same: list[str], other: str) -> None:
    flat = weighing(type=kind)
    lines = [f'{{"part": {text}}}'.encode() for text in same]
    ids = {flat.of_line(line).source_id for line in lines} | {flat.id_of_line(line) for line in lines}
    assert len(ids) == 1
    assert flat.of_line(f'{{"part": {other}}}'.encode()).source_id not in ids


@pytest.mark.parametrize("text", ["2026", "2026-01", "2026-01-01"])
def test_a_date_is_no_instant(text: str) -> None:
    flat = weighing(type="date_time")
    with pytest.raises(Rejected, match="invalid_value:part"):
        flat.of_line(f'{{"part": "{text}"}}'.encode())


@given(st.tuples(*[st.decimals(places=5, min_value=-(10**27), max_value=10**27)] * 2))
def test_two_numbers_have_one_id_when_they_are_one(numbers: tuple[Decimal, Decimal]) -> None:
    flat = weighing(type="decimal")
    one, other = (flat.of_line(f'{{"part": {number:f}}}'.encode()).source_id for number in numbers)
    assert (one == other) == (numbers[0] == numbers[1])


@pytest.mark.parametrize("part", ["null", "[1]", '{"a": 1}', '"2026-02-30"', "true"])
def test_a_rejected_record_whose_id_cannot_be_read_has_none(part: str) -> None:
    assert weighing(type="date").id_of_line(f'{{"part": {part}}}'.encode()) is None


def test_a_day_written_in_two_ways_is_one_row() -> None:
    grid = reader("energy_grid", "Consumption")
    cells = {"Netzgebiet": "CW01", "Strom_kWh": "1", "Wärme_kWh": "0", "Zählpunkte": "4"}
    rows = [cells | {"Datum": day} for day in ("01.12.2025", "1.12.2025")]
    assert grid.of_cells(rows[0]) == grid.of_cells(rows[1])
    assert {grid.id_of_cells(row | {"Strom_kWh": "viel"}) for row in rows} == {
        grid.of_cells(rows[0]).source_id
    }
