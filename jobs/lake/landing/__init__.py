"""Encrypted landing: the received bytes of a batch, file by file, with a manifest beside them.

Plaintext never touches the disk. ``encrypted`` has the format of a file, ``batch`` what is known of all of them.
"""

from __future__ import annotations

from jobs.lake.landing.batch import MANIFEST as MANIFEST
from jobs.lake.landing.batch import WORKLISTS as WORKLISTS
from jobs.lake.landing.batch import FileKind as FileKind
from jobs.lake.landing.batch import Finding as Finding
from jobs.lake.landing.batch import LandedFile as LandedFile
from jobs.lake.landing.batch import Manifest as Manifest
from jobs.lake.landing.batch import Repaired as Repaired
from jobs.lake.landing.batch import batch_dir as batch_dir
from jobs.lake.landing.batch import expire as expire
from jobs.lake.landing.batch import manifest_of as manifest_of
from jobs.lake.landing.batch import read_manifest as read_manifest
from jobs.lake.landing.batch import with_counts as with_counts
from jobs.lake.landing.batch import write_manifest as write_manifest
from jobs.lake.landing.encrypted import FRAME_SIZE as FRAME_SIZE
from jobs.lake.landing.encrypted import SUFFIX as SUFFIX
from jobs.lake.landing.encrypted import Landed as Landed
from jobs.lake.landing.encrypted import LandingWriter as LandingWriter
from jobs.lake.landing.encrypted import read_frames as read_frames
from jobs.lake.landing.encrypted import stored_size as stored_size
from jobs.lake.landing.encrypted import verify as verify
from jobs.lake.landing.key import LandingKey as LandingKey
from jobs.lake.landing.key import ensure_key as ensure_key
from jobs.lake.landing.key import load_key as load_key
