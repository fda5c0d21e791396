"""A small city's pharmacies, ward stock and staff: a chain that writes numbers, a shop that writes names."""

from __future__ import annotations

from datetime import date
from typing import Any

CHAIN = {"source": "pharmacy_chain", "pharmacy_id": "market"}
_SALE = {
    **CHAIN,
    "customer_key": "c1",
    "prescription_key": "r1",
    "article_no": "100",
    "quantity": 2,
    "unit": "tablets",
    "strength": "1000 mg",
    "days_supply": 60,
    "unit_price_eur": 12.5,
    "dispensed_at": "2026-03-06 10:00",
    "is_reversal": False,
}
_BACK = {"is_reversal": True, "quantity": -2}
_NAMED = {
    "source": "pharmacy_linden",
    "pharmacy_id": "linden",
    "article_no": None,
    "atc_code": "A10BA02",
    "article_name": "Metformin, 500 mg, 30 tablets",
    "unit_price_eur": 9.0,
}


def _sale(key: str, **more: Any) -> dict[str, Any]:
    return {**_SALE, "dispense_key": key, **more}


def _price(
    article_no: str, price: float, first: date, last: date | None = None, **more: Any
) -> dict[str, Any]:
    row = {"source": "pharmacy_chain", "article_no": article_no, "price": price, "currency": "EUR", **more}
    return {**row, "price_key": f"{article_no} {first} {more}", "first_date": first, "last_date": last}


def _stock(day: int, quantity: int, lot: str = "L1", expires: date = date(2027, 1, 1)) -> dict[str, Any]:
    return {
        **CHAIN,
        "stock_key": f"{day} {lot}",
        "article_no": "100",
        "lot": lot,
        "counted_date": date(2026, 3, day),
        "expiry_date": expires,
        "quantity": quantity,
    }


_WARD = {"source": "resources_city", "hospital_id": "north", "report_date": date(2026, 3, 3)}
_SHIFT = {
    "source": "resources_city",
    "hospital_id": "north",
    "ward": "Medicine",
    "began_at": "2026-03-03 06:00",
}

PHARMACY: dict[str, list[dict[str, Any]]] = {
    "pharmacy__article": [
        {
            "source": "pharmacy_chain",
            "article_key": number,
            "article_no": number,
            "atc_code": atc,
            "article_name": name,
            "strength": strength,
            "unit": unit,
            "pack_size": size,
            "is_prescription_only": atc is not None,
        }
        for number, atc, name, strength, unit, size in (
            ("100", "A10BA02", "Metformin, 1000 mg, 60 tablets", "1000 mg", "tablets", 60),
            ("101", None, "Plaster, assorted, 40 pieces", None, "pieces", 40),
            ("102", "Z99ZZ99", "Newfangled, 10 pens", None, "pens", 10),
        )
    ]
    + [{"source": "pharmacy_chain", "article_key": "199", "is_deleted": True}],
    "pharmacy__price": [
        _price("100", 12.0, date(2026, 1, 1), date(2026, 3, 5)),
        _price("100", 1250.0, date(2026, 3, 6)),
        _price("101", 4.0, date(2026, 1, 1)),
        _price(
            "500",
            9.0,
            date(2026, 1, 1),
            source="pharmacy_linden",
            atc_code="A10BA02",
            article_name="Metformin, 500 mg, 30 tablets",
        ),
    ],
    "pharmacy__dispense": [
        _sale("sale"),
        _sale("posted_twice", dispensed_at="2026-03-06 10:02"),
        _sale("later", dispensed_at="2026-03-06 16:00", customer_key="c2"),
        _sale("taken_back", dispensed_at="2026-03-05 10:00", unit_price_eur=12.0),
        _sale("back", dispensed_at="2026-03-06 11:00", reverses_key="taken_back", **_BACK),
        _sale("twin_back_1", customer_key="c9", quantity=1),
        _sale("twin_back_2", customer_key="c9", quantity=1, dispensed_at="2026-03-06 10:01"),
        _sale("back_2", customer_key="c9", reverses_key="twin_back_2", **{**_BACK, "quantity": -1}),
        _sale("nobody_1", customer_key=None, prescription_key=None, days_supply=None),
        _sale("nobody_2", customer_key=None, prescription_key=None, dispensed_at="2026-03-06 10:01"),
        _sale("deleted", is_deleted=True),
        _sale("of_deleted", reverses_key="deleted", **_BACK),
        _sale("plaster", article_no="101", prescription_key=None, days_supply=None, unit_price_eur=400.0),
        _sale("unknown", article_no="999", prescription_key="r2"),
        _sale("unmapped", article_no="102", prescription_key=None, dispensed_at="2026-03-06 23:30"),
        _sale("sold_no_more", article_no="199", prescription_key=None),
        _sale("named", **_NAMED, customer_key="c3", prescription_key="r3"),
    ],
    "pharmacy__stock": [
        _stock(4, 10),
        _stock(5, 8),
        _stock(6, 9),
        _stock(6, 20, "L2"),
        _stock(7, 29),
        _stock(7, 3, "old", date(2026, 3, 8)),
        _stock(8, 28),
    ],
    "pharmacy__delivery": [
        {
            **CHAIN,
            "delivery_key": "came",
            "article_no": "100",
            "ordered_at": "2026-03-05 16:00",
            "ordered_quantity": 30,
            "delivered_at": "2026-03-06 07:00",
            "delivered_quantity": 27,
        },
        {**CHAIN, "delivery_key": "to come", "article_no": "100", "ordered_quantity": 5},
    ],
    "hospital_events__dispense": [
        {
            "source": "events_north",
            "dispense_key": key,
            "patient_key": "number-1",
            "visit_key": "visit-number",
            "placer_key": order,
            "prescription_key": f"{order} without its authority",
            "order_control": control,
            "medication_system": "ATC",
            "medication_code": "A10BA02",
            "amount": 14.0,
            "amount_unit": "TAB",
            "dispensed_at": "2026-03-04 12:00",
        }
        for key, order, control in (("handed", "o1", "RE"), ("cancelled", "o1", "CA"), ("lost", "o9", None))
    ],
    "hospital_events__prescription": [
        {
            "source": "events_north",
            "prescription_key": "o1",
            "visit_key": "visit-number",
            "ordered_at": "2026-03-02 10:00:05",
        }
    ],
    "hospital_resources__bed": [
        {**_WARD, "bed_key": str(n), "ward": "Medicine", "bed_id": str(n), "state": state}
        for n, state in enumerate(("occupied", "occupied", "free", "closed"))
    ],
    "hospital_resources__staff": [
        {"source": "resources_city", "staff_key": key, "hospital_id": "north", "role": role}
        for key, role in (("s1", "doctor"), ("s2", "nurse"), ("s3", "nurse"))
    ],
    "hospital_resources__roster": [
        {**_SHIFT, "roster_key": key, "staff_key": key[:2], "is_sick": key == "s3"}
        for key in ("s1", "s2", "s2 elsewhere", "s3", "s9")
    ],
    "hospital_resources__drug_stock": [
        {
            **_WARD,
            "drug_stock_key": f"{code} {day}",
            "report_date": date(2026, 3, day),
            "ward": "Medicine",
            "atc_code": code,
            "unit": "tablets",
            "lot": "H1",
            "expiry_date": date(2026, 3, 20),
            "quantity": quantity,
        }
        for code, day, quantity in (("A10BA02", 3, 40), ("A10BA02", 4, 30), ("L01XC02", 3, 0))
    ],
}
RETIRED = {
    "pharmacy__article": [
        {
            "source": "pharmacy_chain",
            "article_key": "199",
            "article_no": "199",
            "atc_code": "C03CA01",
            "article_name": "Furosemide, 40 mg, 30 tablets",
            "strength": "40 mg",
            "unit": "tablets",
            "pack_size": 30,
            "version_at": "2026-01-01",
        }
    ]
}
"""As it was told before it was deleted."""
PEOPLE = [
    {"patient_key": "c1", "source": "pharmacy_chain", "person_key": "p1", "linked_at": "2026-04-01"},
    {"patient_key": "c2", "source": "pharmacy_chain", "person_key": "p1", "linked_at": "2026-04-01"},
    {"patient_key": "c3", "source": "pharmacy_linden", "person_key": "p1", "linked_at": "2026-04-01"},
]
"""p1 has two numbers at the chain and one at linden; c9 is nobody's."""
