"""What happened to a sound device, as it stands in the journal."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from msgspec import UNSET, UnsetType

from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio.values import Level
from actors.runtime.codec import Codec, Uuid
from actors.runtime.entity import Struct

FORMAT: Final = 1


class Voice(Struct, frozen=True, kw_only=True):
    """A voice of the device: a recipe, or the samples that somebody sent, on a timeline that runs. It ends at ``ends_at``.

    ``samples``: 16 bit, little-endian, at ``values.SAMPLE_RATE``, of so many ``channels`` beside each other (unset: one).
    """

    id: Uuid
    owner: Uuid
    timeline: Timeline
    ends_at: datetime
    recipe: Recipe | None = None
    samples: bytes = b""
    session: Uuid | None = None
    channels: Literal[1, 2] | UnsetType = UNSET


class Done(Struct, frozen=True, kw_only=True):
    """One of the below but ``Ordered``. ``operation``: the mark of the operation that did it (``state.mark_of``)."""

    operation: str | UnsetType = UNSET


class VoiceBegan(Done, frozen=True, kw_only=True, tag="voice_began"):
    """It sounds from its timeline on; one of the same id sounds no more. ``device``: where, for the table's row."""

    voice: Voice
    device: str | UnsetType = UNSET


class VoicesEnded(Done, frozen=True, kw_only=True, tag="voices_ended"):
    """They sound no more: stopped, or at their end."""

    voices: tuple[Uuid, ...]


class VolumeSet(Done, frozen=True, kw_only=True, tag="volume_set"):
    """Of the device as a whole."""

    volume: Level


class Ordered(Struct, frozen=True, kw_only=True, tag="ordered"):
    """A session's order for its voice came: older ones count no more."""

    voice: Uuid
    order: int


AudioEvent = VoiceBegan | VoicesEnded | VolumeSet | Ordered
codec: Final[Codec[AudioEvent]] = Codec(AudioEvent, FORMAT)
