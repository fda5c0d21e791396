"""What every part of a source definition has in common: frozen, and an unknown word is an error."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Sentence = Annotated[str, StringConstraints(min_length=5, strip_whitespace=True)]
ResourceType = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]{1,60}$")]
Sensitivity = Literal["none", "pseudonym", "health"]


class Declared(BaseModel):
    """A frozen part of a definition: a typing slip must not pass silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_a_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not an IANA time zone, such as Europe/Berlin") from None
    return value


TimeZone = Annotated[str, AfterValidator(_is_a_zone)]
