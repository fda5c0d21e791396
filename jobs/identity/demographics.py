"""What records of any source say of who somebody is, in one shape: the input of linkage. For the vault alone.

A source plugs in with a function from its record to ``Demographics`` under the record's type in EXTRACTORS. Every field
is optional; the more a source gives, the better its people are linked. An empty text says that it is not known.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

Record = Mapping[str, Any]
BirthPrecision = Literal["day", "month", "year", ""]

NATIONAL_IDS = {
    "https://id.city.example/national": "city",
    "http://hl7.org/fhir/sid/us-ssn": "ssn",
}
"""Systems of identifiers that one person in a country has: system to the scheme's short name."""
RECORD_NUMBER = "MR"
"""Code of HL7 table 0203 for the number of a record at a house, https://terminology.hl7.org/CodeSystem-v2-0203.html."""
SEXES = ("female", "male")
_LATIN = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "ß": "ss",
        "æ": "ae",
        "ø": "oe",
        "å": "aa",
        "œ": "oe",
        "ð": "d",
        "þ": "th",
        "ł": "l",
        "đ": "d",
        "ħ": "h",
        "ı": "i",
        "ŧ": "t",
        "'": "",
        "’": "",
        "ʼ": "",
    }
)
"""Latin letters that do not decompose, or are written out in ASCII; apostrophes."""
_NO_DIGIT = re.compile(r"[^0-9]+")
_BIRTH = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)
_LEAST_PHONE_DIGITS = 6
_LONGEST = 200
"""Characters kept of a text: a longer one is no name."""


class Demographics(NamedTuple):
    """Identity attributes of one person as one source has them, normalised; empty where not known.

    house: who gives out ``record_number`` (an MRN, a customer number); the two together name one record. given: all
    given names, the usual one first. birth_date: ISO 8601, to the day, month or year. sex: female, male or empty.
    national_id: ``scheme:digits``."""

    house: str = ""
    record_number: str = ""
    given: str = ""
    family: str = ""
    birth_date: str = ""
    birth_precision: BirthPrecision = ""
    sex: str = ""
    national_id: str = ""
    phone: str = ""
    email: str = ""
    postal_code: str = ""
    street: str = ""
    city: str = ""

    @property
    def digest(self) -> str:
        """Names what is said: 32 hex digits."""
        return hashlib.sha256("\x1f".join(self).encode()).hexdigest()[:32]


Extractor = Callable[[Record, str], Demographics]
"""(record, house) to what it says. Never raises for a record of another shape than expected: it then says less."""


def normalised(
    *,
    house: str = "",
    record_number: str = "",
    given: str = "",
    family: str = "",
    birth_date: str = "",
    sex: str = "",
    national_id: str = "",
    national_id_scheme: str = "city",
    phone: str = "",
    email: str = "",
    postal_code: str = "",
    street: str = "",
    city: str = "",
) -> Demographics:
    """Demographics from texts as a source writes them. ``birth_date``: ISO 8601 or eight digits; another text counts as
    unknown. ``sex``: anything that begins with f or m."""
    birth, precision = _birth(birth_date)
    digits = _digits(national_id)[:_LONGEST]
    return Demographics(
        house=house,
        record_number=_in_one(record_number),
        given=fold(given),
        family=fold(family),
        birth_date=birth,
        birth_precision=precision,
        sex=next((name for name in SEXES if sex[:1].lower() == name[0]), ""),
        national_id=f"{national_id_scheme}:{digits}" if len(digits) >= _LEAST_PHONE_DIGITS else "",
        phone=_phone(phone),
        email=unicodedata.normalize("NFC", email.strip()).casefold()[:_LONGEST] if "@" in email else "",
        postal_code=_in_one(postal_code),
        street=fold(street),
        city=fold(city),
    )


@lru_cache(maxsize=50_000)
def fold(text: str) -> str:
    """Lower-case words, one space between, Latin letters as ASCII: ``Søren  O'Neil-Ibáñez`` is ``soeren oneil ibanez``.

    Letters of other scripts stay, without accents: ``Пётр`` is ``петр``. At most _LONGEST characters.
    """
    folded = unicodedata.normalize("NFC", text[:_LONGEST]).casefold().translate(_LATIN)
    plain = "".join(map(_plain, unicodedata.normalize("NFKD", folded).casefold()))
    return " ".join(plain.split())[:_LONGEST].rstrip()


@lru_cache(maxsize=10_000)
def _plain(character: str) -> str:
    """A character of a word as it is, nothing for an accent or what is not seen, a space for any other. Vowel signs,
    as of Devanagari and Thai, are part of a word."""
    category = unicodedata.category(character)
    if unicodedata.combining(character) or category == "Cf":
        return ""
    return character if category[0] in "LMN" else " "


def is_valid_national_id(national_id: str) -> bool:
    """Whether ``scheme:digits`` can have been given to somebody: the city's ends in the number's remainder by 97."""
    scheme, _, digits = national_id.partition(":")
    if scheme == "city":
        return len(digits) == 12 and int(digits[:10]) % 97 == int(digits[10:])
    return scheme == "ssn" and len(digits) == 9 and len(set(digits)) > 1


def of_patient(patient: Record, house: str) -> Demographics:
    """What a FHIR R4 Patient says."""
    name = _best(patient.get("name"), ("official", "usual"))
    address = _best(patient.get("address"), ("home",))
    number, scheme = _national(patient)
    given = name.get("given")
    return normalised(
        house=house,
        record_number=_record_number(patient),
        given=" ".join(map(_text, given)) if isinstance(given, list) else "",
        family=_text(name.get("family")),
        birth_date=_text(patient.get("birthDate")),
        sex=_text(patient.get("gender")) if patient.get("gender") in SEXES else "",
        national_id=number,
        national_id_scheme=scheme,
        phone=_telecom(patient, "phone"),
        email=_telecom(patient, "email"),
        postal_code=_text(address.get("postalCode")),
        street=" ".join(map(_text, address["line"])) if isinstance(address.get("line"), list) else "",
        city=_text(address.get("city")),
    )


EXTRACTORS: dict[str, Extractor] = {"Patient": of_patient}
"""By type of record."""


def _birth(text: str) -> tuple[str, BirthPrecision]:
    if len(text) == 8 and text.isdecimal():
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    match = _BIRTH.fullmatch(text)
    if match is None:
        return "", ""
    return text, "day" if match[3] else "month" if match[2] else "year"


def _in_one(text: str) -> str:
    return fold(text).replace(" ", "")


def _phone(text: str) -> str:
    digits = _digits(text).lstrip("0")[:_LONGEST]
    return digits if len(digits) >= _LEAST_PHONE_DIGITS else ""


def _digits(text: str) -> str:
    return _NO_DIGIT.sub("", text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: object) -> Iterator[Record]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _best(values: object, uses: tuple[str, ...]) -> Record:
    """The first of ``values`` of the first of ``uses`` there is; else the first that is not old."""
    found = [item for item in _objects(values) if item.get("use") != "old"]
    for use in uses:
        for item in found:
            if item.get("use") == use:
                return item
    return found[0] if found else {}


def _national(patient: Record) -> tuple[str, str]:
    for identifier in _objects(patient.get("identifier")):
        system = identifier.get("system")
        if isinstance(system, str) and system in NATIONAL_IDS:
            return _text(identifier.get("value")), NATIONAL_IDS[system]
    return "", "city"


def _record_number(patient: Record) -> str:
    for identifier in _objects(patient.get("identifier")):
        kind = identifier.get("type")
        codings = kind.get("coding") if isinstance(kind, dict) else None
        if any(coding.get("code") == RECORD_NUMBER for coding in _objects(codings)):
            return _text(identifier.get("value"))
    return ""


def _telecom(patient: Record, system: str) -> str:
    for contact in _objects(patient.get("telecom")):
        if contact.get("system") == system and contact.get("use") != "old":
            return _text(contact.get("value"))
    return ""
