"""The state of a ritual: the fold of its events.

What always holds: module, hash, ABI and author are those of the upload; a use or a rating leaves the very same module
object (nothing of its megabytes is copied); a withdrawn ritual stays withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import UNSET, structs

from actors.ritual import events as e
from actors.ritual.ratings import Ratings, Word
from actors.ritual.values import Abi
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct


class RitualState(Struct, frozen=True, kw_only=True):
    """A ritual; before ``created_at`` is set there is none."""

    id: str
    author: str | None = None
    about: e.About = e.About()
    module_language: str | None = None
    module: bytes = b""
    module_hash: str = ""
    abi: Abi = "codex"
    usage_count: int = 0
    ratings: Ratings = Ratings()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    withdrawn_at: datetime | None = None


codec: Final[Codec[RitualState]] = Codec(RitualState, e.FORMAT)


def evolve(state: RitualState, event: e.RitualEvent, at: datetime) -> RitualState:
    """The state after the event."""
    return _FOLD[type(event)](state, event, at)


def given(event: e.Edited) -> dict[str, Any]:
    """What an edit changed, by field."""
    return {name: value for name, value in structs.asdict(event).items() if value is not UNSET}


def _uploaded(state: RitualState, event: e.Uploaded, at: datetime) -> RitualState:
    return RitualState(
        id=state.id,
        author=event.author,
        about=event.about,
        module_language=event.module_language,
        module=event.module,
        module_hash=event.module_hash,
        abi=event.abi,
        created_at=at,
        updated_at=at,
    )


def _edited(state: RitualState, event: e.Edited, at: datetime) -> RitualState:
    return structs.replace(state, about=structs.replace(state.about, **given(event)), updated_at=at)


def _withdrawn(state: RitualState, event: e.Withdrawn, at: datetime) -> RitualState:
    return structs.replace(state, withdrawn_at=at, updated_at=at)


def _used(state: RitualState, event: e.Used, at: datetime) -> RitualState:
    return structs.replace(state, usage_count=state.usage_count + 1)


def _rated(state: RitualState, event: e.Rated, at: datetime) -> RitualState:
    word = Word(rating=event.rating, version=event.version)
    return structs.replace(state, ratings=state.ratings.said(event.practitioner, word))


_FOLD: Final[Mapping[type, Callable[[RitualState, Any, datetime], RitualState]]] = {
    e.Uploaded: _uploaded,
    e.Edited: _edited,
    e.Withdrawn: _withdrawn,
    e.Used: _used,
    e.Rated: _rated,
}
