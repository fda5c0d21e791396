"""The housing API: ``/housing/v1``. Needs ``Authorization: Bearer`` (``<home>/keys/city_housing.token``); pages by
cursor.

    GET /housing/v1/areas          postal sectors, where they lie, and the district of the administration they belong to
    GET /housing/v1/facilities     hospitals and pharmacies and where they are
    GET /housing/v1/dwellings?updated_since=…&limit=5000&cursor=…
    GET /housing/v1/districts?updated_since=…       statistics by district and year
    GET /housing/v1/residences?updated_since=…      who lives and lived where: names people

    {"data":[…],"meta":{"count":2355,"as_of":"2026-01-01T00:00:00Z"},"next":"…"}            (null on the last page)

``count`` counts the items of all pages. Newest version of each item, in the order of ``updated_at``; a deleted one is
``{"id":…,"updated_at":…,"deleted_at":…}`` and nothing else.

    {"postal_sector":"C05 4","postal_district":"C05","postal_district_name":"Weavers","district":"CW04",
     "district_name":"Weaver Town","lon":…,"lat":…,"updated_at":"2015-01-01T00:00:00Z"}
    {"id":"hospital_north","kind":"hospital","name":"North General Hospital","lon":…,"lat":…,"postal_sector":"C03 1",
     "district":"CW02","updated_at":…}
    {"id":"DW-C083-0007","postal_sector":"C08 3","district":"CW06","year_built":1964,"heating":"gas","energy_class":"D",
     "damp":false,"floor_area_m2":74,"rooms":3,"updated_at":…,"deleted_at":null}
    {"district":"CW06","year":2025,"dwellings":198,"residents":350,"crowded_share":0.2645,"damp_share":0.0839,
     "mean_year_built":1952.4,"status":"provisional","updated_at":…}
    {"id":"RS-…","dwelling_id":"DW-C083-0007","national_id":"…","given_name":"…","family_name":"…","birth_date":"1951-04-02",
     "street":"…","postal_code":"C08 35B","moved_in":"2019-03-01","moved_out":null,"updated_at":…,"deleted_at":null}

dwellings     key id. heating: gas, district_heating, oil, heat_pump, wood, electric. 1 % a year are renovated (heat
              pump, class A, not damp), vacant ones are torn down (deleted)
districts     key district, year. Published on 15 January of the year after, final on 15 March. crowded: more
              residents than rooms
residences    key id. Dates are local. The register hears of a move after 1 to 14 days, of a death after 2 to 10;
              ``moved_out`` is the day of the next move or of death. 2 % state a wrong ``moved_in`` at first; 1 %
              never were and are deleted (answer key: residences, residence_errors). Street and postal code are those
              of the Patient at that time
"""

from __future__ import annotations

import numpy as np

from infra.city.places import (
    DISTRICT_CODES,
    DISTRICT_NAMES,
    FACILITIES,
    POSTAL_NAMES,
    SECTOR_CODES,
    SECTOR_DISTRICT,
    SECTOR_LAT,
    SECTOR_LON,
    SECTORS_PER_DISTRICT,
)
from infra.city.surroundings import housing
from infra.city.surroundings.air_feed import place_object
from infra.city.surroundings.clock import DAY_MS, date_of, date_texts, day_of, utc_texts
from infra.city.surroundings.listing import (
    OPENED_MS,
    Listing,
    Setting,
    compact,
    fixed,
    ordered,
    since,
)
from infra.city.vocabulary import DISTRICTS

SOURCE = "housing_city"
_OPENED = utc_texts(np.array([OPENED_MS]))[0]


def areas() -> Listing:
    return fixed(
        [
            {
                "postal_sector": code,
                "postal_district": DISTRICTS[n // SECTORS_PER_DISTRICT],
                "postal_district_name": POSTAL_NAMES[n // SECTORS_PER_DISTRICT],
                "district": DISTRICT_CODES[SECTOR_DISTRICT[n]],
                "district_name": DISTRICT_NAMES[SECTOR_DISTRICT[n]],
                "lon": round(float(SECTOR_LON[n]), 5),
                "lat": round(float(SECTOR_LAT[n]), 5),
                "updated_at": _OPENED,
            }
            for n, code in enumerate(SECTOR_CODES)
        ]
    )


def facilities() -> Listing:
    kept = ("id", "name", "lon", "lat", "postal_sector", "district")
    return fixed(
        [{**{k: place_object(p)[k] for k in kept}, "kind": p.kind, "updated_at": _OPENED} for p in FACILITIES]
    )


def dwellings(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    homes = housing.stock(setting.seed, setting.population, setting.first_day)
    changes = np.stack([np.full(len(homes.sector), OPENED_MS), homes.renovated, homes.demolished])
    updated = np.where(changes <= as_of_ms, changes, -1).max(axis=0)
    order = np.argsort(updated, kind="stable")

    def write(rows: np.ndarray) -> list[str]:
        r = order[rows]
        is_gone, is_new = homes.demolished[r] <= as_of_ms, homes.renovated[r] <= as_of_ms
        texts = []
        for n, id_, at, gone, new in zip(
            r.tolist(), homes.ids(r), utc_texts(updated[r]), is_gone.tolist(), is_new.tolist(), strict=True
        ):
            if gone:
                texts.append(f'{{"id":"{id_}","updated_at":"{at}","deleted_at":"{at}"}}')
                continue
            sector = int(homes.sector[n])
            heating = "heat_pump" if new else housing.HEATINGS[homes.heating[n]]
            damp = "true" if homes.damp[n] and not new else "false"
            texts.append(
                f'{{"id":"{id_}","postal_sector":"{SECTOR_CODES[sector]}","district":"{DISTRICT_CODES[SECTOR_DISTRICT[sector]]}",'
                f'"year_built":{homes.built[n]},"heating":"{heating}",'
                f'"energy_class":"{"A" if new else housing.ENERGY_CLASSES[homes.energy_class[n]]}","damp":{damp},'
                f'"floor_area_m2":{homes.floor_area_m2[n]},"rooms":{homes.rooms[n]},"updated_at":"{at}","deleted_at":null}}'
            )
        return texts

    return since(Listing(updated[order], write), since_ms)


def districts(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    homes, found = true_residences(setting)
    texts: list[str] = []
    updated: list[int] = []
    for year in range(date_of(setting.first_day).year, date_of(as_of_ms // DAY_MS).year):
        provisional, final = (day_of(year + 1, m, 15) * DAY_MS + 9 * 3_600_000 for m in (1, 3))
        if provisional > as_of_ms or day_of(year, 12, 31) < setting.first_day:
            continue
        is_final = final <= as_of_ms
        at = final if is_final else provisional
        known = found if is_final else found.take(np.flatnonzero(found.told <= provisional))
        of = housing.year_of_districts(
            homes, known, SECTOR_DISTRICT, len(DISTRICT_CODES), day_of(year, 12, 31)
        )
        for n, code in enumerate(DISTRICT_CODES):
            texts.append(
                compact(
                    {
                        "district": code,
                        "year": year,
                        "dwellings": int(of.dwellings[n]),
                        "residents": int(of.residents[n]),
                        "crowded_share": float(of.crowded_share[n]),
                        "damp_share": float(of.damp_share[n]),
                        "mean_year_built": float(of.mean_built[n]),
                        "status": "final" if is_final else "provisional",
                        "updated_at": utc_texts(np.array([at]))[0],
                    }
                )
            )
            updated.append(at)
    return since(ordered(np.array(updated, dtype=np.int64), texts), since_ms)


def residences(setting: Setting, as_of_ms: int, since_ms: int | None) -> Listing:
    homes, everything = true_residences(setting)
    known = everything.take(np.flatnonzero(everything.told <= as_of_ms))
    updated = known.updated(as_of_ms)
    order = np.argsort(updated, kind="stable")
    register = setting.register()

    def write(rows: np.ndarray) -> list[str]:
        r = known.take(order[rows])
        who = register.identity(r.person, r.nth)
        start = np.where(r.corrected <= as_of_ms, r.start, r.wrong_start)
        has_end = r.end_told <= as_of_ms
        texts = []
        for n, (id_, home, moved_in, moved_out, born, at) in enumerate(
            zip(
                housing.residence_ids(setting.seed, r),
                homes.ids(r.dwelling),
                date_texts(start),
                date_texts(np.where(has_end, r.end, 0)),
                date_texts(register.people.birth_day[r.person]),
                utc_texts(updated[order[rows]]),
                strict=True,
            )
        ):
            if r.deleted[n] <= as_of_ms:
                texts.append(compact({"id": id_, "updated_at": at, "deleted_at": at}))
                continue
            texts.append(
                compact(
                    {
                        "id": id_,
                        "dwelling_id": home,
                        "national_id": who.national_id[n],
                        "given_name": who.given[n],
                        "family_name": who.family[n],
                        "birth_date": born,
                        "street": who.street[n],
                        "postal_code": who.postal_code[n],
                        "moved_in": moved_in,
                        "moved_out": moved_out if has_end[n] else None,
                        "updated_at": at,
                        "deleted_at": None,
                    }
                )
            )
        return texts

    return since(Listing(updated[order], write), since_ms)


def true_residences(setting: Setting) -> tuple[housing.Stock, housing.Residences]:
    """The stock of dwellings, and everything about who lived where, known to the register or not."""
    register = setting.register()
    homes = housing.stock(setting.seed, setting.population, setting.first_day)
    found = housing.residences(
        setting.seed, homes, register.people, register.moves, setting.first_day, setting.dirt
    )
    return homes, found
