"""What all DAGs share: assets, retries, the date parameter, and what happens when a task fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, Param, get_current_context
from jobs.settings import settings

if TYPE_CHECKING:
    from jobs import alerts

CITY = Asset("citywell://silver")
"""The silver tables of all sources together."""
GOLD = Asset("citywell://gold")
CHAMPION = Asset("citywell://models/champions")
SCORES = Asset("citywell://scores/risk")
FORECASTS = Asset("citywell://scores/forecast")
RETRAIN = Asset("citywell://models/retrain")
"""Questions that are to be trained again; its events name them in ``questions``."""

AS_OF = Param(
    None,
    type=["null", "string"],
    format="date-time",
    title="As of",
    description="Logical instant of the run (ISO 8601). Default: the run's logical date, else now.",
)
ENDPOINT = "{{ task.op_kwargs['endpoint'] }}"
"""What Airflow calls a task that is mapped over endpoints; such a task is given ``endpoint=…`` by name."""


def silver(source: str) -> Asset:
    """The silver tables of a source."""
    return Asset(f"citywell://silver/{source}")


def cron(schedule: str | None) -> str | None:
    """The schedule, unless schedules are off (setting ``schedules``)."""
    return schedule if settings().schedules else None


def as_of() -> str:
    """The instant this run is for, ISO 8601 in UTC; the same for every try of every task of the run.

    The run's parameter; else the newest instant that the assets which set it off were made for; else its logical date.
    """
    context = get_current_context()
    given = context["params"].get("as_of")
    announced = [
        event.extra["as_of"]
        for events in context["triggering_asset_events"].values()
        for event in events
        if event.extra.get("as_of")
    ]
    if not given and announced:
        given = max(announced)
    moment = datetime.fromisoformat(given) if given else context["dag_run"].logical_date
    return (moment or context["dag_run"].run_after).astimezone(UTC).isoformat()


def announce(asset: Asset) -> None:
    """Tell the DAGs that wait for ``asset`` which instant it was made for."""
    get_current_context()["outlet_events"][asset].extra["as_of"] = as_of()


def report_failure(context: dict[str, Any]) -> None:
    """Send what failed to the webhook, if one is set. The message is the error's own; it holds no record's values."""
    from jobs import alerts

    alerts.failed(_place(context), context.get("exception"))


def report_refused(context: dict[str, Any]) -> None:
    """Send the webhook, if one is set, which scores hospitals have refused to take."""
    from jobs import alerts

    alerts.refused(_place(context))


def report_refused_forecasts(context: dict[str, Any]) -> None:
    """As report_refused, of forecasts."""
    from jobs import alerts

    alerts.refused_forecasts(_place(context))


def _place(context: dict[str, Any]) -> alerts.Place:
    from jobs import alerts

    task = context["ti"]
    return alerts.Place(task.dag_id, task.task_id, task.run_id, task.rendered_map_index)


DEFAULT_ARGS = {
    "owner": "citywell",
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": report_failure,
}
