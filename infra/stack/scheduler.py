"""Airflow's scheduler, with the slow imports of tasks made once: ``python -m infra.stack.scheduler [OPTION …]``.

Workers are forked from the scheduler, and tasks from workers: what is imported here, a task finds imported. A load
would spend five seconds of a core on it. Nothing of Citywell's own is among it: a task runs the code that is there when
it begins. New versions of these packages want the stack down and up again, as new versions of Airflow do.
"""

from __future__ import annotations

import runpy
import sys

import deltalake  # noqa: F401
import great_expectations  # noqa: F401
import pandas  # noqa: F401
import pyspark.sql.connect.session  # noqa: F401

if __name__ == "__main__":
    sys.argv[:1] = ["airflow", "scheduler"]
    runpy.run_module("airflow", run_name="__main__")
