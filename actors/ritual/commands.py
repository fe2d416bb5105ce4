"""What a ritual (its catalog entry) can be asked. The types carry every bound.

``id`` of a ritual: uuid5 of the operation that uploaded it, or of the name of a built-in one. A module never changes once
it is uploaded (a new version is another ritual), so that every recorded run can be replayed and a rating means one thing;
what may be edited is what is said about it and who sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from actors.ritual.values import MODULE_BYTES_MAX, Abi
from actors.runtime.codec import CommandCodec, Uuid
from actors.runtime.entity import Struct

MODULE_BYTES_MIN: Final = 8
"""The magic number and the version."""

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\s*$)[^\x00]*$")]
Text = Annotated[str, Meta(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")]
Tradition = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Language = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[^\x00]*$")]
Difficulty = Literal["beginner", "intermediate", "advanced", "master"]
ArchetypeName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
Level = Annotated[float, Meta(ge=0, le=1)]
Module = Annotated[bytes, Meta(min_length=MODULE_BYTES_MIN, max_length=MODULE_BYTES_MAX)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Rating = Annotated[int, Meta(ge=1, le=10)]


class Command(Struct, frozen=True):
    """One of the below."""


class Upload(Command, frozen=True, kw_only=True, tag="upload", forbid_unknown_fields=True):
    """The first command of a ritual. The gateway has had the module checked in a sandbox; ``module_hash`` and ``abi`` are
    what that said, and the entity verifies the hash. No caller: one of Sangha's own."""

    name: Name
    description: Text
    intent: Text
    tradition: Tradition | None = None
    difficulty_level: Difficulty = "beginner"
    required_archetypes: Annotated[tuple[ArchetypeName, ...], Meta(max_length=64)] = ()
    energy_requirements: Annotated[Mapping[ArchetypeName, Level], Meta(max_length=64)] = {}
    module_language: Language | None = None
    is_public: bool = False
    module: Module
    module_hash: Sha256
    abi: Abi


class Edit(Command, frozen=True, kw_only=True, tag="edit", forbid_unknown_fields=True):
    """Changes what is given; ``is_public`` publishes. The author's."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    intent: Text | UnsetType = UNSET
    tradition: Tradition | UnsetType | None = UNSET
    difficulty_level: Difficulty | UnsetType = UNSET
    required_archetypes: Annotated[tuple[ArchetypeName, ...], Meta(max_length=64)] | UnsetType = UNSET
    energy_requirements: Annotated[Mapping[ArchetypeName, Level], Meta(max_length=64)] | UnsetType = UNSET
    is_public: bool | UnsetType = UNSET


class Withdraw(Command, frozen=True, kw_only=True, tag="withdraw", forbid_unknown_fields=True):
    """Takes it from the catalog for good: nobody begins anything with it any more. What was begun goes on (a group ritual that
    was scheduled, too), for the module stays, as it does for the replay of runs. The author's."""


class Orphan(Command, frozen=True, kw_only=True, tag="orphan", forbid_unknown_fields=True):
    """The author's account is gone: what they never published is withdrawn. From the author, as their effect."""


class GetDetails(Command, frozen=True, kw_only=True, tag="details", forbid_unknown_fields=True):
    """All but the module."""


class GetBrief(Command, frozen=True, kw_only=True, tag="brief", forbid_unknown_fields=True):
    """A ``Brief``, where the caller may run it."""


class GetModule(Command, frozen=True, kw_only=True, tag="module", forbid_unknown_fields=True):
    """``{module_hash, module (base64), withdrawn}``. Without a caller it is a sandbox, which gets it in any case."""


class RecordUse(Command, frozen=True, kw_only=True, tag="record_use", forbid_unknown_fields=True):
    """A run of it was completed. From a practitioner, as their effect."""

    run: Uuid


class Rate(Command, frozen=True, kw_only=True, tag="rate", forbid_unknown_fields=True):
    """A practitioner's newest word on it. From the practitioner, as their effect. ``version`` counts their words upward: an
    older one that comes late changes nothing."""

    practitioner: Uuid
    rating: Rating
    version: Annotated[int, Meta(ge=1)]


RitualCommand = Upload | Edit | Withdraw | Orphan | GetDetails | GetBrief | GetModule | RecordUse | Rate

codec: Final[CommandCodec[RitualCommand]] = CommandCodec(RitualCommand)
encode = codec.encode
