"""HL7 v2 over MLLP: a listener that acknowledges a message only after it is durably landed.

    python -m jobs.extract.mllp --listen events_north=6661 --listen events_harbour=6662

The way of a message:

    framing   bytes of a connection -> blocks (VT … FS CR), what stands between them, blocks too long to hold
    acks      a block -> whether it is a message, and the answers to it (AA, CA, AE, AR …)
    journal   encrypted, append-only segments below <landing>/mllp/<endpoint>/; fdatasync for many messages at once
    server    asyncio: received -> journalled -> synced -> acknowledged
    handover  sealed segments -> ordinary landing files of a batch, with exact counts

A message that was acknowledged is in the journal; a message whose acknowledgement was lost is there too, and again
when it is sent again: telling resends is the lake's work.
"""

from __future__ import annotations

from jobs.extract.mllp.handover import LandedSegment as LandedSegment
from jobs.extract.mllp.handover import land as land
from jobs.extract.mllp.handover import release as release
from jobs.extract.mllp.journal import Entry as Entry
from jobs.extract.mllp.journal import Kind as Kind
from jobs.extract.mllp.journal import Segment as Segment
from jobs.extract.mllp.journal import entries as entries
from jobs.extract.mllp.journal import journal_dir as journal_dir
from jobs.extract.mllp.journal import seal as seal
from jobs.extract.mllp.journal import sealed as sealed
