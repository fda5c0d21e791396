"""Telling people what went wrong: a JSON POST to the webhook, where one is set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import httpx

from jobs import disk
from jobs.errors import CitywellError
from jobs.lake import control
from jobs.settings import settings

log = logging.getLogger(__name__)
TIMEOUT_S = 10

_REFUSED_SCORES = """
select source, count(*), string_agg(distinct concat_ws(' ', 'HTTP ' || last_status, last_reason), '; ')
from writeback
where state = 'refused' and source = any(%s)
group by source
order by source
"""
_REFUSED_FORECASTS = (
    "select source, forecasts, codes from refused_forecast where source = any(%s) order by source"
)


@dataclass(frozen=True)
class Place:
    """The task that tells. ``part``: what a mapped task was for, such as an endpoint; None where it is the whole."""

    dag: str
    task: str
    run: str
    part: str | None = None

    @property
    def name(self) -> str:
        """``ingest_hospital.load, hospital_north``"""
        return ", ".join(part for part in (f"{self.dag}.{self.task}", self.part) if part)


def failed(place: Place, error: BaseException | None) -> bool:
    """Whether the failure was told. What an unexpected error says may quote values, so only its type is sent."""
    if error is not None and not isinstance(error, CitywellError) and disk.is_full(error):
        error = disk.full(error, settings().home)
    if isinstance(error, CitywellError):
        is_named = place.part is None or place.part in error.where
        where = error.where if is_named else f"{place.part}: {error.where}"
        return _post(place, type(error).__name__, error.what, where, error.do)
    what = "An unexpected error; the task's log has it"
    return _post(place, type(error).__name__, what, place.name, "Look at the task's log in Airflow")


def refused(place: Place) -> bool:
    """Tell, hospital by hospital of those declared, how many risk scores it refuses and with which codes; whether all
    were told."""
    return _refused(place, _refused_scores)


def refused_forecasts(place: Place) -> bool:
    """As :func:`refused`, of the forecasts that were refused in the newest run."""
    return _refused(place, _refused_forecasts)


def not_as_expected(source: str, verdict: str, words: str) -> bool:
    """Whether it was told that a source delivers late, or less than usual."""
    place = Place("watch", "watch", "")
    do = f"Ask the owner of {source}, and see `citywell watch` and its runs in Airflow"
    return _post(place, verdict.capitalize(), words, source, do)


def drifted(question: str, words: str, *, is_asked: bool) -> bool:
    """Whether it was told that a question's model, or forecasts, crossed a line. is_asked: it is trained again."""
    do = "It is trained again now; the gate decides" if is_asked else "Nothing starts by itself"
    do += f"; see quality.monitoring and, for a risk question, reports/drift/{question}.html"
    return _post(Place("monitor", "monitor", ""), "Drift", words, question, do)


def outbreak(date: str, syndrome: str, area_code: str) -> bool:
    """Whether it was told that by a day more people of a district had come with a syndrome than its past explains."""
    what = (
        f"By {date} more people had come with {syndrome} illness, within three days, than the past explains"
    )
    do = "Ask its hospitals; see the City report, and gold.mining_outbreaks"
    return _post(Place("surveil", "tell", ""), "Outbreak", what, f"district {area_code}", do)


def heard(told: Iterable[bool]) -> int:
    """How many of the messages were told. Where no webhook is set, none.

    Raises CitywellError when one is set and did not take them all, so that the task is tried again and tells them all
    once more.
    """
    each = list(told)
    if settings().webhook_url is not None and not all(each):
        raise CitywellError(
            f"{len(each) - sum(each)} of {len(each)} messages could not be told",
            where="webhook_url",
            do="see whether the webhook answers, and clear the task in Airflow",
        )
    return sum(each)


def _refused(place: Place, refusals: Callable[[], Iterable[tuple[str, str]]]) -> bool:
    if settings().webhook_url is None:
        return False
    do = "Ask the hospital what the codes mean; each run of writeback tries again"
    told = [_post(place, "Refused", what, source, do) for source, what in refusals()]
    return all(told)


def _refused_scores() -> Iterator[tuple[str, str]]:
    from jobs.writeback import fhir  # imports much, and a failure must be told without it

    with control.connect() as conn:
        fhir.migrate(conn)
        for source, scores, codes in conn.execute(_REFUSED_SCORES, (_declared(),)):
            yield source, f"{scores} risk scores were refused ({codes})"


def _refused_forecasts() -> Iterator[tuple[str, str]]:
    from jobs.writeback import forecast_fhir

    with control.connect() as conn:
        forecast_fhir.migrate(conn)
        for source, forecasts, codes in conn.execute(_REFUSED_FORECASTS, (_declared(),)):
            yield source, f"{forecasts} forecasts were refused ({codes})"


def _declared() -> list[str]:
    from jobs.sources import load_all

    return [name for source in load_all().values() for name in source.endpoints]


def _post(place: Place, error: str, what: str, where: str, do: str) -> bool:
    url = settings().webhook_url
    if url is None:
        return False
    message = {"dag": place.dag, "task": place.task, "run": place.run, "error": error}
    message |= {"what": what, "where": where, "do": do}
    try:
        httpx.post(url, json=message, timeout=TIMEOUT_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        log.warning("the webhook could not be told: %s", type(problem).__name__)
        return False
    return True
