"""What the stack consists of follows from the source definitions of the installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.city.__main__ import parser
from infra.city.messages.voices import VOICES
from infra.stack.model import Program
from infra.stack.services import services
from infra.stack.status import status
from jobs.settings import Settings
from jobs.sources import reading

EVENTS = "hospital_events.yml"
EXAMPLE = """endpoints:
  events_example:
    description: Example Hospital, whose messages nobody here makes up.
    port_offset: 4
    patient_system: https://example.org/mrn
    visit_system: https://example.org/visit
    time_zone: UTC
"""


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The definition of an installation's senders of HL7 messages, its only one: a test may change it."""
    declared = (reading.DIRECTORY / EVENTS).read_text()
    monkeypatch.setattr(reading, "DIRECTORY", tmp_path)
    path = tmp_path / EVENTS
    path.write_text(declared)
    return path


def programs(home: Path) -> dict[str, Program]:
    return {
        program.name: program for service in services(Settings(home=home)) for program in service.programs
    }


def senders(city: Program) -> set[str]:
    """Whose messages the city is told to send; it takes its command."""
    assert city.command[1:3] == ["-m", "infra.city"]
    return {sender for sender, _ in parser().parse_args(city.command[3:]).hl7}


def test_the_city_plays_no_sender_but_its_own(events: Path, tmp_path: Path) -> None:
    events.write_text(events.read_text().replace("endpoints:\n", EXAMPLE))
    stack = programs(tmp_path)
    assert senders(stack["city"]) == {voice.name for voice in VOICES}
    assert len(stack["listener"].ports) == len(VOICES) + 1
    assert any(word.startswith("events_example=") for word in stack["listener"].command)


def test_where_nobody_sends_over_mllp_there_is_no_listener(events: Path, tmp_path: Path) -> None:
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(line for line in lines if "port_offset" not in line))
    stack = programs(tmp_path)
    assert senders(stack["city"]) == set()
    assert "listener" not in stack
    assert [program.name for program in status(Settings(home=tmp_path))] == list(stack)
