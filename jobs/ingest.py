"""One endpoint's records into the lake, in the two steps an orchestrator retries one by one: extract, then load."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from jobs.errors import CitywellError
from jobs.extract import protocols
from jobs.lake import control, landing
from jobs.lake import load as lake_load
from jobs.lake.control import Batch
from jobs.lake.landing import Finding
from jobs.settings import settings
from jobs.sources import FhirEndpoint, find_endpoint

log = logging.getLogger(__name__)

OUTCOMES = ("received", "published", "superseded", "duplicate", "deleted", "unmodelled", "quarantined")


def extract(endpoint_name: str, as_of: str, *, full: bool = False) -> dict[str, Any]:
    """Land one export of ``endpoint_name`` for the logical instant ``as_of`` (ISO 8601).

    full: ask for everything, although the endpoint's exports otherwise bring what came since the last one. Returns
    batch_id, files, whether it is complete, and its findings in words, as they landed; a batch that has gone further
    stays as it is. Raises CitywellError as the endpoint's protocol does, and when ``full`` comes too late for the
    batch; whatever the error, the batch is then marked failed, and a re-run goes on with the same export.
    """
    source, endpoint = find_endpoint(endpoint_name)
    with control.connect() as conn:
        control.migrate(conn)
        with control.source_lock(conn, endpoint_name):
            batch = control.open_batch(
                conn, endpoint_name, _instant(as_of), use_since=endpoint.uses_since and not full
            )
            if full and not batch.is_full:
                raise CitywellError(
                    "A full export was asked for, but this batch has begun with what came since the last one",
                    where=f"batch {batch.batch_id}",
                    do="ask for the full export under another date",
                )
            if batch.status in ("staged", "checked", "judged", "published"):
                return _landed_before(batch)
            try:
                result = protocols.extract(conn, source, endpoint, batch)
            except Exception as error:
                control.mark_failed(conn, batch.batch_id, stage="extract", error=error)
                raise
    for finding in result.findings:
        log.warning("%s: %s", batch.batch_id, finding.message)
    return _summary(batch, len(result.files), result.findings, complete=result.complete)


def load(batch_id: str) -> dict[str, Any]:
    """Load a landed batch, and show its checks in Data Docs; batch_id, source and the sums of its receipts."""
    loaded = _load(batch_id)
    lake_load.show_checks()
    return loaded


def _load(batch_id: str) -> dict[str, Any]:
    loaded = lake_load.load(batch_id)
    sums: Counter[str] = Counter()
    for receipt in loaded.receipts:
        sums.update({name: getattr(receipt, name) for name in OUTCOMES})
    return {"batch_id": batch_id, "source": loaded.source, **{name: sums[name] for name in OUTCOMES}}


def ingest(endpoint_name: str, as_of: str, *, full: bool = False) -> dict[str, Any]:
    """Extract and load; ``full`` as in ``extract``."""
    landed = extract(endpoint_name, as_of, full=full)
    return {**load(landed["batch_id"]), "complete": landed["complete"], "findings": landed["findings"]}


def ingest_each(endpoints: Sequence[str], as_of: str, *, full: bool = False) -> list[dict[str, Any]]:
    """Extract and load endpoints one after another; what fails stops itself alone.

    Returns what ``load`` does, in order. Raises CitywellError at the end that tells all that failed; running it again
    passes over what has been loaded.
    """
    done, failed = [], []
    for name in endpoints:
        try:
            done.append(_load(extract(name, as_of, full=full)["batch_id"]))
        except CitywellError as error:
            log.error("%s: %s", name, error)
            failed.append(error)
        except Exception as error:  # noqa: BLE001 (its text may hold values, and it must not stop the others)
            log.error("%s: unexpected %s", name, type(error).__name__)
            failed.append(_unexpected(name, error))
    lake_load.show_checks()
    if failed:
        raise CitywellError(
            f"{len(failed)} of {len(endpoints)} endpoints failed: "
            + "; ".join(error.what for error in failed),
            where="; ".join(dict.fromkeys(error.where for error in failed)),
            do="; ".join(dict.fromkeys(error.do for error in failed)),
        )
    return done


def loaded(endpoints: Sequence[str], as_of: str) -> list[str]:
    """Those of ``endpoints`` that have been loaded for the logical instant ``as_of``, whatever became of the others."""
    with control.connect() as conn:
        return control.published_of(conn, endpoints, _instant(as_of))


def _unexpected(name: str, error: Exception) -> CitywellError:
    what = f"unexpected {type(error).__name__}"
    return CitywellError(what, where=name, do="look at the task's log, then run again")


def fhir_servers(endpoints: Sequence[str]) -> list[str]:
    """Those of ``endpoints`` that are hospitals' FHIR servers, whose exports take long."""
    return [name for name in endpoints if isinstance(find_endpoint(name)[1], FhirEndpoint)]


def lanes(endpoints: Sequence[str], count: int) -> list[list[str]]:
    """The others in ``count`` lanes of about equal number; none of them empty."""
    servers = set(fhir_servers(endpoints))
    others = [name for name in endpoints if name not in servers]
    return [lane for n in range(count) if (lane := others[n::count])]


def _landed_before(batch: Batch) -> dict[str, Any]:
    """What the landing says of a batch that has gone further."""
    manifest = landing.read_manifest(landing.batch_dir(settings().landing_dir, batch.source, batch.batch_id))
    if manifest is None:
        return _summary(batch, 0, (), complete=bool(batch.is_complete))
    return _summary(batch, len(manifest.files), manifest.findings, complete=manifest.complete)


def _summary(batch: Batch, files: int, findings: Sequence[Finding], *, complete: bool) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "files": files,
        "complete": complete,
        "findings": [finding.message for finding in findings],
    }


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CitywellError(
            "The instant is not ISO 8601", where="as_of", do="write it as 2026-01-31T04:30:00Z"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
