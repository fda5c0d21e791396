"""Housing: areas and places, dwellings, district statistics and the address history as sent, to typed columns."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import double, select


def area(records: DataFrame) -> DataFrame:
    """One row per received postal sector."""
    r = F.col("r")
    return select(
        records,
        r["postal_sector"].alias("postal_sector"),
        r["postal_district"].alias("postal_district"),
        r["postal_district_name"].alias("postal_district_name"),
        r["district"].alias("district_code"),
        r["district_name"].alias("district_name"),
        double(r["lon"]).alias("longitude"),
        double(r["lat"]).alias("latitude"),
    )


def facility(records: DataFrame) -> DataFrame:
    """One row per received hospital or pharmacy."""
    r = F.col("r")
    return select(
        records,
        r["id"].alias("facility_id"),
        r["kind"].alias("kind"),
        r["name"].alias("name"),
        double(r["lon"]).alias("longitude"),
        double(r["lat"]).alias("latitude"),
        r["postal_sector"].alias("postal_sector"),
        r["district"].alias("district_code"),
    )


def dwelling(records: DataFrame) -> DataFrame:
    """One row per received version of a dwelling."""
    r = F.col("r")
    return select(
        records,
        r["postal_sector"].alias("postal_district"),
        r["district"].alias("district_code"),
        r["year_built"].cast("int").alias("built_year"),
        r["heating"].alias("heating"),
        r["energy_class"].alias("energy_class"),
        r["damp"].alias("is_damp"),
        double(r["floor_area_m2"]).alias("floor_area_m2"),
        r["rooms"].cast("int").alias("rooms"),
        valid_from=F.col("updated_at"),
    )


def district(records: DataFrame) -> DataFrame:
    """One row per received year of a district; it is true of the year's end."""
    r = F.col("r")
    return select(
        records,
        r["district"].alias("district_code"),
        r["year"].cast("int").alias("year"),
        r["dwellings"].cast("int").alias("dwellings"),
        r["residents"].cast("int").alias("residents"),
        double(r["crowded_share"]).alias("crowded_share"),
        double(r["damp_share"]).alias("damp_share"),
        double(r["mean_year_built"]).alias("mean_built_year"),
        r["status"].alias("status"),
        valid_from=F.concat(r["year"].cast("string"), F.lit("-12-31")).try_cast("timestamp"),
    )


def residence(records: DataFrame) -> DataFrame:
    """One row per received version of a stay; known when the register says so."""
    r = F.col("r")
    moved_in = r["moved_in"].try_cast("date")
    return select(
        records,
        r["national_id"].alias("resident_key"),
        r["dwelling_id"].alias("dwelling_key"),
        r["birth_date"]["year"].cast("int").alias("birth_year"),
        r["birth_date"]["month"].cast("int").alias("birth_month"),
        r["postal_code"].alias("postal_district"),
        moved_in.alias("moved_in_date"),
        r["moved_out"].try_cast("date").alias("moved_out_date"),
        valid_from=moved_in.cast("timestamp"),
    )


TRANSFORMS = {
    "area": area,
    "facility": facility,
    "dwelling": dwelling,
    "district": district,
    "residence": residence,
}
