"""What a person watches: services coming up, the tasks of a run. Without a terminal, one line for each change."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from infra.airflow_client import DagRun, TaskRun
from infra.stack.lifecycle import Phase

MARKS = {"ready": "[green]●", "failed": "[red]✗", "stopped": "[dim]○", "waiting": "[dim]·"}
TASK_MARKS = {"success": "[green]●", "failed": "[red]✗", "upstream_failed": "[red]·", "skipped": "[dim]○"}


class StackBoard:
    """One line for each service, with its phase and the seconds it took."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._rows: dict[str, tuple[Phase, str]] = {}
        self._since: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def report(self, service: str, phase: Phase, detail: str) -> None:
        """Takes what ``infra.stack.lifecycle`` tells, from any thread."""
        if phase == "remark":
            self.console.print(f"{service}: {detail}")
            return
        with self._lock:
            now = time.monotonic()
            if phase in ("starting", "stopping") and self._rows.get(service, ("",))[0] != phase:
                self._since[service] = now
            self._took[service] = now - self._since.get(service, now)
            self._rows[service] = (phase, detail)
            if not self.console.is_terminal:
                self.console.print(f"{service:<10}{phase:<10}{self._took[service]:5.1f} s  {detail}".rstrip())

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        with self._lock:
            for service, (phase, detail) in self._rows.items():
                is_moving = phase in ("starting", "stopping")
                mark = Spinner("dots") if is_moving else Text.from_markup(MARKS[phase])
                took = time.monotonic() - self._since[service] if is_moving else self._took[service]
                words = f"after {detail}" if phase == "waiting" and detail else detail
                table.add_row(mark, service, phase, f"{took:5.1f} s" if took else "", f"[dim]{words}")
        return table


class RunBoard:
    """The tasks of a DAG run, as they come and go."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._told: dict[tuple[str, str, int], str] = {}
        self._shown: tuple[DagRun, list[TaskRun]] | None = None
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def changed(self, run: DagRun, tasks: list[TaskRun]) -> None:
        """Takes what ``AirflowClient.watch`` tells."""
        self._shown = (run, tasks)
        if self.console.is_terminal:
            return
        for task in tasks:
            key = (run.run_id, task.task_id, task.map_index)
            if task.state != self._told.get(key) and task.state in (*TASK_MARKS, "running", "up_for_retry"):
                self._told[key] = task.state
                self.console.print(f"{run.dag_id}: {escape(task.label)} {task.state}{_seconds(task)}")

    def succeeded(self, run: DagRun, address: str) -> None:
        """Leaves one line for a run that is done."""
        self._shown = None
        self.console.print(
            f"[green]●[/] {run.dag_id} succeeded in {run.seconds or 0:.0f} s  [dim]{address}", soft_wrap=True
        )

    def _table(self) -> RenderableType:
        if self._shown is None:
            return Spinner("dots")
        run, tasks = self._shown
        table = Table.grid(padding=(0, 2))
        for task in tasks:
            mark = (
                Spinner("dots")
                if task.state == "running"
                else Text.from_markup(TASK_MARKS.get(task.state, "·"))
            )
            table.add_row(" ", mark, escape(task.label), task.state, _seconds(task))
        return Group(Text(run.dag_id, style="bold"), table)


def _seconds(task: TaskRun) -> str:
    return f" {task.seconds:.1f} s" if task.seconds is not None else ""
