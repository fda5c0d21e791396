"""Faults at random, in random order, over one small lake: the promises hold after each, and in the end no row differs.

Kills are exceptions at a crash point here, after which everything is opened anew; real ones are in the other modules.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from expectations import docs
from infra.engine.launch import Engine
from infra.stack.postgres import Cluster
from jobs import maintenance
from jobs.errors import CitywellError
from jobs.lake import control, engine, quarantine
from jobs.lake.load import load, steps
from jobs.settings import settings as citywell
from tests.support.exports import random_histories
from tests.support.kills import Killer
from tests.support.lake import Export, TestLake, instant, use_home
from tests.support.promises import assert_balanced_and_checked, assert_promises, contents

FIRST = instant("2026-01-01")
SOURCES = ("hospital_north", "hospital_north", "hospital_north", "hospital_harbour", "hospital_harbour")
"""Endpoint of each delivery. The third brings a record that breaks a rule, to be repaired."""
REJECTED = 2
HISTORIES = 8
POINTS = (
    "stage:patient",
    "staged",
    "validated",
    "checked",
    "judged",
    "record:quality.quarantine",
    "record:silver.person_link",
    "record:quality.receipts",
    "merge:patient",
    "merged",
    "before publish",
    "published",
)
BAD = {"resourceType": "Patient", "id": "bad", "gender": "f"}
REPAIRED = {**BAD, "gender": "female"}
STEPS = 5
Delivery = tuple[str, Export]
deliveries_ = st.integers(0, len(SOURCES) - 1)


class Killed(BaseException):
    """Ends a load on the spot, like a kill, but in this process."""


@cache
def deliveries(history: int) -> tuple[Delivery, ...]:
    """What the endpoints send: versions repeated, late, out of order, deleted and alive again."""
    north = random_histories(history, FIRST, exports=3, people=8)
    harbour = random_histories(history + 1000, FIRST, exports=2, people=5)
    made = [*zip(SOURCES, [*north, *harbour], strict=True)]
    source, export = made[REJECTED]
    lines = [*export.files["Patient"], BAD]
    random.Random(history).shuffle(lines)
    made[REJECTED] = source, Export(export.at, {"Patient": lines}, export.deleted)
    return tuple(made)


def repair(home: Path) -> None:
    """Replay the repaired line of the delivery that brought a bad one."""
    source, export = deliveries(0)[REJECTED]
    file = home / "repaired.ndjson"
    file.write_bytes(msgspec.json.encode(REPAIRED))
    rejected_by = control.batch_id(source, export.at)
    quarantine.replay(source, "Patient", file, batch_id=rejected_by, at=FIRST + timedelta(days=40))


class Faults(RuleBasedStateMachine):
    """One lake; every rule is something that goes wrong, or a delivery."""

    postgres: ClassVar[Cluster]
    engine: ClassVar[Engine]
    killer: ClassVar[Killer]
    expected: ClassVar[dict[int, dict[str, Any]]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(docs, "build", lambda docs_dir: None)
        self.is_repaired = False

    @initialize(history=st.integers(0, HISTORIES - 1))
    def open_lake(self, history: int) -> None:
        self.deliveries = deliveries(history)
        if history not in self.expected:
            lake = self.new_lake()
            for source, export in self.deliveries:
                lake.ingest(source, export)
            repair(lake.home)
            self.expected[history] = contents(timeless=True)
            self.close(lake)
        self.history, self.lake = history, self.new_lake()

    def new_lake(self) -> TestLake:
        home = Path(tempfile.mkdtemp(prefix="citywell-"))
        return use_home(self.patches, home, self.postgres, self.engine.remote)

    def close(self, lake: TestLake) -> None:
        shutil.rmtree(lake.home)
        citywell.cache_clear()

    def batch(self, n: int) -> control.Batch | None:
        source, export = self.deliveries[n]
        with control.connect() as conn, suppress(CitywellError):
            return control.get_batch(conn, control.batch_id(source, export.at))
        return None

    @rule(n=deliveries_)
    def deliver(self, n: int) -> None:
        """In any order, and again."""
        receipts = self.lake.ingest(*self.deliveries[n])
        export = self.deliveries[n][1]
        assert sum(receipt.received for receipt in receipts) == len(export.files["Patient"]) + len(
            export.deleted
        )

    @rule(n=deliveries_, point=st.sampled_from(POINTS))
    def kill(self, n: int, point: str) -> None:
        def die(name: str) -> None:
            if name == point:
                raise Killed

        batch_id = self.lake.land(*self.deliveries[n])
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(steps, "crash_here", die)
            load(batch_id)

    @rule(n=deliveries_, point=st.sampled_from(POINTS))
    def lose_the_engines_session(self, n: int, point: str) -> None:
        opened = []
        connect = engine._connect

        def noted(*address: Any) -> Any:
            opened.append(connect(*address))
            return opened[-1]

        def lose(name: str) -> None:
            if name == point:
                opened[-1].client.release_session()

        batch_id = self.lake.land(*self.deliveries[n])
        with pytest.MonkeyPatch.context() as patch, suppress(Exception):
            patch.setattr(engine, "_connect", noted)
            patch.setattr(steps, "crash_here", lose)
            load(batch_id)

    @rule(n=deliveries_, at=st.floats(0, 1, exclude_max=True))
    def damage_what_landed(self, n: int, at: float) -> None:
        with self.damaged(n, at) as batch_id:
            before = self.batch(n)
            assert before is not None
            if before.status == "published":
                load(batch_id)
            else:
                with pytest.raises(
                    CitywellError, match=r"landed file is|header of a|not a landed|locked with"
                ):
                    load(batch_id)

    @contextmanager
    def damaged(self, n: int, at: float) -> Iterator[str]:
        """One byte of a landed file is another for a while."""
        batch_id = self.lake.land(*self.deliveries[n])
        [file] = (citywell().landing_dir / self.deliveries[n][0] / batch_id).glob("*Patient*")
        sound = file.read_bytes()
        place = int(at * len(sound))
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        yield batch_id
        file.write_bytes(sound)

    @rule(first=deliveries_, second=deliveries_)
    def two_writers(self, first: int, second: int) -> None:
        """Of one endpoint or of two; another run of the same endpoint is refused, and comes again."""
        here, there = (self.lake.land(*self.deliveries[n]) for n in (first, second))
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(self.killer.outcome, "jobs.lake.load.load", there)
            try:
                load(here)
            except CitywellError as refused:
                if "Another run is at work" not in refused.what:
                    raise
        code, said = other.result()
        assert code == 0 or "Another run is at work" in said, said
        for batch_id in (here, there):
            load(batch_id)

    @rule()
    def maintain(self) -> None:
        maintenance.run(datetime.now(UTC))

    @rule()
    def replay(self) -> None:
        batch = self.batch(REJECTED)
        if batch is not None and batch.status == "published" and not self.is_repaired:
            repair(self.lake.home)
            self.is_repaired = True

    @invariant()
    def the_promises_hold(self) -> None:
        assert_balanced_and_checked()

    def teardown(self) -> None:
        try:
            if hasattr(self, "lake"):
                self.a_clean_run_ends_alike()
        finally:
            self.patches.undo()
            citywell.cache_clear()

    def a_clean_run_ends_alike(self) -> None:
        for source, export in self.deliveries:
            self.lake.ingest(source, export)
        self.replay()
        assert_promises()
        assert contents(timeless=True) == self.expected[self.history]
        self.close(self.lake)


def search(number: int, examples: int, **servers: Any) -> None:
    """``examples`` runs of STEPS faults each, drawn by the seed ``number``."""
    machine = seed(number)(type("Seeded", (Faults,), servers))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_few_faults_in_any_order(postgres: Cluster, sail_engine: Engine, killer: Killer) -> None:
    search(0, 2, postgres=postgres, engine=sail_engine, killer=killer)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 9))
def test_many_faults_in_any_order(
    number: int, postgres: Cluster, sail_engine: Engine, killer: Killer
) -> None:
    search(number, 25, postgres=postgres, engine=sail_engine, killer=killer)
