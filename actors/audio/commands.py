"""What a sound device can be asked. The entity's id is the device's name (``default``, or as ``sangha devices`` lists it)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio.values import LIST_MAX_S, SAMPLE_RATE, VOICES_MAX, Level
from actors.runtime.codec import CommandCodec, Uuid
from actors.runtime.entity import Struct

SAMPLES_MAX: Final = LIST_MAX_S * SAMPLE_RATE
"""Of each channel."""
Order = Annotated[int, Meta(ge=0)]


class Command(Struct, frozen=True):
    """One of the below."""


class Play(Command, frozen=True, kw_only=True, tag="play"):
    """A recipe sounds on the device as a voice, mixed with the others, from ``timeline`` on (UNSET: at once) to its end.

    ``voice``: its id, of the caller's choosing; playing one that is there replaces it with a crossfade. ``session``: the session
    whose sound it is. What is over already is not begun. Answers ``replies.DeviceState``. Full where the device has no room.

    An *order* of a session comes without a caller: ``owner`` says whose the voice is, ``order`` counts upward with each order for
    that voice (Play and Stop alike), and one that is not above the last is late and changes nothing (0: none counts). It answers
    ``replies.Obeyed``, also where the device has no room; what sounded in its place has ended then.
    """

    voice: Uuid
    recipe: Recipe
    timeline: Timeline | UnsetType = UNSET
    session: Uuid | None = None
    owner: Uuid | None = None
    order: Order = 0


class PlaySamples(Command, frozen=True, kw_only=True, tag="play_samples"):
    """A voice of the caller's samples: 16 bit, little-endian, at ``SAMPLE_RATE``, one or two ``channels`` beside each other, from
    now on. As ``Play``."""

    voice: Uuid
    samples: Annotated[bytes, Meta(min_length=2, max_length=4 * SAMPLES_MAX)]
    channels: Literal[1, 2] = 1


class Stop(Command, frozen=True, kw_only=True, tag="stop"):
    """A voice of the caller's ends, with a fade; None: all of the caller's. What is over already is no error.

    A session's voice sounds on: its session has to be stopped, lest it says that it runs while it is silent. The answer,
    ``replies.Stopping``, names them. ``everyone``: of all practitioners (the gateway found that the caller may). An order of a
    session (see ``Play``) is for its own voice, which ends; it answers ``replies.Obeyed``.
    """

    voice: Uuid | None = None
    everyone: bool = False
    owner: Uuid | None = None
    order: Order = 0


class Named(Struct, frozen=True):
    """A voice as it sounded then: one that began anew since has another timeline."""

    id: Uuid
    timeline: Timeline


class EndVoices(Command, frozen=True, kw_only=True, tag="end_voices"):
    """Voices end whose sessions were stopped, or are no more: what an earlier ``Stop`` named, as far as it sounds still.
    ``everyone`` as there. Answers ``replies.DeviceState``."""

    voices: Annotated[tuple[Named, ...], Meta(max_length=VOICES_MAX)]
    everyone: bool = False


class Erase(Command, frozen=True, kw_only=True, tag="erase"):
    """Nothing of a practitioner's sounds any more, nor stays in the journal. Without a caller only."""

    owner: Uuid


class SetVolume(Command, frozen=True, kw_only=True, tag="set_volume"):
    """Of the device as a whole, with a ramp. Who may (``operator``) the gateway found out. Answers ``replies.DeviceState``."""

    volume: Level
    operator: bool = False


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
    position: float | None = None
    """The server's time, in epoch seconds, whose sound is heard at the moment of the report; None while nothing plays."""
    drift_s: float | None = None
    """How far ``position`` is ahead of the moment at which it is heard."""


AnyCommand = Play | PlaySamples | Stop | EndVoices | Erase | SetVolume | GetDevice | Report
codec: Final[CommandCodec[AnyCommand]] = CommandCodec(AnyCommand)
encode: Final = codec.encode
