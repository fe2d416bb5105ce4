"""What happened in a collective space, as it stands in the journal.

Events carry all that their fold and their push need: names as they were shown then, and times that came of a setting, so
that a replay under other settings gives the same state. ``from`` is ``by`` and ``name``; a name of None is a practitioner
who shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from actors.runtime.codec import NULL, Codec
from actors.runtime.entity import Struct
from actors.space.commands import AccessLevel
from actors.space.group_events import GroupEvent

FORMAT: Final = 1
DEPARTED: Final = "departed"
"""The name of whoever's account is deleted."""


class Created(Struct, frozen=True, kw_only=True, tag="created"):
    """The space began. ``ends_at`` is the end of a guest's session, with which the guest's space ends."""

    by: str
    by_name: str | None = None
    name: str
    purpose: str
    slug: str | None = None
    tradition: str | None = None
    participant_limit: int
    access_level: AccessLevel
    ritual_schedule: msgspec.Raw = NULL
    ends_at: datetime | None = None


class Updated(Struct, frozen=True, kw_only=True, tag="updated"):
    """What is set has changed."""

    by: str
    by_name: str | None = None
    name: str | UnsetType = UNSET
    purpose: str | UnsetType = UNSET
    tradition: str | UnsetType | None = UNSET
    participant_limit: int | UnsetType = UNSET
    access_level: AccessLevel | UnsetType = UNSET
    ritual_schedule: msgspec.Raw | UnsetType = UNSET
    shared_state: msgspec.Raw | UnsetType = UNSET


class Invited(Struct, frozen=True, kw_only=True, tag="invited"):
    """A practitioner may enter; ``effect`` is the notification that is owed to them."""

    by: str
    by_name: str | None = None
    practitioner: str
    effect: str
    space_name: str


class InviteDelivered(Struct, frozen=True, kw_only=True, tag="invite_delivered"):
    """The notification arrived. Not published."""

    effect: str


class InviteFailed(Struct, frozen=True, kw_only=True, tag="invite_failed"):
    """There is nobody to notify: the invitation is withdrawn. Not published."""

    effect: str
    error: str


class Joined(Struct, frozen=True, kw_only=True, tag="joined"):
    """A new participant. ``sweep_at`` is set where no sweep was due. Before there were group rituals, guests were not told
    apart: one of those is called like an account, and fails with ``not_found``."""

    by: str
    by_name: str | None = None
    guest: bool = False
    sweep_at: datetime | None = None
    facilitates: bool = False
    """The facilitator's seat was vacant, and is theirs now."""


class Renamed(Struct, frozen=True, kw_only=True, tag="renamed"):
    """A participant joined again and shows another name, or none any more."""

    by: str
    by_name: str | None = None


class Left(Struct, frozen=True, kw_only=True, tag="left"):
    """A participant no longer, by their own word or by absence."""

    by: str
    by_name: str | None = None
    reason: Literal["left", "absent"] = "left"
    guest: bool = False
    """For the row of an account; not told of those who left before there were any."""


class Swept(Struct, frozen=True, kw_only=True, tag="swept"):
    """Participants were looked through for absence. Not published.

    ``away`` has who was absent, and since when, though not long enough: an entity at rest forgets its live part, and
    without this its absentees would begin anew with every sweep.
    """

    next_at: datetime | None = None
    away: Mapping[str, datetime] = {}


class Returned(Struct, frozen=True, kw_only=True, tag="returned"):
    """These were away at the last sweep and are back. Not published."""

    practitioners: tuple[str, ...]


class Message(Struct, frozen=True, kw_only=True, tag="message"):
    """Somebody said something."""

    by: str
    by_name: str | None = None
    body: msgspec.Raw


class Closed(Struct, frozen=True, kw_only=True, tag="closed"):
    """The end: by the facilitator, with the session of the guest who made the space, or with the account of the last who could
    enter it."""

    by: str | None = None
    by_name: str | None = None
    reason: Literal["closed", "guest", "departed"] = "closed"


class Departed(Struct, frozen=True, kw_only=True, tag="departed"):
    """An account is deleted: whatever ``by`` said is from ``departed`` from here on. ``facilitator`` is set where that was
    theirs: whose it is now, None where it is vacant."""

    by: str
    by_name: str | None = None
    facilitator: str | UnsetType | None = UNSET


class DepartureFinished(Struct, frozen=True, kw_only=True, tag="departure_finished"):
    """No stored event has their name any more. Not published."""

    practitioner: str


SpaceEvent = (
    Created
    | Updated
    | Invited
    | InviteDelivered
    | InviteFailed
    | Joined
    | Renamed
    | Left
    | Swept
    | Returned
    | Message
    | Closed
    | Departed
    | DepartureFinished
    | GroupEvent
)

codec: Final[Codec[SpaceEvent]] = Codec(SpaceEvent, FORMAT)
