"""Identities of a batch reach the vault once, and their patients are linked, whatever the lines look like."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.errors import CitywellError
from jobs.identity import link, vault
from jobs.identity.pseudonyms import Pseudonymiser, ensure_key
from jobs.lake import landing

SOURCE, BATCH = "hospital_north", "hospital_north.20260102T000000Z"
EXPORTED_AT = datetime(2026, 1, 2, tzinfo=UTC)


class City:
    """A landing directory with its keys, and the vault."""

    def __init__(self, home: Path, conn: vault.Connection) -> None:
        self.home, self.conn = home, conn
        self.key = landing.ensure_key(home / "landing.key")
        self.pseudonyms = Pseudonymiser(ensure_key(home / "pseudonym.key"), SOURCE)

    def land(self, *files: tuple[landing.FileKind, str, bytes], batch_id: str = BATCH) -> None:
        directory = landing.batch_dir(self.home / "landing", SOURCE, batch_id)
        landed = []
        for number, (kind, resource_type, content) in enumerate(files):
            name = f"{number:04d}-{resource_type}.ndjson.cwl"
            with landing.LandingWriter(directory / name, self.key) as writer:
                writer.write(content)
            assert writer.landed is not None
            counts = writer.landed
            landed.append(
                landing.LandedFile(
                    name,
                    resource_type,
                    kind,
                    "",
                    counts.bytes,
                    counts.lines,
                    counts.blank_lines,
                    counts.sha256,
                    None,
                )
            )
        landing.write_manifest(
            directory,
            landing.Manifest(
                batch_id, SOURCE, EXPORTED_AT, None, EXPORTED_AT, 1, self.key.key_id, tuple(landed), (), True
            ),
        )

    def link(self, batch_id: str = BATCH) -> list[dict[str, object]]:
        table = link.link_batch(
            SOURCE,
            batch_id,
            self.conn,
            landing_dir=self.home / "landing",
            landing_key=self.home / "landing.key",
            pseudonym_key=self.home / "pseudonym.key",
        )
        assert table.schema == link.LINK_SCHEMA
        return table.to_pylist()

    def patient(self, source_id: str) -> str:
        return self.pseudonyms.key("Patient", source_id)


@pytest.fixture
def city(tmp_path: Path, vault_client: vault.Connection) -> City:
    return City(tmp_path, vault_client)


def resource(resource_type: str, source_id: str, **more: object) -> bytes:
    return json.dumps({"resourceType": resource_type, "id": source_id, **more}).encode()


def test_patients_are_linked_and_encounters_registered(city: City) -> None:
    city.land(
        ("output", "Patient", resource("Patient", "p1", name=[{"family": "Quill"}]) + b"\n"),
        ("output", "Encounter", resource("Encounter", "e1") + b"\n"),
        ("output", "Observation", resource("Observation", "o1") + b"\n"),
    )
    key = city.patient("p1")
    assert city.link() == [
        {
            "patient_key": key,
            "source": SOURCE,
            "person_key": key,
            "linked_at": EXPORTED_AT,
            "method": "source_patient",
        }
    ]
    encounter, observation = city.pseudonyms.key("Encounter", "e1"), city.pseudonyms.key("Observation", "o1")
    found = vault.resolve(city.conn, [key, encounter, observation], vault.Access("test", "unit test", BATCH))
    assert found == {key: (SOURCE, "Patient", "p1"), encounter: (SOURCE, "Encounter", "e1")}


def test_linking_again_changes_nothing(city: City, vault_owner: vault.Connection) -> None:
    city.land(("output", "Patient", b"\n".join(resource("Patient", f"p{i}") for i in range(50))))
    first = city.link()
    before = vault_owner.execute("select * from vault.source_identity order by pseudonym").fetchall()
    assert city.link() == first
    assert vault_owner.execute("select * from vault.source_identity order by pseudonym").fetchall() == before
    assert len(first) == 50


def test_deleted_patients_are_known_too(city: City) -> None:
    entries = [
        {"request": {"method": "DELETE", "url": url}}
        for url in ("Patient/gone", "Observation/o9", "nonsense")
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    city.land(("deleted", "Bundle", json.dumps(bundle).encode()))
    assert [row["patient_key"] for row in city.link()] == [city.patient("gone")]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"resourceType":"Patient"}',
        b'{"resourceType":"Patient","id":7}',
        b'{"resourceType":"Patient","id":""}',
        b'{"resourceType":"Patient","id":"\xff"}',
        b'{"resourceType":"Patient","id":"p2","gender":"\\u0000"}',
        b'{"resourceType":"Patient","id":"p2\\u0000"}',
        b'{"resourceType":"Patient","id":"p2","id":"p3"}',
        resource("Encounter", "e1"),
        b"\r",
    ],
    ids=[
        "cut",
        "no object",
        "no id",
        "id is a number",
        "empty id",
        "not UTF-8",
        "a NUL",
        "a NUL in the id",
        "two ids",
        "other type",
        "blank",
    ],
)
def test_lines_for_the_quarantine_are_passed_over(city: City, line: bytes) -> None:
    city.land(("output", "Patient", b"\xef\xbb\xbf" + resource("Patient", "p1") + b"\r\n" + line + b"\n"))
    assert [row["patient_key"] for row in city.link()] == [city.patient("p1")]


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "DELETE", "url": "Patient/p2\0"},
        {"method": "PUT", "url": "Patient/p2"},
        {"method": "DELETE"},
    ],
    ids=["a NUL", "no deletion", "no target"],
)
def test_bundles_for_the_quarantine_are_passed_over(city: City, request_: dict[str, str]) -> None:
    entries = [{"request": {"method": "DELETE", "url": "Patient/p1"}}], [{"request": request_}]
    bundles = [json.dumps({"resourceType": "Bundle", "entry": entry}).encode() for entry in entries]
    city.land(("deleted", "Bundle", b"\n".join(bundles)))
    assert [row["patient_key"] for row in city.link()] == [city.patient("p1")]


def test_a_batch_that_has_not_landed_says_so(city: City) -> None:
    with pytest.raises(CitywellError, match="has not landed"):
        city.link()
