"""The live part of a space: who is present, and whose phases are heard. Never journaled, gone with the process.

Values like all else: every function gives a new one, so that what was decided on a batch that was rolled back is nothing.

**Presence.** Shown is who is connected, or was within the grace; a short reconnect shows nothing (no flapping). Arrivals
and departures are collected and told once a tick: a storm of N joins makes a few pushes to N, not N pushes to N. The
gateway's ``Attached`` puts a practitioner among those ``shown`` at once, before the tick tells of it, so that whoever was
greeted with them in the list is also told when they go. Only participants are shown, and only those who show a name.

**Pulses.** The latest phase of each practitioner, forgotten after ten seconds of silence. The sums of cosines and sines
run along, so that one pulse costs no walk through all; whenever phases are forgotten they are summed afresh, which keeps
the rounding from adding up.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from msgspec import structs

from actors.runtime.entity import Struct, Subscriber
from actors.space.coherence import Coherence, from_sums
from actors.space.state import Participant

TELL_EVERY: Final = timedelta(seconds=0.25)
"""Presence and coherence are pushed at most this often: below what a person notices, far above what a storm brings."""
SOONEST_TICK_S: Final = 0.002
"""A tick that came a moment early asks again no sooner than this: it must not spin."""
PULSE_LIFE: Final = timedelta(seconds=10)
"""A breath takes five to ten seconds; whoever was not heard for longer is no longer breathing with the others."""
PHASES_TOLD: Final = 100
"""With more phases than this only their coherence is told: nobody watches a hundred dots, and every push goes to all."""


class Presence(Struct, frozen=True, kw_only=True):
    """Who is here. ``since`` is when this live part began: nobody's absence is known from before."""

    since: datetime
    shown: Mapping[str, str] = {}
    """Practitioner → name, as the followers know it or will after the next tick."""
    fresh: frozenset[str] = frozenset()
    """Shown, but not told of yet."""
    away: Mapping[str, datetime] = {}
    """Practitioner → when the last of their sessions went."""


class Turn(NamedTuple):
    """What a tick found: the presence from here on, and whom to tell of."""

    presence: Presence
    joined: list[tuple[str, str]]
    left: list[tuple[str, str]]


def connected(present: Mapping[str, Subscriber], members: Container[str]) -> dict[str, str | None]:
    """The participants of whom a session follows now, with the name that they show."""
    return {who.practitioner: who.name for who in present.values() if who.practitioner in members}


def attached(presence: Presence, sessions: Iterable[Subscriber]) -> Presence:
    """These follow now; who they are is told with the next tick."""
    shown, away, fresh = dict(presence.shown), dict(presence.away), set(presence.fresh)
    for who in sessions:
        away.pop(who.practitioner, None)
        if who.name is not None and shown.get(who.practitioner) != who.name:
            shown[who.practitioner] = who.name
            fresh.add(who.practitioner)
    return structs.replace(presence, shown=shown, away=away, fresh=frozenset(fresh))


def detached(presence: Presence, sessions: Iterable[Subscriber], now: datetime) -> Presence:
    """These follow no more; where it was a practitioner's last session, the next settling counts from now."""
    away = {**presence.away, **{who.practitioner: now for who in sessions}}
    return structs.replace(presence, away=away)


def settle(
    presence: Presence,
    here: Mapping[str, str | None],
    members: Container[str],
    now: datetime,
    grace: timedelta,
) -> Turn:
    """Tell arrivals and departures apart from flapping, given who is connected (``here``)."""
    away = {who: since for who, since in presence.away.items() if who in members and who not in here}
    away |= {who: now for who in presence.shown if who in members and who not in here and who not in away}
    shown = _within_grace(presence.shown, away, now, grace)
    shown |= {who: name for who, name in here.items() if name is not None}
    joined = [(who, name) for who, name in shown.items() if who in presence.fresh or presence.shown.get(who) != name]
    left = [(who, name) for who, name in presence.shown.items() if who not in shown]
    return Turn(structs.replace(presence, shown=shown, away=away, fresh=frozenset()), joined, left)


def everyone(
    presence: Presence | None,
    here: Mapping[str, str | None],
    members: Container[str],
    now: datetime,
    grace: timedelta,
) -> dict[str, str]:
    """Everyone who is present, by practitioner, with the name that they show."""
    if presence is None:
        return {who: name for who, name in here.items() if name is not None}
    return settle(presence, here, members, now, grace).presence.shown  # type: ignore[return-value]  # made by settle


def next_departure(presence: Presence, grace: timedelta) -> datetime | None:
    """When the next of those shown will have been away for longer than the grace."""
    return min((since + grace for who, since in presence.away.items() if who in presence.shown), default=None)


def absences(
    presence: Presence,
    here: Container[str],
    participants: Mapping[str, Participant],
    recorded: Mapping[str, datetime],
) -> dict[str, datetime]:
    """Since when each participant who is not connected has been away, as far back as that is known."""
    return {
        who: presence.away.get(who) or recorded.get(who) or max(presence.since, participant.joined_at)
        for who, participant in participants.items()
        if who not in here
    }


def _within_grace(
    shown: Mapping[str, str], away: Mapping[str, datetime], now: datetime, grace: timedelta
) -> dict[str, str]:
    return {who: name for who, name in shown.items() if who in away and now - away[who] < grace}


class Beat(Struct, frozen=True, kw_only=True):
    """One practitioner's latest phase. ``shown`` is False where the practitioner shows nothing: counted, not told."""

    phase_rad: float
    at: datetime
    shown: bool


class Pulses(Struct, frozen=True, kw_only=True):
    """The phases that count now."""

    beats: Mapping[str, Beat] = {}
    cosines: float = 0.0
    sines: float = 0.0
    oldest: datetime | None = None
    """No beat is older than this; it may have been repeated since."""
    changed: bool = False
    """There is something to tell."""
    told_at: datetime | None = None


def normalise(phase_rad: float) -> float:
    """The phase in [0, 2π)."""
    wrapped = phase_rad % math.tau
    return wrapped if wrapped < math.tau else 0.0  # a tiny negative one rounds up to 2π itself


def beat(pulses: Pulses, practitioner: str, phase_rad: float, now: datetime, *, shown: bool) -> Pulses:
    """With this practitioner's phase, which replaces their last one. ``phase_rad`` is in [0, 2π)."""
    last = pulses.beats.get(practitioner)
    return structs.replace(
        pulses,
        beats={**pulses.beats, practitioner: Beat(phase_rad=phase_rad, at=now, shown=shown)},
        cosines=pulses.cosines + math.cos(phase_rad) - (math.cos(last.phase_rad) if last else 0.0),
        sines=pulses.sines + math.sin(phase_rad) - (math.sin(last.phase_rad) if last else 0.0),
        oldest=pulses.oldest or now,
        changed=True,
    )


def heard(pulses: Pulses, now: datetime, members: Container[str]) -> Pulses:
    """Without the phases that are too old."""
    if pulses.oldest is None or now - pulses.oldest < PULSE_LIFE:
        return pulses
    return _summed(pulses, {who: b for who, b in pulses.beats.items() if who in members and now - b.at < PULSE_LIFE})


def silenced(pulses: Pulses, practitioner: str) -> Pulses:
    """Without the phase of a practitioner who left."""
    if practitioner not in pulses.beats:
        return pulses
    return _summed(pulses, {who: b for who, b in pulses.beats.items() if who != practitioner})


def _summed(pulses: Pulses, beats: Mapping[str, Beat]) -> Pulses:
    return structs.replace(
        pulses,
        beats=beats,
        cosines=math.fsum(math.cos(b.phase_rad) for b in beats.values()),
        sines=math.fsum(math.sin(b.phase_rad) for b in beats.values()),
        oldest=min((b.at for b in beats.values()), default=None),
        changed=pulses.changed or len(beats) != len(pulses.beats),
    )


def agreement(pulses: Pulses) -> Coherence:
    """The coherence of the phases that count."""
    return from_sums(pulses.cosines, pulses.sines, len(pulses.beats))


def phases(pulses: Pulses) -> dict[str, float] | None:
    """Each phase by practitioner, of those who show themselves; None where there are too many to tell."""
    if len(pulses.beats) > PHASES_TOLD:
        return None
    return {who: b.phase_rad for who, b in pulses.beats.items() if b.shown}


def may_tell(pulses: Pulses, now: datetime) -> bool:
    """Whether there is something to tell and enough time went by since the last telling."""
    return pulses.changed and (pulses.told_at is None or now - pulses.told_at >= TELL_EVERY)


def told(pulses: Pulses, now: datetime) -> Pulses:
    """The followers know of all until now."""
    return structs.replace(pulses, changed=False, told_at=now)


def next_telling(pulses: Pulses) -> datetime | None:
    """When there will be something to tell: at once if it may, else when the oldest phase has died away."""
    if pulses.changed:
        return None if pulses.told_at is None else pulses.told_at + TELL_EVERY
    return None if pulses.oldest is None else pulses.oldest + PULSE_LIFE


class Progress(Struct, frozen=True, kw_only=True):
    """How many outcomes of a group ritual the followers were told of, and when."""

    run: str = ""
    settled: int = 0
    told_at: datetime | None = None


class Live(Struct, frozen=True, kw_only=True):
    """The whole live part of a space."""

    presence: Presence
    pulses: Pulses = Pulses()
    progress: Progress = Progress()


def begin(now: datetime) -> Live:
    """Nobody seen, nothing heard."""
    return Live(presence=Presence(since=now))


def until(now: datetime, *due: datetime | None) -> float | None:
    """Seconds to the soonest of these times, for a tick; None where there is none."""
    seconds = [max(SOONEST_TICK_S, (at - now).total_seconds()) for at in due if at is not None]
    return min(seconds, default=None)
