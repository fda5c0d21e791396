"""Wearables: consent, participants, daily summaries, home readings and questionnaires as sent, to typed columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.silver.columns import at, double, select

_ITEMS = 10


@dataclass(frozen=True)
class Form:
    """A questionnaire: ``items`` answers of 0 to ``top``, of which the ``backward`` ones (from 1) count top minus
    answer."""

    items: int
    top: int
    backward: tuple[int, ...] = ()


FORMS = {"PSS-10": Form(10, 4, (4, 5, 7, 8)), "PHQ-9": Form(9, 3)}
"""PSS-10: Cohen, Kamarck, Mermelstein, "A global measure of perceived stress" (1983), ten items by Cohen and
Williamson (1988). PHQ-9: Kroenke, Spitzer, Williams, "The PHQ-9" (2001)."""


def consent(records: DataFrame) -> DataFrame:
    """One row per received state of a person's consent for a purpose."""
    r = F.col("r")
    given_at, withdrawn_at = at(r["given_at"]), at(r["withdrawn_at"])
    return select(
        records,
        r["participant_id"].alias("participant_key"),
        r["purpose"].alias("purpose"),
        given_at.alias("given_at"),
        withdrawn_at.alias("withdrawn_at"),
        (given_at.isNotNull() & withdrawn_at.isNull()).alias("is_given"),
        valid_from=F.col("updated_at"),
    )


def participant(records: DataFrame) -> DataFrame:
    """One row per received version of a participant."""
    r = F.col("r")
    joined_at = at(r["joined_at"])
    return select(
        records,
        r["birth_date"]["year"].cast("int").alias("birth_year"),
        r["birth_date"]["month"].cast("int").alias("birth_month"),
        joined_at.alias("joined_at"),
        valid_from=joined_at,
    )


def daily_summary(records: DataFrame) -> DataFrame:
    """One row per received day; known when the device has synced."""
    r = F.col("r")
    day = r["date"].try_cast("date")
    return select(
        records,
        r["participant_id"].alias("participant_key"),
        day.alias("summary_date"),
        r["steps"].cast("int").alias("steps"),
        r["resting_heart_rate"].cast("int").alias("resting_heart_rate_per_min"),
        r["active_minutes"].cast("int").alias("active_min"),
        r["sleep_minutes"].cast("int").alias("sleep_min"),
        r["diet_score"].cast("int").alias("diet_score"),
        r["fruit_vegetable_servings"].cast("int").alias("fruit_vegetable_servings"),
        r["exercise_sessions"].cast("int").alias("exercise_sessions"),
        r["exercise_minutes"].cast("int").alias("exercise_min"),
        valid_from=day.cast("timestamp"),
    )


def home_reading(records: DataFrame) -> DataFrame:
    """One row per received reading; known when the device has synced."""
    r = F.col("r")
    measured_at, synced_at = at(r["measured_at"]), at(r["updated_at"])
    delay_h = (r["updated_at"]["at"] - r["measured_at"]["at"]) / F.lit(3_600_000_000.0)
    return select(
        records,
        r["participant_id"].alias("participant_key"),
        r["kind"].alias("kind"),
        double(r["value"]).alias("value"),
        r["unit"].alias("unit"),
        r["systolic"].cast("int").alias("systolic_mmhg"),
        r["diastolic"].cast("int").alias("diastolic_mmhg"),
        r["device"].alias("device"),
        measured_at.alias("measured_at"),
        synced_at.alias("synced_at"),
        delay_h.alias("sync_delay_h"),
        valid_from=measured_at,
        known_at=measured_at,
    )


def questionnaire(records: DataFrame) -> DataFrame:
    """One row per received form, its answers as given and its total as sent."""
    r = F.col("r")
    items = [r[f"item_{n}"].cast("int") for n in range(1, _ITEMS + 1)]
    answered = _sum([item.isNotNull().cast("int") for item in items])
    total = r["total"].cast("int")
    answered_at = at(r["answered_at"])
    return select(
        records,
        r["participant_id"].alias("participant_key"),
        r["kind"].alias("kind"),
        F.array(*items).alias("items"),
        answered.alias("answered_items"),
        (answered == _of_form(r["kind"], lambda form: F.lit(form.items))).alias("is_complete"),
        total.alias("total"),
        answered_at.alias("answered_at"),
        _of_form(r["kind"], lambda form: _off_scale(items, form)).alias("items_off_scale"),
        # Null, and so no error, where an answer was left out.
        (total - _of_form(r["kind"], lambda form: _points(items, form))).alias("total_error"),
        valid_from=answered_at,
        known_at=answered_at,
    )


def _of_form(kind: Column, value: Callable[[Form], Column]) -> Column:
    """``value`` of the form that a record is; null for a form we do not know."""
    (first, form), *others = FORMS.items()
    found = F.when(kind == first, value(form))
    for name, form in others:
        found = found.when(kind == name, value(form))
    return found


def _points(items: list[Column], form: Form) -> Column:
    """The total that follows from the answers; null where one is missing."""
    return _sum(
        [form.top - item if n in form.backward else item for n, item in enumerate(items[: form.items], 1)]
    )


def _off_scale(items: list[Column], form: Form) -> Column:
    """How many answers the form does not have."""
    beyond = [F.coalesce(~item.between(0, form.top), F.lit(False)) for item in items[: form.items]]
    surplus = [item.isNotNull() for item in items[form.items :]]
    return _sum([each.cast("int") for each in (*beyond, *surplus)])


def _sum(columns: list[Column]) -> Column:
    return reduce(add, columns)


TRANSFORMS = {
    "consent": consent,
    "participant": participant,
    "daily_summary": daily_summary,
    "home_reading": home_reading,
    "questionnaire": questionnaire,
}
