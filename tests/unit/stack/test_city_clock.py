"""What time it is for the sources: the simulated city's, or ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra import city_clock
from infra.stack.postgres import free_port
from jobs.errors import CitywellError
from jobs.settings import Settings

IN_THE_CITY = datetime(2026, 1, 3, tzinfo=UTC)


@pytest.fixture
def city_port() -> Iterator[int]:
    """The port of a city whose clock stands."""

    class Clock(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"now": IN_THE_CITY.isoformat()}).encode())

        def log_message(self, *arguments: object) -> None:
            """Nothing on the screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Clock) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_beside_the_city_it_is_what_its_clock_says(city_port: int) -> None:
    assert city_clock.present(Settings(city_port=city_port)) == IN_THE_CITY


@pytest.mark.parametrize("schedules", [True, False], ids=["on schedule", "without a city"])
def test_elsewhere_it_is_what_our_clock_says(city_port: int, schedules: bool) -> None:
    port = city_port if schedules else free_port()
    now = city_clock.present(Settings(city_port=port, schedules=schedules))
    assert now.microsecond == 0
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_city_that_does_not_answer_is_told() -> None:
    with pytest.raises(CitywellError, match="the city does not answer"):
        city_clock.read(Settings(city_port=free_port()))
