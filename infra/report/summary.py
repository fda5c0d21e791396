"""The report's figures for a terminal of 80 columns: what ``citywell demo`` ends with.

Its reader runs the installation and can look everything up, so all counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table

from infra.report.model import OUTCOMES, Checked, Model, ReportData
from infra.report.page import METRIC_NAMES, estimate, hospital, thousands


def summary(data: ReportData) -> Iterator[RenderableType]:
    """One table for each part of the way, in its order; a part that did not come about says so."""
    yield _records(data)
    yield _tables(data)
    yield _checks(data.checks)
    yield _model(data.model)
    yield _scores(data)
    yield _stages(data)


def _table(title: str, *numbers: str) -> Table:
    """A table whose first column is named by its title, the others hold figures."""
    table = Table(title, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _records(data: ReportData) -> Table:
    """Received is what the columns after it add up to; an outcome that nothing had is left out."""
    counted = [name for name in OUTCOMES if any(getattr(flow, name) for flow in data.flows)]
    table = _table("Records", "received", *counted)
    table.padding = (0, 1, 0, 0)
    sources = sorted({flow.source for flow in data.flows})
    for heading, own in [*((hospital(name), {name}) for name in sources), ("[bold]all", set(sources))]:
        flows = [flow for flow in data.flows if flow.source in own]
        table.add_row(
            heading,
            *(thousands(sum(getattr(flow, name) for flow in flows)) for name in ("received", *counted)),
        )
    return table


def _tables(data: ReportData) -> Table:
    table = _table("Tables", "rows", "version")
    for name, rows in sorted(data.tables.items()):
        table.add_row(name, thousands(rows), str(data.versions[name]))
    return table if data.tables else _none("Tables", "nothing is published yet")


def _checks(checks: Sequence[Checked]) -> Table:
    table = _table("Checks of the newest batches", "passed", "failed", "warnings")
    for source in sorted({check.source for check in checks}):
        own = [check for check in checks if check.source == source]
        failed, warnings = sum(c.failed for c in own), sum(c.warnings for c in own)
        passed = sum(c.checks for c in own) - failed - warnings
        table.add_row(hospital(source), *map(thousands, (passed, failed, warnings)))
    return table if checks else _none("Checks", "none have run yet")


def _model(model: Model | None) -> Table:
    if model is None:
        return _none("Model", "no model has passed the gate yet, so nobody is scored")
    title = f"Model {model.name}, version {model.version} ({model.family})"
    table = _table(title, "95 % interval")
    table.columns[1].justify = "left"
    table.add_row(
        f"held-out discharges {thousands(model.cases)}, with the event {thousands(model.events)}", ""
    )
    if model.threshold is not None:
        table.add_row(f"decisions at a risk of {model.threshold:.3f}", "")
    for name, figure in model.metrics.items():
        value, _, interval = estimate(figure).partition(" ")
        table.add_row(f"{METRIC_NAMES.get(name, name):<26}{value:>7}", interval.strip("()"))
    return table


def _scores(data: ReportData) -> Table:
    table = _table("Scores", "people scored", "scores sent", "refused", "pending")
    written = {row.source: row for row in data.written}
    scored: dict[str, int] = {}
    for row in data.scored:
        scored[row.source] = scored.get(row.source, 0) + row.people
    for source in sorted(scored.keys() | written.keys()):
        states = written.get(source)
        counts = (states.sent, states.refused, states.pending) if states else (0, 0, 0)
        table.add_row(hospital(source), *map(thousands, (scored.get(source, 0), *counts)))
    if data.served is not None:
        table.add_row("[dim]serving.risk", f"{thousands(data.served)} rows")
    return table if table.row_count else _none("Scores", "nobody has been scored yet")


def _stages(data: ReportData) -> Table:
    table = _table("Seconds", "")
    for name, took in data.stages.items():
        table.add_row(name, f"{took:,.1f}")
    table.add_row("[bold]all", f"[bold]{sum(data.stages.values()):,.1f}")
    return table


def _none(title: str, why: str) -> Table:
    table = _table(title)
    table.add_row(f"[dim]{why}")
    return table
