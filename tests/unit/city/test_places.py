"""The map: two area codings that cut each other, and where people live."""

from __future__ import annotations

from collections import Counter

import numpy as np

from infra.city import places
from infra.city.habits import HOSPITALS
from infra.city.pharmacies.shops import SHOPS
from infra.city.population import identities
from infra.city.vocabulary import DISTRICTS


def test_sectors_lie_in_one_postal_district_and_one_district_and_districts_cut_each_other() -> None:
    assert len(places.SECTOR_CODES) == len(set(places.SECTOR_CODES)) == 108
    postal = [code[:3] for code in places.SECTOR_CODES]
    assert Counter(postal) == dict.fromkeys(DISTRICTS, 9)
    of_postal = {
        p: {d for q, d in zip(postal, places.SECTOR_DISTRICT, strict=True) if q == p} for p in DISTRICTS
    }
    assert set(places.SECTOR_DISTRICT.tolist()) == set(range(8))
    assert sum(len(found) > 1 for found in of_postal.values()) >= 6
    east, north = (np.ptp(v) * places.KM_PER_DEGREE for v in (places.SECTOR_LON, places.SECTOR_LAT))
    assert 11 < east * np.cos(np.deg2rad(52.35)) < 14
    assert 8 < north < 10
    for place in (*places.FACILITIES, *places.AIR_STATIONS, *places.WEATHER_STATIONS):
        assert 0 < place.x_km < places.WIDTH_KM
        assert 0 < place.y_km < places.HEIGHT_KM


def test_the_sector_of_a_person_is_that_of_the_postal_code() -> None:
    numbers = np.arange(300)
    moves = numbers % 4
    who = identities(7, numbers, numbers % 2, moves, numbers[:0])
    sectors = places.sectors_of(7, numbers, moves)
    assert [places.SECTOR_CODES[s] for s in sectors] == [code[:5] for code in who.postal_code]


def test_every_hospital_and_pharmacy_is_on_the_map() -> None:
    assert [p.id for p in places.HOSPITAL_PLACES] == [h.source for h in HOSPITALS]
    assert [p.id for p in places.PHARMACIES] == [shop.name for shop in SHOPS]
