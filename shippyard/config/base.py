"""Owns what every part of the configuration is made of: a frozen model, names, zones."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict

Environment = Literal["development", "testing", "staging", "production"]

NAME = r"^[a-z][a-z0-9_-]{0,62}$"


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError):
        raise ValueError(f"unknown time zone {name!r}; use a name such as Europe/Oslo") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]


class Model(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
