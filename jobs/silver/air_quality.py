"""Air quality: stations and hourly readings as sent, to typed columns; see ``jobs.silver.columns``."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import at, double, select


def station(records: DataFrame) -> DataFrame:
    """One row per received station."""
    r = F.col("r")
    return select(
        records,
        r["id"].alias("station_id"),
        r["name"].alias("name"),
        r["site"].alias("site"),
        double(r["lon"]).alias("longitude"),
        double(r["lat"]).alias("latitude"),
        double(r["elevation_m"]).alias("elevation_m"),
        r["postal_sector"].alias("postal_sector"),
        r["district"].alias("district_code"),
        r["since"].try_cast("date").alias("since_date"),
    )


def reading(records: DataFrame) -> DataFrame:
    """One row per received reading; known when its hour has passed, or when it was changed."""
    r = F.col("r")
    observed_at = at(r["hour"])
    return select(
        records,
        r["station"].alias("station_id"),
        r["pollutant"].alias("pollutant"),
        observed_at.alias("observed_at"),
        double(r["value"]).alias("value"),
        r["unit"].alias("unit"),
        r["reason"].alias("absent_reason"),
        r["status"].alias("status"),
        valid_from=observed_at,
        known_at=observed_at + F.expr("interval 1 hour"),
    )


TRANSFORMS = {"station": station, "reading": reading}
