"""What each command makes of an audio session. Pure.

A session whose end is past is completed, whether the alarm has come or not: every decision begins with that (``current``), and
writes it down where it changes something.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType, structs

from actors.audio.presets import Defaults, Sound
from actors.audio.timeline import Timeline
from actors.audio_session import commands as c
from actors.audio_session import events as e
from actors.audio_session import showing
from actors.audio_session.sound import changed, made, softened, stretched, without_the_past
from actors.audio_session.state import SessionState, current, evolve, lead, position, start_lead
from actors.runtime.codec import invalid
from actors.runtime.entity import EVERYTHING, Context, Decision
from actors.runtime.errors import Conflict, Forbidden, NotFound, TooLarge, Unauthenticated

METADATA_BYTES: Final = 16 * 1024
"""As JSON: as much as a message may have."""
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


def _seen(state: SessionState, context: Context, as_member: str | None) -> None:
    """Raises NotFound where the caller may not know of it: neither the owner, nor found to be a member of its space."""
    session, caller = _there(state), context.caller
    if caller is None or caller.practitioner == session.owner:
        return
    if as_member is None or as_member != session.space:
        raise _not_there()


def follower(state: SessionState, context: Context) -> None:
    """The caller is the owner, or listens now. Raises NotFound."""
    session, caller = _there(state), context.caller
    if caller is None or caller.practitioner == session.owner:
        return
    if session.space is None or all(each.practitioner != caller.practitioner for each in context.present.values()):
        raise _not_there()


def within(state: SessionState, most: float) -> SessionState:
    """The state no louder than the server's greatest volume, which may have become less since the session was made."""
    session = state.session
    if session is None or session.sound.level <= most:
        return state
    recipe, sound = softened(session.recipe, session.sound.level, most), structs.replace(session.sound, level=most)
    return structs.replace(state, session=structs.replace(session, recipe=recipe, sound=sound))


# Commands


def create(defaults: Defaults, state: SessionState, command: c.CreateSession, context: Context) -> Decision:
    """It begins to be."""
    caller, now = context.caller, context.now
    if caller is None:
        raise Unauthenticated("a session answers to practitioners only")
    if state.session is not None or state.deleted:
        raise Conflict("the session exists already" if state.session is not None else "the session was deleted")
    if caller.guest and command.device is not None:
        raise Forbidden("the server's sound device is not for guests: leave out device and hardware_enabled")
    metadata = {"sky": command.sky} | command.metadata if command.sky else command.metadata
    _check_metadata(metadata)
    sound = _sound(command)
    decided = made(sound, defaults)
    ends = caller.guest and caller.expires_at is not None
    session = e.Session(
        id=state.id,
        owner=caller.practitioner,
        metadata=metadata,
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


_AS_GIVEN: Final = (
    "name",
    "intention",
    "astrology_enabled",
    "hardware_enabled",
    "visuals_enabled",
    "space",
    "published",
)


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
        layers=command.layers,
    )


def update(defaults: Defaults, state: SessionState, command: c.UpdateSession, context: Context) -> Decision:
    """What is given changes; then the status, where one is given."""
    session = _own(state, context)
    events = until_now(state, session)
    after = _updated(session, command, defaults, context.now)
    if after != session:
        after = structs.replace(after, updated_at=context.now)
        events.append(e.Updated(session=after, elapsed_time=showing.elapsed(after, context.now)))
    if command.status is not UNSET and not _is(after, command.status):
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
        heard |= {"frequency": command.audio_frequency, "frequencies": (), "layers": UNSET}
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
        was = stretched(without_the_past(session.recipe, here), recipe.duration_s, here)
        if structs.replace(sound, duration_s=session.sound.duration_s) == session.sound:
            recipe = was
        else:
            ahead = position(session, now + lead(session)) if session.status == "running" else here
            recipe = changed(was, recipe.voices, min(ahead, recipe.duration_s), here)
    return structs.replace(session, sound=sound, recipe=recipe, frequencies=decided.frequencies, notes=decided.notes)


def start(defaults: Defaults, state: SessionState, command: c.Start, context: Context) -> Decision:
    """It runs, from where it was or from the beginning."""
    return _turn(defaults, state, "running", context)


def pause(state: SessionState, command: c.Pause, context: Context) -> Decision:
    """It stands."""
    session = _own(state, context)
    events = until_now(state, session)
    return _became(state, [*events, _paused(session, context.now)], context)


def stop(state: SessionState, command: c.Stop, context: Context) -> Decision:
    """It has ended."""
    return _turn(Defaults(), state, "stopped", context)


def _turn(defaults: Defaults, state: SessionState, status: c.Status, context: Context) -> Decision:
    session = _own(state, context)
    events = until_now(state, session)
    if not _is(session, status):
        events.append(_turned(session, status, defaults, context.now))
    return _became(state, events, context)


def _is(session: e.Session, status: c.Status) -> bool:
    """Whether there is nothing to do: what is completed has stopped."""
    return session.status == status or (status == "stopped" and session.status == "completed")


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
    begins = now + start_lead(session)
    if session.status == "paused":
        timeline = Timeline(position_s=session.timeline.position_s, anchor_at=begins)
        recipe = without_the_past(session.recipe, timeline.position_s)
        after = structs.replace(session, status="running", recipe=recipe, timeline=timeline, updated_at=now)
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
    timeline = session.timeline.paused(now, session.recipe.duration_s)
    after = structs.replace(session, status="stopped", timeline=timeline, stopped_at=now, updated_at=now)
    return e.Stopped(session=after, elapsed_time=int(timeline.position_s))


def share(state: SessionState, command: c.Share, context: Context) -> Decision:
    """With another space, or with nobody: who listened as a member listens no longer."""
    session = _own(state, context)
    events = until_now(state, session)
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
    return Decision(reply={"status": "deleted"}) if state.session is None else deleted()


def deleted() -> Decision:
    """It is no more, nor is anything of it in the journal."""
    return Decision(
        events=(e.Deleted(),), reply={"status": "deleted"}, unsubscribe="all", forget=EVERYTHING, revises=True
    )


def get(state: SessionState, command: c.GetSession, context: Context) -> Decision:
    """The session as it is now."""
    _seen(state, context, command.as_member)
    return Decision(reply=showing.shown(state, context.now))


def listen(state: SessionState, command: c.Listen, context: Context) -> Decision:
    """The caller's session follows."""
    if context.caller is None:
        raise Unauthenticated("a session answers to practitioners only")
    _seen(state, context, command.as_member)
    return Decision(reply=showing.shown(state, context.now), subscribe=True)


def until_now(state: SessionState, session: e.Session) -> list[e.SessionEvent]:
    """That it was completed, where that is so and is not written yet."""
    if state.session == session:
        return []
    return [e.Completed(session=session, elapsed_time=int(session.timeline.position_s))]


def _became(state: SessionState, events: list[e.SessionEvent], context: Context) -> Decision:
    return Decision(events=events, reply=showing.shown(folded(state, events, context.now), context.now))


def folded(state: SessionState, events: list[e.SessionEvent], now: datetime) -> SessionState:
    """What they lead to."""
    for event in events:
        state = evolve(state, event, now)
    return state


def _check_metadata(metadata: dict[str, Any]) -> None:
    if len(msgspec.json.encode(metadata)) > METADATA_BYTES:
        raise TooLarge(f"metadata is at most {METADATA_BYTES} bytes of JSON")
