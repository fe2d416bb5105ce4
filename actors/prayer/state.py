"""The state of a prayer wheel: the fold of its events.

What always holds: ``rotations`` is the sum over ``mantras``; of each mantra at most one accumulation is open; a spin counts
into an open one. What a spin has turned is in none of the sums until it ends: ``showing`` adds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import structs

from actors.prayer import events as e
from actors.prayer.spin import Spin
from actors.prayer.values import key_of
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct


class Open(Struct, frozen=True, kw_only=True):
    """An accumulation that is not dedicated."""

    id: str
    mantra: str
    intention: str
    began_at: datetime
    rotations: int = 0


class Total(Struct, frozen=True, kw_only=True):
    """All that was turned with a mantra, as it was first written."""

    mantra: str
    rotations: int = 0


class Closed(Struct, frozen=True, kw_only=True):
    """The accumulation that was dedicated last: what its rows and its reply are made of."""

    of: Open
    dedicated_at: datetime
    text: str
    source: str | None


class PrayerState(Struct, frozen=True, kw_only=True):
    """A wheel; before ``created_at`` is set nobody has turned it."""

    id: str
    created_at: datetime | None = None
    open: Mapping[str, Open] = {}
    """By id, the oldest first."""
    mantras: Mapping[str, Total] = {}
    """By ``key_of``."""
    spin: Spin | None = None
    angle: int = 0
    """At which it stands while it does not spin."""
    begun: int = 0
    """Accumulations ever; the next one's number, less one."""
    closed: Closed | None = None
    erasing: int | None = None
    """Steps that are left; None: nobody asked for it."""
    gone: bool = False

    @property
    def rotations(self) -> int:
        """All that were ever counted."""
        return sum(total.rotations for total in self.mantras.values())

    def of_mantra(self, mantra: str) -> Open | None:
        """The mantra's open accumulation."""
        key = key_of(mantra)
        return next((each for each in self.open.values() if key_of(each.mantra) == key), None)


codec: Final[Codec[PrayerState]] = Codec(PrayerState, e.FORMAT)


def evolve(state: PrayerState, event: e.PrayerEvent, at: datetime) -> PrayerState:
    """The state after the event."""
    return _FOLD[type(event)](state, event, at)


def _began(state: PrayerState, event: e.AccumulationBegan, at: datetime) -> PrayerState:
    key = key_of(event.mantra)
    began = Open(id=event.id, mantra=event.mantra, intention=event.intention, began_at=at)
    return structs.replace(
        state,
        created_at=state.created_at or at,
        open={**state.open, event.id: began},
        mantras=state.mantras if key in state.mantras else {**state.mantras, key: Total(mantra=event.mantra)},
        begun=state.begun + 1,
    )


def _intended(state: PrayerState, event: e.IntentionSet, at: datetime) -> PrayerState:
    changed = structs.replace(state.open[event.accumulation], intention=event.intention)
    return structs.replace(state, open={**state.open, event.accumulation: changed})


def _rotated(state: PrayerState, event: e.Rotated, at: datetime) -> PrayerState:
    return _counted(state, event.accumulation, event.rotations)


def _counted(state: PrayerState, accumulation: str, rotations: int) -> PrayerState:
    found = state.open[accumulation]
    key = key_of(found.mantra)
    total = state.mantras[key]
    return structs.replace(
        state,
        open={**state.open, accumulation: structs.replace(found, rotations=found.rotations + rotations)},
        mantras={**state.mantras, key: structs.replace(total, rotations=total.rotations + rotations)},
    )


def _spin_began(state: PrayerState, event: e.SpinBegan, at: datetime) -> PrayerState:
    return structs.replace(state, spin=event.spin)


def _spin_ended(state: PrayerState, event: e.SpinEnded, at: datetime) -> PrayerState:
    counted = _counted(state, event.accumulation, event.rotations)
    return structs.replace(counted, spin=None, angle=event.angle)


def _dedicated(state: PrayerState, event: e.Dedicated, at: datetime) -> PrayerState:
    left = dict(state.open)
    closed = Closed(
        of=left.pop(event.accumulation),
        dedicated_at=at,
        text=event.text,
        source=event.source,
    )
    return structs.replace(state, open=left, closed=closed)


def _erasing(state: PrayerState, event: e.Erasing, at: datetime) -> PrayerState:
    return structs.replace(state, erasing=event.steps)


def _purged(state: PrayerState, event: e.Purged, at: datetime) -> PrayerState:
    assert state.erasing is not None
    return structs.replace(state, erasing=state.erasing - 1)


def _erased(state: PrayerState, event: e.Erased, at: datetime) -> PrayerState:
    return PrayerState(id=state.id, gone=True)


_FOLD: Final[Mapping[type, Callable[[PrayerState, Any, datetime], PrayerState]]] = {
    e.AccumulationBegan: _began,
    e.IntentionSet: _intended,
    e.Rotated: _rotated,
    e.SpinBegan: _spin_began,
    e.SpinEnded: _spin_ended,
    e.Dedicated: _dedicated,
    e.Erasing: _erasing,
    e.Purged: _purged,
    e.Erased: _erased,
}
