"""What every case says of its person: sex, age, district."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.features.knowledge import rounded

AGE_BANDS = ((18, "<18"), (45, "18-44"), (65, "45-64"), (80, "65-79"))
"""Years below which a band ends; the last is 80+."""


def with_person(cases: DataFrame, person: DataFrame, at: str) -> DataFrame:
    """The cases with ``sex``, ``age_years`` (at the instant ``at``), ``age_band`` and ``district``.

    person: gold.dim_person. Who is born in an unknown month counts as born in July. What is not known is ``unknown``,
    an age null.
    """
    of_person = person.select(
        "person_key",
        F.coalesce("sex", F.lit("unknown")).alias("sex"),
        "birth_year",
        "birth_month",
        F.coalesce("postal_district", F.lit("unknown")).alias("district"),
    )
    months = (F.month(at) - F.coalesce("birth_month", F.lit(7))) / F.lit(12.0)
    age = F.year(at) - F.col("birth_year") + months
    table = cases.join(of_person, "person_key", "left").withColumn(
        "age_years", rounded(F.when(age < 0, 0.0).otherwise(age))
    )
    band = F.when(F.col("age_years").isNull(), "unknown")
    for years, name in AGE_BANDS:
        band = band.when(F.col("age_years") < years, name)
    return (
        table.withColumn("age_band", band.otherwise("80+"))
        .withColumn("sex", F.coalesce("sex", F.lit("unknown")))
        .withColumn("district", F.coalesce("district", F.lit("unknown")))
        .drop("birth_year", "birth_month")
    )
