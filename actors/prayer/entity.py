"""The prayer wheel as an entity: turned by hand or by itself, counted in malas, its merit dedicated.

A wheel is its practitioner's alone: another caller is refused. Nobody follows it, so nothing is published; while it spins its
count follows from the time (``spin``), and the only thing that is to happen by itself is the end of a spin, an alarm.

    Rotate ──▶ (SpinEnded: its own end had come) (AccumulationBegan | IntentionSet) Rotated
    Spin ────▶ (SpinEnded) (AccumulationBegan | IntentionSet) SpinBegan ──alarm "end"──▶ SpinEnded
    Dedicate ▶ (SpinEnded) Dedicated
    Erase ───▶ (SpinEnded) Erasing ──tick, or alarm "erase"──▶ Purged … ──▶ Erased
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import NAMESPACE_OID, uuid5

from msgspec import UNSET, UnsetType, structs

from actors.prayer import commands as c
from actors.prayer import events as e
from actors.prayer import showing
from actors.prayer.spin import Spin, mrpm
from actors.prayer.state import Open, PrayerState, codec, evolve
from actors.prayer.values import ACCUMULATIONS_MAX, MANTRAS_MAX, SPIN_MAX_S, key_of, written
from actors.runtime.codec import Kept, invalid
from actors.runtime.entity import (
    EVERYTHING,
    NOTHING_OWED,
    SIGNALS,
    Agenda,
    AlarmFired,
    Context,
    Decision,
    Published,
    Push,
    Row,
    Tick,
)
from actors.runtime.errors import Conflict, Forbidden, Full, NotFound

END: Final = "end"
"""The alarm of a spin that ends by itself."""
ERASE: Final = "erase"
SOON_S: Final = 0.001
AGAIN_S: Final = 0.005
PATIENCE: Final = timedelta(seconds=1)
"""The alarm of an erasure is for when a tick was lost."""
KEPT: Final = 4_096
"""Events that the journal keeps at least, so that who asks again with a key finds the answer: at the greatest rate of changes
some five minutes, of one who prays months. They go by so many."""
EARLY: Final = timedelta(seconds=1)
"""Alarms go by the database's clock: one that is earlier than ours by less than this is not early."""


class PrayerWheelKind(Kept):
    """The kind ``prayer_wheel``."""

    kind: ClassVar[str] = "prayer_wheel"
    format: ClassVar[int] = e.FORMAT
    events: ClassVar = e.codec
    states: ClassVar = codec
    sealed: ClassVar[bool] = True

    def __init__(self) -> None:
        self._decide: Final[Mapping[type, Callable[[PrayerState, Any, Context], Decision]]] = {
            c.Rotate: _rotate,
            c.Spin: _spin,
            c.Stop: _stop,
            c.Dedicate: _dedicate,
            c.GetWheel: _get_wheel,
        }

    def initial(self, entity_id: str) -> PrayerState:
        """Nobody has turned it."""
        return PrayerState(id=entity_id)

    def decode_command(self, data: bytes) -> c.AnyCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def decide(self, state: PrayerState, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        if isinstance(command, SIGNALS):
            return _signal(state, command, context)
        if type(command) is c.Erase:
            return _erase(state, context)
        if context.caller is None or context.caller.practitioner != state.id:
            raise Forbidden("this wheel is another practitioner's")
        if state.gone or state.erasing is not None:
            raise NotFound("there is no such practitioner")
        decision = self._decide[type(command)](state, command, context)
        after = context.seq + len(decision.events)
        if after < 2 * KEPT or after // KEPT == context.seq // KEPT:
            return decision
        return structs.replace(decision, forget=KEPT)

    def evolve(self, state: PrayerState, event: e.PrayerEvent, at: datetime) -> PrayerState:
        """The state after the event."""
        return evolve(state, event, at)

    def rows(self, event: e.PrayerEvent, state: PrayerState, at: datetime) -> Iterable[Row]:
        """Of ``prayer_wheels`` and ``prayer_accumulations``."""
        return tuple(showing.rows(event, state, at))

    def agenda(self, state: PrayerState) -> Agenda:
        """The end of the spin; what is left of an erasure."""
        if state.erasing is not None:
            return Agenda(alarms={ERASE: state.created_at + PATIENCE} if state.created_at else {})
        if state.spin is None or state.spin.ends_at is None:
            return NOTHING_OWED
        return Agenda(alarms={END: state.spin.ends_at})

    def publish(self, event: e.PrayerEvent) -> Published | None:
        """Nothing: nobody follows."""
        return None

    def snapshot(self, state: PrayerState, context: Context) -> Any:
        """The wheel."""
        return showing.wheel(state, context.now)

    def greeting(self, state: PrayerState, context: Context) -> Sequence[Push]:
        """Nothing."""
        return ()

    def may_read(self, state: PrayerState, context: Context) -> None:
        """Nobody. Raises Forbidden."""
        raise Forbidden("a prayer wheel has no stream to read")


class _Draft:
    """Events in the making: each is folded at once, so that the next is decided on what it led to."""

    def __init__(self, state: PrayerState, now: datetime) -> None:
        self.state, self._now = state, now
        self.events: list[e.PrayerEvent] = []

    def add(self, event: e.PrayerEvent) -> None:
        self.events.append(event)
        self.state = evolve(self.state, event, self._now)

    def settle(self, reason: e.Reason) -> None:
        """The spin ends now, or when its own end came before."""
        spin = self.state.spin
        if spin is None:
            return
        turned, angle = spin.turned(self._now)
        over = spin.is_over(self._now)
        ended_at = spin.ends_at if over and spin.ends_at is not None else self._now
        self.add(
            e.SpinEnded(
                accumulation=spin.accumulation,
                rotations=turned,
                angle=angle,
                ended_at=ended_at,
                reason="done" if over else reason,
            )
        )

    def settle_if_over(self) -> None:
        if self.state.spin is not None and self.state.spin.is_over(self._now):
            self.settle("done")

    def opened(self, mantra: str, intention: str | UnsetType) -> str:
        """The id of the mantra's open accumulation, which begins if there is none. Raises Full."""
        found = self.state.of_mantra(mantra)
        if found is None:
            self._check_room(mantra)
            id_ = str(uuid5(NAMESPACE_OID, f"{self.state.id}/accumulation/{self.state.begun + 1}"))
            said = "" if intention is UNSET else intention
            self.add(e.AccumulationBegan(id=id_, mantra=written(mantra), intention=said))
            return id_
        if intention is not UNSET and intention != found.intention:
            self.add(e.IntentionSet(accumulation=found.id, intention=intention))
        return found.id

    def _check_room(self, mantra: str) -> None:
        if key_of(mantra) not in self.state.mantras and len(self.state.mantras) >= MANTRAS_MAX:
            raise Full(f"a wheel holds at most {MANTRAS_MAX} different mantras")
        if self.state.begun >= ACCUMULATIONS_MAX:
            raise Full(f"a wheel has at most {ACCUMULATIONS_MAX} accumulations")

    def wheel(self) -> Decision:
        """These events, answered with what of the wheel they concern."""
        concerned = {event.accumulation for event in self.events if isinstance(event, _COUNTS)}
        if self.state.spin is not None:
            concerned.add(self.state.spin.accumulation)
        return Decision(events=self.events, reply=showing.wheel(self.state, self._now, concerned))


_COUNTS: Final = (e.Rotated, e.SpinEnded, e.IntentionSet)


def _rotate(state: PrayerState, command: c.Rotate, context: Context) -> Decision:
    draft = _Draft(state, context.now)
    draft.settle_if_over()
    draft.add(
        e.Rotated(accumulation=draft.opened(command.mantra, command.intention), rotations=command.rotations),
    )
    return draft.wheel()


def _end_of(command: c.Spin, now: datetime) -> datetime | None:
    """When the spin is to end. Raises Invalid."""
    if command.duration_s is not None:
        if command.until is not None:
            raise invalid("duration_s", "either this or until")
        return now + timedelta(seconds=command.duration_s)
    until = command.until
    if until is None:
        return None
    if until.tzinfo is None:
        raise invalid("until", "must have a time zone, such as `2026-01-01T12:00:00Z`")
    if until <= now:
        raise invalid("until", "has passed")
    if until > now + timedelta(seconds=SPIN_MAX_S):
        raise invalid("until", f"at most {SPIN_MAX_S // 86_400} days ahead")
    return until.astimezone(UTC)


def _spin(state: PrayerState, command: c.Spin, context: Context) -> Decision:
    now = context.now
    ends_at = _end_of(command, now)
    draft = _Draft(state, now)
    draft.settle("changed")
    accumulation = draft.opened(command.mantra, command.intention)
    spin = Spin(
        accumulation=accumulation,
        rate_mrpm=mrpm(command.rate_rpm),
        began_at=now,
        ends_at=ends_at,
        angle=draft.state.angle,
    )
    draft.add(e.SpinBegan(spin=spin))
    return draft.wheel()


def _stop(state: PrayerState, command: c.Stop, context: Context) -> Decision:
    draft = _Draft(state, context.now)
    draft.settle("stopped")
    return draft.wheel()


def _meant(state: PrayerState, command: c.Dedicate) -> Open:
    """The open accumulation that a command names. Raises Invalid, NotFound."""
    if (command.accumulation is None) == (command.mantra is None):
        raise invalid("accumulation", "either this or mantra is required")
    found = state.of_mantra(command.mantra or "") if command.mantra else state.open.get(command.accumulation or "")
    if found is None:
        raise NotFound("there is no such open accumulation; a dedication closes one for good")
    return found


def _dedicate(state: PrayerState, command: c.Dedicate, context: Context) -> Decision:
    found = _meant(state, command)
    draft = _Draft(state, context.now)
    if state.spin is not None and state.spin.accumulation == found.id:
        draft.settle("dedicated")
    if not draft.state.open[found.id].rotations:
        raise Conflict("nothing was accumulated yet: not one whole rotation")
    draft.add(e.Dedicated(accumulation=found.id, text=command.text, source=command.source))
    assert draft.state.closed is not None
    return Decision(events=draft.events, reply=showing.dedicated(draft.state.closed))


def _get_wheel(state: PrayerState, command: c.GetWheel, context: Context) -> Decision:
    return Decision(reply=showing.wheel(state, context.now))


# The end of an account


def _erase(state: PrayerState, context: Context) -> Decision:
    if context.caller is not None:
        raise Forbidden("a wheel ends with its account")
    if state.created_at is None or state.erasing is not None:
        return Decision(reply={})
    draft = _Draft(state, context.now)
    draft.settle("erased")
    draft.add(e.Erasing(steps=(state.begun - 1) // showing.STEP_ROWS))
    return Decision(events=draft.events, reply={}, tick_after_s=SOON_S)


def _go_on(state: PrayerState, context: Context) -> Decision:
    """The next step of an erasure; the last takes the journal too."""
    if state.erasing is None:
        return Decision()
    if not context.clean:  # a step a commit
        return Decision(tick_after_s=AGAIN_S)
    if state.erasing > 0:
        return Decision(events=(e.Purged(),), tick_after_s=SOON_S, forget=showing.STEP_ROWS)
    return Decision(events=(e.Erased(),), forget=EVERYTHING, revises=True)


# What the runtime tells


def _signal(state: PrayerState, signal: Any, context: Context) -> Decision:
    match signal:
        case Tick() | AlarmFired(name="erase"):
            return _go_on(state, context)
        case AlarmFired(name="end") if state.spin is not None and state.spin.is_over(context.now + EARLY):
            return _ended(state, state.spin, context)
        case _:
            return Decision()  # an alarm may come twice; nobody's presence is a wheel's business


def _ended(state: PrayerState, spin: Spin, context: Context) -> Decision:
    """At its own end, whenever the alarm comes."""
    assert spin.ends_at is not None
    turned, angle = spin.turned(spin.ends_at)
    ended = e.SpinEnded(
        accumulation=spin.accumulation, rotations=turned, angle=angle, ended_at=spin.ends_at, reason="done"
    )
    return Decision(events=(ended,))
