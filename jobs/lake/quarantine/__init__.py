"""Rejected records: what was rejected and why, a defect report for the sender, repairing and replaying.

Quarantine names file, line, keyed hash, rule and reason; the values stay in landing, and a repaired record comes back
through the same door as any other. Once it is accepted the receipt of its first file says so (``repaired``).

    looking    what is there, by rule and one by one
    report     what the sender gets to know
    repair     from a worklist in the landing zone back into the lake
"""

from __future__ import annotations

from jobs.lake.quarantine.looking import COLUMNS as COLUMNS
from jobs.lake.quarantine.looking import RuleCount as RuleCount
from jobs.lake.quarantine.looking import by_rule as by_rule
from jobs.lake.quarantine.looking import records as records
from jobs.lake.quarantine.repair import repair as repair
from jobs.lake.quarantine.repair import replay as replay
from jobs.lake.quarantine.repair import write_worklist as write_worklist
from jobs.lake.quarantine.report import REPORT_COLUMNS as REPORT_COLUMNS
from jobs.lake.quarantine.report import write_report as write_report
