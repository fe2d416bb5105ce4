"""What each command makes of an audio session. Pure.

A session whose end is past is completed, whether the alarm has come or not: every decision begins with that (``current``), and
writes it down where it changes something.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType, structs

from actors.audio.presets import Defaults, Sound
from actors.audio.timeline import Timeline
from actors.audio_session import commands as c
from actors.audio_session import events as e
from actors.audio_session import showing
from actors.audio_session.sound import changed, made
from actors.audio_session.state import END, GUEST, SessionState, current, ends_at, evolve, lead, position
from actors.runtime.codec import invalid
from actors.runtime.entity import EVERYTHING, AlarmFired, Context, Decision, EffectDone, Tick
from actors.runtime.errors import Conflict, NotFound, TooLarge, Unauthenticated

METADATA_BYTES: Final = 16 * 1024
"""As JSON: as much as a message may have."""
EARLY: Final = timedelta(seconds=5)
_SAID: Final = ("name", "intention", "metadata")
"""What an update changes of a session and nothing hears."""


# Who may


def _not_there() -> NotFound:
    return NotFound("Session not found")


def _there(state: SessionState) -> e.Session:
    if state.session is None:
        raise _not_there()
    return state.session


def _own(state: SessionState, context: Context) -> e.Session:
    """The session as it is now, if it is the caller's. Raises Unauthenticated, NotFound."""
    if context.caller is None:
        raise Unauthenticated("a session answers to practitioners only")
    session = _there(state)
    if session.owner != context.caller.practitioner:
        raise _not_there()
    return current(session, context.now)


def _seen(state: SessionState, context: Context, *, as_member: bool) -> None:
    """Raises NotFound where the caller may not know of it."""
    session, caller = _there(state), context.caller
    if caller is not None and caller.practitioner != session.owner and not (as_member and session.space is not None):
        raise _not_there()


def follower(state: SessionState, context: Context) -> None:
    """The caller is the owner, or listens now. Raises NotFound."""
    session, caller = _there(state), context.caller
    if caller is None or caller.practitioner == session.owner:
        return
    if session.space is None or all(each.practitioner != caller.practitioner for each in context.present.values()):
        raise _not_there()


# Commands


def create(defaults: Defaults, state: SessionState, command: c.CreateSession, context: Context) -> Decision:
    """It begins to be."""
    caller, now = context.caller, context.now
    if caller is None:
        raise Unauthenticated("a session answers to practitioners only")
    if state.session is not None or state.deleted:
        raise Conflict("the session exists already" if state.session is not None else "the session was deleted")
    _check_metadata(command.metadata)
    sound = _sound(command)
    decided = made(sound, defaults)
    ends = caller.guest and caller.expires_at is not None
    session = e.Session(
        id=state.id,
        owner=caller.practitioner,
        status="created",
        sound=sound,
        recipe=decided.recipe,
        frequencies=decided.frequencies,
        notes=decided.notes,
        device=command.device,
        created_at=now,
        expires_at=datetime.fromtimestamp(caller.expires_at or 0.0, UTC) if ends else None,
        **{name: getattr(command, name) for name in _AS_GIVEN},
    )
    return _became(state, [e.Created(session=session)], context)


_AS_GIVEN: Final = (*_SAID, "astrology_enabled", "hardware_enabled", "visuals_enabled", "space", "published")


def _sound(command: c.CreateSession) -> Sound:
    frequency = command.audio_frequency
    return Sound(
        audio_type=command.audio_type,
        frequencies=command.frequencies,
        frequency=None if isinstance(frequency, UnsetType) else frequency,
        beat=command.beat_frequency,
        duration_s=command.duration,
        level=command.volume,
        pure_sine=command.pure_sine,
        bowl_mode=command.prayer_bowl_mode,
        harmonic_strength=command.harmonic_strength,
        modulation_depth=command.modulation_depth,
    )


def update(defaults: Defaults, state: SessionState, command: c.UpdateSession, context: Context) -> Decision:
    """What is given changes; then the status, where one is given."""
    session = _own(state, context)
    events = _until_now(state, session)
    after = _updated(session, command, defaults, context.now)
    if after != session:
        after = structs.replace(after, updated_at=context.now)
        events.append(e.Updated(session=after, elapsed_time=showing.elapsed(after, context.now)))
    if command.status is not UNSET and command.status != after.status:
        events.append(_turned(after, command.status, defaults, context.now))
    return _became(state, events, context)


def _updated(session: e.Session, command: c.UpdateSession, defaults: Defaults, now: datetime) -> e.Session:
    if command.metadata is not UNSET:
        _check_metadata(command.metadata)
    said = {name: value for name in _SAID if (value := getattr(command, name)) is not UNSET}
    session = structs.replace(session, **said)
    heard: dict[str, Any] = {}
    if command.volume is not UNSET:
        heard["level"] = command.volume
    if command.audio_frequency is not UNSET:
        heard |= {"frequency": command.audio_frequency, "frequencies": ()}
    if command.duration is not UNSET:
        heard["duration_s"] = float(command.duration)
    sound = structs.replace(session.sound, **heard)
    return session if sound == session.sound else _resounded(session, sound, defaults, now)


def _resounded(session: e.Session, sound: Sound, defaults: Defaults, now: datetime) -> e.Session:
    """It sounds otherwise: from the beginning where it does not run, from now on (a little ahead, so that all change at once)
    where it does. Raises Invalid where it would be over already."""
    decided = made(sound, defaults)
    recipe = decided.recipe
    if session.status in ("running", "paused"):
        here = position(session, now)
        if recipe.duration_s <= here:
            raise invalid("duration", f"{here:.1f} s were heard already")
        if structs.replace(sound, duration_s=session.sound.duration_s) == session.sound:
            recipe = structs.replace(session.recipe, duration_s=recipe.duration_s)
        else:
            ahead = position(session, now + lead(session)) if session.status == "running" else here
            whole = structs.replace(session.recipe, duration_s=recipe.duration_s)
            recipe = changed(whole, recipe.voices, min(ahead, recipe.duration_s))
    return structs.replace(session, sound=sound, recipe=recipe, frequencies=decided.frequencies, notes=decided.notes)


def start(defaults: Defaults, state: SessionState, command: c.Start, context: Context) -> Decision:
    """It runs, from where it was or from the beginning."""
    return _turn(defaults, state, "running", context)


def pause(state: SessionState, command: c.Pause, context: Context) -> Decision:
    """It stands."""
    session = _own(state, context)
    events = _until_now(state, session)
    return _became(state, [*events, _paused(session, context.now)], context)


def stop(state: SessionState, command: c.Stop, context: Context) -> Decision:
    """It has ended."""
    session = _own(state, context)
    events = _until_now(state, session)
    if session.status not in ("stopped", "completed"):
        events.append(_stopped(session, context.now))
    return _became(state, events, context)


def _turn(defaults: Defaults, state: SessionState, status: c.Status, context: Context) -> Decision:
    session = _own(state, context)
    events = _until_now(state, session)
    if session.status != status:
        events.append(_turned(session, status, defaults, context.now))
    return _became(state, events, context)


def _turned(session: e.Session, status: c.Status, defaults: Defaults, now: datetime) -> e.SessionEvent:
    """Raises Conflict where that cannot be, Invalid where it is nobody's to say."""
    if status == "running":
        return _started(session, defaults, now)
    if status == "paused":
        return _paused(session, now)
    if status == "stopped":
        return _stopped(session, now)
    raise invalid("status", f"a session becomes {status} by itself")


def _started(session: e.Session, defaults: Defaults, now: datetime) -> e.Started:
    begins = now + lead(session)
    if session.status == "paused":
        timeline = Timeline(position_s=session.timeline.position_s, anchor_at=begins)
        after = structs.replace(session, status="running", timeline=timeline, updated_at=now)
        return e.Started(session=after, elapsed_time=int(timeline.position_s))
    decided = made(session.sound, defaults)
    after = structs.replace(
        session,
        status="running",
        recipe=decided.recipe,
        frequencies=decided.frequencies,
        notes=decided.notes,
        timeline=Timeline(anchor_at=begins),
        started_at=begins,
        stopped_at=None,
        updated_at=now,
    )
    return e.Started(session=after)


def _paused(session: e.Session, now: datetime) -> e.Paused:
    if session.status != "running":
        raise Conflict(f"the session does not run: it is {session.status}")
    timeline = session.timeline.paused(now, session.recipe.duration_s)
    after = structs.replace(session, status="paused", timeline=timeline, updated_at=now)
    return e.Paused(session=after, elapsed_time=int(timeline.position_s))


def _stopped(session: e.Session, now: datetime) -> e.Stopped:
    if session.status == "completed":
        raise Conflict("the session is completed")
    timeline = session.timeline.paused(now, session.recipe.duration_s)
    after = structs.replace(session, status="stopped", timeline=timeline, stopped_at=now, updated_at=now)
    return e.Stopped(session=after, elapsed_time=int(timeline.position_s))


def share(state: SessionState, command: c.Share, context: Context) -> Decision:
    """With another space, or with nobody: who listened as a member listens no longer."""
    session = _own(state, context)
    events = _until_now(state, session)
    if session.space == command.space:
        return _became(state, events, context)
    after = structs.replace(session, space=command.space, updated_at=context.now)
    events.append(e.Shared(session=after, elapsed_time=showing.elapsed(after, context.now)))
    others = {each.practitioner for each in context.present.values()} - {session.owner}
    return structs.replace(_became(state, events, context), unsubscribe=sorted(others))


def delete(state: SessionState, command: c.Delete, context: Context) -> Decision:
    """Nothing is left of it but that its id was used. The owner's, or the server's own where the owner is gone."""
    if context.caller is not None:
        _own(state, context)
    return Decision(reply={"status": "deleted"}) if state.session is None else _deleted()


def _deleted() -> Decision:
    return Decision(
        events=(e.Deleted(),), reply={"status": "deleted"}, unsubscribe="all", forget=EVERYTHING, revises=True
    )


def get(state: SessionState, command: c.GetSession, context: Context) -> Decision:
    """The session as it is now."""
    _seen(state, context, as_member=command.as_member)
    return Decision(reply=showing.shown(state, context.now))


def listen(state: SessionState, command: c.Listen, context: Context) -> Decision:
    """The caller's session follows."""
    if context.caller is None:
        raise Unauthenticated("a session answers to practitioners only")
    _seen(state, context, as_member=command.as_member)
    return Decision(reply=showing.shown(state, context.now), subscribe=True)


# What the runtime tells


def signal(state: SessionState, signal: Any, context: Context) -> Decision:
    """An alarm (it may come twice), or what the device answered. Nobody's presence is a session's business."""
    session = state.session
    if isinstance(signal, EffectDone):
        if state.order is None or state.order.effect != signal.id:
            return Decision()
        return Decision(events=(e.DeviceAnswered(effect=signal.id, error=signal.error),))
    if session is None:
        return Decision()
    if isinstance(signal, AlarmFired) and signal.name == GUEST:
        over = session.expires_at is not None and session.expires_at <= context.now
        return _deleted() if over else Decision()
    if isinstance(signal, Tick) or (isinstance(signal, AlarmFired) and signal.name == END):
        return _ended(state, session, context.now)
    return Decision()


def _ended(state: SessionState, session: e.Session, now: datetime) -> Decision:
    """Where storage's clock is ahead of ours the alarm comes early, by milliseconds that nobody should wait a second for."""
    end = ends_at(session)
    if end is not None and end > now:
        return Decision(tick_after_s=(end - now).total_seconds()) if end - now < EARLY else Decision()
    return Decision(events=_until_now(state, current(session, now)))


def _until_now(state: SessionState, session: e.Session) -> list[e.SessionEvent]:
    """That it was completed, where that is so and is not written yet."""
    if state.session == session:
        return []
    return [e.Completed(session=session, elapsed_time=int(session.timeline.position_s))]


def _became(state: SessionState, events: list[e.SessionEvent], context: Context) -> Decision:
    after = state
    for event in events:
        after = evolve(after, event)
    return Decision(events=events, reply=showing.shown(after, context.now))


def _check_metadata(metadata: dict[str, Any]) -> None:
    if len(msgspec.json.encode(metadata)) > METADATA_BYTES:
        raise TooLarge(f"metadata is at most {METADATA_BYTES} bytes of JSON")
