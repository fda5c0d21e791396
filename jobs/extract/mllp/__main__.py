"""``python -m jobs.extract.mllp --listen ENDPOINT=PORT …``: the listener, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from jobs.errors import CitywellError
from jobs.extract.mllp.server import Limits, Listener, serve
from jobs.lake.landing import ensure_key
from jobs.settings import settings


def _address(text: str) -> tuple[str, int]:
    name, _, port = text.partition("=")
    if not name or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError("give ENDPOINT=PORT, such as events_north=6661")
    return name, int(port)


def parser() -> argparse.ArgumentParser:
    usual = Limits()
    p = argparse.ArgumentParser(
        prog="python -m jobs.extract.mllp", description="Receives HL7 v2 messages over MLLP."
    )
    p.add_argument("--listen", type=_address, action="append", required=True, metavar="ENDPOINT=PORT")
    p.add_argument("--host", default=settings().host)
    p.add_argument("--landing", type=Path, default=settings().landing_dir, help="landing directory")
    p.add_argument("--seal-seconds", type=float, default=usual.seal_seconds)
    p.add_argument("--seal-bytes", type=int, default=usual.seal_bytes)
    p.add_argument("--frame-seconds", type=float, default=usual.frame_seconds)
    p.add_argument("--longest-message", type=int, default=usual.longest_message, help="bytes")
    return p


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    limits = Limits(args.longest_message, args.frame_seconds, args.seal_seconds, args.seal_bytes)
    try:
        key = ensure_key(settings().keys_dir / "landing.key")
        asyncio.run(serve(Listener(args.landing, key, limits), args.host, args.listen, say))
    except CitywellError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
