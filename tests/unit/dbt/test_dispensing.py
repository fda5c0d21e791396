"""What was dispensed, what it was, whose it was, and what is left on the shelf."""

from __future__ import annotations

from datetime import date

import pytest

from jobs import gold
from tests.unit.dbt.city import City, Row
from tests.unit.dbt.pharmacy_rows import PEOPLE, PHARMACY, RETIRED, _sale

ATC = "http://www.whocc.no/atc"
REQUEST: Row = {
    "patient_key": "p1",
    "encounter_key": "stay",
    "status": "active",
    "intent": "order",
    "code_system": ATC,
    "code": "A10BA02",
    "code_display": "Metformin",
    "authored_precision": "second",
}
PLACES = [
    {
        "facility_key": f"in_register_{name}",
        "facility_id": name,
        "kind": kind,
        "name": name.title(),
        "postal_sector": sector,
        "district_code": district,
    }
    for name, kind, sector, district in (
        ("hospital_north", "hospital", "100 1", "A1"),
        ("market", "pharmacy", "100 3", "A2"),
    )
]
MARTS = ("agg_facility_daily", "dim_article", "dim_medication", "fct_stock_daily", "unmapped")
MARKET, LINDEN = "pharmacy_chain/market", "pharmacy_linden/linden"


@pytest.fixture(scope="module")
def first(city: City) -> gold.GoldResult:
    city.put(
        RETIRED,
        **PHARMACY,
        housing__facility=PLACES,
        patient=[{"patient_key": "p1", "identifier_keys": ["number-1"]}],
        person_link=[{"patient_key": "p1", "person_key": "p1", "linked_at": "2026-04-01"}, *PEOPLE],
        organization=[
            {"organization_key": "house", "name": "North"},
            {"organization_key": "ward", "part_of_key": "house"},
        ],
        encounter=[
            {
                "encounter_key": "stay",
                "patient_key": "p1",
                "status": "finished",
                "class_code": "IMP",
                "organization_key": "house",
                "identifier_keys": ["visit-number"],
                "started_at": "2026-03-01 22:00",
                "started_precision": "second",
                "ended_at": "2026-03-04 10:00",
                "ended_precision": "second",
            }
        ],
        medication_request=[
            {**REQUEST, "medication_request_key": "old", "authored_at": "2025-01-01"},
            {**REQUEST, "medication_request_key": "first", "authored_at": "2026-03-02 10:00:05"},
            {**REQUEST, "medication_request_key": "after", "authored_at": "2026-03-07"},
            {
                **REQUEST,
                "medication_request_key": "rxnorm",
                "authored_at": "2026-03-03",
                "code_system": "http://www.nlm.nih.gov/research/umls/rxnorm",
                "code": "314076",
                "code_display": "lisinopril 10 MG Oral Tablet",
            },
        ],
    )
    return city.build(" ".join(f"+{model}" for model in MARTS))


@pytest.fixture(scope="module")
def built(city: City, first: gold.GoldResult) -> City:
    return city


def test_every_test_passes_and_what_cannot_be_told_is_counted(first: gold.GoldResult) -> None:
    assert {warning.name: warning.failures for warning in first.warnings} == {
        "holds_for_all_fct_dispense_is_medication_request_resolved": 5,
        "holds_for_all_fct_dispense_is_medication_resolved": 1,
        "holds_for_all_fct_dispense_is_person_resolved": 3,
        "holds_for_all_fct_dispense_is_sale_resolved": 1,
        "holds_for_all_fct_stock_daily_is_explained": 3,
    }


def test_building_again_writes_nothing(built: City, first: gold.GoldResult) -> None:
    models = " ".join(f"+{model}" for model in MARTS)
    assert built.build_models(models).versions == first.versions


def test_what_counts_is_what_was_handed_out_and_kept(built: City) -> None:
    """A reversal nets its sale on its own day; a second posting and a reversal of nothing here count nothing."""
    columns = ("dispense_key", "quantity_posted", "quantity", "quantity_kept", "days_supply")
    found = built.rows("fct_dispense", *columns)
    assert {row for row in found if row[1] is not None} == {
        ("sale", 2, 2, 2, 60),
        ("posted_twice", 2, 0, 0, 0),
        ("later", 2, 2, 2, 60),
        ("taken_back", 2, 2, 0, 60),
        ("back", -2, -2, 0, -60),
        ("twin_back_1", 1, 1, 1, 60),
        ("twin_back_2", 1, 1, 0, 60),
        ("back_2", -1, -1, 0, -60),
        ("nobody_1", 2, 2, 2, None),
        ("nobody_2", 2, 2, 2, 60),
        ("of_deleted", -2, 0, 0, 0),
        ("plaster", 2, 2, 2, None),
        ("unknown", 2, 2, 2, 60),
        ("unmapped", 2, 2, 2, 60),
        ("sold_no_more", 2, 2, 2, 60),
        ("named", 2, 2, 2, 60),
    }
    counted = [row for row in found if row[2] is not None]
    assert sum(row[2] for row in counted) == sum(row[3] for row in counted)


def test_whose_it_was_and_what_was_prescribed(built: City) -> None:
    """Two numbers at one keeper are one person. The request is the newest before the first fill, or the same order."""
    columns = (
        "dispense_key",
        "told_by",
        "person_key",
        "facility_key",
        "encounter_key",
        "medication_request_key",
        "medication_request_basis",
        "is_person_resolved",
        "is_medication_request_resolved",
    )
    wanted = ("sale", "later", "nobody_1", "twin_back_1", "named", "unknown", "handed", "lost")
    assert {row for row in built.rows("fct_dispense", *columns) if row[0] in wanted} == {
        ("sale", "pharmacy", "p1", MARKET, None, "first", "inferred", True, True),
        ("later", "pharmacy", "p1", MARKET, None, "first", "inferred", True, True),
        ("nobody_1", "pharmacy", None, MARKET, None, None, None, None, None),
        ("twin_back_1", "pharmacy", "c9", MARKET, None, None, None, False, False),
        ("named", "pharmacy", "p1", LINDEN, None, "first", "inferred", True, True),
        ("unknown", "pharmacy", "p1", MARKET, None, None, None, True, False),
        ("handed", "hl7", "p1", "house", "stay", "first", "same_order", True, True),
        ("lost", "hl7", "p1", "house", "stay", None, None, True, False),
    }


def test_what_it_was_and_what_it_cost(built: City) -> None:
    columns = (
        "dispense_key",
        "article_no",
        "atc_code",
        "medication_missing_reason",
        "days_supply_missing_reason",
        "amount",
        "form",
        "unit_price_eur",
        "list_price_eur",
        "price_check",
        "price_eur",
    )
    none, metformin = None, "A10BA02"
    wanted = (
        "sale",
        "taken_back",
        "nobody_1",
        "plaster",
        "unknown",
        "unmapped",
        "sold_no_more",
        "named",
        "handed",
    )
    assert {row for row in built.rows("fct_dispense", *columns) if row[0] in wanted} == {
        ("sale", "100", metformin, none, none, 120.0, "tablets", 12.5, 12.5, "list_in_cents", 25.0),
        ("taken_back", "100", metformin, none, none, 120.0, "tablets", 12.0, 12.0, "as_listed", 24.0),
        ("nobody_1", "100", metformin, none, "not_told", 120.0, "tablets", 12.5, 12.5, "list_in_cents", 25.0),
        (
            "plaster",
            "101",
            none,
            "no_medicine",
            "no_medicine",
            80.0,
            "tablets",
            4.0,
            4.0,
            "charged_in_cents",
            8.0,
        ),
        ("unknown", "999", none, "unknown_article", none, none, "tablets", 12.5, none, "not_listed", 25.0),
        ("unmapped", "102", "Z99ZZ99", none, none, 20.0, "tablets", 12.5, none, "not_listed", 25.0),
        ("sold_no_more", "199", "C03CA01", none, none, 60.0, "tablets", 12.5, none, "not_listed", 25.0),
        ("named", "500", metformin, none, none, 60.0, "tablets", 9.0, 9.0, "as_listed", 18.0),
        ("handed", none, metformin, none, "not_told", 14.0, "tablets", none, none, "not_told", none),
    }
    (night,) = (
        row for row in built.rows("fct_dispense", "dispense_key", "dispensed_date") if row[0] == "unmapped"
    )
    assert night[1] == date(2026, 3, 7), "half past eleven UTC is past midnight in Berlin"


def test_medications_and_articles(built: City) -> None:
    columns = (
        "atc_code",
        "concept",
        "name",
        "strengths",
        "forms",
        "other_codes",
        "is_prescription_only",
        "articles",
    )
    rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm|314076"
    assert built.rows("dim_medication", *columns) == {
        ("A10BA02", "metformin", "Metformin", "1000 mg,500 mg", "tablets", None, True, 2),
        ("C03CA01", "furosemide", "Furosemide", "1000 mg,40 mg", "tablets", None, None, 0),
        ("C09AA03", "lisinopril", "lisinopril 10 MG Oral Tablet", None, None, rxnorm, None, 0),
        ("L01FA01", "rituximab", None, None, None, f"{ATC}|L01XC02", None, 0),
        ("Z99ZZ99", None, "Newfangled", "1000 mg", "pens,tablets", None, True, 1),
    }
    columns = ("article_key", "atc_code", "medication_name", "strength", "form", "pack_size", "is_current")
    assert built.rows("dim_article", *columns) == {
        ("pharmacy_chain/100", "A10BA02", "Metformin", "1000 mg", "tablets", 60, True),
        ("pharmacy_chain/101", None, "Plaster", None, "pieces", 40, True),
        ("pharmacy_chain/102", "Z99ZZ99", "Newfangled", None, "pens", 10, True),
        ("pharmacy_chain/199", "C03CA01", "Furosemide", "40 mg", "tablets", 30, False),
        ("pharmacy_linden/500", "A10BA02", "Metformin", "500 mg", "tablets", 30, True),
    }
    columns = ("source", "field", "code_system", "code", "record_count")
    assert built.rows("unmapped", *columns, schema="quality") == {
        ("pharmacy_chain", "dispense.article_no", None, "999", 1),
        ("pharmacy_chain", "article.atc_code", ATC, "Z99ZZ99", 1),
    }


def test_stock_follows_from_the_day_before_what_came_and_what_went(
    built: City,
) -> None:
    """On 6 March 27 came, and four sales went and came back; three packs that expire on 8 March are thrown away."""
    columns = (
        "ward",
        "atc_code",
        "date",
        "on_hand",
        "delivered",
        "dispensed",
        "expected_on_hand",
        "unexplained",
    )
    more = ("is_explained", "lots", "first_expiry_date", "expiring_30d_on_hand")
    found = built.rows("fct_stock_daily", *columns, *more)
    lasting, old, ward = date(2027, 1, 1), date(2026, 3, 8), date(2026, 3, 20)
    metformin = "A10BA02"
    assert {row for row in found if row[0] is None} == {
        (None, metformin, date(2026, 3, 4), 10, 0, 0, None, None, None, 1, lasting, 0),
        (None, metformin, date(2026, 3, 5), 8, 0, 2, 8, 0, True, 1, lasting, 0),
        (None, metformin, date(2026, 3, 6), 29, 27, 7, 28, 1, False, 2, lasting, 0),
        (None, metformin, date(2026, 3, 7), 32, 0, 0, 29, 3, False, 2, old, 3),
        (None, metformin, date(2026, 3, 8), 28, 0, 0, 32, -1, False, 1, lasting, 0),
    }
    assert {row for row in found if row[0]} == {
        ("Medicine", metformin, date(2026, 3, 3), 40, None, None, None, None, None, 1, ward, 40),
        ("Medicine", metformin, date(2026, 3, 4), 30, None, None, None, None, None, 1, ward, 30),
        ("Medicine", "L01FA01", date(2026, 3, 3), 0, None, None, None, None, None, 0, None, 0),
    }


def test_facilities_and_districts_show_beds_staff_and_stock(built: City) -> None:
    columns = ("facility_key", "kind", "name", "postal_sector", "district_code")
    assert built.rows("dim_facility", *columns) == {
        ("house", "hospital", "North", "100 1", "A1"),
        ("ward", "hospital", None, "100 1", "A1"),
        (MARKET, "pharmacy", "Market", "100 3", "A2"),
        (LINDEN, "pharmacy", "linden", None, None),
    }
    columns = (
        "facility_key",
        "date",
        "arrivals",
        "occupancy",
        "beds",
        "beds_free",
        "staff_on_duty",
        "doctors_on_duty",
    )
    found = built.rows(
        "agg_facility_daily", *columns, "nurses_on_duty", "staff_sick", "stock_items", "stock_items_out"
    )
    assert {row for row in found if row[0] == "house"} == {
        ("house", date(2026, 3, 1), 1, 1, *[None] * 8),
        ("house", date(2026, 3, 2), 0, 1, *[None] * 8),
        ("house", date(2026, 3, 3), 0, 1, 4, 1, 3, 1, 1, 1, 2, 1),
        ("house", date(2026, 3, 4), 0, 0, *[None] * 6, 1, 0),
    }
    columns = ("facility_key", "date", "arrivals", "packs_on_hand", "packs_delivered", "packs_dispensed")
    assert {row for row in built.rows("agg_facility_daily", *columns) if row[0] == MARKET} == {
        (MARKET, date(2026, 3, 4), None, 10, 0, None),
        (MARKET, date(2026, 3, 5), None, 8, 0, 2),
        (MARKET, date(2026, 3, 6), None, 29, 27, 13),
        (MARKET, date(2026, 3, 7), None, 32, 0, 2),
        (MARKET, date(2026, 3, 8), None, 28, 0, None),
    }


def test_a_sale_that_comes_after_its_reversal_is_netted(built: City) -> None:
    """Last: it changes the city."""
    built.put(pharmacy__dispense=[{**row, "is_deleted": False} for row in PHARMACY["pharmacy__dispense"]])
    built.build_models("+fct_dispense")
    found = built.rows("fct_dispense", "dispense_key", "quantity", "is_reversed", "is_sale_resolved")
    assert {row for row in found if row[0] in ("deleted", "of_deleted")} == {
        ("deleted", 2, True, None),
        ("of_deleted", -2, False, True),
    }


def test_no_more_is_taken_back_than_was_sold(built: City) -> None:
    """Whatever the order in which they come, reversals count in order of time. Last: it changes the city."""
    rows = [
        _sale("sale"),
        _reversal("back", "sale", -2, "11:00"),
        _reversal("back again", "sale", -2, "11:02"),
        _sale("three", quantity=3, days_supply=90),
        _reversal("one", "three", -1, "11:00", days_supply=30),
        _reversal("another", "three", -1, "12:00", days_supply=30),
        _reversal("two more", "three", -2, "13:00"),
        _reversal("back once more", "back", 2, "14:00"),
    ]
    columns = ("dispense_key", "quantity_posted", "quantity", "quantity_kept", "days_supply", "price_eur")
    for told in (rows, rows[::-1]):
        built.put(pharmacy__dispense=told)
        built.build_models("+fct_dispense")
        found = built.rows("fct_dispense", *columns, "is_reversed", "is_repeated")
        assert {row for row in found if row[1] is not None} == {
            ("sale", 2, 2, 0, 60, 25.0, True, False),
            ("back", -2, -2, 0, -60, -25.0, True, False),
            ("back again", -2, 0, 0, 0, 0.0, False, True),
            ("three", 3, 3, 0, 90, 37.5, True, False),
            ("one", -1, -1, 0, -30, -12.5, False, False),
            ("another", -1, -1, 0, -30, -12.5, False, False),
            ("two more", -2, -1, 0, -30, -12.5, False, False),
            ("back once more", 2, 2, 0, 60, 25.0, False, False),
        }


def _reversal(key: str, of: str, quantity: int, at: str, **more: object) -> Row:
    more = {"quantity": quantity, "dispensed_at": f"2026-03-06 {at}", "is_reversal": True, **more}
    return _sale(key, reverses_key=of, **more)
