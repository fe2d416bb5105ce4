"""What happened to a ritual, as it stands in the journal.

The module is in the first event (base64) and in no other: it never changes, so a use or a rating is a few bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, UnsetType

from actors.ritual.commands import Difficulty
from actors.ritual.values import Abi
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct

FORMAT: Final = 1


class About(Struct, frozen=True, kw_only=True):
    """What is said about a ritual, who sees it, and what it asks of a state: all that its author may change."""

    name: str = ""
    description: str = ""
    intent: str = ""
    tradition: str | None = None
    difficulty_level: Difficulty = "beginner"
    required_archetypes: tuple[str, ...] = ()
    energy_requirements: Mapping[str, float] = {}
    is_public: bool = False


class Uploaded(Struct, frozen=True, kw_only=True, tag="uploaded"):
    """The ritual began. ``author`` None: it is one of Sangha's own."""

    author: str | None = None
    about: About
    module_language: str | None = None
    module: bytes
    module_hash: str
    abi: Abi


class Edited(Struct, frozen=True, kw_only=True, tag="edited"):
    """What is said about it changed; only what did is here."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    intent: str | UnsetType = UNSET
    tradition: str | UnsetType | None = UNSET
    difficulty_level: Difficulty | UnsetType = UNSET
    required_archetypes: tuple[str, ...] | UnsetType = UNSET
    energy_requirements: Mapping[str, float] | UnsetType = UNSET
    is_public: bool | UnsetType = UNSET


class Withdrawn(Struct, frozen=True, kw_only=True, tag="withdrawn"):
    """Nobody begins a run of it any more."""


class Used(Struct, frozen=True, kw_only=True, tag="used"):
    """A run of it was completed."""

    run: str


class Rated(Struct, frozen=True, kw_only=True, tag="rated"):
    """A practitioner's newest word on it."""

    practitioner: str
    rating: int
    version: int


RitualEvent = Uploaded | Edited | Withdrawn | Used | Rated

codec: Final[Codec[RitualEvent]] = Codec(RitualEvent, FORMAT)
