"""What a sound device can be asked. The entity's id is the device's name (``default``, or as ``sangha devices`` lists it)."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio.values import LIST_MAX_S, SAMPLE_RATE, Level
from actors.runtime.codec import CommandCodec, Uuid
from actors.runtime.entity import Struct

SAMPLES_MAX: Final = LIST_MAX_S * SAMPLE_RATE


class Command(Struct, frozen=True):
    """One of the below."""


class Play(Command, frozen=True, kw_only=True, tag="play"):
    """A recipe sounds on the device as a voice, mixed with the others, from ``timeline`` on (UNSET: at once) to its end.

    ``voice``: its id, of the caller's choosing; playing one that is there replaces it with a crossfade. ``session``: the session
    whose sound it is. ``owner``: whose voice it is, of a command that has no caller (a session's effect); a caller's is the
    caller's. What is over already is not begun. Answers ``replies.DeviceState``. Full where the device has no room for it.
    """

    voice: Uuid
    recipe: Recipe
    timeline: Timeline | UnsetType = UNSET
    session: Uuid | None = None
    owner: Uuid | None = None


class PlaySamples(Command, frozen=True, kw_only=True, tag="play_samples"):
    """A voice of the caller's samples: 16 bit, little-endian, mono, at ``SAMPLE_RATE``, from now on. As ``Play``."""

    voice: Uuid
    samples: Annotated[bytes, Meta(min_length=2, max_length=2 * SAMPLES_MAX)]


class Stop(Command, frozen=True, kw_only=True, tag="stop"):
    """A voice of the caller's ends, with a fade; None: all of the caller's. What is over already is no error. ``owner`` as of
    ``Play``. Answers ``replies.DeviceState``."""

    voice: Uuid | None = None
    owner: Uuid | None = None


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
    underruns: Annotated[int, Meta(description="samples that sounded as silence because they came too late")] = 0
    frequencies: tuple[float, ...] = ()
    amplitudes: tuple[float, ...] = ()
    """The spectrum's greatest peaks, in Hz and linear, measured from what was handed to the hardware."""


AnyCommand = Play | PlaySamples | Stop | SetVolume | GetDevice | Report
codec: Final[CommandCodec[AnyCommand]] = CommandCodec(AnyCommand)
encode: Final = codec.encode
