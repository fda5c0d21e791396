"""Energy supply: consumption, outages, home devices and warnings as sent by the grid company, to typed columns."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import at, double, select

CAUSES = {
    "Kabelfehler": "cable_fault",
    "Sturmschaden": "storm",
    "Bauarbeiten": "construction",
    "Überlast": "overload",
    "unbekannt": "unknown",
}
STRESSES = {"Hitze": "heat", "Kälte": "cold"}


def consumption(records: DataFrame) -> DataFrame:
    """One row per received day of an area."""
    r = F.col("r")
    day = r["date"].try_cast("date")
    return select(
        records,
        r["area"].alias("district_code"),
        day.alias("consumed_date"),
        double(r["electricity_kwh"]).alias("electricity_kwh"),
        double(r["heat_kwh"]).alias("heat_kwh"),
        r["meters"].cast("int").alias("meters"),
        valid_from=day.cast("timestamp"),
    )


def outage(records: DataFrame) -> DataFrame:
    """One row per received outage; known from its start."""
    r = F.col("r")
    return select(
        records,
        r["area"].alias("district_code"),
        at(r["start"]).alias("started_at"),
        at(r["end"]).alias("ended_at"),
        r["customers"].cast("int").alias("customers"),
        r["home_devices"].cast("int").alias("home_devices"),
        _word(r["cause"], CAUSES).alias("cause"),
        valid_from=at(r["start"]),
        known_at=at(r["start"]),
    )


def home_device(records: DataFrame) -> DataFrame:
    """One row per received count of an area."""
    r = F.col("r")
    day = r["date"].try_cast("date")
    return select(
        records,
        r["area"].alias("district_code"),
        day.alias("counted_date"),
        r["ventilation"].cast("int").alias("ventilator_households"),
        r["oxygen"].cast("int").alias("oxygen_households"),
        r["dialysis"].cast("int").alias("dialysis_households"),
        valid_from=day.cast("timestamp"),
    )


def stress_warning(records: DataFrame) -> DataFrame:
    """One row per received warning."""
    r = F.col("r")
    day = r["date"].try_cast("date")
    return select(
        records,
        r["area"].alias("district_code"),
        day.alias("warned_date"),
        _word(r["kind"], STRESSES).alias("kind"),
        r["level"].cast("int").alias("level"),
        double(r["felt_temperature"]).alias("felt_temperature_cel"),
        valid_from=day.cast("timestamp"),
    )


def _word(sent: Column, words: Mapping[str, str]) -> Column:
    """Our word for the sender's; what he says beside them stays as it is, and breaks the column's value set."""
    (first, word), *others = words.items()
    found = F.when(sent == first, word)
    for each, word in others:
        found = found.when(sent == each, word)
    return found.otherwise(sent)


TRANSFORMS = {
    "consumption": consumption,
    "outage": outage,
    "home_device": home_device,
    "stress_warning": stress_warning,
}
