"""Source definitions: one declarative YAML file per source, read by one frozen model."""

from __future__ import annotations

from jobs.sources.model import RECORD_COLUMNS as RECORD_COLUMNS
from jobs.sources.model import Checks as Checks
from jobs.sources.model import Column as Column
from jobs.sources.model import Endpoint as Endpoint
from jobs.sources.model import Limit as Limit
from jobs.sources.model import NoSignIn as NoSignIn
from jobs.sources.model import SmartSignIn as SmartSignIn
from jobs.sources.model import Source as Source
from jobs.sources.model import Table as Table
from jobs.sources.reading import find_endpoint as find_endpoint
from jobs.sources.reading import load as load
from jobs.sources.reading import load_all as load_all
from jobs.sources.reading import load_file as load_file
