"""Data Docs: the checks and their results as a static site, kept over the batches.

Great Expectations builds the index from its stores, so suites and results are kept beside the site, already
stripped of everything that could be a value. Several batches may end at once: a file lock makes them take
turns.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

RESULTS_KEPT = 120
"""Validation results listed in the index; building it reads each of them."""


def keep(
    docs_dir: Path,
    results: Sequence[ExpectationSuiteValidationResult],
    *,
    batch_id: str,
    checked_at: datetime,
) -> None:
    """Keep ``results`` (stripped, one per table) of a batch for the site in ``docs_dir``; ``build`` shows them."""
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    with _stores(docs_dir) as context:
        for result in results:
            suite_key = ExpectationSuiteIdentifier(result.suite_name)
            run = RunIdentifier(run_name=batch_id, run_time=checked_at)
            suite = ExpectationSuite(result.suite_name)
            configs = [each.expectation_config for each in result.results if each.expectation_config]
            suite.expectations = [config.to_domain_obj() for config in configs]
            context.expectations_store.set(suite_key, suite)
            key = ValidationResultIdentifier(suite_key, run, batch_id)
            result.meta["run_id"] = run
            context.validation_results_store.set(key, result)


def build(docs_dir: Path) -> None:
    """Add the results kept since the last build to the site in ``docs_dir``, and rebuild its index.

    What a run kept that was killed before it had built is shown by the next one. Without such results Great
    Expectations is not even imported.
    """
    if not _unseen(docs_dir):
        return
    with _stores(docs_dir) as context:
        _forget_oldest(context.validation_results_store)
        unseen = _unseen(docs_dir)
        keys = [
            key
            for key in context.validation_results_store.list_keys()
            if Path(*key.to_tuple()[:-1], f"{key.to_tuple()[-1]}.json") in unseen
        ]
        suites = list({key.expectation_suite_identifier for key in keys})
        context.build_data_docs(resource_identifiers=suites + keys)


def _unseen(docs_dir: Path) -> set[Path]:
    """The kept results without a page, as paths in their store: a page has the path of its result."""
    kept, shown = _store_dir(docs_dir) / "validations", docs_dir / "validations"
    results = {file.relative_to(kept) for file in kept.rglob("*.json")}
    pages = {page.relative_to(shown).parent / f"{page.stem}.json" for page in shown.rglob("*.html")}
    return results - pages


def _store_dir(docs_dir: Path) -> Path:
    return docs_dir.with_name(docs_dir.name + "_store")


@contextmanager
def _stores(docs_dir: Path) -> Iterator[Any]:
    """Great Expectations over the site's stores, one at a time."""
    store_dir = _store_dir(docs_dir)
    docs_dir.mkdir(parents=True, exist_ok=True)
    store_dir.mkdir(parents=True, exist_ok=True)
    with (store_dir / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield _context(docs_dir, store_dir)


def _context(docs_dir: Path, store_dir: Path) -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    config = DataContextConfig(store_backend_defaults=InMemoryStoreBackendDefaults(), analytics_enabled=False)
    for store, folder in (
        ("expectations_store", "expectations"),
        ("validation_results_store", "validations"),
    ):
        config.stores[store]["store_backend"] = {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(store_dir / folder),
        }
    config.data_docs_sites = {
        "citywell": {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(docs_dir),
            },
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
    }
    return gx.get_context(mode="ephemeral", project_config=config)


def _forget_oldest(store: Any) -> None:
    """Drop all but the newest results; the next index drops their pages."""
    keys = sorted(store.list_keys(), key=lambda key: key.run_id.run_time, reverse=True)
    for key in keys[RESULTS_KEPT:]:
        store.remove_key(key)
