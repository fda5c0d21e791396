"""JSON over HTTP: pages of every kind, byte for byte; troubles named; a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bulk_server import FakeClock
from clinic import AS_OF, DAY_LATER, Desk, source

from jobs.errors import CitywellError
from jobs.extract import rest
from jobs.extract.delivery import Places
from jobs.lake import control

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Service:
    """``answer`` is called with path and query of each request; requests are kept."""

    url: str = ""
    answer: Callable[[str, dict[str, str]], Answer] = lambda _path, _query: (404, {}, b"")
    seen: list[tuple[str, dict[str, str], str | None]] = field(default_factory=list)


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            told.seen.append((parts.path, query, self.headers.get("X-Api-Key")))
            status, headers, body = told.answer(parts.path, query)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def desk(service: Service, conn: control.Connection, tmp_path: Path, clock: FakeClock) -> Callable[..., Desk]:
    """A desk for the service, its feed as given."""

    def of(auth: dict[str, str] | None = None, max_pages: int = 20, **feed: Any) -> Desk:
        endpoint = {
            "protocol": "rest",
            "base_url": service.url,
            "auth": auth or {"method": "none"},
            "max_pages": max_pages,
            "feeds": {"visit": {"path": "/visits", **feed}},
        }
        places = Places(tmp_path / "landing", tmp_path / "keys")
        return Desk(
            conn,
            source(**endpoint),
            places,
            lambda source, endpoint, batch: rest.extract(
                conn, source, endpoint, batch, places=places, clock=clock.clock()
            ),
        )

    return of


def page(*ids: str, **more: Any) -> Answer:
    items = ", ".join(f'{{"id":"{i}",\n "value": 1.50}}' for i in ids)
    members = "".join(f', "{name}": {json.dumps(value)}' for name, value in more.items())
    return 200, {}, f'{{"items": [{items}]{members}}}'.encode()


def lines(*ids: str) -> bytes:
    return b"".join(f'{{"id":"{i}",  "value": 1.50}}\n'.encode() for i in ids)


PAGED = {
    "cursor": (
        {
            "records": "items",
            "total": "total",
            "answered_at": "at",
            "pages": {"kind": "cursor", "next": "next"},
        },
        lambda _path, query: page(
            *{None: "ab", "2": "c"}[query.get("cursor")],
            total=3,
            at="2026-03-01T00:00:00Z",
            next=None if "cursor" in query else "2",
        ),
    ),
    "number": (
        {"records": "items", "total": "meta.count", "pages": {"kind": "number"}},
        lambda _path, query: page(*{"1": "ab", "2": "c"}[query["page"]], meta={"count": 3}, pages=2),
    ),
    "link": (
        {"total": "X-Total-Count", "pages": {"kind": "link"}},
        lambda _path, query: (
            200,
            {"X-Total-Count": "3"} | ({} if query else {"Link": '</v1/visits?p=2>; rel="next"'}),
            b"["
            + b",".join(lines(*("c" if query else "ab")).replace(b"  ", b" \n").split(b"}\n")[:-1]).replace(
                b",{", b"},{"
            )
            + b"}]",
        ),
    ),
    "header": (
        {
            "form": "lines",
            "total": "X-Total-Count",
            "pages": {"kind": "header", "header": "X-After", "param": "after"},
        },
        lambda _path, query: (
            200,
            {"X-Total-Count": "3"} | ({} if query else {"X-After": "b"}),
            lines(*("c" if query else "ab")),
        ),
    ),
}


def test_a_run_for_a_day_to_come_is_of_the_instant_it_was_made(
    service: Service, desk: Callable[..., Desk], clock: FakeClock
) -> None:
    service.answer = lambda _path, _query: (200, {}, b'[{"id": "a", "value": 1}]')
    at_desk = desk(since_param="since", until_param="until")
    result = at_desk.extract(AS_OF.replace(year=2036))
    assert result.transaction_time == clock.now()
    assert service.seen[-1][1] == {"until": "2026-03-01T12:00:00Z"}


@pytest.mark.parametrize("kind", PAGED)
def test_every_kind_of_pages_lands_as_sent(service: Service, desk: Callable[..., Desk], kind: str) -> None:
    feed, service.answer = PAGED[kind]
    at_desk = desk(**feed)
    result = at_desk.extract()
    (landed,) = at_desk.content(result)
    assert landed == lines("a", "b", "c")
    (file,) = result.files
    assert (file.resource_type, file.received, file.expected_lines, result.complete) == ("Visit", 3, 3, True)
    assert result.transaction_time == (AS_OF.replace(hour=0, minute=0) if kind == "cursor" else AS_OF)


def test_only_what_has_changed_is_asked_for_and_some_time_before(
    service: Service, desk: Callable[..., Desk], clock: FakeClock
) -> None:
    service.answer = lambda _path, _query: page("a")
    at_desk = desk(records="items", since_param="since", until_param="until", overlap_hours=6)
    at_desk.publish(at_desk.extract())
    clock.elapsed += timedelta(days=1).total_seconds()
    at_desk.extract(DAY_LATER)
    first, second = (query for _, query, _ in service.seen)
    assert first == {"until": "2026-03-01T04:30:00Z"}
    assert second == {"since": "2026-02-28T22:30:00Z", "until": "2026-03-02T04:30:00Z"}


def test_a_landed_batch_is_not_fetched_again(service: Service, desk: Callable[..., Desk]) -> None:
    service.answer = lambda _path, _query: page("a")
    at_desk = desk(records="items")
    assert at_desk.extract() == at_desk.extract()
    assert len(service.seen) == 1


def test_nothing_to_send_lands_no_file(service: Service, desk: Callable[..., Desk]) -> None:
    service.answer = lambda _path, _query: page(total=0)
    result = desk(records="items", total="total").extract()
    assert (result.files, result.complete) == ((), True)


def test_fewer_records_than_stated_are_incomplete(service: Service, desk: Callable[..., Desk]) -> None:
    service.answer = lambda _path, _query: page("a", total=2)
    result = desk(records="items", total="total").extract()
    assert not result.complete
    assert "1 records came, 2 were announced" in result.findings[0].message


def test_a_page_that_is_cut_is_asked_for_again(service: Service, desk: Callable[..., Desk]) -> None:
    answers = [(200, {}, page("a")[2][:-5]), (503, {"Retry-After": "2"}, b""), (429, {}, b""), page("a")]
    service.answer = lambda _path, _query: answers.pop(0)
    assert desk(records="items").extract().complete


TROUBLES = {
    "no JSON": ((200, {}, b"<html>sign in"), "no JSON document"),
    "no list": ((200, {}, b'{"data": []}'), "no member 'items'"),
    "refused": ((403, {}, b""), "HTTP 403"),
    "moved": ((404, {}, b""), "HTTP 404"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_service_that_does_not_answer_is_named(
    service: Service, desk: Callable[..., Desk], trouble: str
) -> None:
    answer, words = TROUBLES[trouble]
    service.answer = lambda _path, _query: answer
    with pytest.raises(CitywellError, match=words) as error:
        desk(records="items").extract()
    assert "clinic" in error.value.where


@pytest.mark.parametrize("kind", ["cursor", "header"])
@pytest.mark.parametrize("last", ["", None])
def test_only_a_page_that_names_no_other_is_the_last(
    service: Service, desk: Callable[..., Desk], kind: str, last: str | None
) -> None:
    sent: dict[str | None, tuple[str, str | None]] = {None: ("a", "2"), "2": ("", "3"), "3": ("b", last)}

    def answer(_path: str, query: dict[str, str]) -> Answer:
        ids, following = sent[query.get("after")]
        if kind == "cursor":
            return page(*ids, next=following)
        return 200, {} if following is None else {"X-After": following}, lines(*ids)

    service.answer = answer
    feeds: dict[str, dict[str, Any]] = {
        "cursor": {"records": "items", "pages": {"kind": "cursor", "next": "next", "param": "after"}},
        "header": {"form": "lines", "pages": {"kind": "header", "header": "X-After", "param": "after"}},
    }
    at_desk = desk(**feeds[kind])
    assert at_desk.content(at_desk.extract()) == [lines("a", "b")]
    assert len(service.seen) == 3


@pytest.mark.parametrize("ids", ["a", ""])
def test_a_cursor_that_comes_again_is_told(service: Service, desk: Callable[..., Desk], ids: str) -> None:
    service.answer = lambda _path, query: page(*ids, next={"2": "3"}.get(query.get("cursor", ""), "2"))
    with pytest.raises(CitywellError, match="asked for already") as told:
        desk(records="items", pages={"kind": "cursor", "next": "next"}).extract()
    assert "clinic" in told.value.where
    assert len(service.seen) == 3


def test_more_pages_than_declared_end(service: Service, desk: Callable[..., Desk]) -> None:
    service.answer = lambda _path, query: page("a", next=query.get("cursor", "") + "2")
    with pytest.raises(CitywellError, match="more than 20 pages"):
        desk(records="items", pages={"kind": "cursor", "next": "next"}).extract()


def test_the_key_goes_with_every_request_and_to_no_other_server(
    service: Service, desk: Callable[..., Desk], tmp_path: Path
) -> None:
    auth = {"method": "secret_header", "header": "X-Api-Key", "secret_file": "clinic.key"}
    with pytest.raises(CitywellError, match="secret to ask the service with is missing"):
        desk(auth, records="items").extract()
    (tmp_path / "keys").mkdir(exist_ok=True)
    (tmp_path / "keys" / "clinic.key").write_text("hunter2\n")
    service.answer = lambda _path, _query: (200, {"Link": '<http://127.0.0.1:1/x>; rel="next"'}, b"[]")
    with pytest.raises(CitywellError, match="leads to another server"):
        desk(auth, pages={"kind": "link"}).extract()
    assert [key for _, _, key in service.seen] == ["hunter2"]


def test_a_part_that_is_gone_stops_the_endpoint_and_a_new_one_is_announced(
    service: Service, desk: Callable[..., Desk]
) -> None:
    service.answer = lambda _path, _query: (200, {}, b'[{"id": "a", "value": 1, "colour": "red"}]')
    result = desk().extract()
    assert result.complete
    assert "colour" in result.findings[0].message
    service.answer = lambda _path, _query: (200, {}, b'[{"id": "a", "values": 1}]')
    with pytest.raises(CitywellError, match=r"Visit no longer has value; new is values") as error:
        desk().extract(DAY_LATER)
    assert "names" in error.value.do


def test_of_a_deleted_record_little_is_sent(desk: Callable[..., Desk], service: Service) -> None:
    gone = b'{"id":"a","deleted_at":"2026-03-01T00:00:00Z"}\n'
    service.answer = lambda _path, _query: (200, {}, gone)
    (file,) = desk(form="lines").extract().files
    assert file.received == 1
    service.answer = lambda _path, _query: (200, {}, gone + b'{"id":"b","deleted_at":null}\n')
    with pytest.raises(CitywellError, match="no longer has value"):
        desk(form="lines").extract(DAY_LATER)
