"""How the stack asks a server whether it is well. No check raises: unreachable is unhealthy."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 5.0


def http_ok(url: str) -> bool:
    """Whether ``url`` answers 200."""
    return _get(url) is not None


def airflow_component(base_url: str, component: str) -> bool:
    """Whether Airflow's monitor calls ``component`` (``scheduler``, ``dag_processor``, ...) healthy."""
    body = _get(f"{base_url}/api/v2/monitor/health")
    report: dict[str, Any] = json.loads(body) if body else {}
    return bool(report.get(component, {}).get("status") == "healthy")


def grpc_ready(address: str) -> bool:
    """Whether a gRPC server completes its handshake at ``host:port``."""
    import grpc  # slow to import; `citywell --help` does without

    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=2)
        except grpc.FutureTimeoutError:
            return False
    return True


def tcp_open(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _get(url: str) -> bytes | None:
    """The body of a 200 answer of a server on this machine; None for anything else. Knows no proxy."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
