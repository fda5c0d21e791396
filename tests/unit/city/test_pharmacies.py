"""Pharmacies: the chain's real database and the corner's files say what the answer key says, dirt included."""

from __future__ import annotations

import csv
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.city.city import City
from infra.city.habits import HOSPITALS
from infra.city.pharmacies import database
from infra.city.pharmacies.database import ChainDatabase, chain_database
from infra.stack.postgres import Cluster, recreate
from tests.support.city import advance, running_city
from tests.unit.city.conftest import SMALL
from tests.unit.city.served import Client
from tests.unit.city.test_population import key, newest

TABLES = ("article", "dispense", "price", "stock", "delivery")


@pytest.fixture
def cluster(postgres: Cluster) -> Cluster:
    recreate(postgres, "city_pharmacy")
    return postgres


@pytest.fixture
def chain(cluster: Cluster) -> ChainDatabase:
    return ChainDatabase(cluster.dsn("city_pharmacy", "city_pharmacy"), SMALL)


def rows(cluster: Cluster, query: str, role: str = "pharmacy_reader") -> list[tuple[Any, ...]]:
    with psycopg.connect(cluster.dsn("city_pharmacy", role)) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def everything(cluster: Cluster) -> dict[str, list[tuple[Any, ...]]]:
    return {t: rows(cluster, f"select * from pharmacy.{t} order by 1") for t in TABLES}


def noted(home: Path, kind: str, source: str, table: str = "dispense") -> dict[str, dict[str, Any]]:
    wanted = (kind, source, table)
    return {r["record_id"]: r for r in key(home, "planted") if (r["kind"], r["source"], r["table"]) == wanted}


def test_the_reader_finds_what_was_dispensed_and_nothing_else(
    home: Path, city: City, chain: ChainDatabase, cluster: Cluster
) -> None:
    assert chain.fill(city.store.root, city.segments) == 1
    assert chain.fill(city.store.root, city.segments) == 0
    true = {int(r["dispense_id"]): r for r in key(home, "dispenses") if r["source"] == "pharmacy_chain"}
    found = rows(
        cluster,
        "select dispense_id, customer_no, prescription_no, quantity, dispensed_at, is_deleted from pharmacy.dispense",
    )
    assert {row[0] for row in found} == true.keys()
    clocks, wrong = (
        noted(home, "wrong_clock", "pharmacy_chain"),
        noted(home, "wrong_quantity", "pharmacy_chain"),
    )
    mended, gone = noted(home, "corrected", "pharmacy_chain"), noted(home, "deleted", "pharmacy_chain")
    assert mended
    for number, customer, prescription, quantity, at, is_deleted in found:
        t, id_ = true[number], str(number)
        assert (customer, prescription) == (t["customer_no"], t["prescription_no"])
        assert is_deleted == (id_ in gone)
        if id_ not in clocks:
            assert at == t["dispensed_at"]
        assert (quantity == t["quantity"]) == (id_ not in wrong.keys() - mended.keys())
    stated = dict(rows(cluster, "select table_name, sum(row_count)::int from pharmacy.row_counts group by 1"))
    assert stated == {t: len(found) for t, found in everything(cluster).items()}
    assert min(stated.values()) > 30
    for forbidden in ("select * from simulator.segment", "delete from pharmacy.price"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows(cluster, forbidden)


def test_some_transactions_are_committed_after_the_reader_has_looked(
    home: Path, city: City, chain: ChainDatabase, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.city.pharmacies.sales.LATE_TILL_RATE", 1.0)
    city.open_pharmacy(chain, lambda _: None)
    missed: dict[str, set[str]] = {"dispense": set(), "stock": set()}
    for _ in range(40):
        before = {t: everything(cluster)[t] for t in missed}
        marks = {t: rows(cluster, f"select max(changed_at) from pharmacy.{t}")[0][0] for t in missed}
        city.advance(1)
        for t, late in missed.items():
            known = {row[0] for row in before[t]}
            for id_, at in rows(cluster, f"select {t}_id, changed_at from pharmacy.{t}"):
                if id_ not in known and at <= marks[t]:
                    assert marks[t] - at < timedelta(minutes=30)
                    late.add(str(id_))
        if all(missed.values()):
            break
    assert missed["stock"]
    assert missed["dispense"]
    first_day = datetime(2026, 1, 1, tzinfo=UTC)
    planted = noted(home, "late_commit", "pharmacy_chain").values()
    assert missed["dispense"] <= {r["record_id"] for r in planted if r["visible_at"] > first_day}


def test_a_fill_that_is_killed_goes_on_and_another_citys_rows_go(
    city: City, chain: ChainDatabase, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    city.advance(2)
    chain.fill(city.store.root, city.segments)
    undisturbed = everything(cluster)
    ChainDatabase(chain.dsn, replace(SMALL, seed=8)).fill(city.store.root, 1)
    after_one = everything(cluster)
    assert len(after_one["dispense"]) < len(undisturbed["dispense"])
    upsert, calls = database._upsert, Counter[str]()

    def killed(connection: psycopg.Connection, table: str, *rest: Any) -> None:
        calls[table] += 1
        if calls["stock"] == 2:
            raise KeyboardInterrupt
        upsert(connection, table, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(database, "_upsert", killed)
        with pytest.raises(KeyboardInterrupt):
            chain.fill(city.store.root, city.segments)
    assert everything(cluster) == after_one, "half a segment is none"
    chain.fill(city.store.root, city.segments)
    assert everything(cluster) == undisturbed


def test_without_a_database_the_city_goes_on_and_says_so(
    city: City, chain: ChainDatabase, cluster: Cluster
) -> None:
    said: list[str] = []

    def no_secret(*_: str) -> str:
        raise FileNotFoundError

    assert chain_database(no_secret, SMALL, said.append) is None
    port = str(cluster.port)
    down = ChainDatabase(chain.dsn.replace(f":{port}/", ":1/"), SMALL)
    city.open_pharmacy(down, said.append)
    city.advance(1)
    assert len(said) == 3
    assert city.now == "2026-01-02T00:00:00Z"
    city.open_pharmacy(chain, said.append)
    assert rows(cluster, "select max(stock_date)::text from pharmacy.stock") == [("2026-01-01",)]


def test_a_served_city_fills_the_database_of_its_home(
    home: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = home / "secrets/postgres/city_pharmacy"
    secret.parent.mkdir(parents=True)
    shutil.copyfile(cluster.secrets / "city_pharmacy", secret)
    monkeypatch.setenv("CITYWELL_POSTGRES_PORT", str(cluster.port))
    size = ("--population", "300", "--years", "1.0", "--admission-factor", "4.0")
    with running_city(home, *size) as url:
        advance(url, 1)
        assert rows(cluster, "select max(stock_date)::text from pharmacy.stock") == [("2026-01-01",)]


def test_dispensing_follows_prescriptions(made_home: Path) -> None:
    persons = {(r["source"], r["patient_id"]): r["person_id"] for r in key(made_home, "persons")}
    asked = {
        (h.source, r["id"]): (persons[h.source, r["subject"]["reference"].split("/")[1]], r["authoredOn"])
        for h in HOSPITALS
        for r in newest(made_home, h.name, "MedicationRequest")
        if h.name != "harbour"
    }
    fills = defaultdict(list)
    for d in key(made_home, "dispenses"):
        request = (d["hospital_source"], d["medication_request_id"])
        if request in asked and d["kind"] == "sale":
            person, authored = asked[request]
            assert d["person_id"] == person
            assert authored.startswith("31/") or d["dispensed_at"] > datetime.fromisoformat(authored)
            fills[request].append(d["dispensed_at"])
    assert len(fills) > 0.75 * len(asked)
    gaps = [(b - a).days for at in fills.values() for a, b in zip(sorted(at), sorted(at)[1:], strict=False)]
    assert sum(25 <= gap <= 40 for gap in gaps) > 0.3 * len(gaps) > 50
    twice = Counter((r["person_id"], r["source_id"][:2]) for r in key(made_home, "identities"))
    assert max(twice.values()) == 2, "some people have two customer numbers at one place"


def read_linden(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes().replace(b"\x81", b"?")
    assert raw.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(raw.decode("utf-8-sig").splitlines()))


def read_anker(path: Path) -> tuple[list[dict[str, str]], int]:
    """The rows, and how many there are by the last line."""
    *lines, footer = path.read_bytes().replace(b"\x81", b"?").decode("cp1252").split("\r\n")[:-1]
    assert footer.startswith("Anzahl Datensätze;")
    return list(csv.DictReader(lines, delimiter=";")), int(footer.split(";")[1])


def test_each_corner_pharmacy_writes_its_own_way(made_home: Path) -> None:
    drops = made_home / "city/drops/pharmacy_corner"
    true = {r["dispense_id"]: r for r in key(made_home, "dispenses") if r["source"] == "pharmacy_corner"}
    served: Counter[str] = Counter()
    for path in sorted(drops.glob("dispense_linden_*")):
        for row in read_linden(path):
            served[row["receipt_no"]] += 1
            if row["receipt_no"] not in noted(made_home, "bad_date", "pharmacy_corner"):
                shown = row["dispensed_at"]
                at = true[row["receipt_no"]]["dispensed_at"].replace(microsecond=0)
                assert not shown or datetime.fromisoformat(shown) == at
    wrong_footers = noted(made_home, "wrong_footer", "pharmacy_corner")
    for path in sorted(drops.glob("dispense_anker_*")):
        found, stated = read_anker(path)
        assert (stated == len(found)) == (path.name not in wrong_footers)
        for row in found:
            served[row["Beleg-Nr"]] += 1
            assert row["Versicherten-Nr"] is None or "," not in row["Versicherten-Nr"]
    assert served.keys() == true.keys()
    again = (
        noted(made_home, "repeated_line", "pharmacy_corner").keys()
        | noted(made_home, "corrected", "pharmacy_corner").keys()
    )
    assert {id_ for id_, count in served.items() if count > 1} == again
    master, _ = read_anker(drops / "articles_anker_2025-12.csv")
    known = {row["Artikel-Nr"] for row in master}
    for table in ("prices", "stock", "deliveries"):
        found, _ = read_anker(drops / f"{table}_anker_2025-12.csv")
        assert {row["Artikel-Nr"] for row in found} <= known
        assert found


def test_a_day_drops_its_files_once_and_columns_drift_when_told(home: Path, city: City, client: Any) -> None:
    c: Client = client("north")
    answer = c.http.post("http://testserver/city/drift", json={"renamed_from": "2026-01-02"})
    assert answer.json() == {"renamed_from": "2026-01-02"}
    assert c.http.post("http://testserver/city/drift", json={"renamed": "x"}).status_code == 400
    c.http.post("http://testserver/city/drift", json={"added_from": "2026-01-02"})
    shutil.rmtree(home / "city/drops/pharmacy_corner")
    answer = c.http.post("http://testserver/city/advance", json={"days": 3})
    assert answer.json() == {"now": "2026-01-04T00:00:00Z"}
    drops = home / "city/drops/pharmacy_corner"
    names = {path.name for path in drops.iterdir()}
    late = {
        r["record_id"] for r in key(home, "planted") if r["kind"] == "late_file" and "corner" in r["source"]
    }
    expected = {
        f"{table}_{shop}_2026-01-0{day}.csv"
        for table in ("dispense", "prices", "stock", "deliveries")
        for shop in ("linden", "anker")
        for day in (1, 2, 3)
    }
    assert expected - late <= names <= expected
    linden = {path.stem[-1]: read_header(path, "utf-8-sig") for path in drops.glob("dispense_linden_*")}
    assert ("days_supply" in linden["1"], "supply_days" in linden["2"]) == (True, True)
    anker = {path.stem[-1]: read_header(path, "cp1252") for path in drops.glob("dispense_anker_*")}
    assert ("Zuzahlung" in anker["1"], "Zuzahlung" in anker["3"]) == (False, True)


def read_header(path: Path, encoding: str) -> str:
    return path.read_bytes().split(b"\n")[0].decode(encoding)


def test_a_sale_is_visible_once_its_file_is_there(tmp_path: Path) -> None:
    city = City.open(tmp_path / "city", replace(SMALL, years=0.1, dirt=5.0))
    for _ in range(8):
        city.advance(1)
        drops = tmp_path / "city/drops/pharmacy_corner"
        told = {
            line.partition(delimiter)[0]
            for shop, delimiter in (("linden", ","), ("anker", ";"))
            for path in drops.glob(f"dispense_{shop}_*")
            for line in path.read_bytes().decode("cp1252", "replace").splitlines()
        }
        visible = {r["dispense_id"] for r in key(tmp_path, "dispenses") if r["source"] == "pharmacy_corner"}
        assert visible <= told
    city.close()
    assert any(r["kind"] == "late_file" for r in key(tmp_path, "planted")), "one was late"
