"""An extraction killed at any point and run again goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bulk_files import PATIENT_FILE, PATIENTS, VISIT_FILE, VISITS, in_turn
from bulk_installation import Installation
from bulk_server import Answer, BulkServer, FakeClock

from jobs.lake import control


class Killed(BaseException):
    """Stands for the end of the process."""


def test_killed_while_polling_the_same_export_is_polled_again(
    north: Installation, server: BulkServer, clock: FakeClock
) -> None:
    def kill() -> None:
        raise Killed

    server.script["status"] = [Answer(202)]
    clock.on_sleep = kill
    with pytest.raises(Killed):
        north.extract()
    clock.on_sleep = lambda: None
    assert north.extract().complete
    assert (server.count("kickoff"), north.job().attempt) == (1, 1)


def test_killed_between_kick_off_and_its_record_a_new_export_is_started(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(control, "save_job", kill)
        with pytest.raises(Killed):
            north.extract()
    assert north.extract().complete
    assert (server.count("kickoff"), north.job().attempt) == (2, 1)


def killed_after_the_first_file(north: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def record_and_kill(*args: object) -> None:
        record(*args)  # type: ignore[arg-type]
        raise Killed

    record = control.record_file
    with monkeypatch.context() as patched:
        patched.setattr(control, "record_file", record_and_kill)
        with pytest.raises(Killed):
            north.extract()


def test_killed_in_mid_download_what_landed_is_not_fetched_again(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = north.with_endpoint(in_turn)
    server.script["encounter.ndjson"] = [Answer(before=lambda: None, cut_at=10)]
    killed_after_the_first_file(slow, monkeypatch)
    result = slow.extract()
    assert result.complete
    assert slow.contents(result) == {PATIENT_FILE: PATIENTS, VISIT_FILE: VISITS}
    assert (server.count("patient.ndjson"), server.count("kickoff")) == (1, 1)


@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: p.unlink()])
def test_a_file_harmed_before_the_re_run_is_fetched_again(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    slow = north.with_endpoint(in_turn)
    killed_after_the_first_file(slow, monkeypatch)
    harm(next(slow.places.landing_dir.rglob(PATIENT_FILE)))
    result = slow.extract()
    assert slow.content(result, PATIENT_FILE) == PATIENTS
    assert server.count("patient.ndjson") == 2


def test_killed_before_control_knew_of_the_landing_the_re_run_says_so(
    north: Installation, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(control, "set_landed", kill)
        with pytest.raises(Killed):
            north.extract()
    result = north.extract()
    assert control.get_batch(north.conn, result.batch_id).status == "landed"
    assert server.count("patient.ndjson") == 1


def test_a_landed_batch_whose_files_are_gone_is_exported_again(
    north: Installation, server: BulkServer
) -> None:
    first = north.extract()
    (first.directory / PATIENT_FILE).unlink()
    assert north.extract().complete
    assert (server.count("kickoff"), north.job().attempt) == (2, 2)


def test_a_published_batch_is_not_exported_again_when_its_files_have_expired(
    north: Installation, server: BulkServer
) -> None:
    first = north.extract()
    north.publish(first)
    (first.directory / PATIENT_FILE).unlink()
    assert north.extract() == first
    assert server.count("kickoff") == 1
