"""Flat records: each member by its declared type, under its own name; what is unclear is rejected."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from jobs.identity.pseudonyms import Pseudonymiser
from jobs.lake.formats.flat import FlatReader, wires
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
