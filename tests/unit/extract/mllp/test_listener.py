"""The listener over real sockets: an acknowledged message is in the journal exactly as sent, whatever happens."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from pathlib import Path

import pytest
from mllp_client import Sender, journalled, listening, message

from jobs.errors import CitywellError
from jobs.extract.mllp import Kind
from jobs.extract.mllp.server import Listener
from jobs.lake import landing
from tests.support.disk import fill

POINTS = ("mllp:received", "mllp:journalled", "mllp:synced", "mllp:acked", "mllp:sealing", "mllp:sealed")


def test_a_conversation(tmp_path: Path) -> None:
    """One connection after another does what senders do; the journal holds what each sent."""
    latin, odd = message("L1", "NTE|1||Ren\u00e9\r"), message("O1", marks="#!%$*")
    with listening(tmp_path, "--frame-seconds", "0.5", "--longest-message", "2000") as listener:
        sender = Sender(listener.port)
        sender.send(latin)
        assert sender.code() == "AA L1"
        sender.send(odd)
        assert sender.code() == "AA O1"
        sender.send(latin)
        assert sender.code() == "AA L1"
        cut = b"\x0b" + message("C1") + b"\x1c\r"
        for piece in (cut[:1], cut[1:30], cut[30:-1], cut[-1:]):
            sender.raw(piece)
        assert sender.code() == "AA C1"
        sender.send(*(message(f"P{n}") for n in range(50)))
        assert [sender.code() for _ in range(50)] == [f"AA P{n}" for n in range(50)]
        sender.send(b"hello")
        assert sender.code() == "AR"
        sender.send(message("B1", "x" * 3000))
        assert sender.code() == "AR B1"
        sender.raw(b"stray\r")
        sender.send(message("E1", tail="|||AL|NE"), message("E2", tail="|||NE|NE"), message("S1"))
        assert [sender.code(), sender.code()] == ["CA E1", "AA S1"]
        sender.raw(b"\x0b" + message("half")[:20])
        assert sender.answer() is None, "a block that does not go on ends the connection"
        broken = Sender(listener.port)
        broken.raw(b"\x0b" + message("half")[:20])
        broken.close()
        assert listener.stop() == 0
    found = journalled(tmp_path)
    ids = [f"P{n}" for n in range(50)]
    assert [e.body for e in found if e.kind is Kind.MESSAGE] == [
        latin,
        odd,
        latin,
        message("C1"),
        *(message(i) for i in ids),
        message("E1", tail="|||AL|NE"),
        message("E2", tail="|||NE|NE"),
        message("S1"),
    ]
    assert [e.body for e in found if e.kind is Kind.UNPARSEABLE] == [b"hello"]
    assert [e.body for e in found if e.kind is Kind.CUT] == [b"stray"]
    assert [len(e.body) > 1000 for e in found if e.kind is Kind.TOO_LONG] == [True]
    assert all(before.received_us <= after.received_us for before, after in itertools.pairwise(found))


def test_many_senders_at_once_and_sealing_while_they_send(tmp_path: Path) -> None:
    with listening(tmp_path, "--seal-bytes", "20000") as listener:
        acked: list[str] = []

        def talk(name: str) -> None:
            sender = Sender(listener.port)
            for n in range(60):
                sender.send(message(f"{name}-{n}"))
                acked.append(sender.code() or "")
            sender.close()

        threads = [threading.Thread(target=talk, args=(f"T{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        seen = journalled(tmp_path)
        for thread in threads:
            thread.join()
        found = journalled(tmp_path)
        assert found[: len(seen)] == seen
        assert sorted(acked) == sorted(f"AA T{t}-{n}" for t in range(6) for n in range(60))
        assert sorted(e.body for e in found) == sorted(message(i.removeprefix("AA ")) for i in acked)


def test_a_listener_killed_anywhere_has_everything_it_acknowledged(tmp_path: Path) -> None:
    sent: dict[str, bytes] = {}
    acked: set[str] = set()

    def talk(port: int, names: list[str]) -> None:
        """Sends until the connection ends; what was not acknowledged is sent again to the next listener."""
        sender = Sender(port)
        for name in [*(i for i in sent if i not in acked), *names]:
            sent[name] = message(name)
            try:
                sender.send(sent[name])
                code = sender.code()
            except ConnectionError:
                return
            if code is None:
                return
            assert code == f"AA {name}"
            acked.add(name)
        sender.close()

    for point in POINTS:
        with listening(tmp_path, "--seal-bytes", "1", crash_at=point) as listener:
            talk(listener.port, [f"{point}{n}" for n in range(5)])
            assert listener.process.wait(10) == 137
        assert {sent[i] for i in acked} <= {e.body for e in journalled(tmp_path)}
    with listening(tmp_path) as listener:
        talk(listener.port, ["last"])
        listener.kill()
    assert acked == set(sent)
    found = [e.body for e in journalled(tmp_path)]
    assert set(found) == set(sent.values())
    assert len(found) <= len(sent) + len(POINTS), "at most what was in flight at a kill is there twice"


def test_a_listener_that_is_stopped_answers_what_it_took(tmp_path: Path) -> None:
    acked: list[str] = []

    def talk(name: str) -> None:
        sender, n = Sender(listener.port), 0
        try:
            while (code := (sender.send(message(f"{name}-{n}")), sender.code())[1]) is not None:
                acked.append(code.removeprefix("AA "))
                n += 1
        except ConnectionError:
            pass

    with listening(tmp_path) as listener:
        threads = [threading.Thread(target=talk, args=(f"T{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        while len(acked) < 50:
            time.sleep(0.01)
        assert listener.stop() == 0
        for thread in threads:
            thread.join()
    assert {message(name) for name in acked} <= {e.body for e in journalled(tmp_path)}


@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
def test_a_full_disk_is_never_acknowledged(small_disk: Path) -> None:
    acked = []
    with listening(small_disk) as listener:
        sender = Sender(listener.port)
        sender.send(message("before"))
        assert sender.code() == "AA before"
        filler = fill(small_disk)
        for n in range(200):
            sender.send(message(f"full{n}", "Z" * 1000))
            code = sender.code()
            if code == f"AE full{n}":
                break
            assert code == f"AA full{n}"
            acked.append(message(f"full{n}", "Z" * 1000))
        else:
            pytest.fail("the disk never was full")
        filler.unlink()
        sender.send(message("after"))
        assert sender.code() == "AA after"
        assert listener.stop() == 0
    assert [e.body for e in journalled(small_disk)] == [message("before"), *acked, message("after")]


def test_a_port_in_use_is_told_plainly(tmp_path: Path) -> None:
    async def listen() -> None:
        listener = Listener(tmp_path, landing.ensure_key(tmp_path / "landing.key"))
        with pytest.raises(CitywellError, match="cannot listen"):
            await listener.start("127.0.0.1", [("one", 0), ("two", taken.getsockname()[1])])

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(listen())
