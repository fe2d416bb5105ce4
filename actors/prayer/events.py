"""What happened to a prayer wheel, as it stands in the journal. While it spins nothing does: the count follows from the time."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from actors.prayer.spin import Spin
from actors.runtime.codec import Codec, Uuid
from actors.runtime.entity import Struct

FORMAT: Final = 1

Reason = Literal["stopped", "done", "changed", "dedicated", "erased"]


class AccumulationBegan(Struct, frozen=True, kw_only=True, tag="accumulation_began"):
    """A mantra is turned for the first time since its last dedication."""

    id: Uuid
    mantra: str
    intention: str = ""


class IntentionSet(Struct, frozen=True, kw_only=True, tag="intention_set"):
    """An open accumulation is for something else from here on."""

    accumulation: Uuid
    intention: str


class Rotated(Struct, frozen=True, kw_only=True, tag="rotated"):
    """By hand."""

    accumulation: Uuid
    rotations: int


class SpinBegan(Struct, frozen=True, kw_only=True, tag="spin_began"):
    """It turns by itself."""

    spin: Spin


class SpinEnded(Struct, frozen=True, kw_only=True, tag="spin_ended"):
    """It stands at ``angle``, after so many rotations of the spin. ``ended_at`` is before the event where an alarm came late."""

    accumulation: Uuid
    rotations: int
    angle: int
    ended_at: datetime
    reason: Reason


class Dedicated(Struct, frozen=True, kw_only=True, tag="dedicated"):
    """The accumulation is closed."""

    accumulation: Uuid
    text: str
    source: str | None = None


class Erasing(Struct, frozen=True, kw_only=True, tag="erasing"):
    """The account is gone. From here on there is no such wheel; its rows go in so many steps."""

    steps: int


class Purged(Struct, frozen=True, kw_only=True, tag="purged"):
    """A step of it."""


class Erased(Struct, frozen=True, kw_only=True, tag="erased"):
    """The last: all that is left is that the id is gone."""


PrayerEvent = AccumulationBegan | IntentionSet | Rotated | SpinBegan | SpinEnded | Dedicated | Erasing | Purged | Erased
codec: Final[Codec[PrayerEvent]] = Codec(PrayerEvent, FORMAT)
