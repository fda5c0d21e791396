"""Great Expectations over staged batches: suites per table, the runner, Data Docs."""

from __future__ import annotations

from expectations.runner import Counts as Counts
from expectations.runner import Validation as Validation
from expectations.runner import ValidationOutcome as ValidationOutcome
from expectations.runner import ValidationRow as ValidationRow
