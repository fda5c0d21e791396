"""The city's surroundings over their real protocols, to what people are exposed to: right, and missing where it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.engine.launch import Engine
from infra.evaluate import surroundings
from infra.stack.postgres import Cluster
from jobs import gold
from jobs.ingest import ingest
from jobs.lake import catalog
from jobs.settings import settings
from tests.support.city import clock, running_city
from tests.support.lake import TestLake, use_home

SOURCES = ("air_city", "weather_city", "transport_city", "energy_grid", "housing_city", "hospital_north")
FIGURES = [
    "exposure_pm2_5_error",
    "exposure_pm2_5_worst_day",
    "exposure_temperature_mean_error",
    "exposure_temperature_mean_worst_day",
    "bad_air_quality_readings_published",
    "bad_weather_readings_published",
]
MODELS = "+fct_exposure_daily +agg_district_daily +dim_district"


@pytest.fixture(scope="module")
def city_lake(
    postgres: Cluster, sail_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestLake]:
    """One hospital and the surroundings of five weeks, with exposures built and published."""
    home = tmp_path_factory.mktemp("home")
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        running_city(home, "--population", "150", "--years", "0.1", "--admission-factor", "4") as url,
    ):
        lake = use_home(monkeypatch, home, postgres, sail_engine.remote)
        monkeypatch.setenv("CITYWELL_CITY_PORT", url.rpartition(":")[2])
        settings.cache_clear()
        for source in SOURCES:
            ingest(source, clock(url))
        with catalog.lake_session() as spark:
            built = gold.build(spark, lake_dir=settings().lake_dir, target_dir=home / "target", select=MODELS)
        catalog.publish("gold", "exposures", built.versions)
        yield lake
    settings.cache_clear()


@pytest.mark.slow
def test_people_are_exposed_to_what_the_stations_near_them_tell(city_lake: TestLake) -> None:
    """As near to the truth as the answer key's figure asks; every day but a few is known, and every district."""
    with catalog.lake_session() as spark:
        lines = list(surroundings.figures(spark, settings().city_dir / "answer_key"))
    assert [line.name for line in lines] == FIGURES
    assert [str(line) for line in lines if not line.is_met] == []
    assert all(line.cases for line in lines)
    (sectors,) = city_lake.rows(
        "select count(distinct postal_sector) as sectors, count(distinct date) as days, "
        "count(*) as total, count(pm2_5_ug_m3) as air from gold.agg_sector_daily"
    )
    assert (sectors["sectors"], sectors["total"]) == (108, 108 * sectors["days"])
    assert sectors["days"] >= 30
    assert sectors["air"] > 0.9 * sectors["total"]
    (people,) = city_lake.rows(
        "select count(*) as total, count(pm2_5_ug_m3) as air, count(apparent_temperature_max_cel) as weather, "
        "count(transit_delayed_share) as transit, count(outage_minutes_per_customer) as energy, "
        "count(road_vehicles) as roads from gold.fct_exposure_daily where place_precision <> 'none'"
    )
    parts = {name: round(people[name] / people["total"], 2) for name in people if name != "total"}
    assert parts.pop("roads") > 0
    assert min(parts.values()) > 0.9, parts
    districts = city_lake.rows(
        "select kind, count(*) as n, sum(stations) as stations, sum(facilities) as facilities "
        "from gold.dim_district group by 1 order by 1"
    )
    assert [tuple(row.values()) for row in districts] == [
        ("district", 8, 8, 9),
        ("postal_district", 12, 8, 9),
    ]
