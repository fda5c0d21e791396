"""Airflow's scheduler, with what tasks are slow to import imported once: ``python -m infra.stack.scheduler [OPTION …]``.

Workers are forked from the scheduler, and tasks from workers: what is imported here, a task finds imported. A load would
spend five seconds of a core on it. Nothing of Citywell's own is among it: a task runs the code that is there when it
begins.
"""

from __future__ import annotations

import sys

import deltalake  # noqa: F401
import great_expectations  # noqa: F401
import pandas  # noqa: F401
import pyspark.sql.connect.session  # noqa: F401
from airflow.__main__ import main

if __name__ == "__main__":
    sys.argv[:1] = ["airflow", "scheduler"]
    main()
