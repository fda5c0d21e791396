"""Source definitions: one declarative YAML file per source, read by one frozen model."""

from __future__ import annotations

from jobs.sources.endpoints import AnyEndpoint as AnyEndpoint
from jobs.sources.endpoints import CsvForm as CsvForm
from jobs.sources.endpoints import DatabaseEndpoint as DatabaseEndpoint
from jobs.sources.endpoints import Endpoint as Endpoint
from jobs.sources.endpoints import Feed as Feed
from jobs.sources.endpoints import FhirEndpoint as FhirEndpoint
from jobs.sources.endpoints import FileFeed as FileFeed
from jobs.sources.endpoints import FilesEndpoint as FilesEndpoint
from jobs.sources.endpoints import Hl7Endpoint as Hl7Endpoint
from jobs.sources.endpoints import NoSignIn as NoSignIn
from jobs.sources.endpoints import RestEndpoint as RestEndpoint
from jobs.sources.endpoints import RestFeed as RestFeed
from jobs.sources.endpoints import SecretHeader as SecretHeader
from jobs.sources.endpoints import SmartSignIn as SmartSignIn
from jobs.sources.endpoints import TableFeed as TableFeed
from jobs.sources.model import Checks as Checks
from jobs.sources.model import Source as Source
from jobs.sources.reading import find_endpoint as find_endpoint
from jobs.sources.reading import find_fhir_endpoint as find_fhir_endpoint
from jobs.sources.reading import load as load
from jobs.sources.reading import load_all as load_all
from jobs.sources.reading import load_file as load_file
from jobs.sources.tables import RECORD_COLUMNS as RECORD_COLUMNS
from jobs.sources.tables import Column as Column
from jobs.sources.tables import Consent as Consent
from jobs.sources.tables import Field as Field
from jobs.sources.tables import Limit as Limit
from jobs.sources.tables import Person as Person
from jobs.sources.tables import Table as Table
from jobs.sources.tables import When as When
