"""The lake against the simulator's answer key: was what was planted found, and is what was published right?

Runs inside the landing and vault zone: it turns the key's ids into pseudonyms to find them in the lake. It prints
counts and shares, never a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Row, SparkSession

from infra import dispensing_truth
from jobs.errors import CitywellError
from jobs.harmonise.units import conversion, ucum
from jobs.identity import linkage
from jobs.identity.linkage import labelled, told
from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.lake import catalog, control
from jobs.lake.references import IDENTIFIER
from jobs.settings import settings
from jobs.silver.hl7v2 import UNLINKS
from jobs.sources import Hl7Endpoint, find_endpoint
from jobs.sources import load as load_source
from jobs.writeback import tasks

SOURCE = "hospital"
MOST_AUROC_GAP = 0.03
ENDPOINTS_OF = {"pharmacy_corner": ("pharmacy_linden", "pharmacy_anker")}
"""Names of the answer key that stand for several endpoints; no number is given out at two of them."""
RESIDENCES = "silver.housing__residence"
EXPOSED = "gold.agg_sector_daily"
ENOUGH_COVERAGE = 0.75
MOST_PM2_5_ERROR = 1.0
"""ug/m3: a tenth of what the city's air holds on a mean day."""
MOST_IN_REVIEW = 0.02
"""Pairs that wait for a reviewer per patient: what one desk can look through."""
MOST_GOOD_HELD_BACK = 0.002
DISPENSED = "gold.fct_dispense"
LEAST_EXACT_PACKS = 0.99
"""Of those that can be known: some sales are wrong until their pharmacy puts them right."""
LEAST_RIGHT_REQUESTS = 0.95


@dataclass(frozen=True)
class Line:
    """One figure: ``name value unit target pass|short``."""

    name: str
    value: float
    unit: str
    target: str
    is_met: bool

    def __str__(self) -> str:
        return f"{self.name} {self.value:g} {self.unit} {self.target} {'pass' if self.is_met else 'short'}"


def evaluate() -> Iterator[Line]:
    """Figures for everything whose truth the answer key knows. Raises CitywellError when there is no simulated city."""
    key = settings().city_dir / "answer_key"
    if not (key / "discharges.parquet").exists():
        raise CitywellError(
            "There is no answer key", where=str(key), do="run `make demo`; only the simulated city has one"
        )
    seen = _seen_until()
    if not seen:
        raise CitywellError(
            "Nothing has been loaded yet",
            where="control database",
            do="run `make demo`, or ingest a hospital",
        )
    with catalog.lake_session() as spark:
        yield _receipts_balance()
        yield _corrupt_lines(spark, key, seen)
        yield from _slips(spark, key, seen)
        yield _deletions(spark, key, seen)
        yield _entered_in_error(spark, key, seen)
        yield _people(spark, key)
        yield from _linkage(spark, key)
        yield from _merges(spark, key)
        yield from exposures(spark, key)
        yield from dispensing(spark, key)
    with control.connect() as conn:
        is_scored = "scores.risk" in control.current_versions(conn)
    if is_scored:
        yield _champion(key)
        yield _written_back(max(seen.values(), key=lambda at: at.as_py()).as_py())


def _seen_until() -> dict[str, pa.Scalar]:
    """The transaction time of each endpoint's newest published batch."""
    with control.connect() as conn:
        times = {name: control.newest_transaction(conn, name) for name in load_source(SOURCE).endpoints}
    return {name: pa.scalar(t, pa.timestamp("ms", tz="UTC")) for name, t in times.items() if t is not None}


def _planted(path: Path, seen: dict[str, pa.Scalar]) -> pa.Table:
    """Rows of a table of the key that an export we loaded could have had."""
    table = pq.read_table(path)
    parts = [
        table.filter(pc.and_(pc.equal(table["source"], source), pc.less_equal(table["visible_at"], until)))
        for source, until in seen.items()
    ]
    return pa.concat_tables(parts)


def _keys(planted: pa.Table, resource_type: str) -> list[str]:
    rows = planted.filter(pc.equal(planted["resource_type"], resource_type)).to_pylist()
    makers = _makers(row["source"] for row in rows)
    return [makers[row["source"]].key(resource_type, row["resource_id"]) for row in rows]


def _count(spark: SparkSession, entity: str, keys: list[str], condition: str) -> int:
    """Current rows of ``entity`` among ``keys`` that fulfil ``condition``."""
    if not keys:
        return 0
    table = load_source(SOURCE).tables[entity]
    wanted = spark.createDataFrame([(key,) for key in keys], f"{table.key} string")
    rows = spark.table(f"silver.{SOURCE}__{entity}").where(condition)
    return rows.join(wanted, table.key, "left_semi").count()


def _receipts_balance() -> Line:
    with control.connect() as conn:
        receipts = control.receipts(conn)
    off = sum(r.received != r.accounted for r in receipts)
    return Line("receipts_out_of_balance", off, "receipts", "==0", off == 0)


def _corrupt_lines(spark: SparkSession, key: Path, seen: dict[str, pa.Scalar]) -> Line:
    planted = _planted(key / "corrupt_lines.parquet", seen).num_rows
    row = spark.sql(
        "select count(*) as found from quality.quarantine where rule in ('invalid_json', 'invalid_utf8', "
        "'duplicate_key', 'nul_character') and source <> 'hospital_given'"
    ).first()
    found = row["found"] if row else 0
    return Line("corrupt_lines_quarantined", _share(found, planted), "share", ">=1", found >= planted)


@dataclass(frozen=True)
class _Fact:
    """A planted slip that is a fact of its hospital, with what gold says of it; None where it is held back."""

    true: float
    tolerance: float
    is_recoverable: bool
    published: float | None

    @property
    def is_right(self) -> bool:
        return self.published is not None and abs(self.published - self.true) <= self.tolerance


def _slips(spark: SparkSession, key: Path, seen: dict[str, pa.Scalar]) -> Iterator[Line]:
    """What became of values planted in another unit than their label's, or with a moved decimal point."""
    newest: dict[str, dict[str, Any]] = {}
    planted = _planted(key / "unit_slips.parquet", seen)
    keys = _keys(planted, "Observation")
    for name, row in zip(keys, planted.to_pylist(), strict=True):
        if name not in newest or newest[name]["visible_at"] < row["visible_at"]:
            newest[name] = row
    wanted = spark.createDataFrame([(name,) for name in newest], "observation_key string")
    facts = spark.table(f"silver.{SOURCE}__observation").where(
        "not is_deleted and not is_entered_in_error and value_number is not null "
        "and status not in ('registered', 'cancelled')"
    )
    published = spark.table("gold.fct_measurement").where("component_index = 0")
    found = (
        facts.join(wanted, "observation_key", "left_semi")
        .select("observation_key")
        .join(
            published.select("observation_key", "value_number", "value_canonical"), "observation_key", "left"
        )
        .collect()
    )
    slips = [
        _Fact(row["true_value"], row["tolerance"], row["is_recoverable"], _value(one))
        for one in found
        for row in (newest[one["observation_key"]],)
    ]
    wrong = sum(slip.published is not None and not slip.is_right for slip in slips)
    yield Line("unit_slips_published_wrong", wrong, "values", "==0", wrong == 0)
    recoverable = [slip for slip in slips if slip.is_recoverable]
    right = sum(slip.is_right for slip in recoverable)
    yield Line(
        "unit_slips_recovered", _share(right, len(recoverable)), "share", ">=1", right == len(recoverable)
    )
    readings = _slipped_readings(spark, key)
    wrong = sum(slip.published is not None and not slip.is_right for slip in readings.values())
    yield Line("home_unit_slips_published_wrong", wrong, "values", "==0", wrong == 0)
    yield _good_values(spark, [*newest, *readings])


def _slipped_readings(spark: SparkSession, key: Path) -> dict[str, _Fact]:
    """Readings at home in another unit than their label's, by key, with what gold says of them. What no device can
    have measured was rejected at load, and some people's readings have left with their consent."""
    planted = pq.read_table(key / "planted.parquet")
    slips = planted.filter(
        pc.and_(pc.equal(planted["table"], "readings"), pc.equal(planted["kind"], "unit_slip"))
    )
    rows = slips.to_pylist()
    if not rows:
        return {}
    makers = _makers(row["source"] for row in rows)
    by_key = {makers[row["source"]].key("HomeReading", row["record_id"]): row["true"] for row in rows}
    wanted = spark.createDataFrame([(name,) for name in by_key], "observation_key string")
    published = spark.table("gold.fct_measurement").join(wanted, "observation_key", "left_semi")
    of_gold = {row["observation_key"]: row for row in published.collect()}
    return {name: _reading(true, of_gold.get(name)) for name, true in by_key.items()}


def _reading(true: str, row: Row | None) -> _Fact:
    """true: number and unit, as it should have been written. Half a digit and half a percent are let pass: the number
    served has been rounded in the other unit."""
    if row is None:
        return _Fact(0.0, 0.0, False, None)
    number, unit = true.split(" ")
    way = conversion(ucum(unit) or "", row["concept"])
    assert way is not None
    meant = way(float(number))
    digits = len(number.partition(".")[2])
    tolerance = 0.51 * way.factor * 10**-digits + 0.005 * meant
    return _Fact(meant, tolerance, False, _value(row))


def _value(row: Row) -> float | None:
    """The published value; as sent where no concept is known, None where nothing is published."""
    value = row["value_canonical"] if row["value_canonical"] is not None else row["value_number"]
    return None if value is None else float(value)


def _good_values(spark: SparkSession, slipped: list[str]) -> Line:
    """The share of values without a slip that are held back as suspects, or taken for a slip."""
    good = spark.createDataFrame([(name,) for name in slipped], "observation_key string")
    measured = spark.sql(
        "select observation_key from gold.fct_measurement where value_canonical is not null and harmonisation <> "
        "'recovered' and source <> 'hospital_given'"
    )
    held = spark.sql(
        "select observation_key from quality.suspects where is_current and source <> 'hospital_given'"
    )
    kept, lost = (rows.join(good, "observation_key", "left_anti").count() for rows in (measured, held))
    share = _share(lost, kept + lost)
    return Line(
        "good_values_held_back", share, "share", f"<={MOST_GOOD_HELD_BACK}", share <= MOST_GOOD_HELD_BACK
    )


def _deletions(spark: SparkSession, key: Path, seen: dict[str, pa.Scalar]) -> Line:
    planted = _planted(key / "deleted.parquet", seen)
    gone = planted.filter(pc.is_null(planted["came_back_at"]))
    alive = expected = 0
    for entity, table in load_source(SOURCE).tables.items():
        keys = _keys(gone, table.resource)
        expected += len(keys)
        alive += _count(spark, entity, keys, "not is_deleted")
    return Line("deleted_records_still_published", _share(alive, expected), "share", "==0", alive == 0)


def _entered_in_error(spark: SparkSession, key: Path, seen: dict[str, pa.Scalar]) -> Line:
    planted = _planted(key / "entered_in_error.parquet", seen)
    facts = 0
    for entity, table in load_source(SOURCE).tables.items():
        keys = _keys(planted, table.resource)
        facts += _count(spark, entity, keys, "not is_deleted and not is_entered_in_error")
    return Line("errors_published_as_facts", _share(facts, planted.num_rows), "share", "==0", facts == 0)


def _people(spark: SparkSession, key: Path) -> Line:
    planted = pq.read_table(key / "persons.parquet").num_rows
    row = spark.sql(
        "select count(*) as found from silver.hospital__patient where source <> 'hospital_given' and not is_deleted"
    ).first()
    found = row["found"] if row else 0
    return Line(
        "source_patients_published", _share(found, planted), "share", ">=0.95", found >= 0.95 * planted
    )


def _linkage(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Pairs of patients that are one person, as published, against the answer key; of patients that are loaded. First
    of hospitals alone, then of all who are known to any system, where others are loaded."""
    hospitals = _patients_in_truth(key)
    everybody = {**hospitals, **_people_in_truth(spark, key)}
    links = spark.sql("select patient_key, person_key from silver.person_link").collect()
    person_of = {row["patient_key"]: row["person_key"] for row in links if row["patient_key"] in everybody}
    ours = {patient: person for patient, person in person_of.items() if patient in hospitals}
    yield from _precision_and_recall("person_linkage", ours, hospitals)
    if len(person_of) > len(ours):
        yield from _precision_and_recall("all_systems_linkage", person_of, everybody)
    with linkage.connect() as conn:
        waiting = len(linkage.review(conn))
    most = MOST_IN_REVIEW * len(person_of)
    yield Line("person_linkage_review_queue", waiting, "pairs", f"<={most:.0f}", waiting <= most)


def _precision_and_recall(
    name: str, person_of: Mapping[str, object], truth: Mapping[str, object]
) -> Iterator[Line]:
    right = labelled.true_pairs({patient: truth[patient] for patient in person_of})
    joined = labelled.true_pairs(person_of)
    both = len(right & joined)
    precision, recall = (round(both / len(of), 4) if of else 1.0 for of in (joined, right))
    yield Line(f"{name}_precision", precision, "share", ">=0.995", precision >= 0.995)
    yield Line(f"{name}_recall", recall, "share", ">=0.98", recall >= 0.98)


def _patients_in_truth(key: Path) -> dict[str, object]:
    """The person of each hospital's patient, by its key."""
    planted = pq.read_table(key / "persons.parquet").to_pylist()
    makers = _makers(row["source"] for row in planted)
    return {makers[row["source"]].key("Patient", row["patient_id"]): row["person_id"] for row in planted}


def _people_in_truth(spark: SparkSession, key: Path) -> dict[str, object]:
    """The person of each customer, participant and resident, by its key."""
    planted = [
        (endpoint, row["source_id"], row["person_id"])
        for row in pq.read_table(key / "identities.parquet").to_pylist()
        for endpoint in ENDPOINTS_OF.get(row["source"], (row["source"],))
    ]
    makers = _makers(endpoint for endpoint, _, _ in planted)
    kinds = {name: _kind_of_people(name) for name in makers}
    found: dict[str, object] = {
        makers[endpoint].key(kinds[endpoint], source_id): person for endpoint, source_id, person in planted
    }
    with control.connect() as conn:
        if RESIDENCES not in control.current_versions(conn):
            return found
    # A resident's id is the national one: the key knows people by their residences.
    housing = load_source("housing")
    makers = _makers(housing.endpoints)
    kind = housing.tables["residence"].resource
    lived = {
        maker.key(kind, row["residence_id"]): row["person_id"]
        for name in ("residences", "residence_errors")
        for row in pq.read_table(key / f"{name}.parquet").to_pylist()
        for maker in makers.values()
    }
    rows = spark.sql(f"select residence_key, resident_key from {RESIDENCES} where resident_key is not null")  # noqa: S608
    for row in rows.collect():
        if row["residence_key"] in lived:
            found[row["resident_key"]] = lived[row["residence_key"]]
    return found


def _kind_of_people(endpoint: str) -> str:
    """The kind of reference by which an endpoint's source tells its people apart."""
    source, _ = find_endpoint(endpoint)
    table = next(table for table in source.tables.values() if table.person and table.person.is_linked)
    assert table.person
    assert table.fields
    return str(table.fields[table.person.key].of)


def _makers(sources: Iterable[str]) -> dict[str, Pseudonymiser]:
    master = load_key(settings().keys_dir / "pseudonym.key")
    return {source: Pseudonymiser(master, source) for source in set(sources)}


@dataclass(frozen=True)
class _Merge:
    """A merge that was planted and has arrived, by pseudonyms. visits: those told under the number given up."""

    number: str
    prior: str
    visits: frozenset[str]
    is_parted: bool


def _merges(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Merges that messages have told, of patients that a hospital has described, as published: what is known under both
    numbers is of one person, and of two again once they were parted. Nothing before messages are loaded."""
    with control.connect() as conn:
        if told.MESSAGES not in control.current_versions(conn):
            return
    merges = _merges_told(spark, key)
    numbers = {number for merge in merges for number in (merge.number, merge.prior)}
    patients = told.patients_of(spark, numbers)
    links = spark.sql("select patient_key, person_key from silver.person_link").collect()
    person_of = {row["patient_key"]: row["person_key"] for row in links}
    visits = spark.sql(
        "select visit_key, person_key from gold.fct_encounter where visit_key is not null"
    ).collect()
    treated = {row["visit_key"]: row["person_key"] for row in visits}
    effects: dict[str, list[bool]] = {"merges_taken_effect": [], "unlinks_taken_effect": []}
    for merge in merges:
        kept, given_up = (
            {person_of[patient] for patient in patients.get(number, ()) if patient in person_of}
            for number in (merge.number, merge.prior)
        )
        given_up |= {treated[visit] for visit in merge.visits if visit in treated}
        if not kept or not given_up:
            continue
        if merge.is_parted:
            effects["unlinks_taken_effect"].append(not kept & given_up)
        else:
            effects["merges_taken_effect"].append(len(kept | given_up) == 1)
    for name, found in effects.items():
        if found:
            yield Line(name, _share(sum(found), len(found)), "share", ">=1", all(found))


def _merges_told(spark: SparkSession, key: Path) -> list[_Merge]:
    messages = pq.read_table(key / "messages.parquet").to_pylist()
    said = {
        (row["patient_key"], row["prior"], row["trigger"] in UNLINKS)
        for row in spark.sql(
            f"select patient_key, explode(prior_patient_keys) as prior, trigger from {told.MESSAGES} "  # noqa: S608
            "where not is_deleted"
        ).collect()
    }
    found = []
    for row in pq.read_table(key / "message_merges.parquet").to_pylist():
        _, endpoint = find_endpoint(row["source"])
        assert isinstance(endpoint, Hl7Endpoint)
        (maker,) = _makers([endpoint.house or row["source"]]).values()
        number, prior = (
            maker.key(IDENTIFIER, f"{endpoint.patient_system}|{row[name]}")
            for name in ("patient_number", "prior_number")
        )
        visits = frozenset(
            maker.key(IDENTIFIER, f"{endpoint.visit_system}|{one['visit_number']}")
            for one in messages
            if one["source"] == row["source"]
            and one["patient_number"] == row["prior_number"]
            and one["visit_number"]
        )
        if (number, prior, False) in said:
            found.append(_Merge(number, prior, visits, (number, prior, True) in said))
    return found


def exposures(spark: SparkSession, key: Path) -> Iterator[Line]:
    """How far fine particles of a postal district and day, as published, are from the truth, where the stations that
    count carry three quarters of the weight. The truth is of days of UTC, an hour or two from the city's. Nothing
    before air is loaded."""
    with control.connect() as conn:
        if EXPOSED not in control.current_versions(conn):
            return
    published = spark.sql(
        f"select postal_district, cast(date as string) as date, avg(pm2_5_ug_m3) as pm2_5 from {EXPOSED} "  # noqa: S608
        f"where pm2_5_coverage >= {ENOUGH_COVERAGE} group by 1, 2"
    ).collect()
    truth = {
        (row["postal_district"], row["date"]): row["pm2_5_ug_m3"]
        for row in pq.read_table(key / "exposures.parquet").to_pylist()
    }
    errors = [
        abs(row["pm2_5"] - truth[row["postal_district"], row["date"]])
        for row in published
        if (row["postal_district"], row["date"]) in truth
    ]
    if errors:
        mean = round(sum(errors) / len(errors), 3)
        yield Line("exposure_pm2_5_error", mean, "ug/m3", f"<={MOST_PM2_5_ERROR:g}", mean <= MOST_PM2_5_ERROR)


def dispensing(spark: SparkSession, key: Path) -> Iterator[Line]:
    """Packs by person and medication, as published, against the truth; and the pairs that are off, by what was planted
    among their records. Nothing before a pharmacy is loaded."""
    with control.connect() as conn:
        if DISPENSED not in control.current_versions(conn):
            return
        times = {name: control.newest_transaction(conn, name) for name in load_source("pharmacy").endpoints}
    seen = {name: pa.scalar(at, pa.timestamp("ms", tz="UTC")) for name, at in times.items() if at is not None}
    if not seen:
        return
    makers = _makers([*seen, *load_source(SOURCE).endpoints])

    def pseudonym(source: str, kind: str, source_id: str) -> str:
        return makers[source].key(kind, source_id)

    found = dispensing_truth.compare(spark, key, seen, pseudonym)
    yield Line("dispensed_packs_knowable", _share(found.knowable, found.true), "share", ">=0", True)
    share = _share(found.exact, found.knowable)
    yield Line("dispensed_packs_exact", share, "share", f">={LEAST_EXACT_PACKS}", share >= LEAST_EXACT_PACKS)
    unexplained = found.off.get(dispensing_truth.UNEXPLAINED, 0)
    yield Line("dispensed_pairs_off_unexplained", unexplained, "pairs", "==0", unexplained == 0)
    for cause in (*dispensing_truth.CAUSES, dispensing_truth.LINKAGE):
        if cause in found.off:
            yield Line(f"dispensed_pairs_off_{cause}", found.off[cause], "pairs", ">=0", True)
    right = _share(found.inferred_right, found.inferred)
    yield Line(
        "dispensed_requests_right", right, "share", f">={LEAST_RIGHT_REQUESTS}", right >= LEAST_RIGHT_REQUESTS
    )


def _champion(key: Path) -> Line:
    """How much AUROC the champion leaves to the true risk. Test people of a small city are few: the interval's low end
    is what is judged."""
    from ml.readmission.evaluate import champion_against_truth

    gap = champion_against_truth(answer_key=key).gap
    return Line(
        "readmission_auroc_gap",
        round(gap.value, 4),
        f"AUROC({gap.low:.3f}..{gap.high:.3f})",
        f"low<={MOST_AUROC_GAP}",
        gap.low <= MOST_AUROC_GAP,
    )


def _written_back(at: datetime) -> Line:
    """Reads the RiskAssessments of the city's own hospitals back: a directory served as one more has no answer key, and
    is there for the time of its demo only."""
    given = [name for name, endpoint in load_source(SOURCE).endpoints.items() if endpoint.on_demand]
    found = tasks.verify_hospitals(at.isoformat(), but=given).values()
    unlike = sum(one.expected - one.matching for one in found)
    return Line("risk_assessments_unlike_scores", unlike, "scores", "==0", unlike == 0)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
