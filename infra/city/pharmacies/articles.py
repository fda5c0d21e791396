"""What pharmacies sell: packs of the medicines that hospitals prescribe, and things sold over the counter.

Article numbers are our own: eight digits like a German PZN, seven and a check digit modulo 11. Prices are ours too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from infra.city.ids import hashed
from infra.city.vocabulary import ACUTE_MEDICATIONS, MEDICATIONS

PRICE_DAYS = 45


@dataclass(frozen=True)
class Article:
    """One pack. days: how long a pack lasts. cents: usual
    price. is_free: sold without a prescription. medication: index of MEDICATIONS, -1 for anything else."""

    atc: str
    name: str
    strength: str
    unit: str
    pack: int
    days: int
    cents: int
    is_free: bool = False

    @property
    def medication(self) -> int:
        return _MEDICATION.get(self.atc, -1)

    @property
    def title(self) -> str:
        return ", ".join(part for part in (self.name, self.strength, f"{self.pack} {self.unit}") if part)


_MEDICATION = {code: i for i, (code, _) in enumerate(MEDICATIONS)}
ARTICLES: tuple[Article, ...] = (
    Article("C09AA05", "Ramipril", "5 mg", "tablets", 30, 30, 1189),
    Article("C09AA05", "Ramipril", "5 mg", "tablets", 100, 100, 1645),
    Article("C08CA01", "Amlodipine", "5 mg", "tablets", 30, 30, 1212),
    Article("C08CA01", "Amlodipine", "10 mg", "tablets", 100, 100, 1890),
    Article("A10BA02", "Metformin", "1000 mg", "tablets", 60, 30, 1305),
    Article("A10BA02", "Metformin", "500 mg", "tablets", 180, 90, 1544),
    Article("A10AB05", "Insulin aspart", "100 IU/mL", "pens", 5, 30, 4875),
    Article("C03CA01", "Furosemide", "40 mg", "tablets", 30, 30, 1240),
    Article("C03CA01", "Furosemide", "40 mg", "tablets", 100, 100, 1577),
    Article("C07AB07", "Bisoprolol", "5 mg", "tablets", 30, 30, 1198),
    Article("C07AB07", "Bisoprolol", "2.5 mg", "tablets", 100, 100, 1512),
    Article("R03AC02", "Salbutamol", "0.1 mg/puff", "inhalers", 1, 30, 1760),
    Article("R03BB04", "Tiotropium", "0.018 mg", "capsules", 30, 30, 5895),
    Article("B01AC06", "Acetylsalicylic acid", "100 mg", "tablets", 100, 100, 645),
    Article("C10AA05", "Atorvastatin", "20 mg", "tablets", 30, 30, 1333),
    Article("C10AA05", "Atorvastatin", "40 mg", "tablets", 100, 100, 2120),
    Article("B01AF02", "Apixaban", "5 mg", "tablets", 60, 30, 8850),
    Article("N06AB06", "Sertraline", "50 mg", "tablets", 30, 30, 1490),
    Article("N06DA02", "Donepezil", "10 mg", "tablets", 28, 28, 2875),
    Article("C03DA01", "Spironolactone", "25 mg", "tablets", 30, 30, 1255),
    Article("J01CA04", "Amoxicillin", "750 mg", "tablets", 20, 7, 1422),
    Article("N02BE01", "Paracetamol", "500 mg", "tablets", 20, 5, 289, is_free=True),
    Article("M01AE01", "Ibuprofen", "400 mg", "tablets", 20, 7, 498, is_free=True),
    Article("A02BC01", "Omeprazole", "20 mg", "capsules", 30, 30, 1385),
    Article("N02AX02", "Tramadol", "50 mg", "capsules", 20, 7, 1176),
    Article("H02AB06", "Prednisolone", "5 mg", "tablets", 20, 10, 1210),
    Article("J01MA02", "Ciprofloxacin", "500 mg", "tablets", 14, 7, 1398),
    Article("H03AA01", "Levothyroxine", "0.05 mg", "tablets", 100, 100, 1466),
    Article("R01AA07", "Xylometazoline", "1 mg/mL", "sprays", 1, 7, 449, is_free=True),
    Article("R06AE07", "Cetirizine", "10 mg", "tablets", 20, 20, 575, is_free=True),
    Article("A07DA03", "Loperamide", "2 mg", "capsules", 12, 3, 520, is_free=True),
    Article("A11CC05", "Vitamin D3", "0.025 mg", "tablets", 100, 100, 799, is_free=True),
    Article("R05CB01", "Acetylcysteine", "600 mg", "tablets", 20, 10, 990, is_free=True),
    Article("", "Plaster, assorted", "", "pieces", 40, 0, 399, is_free=True),
    Article("", 'Cuff "Comfort", upper arm', "", "pieces", 1, 0, 2995, is_free=True),
)
COUNT = len(ARTICLES)
FREE = np.array([i for i, a in enumerate(ARTICLES) if a.is_free])
IS_ACUTE = np.array([a.medication in ACUTE_MEDICATIONS or a.medication < 0 for a in ARTICLES])
DAYS = np.array([a.days for a in ARTICLES])
_CENTS = np.array([a.cents for a in ARTICLES])


def packs_of(medication: int) -> list[int]:
    """Articles of a medication, smallest pack first; none for what pharmacies do not keep."""
    return [i for i, a in enumerate(ARTICLES) if a.medication == medication]


@cache
def article_numbers(seed: int, keeper: int) -> list[str]:
    """Number of each article in the master of one keeper: a chain or a pharmacy has its own."""
    start = int(hashed(seed, 70, np.array([keeper]))[0] % np.uint64(500_000)) * 11 + 1_000_000
    return [_checked(start + 137 * i) for i in range(COUNT)]


def _checked(number: int) -> str:
    """Seven digits and a check digit; a number whose digit would be ten is passed over."""
    while (check := sum(i * int(d) for i, d in enumerate(f"{number:07d}", 1)) % 11) == 10:
        number += 1
    return f"{number:07d}{check}"


def price_period(seed: int, keeper: int, article: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Running number of the time in which a price holds; a keeper changes each article's every ``PRICE_DAYS``."""
    return (day + _shift(seed, keeper, article)) // PRICE_DAYS


def period_start(seed: int, keeper: int, article: np.ndarray, period: np.ndarray) -> np.ndarray:
    """First day (since 1970) of a price's time."""
    return period * PRICE_DAYS - _shift(seed, keeper, article)


def cents_in(seed: int, keeper: int, article: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Price of a pack in cents: within 8 % of the usual one."""
    wobble = hashed(
        seed, 72 + keeper, article.astype(np.uint64) * np.uint64(100_000) + period.astype(np.uint64)
    )
    return _CENTS[article] * (1000 + (wobble % np.uint64(161)).astype(np.int64) - 80) // 1000


def _shift(seed: int, keeper: int, article: np.ndarray) -> np.ndarray:
    numbers = article.astype(np.uint64) + np.uint64(1000 * keeper)
    return (hashed(seed, 71, numbers) % np.uint64(PRICE_DAYS)).astype(np.int64)
