"""What a prayer wheel can be asked. The entity's id is its practitioner's UUID: a wheel each.

The caller is that practitioner; without a caller it is the server itself (the end of an account). An accumulation is what was
turned with one mantra since its last dedication; there is at most one open for each mantra.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import UNSET, UnsetType

from actors.prayer.values import DEFAULT_MANTRA, Dedication, Intention, Mantra, Rate, Rotations, SpinFor
from actors.runtime.codec import CommandCodec, Uuid
from actors.runtime.entity import Struct


class Command(Struct, frozen=True):
    """One of the below."""


class Rotate(Command, frozen=True, kw_only=True, tag="rotate"):
    """The wheel was turned by hand, so many times. Answers ``replies.Wheel``.

    ``intention``: what the mantra's accumulation is for, from here on.
    """

    rotations: Rotations = 1
    mantra: Mantra = DEFAULT_MANTRA
    intention: Intention | UnsetType = UNSET


class Spin(Command, frozen=True, kw_only=True, tag="spin"):
    """It turns by itself from now on: to ``until``, for ``duration_s``, or (neither) until it is stopped. What spun before is
    counted. Answers ``replies.Wheel``.
    """

    rate_rpm: Rate = 30.0
    until: datetime | None = None
    duration_s: SpinFor | None = None
    mantra: Mantra = DEFAULT_MANTRA
    intention: Intention | UnsetType = UNSET


class Stop(Command, frozen=True, kw_only=True, tag="stop"):
    """It stands; of one that stands with no change. Answers ``replies.Wheel``."""


class Dedicate(Command, frozen=True, kw_only=True, tag="dedicate"):
    """Closes an accumulation (by its id, or the open one of a mantra) with these words; a spin that counts into it ends.

    Answers ``replies.Accumulation``. Conflict where nothing was turned. ``source``: which text of our collection it is, if one.
    """

    accumulation: Uuid | None = None
    mantra: Mantra | None = None
    text: Dedication
    source: str | None = None


class GetWheel(Command, frozen=True, kw_only=True, tag="get_wheel"):
    """As it is now. Answers ``replies.Wheel``."""


class Erase(Command, frozen=True, kw_only=True, tag="erase"):
    """The account is gone: everything of the wheel goes. Without a caller only."""


AnyCommand = Rotate | Spin | Stop | Dedicate | GetWheel | Erase
codec: Final[CommandCodec[AnyCommand]] = CommandCodec(AnyCommand)
encode = codec.encode
