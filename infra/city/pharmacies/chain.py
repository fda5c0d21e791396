"""The chain's records as rows of its database: Arrow tables per segment, in the shape of ``database.TABLES``.

``segments/<n>/pharmacy_chain/<table>.arrow`` is what the database has when the clock stands at the segment's end;
``late_<table>.arrow`` became part of a transaction that was still open then, and is there a segment later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from infra.city.ids import hashed
from infra.city.known_as import known_as
from infra.city.lived import Lived, chosen
from infra.city.pharmacies import articles
from infra.city.pharmacies.articles import ARTICLES
from infra.city.pharmacies.sales import newest
from infra.city.pharmacies.shelves import SUPPLIERS, Shelves
from infra.city.pharmacies.shops import (
    CHAIN,
    NIGHT_SHOP,
    SHOPS,
    customer_numbers,
    knows_national_id,
    prescription_numbers,
)
from infra.city.population import DAY_MS, NEVER
from infra.city.simulation import Columns

KEEPER = 0
FIRST_ID = 10_000_000
LATE_STOCK_RATE = 0.08
UNKNOWN_ARTICLE_RATE, NO_SUPPLY_RATE, WRONG_CLOCK_RATE, PRICE_IN_CENTS_RATE = 0.002, 0.004, 0.001, 0.005
UNKNOWN_ARTICLE = "99999990"
YEAR_MS = 365 * DAY_MS
_BATCH_MS = 23 * 3_600_000 + 37 * 60_000
_PRICED_MS = 4 * 3_600_000
_CHAIN_SHOPS = np.array([shop.endpoint == CHAIN for shop in SHOPS])
_AT = pa.timestamp("ms", tz="UTC")


def write_chain(lived: Lived, sold: Columns, on_shelves: Shelves) -> None:
    """Write the stretch's rows of every table."""
    last_day = lived.today - 1
    mine = chosen(sold, np.flatnonzero(_CHAIN_SHOPS[sold["shop"]]))
    is_late = (mine["late"] == 1) & (mine["changed"] // DAY_MS == last_day)
    stock = chosen(on_shelves.stock, np.flatnonzero(_CHAIN_SHOPS[on_shelves.stock["shop"]]))
    stock = _batches(lived, stock)
    is_late_stock = (stock["late"] == 1) & (stock["day"] == last_day)
    deliveries = on_shelves.deliveries
    deliveries = chosen(deliveries, np.flatnonzero(_CHAIN_SHOPS[deliveries["shop"]]))
    is_first = mine["version"] == 1
    tables = {
        "dispense": _dispenses(lived, newest(chosen(mine, ~is_late)), mine["number"][is_first & ~is_late]),
        "late_dispense": _dispenses(lived, newest(chosen(mine, is_late)), mine["number"][is_first & is_late]),
        "price": _prices(lived),
        "stock": _stock(lived.seed, chosen(stock, ~is_late_stock)),
        "late_stock": _stock(lived.seed, chosen(stock, is_late_stock)),
        "delivery": _deliveries(lived.seed, _last_state(deliveries)),
    }
    if lived.is_history:
        tables["article"] = _master(lived)
    for name, table in tables.items():
        if table.num_rows:
            write_table(lived.folder / CHAIN / f"{name}.arrow", table)


def write_table(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_table(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _master(lived: Lived) -> pa.Table:
    """The article master; its last line is a pack that is not sold any more."""
    numbers = [*articles.article_numbers(lived.seed, KEEPER), "09999998"]
    packs = [*ARTICLES, articles.Article("C09AA05", "Ramipril", "2.5 mg", "tablets", 50, 50, 1290)]
    since = lived.options.first_day * DAY_MS
    return pa.table(
        {
            "article_no": numbers,
            "atc_code": pa.array([a.atc or None for a in packs]),
            "name": [a.title for a in packs],
            "strength": pa.array([a.strength or None for a in packs]),
            "unit": [a.unit for a in packs],
            "pack_size": pa.array([a.pack for a in packs], pa.int32()),
            "is_prescription_only": [not a.is_free for a in packs],
            "changed_at": _instants(np.full(len(packs), since)),
            "is_deleted": [False] * len(ARTICLES) + [True],
        }
    )


def _dispenses(lived: Lived, t: Columns, fresh: np.ndarray) -> pa.Table:
    """One row per number, as of its newest version. fresh: the numbers that are told for the first time, whose quirks
    are noted: an earlier version may never be seen, and of a deleted sale nobody reads more than that it is."""
    seed, person, article = lived.seed, t["person"], t["article"]
    (who, births), is_known = known_as(lived, CHAIN), person >= 0
    has_request = t["request"] >= 0
    quirk = hashed(seed, 57, t["number"]) % np.uint64(1_000_000)

    def struck(first: float, rate: float) -> np.ndarray:
        """Rows that a quirk strikes: the part [first, first + rate) of all numbers."""
        low, high = (np.uint64(int(x * lived.dirt * 1_000_000)) for x in (first, first + rate))
        return (quirk >= low) & (quirk < high)

    is_unknown_article = struck(0.0, UNKNOWN_ARTICLE_RATE)
    has_no_supply = struck(0.01, NO_SUPPLY_RATE)
    is_wrong_clock = struck(0.02, WRONG_CLOCK_RATE)
    at = np.where(is_wrong_clock, t["at"] + YEAR_MS, t["at"])
    days = articles.DAYS[article]
    period = articles.price_period(seed, KEEPER, article, t["at"] // DAY_MS)
    numbers = _taken(articles.article_numbers(seed, KEEPER), article)
    numbers[is_unknown_article] = UNKNOWN_ARTICLE
    customer = np.array(customer_numbers(seed, person, np.full(len(person), KEEPER), t["card"]), dtype=object)
    born = np.array([text if len(text) == 10 else None for text in births], dtype="datetime64[D]")[person]
    has_national_id = (
        is_known
        & _is_told(who.national_id, person)
        & knows_national_id(seed, np.maximum(person, 0), np.zeros(len(person), dtype=np.int64))
    )
    ids = FIRST_ID + t["number"]
    for mask, kind in (
        (is_unknown_article, "unknown_article"),
        (has_no_supply, "no_days_supply"),
        (is_wrong_clock, "wrong_clock"),
    ):
        for row in np.flatnonzero(mask & (t["deleted"] == 0) & np.isin(t["number"], fresh)).tolist():
            served = {"unknown_article": UNKNOWN_ARTICLE, "wrong_clock": _iso(at[row])}.get(kind)
            true = {
                "unknown_article": articles.article_numbers(seed, KEEPER)[article[row]],
                "no_days_supply": days[row] * t["quantity"][row],
                "wrong_clock": _iso(t["at"][row]),
            }[kind]
            lived.truth.plant(CHAIN, "dispense", str(ids[row]), kind, visible_ms(t, lived)[row], served, true)
    return pa.table(
        {
            "dispense_id": pa.array(ids, pa.int64()),
            "pharmacy": pa.array(_taken([shop.name for shop in SHOPS], t["shop"])),
            "customer_no": _texts(customer, is_known),
            "customer_family_name": _texts(_taken(who.family, person), is_known),
            "customer_given_name": _texts(_taken(who.given, person), is_known),
            "customer_birth_date": pa.array(born, pa.date32(), mask=~is_known | np.isnat(born)),
            "customer_phone": _texts(_taken(who.phone, person), is_known & _is_told(who.phone, person)),
            "customer_postal_code": _texts(_taken(who.postal_code, person), is_known),
            "national_id": _texts(_taken(who.national_id, person), has_national_id),
            "prescription_no": _texts(
                np.array(prescription_numbers(seed, np.maximum(t["request"], 0)), dtype=object), has_request
            ),
            "article_no": pa.array(numbers),
            "quantity": pa.array(t["quantity"], pa.int32()),
            "unit": pa.array(_taken([a.unit for a in ARTICLES], article)),
            "strength": _texts(_taken([a.strength for a in ARTICLES], article), _HAS_STRENGTH[article]),
            "days_supply": pa.array(
                np.abs(days * t["quantity"]), pa.int32(), mask=has_no_supply | (days == 0)
            ),
            "unit_price": _euros(articles.cents_in(seed, KEEPER, article, period)),
            "dispensed_at": _instants(at),
            "reverses_id": pa.array(FIRST_ID + t["of"], pa.int64(), mask=t["kind"] != 2),
            "changed_at": _instants(t["changed"]),
            "is_deleted": pa.array(t["deleted"] == 1),
        }
    )


def visible_ms(t: Columns, lived: Lived) -> np.ndarray:
    """When others see each row of ``sales.rows``: when it was posted, or with the next segment."""
    return np.where(t["late"] == 1, (t["changed"] // DAY_MS + 2) * DAY_MS, t["changed"])


def _prices(lived: Lived) -> pa.Table:
    """Prices that began, and those that ended, in the stretch."""
    seed, first, last = lived.seed, lived.before_ms // DAY_MS, lived.today - 1
    t = price_rows(seed, KEEPER, first, last, with_running=lived.is_history)
    cents = articles.cents_in(seed, KEEPER, t["article"], t["period"])
    in_cents = hashed(seed, 58, t["article"] * 100_000 + t["period"]) % np.uint64(10_000)
    is_slip = in_cents < np.uint64(int(PRICE_IN_CENTS_RATE * 10_000 * lived.dirt))
    ids = t["article"] * 100_000 + t["period"]
    begins = lived.is_history | (t["starts"] >= first)
    for row in np.flatnonzero(is_slip & begins).tolist():
        at, true = int(t["starts"][row]) * DAY_MS + _PRICED_MS, int(cents[row])
        lived.truth.plant(CHAIN, "price", str(ids[row]), "price_in_cents", at, true, true / 100)
    ends = t["ends"].astype("datetime64[D]")
    return pa.table(
        {
            "price_id": pa.array(ids, pa.int64()),
            "article_no": pa.array(_taken(articles.article_numbers(seed, KEEPER), t["article"])),
            "valid_from": pa.array(t["starts"].astype("datetime64[D]"), pa.date32()),
            "valid_to": pa.array(ends, pa.date32(), mask=t["ends"] < 0),
            "price": _euros(np.where(is_slip, cents * 100, cents)),
            "currency": ["EUR"] * len(ids),
            "changed_at": _instants(t["changed"]),
            "is_deleted": pa.array(np.zeros(len(ids), dtype=bool)),
        }
    )


def price_rows(seed: int, keeper: int, first: int, last: int, *, with_running: bool) -> Columns:
    """Prices of one keeper that begin or end on the days first … last; with those that hold when the first day begins,
    if asked. article, period, starts, ends (days; -1 while it holds), changed (ms). A price is closed when the next
    begins; each stands here once, as of the last day."""
    article = np.arange(articles.COUNT)
    parts = []
    low = articles.price_period(seed, keeper, article, np.full(len(article), first))
    high = articles.price_period(seed, keeper, article, np.full(len(article), last))
    for step in range(int((high - low).max()) + 2):
        period = low - 1 + step
        starts = articles.period_start(seed, keeper, article, period)
        ends = articles.period_start(seed, keeper, article, period + 1)
        begins = (starts >= first) & (starts <= last)
        is_closed = (ends >= first) & (ends <= last)
        keep = begins | is_closed | (with_running & (starts <= last) & (ends > first))
        changed = np.where(is_closed, ends, starts) * DAY_MS + _PRICED_MS
        parts.append(
            {
                "article": article[keep],
                "period": period[keep],
                "starts": starts[keep],
                "ends": np.where(is_closed, ends - 1, -1)[keep],
                "changed": changed[keep],
            }
        )
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _batches(lived: Lived, stock: Columns) -> Columns:
    """Stock with ``changed`` and ``late``: the shop that is open at night counts shortly before midnight; now and then
    another one does, in a transaction that ends after it."""
    place = hashed(lived.seed, 59, stock["shop"] * 1_000_000 + stock["day"]) % np.uint64(1000)
    late = place < np.uint64(int(LATE_STOCK_RATE * 1000 * min(lived.dirt, 5.0)))
    is_night = stock["shop"] == NIGHT_SHOP
    late &= ~is_night
    batch = stock["day"] * DAY_MS + _BATCH_MS + np.where(is_night, 20, stock["shop"]) * 60_000
    changed = np.where(late | is_night, batch, stock["counted"])
    return {**stock, "changed": changed, "late": late.astype(np.int64)}


def _stock(seed: int, t: Columns) -> pa.Table:
    days = t["day"].astype("datetime64[D]")
    place = ((t["day"] * 10 + t["shop"]) * 100 + t["article"]) * 10_000_000 + t["lot"]
    return pa.table(
        {
            "stock_id": pa.array(place, pa.int64()),
            "pharmacy": pa.array(_taken([shop.name for shop in SHOPS], t["shop"])),
            "article_no": pa.array(_taken(articles.article_numbers(seed, KEEPER), t["article"])),
            "stock_date": pa.array(days, pa.date32()),
            "lot": pa.array(lots(t)),
            "expires_on": pa.array(t["expires"].astype("datetime64[D]"), pa.date32()),
            "quantity": pa.array(t["quantity"], pa.int32()),
            "changed_at": _instants(t["changed"]),
            "is_deleted": pa.array(np.zeros(len(days), dtype=bool)),
        }
    )


def lots(t: Columns) -> list[str]:
    """``L1234-07``: lot and article."""
    return [f"L{lot}-{a:02d}" for lot, a in zip(t["lot"].tolist(), t["article"].tolist(), strict=True)]


def _deliveries(seed: int, t: Columns) -> pa.Table:
    is_open = t["delivered"] == NEVER
    return pa.table(
        {
            "delivery_id": pa.array(t["number"], pa.int64()),
            "pharmacy": pa.array(_taken([shop.name for shop in SHOPS], t["shop"])),
            "article_no": pa.array(_taken(articles.article_numbers(seed, KEEPER), t["article"])),
            "supplier": pa.array(_taken(SUPPLIERS, t["supplier"])),
            "ordered_at": _instants(t["ordered"]),
            "promised_on": pa.array(t["promised"].astype("datetime64[D]"), pa.date32()),
            "ordered_quantity": pa.array(t["asked"], pa.int32()),
            "delivered_at": pa.array(np.where(is_open, 0, t["delivered"]), _AT, mask=is_open),
            "delivered_quantity": pa.array(t["got"], pa.int32(), mask=is_open),
            "lot": _texts(np.array(lots(t), dtype=object), ~is_open),
            "expires_on": pa.array(t["expires"].astype("datetime64[D]"), pa.date32(), mask=is_open),
            "changed_at": _instants(t["changed"]),
            "is_deleted": pa.array(np.zeros(len(is_open), dtype=bool)),
        }
    )


def _last_state(deliveries: Columns) -> Columns:
    """The newest posting of each order."""
    versions = {**deliveries, "version": deliveries["changed"]}
    return newest(versions)


_HAS_STRENGTH = np.array([bool(a.strength) for a in ARTICLES])


def _taken(values: Sequence[str], rows: np.ndarray) -> np.ndarray:
    return np.array(values, dtype=object)[rows]


def _is_told(values: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """Whether each of the rows has a text."""
    return np.array([bool(text) for text in values])[rows]


def _texts(values: np.ndarray, is_there: np.ndarray) -> pa.Array:
    return pa.array(values, pa.string(), mask=~is_there)


def _instants(ms: np.ndarray) -> pa.Array:
    return pa.array(ms.astype(np.int64), pa.int64()).cast(_AT)


def _euros(cents: np.ndarray) -> pa.Array:
    """Decimals with two places: the cents, read as hundredths."""
    whole = pa.array(cents, pa.int64()).cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(pa.decimal128(19, 2), len(whole), whole.buffers())


def _iso(ms: int) -> str:
    return f"{np.datetime64(int(ms), 'ms').astype('datetime64[s]')}Z"
