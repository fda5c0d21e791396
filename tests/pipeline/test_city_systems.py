"""The city's other systems over their real protocols: what they plant ends where it should, and receipts balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.ingest import ingest
from jobs.settings import settings
from tests.support.city import advance, clock, running_city
from tests.support.lake import TestLake

CITY = ("--population", "300", "--years", "0.3", "--admission-factor", "4", "--dirt", "6")
ENDPOINTS = (
    "pharmacy_chain",
    "pharmacy_linden",
    "pharmacy_anker",
    "wearables_city",
    "resources_city",
)
REJECTED_BY = {
    ("dispense", "bad_date"): ("Dispense", "invalid_value:dispensed_at"),
    ("dispense", "quantity_in_words"): ("Dispense", "invalid_value:quantity"),
    ("dispense", "other_decimals"): ("Dispense", "invalid_value:unit_price"),
    ("dispense", "too_few_fields"): ("Dispense", "wrong_cell_count"),
    ("dispense", "invalid_bytes"): ("Dispense", "invalid_encoding"),
    ("dispense", "wrong_clock"): ("Dispense", "not_before:posted_at"),
    ("readings", "wrong_clock"): ("HomeReading", "range:sync_delay_h"),
    ("questionnaires", "not_reversed"): ("Questionnaire", "range:total_error"),
    ("drug_stock", "negative_quantity"): ("DrugStock", "range:quantity"),
    ("equipment", "unknown_ward"): ("Equipment", "value_set:ward"),
}
"""By table and kind of what is planted: the resource type and the rule that rejects it."""

KINDS = {
    "deleted",
    "wrong_quantity",
    "corrected",
    *(kind for table, kind in REJECTED_BY if table == "dispense"),
}
WITH_CONSENT = {"daily": "DailySummary", "readings": "HomeReading", "questionnaires": "Questionnaire"}
RECORD = "case when source = 'resources_city' then concat(batch_id, file, line) else line_hash end"
"""SQL for what tells one rejected record from another: a file of a day has no day in its rows, and what is asked for
again comes again."""


@pytest.fixture(scope="module")
def city(lake: TestLake) -> Iterator[str]:
    """Address of a city whose systems have been taken in on two days."""
    with pytest.MonkeyPatch.context() as monkeypatch, running_city(lake.home, *CITY) as url:
        monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
        settings.cache_clear()
        for days in (0, 1):
            advance(url, days)
            for endpoint in ENDPOINTS:
                ingest(endpoint, clock(url))
        yield url
    settings.cache_clear()


def key(home: Path, name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(
        home / "city" / "answer_key" / f"{name}.parquet"
    ).to_pylist()
    return rows


def test_what_is_planted_is_found(lake: TestLake, city: str) -> None:
    planted = Counter((row["table"], row["kind"]) for row in key(lake.home, "planted"))
    expected = {REJECTED_BY[kind]: count for kind, count in planted.items() if kind in REJECTED_BY}
    assert len(expected) > 6
    found = lake.rows(
        f"select resource_type, rule, count(distinct {RECORD}) as n from quality.quarantine group by 1, 2"
    )
    rejected = {(row["resource_type"], row["rule"]): row["n"] for row in found}
    for rule, count in expected.items():
        # Of people who do not consent nothing else is found out.
        needs_consent = rule[0] in WITH_CONSENT.values()
        assert rejected.get(rule, 0) <= count if needs_consent else rejected.get(rule) == count, rule
    others = {("HomeReading", "implausible_value"), *((r, "no_consent") for r in WITH_CONSENT.values())}
    assert set(rejected) <= {*others, *REJECTED_BY.values()}


def test_nothing_is_taken_without_consent(lake: TestLake, city: str) -> None:
    records = {(str(row["table"]), row["record_id"]) for row in key(lake.home, "unconsented")}
    sent = Counter(WITH_CONSENT[table] for table, _ in records)
    assert sent
    found = lake.rows(
        f"select resource_type, count(distinct {RECORD}) as n from quality.quarantine "
        "where rule = 'no_consent' group by 1"
    )
    held = {row["resource_type"]: row["n"] for row in found}
    assert all(held.get(resource, 0) >= count for resource, count in sent.items())


def test_receipts_balance_for_every_endpoint(lake: TestLake, city: str) -> None:
    sums = lake.rows(
        "select source, sum(received) as received, sum(published + superseded + duplicate + deleted + unmodelled + "
        "quarantined) as told from quality.receipts group by 1"
    )
    assert {row["source"] for row in sums} == set(ENDPOINTS)
    assert all(row["received"] == row["told"] for row in sums)


def test_what_is_dispensed_is_what_the_key_says(lake: TestLake, city: str) -> None:
    """A correction replaces what was wrong, a deletion takes away; what nobody put right is as it was sent."""
    notes = [row for row in key(lake.home, "planted") if row["table"] == "dispense"]
    told = {kind: {row["record_id"] for row in notes if row["kind"] == kind} for kind in KINDS}
    left_out = set().union(*(told[kind] for table, kind in REJECTED_BY if table == "dispense"))
    left_out |= told["deleted"] | (told["wrong_quantity"] - told["corrected"])
    assert told["corrected"]
    true = [row for row in key(lake.home, "dispenses") if row["dispense_id"] not in left_out]
    found = lake.rows("select quantity, is_reversal from silver.pharmacy__dispense where not is_deleted")
    missing = Counter((row["quantity"], row["kind"] == "reversal") for row in true)
    missing.subtract(Counter((row["quantity"], row["is_reversal"]) for row in found))
    assert not +missing


def test_one_price_holds_at_a_time(lake: TestLake, city: str) -> None:
    twice = lake.rows(
        "select source, article_no from silver.pharmacy__price where last_date is null "
        "group by 1, 2 having count(*) > 1"
    )
    assert twice == []
