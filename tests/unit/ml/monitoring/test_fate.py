"""What came to pass of scores, and what became of alerts, as tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import tables
from ml import scoring
from ml.features import Facts
from ml.monitoring import fate, outcomes
from ml.risk import scores as risk_scores
from ml.risk.emergency_90d import RISK as EMERGENCY
from ml.risk.readmission_30d import RISK as READMISSION
from tests.support.lake import TestLake
from tests.unit.ml import gold

AS_OF = gold.at("2025-12-31")
assert AS_OF is not None
SCORES = (
    "risk_key string, batch_id string, source string, patient_key string, encounter_key string, "
    "model_version string, probability double, is_alert boolean, scored_at timestamp, issued_at timestamp, "
    "starts_at timestamp, expires_at timestamp, withdrawn_at timestamp"
)


def scores(spark: SparkSession, text: str) -> DataFrame:
    """key, patient, issued; and alert (no), starts (issued), expires (30 December), withdrawn, stay, version (1)."""
    rows = [
        {
            "risk_key": row["key"],
            "batch_id": f"b{number}",
            "source": "north",
            "patient_key": row["patient"],
            "encounter_key": row.get("stay"),
            "model_version": row.get("version") or "1",
            "probability": 0.1 * number,
            "is_alert": row.get("alert") == "yes",
            "scored_at": gold.at(row["issued"]),
            "issued_at": gold.at(row["issued"]),
            "starts_at": gold.at(row.get("starts") or row["issued"]),
            "expires_at": gold.at(row.get("expires") or "2025-12-30"),
            "withdrawn_at": gold.at(row.get("withdrawn")),
        }
        for number, row in enumerate(gold.text_table(text))
    ]
    return gold.frame(spark, SCORES, rows)


def facts(spark: SparkSession, **events: Any) -> Facts:
    """Patients a, b and c, known since long, and one at the end of the year: the hospital's data go up to it."""
    last = gold.encounter(
        key="last", person="z", **{"from": "2025-12-30T12:00", "to": "2025-12-31"}, class_code="AMB"
    )
    known = [visit(f"known{who}", who, "2024-06-01") for who in "abc"]
    return gold.facts(
        spark,
        persons=[gold.person(who) for who in "abcz"],
        encounters=[last, *known, *events.pop("encounters", [])],
        **events,
    )


def visit(key: str, who: str, when: str, class_code: str = "AMB") -> gold.Row:
    return gold.encounter(key=key, person=who, **{"from": when, "to": f"{when}T20:00"}, class_code=class_code)


def test_an_alert_begins_where_none_held_and_where_one_was_due(spark: SparkSession) -> None:
    rows = scores(
        spark,
        """
        key | patient | issued     | expires    | alert | withdrawn
        a   | a       | 2025-06-01 | 2025-07-01 | yes   | -
        a   | a       | 2025-06-10 | 2025-07-10 | yes   | -
        a   | a       | 2025-06-20 | 2025-07-20 | no    | -
        a   | a       | 2025-06-25 | 2025-07-25 | yes   | -
        a   | a       | 2025-07-24 | 2025-08-24 | yes   | -
        b   | b       | 2025-06-01 | 2025-07-01 | no    | -
        c   | c       | 2025-06-01 | 2025-07-01 | yes   | 2025-06-05
        c   | c       | 2025-06-06 | 2025-07-06 | yes   | -
        """,
    )
    begun = fate.alerts(rows).orderBy("risk_key", "issued_at").collect()
    assert [(row["risk_key"], f"{row['issued_at']:%m-%d}") for row in begun] == [
        ("a", "06-01"),
        ("a", "06-25"),
        ("a", "07-24"),
        ("c", "06-01"),
        ("c", "06-06"),
    ]


def test_a_score_is_withdrawn_while_it_holds(lake: TestLake, spark: SparkSession) -> None:
    """Of one case a score ran out long before another was withdrawn, and a third was made since; of the other case none
    was withdrawn."""
    rows = gold.text_table(
        """
        key | issued     | expires    | status    | withdrawn_at
        a   | 2025-01-01 | 2025-04-01 | active    | -
        a   | 2025-05-20 | 2025-08-20 | active    | 2025-06-20
        a   | 2025-06-10 | 2025-09-10 | active    | 2025-06-20
        a   | 2025-06-20 | 2025-09-10 | withdrawn | -
        a   | 2025-07-01 | 2025-10-01 | active    | -
        b   | 2025-06-10 | 2025-09-10 | active    | -
        """
    )
    for row in rows:
        issued = gold.at(row["issued"])
        told = {
            "risk_key": row["key"],
            "target": EMERGENCY.name,
            "scored_at": issued,
            "expires_at": gold.at(row["expires"]),
            "status": row["status"],
        }
        made = pa.Table.from_pylist([told], schema=scoring.RISK_SCHEMA)
        risk_scores.add(spark, made, f"{EMERGENCY.name}.{issued:%Y%m%dT%H%M%SZ}.v1.{row['key']}")
    version = tables.version(risk_scores.SCORES)
    assert version is not None
    found = outcomes.issued(spark, EMERGENCY, version, AS_OF).orderBy("risk_key", "issued_at").toArrow()
    assert [(row["risk_key"], row["issued_at"], row["withdrawn_at"]) for row in found.to_pylist()] == [
        (row["key"], gold.at(row["issued"]), gold.at(row["withdrawn_at"]))
        for row in rows
        if row["status"] == "active"
    ]


def test_what_came_of_people_is_judged_as_at_training(spark: SparkSession) -> None:
    """One comes within ninety days, one later, and of the third nobody can say yet."""
    rows = scores(
        spark,
        """
        key | patient | issued
        a   | a       | 2025-06-01
        b   | b       | 2025-06-01
        c   | c       | 2025-11-01
        """,
    )
    given = facts(
        spark,
        encounters=[visit("e1", "a", "2025-08-01", "EMER"), visit("e2", "b", "2025-10-01", "EMER")],
    )
    came = outcomes.came_to_pass(rows, given, EMERGENCY, AS_OF)
    assert gold.by_key(came.collect(), "risk_key", lambda row: row["label"]) == {"a": 1, "b": 0, "c": None}


def test_a_score_that_came_after_the_event_does_not_count(spark: SparkSession) -> None:
    """Both came back on the eighth day; of one the score was made before, of the other after."""
    stay = {"from": "2025-06-01", "to": "2025-06-05"}
    back = {"from": "2025-06-13", "to": "2025-06-15"}
    given = facts(
        spark,
        encounters=[
            gold.encounter(key=f"{kind}{who}", person=who, **when)
            for who in "ab"
            for kind, when in (("first", stay), ("back", back))
        ],
    )
    rows = scores(
        spark,
        """
        key | patient | stay   | starts     | issued
        a   | a       | firsta | 2025-06-05 | 2025-06-06
        b   | b       | firstb | 2025-06-05 | 2025-06-20
        """,
    )
    came = outcomes.came_to_pass(rows, given, READMISSION, AS_OF)
    assert gold.by_key(came.collect(), "risk_key", lambda row: row["label"]) == {"a": 1}


def test_of_each_case_the_first_score_counts_once_its_time_is_over(spark: SparkSession) -> None:
    rows = scores(
        spark,
        """
        key | patient | issued     | version
        a   | a       | 2025-08-15 | 1
        a   | a       | 2025-08-20 | 1
        a   | a       | 2025-08-25 | 2
        b   | b       | 2025-10-20 | 1
        c   | c       | 2025-03-01 | 1
        """,
    )
    given = facts(spark, encounters=[visit("e1", "b", "2025-11-01", "EMER")])
    found = outcomes.matured(outcomes.came_to_pass(rows, given, EMERGENCY, AS_OF), AS_OF)
    assert [(row.model_version, round(row.probability, 1)) for row in found.itertuples()] == [
        ("1", 0.0),
        ("2", 0.2),
    ]


def test_alerts_are_followed_to_what_was_done_and_what_came(spark: SparkSession) -> None:
    rows = scores(
        spark,
        """
        key | patient | issued     | expires    | alert | withdrawn
        a   | a       | 2025-06-01 | 2025-07-01 | yes   | -
        b   | b       | 2025-06-01 | 2025-07-01 | yes   | -
        c   | c       | 2025-06-01 | 2025-07-01 | yes   | -
        d   | c       | 2025-12-20 | 2026-01-20 | yes   | -
        e   | a       | 2025-06-02 | 2025-07-02 | yes   | 2025-06-09
        """,
    )
    given = facts(
        spark,
        encounters=[
            visit("e1", "a", "2025-06-10"),
            visit("e2", "a", "2025-08-01", "EMER"),
            visit("e3", "b", "2025-07-02"),
            visit("e4", "b", "2025-05-30"),
            visit("e5", "b", "2025-06-05", "EMER"),
        ],
        drugs=[
            gold.drug("m1", "b", "C03CA01", "2025-05-01"),
            gold.drug("m2", "b", "C03CA01", "2025-06-05"),
            gold.drug("m3", "c", "C03CA01", "2025-06-05"),
        ],
    )
    came = outcomes.came_to_pass(rows, given, EMERGENCY, AS_OF)
    found = fate.became(fate.alerts(rows.selectExpr("*", "'emergency_90d' as target")), came, given, AS_OF)
    told = gold.by_key(
        found.collect(), "risk_key", lambda r: (r["acted_on"], r["was_right"], r["closed_at"] is not None)
    )
    assert told == {
        "a": (True, True, True),
        "b": (False, True, True),
        "c": (True, False, True),
        "d": (False, None, False),
        "e": (False, True, True),
    }
    shares = {
        figure.metric: (figure.value, figure.n) for figure in fate.figures(found, "emergency_90d", AS_OF)
    }
    assert shares == {"acted_on": (2 / 3, 3), "precision": (3 / 4, 4)}
