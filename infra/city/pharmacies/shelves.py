"""Stock and deliveries of the six pharmacies, day by day: sold from the oldest lot, ordered anew when little is left.

Of the history only the last ``HISTORY_DAYS`` are told. Now and then a supplier is late, delivers less than was ordered,
or never comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.city.lived import Lived
from infra.city.pharmacies.articles import COUNT
from infra.city.pharmacies.shops import SHOPS
from infra.city.population import DAY_MS, NEVER
from infra.city.simulation import Columns

HISTORY_DAYS = 60
SUPPLIERS = ("Nordpharm Grosshandel", "Apodepot", "Medikontor Süd")
LATE_RATE, SHORT_RATE, NEVER_RATE = 0.05, 0.05, 0.01
HOUR_MS = 3_600_000
_SHAPE = (len(SHOPS), COUNT)


@dataclass(frozen=True)
class Shelves:
    """What a stretch adds. stock: shop, article, day, lot, expires (day), quantity, counted (ms). deliveries, one row
    per state that was posted: number, shop, article, supplier, ordered (ms), promised (day), delivered (ms or NEVER),
    asked, got (-1 before it came), lot, expires, changed (ms)."""

    stock: Columns
    deliveries: Columns


def shelves(lived: Lived, sold: Columns) -> Shelves:
    """The days' stock at closing time and what happened to orders; ``sold`` as of ``sales.rows``."""
    rng = lived.rng(21)
    first = lived.first_day(HISTORY_DAYS)
    demand = _demand(sold, first, lived.today)
    state = lived.carried("shelves") or _filled_shelves(rng, first, demand)
    stock: list[Columns] = []
    deliveries: list[Columns] = []
    for day in range(first, lived.today):
        deliveries.append(_receive(state, day, rng))
        _sell(state, demand[day - first])
        stock.append(_counted(state, day))
        deliveries.append(_order(state, day, rng, lived.dirt))
    lived.carry("shelves", state)
    return Shelves(_joined(stock), _joined(deliveries))


def _demand(sold: Columns, first: int, today: int) -> np.ndarray:
    """Packs sold: days x shops x articles, less what came back."""
    counts = (sold["version"] == 1) & (sold["kind"] != 1) & (sold["at"] // DAY_MS >= first)
    demand = np.zeros((today - first, *_SHAPE), dtype=np.int64)
    place = (sold["at"][counts] // DAY_MS - first, sold["shop"][counts], sold["article"][counts])
    np.add.at(demand, place, sold["true_quantity"][counts])
    return demand


def _filled_shelves(rng: np.random.Generator, first: int, demand: np.ndarray) -> Columns:
    """Shelves on the first day that is told: two weeks' demand and some more."""
    usual = np.maximum(4, np.ceil(demand.mean(axis=0) * 14)).astype(np.int64)
    return {
        "usual": usual,
        "quantity": np.stack([usual // 2, usual], axis=2),
        "lot": rng.integers(1000, 5000, (*_SHAPE, 2)) + np.array([0, 4000]),
        "expires": first + rng.integers(20, 700, (*_SHAPE, 2)),
        "is_ordered": np.zeros(_SHAPE, dtype=bool),
        "orders": np.zeros((0, 10), dtype=np.int64),
        "next": np.array([1]),
    }


_ORDER = ("number", "shop", "article", "supplier", "ordered", "promised", "due", "asked", "comes", "lot")


def _receive(state: Columns, day: int, rng: np.random.Generator) -> Columns:
    """Deliveries of this morning."""
    orders = state["orders"]
    is_due = orders[:, _ORDER.index("due")] == day
    due, state["orders"] = orders[is_due], orders[~is_due]
    o = {name: due[:, i] for i, name in enumerate(_ORDER)}
    shop, article = o["shop"], o["article"]
    expires = day + rng.integers(120, 900, len(due))
    quantity, lot, until = state["quantity"], state["lot"], state["expires"]
    is_empty = quantity[shop, article, 0] == 0
    older = np.where(is_empty, quantity[shop, article, 1], quantity[shop, article].sum(axis=1))
    for values in (lot, until):
        values[shop, article, 0] = np.where(is_empty, values[shop, article, 1], values[shop, article, 0])
    quantity[shop, article, 0], quantity[shop, article, 1] = older, o["comes"]
    lot[shop, article, 1], until[shop, article, 1] = o["lot"], expires
    state["is_ordered"][shop, article] = False
    delivered = day * DAY_MS + rng.integers(6 * HOUR_MS, 9 * HOUR_MS, len(due))
    posted = delivered + rng.integers(60_000, 1_800_000, len(due))
    return _posted(o, delivered, o["comes"], expires, posted)


def _sell(state: Columns, sold: np.ndarray) -> None:
    """Take what was sold from the older lot, then from the newer; what was not there was fetched elsewhere."""
    quantity = state["quantity"]
    from_older = np.minimum(quantity[:, :, 0], np.maximum(sold, 0))
    quantity[:, :, 0] -= from_older
    quantity[:, :, 1] = np.maximum(quantity[:, :, 1] - (sold - from_older), 0)


def _counted(state: Columns, day: int) -> Columns:
    """Every lot on the shelf, and an article that has run out as its last lot with quantity 0. Expired lots are thrown
    away."""
    quantity = state["quantity"]
    quantity[state["expires"] <= day] = 0
    is_told = quantity > 0
    is_told[:, :, 1] |= ~is_told.any(axis=2)
    shop, article, place = np.nonzero(is_told)
    counted = day * DAY_MS + 20 * HOUR_MS + shop * 600_000 + article * 7_000 + place * 1000
    return {
        "shop": shop,
        "article": article,
        "day": np.full(len(shop), day),
        "lot": state["lot"][is_told],
        "expires": state["expires"][is_told],
        "quantity": quantity[is_told],
        "counted": counted,
    }


def _order(state: Columns, day: int, rng: np.random.Generator, dirt: float) -> Columns:
    """Order what has fallen below half of the usual stock, but for Sundays."""
    low = (state["quantity"].sum(axis=2) * 2 < state["usual"]) & ~state["is_ordered"]
    shop, article = np.nonzero(low & (day % 7 != 3))
    count, asked = len(shop), state["usual"][low & (day % 7 != 3)]
    draw = rng.random((3, count))
    is_late, is_short = draw[0] < LATE_RATE * dirt, draw[1] < SHORT_RATE * dirt
    due = day + 1 + (draw[2] < 0.3) + np.where(is_late, rng.integers(3, 9, count), 0)
    due = np.where(rng.random(count) < NEVER_RATE * dirt, NEVER, due)
    first = int(state["next"][0])
    o: Columns = {
        "number": first + np.arange(count),
        "shop": shop,
        "article": article,
        "supplier": rng.integers(0, len(SUPPLIERS), count),
        "ordered": day * DAY_MS + rng.integers(15 * HOUR_MS, 17 * HOUR_MS, count),
        "promised": np.full(count, day + 2),
        "due": due,
        "asked": asked,
        "comes": np.where(is_short, np.maximum(1, asked * 2 // 3), asked),
        "lot": 10_000 + first + np.arange(count),
    }
    state["next"] = np.array([first + count])
    orders = np.stack([o[n] for n in _ORDER], axis=1).astype(np.int64)
    state["orders"] = np.concatenate([state["orders"], orders[due < NEVER]])
    state["is_ordered"][shop, article] = due < NEVER
    nothing = np.full(count, -1)
    return _posted(o, np.full(count, NEVER), nothing, nothing, o["ordered"] + 60_000)


def _posted(
    o: Columns, delivered: np.ndarray, got: np.ndarray, expires: np.ndarray, changed: np.ndarray
) -> Columns:
    named = {
        n: o[n] for n in ("number", "shop", "article", "supplier", "ordered", "promised", "asked", "lot")
    }
    return {**named, "delivered": delivered, "got": got, "expires": expires, "changed": changed}


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([p[name] for p in parts]).astype(np.int64) for name in parts[0]}
