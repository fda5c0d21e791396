"""What a person may write after ``--date``."""

from __future__ import annotations

from datetime import UTC, datetime

from jobs.errors import CitywellError

DEFAULT = "Default: now, which beside the simulated city is what its clock says."


def instant_or_now(text: str | None) -> str:
    """As ``instant``; without a text what time it is for the sources (``infra.city_clock``)."""
    from infra import city_clock
    from jobs.settings import settings

    return instant(text) or city_clock.present(settings()).isoformat()


def instant(text: str | None) -> str | None:
    """ISO 8601 in UTC of a day (its midnight) or an instant; a time without offset is UTC. None stays None."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CitywellError(
            f"{text!r} is not a date", where="--date", do="write 2026-01-31 or 2026-01-31T04:30:00Z"
        ) from None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()
