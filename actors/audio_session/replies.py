"""What an audio session answers, and what its followers see. Pure types; the documents show them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio_session.commands import Status
from actors.runtime.codec import Uuid
from actors.runtime.entity import Struct


class AudioSession(Struct, frozen=True, kw_only=True):
    """The seed's ``Session``, what the published client reads beside it, and what it takes to play it.

    ``start_time`` is ``started_at`` in epoch seconds (``created_at`` before). ``elapsed_time``: whole seconds heard so far.
    """

    id: Uuid
    name: str
    intention: str
    status: Status
    duration: int
    audio_type: str
    audio_frequency: Annotated[float, Meta(description="the first of what sounds, in Hz")]
    frequencies: tuple[float, ...]
    prayer_bowl_mode: bool
    metadata: dict[str, Any]
    volume: float
    astrology_enabled: bool
    hardware_enabled: bool
    visuals_enabled: bool
    owner: Uuid
    space: Uuid | None
    device: str | None
    device_error: Annotated[
        str | None, Meta(description="why the device does not play it; who listens hears it all the same")
    ] = None
    created_at: datetime
    updated_at: datetime | None
    started_at: datetime | None
    stopped_at: datetime | None
    start_time: float
    elapsed_time: int
    recipe: Annotated[Recipe, Meta(description="what sounds from here on")]
    timeline: Timeline
    visual: Annotated[
        str | None, Meta(description="where `visuals_enabled`: the path of the Chladni figure of its lowest tone")
    ] = None
    published: Annotated[bool, Meta(description="made by the published client's request")] = False
    notes: Annotated[tuple[str, ...], Meta(description="such as: 7.83 Hz cannot be heard; it modulates 136.1 Hz")] = ()
