"""What happened in an audio session, as it stands in the journal.

An event carries the whole session as it is from then on: there are few of them, the push shows it whole, and a follower who
missed some needs none but the last. ``elapsed_time`` is what had been heard of it then, in whole seconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from actors.audio.presets import Sound
from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio_session.commands import Status
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct

FORMAT: Final = 1


class Session(Struct, frozen=True, kw_only=True):
    """All of a session. ``recipe`` is what ``sound`` became, with what was changed while it ran and can still sound;
    ``frequencies`` are those that sound now. ``device_error``: why its sound device does not do what it was told.
    ``expires_at``: the end of the guest whose it is."""

    id: str
    owner: str
    name: str
    intention: str
    metadata: dict[str, Any]
    status: Status
    sound: Sound
    recipe: Recipe
    frequencies: tuple[float, ...]
    notes: tuple[str, ...] = ()
    timeline: Timeline = Timeline()
    astrology_enabled: bool = False
    hardware_enabled: bool = False
    visuals_enabled: bool = False
    device: str | None = None
    device_error: str | None = None
    space: str | None = None
    published: bool = False
    created_at: datetime
    updated_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    expires_at: datetime | None = None


class Became(Struct, frozen=True, kw_only=True):
    """One of the below but the last two."""

    session: Session
    elapsed_time: int = 0


class Created(Became, frozen=True, kw_only=True, tag="created"):
    """It began."""


class Updated(Became, frozen=True, kw_only=True, tag="updated"):
    """What is said of it, or what sounds, changed."""


class Started(Became, frozen=True, kw_only=True, tag="started"):
    """It runs from the timeline's anchor on, from its beginning or from where it was."""


class Paused(Became, frozen=True, kw_only=True, tag="paused"):
    """It stands."""


class Stopped(Became, frozen=True, kw_only=True, tag="stopped"):
    """Somebody ended it."""


class Completed(Became, frozen=True, kw_only=True, tag="completed"):
    """It was heard to its end."""


class Shared(Became, frozen=True, kw_only=True, tag="shared"):
    """It is shared with another space, or with none."""


class Deleted(Struct, frozen=True, kw_only=True, tag="deleted"):
    """It is no more."""


class DeviceAnswered(Struct, frozen=True, kw_only=True, tag="device_answered"):
    """The sound device did what it was told, or said in words why not; or an order no longer matters. ``session`` as it is from
    then on, where that is news."""

    effect: str
    error: str | None = None
    session: Session | None = None
    elapsed_time: int = 0


SessionEvent = Created | Updated | Started | Paused | Stopped | Completed | Shared | Deleted | DeviceAnswered

codec: Final[Codec[SessionEvent]] = Codec(SessionEvent, FORMAT)
