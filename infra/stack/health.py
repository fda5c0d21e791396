"""How the stack asks a server whether it is well. No check raises: unreachable is unhealthy."""

from __future__ import annotations

from typing import Any

import httpx

TIMEOUT_S = 5.0


def http_ok(url: str) -> bool:
    """Whether ``url`` answers 200."""
    try:
        return _get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def airflow_component(base_url: str, component: str) -> bool:
    """Whether Airflow's monitor calls ``component`` (``scheduler``, ``dag_processor``, ...) healthy."""
    try:
        answer = _get(f"{base_url}/api/v2/monitor/health")
        report: dict[str, Any] = answer.json() if answer.status_code == httpx.codes.OK else {}
    except (httpx.HTTPError, ValueError):
        return False
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


def _get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=TIMEOUT_S, trust_env=False)
