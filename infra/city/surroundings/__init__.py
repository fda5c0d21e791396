"""What surrounds the hospitals: the city's weather, air, roads, energy supply and homes, true and as their owners
tell it.

Everything is a function of the city's seed and of time: any stretch of hours or days can be made again at any moment,
at once for many, and is the same however it is asked for. Nothing is stored but who moved when.

    chance       draws without memory                    clock        hours, days, local time, its changes
    weather      the true weather, planted spells        air          the true air at the stations
    traffic      roads, vehicles, speed                  transit      public transport by line and day
    events       incidents, ambulance runs, outages      housing      dwellings, address history, districts by year
    exposure     what people are exposed to, and what it does to them (used by ``simulation``)
    readings     what becomes of true values on their way to an API: gaps, wrong ones, revisions, copies
    listing      what an API holds at a moment           notes        what was planted, for the answer key

How each is served is told in these modules, which are the documentation of the APIs:

    air_feed        /air/v1         JSON, cursor, open
    weather_feed    /weather/v1     JSON, numbered pages, local time, open
    transport_feed  /transport/v1   JSON arrays, Link header, X-Api-Key
    housing_feed    /housing/v1     JSON, cursor, bearer token; names people
    energy          <home>/city/drops/energy/   CSV
    given_air       /beijing/air/v1, /beijing/weather/v1   real readings, ``--air-data DIR``

``updated_since`` (an instant with Z or offset) asks for what changed after it; ``limit`` (``per_page`` of the
weather) is 1,000 unless given and 10,000 at most; ``updated_until`` asks for the state of an earlier moment; every
answer names its own in the header ``X-As-Of``, by the city's clock. What comes late or is put right has the later
``updated_at``, but for late ambulance runs. Errors are ``{"error": "…"}``: 400 for parameters that mean nothing, 401
without the key, 404 for a feed that is not there, and what ``faults`` plants.
"""
