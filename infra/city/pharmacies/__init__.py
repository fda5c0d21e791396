"""Pharmacies of the city: what was dispensed, prices, stock and deliveries.

Six pharmacies: four of a chain (``marktplatz``, ``bahnhof``, ``hafen``, ``klinik``; endpoint ``pharmacy_chain``) and
two of their own (``linden``, ``anker``; endpoint ``pharmacy_corner``).

    shops       the pharmacies, customer and prescription numbers
    articles    packs, article numbers, prices
    sales       who is sold what and when, from the hospitals' prescriptions
    shelves     stock and deliveries
    chain, database    the chain's rows, and its PostgreSQL
    corner      the two others' files
    key         what is true

**What holds for all.** A customer number (``CK-…``, ``LI-…``, ``AN-…``) is the keeper's own: the chain's four shops
share theirs; three people in a hundred have two at one keeper. A sale to nobody known has no customer. A reversal is a
record of its own with the quantity negated that names the sale. A second record of the same id replaces the first (a
corrected quantity; a delivery that has come; a price that has ended). A prescription's number is of the prescription,
not of the fill: refills bear it again. Quantities count packs; ``days_supply`` is of the whole quantity.

**The chain** keeps a PostgreSQL database ``city_pharmacy`` (see ``database`` for the tables), read as role
``pharmacy_reader``: schema ``pharmacy``, tables ``article``, ``dispense``, ``price``, ``stock``, ``delivery``, each
with ``changed_at`` (of the row's last change; begin of its transaction) and ``is_deleted``; the view ``row_counts``
states how many rows of each table were last changed on each UTC day. It is filled when a day has been lived. Some
transactions begin between 23:35 and 23:45 and are committed after midnight, while others that began later are there
before it: rows appear with the *next* fill although their ``changed_at`` lies before the last one's greatest, by at
most half an hour. ``price`` is one pack's in EUR. ``stock`` is counted by shop,
article, lot and day.

**The others** drop CSV files into ``<home>/city/drops/pharmacy_corner``, one per table and day when the day has been
lived, one per table and month for the history: ``dispense_linden_2026-01-01.csv``, ``prices_anker_2025-12.csv``,
``stock_…``, ``deliveries_…``; once ``articles_anker_<month>.csv``, which maps anker's article numbers to ATC codes
(linden writes ATC codes). A table without rows is a file with its header alone; files are dated by the city's clock.
Now and then all of a pharmacy's files of a day come a day late, under their own date.

    linden   UTF-8 with BOM, comma, LF, decimal point, ISO dates, instants with offset, quoted where needed
             receipt_no,customer_no,given_name,family_name,birth_date,national_id,postal_code,prescription_no,atc_code,…
             L-0000042,LI-04711234,Ada,Elmford,1950-12-31,0123456789-42,C05 41B,160.000000017.0815,C09AA05,
             "Ramipril, 5 mg, 30 tablets",1,tablets,5 mg,30,11.89,2025-12-31T14:05:00+01:00,   (one line)
    anker    Windows-1252, semicolon, CRLF, decimal comma, ``31.12.2025 14:05`` in Berlin's local time, German headers,
             a last line ``Anzahl Datensätze;<rows>``
             Beleg-Nr;Kunden-Nr;Vorname;Name;Geburtsdatum;Versicherten-Nr;PLZ;Rezept-Nr;Artikel-Nr;Menge;Einheit;…
             A-0000043;AN-00815042;Ada;Elmford;31.12.1950;;C05 41B;;34567895;1;tablets;500 mg;5;2,89;31.12.2025 14:05;

``POST /city/drift`` (or ``corner.set_drift``) changes their columns from a day on: ``{"renamed_from": "2026-01-05"}``
has linden call ``days_supply`` ``supply_days``, ``{"added_from": …}`` has anker add a column ``Zuzahlung``.

**Planted** (kinds in the answer key's ``planted``). In both: twin (chain), reversal, wrong_quantity and corrected.
Chain: late_commit, deleted (soft), unknown_article, no_days_supply, wrong_clock (dispensed a year ahead),
price_in_cents. Corner: bad_date, quantity_in_words, other_decimals (comma and point confused), too_few_fields,
invalid_bytes, repeated_line, wrong_footer, late_file. Late, short and missing deliveries are no errors of the data.

History: all of it for dispensing and prices, the last 60 days for stock and deliveries.
"""

from __future__ import annotations

import numpy as np

from infra.city.lived import Lived
from infra.city.pharmacies import key, sales
from infra.city.pharmacies.chain import write_chain
from infra.city.pharmacies.corner import write_corner
from infra.city.pharmacies.shelves import shelves


def live(lived: Lived) -> None:
    """Write what the pharmacies have to tell of a stretch into its segment."""
    sold = sales.rows(lived)
    on_shelves = shelves(lived, sold)
    write_chain(lived, sold, on_shelves)
    write_corner(lived, sold, on_shelves)
    known = lived.carried("customers").get("known", np.zeros(0, dtype=np.int64))
    lived.carry("customers", {"known": key.note(lived, sold, known)})
