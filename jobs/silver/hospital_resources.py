"""Hospital resources: what each hospital reports of its beds, wards, staff, devices, drugs and rooms, to typed columns.

Hospital and day of a report stand in the names of the files.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import at, double, select


def bed(records: DataFrame) -> DataFrame:
    """One row per received bed of a day."""
    r = F.col("r")
    return select(
        records,
        r["hospital"].alias("hospital_id"),
        r["ward"].alias("ward"),
        r["bed_id"].alias("bed_id"),
        r["kind"].alias("kind"),
        r["state"].alias("state"),
        at(r["since"]).alias("since_at"),
        at(r["as_of"]).alias("as_of_at"),
        _report_date().alias("report_date"),
        valid_from=at(r["as_of"]),
        known_at=at(r["as_of"]),
    )


def ward(records: DataFrame) -> DataFrame:
    """One row per received ward of a day."""
    r = F.col("r")
    return select(
        records,
        r["hospital"].alias("hospital_id"),
        r["ward"].alias("ward"),
        r["has_beds"].alias("has_beds"),
        r["planned_beds"].cast("int").alias("planned_beds"),
        r["closed_beds"].cast("int").alias("closed_beds"),
        _report_date().alias("report_date"),
        valid_from=_report_date().cast("timestamp"),
    )


def staff(records: DataFrame) -> DataFrame:
    """One row per received version of a member of staff."""
    r = F.col("r")
    employed_since = r["employed_since"].try_cast("date")
    return select(
        records,
        r["hospital"].alias("hospital_id"),
        r["role"].alias("role"),
        r["qualification"].alias("qualification"),
        r["ward"].alias("ward"),
        double(r["full_time_share"]).alias("full_time_share"),
        employed_since.alias("employed_since_date"),
        valid_from=employed_since.cast("timestamp"),
    )


def roster(records: DataFrame) -> DataFrame:
    """One row per received shift."""
    r = F.col("r")
    began_at = at(r["begins_at"])
    return select(
        records,
        r["hospital"].alias("hospital_id"),
        r["staff_no"].alias("staff_key"),
        r["ward"].alias("ward"),
        r["shift"].alias("shift"),
        began_at.alias("began_at"),
        at(r["ends_at"]).alias("ended_at"),
        r["called_in_sick"].alias("is_sick"),
        valid_from=began_at,
        known_at=began_at,
    )


def equipment(records: DataFrame) -> DataFrame:
    """One row per received device of a day."""
    r = F.col("r")
    return select(
        records,
        r["hospital"].alias("hospital_id"),
        r["device_id"].alias("device_id"),
        r["kind"].alias("kind"),
        r["ward"].alias("ward"),
        r["state"].alias("state"),
        r["maintenance_due"].try_cast("date").alias("maintenance_due_date"),
        _report_date().alias("report_date"),
        valid_from=_report_date().cast("timestamp"),
    )


def drug_stock(records: DataFrame) -> DataFrame:
    """One row per received lot of a ward and day."""
    r = F.col("r")
    return select(
        records,
        r["hospital"].alias("hospital_id"),
        r["ward"].alias("ward"),
        r["atc_code"].alias("atc_code"),
        r["article"].alias("article_name"),
        r["quantity"].cast("int").alias("quantity"),
        r["unit"].alias("unit"),
        r["lot"].alias("lot"),
        r["expiry"].try_cast("date").alias("expiry_date"),
        _report_date().alias("report_date"),
        valid_from=_report_date().cast("timestamp"),
    )


def operating_room(records: DataFrame) -> DataFrame:
    """One row per received operating room of a day."""
    r = F.col("r")
    return select(
        records,
        r["hospital"].alias("hospital_id"),
        r["room_id"].alias("room_id"),
        r["kind"].alias("kind"),
        r["state"].alias("state"),
        _report_date().alias("report_date"),
        valid_from=_report_date().cast("timestamp"),
    )


def session(records: DataFrame) -> DataFrame:
    """One row per received operation; known when it has ended, or was to begin."""
    r = F.col("r")
    planned_start, actual_start, actual_end = (
        at(r[name]) for name in ("planned_start", "actual_start", "actual_end")
    )
    return select(
        records,
        r["hospital"].alias("hospital_id"),
        r["room_id"].alias("room_id"),
        r["procedure_code"].alias("procedure_code"),
        planned_start.alias("planned_start_at"),
        at(r["planned_end"]).alias("planned_end_at"),
        actual_start.alias("actual_start_at"),
        actual_end.alias("actual_end_at"),
        r["state"].alias("state"),
        valid_from=F.coalesce(actual_start, planned_start),
        known_at=F.coalesce(actual_end, planned_start),
    )


def _report_date() -> Column:
    return F.col("r")["date"].try_cast("date")


TRANSFORMS = {
    "bed": bed,
    "ward": ward,
    "staff": staff,
    "roster": roster,
    "equipment": equipment,
    "drug_stock": drug_stock,
    "operating_room": operating_room,
    "session": session,
}
