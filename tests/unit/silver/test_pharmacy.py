"""Pharmacies, from a chain's rows and two shops' files to one set of tables in silver."""

from __future__ import annotations

from typing import Any

from tests.support.lake import Export, TestLake, instant, totals

AT = "2025-12-31T13:05:00+00:00"
ARTICLE = {
    "article_no": "12345678",
    "atc_code": "C09AA05",
    "name": "Ramipril, 5 mg, 30 tablets",
    "strength": "5 mg",
    "unit": "tablets",
    "pack_size": 30,
    "is_prescription_only": True,
    "changed_at": "2025-01-01T00:00:00+00:00",
    "is_deleted": False,
}


def sale(number: int, **other: Any) -> dict[str, Any]:
    return {
        "dispense_id": number,
        "pharmacy": "hafen",
        "customer_no": "CK-04711234",
        "customer_family_name": "Elmford",
        "customer_given_name": "Ada",
        "customer_birth_date": "1950-12-31",
        "customer_phone": "+49 30 1234567",
        "customer_postal_code": "C05 41B",
        "national_id": "0123456789-42",
        "prescription_no": "160.000000017.0815",
        "article_no": "12345678",
        "quantity": 1,
        "unit": "tablets",
        "strength": "5 mg",
        "days_supply": 30,
        "unit_price": 11.89,
        "dispensed_at": AT,
        "reverses_id": None,
        "changed_at": "2025-12-31T13:06:00+00:00",
        "is_deleted": False,
        **other,
    }


LATER = "2026-01-01T09:00:00+00:00"
CHAIN = {
    "Article": [
        ARTICLE,
        ARTICLE | {"article_no": "09999998", "is_deleted": True},
    ],
    "Dispense": [
        sale(10000001, quantity=10),
        sale(10000001, changed_at=LATER),
        sale(10000002, quantity=-1, reverses_id=10000001),
        sale(10000003, changed_at=LATER, is_deleted=True),
        sale(10000004, article_no="99999990", days_supply=None, customer_no=None, prescription_no=None),
        sale(10000005, dispensed_at="2026-12-31T13:05:00+00:00"),
        sale(10000006, changed_at="2025-12-31T13:00:00+00:00"),
    ],
    "Price": [
        {
            "price_id": 1,
            "article_no": "12345678",
            "valid_from": "2025-12-01",
            "valid_to": None,
            "price": 11.89,
            "currency": "EUR",
            "changed_at": "2025-12-01T04:00:00+00:00",
            "is_deleted": False,
        }
    ],
    "Stock": [
        {
            "stock_id": 7,
            "pharmacy": "hafen",
            "article_no": "12345678",
            "stock_date": "2025-12-31",
            "lot": "L1234-07",
            "expires_on": "2027-01-31",
            "quantity": 12,
            "changed_at": "2025-12-31T23:46:00+00:00",
            "is_deleted": False,
        }
    ],
    "Delivery": [
        {
            "delivery_id": 17,
            "pharmacy": "hafen",
            "article_no": "12345678",
            "supplier": "Nordgross",
            "ordered_at": "2025-12-30T10:00:00+00:00",
            "promised_on": "2026-01-02",
            "ordered_quantity": 20,
            "delivered_at": None,
            "delivered_quantity": None,
            "lot": None,
            "expires_on": None,
            "changed_at": "2025-12-30T10:00:00+00:00",
            "is_deleted": False,
        }
    ],
}
CUSTOMER = "AN-00815042;Ada;Elmford;31.12.1950;0123456789-42;C05 41B;"
ANKER = {
    "Article": """Artikel-Nr;Bezeichnung;ATC;Stärke;Einheit;Packungsgröße
34567895;Bisoprolol, 2.5 mg, 100 tablets;C07AB07;2,5 mg;tablets;100
34567896;Plaster, assorted;;;pieces;40
Anzahl Datensätze;2
""",
    "Dispense": f"""Beleg-Nr;Kunden-Nr;Vorname;Name;Geburtsdatum;Versicherten-Nr;PLZ;Rezept-Nr;Artikel-Nr;Menge;\
Einheit;Stärke;Reichweite (Tage);Einzelpreis;Abgabe am;Storno zu
A-0000043;{CUSTOMER};34567895;1;tablets;2,5 mg;100;15,12;31.12.2025 14:05;
A-0000044;{CUSTOMER};34567895;1;tablets;2,5 mg;100;15.12;31.12.2025 14:05;
A-0000045;{CUSTOMER};34567895;zwei;tablets;2,5 mg;100;15,12;31.12.2025 14:05;
A-0000046;{CUSTOMER};34567895;1;tablets;2,5 mg;100;15,12;31.02.2025 10:00;
A-0000047;{CUSTOMER};34567895;1;tablets;2,5 mg;100
A-0000048;{CUSTOMER};34567895;1;tablets;2,5 mg;100;15,12;31.12.2025 14:0¤
A-0000043;{CUSTOMER};34567895;1;tablets;2,5 mg;100;15,12;31.12.2025 14:05;
A-0000049;{CUSTOMER};34567895;10;tablets;2,5 mg;100;15,12;31.12.2025 15:05;
A-0000049;{CUSTOMER};34567895;1;tablets;2,5 mg;100;15,12;31.12.2025 15:05;
A-0000050;{CUSTOMER};34567895;-1;tablets;2,5 mg;100;15,12;31.12.2025 16:05;A-0000049
Anzahl Datensätze;10
""",
    "Price": """Artikel-Nr;Preis;Währung;gültig ab;gültig bis
34567895;1.015,12;EUR;01.12.2025;
Anzahl Datensätze;1
""",
    "Stock": """Stichtag;Artikel-Nr;Charge;Verfall;Bestand
31.12.2025;34567895;L1-07;31.01.2027;-3
Anzahl Datensätze;1
""",
    "Delivery": """Liefer-Nr;Artikel-Nr;Lieferant;Bestellt am;Zugesagt;Bestellte Menge;Geliefert am;Gelieferte Menge;\
Charge;Verfall
D000017;34567895;Südhandel;30.12.2025 10:00;31.12.2025;20;31.12.2025 08:00;18;L1-07;31.01.2027
Anzahl Datensätze;1
""",
}
LINDEN = """receipt_no,customer_no,given_name,family_name,birth_date,national_id,postal_code,prescription_no,atc_code,\
article_name,quantity,unit,strength,days_supply,unit_price,dispensed_at,cancels_receipt_no
L-0000042,LI-04711234,Ada,Elmford,1950-12-31,,C05 41B,160.000000017.0815,C09AA05,"Ramipril, 5 mg, 30 tablets",1,\
tablets,5 mg,30,11.89,2025-12-31T14:05:00+01:00,
L-0000043,,,,,,,,N02BE01,"Paracetamol, 500 mg, 20 tablets",1,tablets,500 mg,5,"2,89",2025-12-31T14:05:00+01:00,
"""


def sent(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("windows-1252").replace(b"\xa4", b"\x81")


def names(shop: str) -> dict[str, str]:
    return {
        resource: f"{table}_{shop}_2025-12-31.csv"
        for resource, table in {
            "Dispense": "dispense",
            "Price": "prices",
            "Stock": "stock",
            "Delivery": "deliveries",
        }.items()
    }


def test_three_keepers_have_one_set_of_tables(lake: TestLake) -> None:
    now = instant("2026-01-02")
    chain = totals(lake.ingest("pharmacy_chain", Export(now, CHAIN)))
    assert chain == {"received": 12, "published": 8, "superseded": 1, "deleted": 2, "quarantined": 1}
    files = {resource: sent(text) for resource, text in ANKER.items()}
    anker = totals(lake.ingest("pharmacy_anker", Export(now, files, origins=names("anker"))))
    assert anker == {"received": 15, "published": 7, "superseded": 1, "duplicate": 1, "quarantined": 6}
    linden = {"Dispense": LINDEN.encode("utf-8-sig")}
    counted = totals(lake.ingest("pharmacy_linden", Export(now, linden, origins=names("linden"))))
    assert counted == {"received": 2, "published": 1, "quarantined": 1}

    sales = lake.rows(
        "select source, pharmacy_id, quantity, strength, unit_price_eur, postal_district, birth_year, birth_month, "
        "cast(dispensed_at as string) as at, is_reversal, days_supply from silver.pharmacy__dispense "
        "where not is_deleted order by source, dispensed_at, quantity, strength"
    )
    assert [(s["source"], s["pharmacy_id"], s["quantity"], s["is_reversal"]) for s in sales] == [
        ("pharmacy_anker", "anker", 1, False),
        ("pharmacy_anker", "anker", 1, False),
        ("pharmacy_anker", "anker", -1, True),
        ("pharmacy_chain", "hafen", -1, True),
        ("pharmacy_chain", "hafen", 1, False),
        ("pharmacy_chain", "hafen", 1, False),
        ("pharmacy_chain", "hafen", 1, False),
        ("pharmacy_linden", "linden", 1, False),
    ]
    first = sales[0]
    assert (first["strength"], first["unit_price_eur"], first["at"][:16]) == (
        "2.5 mg",
        15.12,
        "2025-12-31 13:05",
    )
    assert {(s["postal_district"], s["birth_year"], s["birth_month"]) for s in sales} == {("C05", 1950, 12)}

    reversed_ = lake.rows(
        "select t.source from silver.pharmacy__dispense t join silver.pharmacy__dispense o "
        "on t.source = o.source and t.reverses_key = o.dispense_key and t.customer_key = o.customer_key "
        "order by 1"
    )
    assert [row["source"] for row in reversed_] == ["pharmacy_anker", "pharmacy_chain"]
    (order,) = lake.rows(
        "select supplier, delivered_quantity from silver.pharmacy__delivery where delivered_at is not null"
    )
    assert order == {"supplier": "Südhandel", "delivered_quantity": 18}
    kept = lake.rows("select * from silver.pharmacy__dispense")
    assert not any(word in str(kept) for word in ("Elmford", "41B", "0123456789", "CK-0", "160.0", "1000000"))

    rules = lake.rows("select source, resource_type, line, rule from quality.quarantine order by 1, 2, 3")
    assert [tuple(row.values()) for row in rules] == [
        ("pharmacy_anker", "Dispense", 3, "invalid_value:unit_price"),
        ("pharmacy_anker", "Dispense", 4, "invalid_value:quantity"),
        ("pharmacy_anker", "Dispense", 5, "invalid_value:dispensed_at"),
        ("pharmacy_anker", "Dispense", 6, "wrong_cell_count"),
        ("pharmacy_anker", "Dispense", 7, "invalid_encoding"),
        ("pharmacy_anker", "Stock", 2, "range:quantity"),
        ("pharmacy_chain", "Dispense", 6, "not_before:posted_at"),
        ("pharmacy_linden", "Dispense", 3, "invalid_value:unit_price"),
    ]


def test_a_row_of_the_chain_is_the_one_of_its_own_key(lake: TestLake) -> None:
    (counted,), (listed,) = CHAIN["Stock"], CHAIN["Price"]
    counted, listed = counted | {"article_no": "22222222"}, listed | {"article_no": "22222222"}
    first = {
        "Stock": [counted | {"stock_id": 21}, counted | {"stock_id": 23, "lot": "L2", "quantity": 9}],
        "Price": [listed | {"price_id": 21}],
    }
    lake.ingest("pharmacy_chain", Export(instant("2026-02-01"), first))
    # In one transaction, whose begin dates all its changes.
    now = {"changed_at": "2026-02-01T09:00:00+00:00"}
    second = {
        "Stock": [
            counted | {"stock_id": 21, "is_deleted": True} | now,
            counted | {"stock_id": 22, "quantity": 7} | now,
            counted | {"stock_id": 23, "lot": "L3", "quantity": 9} | now,
        ],
        "Price": [
            listed | {"price_id": 21, "is_deleted": True} | now,
            listed | {"price_id": 22, "price": 12.5} | now,
        ],
    }
    found = totals(lake.ingest("pharmacy_chain", Export(instant("2026-02-02"), second)))
    assert found == {"received": 5, "published": 3, "deleted": 2}
    stock = lake.rows(
        "select lot, quantity from silver.pharmacy__stock "
        "where article_no = '22222222' and not is_deleted order by lot"
    )
    assert [tuple(row.values()) for row in stock] == [("L1234-07", 7), ("L3", 9)]
    prices = lake.rows(
        "select price from silver.pharmacy__price where article_no = '22222222' and not is_deleted"
    )
    assert [row["price"] for row in prices] == [12.5]
    assert len(lake.rows("select * from silver.pharmacy__stock where is_deleted")) == 1
