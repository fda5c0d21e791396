"""Loading one landed batch: stage, check, judge, merge, publish.

Each step can be killed and run again. What a step has committed is found there by the next run; nothing is visible
before the one transaction at the end, and a batch that fails its checks leaves nothing behind in bronze.

    landed --stage--> staged --check--> checked --judge--> judged --merge, publish--> published
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from jobs.lake import control, engine
from jobs.lake.control import BatchStatus, Receipt
from jobs.lake.load import checking, judging, publishing, staging, stopped
from jobs.lake.load.checking import show_checks as show_checks
from jobs.lake.load.steps import crash_point
from jobs.lake.load.steps import timed as timed
from jobs.lake.load.work import Work


@dataclass(frozen=True)
class Loaded:
    """What became of a batch."""

    batch_id: str
    source: str
    receipts: tuple[Receipt, ...]


def load(batch_id: str) -> Loaded:
    """Load a landed batch; a published one is left as it is.

    Raises CitywellError when the batch has not landed, when its checks fail (the batch is then marked failed and its
    source alone stops), or when its receipts do not balance.
    """
    with control.connect() as conn:
        batch = control.get_batch(conn, batch_id)
        with control.source_lock(conn, batch.source):
            batch = control.get_batch(conn, batch_id)
            if batch.status == "published":
                return Loaded(batch_id, batch.source, tuple(control.receipts(conn, batch_id)))
            try:
                with engine.session(name=f"load {batch.source}") as spark, engine.told(f"batch {batch_id}"):
                    _run(Work.of(spark, conn, batch))
            except Exception as error:
                control.mark_failed(conn, batch_id, stage="load", error=error)
                raise
        return Loaded(batch_id, batch.source, tuple(control.receipts(conn, batch_id)))


def _run(work: Work) -> None:
    """Take the batch as far as it will go. What is absent is told against what is published: under the merge lock."""
    merge_lock = control.lock(work.conn, f"merge {work.source.name}", patience_ms=control.LONG_PATIENCE_MS)
    if work.endpoint.absence_means_deletion:
        with merge_lock:
            stopped.finish_all(work)
            if work.batch.status != "judged":
                _stage_and_check(work, "landed")
            _judge_and_publish(work)
    else:
        _stage_and_check(work, work.batch.status)
        with merge_lock:
            stopped.finish_all(work)
            _judge_and_publish(work)


def _stage_and_check(work: Work, done: BatchStatus) -> None:
    """Stage the entities and check each as soon as it is staged; a batch staged before is checked only.

    What an earlier run staged in part is staged anew: the landing or the declaration may be another by now.
    """
    if done in ("open", "landed", "failed", "staged"):
        validation = checking.begin(work)
        if done == "staged":
            for entity, rows in work.staged().items():
                checking.check(work, validation, entity, rows)
        else:
            work.forget_staged()
            staging.stage(work, validation)
            control.set_status(work.conn, work.batch.batch_id, "staged")
            crash_point("staged")
        checking.accept(work, validation.outcome())
        control.set_status(work.conn, work.batch.batch_id, "checked")
        crash_point("checked")


def _judge_and_publish(work: Work) -> None:
    if work.batch.status == "judged":
        stopped.finish_own(work)
        return
    with ThreadPoolExecutor(1) as beside:
        links = beside.submit(publishing.links_of, work)
        publishing.finish(work, links.result, judging.judge_batch(work))
