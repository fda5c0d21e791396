"""The city simulator: hospitals and city systems that cannot be told from real ones, and the truth about them kept
aside.

    python -m infra.city serve [--host --port --home --population --seed --years --hospital-data DIR …]
    python -m infra.city make …           makes or continues the city and leaves

Beside the hospitals there are pharmacies (``pharmacies``), a wearables platform (``wearables``) and what hospitals
report of their means (``resources``); each package says what it serves.

Each hospital is a FHIR R4 server at ``http://HOST:PORT/<name>/fhir``: SMART Backend Services sign-in, Bulk Data
Access v2 export of everything, of patients and of a group of them (``Group/diabetes/$export``, and the other keys of
``vocabulary.CHRONIC``), at ``north`` with version 3's partial manifests, and ``RiskAssessment`` to write and read.
``north``, ``harbour`` and ``university`` are generated, each with its own habits (``habits``); ``given`` serves a
directory of NDJSON (``--hospital-data``, alone with ``--only-given``).

The three also speak HL7 v2, as does the city's laboratory (``messages``): the last two weeks of the history as batch
files in ``<home>/city/drops/hl7/<sender>/``, what is lived later over MLLP to the listener of ``--hl7
SENDER=HOST:PORT`` (north, harbour, university, laboratory).

Around them: ``/air/v1``, ``/weather/v1``, ``/transport/v1`` and ``/housing/v1`` at the same port, files of the energy
supply in ``<home>/city/drops/energy``, and real air readings below ``/beijing`` (``--air-data DIR``); see
``surroundings``. The keys of the transport and housing API are made in ``<home>/keys/city_transport.key`` and
``city_housing.token`` if they are missing.

State lives in ``<home>/city``; a city that exists is continued, with the same clock and the same data. Public keys of
the one client, ``citywell``, are read from ``<home>/keys/fhir_<source>.jwks.json``.

The clock stands still until it is advanced. These answer to loopback addresses only, but for the first:

    GET    /city/clock                      {"now": "2026-01-01T00:00:00Z"}
    GET    /city/status                     clock, number of people, hospitals, HL7 messages sent and unsent
    POST   /city/advance   {"days": 1}      lives so many days (0 to 366); answers with the clock
    POST   /city/drift     {"renamed_from": "2026-01-05"}   columns of pharmacies' files change, see ``pharmacies``
    GET    /city/faults                     faults in force; POST adds, DELETE removes: see ``faults``

How it is made, in the order of the way:

    options      what a city is made from
    vocabulary   codes, words, name parts
    population   people: arrays, one element each, and their identifiers, hashes of seed and number
    constitution what people are like for good: phenotype, neighbourhood, smoking, build, frailty, usual values
    hazards      the rates at which people visit, are admitted, fall ill and die, and what they depend on
    undiagnosed  lung cancer and tuberculosis before the diagnosis, and what visits tell of them
    rhythms      weekdays, public holidays, hours, the respiratory season
    places       the map: postal sectors, districts, hospitals, pharmacies, stations
    surroundings weather, air, roads, energy, homes: true, and as they are served; what they do to people
    unusual      outbreaks, facility_days (closed and crowded emergency departments), opioid_buyers; when: rare
    simulation   the calendar, a day at a time, vectorised over people
    admissions   inpatient stays, and how the drawn outcome and the label in the data agree
    risk         the true 30-day readmission risk, and why it has that form
    true_risks   the true risks of everybody at the beginning of each quarter
    clinical     from encounters to conditions, measurements, prescriptions, vaccinations, procedures
    dirt         what goes wrong in the feed
    wards        which ward a stay or visit is on
    scribe, records, observations, fhir_json   FHIR resources as lines, in each hospital's manner
    segment      one stretch of calendar as lines, with versions, deletions, dirt and notes for the answer key
    store        segments on disk and what an export of them contains
    messages     what hospitals and a laboratory say of it in HL7 v2, and the senders
    answer_key   what is true, as parquet outside of what is served
    systems      the systems beside the hospitals, from what has been lived (lived) to what others get: files (drops),
                 their part of the answer key (truth), and that of people (people_notes)
    pharmacies   a chain's PostgreSQL, and the files of two pharmacies
    wearables    a platform of wristbands and home devices, with consents
    resources    files of beds, staff, devices, drug stock and operating rooms
    city         all of it: opened, continued, advanced
    hospitals    what an export of a generated or a given hospital consists of
    smart, bulk, risk_assessment, capability, outcomes, faults, web   the servers

An admission-rich cohort of more than 16,000 discharges: ``--population 8000 --admission-rich``.

What a real city has and this one has not: admission through an emergency encounter of its own (a stay that came that
way has ``admitSource`` emd instead), readmission to another hospital, ``_typeFilter``.
"""
