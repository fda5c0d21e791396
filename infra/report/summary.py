"""The report's figures for a terminal of 80 columns: what ``citywell demo`` ends with.

Its reader runs the installation and can look everything up, so all counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table

from infra.report.model import OUTCOMES, Checked, Estimate, Question, ReportData
from infra.report.show_forecasts import age
from infra.report.show_questions import VERDICTS
from infra.report.wording import hospital, thousands


def summary(data: ReportData) -> Iterator[RenderableType]:
    """One table for each part of the way, in its order; a part that did not come about says so."""
    yield _records(data)
    yield _tables(data)
    yield _checks(data.checks)
    yield _questions(data)
    yield _scores(data)
    yield _forecasts(data)
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


def _questions(data: ReportData) -> Table:
    """What answers each question, and what the gate said of the newest training."""
    if not data.questions:
        return _none("Risk questions", "the models could not be asked")
    table = _table("Risk questions", "version", "AUROC", "95 % interval", "alerts", "newest training")
    table.padding = (0, 1, 0, 0)
    for question in data.questions:
        model = question.model
        auroc = model.metrics.get("auroc") if model else None
        table.add_row(
            question.name,
            model.version if model else "",
            f"{auroc.value:.3f}" if auroc else "",
            _interval(auroc),
            thousands(_alerts(data, question)) if model else "",
            VERDICTS.get(question.verdict, question.verdict),
        )
    return table


def _interval(figure: Estimate | None) -> str:
    return "" if figure is None or figure.low is None else f"{figure.low:.3f} to {figure.high:.3f}"


def _alerts(data: ReportData, question: Question) -> int:
    return sum(row.people for row in data.scored if row.target == question.name and row.band == "high")


def _scores(data: ReportData) -> Table:
    """Scores in force, and what became of those that a hospital is to hear of."""
    table = _table("Scores", "in force", "sent", "refused", "pending")
    written = {row.source: row for row in data.written}
    scored: dict[str, int] = {}
    for row in data.scored:
        scored[row.source] = scored.get(row.source, 0) + row.people
    for source in sorted(scored.keys() | written.keys()):
        states = written.get(source)
        counts = (states.sent, states.refused, states.pending) if states else (0, 0, 0)
        table.add_row(hospital(source), *map(thousands, (scored.get(source, 0), *counts)))
    if data.people_scored:
        table.add_row("[dim]people", thousands(data.people_scored))
    if data.served is not None:
        table.add_row("[dim]serving.risk", f"{thousands(data.served)} rows")
    return table if table.row_count else _none("Scores", "nobody has been scored yet")


def _forecasts(data: ReportData) -> Table:
    if not data.forecasts:
        return _none("Forecasts", "nothing has been forecast yet")
    table = _table("Forecasts", "version", "series", "")
    for forecast in data.forecasts:
        table.add_row(
            forecast.family,
            forecast.model_version,
            thousands(len(forecast.series)),
            age(data.as_of - forecast.issue_at),
        )
    return table


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
