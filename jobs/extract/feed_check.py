"""Trying a source of flat records before relying on it: can each feed be reached, and has it what is declared?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from jobs.errors import CitywellError
from jobs.extract import database, files, rest
from jobs.extract.source_check import Result
from jobs.lake.landing import Finding
from jobs.settings import settings
from jobs.sources import AnyEndpoint, DatabaseEndpoint, FilesEndpoint, RestEndpoint, Source


def check(source: Source, endpoint: AnyEndpoint) -> list[Result]:
    """One result a feed: what is there, what is new, or what is wrong and what to do. Nothing is landed."""
    return list(_results(source, endpoint))


def _results(source: Source, endpoint: AnyEndpoint) -> Iterator[Result]:
    for entity in getattr(endpoint, "feeds", {}):
        table = source.tables[entity]

        def look(entity: str = entity) -> tuple[str, list[Finding]]:
            table = source.tables[entity]
            match endpoint:
                case RestEndpoint():
                    return rest.probe(endpoint, endpoint.feeds[entity], table, settings().keys_dir)
                case FilesEndpoint():
                    return files.probe(endpoint, endpoint.feeds[entity], table, Path(endpoint.directory))
                case DatabaseEndpoint():
                    return database.probe(endpoint, endpoint.feeds[entity], table, settings().secrets_dir)
            raise AssertionError(endpoint.protocol)

        yield _tried(table.resource, look)


def _tried(step: str, look: Callable[[], tuple[str, list[Finding]]]) -> Result:
    try:
        words, findings = look()
    except CitywellError as error:
        return Result(step, "wrong", error.what, error.do)
    if findings:
        return Result(
            step, "warning", findings[0].message, "declare what is needed; the rest stays out of the lake"
        )
    return Result(step, "good", words)
