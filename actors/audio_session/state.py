"""The state of an audio session: the fold of its events, and what its sound device still has to be told. Pure.

What always holds: a running session has an anchor, and no other has one; what was told to the device, and what is being told,
lead to what it should do. One order at a time, and what changed meanwhile is told at once after; but that it is to be silent is
told at once, whatever is on its way (orders are numbered, and the device knows an older one). Until when it can sound at the most
is known, so no order is repeated for longer than it matters.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from actors.audio import commands as audio
from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio_session import events as e
from actors.runtime.codec import Codec
from actors.runtime.entity import NOTHING_OWED, Address, Agenda, Effect, Struct

END: Final = "end"
ORDER: Final = "order"
GUEST: Final = "guest"
LEAD_S: Final = 0.3
"""From a start, or a change of sound, to when it is heard: longer than what lies ready ahead in a player."""
SHARED_LEAD_S: Final = 1.5
"""Where a space listens: by then the farthest of them has it."""
DEVICE_LEAD_S: Final = 2.0
"""To a start on a sound device, which has to be opened first: 1.4 s the first time, seen with PulseAudio."""


class Playing(Struct, frozen=True, kw_only=True):
    """What the device is to sound."""

    recipe: Recipe
    timeline: Timeline


class Order(Struct, frozen=True, kw_only=True):
    """What the device is being told. ``playing`` None: nothing."""

    number: int
    device: str
    owner: str
    playing: Playing | None

    @property
    def silences(self) -> bool:
        """Whether it says that the device is to be silent."""
        return self.playing is None

    @property
    def effect(self) -> str:
        """Its id."""
        return f"device-{self.number}"


class SessionState(Struct, frozen=True, kw_only=True):
    """A session; None before it was created and after it was deleted.

    ``sounds_until``: when all that the device may have been told is over by itself.
    """

    id: str
    session: e.Session | None = None
    deleted: bool = False
    order: Order | None = None
    orders: int = 0
    told: Playing | None = None
    sounds_until: datetime | None = None


codec: Final[Codec[SessionState]] = Codec(SessionState, e.FORMAT)


def lead(session: e.Session) -> timedelta:
    """How far ahead it begins to sound."""
    return timedelta(seconds=LEAD_S if session.space is None else SHARED_LEAD_S)


def start_lead(session: e.Session) -> timedelta:
    """How far ahead it begins to run."""
    return lead(session) if session.device is None else max(lead(session), timedelta(seconds=DEVICE_LEAD_S))


def position(session: e.Session, now: datetime) -> float:
    """Seconds from its beginning."""
    return session.timeline.at(now, session.recipe.duration_s)


def ends_at(session: e.Session) -> datetime | None:
    """When it will be over by itself; None while it stands."""
    return session.timeline.ends_at(session.recipe.duration_s)


def current(session: e.Session, now: datetime) -> e.Session:
    """The session as it is now: completed, where its end is past and the alarm has only not come yet."""
    end = ends_at(session)
    if end is None or now < end:
        return session
    whole = Timeline(position_s=session.recipe.duration_s)
    return structs.replace(session, status="completed", timeline=whole, stopped_at=end, updated_at=end)


def evolve(state: SessionState, event: e.SessionEvent, at: datetime) -> SessionState:
    """The state after the event."""
    match event:
        case e.DeviceAnswered():
            return _answered(state, event, at)
        case e.Deleted():
            known = state.session
            after = structs.replace(state, session=None, deleted=True)
            return after if known is None else _ordered(after, known.device, known.owner, at)
    after = structs.replace(state, session=event.session)
    return _ordered(after, event.session.device, event.session.owner, at)


def _answered(state: SessionState, event: e.DeviceAnswered, at: datetime) -> SessionState:
    order, session = state.order, state.session
    if order is None or order.effect != event.effect:
        return state
    if session is not None:
        session = structs.replace(session, device_error=event.error)
    until = state.sounds_until if event.error is not None else _over_at(order.playing)
    after = structs.replace(state, session=session, order=None, told=order.playing, sounds_until=until)
    return _ordered(after, order.device, order.owner, at)


def _ordered(state: SessionState, device: str | None, owner: str, at: datetime) -> SessionState:
    """With the next order, where the device should do what it was not told."""
    wanted, order, until = _wanted(state.session), state.order, _sounds_until(state)
    waits = order is not None and (order.silences or wanted is not None)
    if device is None or waits or (order is None and wanted == state.told):
        return state
    if wanted is None and (until is None or until <= at):  # it is silent by itself
        return structs.replace(state, order=None, told=None, sounds_until=None)
    number, over_at = state.orders + 1, _over_at(wanted)
    if over_at is not None:
        until = over_at if until is None else max(until, over_at)
    order = Order(number=number, device=device, owner=owner, playing=wanted)
    return structs.replace(state, order=order, orders=number, sounds_until=until)


def _sounds_until(state: SessionState) -> datetime | None:
    """``sounds_until``; of a checkpoint from before there was that, what it follows from."""
    if state.sounds_until is not None:
        return state.sounds_until
    known = (state.told, None if state.order is None else state.order.playing)
    return max((end for each in known if (end := _over_at(each)) is not None), default=None)


def _over_at(playing: Playing | None) -> datetime | None:
    return None if playing is None else playing.timeline.ends_at(playing.recipe.duration_s)


def _wanted(session: e.Session | None) -> Playing | None:
    if session is None or session.status != "running":
        return None
    return Playing(recipe=session.recipe, timeline=session.timeline)


def agenda(state: SessionState) -> Agenda:
    """The end of a running session and of a guest's, the device's order, and when an order to be silent no longer matters."""
    session, alarms = state.session, {}
    if session is not None and session.expires_at is not None:
        alarms[GUEST] = session.expires_at
    if session is not None and (end := ends_at(session)) is not None:
        alarms[END] = end
    if state.order is not None and state.order.silences and state.sounds_until is not None:
        alarms[ORDER] = state.sounds_until
    if not alarms and state.order is None:
        return NOTHING_OWED
    effects = {} if state.order is None else {state.order.effect: _effect(state.id, state.order)}
    return Agenda(alarms=alarms, effects=effects)


def _effect(id_: str, order: Order) -> Effect:
    command: audio.Play | audio.Stop
    if order.playing is None:
        command = audio.Stop(voice=id_, owner=order.owner, order=order.number)
    else:
        playing = order.playing
        command = audio.Play(
            voice=id_,
            recipe=playing.recipe,
            timeline=playing.timeline,
            session=id_,
            owner=order.owner,
            order=order.number,
        )
    return Effect(id=order.effect, target=Address("audio", order.device), command=audio.encode(command))
