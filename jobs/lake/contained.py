"""Resources that stand inside another one, which a reference ``#id`` in that one points at.

They have no identity of their own, so they are read with what contains them or not at all.
Source: https://hl7.org/fhir/R4/references.html#contained.
"""

from __future__ import annotations

from typing import Any

import msgspec

from jobs.lake.strict import Rejected

_ENCODER = msgspec.json.Encoder()
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_INLINE, _REFERENCE = "medicationCodeableConcept", "medicationReference"


def inlined(raw: dict[str, Any], line: bytes) -> bytes:
    """``line``, whose JSON is ``raw``, with the code of a contained Medication in place of the reference to it.

    Every other member stays as written, down to the digits of its numbers. Raises Rejected where the Medication is
    not there once, or has no code, and for a resource whose results are contained.
    """
    if any(_contained_id(result) for result in _list(raw.get("result"))):
        raise Rejected("contained_not_read", "a result is contained in it, and not a record of its own")
    source_id = _contained_id(raw.get(_REFERENCE))
    if source_id is None or raw.get(_INLINE) is not None:
        return line
    codes = [
        resource.get("code")
        for resource in _list(raw.get("contained"))
        if isinstance(resource, dict)
        and (resource.get("resourceType"), resource.get("id")) == ("Medication", source_id)
    ]
    if len(codes) != 1 or not codes[0]:
        raise Rejected("contained_not_read", "it points at no one contained Medication that has a code")
    members = _MEMBERS.decode(line)
    del members[_REFERENCE]
    members[_INLINE] = msgspec.Raw(_ENCODER.encode(codes[0]))
    return _ENCODER.encode(members)


def _contained_id(reference: Any) -> str | None:
    """The id of the contained resource that a reference points at; None for another reference, or for none."""
    target = reference.get("reference") if isinstance(reference, dict) else None
    return target[1:] if isinstance(target, str) and target.startswith("#") else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
