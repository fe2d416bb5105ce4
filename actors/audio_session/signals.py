"""What an audio session makes of what the runtime tells it: time, its sound device's answers, who began to follow. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import structs

from actors.audio.replies import Obeyed
from actors.audio_session import events as e
from actors.audio_session import showing
from actors.audio_session.conduct import deleted, folded, until_now
from actors.audio_session.state import END, GUEST, ORDER, SessionState, current, ends_at
from actors.runtime.entity import AlarmFired, Attached, Context, Decision, EffectDone, Tick

EARLY: Final = timedelta(seconds=5)


def signal(state: SessionState, signal: Any, context: Context) -> Decision:
    """An alarm (it may come twice), what the device answered, who began to follow."""
    session, now = state.session, context.now
    if isinstance(signal, EffectDone):
        return Decision(events=_answered(state, signal.id, _refusal(signal), now))
    if isinstance(signal, Attached):
        return _attached(state, signal)
    if isinstance(signal, AlarmFired) and signal.name == GUEST:
        over = session is not None and session.expires_at is not None and session.expires_at <= now
        return deleted() if over else Decision()
    if isinstance(signal, Tick) or (isinstance(signal, AlarmFired) and signal.name in (END, ORDER)):
        return _due(state, now)
    return Decision()


def _attached(state: SessionState, signal: Attached) -> Decision:
    """Whoever was let in, or came back with their gateway, while the sharing ended hears no more, and nobody what was
    deleted. (That somebody left the space that it is shared with is for the gateways to find out.)"""
    session = state.session
    if state.deleted:
        return Decision(unsubscribe="all")
    if session is None or session.space is not None:
        return Decision()
    others = {each.practitioner for each in signal.sessions} - {session.owner}
    return Decision(unsubscribe=sorted(others)) if others else Decision()


def _due(state: SessionState, now: datetime) -> Decision:
    """What time has brought: the end, and that the device is silent by itself. Where storage's clock is ahead of ours an alarm
    comes early, by milliseconds that nobody should wait a second for."""
    events: list[e.SessionEvent] = []
    order, session, ahead = state.order, state.session, []
    if order is not None and order.silences and state.sounds_until is not None:
        if state.sounds_until <= now:
            events += _answered(state, order.effect, None, now)
        else:
            ahead.append(state.sounds_until - now)
    if session is not None and (end := ends_at(session)) is not None:
        if end <= now:
            after = folded(state, events, now)
            assert after.session is not None
            events += until_now(after, current(after.session, now))
        else:
            ahead.append(end - now)
    soon = [each.total_seconds() for each in ahead if each < EARLY]
    return Decision(events=events, tick_after_s=min(soon, default=None))


def _refusal(done: EffectDone) -> str | None:
    """Why the device does not do it, in words."""
    if done.error is not None:
        return _WORDS.get(done.error, done.error.replace("_", " "))
    return msgspec.json.decode(done.reply or b"{}", type=Obeyed).refused


_WORDS: Final = {
    "full": "it has no room for one more voice",
    "not_found": "there is no such device",
    "forbidden": "it is not the owner's to play on",
    "internal": "something went wrong there",
}


def _answered(state: SessionState, effect: str, error: str | None, now: datetime) -> list[e.SessionEvent]:
    """The device's answer, with the session where that changed what is said of it."""
    if state.order is None or state.order.effect != effect:
        return []
    session = state.session
    if session is None or session.device_error == error:
        return [e.DeviceAnswered(effect=effect, error=error)]
    after = structs.replace(session, device_error=error)
    heard = showing.elapsed(after, now)
    return [e.DeviceAnswered(effect=effect, error=error, session=after, elapsed_time=heard)]
