"""What happened to a sound device, as it stands in the journal."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio.values import Level
from actors.runtime.codec import Codec, Uuid
from actors.runtime.entity import Struct

FORMAT: Final = 1


class Voice(Struct, frozen=True, kw_only=True):
    """A voice of the device: a recipe, or the samples that somebody sent, on a timeline that runs. It ends at ``ends_at``."""

    id: Uuid
    owner: Uuid
    timeline: Timeline
    ends_at: datetime
    recipe: Recipe | None = None
    samples: bytes = b""
    session: Uuid | None = None


class VoiceBegan(Struct, frozen=True, kw_only=True, tag="voice_began"):
    """It sounds from its timeline on; one of the same id sounds no more."""

    voice: Voice


class VoicesEnded(Struct, frozen=True, kw_only=True, tag="voices_ended"):
    """They sound no more: stopped, or at their end."""

    voices: tuple[Uuid, ...]


class VolumeSet(Struct, frozen=True, kw_only=True, tag="volume_set"):
    """Of the device as a whole."""

    volume: Level


AudioEvent = VoiceBegan | VoicesEnded | VolumeSet
codec: Final[Codec[AudioEvent]] = Codec(AudioEvent, FORMAT)
