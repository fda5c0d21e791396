"""The control database: batches, export jobs, landed files, watermarks, receipts and publications.

A batch goes open -> landed -> staged -> checked -> judged -> published, or failed from anywhere before
judged. What it wrote becomes visible by ``publish``: one transaction that records table versions, receipts
and watermark together. Readers take their table versions from ``current_versions`` and so never see half a
batch.

Functions take an autocommit connection (``connect``) and open the transactions they need.
"""

from __future__ import annotations

from jobs.lake.control.batch import Batch as Batch
from jobs.lake.control.batch import BatchStatus as BatchStatus
from jobs.lake.control.batch import batch_id as batch_id
from jobs.lake.control.batch import batches as batches
from jobs.lake.control.batch import get_batch as get_batch
from jobs.lake.control.batch import mark_failed as mark_failed
from jobs.lake.control.batch import open_batch as open_batch
from jobs.lake.control.batch import published_of as published_of
from jobs.lake.control.batch import set_judged as set_judged
from jobs.lake.control.batch import set_landed as set_landed
from jobs.lake.control.batch import set_status as set_status
from jobs.lake.control.batch import take_back as take_back
from jobs.lake.control.batch import unpublished as unpublished
from jobs.lake.control.database import DATABASE as DATABASE
from jobs.lake.control.database import LOCK_PATIENCE_MS as LOCK_PATIENCE_MS
from jobs.lake.control.database import LONG_PATIENCE_MS as LONG_PATIENCE_MS
from jobs.lake.control.database import ROLE as ROLE
from jobs.lake.control.database import Connection as Connection
from jobs.lake.control.database import connect as connect
from jobs.lake.control.database import lock as lock
from jobs.lake.control.database import migrate as migrate
from jobs.lake.control.database import source_lock as source_lock
from jobs.lake.control.export import ExportJob as ExportJob
from jobs.lake.control.export import JobState as JobState
from jobs.lake.control.export import forget_files as forget_files
from jobs.lake.control.export import landed_files as landed_files
from jobs.lake.control.export import last_job as last_job
from jobs.lake.control.export import record_file as record_file
from jobs.lake.control.export import save_job as save_job
from jobs.lake.control.export import seen_files as seen_files
from jobs.lake.control.marks import Watermark as Watermark
from jobs.lake.control.marks import newest_transaction as newest_transaction
from jobs.lake.control.marks import seen_until as seen_until
from jobs.lake.control.marks import watermark as watermark
from jobs.lake.control.publication import Publication as Publication
from jobs.lake.control.publication import current_versions as current_versions
from jobs.lake.control.publication import is_published as is_published
from jobs.lake.control.publication import newest_instant as newest_instant
from jobs.lake.control.publication import publications as publications
from jobs.lake.control.publication import publish as publish
from jobs.lake.control.publication import publish_tables as publish_tables
from jobs.lake.control.receipt import Receipt as Receipt
from jobs.lake.control.receipt import Repair as Repair
from jobs.lake.control.receipt import check_receipts as check_receipts
from jobs.lake.control.receipt import receipts as receipts
from jobs.lake.control.receipt import repairs as repairs
from jobs.lake.control.receipt import save_repairs as save_repairs
