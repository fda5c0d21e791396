"""The table contract: the only package, dbt aside, that writes Delta tables.

Every verb behaves the same on Sail and on Apache Spark and is one Delta commit: whoever is killed in the
middle leaves the previous version readable, and running again converges. A table ``schema.table`` lives at
``<lake>/<schema>/<table>``; ``lake`` defaults to ``settings().lake_dir``.

Choices that keep the engines equal:

* Tables are created by delta-rs with an all-nullable schema. Each engine infers nullability its own way, and
  a table that says ``not null`` deep in a struct cannot be merged into by the other.
* Of two writers that overlap, one wins and the other raises :class:`LostRace`. Sail compares whole tables, so
  there two slices of one table already overlap. :func:`append_batch` is the exception: batches of different
  sources are appended side by side, and a batch that was appended twice is noticed and put right.
* Tables that are merged into carry deletion vectors: a changed record marks its old row instead of rewriting
  the file around it. delta-rs takes the files of those vectors for rubbish when it vacuums, so vacuum through
  :func:`maintain` only.
* Columns are compared with the table's before anything is written, because Sail drops an unknown column
  silently.
* Values of a slice are checked inside the written query, because Sail writes rows outside ``replaceWhere``
  silently.
"""

from __future__ import annotations

from jobs.lake.tables.evolving import fit as fit
from jobs.lake.tables.merging import merge_newest as merge_newest
from jobs.lake.tables.names import Value as Value
from jobs.lake.tables.names import path_of as path_of
from jobs.lake.tables.reading import KEY_HASH as KEY_HASH
from jobs.lake.tables.reading import TABLE_PROPERTIES as TABLE_PROPERTIES
from jobs.lake.tables.reading import columns as columns
from jobs.lake.tables.reading import create as create
from jobs.lake.tables.reading import exists as exists
from jobs.lake.tables.reading import read as read
from jobs.lake.tables.reading import read_all as read_all
from jobs.lake.tables.reading import version as version
from jobs.lake.tables.slices import BATCH_COLUMN as BATCH_COLUMN
from jobs.lake.tables.slices import append_batch as append_batch
from jobs.lake.tables.slices import delete_slice as delete_slice
from jobs.lake.tables.slices import replace_slice as replace_slice
from jobs.lake.tables.soundness import Damage as Damage
from jobs.lake.tables.soundness import check as check
from jobs.lake.tables.soundness import damaged as damaged
from jobs.lake.tables.soundness import mend as mend
from jobs.lake.tables.upkeep import RETENTION_HOURS as RETENTION_HOURS
from jobs.lake.tables.upkeep import Commit as Commit
from jobs.lake.tables.upkeep import history as history
from jobs.lake.tables.upkeep import maintain as maintain
from jobs.lake.tables.views import create_views as create_views
from jobs.lake.tables.writing import LostRace as LostRace
from jobs.lake.tables.writing import retrying as retrying
