"""``citywell source check``: every step says in words what is wrong and what to do."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest
from bulk_server import Answer, BulkServer, FakeClock, File, answer_json
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from infra.cli.app import app
from jobs import sources
from jobs.extract import source_check
from jobs.extract.source_check import Result
from jobs.sources import FhirEndpoint

STEPS = ["connection", "capability", "clock", "sign-in", "export"]


@pytest.fixture
def check(
    endpoint: FhirEndpoint, server: BulkServer, keys_dir: Path, clock: FakeClock
) -> Callable[..., list[Result]]:
    """Checks the endpoint, changed as asked."""
    server.files = {"o.ndjson": File("Organization", b'{"id":"1"}\n{"id":"2"}\n', count=2)}

    def run(**changes: object) -> list[Result]:
        declared = endpoint.model_copy(update={"export_level": "system", **changes})
        return source_check.check(declared, keys_dir=keys_dir, clock=clock.clock())

    return run


def test_a_good_server_passes_every_step(check: Callable[..., list[Result]], server: BulkServer) -> None:
    results = check()
    assert [(r.step, r.verdict) for r in results] == [(step, "good") for step in STEPS]
    assert results[-1].message == "A small export (Organization) brought 2 lines in 1 file"
    assert server.last("kickoff").query == {"_type": ["Organization"]}
    assert server.count("discard") == 1


@pytest.mark.parametrize(
    ("declared", "type_", "since"),
    [
        ({"types": ("Observation", "Location")}, "Location", None),
        ({"types": ("Observation", "Patient")}, "Patient", "2026-02-28T12:00:00.000Z"),
        ({"types": ("Observation", "Condition")}, "Observation", "2026-02-28T12:00:00.000Z"),
        ({"export_level": "patient"}, "Patient", "2026-02-28T12:00:00.000Z"),
        ({"export_level": "patient", "supports_since": False}, "Patient", None),
        (
            {"export_level": "group", "group_id": "g", "types": ("Patient",), "supports_since": False},
            "Patient",
            None,
        ),
    ],
)
def test_as_little_is_exported_as_level_and_types_allow(
    check: Callable[..., list[Result]],
    server: BulkServer,
    declared: dict[str, object],
    type_: str,
    since: str | None,
) -> None:
    result = check(**declared)[-1]
    query = server.last("kickoff").query
    assert (query["_type"], query.get("_since", [None])) == ([type_], [since])
    assert result.verdict == "good"
    assert f"A small export ({type_}" in result.message
    assert ("changed within a day" in result.message) == (since is not None)


def described(**implementation: str) -> Answer:
    """A capability statement of a server with bulk export that says this of itself."""
    rest = [{"mode": "server", "operation": [{"name": "export"}]}]
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}
    return answer_json({**statement, "implementation": implementation})


def test_a_server_may_call_itself_by_any_address_that_is_declared(
    check: Callable[..., list[Result]], server: BulkServer
) -> None:
    inner = "https://inner.example/fhir"
    for address in (f"{server.base_url}/", inner):
        server.script["metadata"] = [described(url=address)]
        assert check(other_base_urls=(inner,))[1].verdict == "good"


WRONG: dict[str, tuple[Callable[[BulkServer], object], str, str, str]] = {
    "no bulk export declared": (
        lambda s: s.script.update(
            {"metadata": [answer_json({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})]}
        ),
        "capability",
        "warning",
        "names no export operation",
    ),
    "no capability statement": (
        lambda s: s.script.update({"metadata": [Answer(404)]}),
        "capability",
        "warning",
        "shows no capability statement",
    ),
    "a server in maintenance": (
        lambda s: s.script.update({"metadata": [Answer(503, forever=True)]}),
        "capability",
        "wrong",
        "failed 2 times, lastly: HTTP 503",
    ),
    "another FHIR version": (
        lambda s: s.script.update(
            {"metadata": [answer_json({"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"})]}
        ),
        "capability",
        "wrong",
        "speaks FHIR 3.0.2",
    ),
    "another address": (
        lambda s: s.script.update({"metadata": [described(url="https://inner.example/fhir")]}),
        "capability",
        "warning",
        "calls itself https://inner.example/fhir",
    ),
    "a clock two minutes ahead": (
        lambda s: setattr(s, "clock_ahead_s", 120),
        "clock",
        "warning",
        "120 s ahead of ours",
    ),
    "a key that is not registered": (
        lambda s: s.jwks.clear(),
        "sign-in",
        "wrong",
        "no key registered for us",
    ),
    "no SMART configuration": (
        lambda s: s.script.update({"configuration": [Answer(404)]}),
        "sign-in",
        "wrong",
        "offers no SMART sign-in",
    ),
    "an export that is refused": (
        lambda s: s.script.update({"kickoff": [Answer(403)]}),
        "export",
        "wrong",
        "may not export",
    ),
    "an export that never ends": (
        lambda s: s.script.update({"status": [Answer(202, forever=True)]}),
        "export",
        "wrong",
        "not done within 2 minutes",
    ),
    "an export of nothing": (
        lambda s: s.files.clear(),
        "export",
        "warning",
        "(Organization) brought no file: downloading was not tried",
    ),
    "an export of errors alone": (
        lambda s: setattr(s.files["o.ndjson"], "kind", "error"),
        "export",
        "warning",
        "reports errors of its own",
    ),
    "links that do not work": (
        lambda s: s.script.update({"o.ndjson": [Answer(403)]}),
        "export",
        "wrong",
        "A small export failed: HTTP 403",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_said_with_what_to_do(
    check: Callable[..., list[Result]], server: BulkServer, fault: str
) -> None:
    harm, step, verdict, words = WRONG[fault]
    server.jwks = list(server.jwks)
    harm(server)
    results = check()
    found = next(r for r in results if r.verdict != "good")
    assert (found.step, found.verdict) == (step, verdict)
    assert words in found.message
    assert found.do
    assert (results[-1].verdict == "wrong") == (verdict == "wrong")


def test_an_export_that_was_tried_is_discarded_even_when_it_fails(
    check: Callable[..., list[Result]], server: BulkServer
) -> None:
    server.script["o.ndjson"] = [Answer(500)]
    assert "HTTP 500" in check()[-1].message
    assert server.count("discard") == 1


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("http://127.0.0.1:1/fhir", "port 1: the connection is refused"),
        ("http://no-such-hospital.invalid/fhir", "not known to the name service"),
        ("http://[bad/fhir", "base_url is no web address"),
    ],
)
def test_a_server_that_cannot_be_reached_ends_the_check(
    check: Callable[..., list[Result]], base_url: str, words: str
) -> None:
    (only,) = check(base_url=base_url)
    assert (only.step, only.verdict) == ("connection", "wrong")
    assert words in only.message
    assert "base_url" in only.do


def test_a_missing_key_is_said(
    endpoint: FhirEndpoint, server: BulkServer, tmp_path: Path, clock: FakeClock
) -> None:
    last = source_check.check(endpoint, keys_dir=tmp_path, clock=clock.clock())[-1]
    assert (last.step, last.verdict) == ("sign-in", "wrong")
    assert "key to sign in with is missing" in last.message


@pytest.fixture
def https(server: BulkServer, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address of a server behind TLS whose certificate no known authority signed, and that certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "north")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = tmp_path / "north.pem", tmp_path / "north.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)

    class Capable(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that turns away is no error."""

    httpd = Quiet(("127.0.0.1", 0), Capable)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://127.0.0.1:{httpd.server_address[1]}/fhir", pem
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_a_certificate_that_is_not_trusted_is_named_with_the_way_to_trust_it(
    check: Callable[..., list[Result]],
    https: tuple[str, Path],
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base_url, certificate = https
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    refused = check(base_url=base_url)[-1]
    assert (refused.step, refused.verdict) == ("capability", "wrong")
    assert "certificate is not trusted: self-signed certificate" in refused.message
    assert "SSL_CERT_FILE" in refused.do
    assert clock.sleeps == [], "trying again does not help"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert "no capability statement" in check(base_url=base_url)[1].message
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate) + ".none")
    assert "certificates of authorities to trust cannot be read" in check(base_url=base_url)[-1].message


@pytest.mark.parametrize(("harm", "code"), [(False, 0), (True, 1)])
def test_the_command_says_every_step_and_ends_with_1_when_one_is_wrong(
    endpoint: FhirEndpoint,
    server: BulkServer,
    keys_dir: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    harm: bool,
    code: int,
) -> None:
    clock.start = datetime.now(UTC)
    server.files = {"p.ndjson": File("Patient", b'{"id":"1"}', count=1)}
    if harm:
        server.script["kickoff"] = [Answer(403)]
    monkeypatch.setattr(sources, "find_endpoint", lambda _: (None, endpoint))
    monkeypatch.setattr(source_check, "settings", lambda: SimpleNamespace(keys_dir=keys_dir))
    ended = CliRunner().invoke(app, ["source", "check", "north"])
    said = " ".join(ended.output.split())
    assert ended.exit_code == code
    assert all(step in said for step in STEPS)
    assert ("may not export" in said) == harm
    assert ("brought 1 lines" in said) != harm
