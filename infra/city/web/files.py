"""The files of an export as HTTP answers, whole or spoiled by a fault."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from fastapi.responses import FileResponse, Response, StreamingResponse

from infra.city.faults import FaultSpec
from infra.city.hospitals import OutputFile

NDJSON = "application/fhir+ndjson"


class _BigChunks(FileResponse):
    """A file in chunks of 1 MiB: fewer hops between threads than the default of 64 KiB."""

    chunk_size = 1 << 20


def file_response(file: OutputFile, accepts_gzip: bool) -> Response:
    """The file as it lies there: gzip-encoded where it is packed and the client takes it. Ranges are
    honoured."""
    if file.packed is not None and accepts_gzip:
        return _BigChunks(
            file.packed, media_type=NDJSON, headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        )
    if file.path is not None:
        return _BigChunks(file.path, media_type=NDJSON, headers={"Vary": "Accept-Encoding"})
    return StreamingResponse(_unpacked(str(file.packed)), media_type=NDJSON)


def _unpacked(path: str) -> Iterator[bytes]:
    with gzip.open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            yield block


def spoiled_file(file: OutputFile, accepts_gzip: bool, spec: FaultSpec) -> Response:
    """Half of a file (or ``bytes`` of it): as if it were all (truncated), or with the connection breaking off
    (cut)."""
    is_packed = file.packed is not None and (accepts_gzip or file.path is None)
    headers = {"Content-Encoding": "gzip"} if is_packed and spec.kind == "cut" else {}
    if spec.kind == "cut":
        whole = Path(str(file.packed if is_packed else file.path)).read_bytes()
        part = whole[: spec.bytes if spec.bytes is not None else len(whole) // 2]

        async def broken() -> AsyncIterator[bytes]:
            yield part
            raise ConnectionResetError("fault: the connection is cut")

        return StreamingResponse(
            broken(), media_type=NDJSON, headers={**headers, "Content-Length": str(len(whole))}
        )
    plain = Path(file.path).read_bytes() if file.path else b"".join(_unpacked(str(file.packed)))
    half = plain[: spec.bytes if spec.bytes is not None else len(plain) // 2]
    return Response(half.rstrip(b"\n"), media_type=NDJSON)
