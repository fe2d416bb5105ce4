"""What a collective space can be asked. The types carry every bound that is not a setting.

JSON values (``body``, ``shared_state``, ``ritual_schedule``) are JSON texts in bytes; ``codec.from_wire`` makes them of a
request's parsed values. Bounds that are settings are held by ``decide``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from actors.ritual.values import INTENTION_MAX, Brief
from actors.runtime.codec import CommandCodec, Uuid
from actors.runtime.entity import Struct

NO_NUL: Final = r"^[^\x00]*$"
"""Postgres keeps no U+0000 in text."""

# (?!\n): Python's $ also matches before a final newline.
Slug = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$(?!\n)", description="a unique name, never of the form of a UUID")
]
# Constants and not settings: they stand in the types, the served documents are made of those, and stored names stay valid.
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^(?!\s*$)[^\x00]*$")]
Purpose = Annotated[str, Meta(max_length=2_000, pattern=NO_NUL)]
Tradition = Annotated[str, Meta(max_length=100, pattern=NO_NUL)]
ParticipantLimit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
AccessLevel = Literal["open", "invite", "private"]
Intention = Annotated[
    str, Meta(max_length=INTENTION_MAX, pattern=NO_NUL, description="what the ritual is held for, in one's own words")
]
StartsIn = Annotated[float, Meta(ge=0, le=3_600, description="seconds until opening begins")]
StartsAt = Annotated[
    datetime, Meta(tz=True, description="in place of starts_in_s: up to a year ahead; it is scheduled")
]
StageLength = Annotated[float, Meta(ge=0, le=600, description="seconds that the stage lasts")]


class Command(Struct, frozen=True):
    """One of the below."""

    json_fields: ClassVar[frozenset[str]] = frozenset()


class CreateSpace(Command, frozen=True, kw_only=True, tag="create", forbid_unknown_fields=True):
    """The first command of a space. The caller becomes its facilitator, and participates by joining like everyone."""

    json_fields: ClassVar[frozenset[str]] = frozenset({"ritual_schedule"})

    name: Name
    purpose: Purpose
    slug: Slug | None = None
    tradition: Tradition | None = None
    participant_limit: ParticipantLimit = 12
    access_level: AccessLevel = "invite"
    ritual_schedule: bytes = b"null"


class UpdateSpace(Command, frozen=True, kw_only=True, tag="update", forbid_unknown_fields=True):
    """Changes what is given. The facilitator's."""

    json_fields: ClassVar[frozenset[str]] = frozenset({"ritual_schedule", "shared_state"})

    name: Name | UnsetType = UNSET
    purpose: Purpose | UnsetType = UNSET
    tradition: Tradition | UnsetType | None = UNSET
    participant_limit: ParticipantLimit | UnsetType = UNSET
    access_level: AccessLevel | UnsetType = UNSET
    ritual_schedule: bytes | UnsetType = UNSET
    shared_state: bytes | UnsetType = UNSET


class Invite(Command, frozen=True, kw_only=True, tag="invite", forbid_unknown_fields=True):
    """Lets an account in. The facilitator's."""

    practitioner: Uuid


class Join(Command, frozen=True, kw_only=True, tag="join", forbid_unknown_fields=True):
    """Become a participant and follow the stream."""


class Leave(Command, frozen=True, kw_only=True, tag="leave", forbid_unknown_fields=True):
    """Be a participant no longer."""


class Close(Command, frozen=True, kw_only=True, tag="close", forbid_unknown_fields=True):
    """End the space for everyone. The facilitator's."""


class SendMessage(Command, frozen=True, kw_only=True, tag="send", forbid_unknown_fields=True):
    """Say something to every participant."""

    json_fields: ClassVar[frozenset[str]] = frozenset({"body"})

    body: bytes


class Pulse(Command, frozen=True, kw_only=True, tag="pulse", forbid_unknown_fields=True):
    """The phase of one's breath or pulse, in radians."""

    phase_rad: float


NO_BRIEF: Final = Brief(id="", name="", module_hash="")
"""Of a ritual that the gateway did not find: a retry is answered all the same, a new request is ``not_found``."""


class BeginRitual(Command, frozen=True, kw_only=True, tag="ritual_begin", forbid_unknown_fields=True):
    """A group ritual, which opens at a server time. The facilitator's.

    ``at`` in place of ``starts_in_s`` schedules it: up to a year ahead, gathering begins a minute before. A retry has to
    repeat ``ritual``, by which the client named it, but not ``brief``, which is what that meant to the gateway at the time.
    """

    json_fields: ClassVar[frozenset[str]] = frozenset({"parameters"})

    brief: Brief
    ritual: str = ""
    intention: Intention = ""
    parameters: bytes = b"{}"
    starts_in_s: StartsIn = 10.0
    at: StartsAt | None = None
    opening_s: StageLength = 3.0
    integration_s: StageLength = 3.0

    def __post_init__(self) -> None:
        try:
            _ = self.at and self.at.astimezone(UTC)
        except OverflowError:
            raise ValueError("at: in UTC it has to be in the years 1 to 9999") from None


class AbortRitual(Command, frozen=True, kw_only=True, tag="ritual_abort", forbid_unknown_fields=True):
    """End the group ritual (or, by ``ritual_run``, a scheduled one). The facilitator's. Who is being transformed still is."""

    ritual_run: Uuid | None = None


class Depart(Command, frozen=True, kw_only=True, tag="depart", forbid_unknown_fields=True):
    """An account that had to do with the space is being deleted. From the practitioner, as their effect, or the gateway."""

    practitioner: Uuid


class FinishDeparture(Command, frozen=True, kw_only=True, tag="finish_departure", forbid_unknown_fields=True):
    """The space's stored events no longer have the name of an account that is gone. From the gateway."""

    practitioner: Uuid


class GetRitual(Command, frozen=True, kw_only=True, tag="ritual_get", forbid_unknown_fields=True):
    """``{current, last, scheduled}`` of the space's group rituals, for whoever may read it."""


class GetSpace(Command, frozen=True, kw_only=True, tag="get", forbid_unknown_fields=True):
    """The space as it is now."""


SpaceCommand = (
    CreateSpace
    | UpdateSpace
    | Invite
    | Join
    | Leave
    | Close
    | SendMessage
    | Pulse
    | BeginRitual
    | AbortRitual
    | Depart
    | FinishDeparture
    | GetRitual
    | GetSpace
)

codec: Final[CommandCodec[SpaceCommand]] = CommandCodec(SpaceCommand)
encode = codec.encode
