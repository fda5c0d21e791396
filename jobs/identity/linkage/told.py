"""What hospitals tell of who is one person: merges (ADT A34, A40), unlinks (A37) and links of FHIR Patients.

    silver.hospital_events__admission, silver.hospital__patient --read--> sayings, patients by their numbers
    --verdicts--> by pair of patients what is told of it now --settling.tell--> vault.link_told, person_link, link_audit

What is told is found anew from the published current records in every run, so it does not matter in which order, how
often or in how many batches they came, and a message that is repaired or withdrawn takes its word with it. A number
that no patient has (yet) waits in its message.

Of a pair the newest word stands, by the time of the event. An unlink takes back the merge that was told before it: the
pair is as if nothing had been told. Without a merge before it says that the two are apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import SparkSession

from jobs.identity.linkage.clusters import pair_key
from jobs.identity.linkage.stored import PairKey, Told, ToldVerdict
from jobs.lake import catalog, control, engine
from jobs.silver.hl7v2 import MERGES, UNLINKS

MESSAGES, PATIENTS, RECEIVED = (
    "silver.hospital_events__admission",
    "silver.hospital__patient",
    "bronze.hospital__patient",
)
LINK = "Patient.link"
"""Kind of what a patient's record says; of a message it is its trigger."""
_NOBODY = "#"
"""Before a number that no patient has."""

_SAID = f"""
    select
        admission_key as key, source, trigger as kind, patient_key as one, other, valid_from as at, version_at,
        content_hash
    from {MESSAGES}
        lateral view explode(prior_patient_keys) exploded as other
    where trigger in {MERGES + UNLINKS} and not is_deleted and not is_entered_in_error
"""  # noqa: S608
_LINKED = f"""
    select
        patient_key as key, source, '{LINK}' as kind, patient_key as one, other, version_at as at, version_at,
        content_hash
    from {PATIENTS}
        lateral view explode(linked_keys) exploded as other
    where not is_deleted and not is_entered_in_error
"""  # noqa: S608
_NUMBERED = f"""
    with
    known as (select patient_key, identifier_keys, is_deleted or is_entered_in_error as is_gone from {PATIENTS}),
    -- A record that was given up and deleted goes by the numbers that it had last.
    earlier as (
        select
            received.patient_key, received.identifier_keys,
            row_number() over (
                partition by received.patient_key
                order by received.version_at desc, received.version_number desc, received.content_hash desc
            ) as place
        from {RECEIVED} as received
        inner join known on received.patient_key = known.patient_key and known.is_gone
        where received.rule is null and not received.is_deleted and not received.is_entered_in_error
    ),
    named as (
        select patient_key, identifier_keys from known where not is_gone
        union all
        select patient_key, identifier_keys from earlier where place = 1
    ),
    numbered as (
        select patient_key, number from named lateral view explode(identifier_keys) exploded as number
        union all
        select patient_key, patient_key as number from known
    )
    select distinct numbered.number, numbered.patient_key
    from numbered
    inner join asked on numbered.number = asked.number
"""  # noqa: S608


class Saying(NamedTuple):
    """That two are one person (``is_merge``), or not after all. one, other: pseudonyms of numbers or of patients. at:
    when it came about; ``order`` tells which of two of one instant is the newer. source, kind, key: who said it, by
    what, in which message or record."""

    one: str
    other: str
    is_merge: bool
    at: datetime
    order: tuple[datetime, str, str]
    source: str
    kind: str
    key: str


@dataclass(frozen=True)
class Heard:
    """sayings: all that stand. patients: of the numbers they name, whose they are; a number that is not there is
    nobody's yet."""

    sayings: Sequence[Saying]
    patients: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Verdicts:
    """told: by pair of patients. waiting: numbers of standing merges that no patient has."""

    told: Mapping[PairKey, Told]
    waiting: int


def read(conn: control.Connection) -> Heard:
    """What the published records say. Raises CitywellError when the engine does not answer."""
    versions = control.current_versions(conn)
    wanted = {name: versions[name] for name in (MESSAGES, PATIENTS, RECEIVED) if name in versions}
    if PATIENTS not in wanted:
        return Heard((), {})
    hidden = [batch.batch_id for batch in control.unpublished(conn)]
    with engine.session(name="linkage") as spark:
        catalog.register(spark, wanted, hidden)
        said = [query for name, query in ((MESSAGES, _SAID), (PATIENTS, _LINKED)) if name in wanted]
        sayings = [_saying(row) for query in said for row in spark.sql(query).toArrow().to_pylist()]
        return Heard(sayings, patients_of(spark, {key for one in sayings for key in (one.one, one.other)}))


def patients_of(spark: SparkSession, numbers: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Whose these numbers are, or were last; those that are patients' keys themselves, too. Of tables registered in
    ``spark``."""
    asked = pa.table({"number": pa.array(sorted(numbers), pa.string())})
    if not asked.num_rows:
        return {}
    spark.createDataFrame(asked).createOrReplaceTempView("asked")
    found: dict[str, list[str]] = {}
    for row in spark.sql(_NUMBERED).toArrow().to_pylist():
        found.setdefault(row["number"], []).append(row["patient_key"])
    return found


def _saying(row: Mapping[str, Any]) -> Saying:
    order = (row["version_at"], row["content_hash"], row["key"])
    is_merge = row["kind"] not in UNLINKS
    return Saying(
        row["one"], row["other"], is_merge, row["at"], order, row["source"], row["kind"], row["key"]
    )


def verdicts(heard: Heard) -> Verdicts:
    """What is told of each pair of patients. Sayings in any order, and repeated, give the same."""
    said: dict[PairKey, list[Saying]] = {}
    for saying in sorted(set(heard.sayings), key=lambda one: (one.at, one.order, one.other)):
        ones, others = (heard.patients.get(key) or [_NOBODY + key] for key in (saying.one, saying.other))
        for pair in {pair_key(*both) for both in product(ones, others) if both[0] != both[1]}:
            said.setdefault(pair, []).append(saying)
    told = {pair: _verdict(sayings) for pair, sayings in said.items()}
    known = {pair: word for pair, word in told.items() if not any(map(_is_nobody, pair))}
    merged = {pair: word for pair, word in told.items() if word.verdict == "link"}
    waiting = {key for pair in merged for key in pair if _is_nobody(key)}
    return Verdicts({**dict(_by_way_of_nobody(merged)), **known}, len(waiting))


def _verdict(sayings: Sequence[Saying]) -> Told:
    """sayings: of one pair, oldest first. Of several that say the same in a row the first counts."""
    first = next(
        said
        for place, said in enumerate(sayings)
        if all(later.is_merge == said.is_merge for later in sayings[place:])
    )
    verdict: ToldVerdict = "link" if first.is_merge else "none" if sayings[0].is_merge else "apart"
    return Told(verdict, first.at, first.source, first.kind, first.key)


def _by_way_of_nobody(merged: Mapping[PairKey, Told]) -> Iterator[tuple[PairKey, Told]]:
    """Patients that were merged with one number, or with several that were merged, are one person though nobody has the
    number."""
    beside: dict[str, dict[str, Told]] = {}
    for (one, other), word in merged.items():
        beside.setdefault(one, {})[other] = word
        beside.setdefault(other, {})[one] = word
    seen: set[str] = set()
    for start in sorted(filter(_is_nobody, beside)):
        reached: dict[str, Told] = {}
        waiting = [start]
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            for key, word in beside[number].items():
                if _is_nobody(key):
                    waiting.append(key)
                elif key not in reached or word.told_at > reached[key].told_at:
                    reached[key] = word
        first, *others = sorted(reached) or [""]
        yield from ((pair_key(first, other), reached[other]) for other in others)


def _is_nobody(key: str) -> bool:
    return key.startswith(_NOBODY)
