"""What a sound device answers. Pure types; the documents show them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from actors.audio.timeline import Timeline
from actors.runtime.codec import Uuid
from actors.runtime.entity import Struct


class PlayingVoice(Struct, frozen=True, kw_only=True):
    """What sounds, whose it is, and when it ends: a tone always has an owner and an end."""

    id: Uuid
    owner: str
    timeline: Timeline
    ends_at: datetime
    position_s: Annotated[float, Meta(description="where in it we are, by the server's time")]
    session: Annotated[Uuid | None, Meta(description="whose sound it is")] = None
    sampled: Annotated[bool, Meta(description="whether it was sent as samples")] = False


class DeviceState(Struct, frozen=True, kw_only=True):
    """A device. Without hardware ``present`` is false and ``status`` says why; what it plays goes on in time all the same."""

    device: str
    present: bool
    status: Annotated[str, Meta(description="in words: what it is, or why there is no sound")]
    volume: Annotated[
        float | None,
        Meta(description="at 0.8, the greatest, everything sounds at its own level; null of a device that nobody uses"),
    ]
    voices: Annotated[tuple[PlayingVoice, ...], Meta(description="the caller's")] = ()
    others: Annotated[int, Meta(description="how many voices of others sound beside them")] = 0
    host_api: str | None = None
    sample_rate: float | None = None
    latency_s: float | None = None
    underruns: Annotated[int, Meta(description="samples that sounded as silence because they came too late")] = 0
    frequencies: Annotated[tuple[float, ...], Meta(description="Hz, measured from what sounds")] = ()
    amplitudes: tuple[float, ...] = ()
    position: Annotated[
        float | None,
        Meta(
            description="the server's time (epoch, in s) whose sound was heard when it was last looked; null: nothing plays"
        ),
    ] = None
    drift_s: Annotated[float | None, Meta(description="how far it was ahead of that time, as the device has it")] = None


class Stopping(Struct, frozen=True, kw_only=True):
    """What was asked to stop has ended, but for ``sessions``: voices whose sessions are to be stopped."""

    device: DeviceState
    sessions: tuple[PlayingVoice, ...] = ()


class Obeyed(Struct, frozen=True, kw_only=True):
    """What became of a session's order. ``refused``: in words, why the device does not play it, and ``code``, the error's; both
    null where it does, or where the order was late."""

    refused: str | None = None
    code: str | None = None
