"""Transport: roads, traffic, incidents, public transport and ambulance runs as sent, to typed columns."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import at, double, select


def segment(records: DataFrame) -> DataFrame:
    """One row per received stretch of road."""
    r = F.col("r")
    return select(
        records,
        r["id"].alias("segment_id"),
        r["name"].alias("name"),
        double(r["lon"]).alias("longitude"),
        double(r["lat"]).alias("latitude"),
        double(r["length_m"]).alias("length_m"),
        r["lanes"].cast("int").alias("lanes"),
        double(r["free_speed_kmh"]).alias("free_speed_km_h"),
        r["postal_sector"].alias("postal_sector"),
    )


def traffic(records: DataFrame) -> DataFrame:
    """One row per received count; known when its hour has passed."""
    r = F.col("r")
    observed_at = at(r["hour"])
    return select(
        records,
        r["segment"].alias("segment_id"),
        observed_at.alias("observed_at"),
        double(r["vehicles"]).alias("vehicles"),
        double(r["speed_kmh"]).alias("speed_km_h"),
        valid_from=observed_at,
        known_at=observed_at + F.expr("interval 1 hour"),
    )


def incident(records: DataFrame) -> DataFrame:
    """One row per received incident; known when reported."""
    r = F.col("r")
    reported_at = at(r["reported_at"])
    return select(
        records,
        r["segment"].alias("segment_id"),
        r["kind"].alias("kind"),
        r["severity"].cast("int").alias("severity"),
        r["injured"].cast("int").alias("injured"),
        reported_at.alias("reported_at"),
        at(r["cleared_at"]).alias("cleared_at"),
        valid_from=reported_at,
        known_at=reported_at,
    )


def transit(records: DataFrame) -> DataFrame:
    """One row per received day of a line."""
    r = F.col("r")
    service_date = r["date"].try_cast("date")
    return select(
        records,
        r["line"].alias("line_id"),
        r["mode"].alias("mode"),
        service_date.alias("service_date"),
        r["planned"].cast("int").alias("runs_planned"),
        r["run"].cast("int").alias("runs_run"),
        r["delayed"].cast("int").alias("runs_delayed"),
        r["passengers"].cast("int").alias("passengers"),
        r["status"].alias("status"),
        valid_from=service_date.cast("timestamp"),
    )


def ambulance_run(records: DataFrame) -> DataFrame:
    """One row per received run; known when it is over."""
    r = F.col("r")
    times = ("incident_at", "dispatched_at", "arrived_at", "left_at", "hospital_at")
    return select(
        records,
        r["district"].alias("district_code"),
        r["priority"].cast("int").alias("priority"),
        *(at(r[name]).alias(name) for name in times),
        r["hospital"].alias("hospital_id"),
        r["cancelled"].alias("is_cancelled"),
        valid_from=at(r["incident_at"]),
        known_at=F.greatest(*(at(r[name]) for name in times)),
    )


TRANSFORMS = {
    "segment": segment,
    "traffic": traffic,
    "incident": incident,
    "transit": transit,
    "ambulance_run": ambulance_run,
}
