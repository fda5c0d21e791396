"""Entities side by side: results by name, the first error, and nothing begun after it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from jobs.lake.load import steps

ENTITIES = [f"entity{number}" for number in range(6)]


def test_each_entity_has_its_result_and_two_are_at_work_at_once() -> None:
    meeting = threading.Barrier(steps.AT_ONCE, timeout=10)

    def step(entity: str) -> str:
        meeting.wait()
        return entity.upper()

    assert steps.side_by_side(step, ENTITIES) == {entity: entity.upper() for entity in ENTITIES}


def test_an_error_is_raised_when_the_others_have_ended_and_no_more_is_begun() -> None:
    begun, ended = [], []
    failed = threading.Event()

    def step(entity: str) -> None:
        begun.append(entity)
        if entity == ENTITIES[0]:
            failed.set()
            raise ValueError(entity)
        failed.wait(10)
        time.sleep(1)
        ended.append(entity)

    with pytest.raises(ValueError, match=ENTITIES[0]):
        steps.side_by_side(step, ENTITIES)
    assert sorted(begun) == sorted([ENTITIES[0], *ended])
    assert len(begun) < len(ENTITIES)


def test_an_interrupt_begins_no_more_either(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    interrupted = threading.Event()

    def step(entity: str) -> None:
        begun.append(entity)
        interrupted.wait(10)

    def interrupt(*_: Any, **__: Any) -> None:
        threading.Timer(0.2, interrupted.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        steps.side_by_side(step, ENTITIES)
    assert begun == ENTITIES[: steps.AT_ONCE]
