"""What participants consent to, purpose by purpose, as it is now."""

from __future__ import annotations

import numpy as np

from infra.city.lived import Lived
from infra.city.local_time import utc
from infra.city.population import NEVER
from infra.city.wearables.lines import Lines
from infra.city.wearables.members import PURPOSES, Consents


def add_consents(lived: Lived, consents: Consents, ids: np.ndarray, into: Lines) -> None:
    """A line for each person and purpose that changed in the stretch, as it is now."""
    earliest = 0 if lived.is_history else lived.before_ms
    person, purpose = np.nonzero((consents.updated_ms < NEVER) & (consents.updated_ms >= earliest))
    given, withdrawn = consents.given_ms[person, purpose], consents.withdrawn_ms[person, purpose]
    updated = consents.updated_ms[person, purpose]
    rows = zip(
        ids[person].tolist(),
        [PURPOSES[p] for p in purpose.tolist()],
        _maybe(given),
        _maybe(withdrawn),
        utc(updated),
        strict=True,
    )
    lines = [
        f'{{"participant_id":"{i}","purpose":"{p}","given_at":{g},"withdrawn_at":{w},"updated_at":"{u}"}}'
        for i, p, g, w, u in rows
    ]
    into.add(person * len(PURPOSES) + purpose, updated, person, lines, ids[person].tolist())
    e = {name: values[consents.old :] for name, values in consents.events.items()}
    lived.truth.add(
        "consents",
        participant_id=ids[e["person"]],
        person_id=e["person"],
        purpose=np.array(PURPOSES, dtype=object)[e["purpose"]],
        is_given=e["is_given"] == 1,
        at=e["at"],
        visible_at=e["at"],
    )


def _maybe(ms: np.ndarray) -> list[str]:
    """JSON of instants, null for NEVER."""
    texts = utc(np.where(ms < NEVER, ms, 0))
    return [f'"{t}"' if there else "null" for t, there in zip(texts, (ms < NEVER).tolist(), strict=True)]
