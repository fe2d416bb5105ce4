"""What a sound device answers. Pure types; the documents show them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.runtime.codec import Uuid
from actors.runtime.entity import Struct


class PlayingVoice(Struct, frozen=True, kw_only=True):
    """What sounds, whose it is, and when it ends: a tone always has an owner and an end. ``recipe`` is null of a sound that was
    sent as samples."""

    id: Uuid
    owner: str
    recipe: Recipe | None
    timeline: Timeline
    ends_at: datetime
    session: Uuid | None = None


class DeviceState(Struct, frozen=True, kw_only=True):
    """A device. Without hardware ``present`` is false and ``status`` says why; what it plays goes on in time all the same."""

    device: str
    present: bool
    status: Annotated[str, Meta(description="in words: what it is, or why there is no sound")]
    volume: Annotated[float, Meta(description="at 0.8, the greatest, everything sounds at its own level")]
    voices: Annotated[tuple[PlayingVoice, ...], Meta(description="the caller's")] = ()
    others: Annotated[int, Meta(description="how many voices of others sound beside them")] = 0
    host_api: str | None = None
    sample_rate: float | None = None
    latency_s: float | None = None
    underruns: Annotated[int, Meta(description="samples that sounded as silence because they came too late")] = 0
    frequencies: Annotated[tuple[float, ...], Meta(description="Hz, measured from what sounds")] = ()
    amplitudes: tuple[float, ...] = ()
