"""Ports, looked at before a program is started on them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

import psutil

from infra.stack.model import Port, Program
from jobs.errors import CitywellError


def check_distinct(programs: Iterable[Program]) -> None:
    """Raises CitywellError naming two programs that were given one port, and the settings that part them."""
    taken: dict[int, tuple[str, Port]] = {}
    for program in programs:
        for port in program.ports:
            if port.number in taken:
                other, theirs = taken[port.number]
                raise CitywellError(
                    f"{other} and {program.name} are both to listen on port {port.number}",
                    where=f"{theirs.setting} and {port.setting}",
                    do="give each a port of its own",
                )
            taken[port.number] = program.name, port


def check_free(program: Program, host: str) -> None:
    """Raises CitywellError with the port, its holder where one can be seen, and the setting that moves it."""
    for port in program.ports:
        _check_free(port, program.name, host)


def _check_free(port: Port, program: str, host: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port.number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CitywellError(
                    f"{program} cannot listen on {host} port {port.number}: {error.strerror}",
                    where=port.setting,
                    do="set it to a port above 1023, and CITYWELL_HOST to an address of this machine",
                ) from error
            raise CitywellError(
                f"port {port.number} is in use by another program{_holder(port.number)}",
                where=f"{program} on {host}",
                do=f"stop that program, or set {port.setting} to a free port",
            ) from error


def _holder(port: int) -> str:
    """`` (name, pid 123)`` of the process that listens on ``port``; empty where the system does not tell."""
    try:
        pids = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        }
        names = [f"{psutil.Process(pid).name()}, pid {pid}" for pid in pids if pid]
    except psutil.Error:
        return ""
    return f" ({'; '.join(names)})" if names else ""
