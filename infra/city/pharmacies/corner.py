"""The two independent pharmacies' files, each in its own manner; see the package for what they look like."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import numpy as np

from infra.city import drops
from infra.city.dirt import pick
from infra.city.known_as import KnownAs, known_as
from infra.city.lived import Lived, chosen
from infra.city.local_time import dates, local_minutes, with_offset
from infra.city.pharmacies import articles
from infra.city.pharmacies.articles import ARTICLES
from infra.city.pharmacies.chain import lots, price_rows
from infra.city.pharmacies.key import file_seen_ms, record_names
from infra.city.pharmacies.shelves import SUPPLIERS, Shelves
from infra.city.pharmacies.shops import (
    ANKER,
    CORNER,
    LINDEN,
    SHOPS,
    customer_numbers,
    knows_national_id,
    prescription_numbers,
)
from infra.city.population import DAY_MS, NEVER
from infra.city.simulation import Columns

WRONG_FOOTER_RATE = 0.02
CELL_RATES = {
    "bad_date": 0.001,
    "quantity_in_words": 0.001,
    "other_decimals": 0.003,
    "too_few_fields": 0.001,
    "invalid_bytes": 0.0005,
}
REPEATED_LINE_RATE = 0.002


@dataclass(frozen=True)
class Manner:
    """How one pharmacy writes. ``headers``: the columns of each table, in order. ``footer``: first cell of a last line
    that counts the rows."""

    shop: int
    delimiter: str
    newline: str
    encoding: str
    decimal: str
    headers: dict[str, tuple[str, ...]]
    footer: str = ""

    @property
    def name(self) -> str:
        return SHOPS[self.shop].name

    @property
    def keeper(self) -> int:
        return SHOPS[self.shop].keeper

    def instants(self, ms: np.ndarray) -> list[str]:
        if self.shop == LINDEN:
            return with_offset(ms)
        return [f"{t[8:10]}.{t[5:7]}.{t[:4]} {t[11:]}" for t in local_minutes(ms)]

    def dates(self, days: np.ndarray) -> list[str]:
        texts = dates(days)
        return texts if self.shop == LINDEN else [f"{t[8:]}.{t[5:7]}.{t[:4]}" for t in texts]

    def birth(self, text: str) -> str:
        """A birth date, of which the day or the month may be missing."""
        return text if self.shop == LINDEN else ".".join(reversed(text.split("-")))

    def euros(self, cents: np.ndarray) -> list[str]:
        return [f"{c // 100}{self.decimal}{c % 100:02d}" for c in cents.tolist()]


MANNERS = (
    Manner(
        LINDEN,
        ",",
        "\n",
        "utf-8-sig",
        ".",
        {
            "dispense": (
                *("receipt_no", "customer_no", "given_name", "family_name", "birth_date", "national_id"),
                *(
                    "postal_code",
                    "prescription_no",
                    "atc_code",
                    "article_name",
                    "quantity",
                    "unit",
                    "strength",
                ),
                *("days_supply", "unit_price", "dispensed_at", "cancels_receipt_no"),
            ),
            "prices": (
                "article_no",
                "atc_code",
                "article_name",
                "price",
                "currency",
                "valid_from",
                "valid_to",
            ),
            "stock": ("stock_date", "article_no", "atc_code", "lot", "expiry", "quantity"),
            "deliveries": (
                *("delivery_no", "article_no", "supplier", "ordered_at", "promised_on", "ordered_quantity"),
                *("delivered_at", "delivered_quantity", "lot", "expiry"),
            ),
        },
    ),
    Manner(
        ANKER,
        ";",
        "\r\n",
        "cp1252",
        ",",
        {
            "dispense": (
                *("Beleg-Nr", "Kunden-Nr", "Vorname", "Name", "Geburtsdatum", "Versicherten-Nr", "PLZ"),
                *(
                    "Rezept-Nr",
                    "Artikel-Nr",
                    "Menge",
                    "Einheit",
                    "Stärke",
                    "Reichweite (Tage)",
                    "Einzelpreis",
                ),
                *("Abgabe am", "Storno zu"),
            ),
            "prices": ("Artikel-Nr", "Preis", "Währung", "gültig ab", "gültig bis"),
            "stock": ("Stichtag", "Artikel-Nr", "Charge", "Verfall", "Bestand"),
            "deliveries": (
                *("Liefer-Nr", "Artikel-Nr", "Lieferant", "Bestellt am", "Zugesagt", "Bestellte Menge"),
                *("Geliefert am", "Gelieferte Menge", "Charge", "Verfall"),
            ),
            "articles": ("Artikel-Nr", "Bezeichnung", "ATC", "Stärke", "Einheit", "Packungsgröße"),
        },
        footer="Anzahl Datensätze",
    ),
)


class Drift(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Days from which columns are other ones: linden calls ``days_supply`` ``supply_days``; anker adds
    ``Zuzahlung``."""

    renamed_from: date | None = None
    added_from: date | None = None


def set_drift(root: Path, asked: Drift) -> dict[str, str]:
    """Have the city below ``root`` write its days so from then on; what is not asked for stays as it is. Returns what
    holds now."""
    before, after = drift_of(root), msgspec.to_builtins(asked)
    part = root / "drift.json.part"
    part.write_text(json.dumps({**before, **after}))
    part.replace(root / "drift.json")
    return {**before, **after}


def drift_of(root: Path) -> dict[str, str]:
    """ISO dates by the names of ``Drift``."""
    path = root / "drift.json"
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return found


def write_corner(lived: Lived, sold: Columns, on_shelves: Shelves) -> None:
    """The stretch's files: one per table and day, for the history one per table and month."""
    rng = lived.rng(22)
    who = known_as(lived, CORNER)
    drift = drift_of(lived.folder.parent.parent)
    for manner in MANNERS:
        mine = chosen(sold, np.flatnonzero(sold["shop"] == manner.shop))
        stock = chosen(on_shelves.stock, np.flatnonzero(on_shelves.stock["shop"] == manner.shop))
        orders = on_shelves.deliveries
        orders = chosen(orders, np.flatnonzero(orders["shop"] == manner.shop))
        orders = chosen(orders, np.argsort(orders["changed"], kind="stable"))
        ids = record_names(mine, mine["number"])
        for label, first, last in _periods(lived):
            file = _File(lived, rng, manner, label)
            within = _between(mine["changed"], first, last)
            header, columns = _dispenses(lived.seed, manner, chosen(mine, within), who)
            header, columns = _drifted(manner, drift, label, header, columns)
            file.write_dispenses(header, columns, ids[within].tolist())
            prices = price_rows(
                *(lived.seed, manner.keeper, first, last),
                with_running=lived.is_history and first == lived.options.first_day,
            )
            file.write("prices", _prices(lived.seed, manner, prices))
            within = _between(stock["counted"], first, last)
            if within.any() or not lived.is_history:
                file.write("stock", _stock(lived.seed, manner, chosen(stock, within)))
            within = _between(orders["changed"], first, last)
            if within.any() or not lived.is_history:
                file.write("deliveries", _deliveries(lived.seed, manner, chosen(orders, within)))
        if lived.is_history and "articles" in manner.headers:
            file.write("articles", _master(lived.seed, manner))


def _periods(lived: Lived) -> Iterator[tuple[str, int, int]]:
    """Label, first and last day of each file: the months of a history, or the day."""
    first, last = lived.before_ms // DAY_MS, lived.today - 1
    if not lived.is_history:
        yield dates(np.array([first]))[0], first, last
        return
    for text in sorted({t[:7] for t in dates(np.arange(first, last + 1))}):
        month = np.datetime64(text, "M")
        begin = int(month.astype("datetime64[D]").astype(np.int64))
        end = int((month + 1).astype("datetime64[D]").astype(np.int64)) - 1
        yield text, max(first, begin), min(last, end)


def _between(ms: np.ndarray, first: int, last: int) -> np.ndarray:
    return (ms >= first * DAY_MS) & (ms < (last + 1) * DAY_MS)


def _drifted(
    manner: Manner, drift: dict[str, str], label: str, header: list[str], columns: list[list[str]]
) -> tuple[list[str], list[list[str]]]:
    """Header and columns as they are from the day of a drift on."""
    if manner.shop == LINDEN and drift.get("renamed_from", "9999") <= label:
        header = ["supply_days" if name == "days_supply" else name for name in header]
    if manner.shop == ANKER and drift.get("added_from", "9999") <= label:
        header, columns = [*header, "Zuzahlung"], [*columns, ["5,00"] * len(columns[0])]
    return header, columns


class _File:
    """Writes the files of one pharmacy and one day or month."""

    def __init__(self, lived: Lived, rng: np.random.Generator, manner: Manner, label: str) -> None:
        self.lived, self.rng, self.manner, self.label = lived, rng, manner, label
        self.seen_ms = file_seen_ms(lived, manner.shop)
        self.is_late = self.seen_ms > lived.now_ms

    def write(self, table: str, columns: list[list[str]]) -> None:
        self._save(table, drops.csv_lines(self.manner.headers[table], columns, self.manner.delimiter), set())

    def write_dispenses(self, header: list[str], columns: list[list[str]], ids: list[str]) -> None:
        """A dispense file, with its dirt."""
        manner, rng, dirt = self.manner, self.rng, self.lived.dirt
        at = {name: header.index(name) for name in header}
        quantity = columns[at["quantity" if manner.shop == LINDEN else "Menge"]]
        price = columns[at["unit_price" if manner.shop == LINDEN else "Einzelpreis"]]
        moment = columns[at["dispensed_at" if manner.shop == LINDEN else "Abgabe am"]]
        left, hit = np.arange(len(ids)), {}
        for kind, rate in CELL_RATES.items():
            hit[kind] = pick(rng, left, rate * dirt).tolist()
            left = np.setdiff1d(left, hit[kind])
        for row in hit["bad_date"]:
            true, moment[row] = (
                moment[row],
                "2025-02-30T10:00:00+01:00" if manner.shop == LINDEN else "31.02.2025 10:00",
            )
            self._plant("bad_date", ids[row], moment[row], true)
        for row in hit["quantity_in_words"]:
            true, quantity[row] = quantity[row], "one" if manner.shop == LINDEN else "zwei"
            self._plant("quantity_in_words", ids[row], quantity[row], true)
        for row in hit["other_decimals"]:
            true, other = price[row], "," if manner.decimal == "." else "."
            price[row] = true.replace(manner.decimal, other)
            self._plant("other_decimals", ids[row], price[row], true)
        lines = drops.csv_lines(header, columns, manner.delimiter)
        for row in hit["too_few_fields"]:
            lines[row + 1] = lines[row + 1].rsplit(manner.delimiter, 3)[0]
            self._plant("too_few_fields", ids[row])
        for row in hit["invalid_bytes"]:
            self._plant("invalid_bytes", ids[row])
        spoiled = {lines[row + 1] for row in hit["invalid_bytes"]}
        for row in pick(rng, left, REPEATED_LINE_RATE * dirt).tolist():
            lines.append(lines[row + 1])
            self._plant("repeated_line", ids[row])
        self._save("dispense", lines, spoiled)

    def _plant(self, kind: str, record_id: str, served: object = None, true: object = None) -> None:
        self.lived.truth.plant(CORNER, "dispense", record_id, kind, self.seen_ms, served, true)

    def _save(self, table: str, lines: list[str], spoiled: set[str]) -> None:
        manner = self.manner
        name = f"{table}_{manner.name}_{self.label}.csv"
        count = len(lines) - 1
        if manner.footer:
            if self.rng.random() < WRONG_FOOTER_RATE * self.lived.dirt:
                self.lived.truth.plant(CORNER, table, name, "wrong_footer", self.seen_ms, count + 1, count)
                count += 1
            lines = [*lines, f"{manner.footer}{manner.delimiter}{count}"]
        raw = manner.newline.join([*lines, ""]).encode(manner.encoding, "replace")
        for line in sorted(spoiled):
            good = line.encode(manner.encoding.removesuffix("-sig"), "replace")
            raw = raw.replace(good, good[:-1] + b"\x81", 1)
        if self.is_late:
            self.lived.truth.plant(CORNER, table, name, "late_file", self.seen_ms)
        drops.drop_path(self.lived.folder, CORNER, name, is_late=self.is_late).write_bytes(raw)


def _dispenses(seed: int, manner: Manner, t: Columns, known: KnownAs) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the dispense table."""
    person, article, is_linden, who = t["person"], t["article"], manner.shop == LINDEN, known.identity
    is_known = person >= 0
    keeper = np.full(len(person), manner.keeper)
    has_national_id = is_known & knows_national_id(seed, np.maximum(person, 0), keeper)
    period = articles.price_period(seed, manner.keeper, article, t["at"] // DAY_MS)
    supply = np.abs(articles.DAYS[article] * t["quantity"])
    numbers = _taken(articles.article_numbers(seed, manner.keeper), article)
    ids = record_names(t, t["number"]).tolist()
    of = record_names(t, t["of"])
    columns = [
        ids,
        _shown(customer_numbers(seed, person, keeper, t["card"]), is_known),
        _shown(_taken(who.given, person), is_known),
        _shown(_taken(who.family, person), is_known),
        _shown([manner.birth(text) for text in _taken(known.births, person)], is_known),
        _shown(_taken(who.national_id, person), has_national_id),
        _shown(_taken(who.postal_code, person), is_known),
        _shown(prescription_numbers(seed, np.maximum(t["request"], 0)), t["request"] >= 0),
        *(
            [_taken([a.atc for a in ARTICLES], article), _taken([a.title for a in ARTICLES], article)]
            if is_linden
            else [numbers]
        ),
        [str(q) for q in t["quantity"].tolist()],
        _taken([a.unit for a in ARTICLES], article),
        [s.replace(".", manner.decimal) for s in _taken([a.strength for a in ARTICLES], article)],
        _shown([str(s) for s in supply.tolist()], supply > 0),
        manner.euros(articles.cents_in(seed, manner.keeper, article, period)),
        manner.instants(t["at"]),
        _shown(of.tolist(), t["kind"] == 2),
    ]
    return list(manner.headers["dispense"]), columns


def _prices(seed: int, manner: Manner, t: Columns) -> list[list[str]]:
    article = t["article"]
    named = [_taken([a.atc for a in ARTICLES], article), _taken([a.title for a in ARTICLES], article)]
    return [
        _taken(articles.article_numbers(seed, manner.keeper), article),
        *(named if manner.shop == LINDEN else []),
        manner.euros(articles.cents_in(seed, manner.keeper, article, t["period"])),
        ["EUR"] * len(article),
        manner.dates(t["starts"]),
        _shown(manner.dates(t["ends"]), t["ends"] >= 0),
    ]


def _stock(seed: int, manner: Manner, t: Columns) -> list[list[str]]:
    return [
        manner.dates(t["day"]),
        _taken(articles.article_numbers(seed, manner.keeper), t["article"]),
        *([_taken([a.atc for a in ARTICLES], t["article"])] if manner.shop == LINDEN else []),
        lots(t),
        manner.dates(t["expires"]),
        [str(q) for q in t["quantity"].tolist()],
    ]


def _deliveries(seed: int, manner: Manner, t: Columns) -> list[list[str]]:
    has_come = t["delivered"] < NEVER
    return [
        [f"D{n:06d}" for n in t["number"].tolist()],
        _taken(articles.article_numbers(seed, manner.keeper), t["article"]),
        _taken(SUPPLIERS, t["supplier"]),
        manner.instants(t["ordered"]),
        manner.dates(t["promised"]),
        [str(q) for q in t["asked"].tolist()],
        _shown(manner.instants(np.where(has_come, t["delivered"], 0)), has_come),
        _shown([str(q) for q in t["got"].tolist()], has_come),
        _shown(lots(t), has_come),
        _shown(manner.dates(t["expires"]), has_come),
    ]


def _master(seed: int, manner: Manner) -> list[list[str]]:
    return [
        articles.article_numbers(seed, manner.keeper),
        [a.title for a in ARTICLES],
        [a.atc for a in ARTICLES],
        [a.strength.replace(".", manner.decimal) for a in ARTICLES],
        [a.unit for a in ARTICLES],
        [str(a.pack) for a in ARTICLES],
    ]


def _taken(values: Sequence[str], rows: np.ndarray) -> list[str]:
    return [values[row] for row in rows.tolist()]


def _shown(texts: Sequence[str], is_shown: np.ndarray) -> list[str]:
    """The texts, empty where they are not shown."""
    return [text if shown else "" for text, shown in zip(texts, is_shown.tolist(), strict=True)]
