"""Pseudonyms are HMAC-SHA256 as documented, stable, and different for every part of their input."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from jobs.errors import CitywellError
from jobs.identity.pseudonyms import Pseudonymiser, ensure_key, key_id, load_key

KEY = bytes(range(32))


def test_construction_agrees_with_the_standard_library() -> None:
    info = b"citywell/pseudonym/v1/lake\x01"
    purpose_key = hmac.new(KEY, info, hashlib.sha256).digest()
    expected = hmac.new(purpose_key, b"hospital_north|Patient|p-1", hashlib.sha256).hexdigest()[:32]
    assert Pseudonymiser(KEY, "hospital_north").key("Patient", "p-1") == expected


def test_known_answer_does_not_drift_between_releases() -> None:
    assert Pseudonymiser(KEY, "hospital_north").key("Patient", "p-1") == "e1bce565be915b3dd2d3debd66603640"
    assert key_id(KEY) == "a84e10d2"


@pytest.mark.parametrize(
    "other",
    [
        Pseudonymiser(KEY, "hospital_harbour").key("Patient", "1"),
        Pseudonymiser(KEY, "hospital_north").key("Encounter", "1"),
        Pseudonymiser(KEY, "hospital_north").key("Patient", "2"),
        Pseudonymiser(KEY, "hospital_north", purpose="linkage").key("Patient", "1"),
        Pseudonymiser(bytes(32), "hospital_north").key("Patient", "1"),
    ],
    ids=["source", "type", "id", "purpose", "key"],
)
def test_each_part_of_the_input_changes_the_pseudonym(other: str) -> None:
    assert other != Pseudonymiser(KEY, "hospital_north").key("Patient", "1")


def test_a_full_cache_forgets_but_answers_the_same() -> None:
    small, large = Pseudonymiser(KEY, "s", cache=2), Pseudonymiser(KEY, "s")
    ids = ["a", "ü", "c", "a", "d", "ü", ""]
    assert [small.key("Patient", i) for i in ids] == [large.keyer("Patient")(i) for i in ids]


def test_a_separator_in_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="source name"):
        Pseudonymiser(KEY, "a|Patient")
    with pytest.raises(ValueError, match="resource type"):
        Pseudonymiser(KEY, "a").key("Patient|x", "1")


def test_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "pseudonym.key"
    first = ensure_key(path)
    assert ensure_key(path) == first == load_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["pseudonym.key"]


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "\xff" * 64])
def test_a_damaged_key_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pseudonym.key"
    path.write_text(text)
    with pytest.raises(CitywellError, match="not 32 bytes of hex"):
        ensure_key(path)
    assert path.read_text() == text


def test_a_missing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CitywellError, match="citywell up"):
        load_key(tmp_path / "pseudonym.key")
