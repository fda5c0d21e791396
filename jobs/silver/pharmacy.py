"""Pharmacies: articles, what was dispensed, prices, stock and orders as sent by each keeper, to typed columns."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import at, double, select


def article(records: DataFrame) -> DataFrame:
    """One row per received version of an article."""
    r = F.col("r")
    return select(
        records,
        r["article_no"].alias("article_no"),
        r["atc_code"].alias("atc_code"),
        r["article_name"].alias("article_name"),
        _pointed(r["strength"]).alias("strength"),
        r["unit"].alias("unit"),
        r["pack_size"].cast("int").alias("pack_size"),
        r["is_prescription_only"].alias("is_prescription_only"),
    )


def dispense(records: DataFrame) -> DataFrame:
    """One row per received version of a dispense; known when it happens, or when it was changed."""
    r = F.col("r")
    dispensed_at = at(r["dispensed_at"])
    return select(
        records,
        r["pharmacy"].alias("pharmacy_id"),
        r["customer_no"].alias("customer_key"),
        r["birth_date"]["year"].cast("int").alias("birth_year"),
        r["birth_date"]["month"].cast("int").alias("birth_month"),
        r["postal_code"].alias("postal_district"),
        r["prescription_no"].alias("prescription_key"),
        r["article_no"].alias("article_no"),
        r["atc_code"].alias("atc_code"),
        r["article_name"].alias("article_name"),
        r["quantity"].cast("int").alias("quantity"),
        r["unit"].alias("unit"),
        _pointed(r["strength"]).alias("strength"),
        r["days_supply"].cast("int").alias("days_supply"),
        double(r["unit_price"]).alias("unit_price_eur"),
        dispensed_at.alias("dispensed_at"),
        r["reverses_id"].alias("reverses_key"),
        r["reverses_id"].isNotNull().alias("is_reversal"),
        at(r["changed_at"]).alias("posted_at"),
        valid_from=dispensed_at,
        known_at=dispensed_at,
    )


def price(records: DataFrame) -> DataFrame:
    """One row per received version of a price; known from its first day."""
    r = F.col("r")
    first_date = r["valid_from"].try_cast("date")
    return select(
        records,
        r["article_no"].alias("article_no"),
        r["atc_code"].alias("atc_code"),
        r["article_name"].alias("article_name"),
        double(r["price"]).alias("price"),
        r["currency"].alias("currency"),
        first_date.alias("first_date"),
        r["valid_to"].try_cast("date").alias("last_date"),
        valid_from=first_date.cast("timestamp"),
    )


def stock(records: DataFrame) -> DataFrame:
    """One row per received count of a lot."""
    r = F.col("r")
    counted_date = r["stock_date"].try_cast("date")
    return select(
        records,
        r["pharmacy"].alias("pharmacy_id"),
        r["article_no"].alias("article_no"),
        r["atc_code"].alias("atc_code"),
        r["lot"].alias("lot"),
        counted_date.alias("counted_date"),
        r["expires_on"].try_cast("date").alias("expiry_date"),
        r["quantity"].cast("int").alias("quantity"),
        valid_from=counted_date.cast("timestamp"),
    )


def delivery(records: DataFrame) -> DataFrame:
    """One row per received version of an order."""
    r = F.col("r")
    ordered_at, delivered_at = at(r["ordered_at"]), at(r["delivered_at"])
    return select(
        records,
        r["pharmacy"].alias("pharmacy_id"),
        r["article_no"].alias("article_no"),
        r["supplier"].alias("supplier"),
        ordered_at.alias("ordered_at"),
        r["promised_on"].try_cast("date").alias("promised_date"),
        r["ordered_quantity"].cast("int").alias("ordered_quantity"),
        delivered_at.alias("delivered_at"),
        r["delivered_quantity"].cast("int").alias("delivered_quantity"),
        r["lot"].alias("lot"),
        r["expires_on"].try_cast("date").alias("expiry_date"),
        valid_from=ordered_at,
        known_at=F.coalesce(delivered_at, ordered_at),
    )


def _pointed(strength: Column) -> Column:
    """A strength with decimal points: ``2,5 mg`` is how a keeper with decimal commas writes ``2.5 mg``."""
    return F.regexp_replace(strength, r"(\d),(\d)", "$1.$2")


TRANSFORMS = {"article": article, "dispense": dispense, "price": price, "stock": stock, "delivery": delivery}
