"""Who is sold what, where and when: dispensing as it follows from the hospitals' prescriptions, and sales without one.

Most prescriptions are filled within hours or days. A lasting condition's is filled again whenever the pack is used up,
for half a year or until the next prescription of that medicine; people differ in how reliably they come. What happens
after the stretch is carried to the next. A few people buy an opioid again and again beside that (``opioid_buyers``).

A *row* is what a pharmacy writes: a sale, its twin (the same sale posted twice), a reversal (a record of its own with
the quantity negated, that names the sale), and second versions: a corrected quantity, a deletion.
"""

from __future__ import annotations

import numpy as np

from infra.city import opioid_buyers
from infra.city.dirt import pick
from infra.city.ids import hashed
from infra.city.lived import Lived, chosen, stacked
from infra.city.pharmacies.articles import ARTICLES, DAYS, FREE, IS_ACUTE, packs_of
from infra.city.pharmacies.shops import CHAIN, KEEPER, NIGHT_SHOP, SHOPS, card_of, usual_shop
from infra.city.population import DAY_MS
from infra.city.simulation import Columns
from infra.city.vocabulary import MEDICATIONS

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
SALE, TWIN, REVERSAL = range(3)
FILLED_SHARE = 0.93
REFILLED_FOR_DAYS = 190
FREE_SALES_PER_YEAR = 2.5
UNKNOWN_CUSTOMER_SHARE = 0.35
REVERSED_RATE, CORRECTED_RATE, DELETED_RATE, TWIN_RATE = 0.008, 0.006, 0.003, 0.002
LATE_TILL_RATE = 0.08
_OPENS, _CLOSES = 7 * HOUR_MS, 19 * HOUR_MS
_IS_CHAIN = np.array([shop.endpoint == CHAIN for shop in SHOPS])
_SMALL = np.array([(packs_of(m) or [-1])[0] for m in range(len(MEDICATIONS))])
_LARGE = np.array([(packs_of(m) or [-1])[-1] for m in range(len(MEDICATIONS))])
_MEDICATION_OF = np.array([a.medication for a in ARTICLES])
SALE_COLUMNS = ("person", "shop", "article", "quantity", "request", "hospital", "at")
ROW_COLUMNS = (
    *SALE_COLUMNS,
    "card",
    "kind",
    "of",
    "number",
    "version",
    "changed",
    "deleted",
    "late",
    "true_quantity",
)


def rows(lived: Lived) -> Columns:
    """What the six pharmacies write in this stretch: ROW_COLUMNS, int64, by ``changed``.

    person is -1 for a customer nobody knows, request and hospital without a prescription; quantity counts packs;
    number is the record's own, of the number of the sale that a twin or reversal belongs to (-1 otherwise); changed
    is when it was posted (ms); late marks postings that others see a day after (chain only)."""
    rng = lived.rng(20)
    carried = lived.carried("sales")
    planned = _part(carried, "planned")
    later = _part(carried, "later")
    prescribed = _filled(lived, rng)
    future = stacked(
        [
            _not_superseded(planned, prescribed),
            prescribed,
            _free_sales(lived, rng),
            _opioid_sales(lived),
        ]
    )
    is_alive = (future["person"] < 0) | (future["at"] < lived.people.dead_ms[future["person"]])
    future = chosen(future, is_alive)
    is_due = future["at"] < lived.now_ms
    sold = chosen(future, np.flatnonzero(is_due)[np.argsort(future["at"][is_due], kind="stable")])
    made, next_number = _with_fates(lived, rng, sold, later, int(carried["next"][0]) if carried else 1)
    lived.carry(
        "sales",
        {
            "next": np.array([next_number]),
            **{f"planned.{name}": values for name, values in chosen(future, ~is_due).items()},
            **{f"later.{name}": v for name, v in chosen(made, made["changed"] >= lived.now_ms).items()},
        },
    )
    due = np.flatnonzero(made["changed"] < lived.now_ms)
    return chosen(made, due[np.argsort(made["changed"][due], kind="stable")])


def newest(table: Columns) -> Columns:
    """The last version of each number."""
    order = np.lexsort((table["version"], table["number"]))
    numbers = table["number"][order]
    last = order[np.append(numbers[1:] != numbers[:-1], True)] if len(order) else order
    return chosen(table, np.sort(last))


def _part(carried: Columns, prefix: str) -> Columns:
    return {n.removeprefix(f"{prefix}."): v for n, v in carried.items() if n.startswith(f"{prefix}.")}


def _filled(lived: Lived, rng: np.random.Generator) -> Columns:
    """First fills and refills of this stretch's prescriptions."""
    kept = _SMALL[lived.prescriptions["medication"]] >= 0
    p = chosen(lived.prescriptions, np.flatnonzero(kept & (rng.random(len(kept)) < FILLED_SHARE)))
    count, person = len(p["person"]), p["person"]
    takes_large = hashed(lived.seed, 54, person) % np.uint64(2) == 1
    article = np.where(takes_large, _LARGE[p["medication"]], _SMALL[p["medication"]])
    hours = np.clip(rng.lognormal(np.log(6), 1.2, count), 0.3, 240)
    first = {
        "person": person,
        "shop": _shops(lived.seed, person, rng),
        "article": article,
        "quantity": 1 + (rng.random(count) < 0.08),
        "request": p["ordinal"],
        "hospital": p["hospital"],
        "at": _in_hours(p["recorded"] + (hours * HOUR_MS).astype(np.int64), rng),
    }
    reliability = 0.55 + 0.43 * (hashed(lived.seed, 55, person) % np.uint64(1000)).astype(np.float64) / 1000
    next_at = _next_same(person, p["medication"], p["recorded"])
    parts = [_sales(first)]
    for n in range(1, 1 + REFILLED_FOR_DAYS // 28):
        drift = rng.normal(0, 4, count) + 2 * n
        at = first["at"] + ((DAYS[article] * n + drift) * DAY_MS).astype(np.int64)
        comes = (
            ~IS_ACUTE[article] & (DAYS[article] * n <= REFILLED_FOR_DAYS) & (rng.random(count) < reliability)
        )
        refills = chosen({**first, "at": _in_hours(at, rng)}, comes & (at < next_at))
        refills["shop"] = _shops(lived.seed, refills["person"], rng)
        parts.append(_sales(refills))
    return stacked(parts)


def _next_same(person: np.ndarray, medication: np.ndarray, at: np.ndarray) -> np.ndarray:
    """When each person is prescribed the same medicine again (ms); far in the future for the last."""
    order = np.lexsort((at, medication, person))
    same = (person[order][1:] == person[order][:-1]) & (medication[order][1:] == medication[order][:-1])
    following = np.full(len(order), np.iinfo(np.int64).max)
    following[order[:-1][same]] = at[order[1:][same]]
    return following


def _not_superseded(planned: Columns, prescribed: Columns) -> Columns:
    """Planned refills, without those whose medicine has been prescribed anew."""
    if not planned:
        return {}
    count = len(MEDICATIONS) + 1
    renewed = prescribed["person"] * count + _MEDICATION_OF[prescribed["article"]]
    mine = planned["person"] * count + _MEDICATION_OF[planned["article"]]
    is_refill = planned["request"] >= 0
    return chosen(planned, ~(is_refill & np.isin(mine, renewed)))


def _free_sales(lived: Lived, rng: np.random.Generator) -> Columns:
    """Sales over the counter, more of them in winter."""
    span = lived.now_ms - lived.before_ms
    mean = len(lived.people) * FREE_SALES_PER_YEAR * span / DAY_MS / 365.25
    count = int(rng.poisson(mean * 1.3))
    at = lived.before_ms + (rng.random(count) * (span // DAY_MS)).astype(np.int64) * DAY_MS
    at += rng.integers(_OPENS, _CLOSES, count)
    winter = 0.5 + 0.5 * np.cos((at / DAY_MS % 365.25 - 20) / 365.25 * 2 * np.pi)
    person = rng.integers(0, len(lived.people), count)
    comes = (rng.random(count) < (0.5 + 0.5 * winter)) & (at > lived.people.registered_ms.min(axis=1)[person])
    comes &= at < lived.people.dead_ms[person]
    person, at = person[comes], at[comes]
    shop = _shops(lived.seed, person, rng)
    return _sales(
        {
            "person": np.where(rng.random(len(at)) < UNKNOWN_CUSTOMER_SHARE, -1, person),
            "shop": shop,
            "article": FREE[rng.integers(0, len(FREE), len(at))],
            "quantity": 1 + (rng.random(len(at)) < 0.1),
            "request": np.full(len(at), -1),
            "hospital": np.full(len(at), -1),
            "at": at,
        }
    )


def _opioid_sales(lived: Lived) -> Columns:
    """What some people buy again and again (see ``opioid_buyers``)."""
    days = (lived.before_ms // DAY_MS, lived.today - 1)
    who = opioid_buyers.stretches(lived.options, lived.people, *days)
    bought = opioid_buyers.purchases(lived.seed, who, lived.before_ms, lived.now_ms)
    return _sales(
        {
            "person": bought.person,
            "shop": bought.shop,
            "article": np.full(len(bought.at), _SMALL[opioid_buyers.MEDICATION]),
            "quantity": bought.packs,
            "request": np.full(len(bought.at), -1),
            "hospital": np.full(len(bought.at), -1),
            "at": bought.at,
        }
    )


def _sales(table: Columns) -> Columns:
    return {name: table[name].astype(np.int64) for name in SALE_COLUMNS}


def _shops(seed: int, person: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    elsewhere = rng.random(len(person)) < 0.12
    return np.where(elsewhere, rng.integers(0, len(SHOPS), len(person)), usual_shop(seed, person))


def _in_hours(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The moment, or one next morning where the pharmacy is closed; a few ring the night bell."""
    in_day = at % DAY_MS
    is_closed = (in_day < _OPENS) | (in_day > _CLOSES)
    is_closed &= ~((in_day < 3 * HOUR_MS) & (rng.random(len(at)) < 0.03))
    morning = at - in_day + DAY_MS * (in_day > _CLOSES) + _OPENS + rng.integers(0, 4 * HOUR_MS, len(at))
    return np.where(is_closed, morning, at)


def _with_fates(
    lived: Lived, rng: np.random.Generator, sold: Columns, later: Columns, next_number: int
) -> tuple[Columns, int]:
    """All rows that come of the sales, with those carried, and the next free number."""
    count, least = len(sold["at"]), 1 if lived.is_history and lived.dirt else 0
    every, is_chain = np.arange(count), _IS_CHAIN[sold["shop"]]
    card = card_of(lived.seed, sold["person"], KEEPER[sold["shop"]], sold["at"])
    plain = {
        **sold,
        "card": card,
        "kind": np.full(count, SALE),
        "of": np.full(count, -1),
        "number": np.full(count, -1),
        "version": np.ones(count),
        "changed": sold["at"] + rng.integers(1000, 90_000, count),
        "deleted": np.zeros(count),
        "late": np.zeros(count),
        "true_quantity": sold["quantity"],
    }
    plain = {name: values.astype(np.int64) for name, values in plain.items()}
    left, fated = every, {}
    for name, rate, may in (
        ("reversed", REVERSED_RATE, every),
        ("corrected", CORRECTED_RATE, every),
        ("deleted", DELETED_RATE, np.flatnonzero(is_chain)),
        ("twin", TWIN_RATE, np.flatnonzero(is_chain)),
    ):
        fated[name] = pick(rng, np.intersect1d(left, may), rate * lived.dirt, least)
        left = np.setdiff1d(left, fated[name], assume_unique=True)
    plain["quantity"][fated["corrected"]] *= rng.choice([3, 10], len(fated["corrected"]))

    def after(chosen_rows: np.ndarray) -> np.ndarray:
        """A moment of the coming days, in opening hours."""
        delay = rng.uniform(0.3, 72, len(chosen_rows)) * HOUR_MS
        return _in_hours(plain["changed"][chosen_rows] + delay.astype(np.int64), rng)

    reversals = chosen(plain, fated["reversed"])
    reversals |= {"at": after(fated["reversed"]), "kind": np.full(len(reversals["at"]), REVERSAL)}
    reversals |= {"quantity": -reversals["quantity"], "true_quantity": -reversals["quantity"]}
    twins = chosen(plain, fated["twin"])
    twins |= {"at": twins["at"] + rng.integers(20_000, 170_000, len(twins["at"]))}
    twins |= {"kind": np.full(len(twins["at"]), TWIN)}
    for extra in (reversals, twins):
        extra["changed"] = extra["at"] + rng.integers(1000, 90_000, len(extra["at"]))

    waiting = chosen(later, later["number"] < 0) if later else {}
    fresh = stacked([plain, reversals, twins, waiting])
    links = np.concatenate([np.full(count, -1), fated["reversed"], fated["twin"]]).astype(np.int64)
    due = np.flatnonzero(fresh["changed"] < lived.now_ms)
    due = due[np.argsort(fresh["at"][due], kind="stable")]
    fresh["number"][due] = next_number + np.arange(len(due))
    linked = np.flatnonzero(links >= 0)
    fresh["of"][linked] = fresh["number"][links[linked]]
    _post_late(lived, fresh)

    numbered = chosen(fresh, every)
    corrections = chosen(numbered, fated["corrected"])
    corrections |= {"quantity": corrections["true_quantity"], "changed": after(fated["corrected"])}
    deletions = chosen(numbered, fated["deleted"])
    deletions |= {
        "deleted": np.ones(len(deletions["at"]), dtype=np.int64),
        "changed": after(fated["deleted"]),
    }
    for second in (corrections, deletions):
        earliest = (second["at"] // DAY_MS + 1) * DAY_MS + _OPENS
        second |= {"changed": np.maximum(second["changed"], earliest), "version": second["version"] + 1}
        second |= {"late": np.zeros(len(second["at"]), dtype=np.int64)}
    known = chosen(later, later["number"] >= 0) if later else {}
    return stacked([fresh, corrections, deletions, known]), next_number + len(due)


def _post_late(lived: Lived, table: Columns) -> None:
    """The shop that is open at night posts its afternoon shortly before midnight. Another chain shop's till that lost
    its line in the afternoon posts everything in a transaction that begins before that and ends after midnight:
    ``changed`` is when it began."""
    day, shop = table["at"] // DAY_MS, table["shop"]
    place = hashed(lived.seed, 56, shop * 1_000_000 + day)
    lost = place % np.uint64(1000) < np.uint64(int(LATE_TILL_RATE * 1000 * min(lived.dirt, 5.0)))
    afternoon = _IS_CHAIN[shop] & (table["at"] % DAY_MS > 15 * HOUR_MS) & (table["version"] == 1)
    afternoon &= (table["number"] >= 0) & (table["late"] == 0)
    late = afternoon & lost & (shop != NIGHT_SHOP)
    within = (place % np.uint64(3 * MINUTE_MS)).astype(np.int64)
    for rows_, minutes in ((late, 35), (afternoon & (shop == NIGHT_SHOP), 56)):
        began = day * DAY_MS + 23 * HOUR_MS + minutes * MINUTE_MS + within
        table["changed"] = np.where(rows_, began, table["changed"])
    table["late"] = np.where(late, 1, table["late"])
