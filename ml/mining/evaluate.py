"""Mining against the simulated city's answer key: was what was planted found, and what was found that was not?

Runs inside the landing and vault zone: it turns the key's ids into pseudonyms. Only the simulated city has a key.
Tables of the key that are not there are skipped, and the result says so.

A small city has too few people, or arrivals, for much that is true of it to be told from chance. So of rules and
facility days those are judged that mining must find: whose chance of being told, from the size of what was planted and
from how many there are (``rules.power``, ``facility_days.power``), is at least LEAST_POWER. What was found itself does
not enter: power of what was observed says nothing new (Hoenig and Heisey, The American Statistician 2001). The rest are
counted as planted and not findable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import adjusted_rand_score

from jobs.errors import CitywellError
from jobs.lake import catalog
from jobs.settings import settings
from ml.answer_key import PERSONS, people_in_lake
from ml.mining import dispensing, facility_days, inputs, rules, shapes, store
from ml.mining.inputs import ATC_ITEM, ICD10_CATEGORY, ICD10_ITEM, Gold
from ml.mining.outbreaks import DAYS_PER_YEAR, WINDOW_DAYS
from ml.mining.rules import JOINT

LEAST_POWER = 0.9
LEAST_MARKS = 2
UNKNOWN_SIZE = "symptom"
"""The kind of rules of which nobody knows by how much they are true of a whole history: none is findable."""


@dataclass(frozen=True)
class Figure:
    """One figure. cases: what it is a figure of; 0 where nothing was planted that could have been found."""

    name: str
    value: float
    unit: str
    cases: int


@dataclass(frozen=True)
class Result:
    """residents: people mined by postal district, on average. skipped: tables of the key that are not there."""

    figures: tuple[Figure, ...]
    residents: float
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """The newest runs of mining and surveillance, and how the key's ids are called in the lake.

    people: person_id, person_key, as often as a person of the city is several in the lake or the reverse. facilities:
    facility_key -> source. had: person_key, item, once each; strata: person_key (index) -> age band and sex, everybody;
    arrivals: what ``facility_days.find`` takes. These three as mining read them.
    """

    rows: Mapping[shapes.Shape, pd.DataFrame]
    people: pd.DataFrame
    facilities: Mapping[str, str]
    had: pd.DataFrame
    strata: pd.Series
    arrivals: pd.DataFrame

    def anomalies(self, kind: str) -> pd.DataFrame:
        told = self.rows[shapes.ANOMALIES]
        return told[told["kind"] == kind]

    def members(self, kind: str) -> pd.DataFrame:
        told = self.rows[shapes.MEMBERS]
        return told[told["kind"] == kind]


Judge = Callable[[Found, pd.DataFrame], Iterator[Figure]]


def evaluate(answer_key: Path | None = None) -> Result:
    """The figures of what is published. answer_key: the city's directory of that name.

    Raises CitywellError when there is no answer key, or nothing has been mined.
    """
    folder = answer_key or settings().city_dir / "answer_key"
    if not (folder / f"{PERSONS}.parquet").exists():
        raise CitywellError(
            "There is no answer key.", where=str(folder), do="only the simulated city has one"
        )
    with catalog.lake_session() as spark:
        found = _found(spark, pd.read_parquet(folder / f"{PERSONS}.parquet"))
    return judge(found, folder)


def judge(found: Found, folder: Path) -> Result:
    """The figures of ``found`` by the tables of the key in ``folder``."""
    figures: list[Figure] = []
    skipped = []
    for name, judging in JUDGES.items():
        path = folder / f"{name}.parquet"
        if path.exists():
            figures += judging(found, pd.read_parquet(path))
        else:
            skipped.append(name)
    districts = found.rows[shapes.OUTBREAKS]["area_code"].nunique()
    return Result(tuple(figures), len(found.strata) / max(districts, 1), tuple(skipped))


def outbreaks(found: Found, planted: pd.DataFrame) -> Iterator[Figure]:
    """planted: syndrome, area_code, began_on, ended_on (null while it goes on). Days until the first alarm (0: by what
    was known on the morning after the first day), of those that began on a day that was judged;
    one that is never found takes for ever. A false alarm is a day of alarm outside the district's outbreaks of that
    syndrome, and of the days after in which its last days are still counted."""
    judged = found.rows[shapes.OUTBREAKS].assign(date=lambda rows: pd.to_datetime(rows["date"]))
    planted = planted.assign(
        began_on=_days(planted["began_on"]), ended_on=_days(planted["ended_on"]).fillna(judged["date"].max())
    )
    delays = []
    is_false = judged["is_alarm"].to_numpy(dtype=bool).copy()
    for one in planted.itertuples():
        is_there = ((judged["area_code"] == one.area_code) & (judged["syndrome"] == one.syndrome)).to_numpy()
        passed = (judged["date"] - one.began_on).dt.days.to_numpy()
        length = (one.ended_on - one.began_on).days
        is_false &= ~(is_there & (passed >= 0) & (passed <= length + WINDOW_DAYS - 1))
        if (is_there & (passed == 0)).any():
            is_hit = is_there & (passed >= 0) & (passed <= length) & judged["is_alarm"].to_numpy(dtype=bool)
            delays.append(float(passed[is_hit].min()) if is_hit.any() else np.inf)
    district_days = len(judged[["area_code", "date"]].drop_duplicates())
    years = district_days / DAYS_PER_YEAR
    n = len(delays)
    yield Figure("outbreaks_found", float(np.isfinite(delays).mean()) if n else 0.0, "share", n)
    yield Figure("outbreak_delay_median", float(np.median(delays)) if n else np.inf, "days", n)
    per_year = float(is_false.sum() / years) if years else 0.0
    yield Figure("outbreak_false_alarms", per_year, "days per district and year", district_days)


def facility_anomalies(found: Found, planted: pd.DataFrame) -> Iterator[Figure]:
    """planted: source, date, kind, factor."""
    told = found.anomalies(facility_days.KIND)
    told_days = set(zip(told["subject"].map(found.facilities), _days(told["from_date"]), strict=True))
    planted = planted.assign(date=_days(planted["date"]), power=0.0)
    for key, rows in found.arrivals.groupby("facility_key"):
        daily, is_here = facility_days.by_day(rows), planted["source"] == found.facilities.get(str(key))
        if is_here.any() and len(daily) >= facility_days.LEAST_DAYS:
            factor = planted[is_here].set_index("date")["factor"]
            planted.loc[is_here, "power"] = facility_days.power(daily, factor).to_numpy()
    for kind, rows in sorted(planted.groupby("kind")):
        findable = rows[rows["power"] >= LEAST_POWER]
        hits = sum(pair in told_days for pair in zip(findable["source"], findable["date"], strict=True))
        yield _share(f"facility_days_found_{kind}", hits, len(findable))
        yield _share(f"facility_days_findable_{kind}", len(findable), len(rows))
    right = told_days & set(zip(planted["source"], planted["date"], strict=True))
    yield _share("facility_days_right", len(right), len(told_days))


def dispensing_anomalies(found: Found, planted: pd.DataFrame) -> Iterator[Figure]:
    """planted: person_id, began_on, ended_on (null while it goes on). Found is a person with a told window that
    overlaps those days."""
    told = found.anomalies(dispensing.KIND).rename(columns={"subject": "person_key"})
    told = told.assign(from_date=_days(told["from_date"]), to_date=_days(told["to_date"]))
    began, ended = _days(planted["began_on"]), _days(planted["ended_on"]).fillna(pd.Timestamp.max)
    known = planted.assign(began_on=began, ended_on=ended).merge(found.people, on="person_id")
    both = told.merge(known, on="person_key")
    both = both[(both["from_date"] <= both["ended_on"]) & (both["to_date"] >= both["began_on"])]
    yield _share("dispensing_anomalies_found", both["person_id"].nunique(), known["person_id"].nunique())
    yield _share("dispensing_anomalies_right", both["person_key"].nunique(), told["person_key"].nunique())


def planted_rules(found: Found, planted: pd.DataFrame) -> Iterator[Figure]:
    """planted: antecedent, consequent, each ``system|code``, kind, times (null where it says nothing). What no rule
    here can say is left out: of two codes of one category, and of chapter XXI (Z). Of codes that are one category the
    least of their times counts."""
    told = found.rows[shapes.RULES]
    told_rules = set(zip(told["antecedent"], told["consequent"], strict=True))
    wanted = planted.assign(
        antecedent=planted["antecedent"].map(item), consequent=planted["consequent"].map(item)
    )
    wanted = wanted.groupby(["antecedent", "consequent", "kind"], as_index=False)["times"].min()
    is_contact = (wanted["antecedent"] + wanted["consequent"]).str.contains(f"{ICD10_ITEM}Z", regex=False)
    wanted = wanted[~is_contact & (wanted["antecedent"] != wanted["consequent"])]
    wanted["power"] = _power(found, wanted)
    for kind, rows in sorted(wanted.groupby("kind")):
        findable = rows[rows["power"] >= LEAST_POWER]
        pairs = zip(findable["antecedent"], findable["consequent"], strict=True)
        yield _share(f"rules_found_{kind}", sum(rule in told_rules for rule in pairs), len(findable))
        yield _share(f"rules_findable_{kind}", len(findable), len(rows))


def _power(found: Found, wanted: pd.DataFrame) -> list[float]:
    """Of each wanted rule, were it the only one that is told: more of them let a larger p pass."""
    people = found.strata.value_counts().sort_index()
    having = pd.crosstab(found.had["item"], found.had["person_key"].map(found.strata))
    having = having.reindex(columns=people.index, fill_value=0)
    least = rules.least_people(len(found.strata))
    frequent = int((having.sum(axis=1) >= least).sum())
    most_p = rules.strictest_p(min(frequent, inputs.MOST_ITEMS))
    antecedents, consequents = (
        having.reindex(wanted[side], fill_value=0).to_numpy() for side in ("antecedent", "consequent")
    )
    return [
        0.0
        if kind == UNKNOWN_SIZE
        else rules.power(
            antecedent, consequent, people.to_numpy(), None if np.isnan(times) else times, most_p, least
        )
        for antecedent, consequent, kind, times in zip(
            antecedents, consequents, wanted["kind"], wanted["times"], strict=True
        )
    ]


def phenotypes(found: Found, planted: pd.DataFrame) -> Iterator[Figure]:
    """planted: person_id, phenotype, marks. Agreement is judged of people who have LEAST_MARKS conditions or more that
    mark one phenotype: a pattern, which one condition alone, that many have by chance, is not."""
    known = found.members("patients").merge(found.people, on="person_key").merge(planted, on="person_id")
    known = known.drop_duplicates("person_key")
    yield Figure("patient_clusters", known["cluster"].nunique(), "clusters", planted["phenotype"].nunique())
    marked: set[str] = set()
    for joined in planted["marks"].dropna().unique():
        own = found.had[found.had["item"].isin(item(joined).split(JOINT))]
        count = own.groupby("person_key")["item"].nunique()
        marked |= set(count.index[count >= LEAST_MARKS])
    known = known[known["person_key"].isin(marked)]
    yield Figure(
        "phenotypes_agree", _agreement(known["phenotype"], known["cluster"]), "adjusted Rand", len(known)
    )


def district_types(found: Found, planted: pd.DataFrame) -> Iterator[Figure]:
    """planted: area_code, type."""
    known = found.members("districts").merge(planted, on="area_code")
    yield Figure("district_clusters", known["cluster"].nunique(), "clusters", planted["type"].nunique())
    yield Figure(
        "district_types_agree", _agreement(known["type"], known["cluster"]), "adjusted Rand", len(known)
    )


JUDGES: Mapping[str, Judge] = {
    "outbreaks": outbreaks,
    "facility_days": facility_anomalies,
    "dispensing_anomalies": dispensing_anomalies,
    "rules": planted_rules,
    "phenotypes": phenotypes,
    "district_types": district_types,
}
"""By table of the key."""


def item(coded: str) -> str:
    """The item of ``system|code``, as the table of rules names it; of several joined by & each."""
    parts = []
    for one in coded.split(JOINT.strip()):
        system, _, code = one.strip().rpartition("|")
        is_drug = "atc" in system.lower()
        parts.append(f"{ATC_ITEM}{code}" if is_drug else f"{ICD10_ITEM}{code[:ICD10_CATEGORY]}")
    return JOINT.join(sorted(parts))


def _found(spark: SparkSession, persons: pd.DataFrame) -> Found:
    def published(query: str) -> list[dict[str, Any]]:
        return spark.sql(query).toArrow().to_pylist()

    missing = [shape.table for shape in shapes.SHAPES if not spark.catalog.tableExists(shape.table)]
    mined, watched = (
        None if missing else store.newest(published, shape) for shape in (shapes.STATISTICS, shapes.OUTBREAKS)
    )
    if mined is None or watched is None:
        raise CitywellError(
            f"Not published yet: {', '.join(missing) or 'a run'}",
            where="gold",
            do="run the mine and surveil DAGs first",
        )
    runs = dict.fromkeys(shapes.MINED, mined) | {shapes.OUTBREAKS: watched}
    rows = {
        shape: spark.table(shape.table).where(F.col("run_id") == run.run_id).toPandas()
        for shape, run in runs.items()
    }
    facilities = spark.table("gold.dim_facility").select("facility_key", "source").collect()
    gold = Gold.at(spark, mined.as_of)
    return Found(
        rows,
        people_in_lake(spark, persons),
        {row["facility_key"]: row["source"] for row in facilities},
        inputs.person_items(gold),
        inputs.strata(gold).toArrow().to_pandas().set_index("person_key")["stratum"],
        inputs.arrivals(gold),
    )


def _days(column: pd.Series) -> pd.Series:
    """Days without time or zone."""
    times = pd.to_datetime(column)
    return (
        times.dt.tz_convert("UTC").dt.tz_localize(None) if times.dt.tz is not None else times
    ).dt.normalize()


def _share(name: str, part: int, whole: int) -> Figure:
    return Figure(name, part / whole if whole else 0.0, "share", whole)


def _agreement(one: pd.Series, other: pd.Series) -> float:
    return float(adjusted_rand_score(one, other)) if len(one) else 0.0
