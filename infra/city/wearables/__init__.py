"""The wearables and lifestyle platform: what a quarter of the adults' wristbands, cuffs and scales tell, and who may
use it.

``GET http://HOST:PORT/wearables/v1/<feed>``, one flat JSON object a line (``application/x-ndjson``), with the bearer
token that stands in ``<home>/keys/city_wearables.token`` (made by the simulator if missing, mode 0600).

    updated_since  only lines whose ``updated_at`` is that or later (an instant with its zone); without it all
    limit          lines per page, at most and by default 5,000
    after          the token of the page before
    X-Total-Count  header: lines of all pages. X-Next-After: token of the next page; absent on the last

Pages of one walk show one moment: what the city lives meanwhile is not in them, so the next walk begins with
``updated_since`` = the greatest ``updated_at`` seen. Lines come in the order of ``updated_at``, which is when the
platform got the data (UTC). 400 for a parameter that is none, 401 without the token, 404 for another feed; gzip if
asked for. Faults (see ``faults``) strike it as hospital ``wearables``, where ``download``: too_many, unavailable,
server_error, slow.

    consents        participant_id, purpose (care | research | planning), given_at, withdrawn_at, updated_at: one line
                    per person and purpose, as it is now. Consent holds if given_at is there and withdrawn_at is null;
                    who gives it again gets a new given_at. Who refused has a line without given_at, or none at all
    participants    participant_id, given_name, family_name, birth_date, email, phone, joined_at, updated_at
    daily           participant_id, date, steps, resting_heart_rate (/min), active_minutes, sleep_minutes, diet_score (0
                    to 100), fruit_vegetable_servings, exercise_sessions, exercise_minutes, updated_at
    readings        reading_id, participant_id, kind, systolic and diastolic (blood_pressure) or value (pulse, glucose,
                    weight), unit (mmHg, /min, mmol/L or mg/dL, kg or lb), device, measured_at (with offset), updated_at
    questionnaires  response_id, participant_id, kind (PSS-10 | PHQ-9), item_1 … item_10 (9), null where left out, total
                    as the app computed it, answered_at, updated_at. PSS-10: items of 0 to 4, of which 4, 5, 7 and 8
                    count backwards (4 minus the answer); PHQ-9: items of 0 to 3. The total of a form with items left
                    out is of those answered

    {"participant_id":"p-…","date":"2025-12-31","steps":8123,"resting_heart_rate":61,…,"updated_at":"2026-01-01T06:11:03Z"}
    {"reading_id":"…","participant_id":"p-…","kind":"weight","value":171.4,"unit":"lb","device":"scales",…}

A record is its participant and date, or its reading or response id. History: the last 90 days. A day syncs mostly the
next morning, one in seven some days late, at most twelve. The platform goes on sending what people who withdrew, or
never gave, their consent to ``care`` produce: whoever asks for it has to look at the consents (answer key:
``consents``, ``unconsented``).

**Planted**: sent_twice (the same line again), unit_slip (glucose in the other unit, or weight, than the line says),
wrong_clock (measured in 1970 or a year ahead), incomplete, not_reversed (a PSS-10 total without the backward items
turned).

Values follow from the person: conditions, age, usual pressure, glucose and weight, lasting habits; and before an
unplanned admission from the decline (see ``health``; answer key: ``declines``).

    members    who takes part, consents
    health     decline, ward, recovery
    feeds      the lines
"""

from __future__ import annotations

from infra.city.lived import Lived
from infra.city.wearables.feeds import write_feeds
from infra.city.wearables.members import SOURCE as SOURCE


def live(lived: Lived) -> None:
    """Write what the platform got in a stretch into its segment."""
    write_feeds(lived)
