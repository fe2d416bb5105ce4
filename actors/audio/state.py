"""The state of a sound device: its volume and its voices. Each voice has an owner and an end; nothing else ever sounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Final

from msgspec import UNSET, structs

from actors.audio.events import FORMAT, AudioEvent, Ordered, Voice, VoiceBegan, VoicesEnded, VolumeSet
from actors.audio.recipe import AnyVoice, Binaural, Bowl, Chord, Recipe
from actors.audio.values import FADE_S, MAX_VOLUME
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct

BOWL_MODES: Final = 11
ORDERS_MAX: Final = 256
"""Voices whose last order is remembered: an order is late by seconds, and so many sessions do not begin in a minute."""
DONE_MAX: Final = 256
"""Operations that are known as done though the journal has forgotten them. 20 bytes each."""


class DeviceVoices(Struct, frozen=True, kw_only=True):
    """See the module. ``voices`` in the order in which they began; ``orders``: the last order of a session's voice, and ``done``:
    the marks of operations, both the newest last."""

    volume: float = MAX_VOLUME
    voices: Mapping[str, Voice] = {}
    orders: Mapping[str, int] = {}
    done: tuple[str, ...] = ()

    @property
    def next_end(self) -> datetime | None:
        """When the next voice is at its end."""
        return min((voice.ends_at for voice in self.voices.values()), default=None)

    def over(self, now: datetime) -> tuple[str, ...]:
        """The voices that are at their end."""
        return tuple(id_ for id_, voice in self.voices.items() if voice.ends_at <= now)


codec: Final[Codec[DeviceVoices]] = Codec(DeviceVoices, FORMAT)


def evolve(state: DeviceVoices, event: AudioEvent) -> DeviceVoices:
    """The state after the event."""
    if isinstance(event, Ordered):
        orders = [known for known in state.orders.items() if known[0] != event.voice]
        return structs.replace(state, orders=dict(orders[1 - ORDERS_MAX :]) | {event.voice: event.order})
    if event.operation is not UNSET and event.operation not in state.done:
        state = structs.replace(state, done=(*state.done, event.operation)[-DONE_MAX:])
    match event:
        case VoiceBegan(voice=voice):
            others = {id_: kept for id_, kept in state.voices.items() if id_ != voice.id}
            return structs.replace(state, voices=others | {voice.id: voice})
        case VoicesEnded(voices=ended):
            left = {id_: kept for id_, kept in state.voices.items() if id_ not in ended}
            return structs.replace(state, voices=left)
        case VolumeSet(volume=volume):
            return structs.replace(state, volume=volume)


def mark_of(operation: str) -> str:
    """An operation's mark: its hash, for its id may name a practitioner."""
    return blake2b(operation.encode(), digest_size=8).hexdigest()


def partials(recipe: Recipe | None) -> int:
    """How many sines sound at once at most, but for crossfades, which are short: what it costs to play. Samples count as one."""
    return 1 if recipe is None else round(at_once(recipe, _partials, lap_s=FADE_S))


def at_once(recipe: Recipe, weigh: Callable[[AnyVoice], float], *, lap_s: float = 0.0) -> float:
    """The greatest sum of the weights of voices that sound at one time. A voice with an end and time for both its fades gives way
    to those that begin up to ``lap_s`` before that end."""
    changes: list[tuple[float, float]] = []
    for voice in recipe.voices:
        weight = weigh(voice)
        ends = recipe.duration_s if voice.ends_s is None else min(voice.ends_s, recipe.duration_s)
        if voice.ends_s is not None and ends - voice.begins_s >= 2 * FADE_S:
            ends -= lap_s
        if ends > voice.begins_s:  # to the microsecond: a sum and a difference of the same are not quite alike
            changes += [(round(voice.begins_s, 6), weight), (round(ends, 6), -weight)]
    most = sounding = 0.0
    for _, change in sorted(changes):  # at one position those that end come first
        sounding += change
        most = max(most, sounding)
    return most


def _partials(voice: AnyVoice) -> int:
    match voice:
        case Bowl(harmonics=harmonics):
            return BOWL_MODES if harmonics else 2
        case Chord(frequencies=frequencies):
            return len(frequencies)
        case Binaural():
            return 2
        case _:
            return 1
