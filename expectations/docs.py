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


def publish(
    docs_dir: Path,
    results: Sequence[ExpectationSuiteValidationResult],
    *,
    batch_id: str,
    checked_at: datetime,
) -> None:
    """Add ``results`` (stripped, one per table) of a batch to the site in ``docs_dir``; rebuild its index."""
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    store_dir = docs_dir.with_name(docs_dir.name + "_store")
    docs_dir.mkdir(parents=True, exist_ok=True)
    store_dir.mkdir(parents=True, exist_ok=True)
    with _turn(store_dir / ".lock"):
        context = _context(docs_dir, store_dir)
        written: list[Any] = []
        for result in results:
            suite_key = ExpectationSuiteIdentifier(result.suite_name)
            run = RunIdentifier(run_name=batch_id, run_time=checked_at)
            result_key = ValidationResultIdentifier(suite_key, run, batch_id)
            suite = ExpectationSuite(result.suite_name)
            configs = [each.expectation_config for each in result.results if each.expectation_config]
            suite.expectations = [config.to_domain_obj() for config in configs]
            context.expectations_store.set(suite_key, suite)
            context.validation_results_store.set(result_key, result)
            written += [suite_key, result_key]
        _forget_oldest(context.validation_results_store)
        context.build_data_docs(resource_identifiers=written)


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


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
