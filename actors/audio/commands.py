"""What a sound device can be asked. The entity's id is the device's name (``default``, or as ``sangha devices`` lists it)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio.values import Level
from actors.runtime.codec import Uuid
from actors.runtime.entity import Struct


class Command(Struct, frozen=True):
    """One of the below."""


class Play(Command, frozen=True, kw_only=True, tag="play"):
    """A recipe sounds on the device as a voice, mixed with the others, from ``timeline`` on (UNSET: at once) to its end.

    ``voice``: its id, of the caller's choosing; playing one that is there replaces it with a crossfade. ``session``: the session
    whose sound it is. Answers ``replies.DeviceState``. Full where the device has ``VOICES_MAX`` voices.
    """

    voice: Uuid
    recipe: Recipe
    timeline: Timeline | UnsetType = UNSET
    session: Uuid | None = None


class Stop(Command, frozen=True, kw_only=True, tag="stop"):
    """A voice of the caller's ends, with a fade; None: all of the caller's. Answers ``replies.DeviceState``."""

    voice: Uuid | None = None


class SetVolume(Command, frozen=True, kw_only=True, tag="set_volume"):
    """Of the device as a whole, with a ramp. Answers ``replies.DeviceState``."""

    volume: Level


class GetDevice(Command, frozen=True, kw_only=True, tag="get_device"):
    """Answers ``replies.DeviceState``."""


class Report(Command, frozen=True, kw_only=True, tag="report"):
    """What the device's own player sees of the hardware; kept while the entity is live, in no journal. Without a caller only."""

    present: bool
    status: Annotated[str, Meta(max_length=500)]
    device: str | None = None
    host_api: str | None = None
    sample_rate: float | None = None
    latency_s: float | None = None
    underruns: int = 0
    frequencies: tuple[float, ...] = ()
    amplitudes: tuple[float, ...] = ()
    """The spectrum's greatest peaks, in Hz and linear, measured from what was handed to the hardware."""


AnyCommand = Play | Stop | SetVolume | GetDevice | Report
