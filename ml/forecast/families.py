"""Families of series: what is forecast, and how it is counted in gold.

Counted is what was usable at the instant of the issue (``usable_at``), an encounter in the version that stood then, and
only periods that were over by then and by the newest delivery of who tells (``known_from``). Days are those of the
source's time zone, as in ``gold.agg_facility_daily``; hours are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ml.forecast.panel import Grain
from ml.syndromes import pattern

NURSE_HOURS_PER_PATIENT_DAY = 24 / 5
"""One nurse to five patients at any time on medical and surgical wards: California Code of Regulations, title 22,
section 70217 (a) (11)."""
SHIFT_HOURS = 8.0
NURSE_SHIFTS_PER_PATIENT_DAY = NURSE_HOURS_PER_PATIENT_DAY / SHIFT_HOURS

ENCOUNTER, SUPERSEDED = "gold.fct_encounter", "gold.fct_encounter_superseded"
DISPENSE, PROCEDURE = "gold.fct_dispense", "gold.fct_procedure"
EXPOSURE, DISTRICTS, SECTORS = "gold.fct_exposure_daily", "gold.agg_district_daily", "gold.agg_sector_daily"


@dataclass(frozen=True)
class Family:
    """Series that one model forecasts.

    name: also of its registered model. counts: what a value is, in words. levels: of the hierarchy below the city, top
    first; a level ``ward`` counts where the hospitals name wards. known: SQL of the facts as they stood at ``{as_of}``,
    which the other two read as ``known``. events: SQL, ``teller``, one column per level, ``at`` (date, or timestamp for
    hours) and ``n``. told: SQL, ``source``, ``teller``, ``at`` (as in events) and ``n`` of anything a teller tells.
    is_stock: n are changes, and a value is their sum up to the end of the period. needs: tables. dated_by: the one of
    them, by ``date``, without whose days nothing can be counted; nothing is known before its first nor after its last.
    tellers: the source (jobs/sources) whose endpoints tell, each by the days of its own time zone.
    """

    name: str
    title: str
    grain: Grain
    counts: str
    levels: tuple[str, ...]
    known: str
    events: str
    told: str
    needs: tuple[str, ...]
    is_stock: bool = False
    dated_by: str | None = None
    tellers: str = "hospital"


@dataclass(frozen=True)
class Derived:
    """A family that is another one times a factor; it has no model of its own."""

    name: str
    title: str
    counts: str
    of: str
    factor: float


_VERSION = """
    encounter_key, part_of_key, facility_key, source, class_code, is_inpatient, is_planned, reason_code, person_key,
    location_unit, started_at, started_precision, started_date, ended_at, ended_date, status, known_from, usable_at
"""
_KNOWN_ENCOUNTER = f"""
    select encounter_key, part_of_key, facility_key, source, class_code, is_inpatient, is_planned, reason_code,
        person_key, location_unit, started_at, started_precision, started_date, known_from,
        case when ended_at <= least({{as_of}}, known_from) then ended_date end as ended_date,
        status <> 'finished' or coalesce(ended_at > least({{as_of}}, known_from), false) as is_open
    from (
        select {_VERSION} from gold.fct_encounter
        union all
        select {_VERSION} from {{superseded}} where superseded_at > {{as_of}}
    ) as version
    where usable_at <= {{as_of}} and started_date is not null and started_at <= least({{as_of}}, known_from)
"""  # noqa: S608
"""Encounters as they were known; an end that has not come is none."""
_TOLD_ENCOUNTER = """
    select source, source as teller, started_date as at, count(*) as n from known group by source, started_date
"""
_IS_BY_HOUR = "started_precision in ('hour', 'second')"
_TOLD_ENCOUNTER_BY_HOUR = f"""
    select source, source as teller, date_trunc('hour', started_at) as at, count(*) as n from known
    where {_IS_BY_HOUR} group by source, date_trunc('hour', started_at)
"""  # noqa: S608
_ARRIVAL = """
    select part.* from known as part
    left join known as whole on part.part_of_key = whole.encounter_key
        and part.encounter_key <> whole.encounter_key and (whole.class_code = 'EMER' or whole.is_inpatient)
    where (part.class_code = 'EMER' or (part.is_inpatient and not coalesce(part.is_planned, false)))
        and part.facility_key is not null and whole.encounter_key is null
"""
_STAY = """
    select part.* from known as part
    left join known as whole on part.part_of_key = whole.encounter_key
        and part.encounter_key <> whole.encounter_key and whole.is_inpatient
    where part.is_inpatient and part.facility_key is not null and whole.encounter_key is null
"""
_KNOWN_SALE = """
    select sale.source, sale.facility_key, sale.dispensed_date, sale.known_from,
        coalesce(substr(sale.atc_code, 1, 1), 'none') as atc_group,
        sale.quantity + coalesce(back.quantity, 0) as packs
    from gold.fct_dispense as sale
    left join (
        select reverses_key, sum(quantity) as quantity from gold.fct_dispense
        where is_reversal and usable_at <= {as_of} group by reverses_key
    ) as back on sale.dispense_key = back.reverses_key
    where sale.told_by = 'pharmacy' and not sale.is_reversal and sale.usable_at <= {as_of}
        and sale.dispensed_at <= least({as_of}, sale.known_from)
        and coalesce(sale.medication_missing_reason, '') <> 'no_medicine'
"""
"""Packs of medicines that were kept, by what was known: a sale less what had been taken back of it."""
_KNOWN_PROCEDURE = """
    select source, facility_key, code, known_from, to_date(performed_at) as performed_date
    from gold.fct_procedure
    where usable_at <= {as_of} and performed_at <= least({as_of}, known_from)
        and performed_precision in ('day', 'hour', 'second')
"""
RED_CELLS = "^302[34][0-9A-Z]{1}[HNP][0-9A-Z]{1}$"
"""ICD-10-PCS (CMS, public domain): section 3 Administration, 0 Circulatory, 2 Transfusion, into a vein; sixth
character H whole blood, N red cells, P frozen red cells."""
_SYNDROMES = {
    "respiratory": ("acute infections of the airways, cough and short breath", pattern("respiratory")),
    "gastrointestinal": ("infectious diarrhoea and vomiting", pattern("gastro")),
}
_SYNDROMIC = """
    select known.source as teller, coalesce(lived.district_code, 'other') as district, known.started_date as at,
        count(*) as n
    from known
    left join gold.fct_exposure_daily as lived
        on known.person_key = lived.person_key and known.started_date = lived.date
    where known.reason_code rlike '{codes}' and known.part_of_key is null and not coalesce(known.is_planned, false)
    group by known.source, coalesce(lived.district_code, 'other'), known.started_date
"""


def _by_hospital(rows: str, at: str = "started_date", n: str = "1") -> str:
    return f"""
        select source as teller, facility_key as hospital, location_unit as ward, {at} as at, sum({n}) as n
        from ({rows}) as counted group by source, facility_key, location_unit, {at}
    """  # noqa: S608


_PRESENCE = f"""
    {_by_hospital(_STAY, n="case when is_open or ended_date is not null then 1 else 0 end")}
    union all
    {_by_hospital(f"select * from ({_STAY}) as stay where ended_date is not null", "ended_date", "-1")}
"""  # noqa: S608
_HOSPITAL = ("hospital", "ward")
FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "arrivals_daily",
            "Arrivals by hospital and day",
            "day",
            "emergency visits and unplanned admissions that began on the day",
            _HOSPITAL,
            _KNOWN_ENCOUNTER,
            _by_hospital(_ARRIVAL),
            _TOLD_ENCOUNTER,
            (ENCOUNTER,),
        ),
        Family(
            "arrivals_hourly",
            "Arrivals by hospital and hour",
            "hour",
            "emergency visits and unplanned admissions that began in the hour",
            ("hospital",),
            _KNOWN_ENCOUNTER,
            _by_hospital(
                f"select * from ({_ARRIVAL}) as arrival where {_IS_BY_HOUR}",  # noqa: S608
                "date_trunc('hour', started_at)",
            ),
            _TOLD_ENCOUNTER_BY_HOUR,
            (ENCOUNTER,),
        ),
        Family(
            "admissions_daily",
            "Admissions by hospital and day",
            "day",
            "inpatient stays that began on the day",
            _HOSPITAL,
            _KNOWN_ENCOUNTER,
            _by_hospital(_STAY),
            _TOLD_ENCOUNTER,
            (ENCOUNTER,),
        ),
        Family(
            "occupancy_daily",
            "Occupancy by hospital and day",
            "day",
            "inpatients present at the end of the day",
            _HOSPITAL,
            _KNOWN_ENCOUNTER,
            _PRESENCE,
            _TOLD_ENCOUNTER,
            (ENCOUNTER,),
            is_stock=True,
        ),
        Family(
            "drug_demand_weekly",
            "Drug demand by pharmacy and week",
            "week",
            "packs sold and kept, by main group of the ATC classification (first level)",
            ("pharmacy", "atc_group"),
            _KNOWN_SALE,
            "select facility_key as teller, facility_key as pharmacy, atc_group, dispensed_date as at, sum(packs) as n "
            "from known group by facility_key, atc_group, dispensed_date",
            "select source, facility_key as teller, dispensed_date as at, count(*) as n from known "
            "group by source, facility_key, dispensed_date",
            (DISPENSE,),
            tellers="pharmacy",
        ),
        Family(
            "blood_demand_weekly",
            "Blood demand by hospital and week",
            "week",
            "transfusions of red cells or whole blood",
            ("hospital",),
            _KNOWN_PROCEDURE,
            "select source as teller, facility_key as hospital, performed_date as at, count(*) as n from known "  # noqa: S608
            f"where code rlike '{RED_CELLS}' and facility_key is not null "
            "group by source, facility_key, performed_date",
            "select source, source as teller, performed_date as at, count(*) as n from known "
            "group by source, performed_date",
            (PROCEDURE,),
        ),
        *(
            Family(
                f"{name}_daily",
                f"Visits for {words}, by district and day",
                "day",
                f"unplanned encounters of residents for {words}",
                ("district",),
                _KNOWN_ENCOUNTER,
                _SYNDROMIC.replace("{codes}", codes),
                _TOLD_ENCOUNTER,
                (ENCOUNTER, EXPOSURE),
                dated_by=EXPOSURE,
            )
            for name, (words, codes) in _SYNDROMES.items()
        ),
    )
}
DERIVED: Mapping[str, Derived] = {
    "staff_need_daily": Derived(
        "staff_need_daily",
        "Nurse shifts needed by hospital and day",
        f"nurse shifts of {SHIFT_HOURS:.0f} hours for the day's inpatients, one nurse to five of them",
        "occupancy_daily",
        NURSE_SHIFTS_PER_PATIENT_DAY,
    )
}
EXOGENOUS = ("pm2_5_ug_m3", "temperature_mean_cel", "ambulance_runs", "transit_delayed_share")
SURROUNDINGS = (DISTRICTS, SECTORS)
"""Where the city's air, weather and transport of each day are told, where they are."""
