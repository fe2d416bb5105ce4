"""What a prayer wheel answers. Pure types; the documents show them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from actors.prayer.values import Count
from actors.runtime.codec import Uuid
from actors.runtime.entity import Struct


class Accumulation(Struct, frozen=True, kw_only=True):
    """What was turned with one mantra, from its first rotation to its dedication."""

    id: Uuid
    mantra: str
    intention: str
    count: Annotated[Count, Meta(description="as of the answer, with what a spin has turned")]
    began_at: datetime
    dedicated_at: datetime | None = None
    dedication: Annotated[str | None, Meta(description="the words that closed it")] = None
    dedication_id: Annotated[str | None, Meta(description="which text of the collection they are, if one")] = None


class Spinning(Struct, frozen=True, kw_only=True):
    """The wheel turns by itself. ``rotations``: completed since ``began_at``, which a change of the spin moves."""

    accumulation: Uuid
    mantra: str
    rate_rpm: float
    began_at: datetime
    ends_at: Annotated[datetime | None, Meta(description="null: until it is stopped")]
    rotations: int


class MantraTotal(Struct, frozen=True, kw_only=True):
    """All that was ever turned with a mantra, dedicated or not."""

    mantra: str
    count: Count


class Wheel(Struct, frozen=True, kw_only=True):
    """A practitioner's wheel at ``as_of``; while it spins a later count follows from ``spinning`` alone.

    The answer to a change has of ``accumulations`` and ``mantras`` those that it concerns, ``GetWheel``'s has all: a wheel may
    hold a megabyte of words, and an answer is kept for whoever asks again with the same key.
    """

    practitioner: Uuid
    as_of: datetime
    count: Annotated[Count, Meta(description="all rotations ever")]
    spinning: Spinning | None
    accumulations: Annotated[
        tuple[Accumulation, ...], Meta(description="the open ones, oldest first; of a change those that it concerns")
    ]
    mantras: Annotated[
        tuple[MantraTotal, ...],
        Meta(description="all mantras ever, in the order of their first use; of a change the same"),
    ]
    dedicated: Annotated[int, Meta(description="how many accumulations were dedicated")]
