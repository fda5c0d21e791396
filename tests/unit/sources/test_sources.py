"""Source definitions: what is declared is read, and every slip is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from jobs import sources
from jobs.errors import CitywellError
from jobs.settings import settings


def definition() -> dict:
    return yaml.safe_load(
        """
        name: clinic
        description: A clinic for these tests.
        protocol: fhir_bulk
        owner: somebody
        licence: none
        schedule: null
        endpoints:
          clinic_a:
            description: The only endpoint.
            base_url: http://127.0.0.1:1/fhir
            auth: {method: smart, client_id: citywell, alg: ES384}
            time_zone: Europe/Berlin
        checks: {max_quarantined_pct: 5}
        tables:
          patient:
            resource: Patient
            grain: One row per patient.
            key: patient_key
            month_column: valid_from
            columns:
              sex: {type: string, description: Sex on record., sensitivity: health, values: [female, male]}
              age: {type: int, description: Age at something., sensitivity: health, min: 0, max: 130}
        """
    )


def write(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "clinic.yml"
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return path


def test_a_definition_is_read_and_frozen(tmp_path: Path) -> None:
    source = sources.load_file(write(tmp_path, definition()))
    endpoint = source.endpoints["clinic_a"]
    assert endpoint.name == "clinic_a"
    assert endpoint.key_path(Path("keys")) == Path("keys/fhir_clinic_a.pem")
    assert source.tables["patient"].columns["sex"].values == ("female", "male")
    with pytest.raises(ValueError, match="frozen"):
        endpoint.base_url = "http://other"  # type: ignore[misc]


SLIPS = {
    "an unknown word": (("endpoints", "clinic_a", "supports_sinc"), True, "endpoints.clinic_a.supports_sinc"),
    "an unknown time zone": (("endpoints", "clinic_a", "time_zone"), "Mars/Base", "IANA time zone"),
    "a directory of time zones": (("endpoints", "clinic_a", "time_zone"), "Europe", "IANA time zone"),
    "a further address with a slash": (
        ("endpoints", "clinic_a", "other_base_urls"),
        ["http://inner/fhir/"],
        "clinic_a.other_base_urls.0",
    ),
    "an unknown algorithm": (("endpoints", "clinic_a", "auth", "alg"), "HS256", "endpoints.clinic_a.auth"),
    "a link with a query": (("endpoints", "clinic_a", "base_url"), "http://x/f?token=1", "clinic_a.base_url"),
    "a group without id": (("endpoints", "clinic_a", "export_level"), "group", "group_id"),
    "an unknown setting": (("endpoints", "clinic_a", "base_url"), "${CITYWELL_NO_SUCH}", "is not a setting"),
    "another variable": (("endpoints", "clinic_a", "base_url"), "${PATH}", "is not a setting"),
    "a method of the settings": (
        ("endpoints", "clinic_a", "base_url"),
        "${CITYWELL_POSTGRES_DSN}",
        "not a setting",
    ),
    "an unknown type": (("tables", "patient", "columns", "sex", "type"), "text", "columns.sex"),
    "limits on text": (("tables", "patient", "columns", "sex", "min"), 1, "numeric"),
    "a first day of text": (("tables", "patient", "columns", "sex", "not_before"), "valid_from", "for dates"),
    "a tolerance of nothing": (
        ("tables", "patient", "columns", "age", "tolerance_min"),
        5,
        "tolerance_min is for",
    ),
    "limits turned round": (("tables", "patient", "columns", "age", "max"), -1, "min is above max"),
    "an unknown sensitivity": (
        ("tables", "patient", "columns", "sex", "sensitivity"),
        "secret",
        "columns.sex",
    ),
    "a month column that is not there": (("tables", "patient", "month_column"), "seen_at", "seen_at"),
    "a column of every table": (("tables", "patient", "key"), "sex", "not declared again: sex"),
    "another name than the file's": (("name",), "other", "must be 'clinic'"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_named_with_file_and_place(tmp_path: Path, slip: str) -> None:
    (*way, last), value, message = SLIPS[slip]
    data = definition()
    place = data
    for step in way:
        place = place[step]
    place[last] = value
    with pytest.raises(CitywellError) as error:
        sources.load_file(write(tmp_path, data))
    assert message in str(error.value)
    assert "clinic.yml" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not YAML in line"),
        ("- a", "not a mapping"),
        ("name: clinic\nname: b", "'name' stands here twice"),
        ("name: clinic\n? [a]\n: 1", "not YAML in line 2: a key that is no single word"),
        ("name: clinic\n? {a: 1}\n: 1", "not YAML in line 2: a key that is no single word"),
        ("name: clinic\nschedule: 2026-02-31", "a date there is not"),
        (b"name: clinic\n# \xff", "not UTF-8 at byte 15"),
    ],
)
def test_broken_yaml_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(CitywellError, match=message) as error:
        sources.load_file(write(tmp_path, text))
    assert "clinic.yml" in str(error.value)


def test_a_value_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    data = definition()
    data["endpoints"]["clinic_a"]["auth"]["client_secret"] = "hunter2"
    with pytest.raises(CitywellError) as error:
        sources.load_file(write(tmp_path, data))
    assert "client_secret" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_the_hospitals_are_declared_and_follow_the_settings() -> None:
    hospital = sources.load("hospital")
    assert {name for name, e in hospital.endpoints.items() if not e.on_demand} == {
        "hospital_north",
        "hospital_harbour",
        "hospital_university",
    }
    assert hospital.endpoints["hospital_north"].base_url == f"{settings().city_url}/north/fhir"
    assert sources.find_endpoint("hospital_given")[1].on_demand
    assert sources.load_all()["hospital"] == hospital


def test_an_unknown_source_and_endpoint_are_answered_with_the_known_ones() -> None:
    with pytest.raises(CitywellError, match="no source named 'pharmcy'") as error:
        sources.load("pharmcy")
    assert "hospital" in error.value.do
    with pytest.raises(CitywellError, match="hospital_nort") as error:
        sources.find_endpoint("hospital_nort")
    assert "hospital_north" in error.value.do


FIELDS = {
    "id": {"type": "reference", "of": "Customer"},
    "name": {"type": "withheld"},
    "born": {"type": "birth_date"},
    "post": {"type": "postal_district"},
    "mail": {"type": "text"},
}


@pytest.mark.parametrize(
    ("person", "message"),
    [
        ({"key": "id", "family": "name", "birth_date": "born", "postal_code": "post"}, None),
        ({"key": "id", "family": "surname"}, "person: not declared as fields: surname"),
        ({"key": "name"}, "person.key: name is not a reference"),
        ({"key": "id", "email": "mail"}, "direct identifiers are withheld: mail"),
    ],
)
def test_what_tells_who_a_person_is_stays_out_of_the_lake(
    tmp_path: Path, person: dict[str, str], message: str | None
) -> None:
    data = definition()
    data["tables"]["patient"] |= {"fields": FIELDS, "identity": ["id"], "person": person}
    if message is None:
        assert sources.load_file(write(tmp_path, data)).tables["patient"].person is not None
        return
    with pytest.raises(CitywellError, match=message):
        sources.load_file(write(tmp_path, data))


@pytest.mark.parametrize(
    ("endpoint", "entity", "name", "message"),
    [
        ("energy_grid", "outage", "colour", "without: no fields: colour"),
        ("energy_grid", "outage", "cause", "without cause, yet it says how they come"),
        ("air_city", "reading", "hour", "records are told apart by hour"),
    ],
)
def test_a_feed_is_without_fields_that_no_record_needs(
    tmp_path: Path, endpoint: str, entity: str, name: str, message: str
) -> None:
    source, _ = sources.find_endpoint(endpoint)
    data = yaml.safe_load((sources.reading.DIRECTORY / f"{source.name}.yml").read_text())
    data["endpoints"][endpoint]["feeds"][entity]["without"] = [name]
    path = tmp_path / f"{source.name}.yml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(CitywellError, match=message):
        sources.load_file(path)


@pytest.mark.parametrize(
    ("identity", "message"),
    [("shelf", "stock.identity: no fields: shelf"), ("atc_code", "records are told apart by atc_code")],
)
def test_a_feed_tells_its_records_apart_by_fields_that_it_sends(
    tmp_path: Path, identity: str, message: str
) -> None:
    data = yaml.safe_load((sources.reading.DIRECTORY / "pharmacy.yml").read_text())
    data["endpoints"]["pharmacy_chain"]["feeds"]["stock"]["identity"] = [identity]
    path = tmp_path / "pharmacy.yml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(CitywellError, match=message):
        sources.load_file(path)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"type": "reference", "of": "Staff", "within": "house"}, "not declared as fields: house"),
        ({"type": "text", "within": "hospital"}, "within is for references"),
    ],
)
def test_a_reference_is_numbered_within_a_field(tmp_path: Path, field: dict[str, str], message: str) -> None:
    data = yaml.safe_load((sources.reading.DIRECTORY / "hospital_resources.yml").read_text())
    data["tables"]["roster"]["fields"]["staff_no"] = field
    path = tmp_path / "hospital_resources.yml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(CitywellError, match=message):
        sources.load_file(path)


@pytest.mark.parametrize(
    ("tells", "message"),
    [
        ("(?P<day>[0-9", "no regular expression"),
        ("[0-9]+", "no named group"),
        ("(?P<day>.)", "no fields: day"),
    ],
)
def test_what_file_names_tell_are_fields(tmp_path: Path, tells: str, message: str) -> None:
    data = yaml.safe_load((sources.reading.DIRECTORY / "energy.yml").read_text())
    data["endpoints"]["energy_grid"]["feeds"]["outage"]["tells"] = tells
    path = tmp_path / "energy.yml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(CitywellError, match=message):
        sources.load_file(path)
