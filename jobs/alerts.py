"""Telling people that something failed: a JSON POST to the webhook, where one is set."""

from __future__ import annotations

import logging

import httpx

from jobs.errors import CitywellError
from jobs.settings import settings

log = logging.getLogger(__name__)
TIMEOUT_S = 10


def failed(*, dag: str, task: str, run: str, error: BaseException | None) -> bool:
    """Whether the failure was told. What an unexpected error says may quote values, so only its type is sent."""
    url = settings().webhook_url
    if url is None:
        return False
    message = {
        "dag": dag,
        "task": task,
        "run": run,
        "error": type(error).__name__,
        "what": "An unexpected error; the task's log has it",
        "where": "",
        "do": "Look at the task's log in Airflow",
    }
    if isinstance(error, CitywellError):
        message |= {"what": error.what, "where": error.where, "do": error.do}
    try:
        httpx.post(url, json=message, timeout=TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as problem:
        log.warning("the webhook could not be told of the failure: %s", type(problem).__name__)
        return False
    return True
