"""HL7 v2: durable acknowledgements a second, and messages a second of a core from landing to records and to silver.

``hl7_ack_per_s`` has python-hl7's own asyncio server for a peer, which acknowledges without landing anything;
``hl7_parse`` and ``hl7_to_silver`` have python-hl7's parser, which makes no records.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import hl7
import psutil
from hl7.mllp import start_hl7_server

from jobs.extract.mllp.framing import framed
from jobs.extract.mllp.server import Listener
from jobs.lake import landing
from jobs.lake.formats.hl7v2 import Pieces
from jobs.lake.load import load
from jobs.lake.scrub import encode
from jobs.silver.hl7v2 import read
from tests.bench.rows import Row
from tests.support.hl7 import recorder
from tests.support.lake import Export, TestLake

ENDPOINT = "events_north"
MOST_US = 300
"""Of a message's millisecond from landing to silver, what reading it may take."""
LOADED_WANTED = 1_000
ACKS_WANTED = 500
_COUNT = 20_000
_LOADED = 50_000
_ADMISSION = "\r".join(
    [
        r"MSH|^~\&|NGADT|NORTH|LAKE|CITY|20260102{time}||ADT^A01^ADT_A01|{id}|P|2.5.1||||||UNICODE UTF-8",
        "EVN|A01|20260102{time}||||20260102{time}",
        "PID|1||N{id}^^^NORTH^MR~00{id}^^^CITY^NI||Smith^Anna||19700203|F|||1 Mill Lane^^Citywell^^C05 41A||555^PRN^CP",
        "PV1|1|I|MEDICINE^12^2^NORTH|E|||D001^Grey^Hugo^^^Dr|||MED||||7|||||V{id}^^^NORTH^VN"
        + "|" * 25
        + "20260102{time}",
        "DG1|1||J18.9^Pneumonia^I10C||20260102{time}|F",
        "ZNG|1|2-1|house use\r",
    ]
)
_REPORT = "\r".join(
    [
        r"MSH|^~\&|NGADT|NORTH|LAKE|CITY|20260102{time}||ORU^R01^ORU_R01|R{id}|P|2.5.1||||||UNICODE UTF-8",
        "PID|1||N{id}^^^NORTH^MR||Smith^Anna||19700203|F",
        "PV1|1|I|MEDICINE^12^2^NORTH|E" + "|" * 15 + "V{id}^^^NORTH^VN",
        "ORC|RE|P{id}^NORTH|F{id}^NORTH",
        "OBR|1|P{id}^NORTH|F{id}^NORTH|24323-8^Laboratory panel^LN|||20260102{time}"
        + "|" * 15
        + "20260102{time}||CH|F",
        "OBX|1|NM|718-7^Haemoglobin in blood^LN||12.4|g/dL^^UCUM|12-17|N|||F|||20260102{time}",
        "OBX|2|NM|2951-2^Sodium in serum^LN||141|mmol/L^^UCUM|135-145|N|||F|||20260102{time}",
        "OBX|3|NM|2160-0^Creatinine in serum^LN||0.80|mg/dL^^UCUM|0.6-1.3|N|||F|||20260102{time}\r",
    ]
)


def messages(count: int) -> list[bytes]:
    """Admissions and reports in turn, each of another patient, visit and second."""
    return [
        (_REPORT if n % 2 else _ADMISSION)
        .replace("{id}", f"{n:08d}")
        .replace("{time}", f"{n // 3600 % 24:02d}{n // 60 % 60:02d}{n % 60:02d}")
        .encode()
        for n in range(count)
    ]


def measure(lake: TestLake, scratch: Path) -> Iterator[Row]:
    yield _parsing(scratch)
    yield _loading(lake)
    yield from asyncio.run(_acknowledging(scratch))


def _loading(lake: TestLake) -> Row:
    """A landed batch to published silver, every check included, in messages a second of a core's time: of this process
    and of all it has started, the engine and PostgreSQL among them."""
    body = b"".join(framed(one) for one in messages(_LOADED))
    batch = lake.land(ENDPOINT, Export(datetime(2026, 1, 3, tzinfo=UTC), {"Hl7Message": body}))
    before = _core_seconds()
    receipts = load(batch).receipts
    rate = _LOADED / (_core_seconds() - before)
    assert sum(receipt.published for receipt in receipts) == 2 * _LOADED, "an admission, or three results"
    peer = _peer(messages(_LOADED // 50))
    return Row(
        "hl7_to_silver",
        rate,
        "messages/s",
        f"python-hl7-parse={peer:.0f}",
        rate / peer,
        f">={LOADED_WANTED}",
        rate >= LOADED_WANTED,
    )


def _core_seconds() -> float:
    """Processor time of this process, of those it has started and of those of them that have ended."""
    this, seconds = psutil.Process(), 0.0
    for process in (*this.children(recursive=True), this):
        with suppress(psutil.NoSuchProcess):
            t = process.cpu_times()
            seconds += t.user + t.system + t.children_user + t.children_system
    return seconds


def _peer(bodies: Sequence[bytes]) -> float:
    """Messages that python-hl7 parses in a second of a core."""
    started = time.process_time()
    for body in bodies:
        hl7.parse(body.decode())
    return len(bodies) / (time.process_time() - started)


def _parsing(scratch: Path) -> Row:
    """Decrypts a landing file, splits, parses, makes records and their JSON; in messages a second of a core's time."""
    key = landing.ensure_key(scratch / "landing.key")
    bodies = messages(_COUNT)
    path = scratch / "batch" / f"journal.hl7{landing.SUFFIX}"
    with landing.LandingWriter(path, key) as out:
        for body in bodies:
            out.write(framed(body))
    maker = recorder("north", b"k" * 32)
    gc.collect()
    started = time.process_time()
    kept = 0
    for row in read(Pieces(landing.read_frames(path, key)), maker):
        assert row.record is not None
        kept += len(encode(row.record.shape))
    rate = _COUNT / (time.process_time() - started)
    assert kept

    peer = _peer(bodies[: _COUNT // 20])
    wanted = 1_000_000 / MOST_US
    return Row(
        "hl7_parse",
        rate,
        "messages/s",
        f"python-hl7={peer:.0f}",
        rate / peer,
        f">={wanted:.0f}",
        rate >= wanted,
    )


async def _acknowledging(scratch: Path) -> list[Row]:
    """Acknowledgements a second: one sender that waits for each, and sixteen of them."""
    logging.getLogger("hl7").setLevel(logging.ERROR)
    listener = Listener(scratch / "landing", landing.ensure_key(scratch / "landing.key"))
    await listener.start("127.0.0.1", [(ENDPOINT, 0)])

    async def answer(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        try:
            while True:
                writer.writemessage((await reader.readmessage()).create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    peer = await start_hl7_server(answer, "127.0.0.1", 0, encoding="utf-8")
    ports = listener.endpoints[ENDPOINT].port, peer.sockets[0].getsockname()[1]
    rows = []
    for name, senders, count in (("hl7_ack_per_s", 1, 1_500), ("hl7_ack_per_s_16_senders", 16, 300)):
        ours, theirs = [await _rate(_talk, port, senders, count) for port in ports]
        rows.append(
            Row(
                name,
                ours,
                "acks/s",
                f"python-hl7-without-landing={theirs:.0f}",
                ours / theirs,
                f">={ACKS_WANTED}",
                ours >= ACKS_WANTED,
            )
        )
    peer.close()
    await listener.stop()
    return rows


async def _rate(talk: Callable[[int, int], Awaitable[None]], port: int, senders: int, count: int) -> float:
    started = time.perf_counter()
    await asyncio.gather(*(talk(port, count) for _ in range(senders)))
    return senders * count / (time.perf_counter() - started)


async def _talk(port: int, count: int) -> None:
    """Sends a message, waits for its acknowledgement, and so on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in messages(count):
        writer.write(framed(body))
        told = await reader.readuntil(b"\x1c\r")
        assert b"MSA|AA|" in told
    writer.close()
