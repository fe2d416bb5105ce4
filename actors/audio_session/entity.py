"""The audio session as an entity: who may do what with it, and what each command makes of it.

    created ──start──▶ running ◀──start── paused          stop ──▶ stopped
                        │  └──────pause─────▲             its end ──▶ completed
                        └──▶ stopped, completed ──start──▶ running, from the beginning

Everything about where it is follows from its timeline and the time, so a crash loses nothing: whoever asks after it finds the
position that it would have had. The alarm at its end only writes down what is so already.

Its owner alone changes it. A member of the space that it is shared with (``as_member``: the space that the gateway looked into)
may see it and listen; it is not there for the rest. A command without a caller is the server's own: a look, or a farewell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final

from msgspec import structs

from actors.audio.presets import Defaults
from actors.audio_session import commands as c
from actors.audio_session import conduct, showing, signals
from actors.audio_session import events as e
from actors.audio_session.state import SessionState, agenda, codec, evolve
from actors.runtime.codec import Kept
from actors.runtime.entity import SIGNALS, Agenda, Context, Decision, Delete, Published, Push, Row, Upsert

KEPT: Final = 64
"""Events that the journal keeps at least, so that a retry finds its answer. They go by so many: each has the whole session."""


class AudioSessionKind(Kept):
    """The kind ``audio_session``. ``defaults``: the server's settings of sound."""

    kind: ClassVar[str] = "audio_session"
    format: ClassVar[int] = e.FORMAT
    events: ClassVar = e.codec
    states: ClassVar = codec
    sealed: ClassVar[bool] = True

    def __init__(self, defaults: Defaults = Defaults()) -> None:  # noqa: B008 - frozen
        self._most: Final = defaults.max_volume
        self._decide: Final[Mapping[type, Callable[[SessionState, Any, Context], Decision]]] = {
            c.CreateSession: partial(conduct.create, defaults),
            c.UpdateSession: partial(conduct.update, defaults),
            c.Start: partial(conduct.start, defaults),
            c.Pause: conduct.pause,
            c.Stop: conduct.stop,
            c.Share: conduct.share,
            c.Delete: conduct.delete,
            c.GetSession: conduct.get,
            c.Listen: conduct.listen,
        }

    def initial(self, entity_id: str) -> SessionState:
        """None yet."""
        return SessionState(id=entity_id)

    def decode_command(self, data: bytes) -> c.AnyCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def subscribes(self, command: Any) -> bool:
        """To listen is a command of its own."""
        return isinstance(command, c.Listen)

    def request(self, command: Any, data: bytes) -> bytes:
        """Of a new session all but the sky, which is another at each try."""
        if isinstance(command, c.CreateSession) and command.sky:
            return c.encode(structs.replace(command, sky={}))
        return data

    def decide(self, state: SessionState, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        state = conduct.within(state, self._most)
        if isinstance(command, SIGNALS):
            decision = signals.signal(state, command, context)
        else:
            decision = self._decide[type(command)](state, command, context)
        after = context.seq + len(decision.events)
        if decision.forget or after < 2 * KEPT or after // KEPT == context.seq // KEPT:
            return decision
        return structs.replace(decision, forget=KEPT)

    def evolve(self, state: SessionState, event: e.SessionEvent, at: datetime) -> SessionState:
        """The state after the event."""
        return evolve(state, event, at)

    def rows(self, event: e.SessionEvent, state: SessionState, at: datetime) -> Iterable[Row]:
        """The session's row of ``audio_sessions``."""
        if isinstance(event, e.Deleted):
            return (Delete(table=showing.TABLE, id=state.id),)
        if state.session is None:
            return ()
        return (Upsert(table=showing.TABLE, values=showing.row(state.session)),)

    def agenda(self, state: SessionState) -> Agenda:
        """The alarm at its end, a guest's end, what its sound device has to be told."""
        return agenda(state)

    def publish(self, event: e.SessionEvent) -> Published | None:
        """``changed``, whatever happened: the whole session as it was then. Of its end, ``deleted``."""
        if isinstance(event, e.Deleted):
            return Published(event="deleted", body={})
        if event.session is None:
            return None
        sender = None if isinstance(event, e.DeviceAnswered) else (event.session.owner, None)
        session = showing.session_object(event.session, event.elapsed_time)
        return Published(event="changed", body=session, sender=sender)

    def snapshot(self, state: SessionState, context: Context) -> Any:
        """The session as it is now; None where it is no more."""
        state = conduct.within(state, self._most)
        return None if state.session is None else showing.shown(state, context.now)

    def greeting(self, state: SessionState, context: Context) -> Sequence[Push]:
        """Nothing."""
        return ()

    def may_read(self, state: SessionState, context: Context) -> None:
        """Its owner, and who listens to it now. Raises NotFound."""
        conduct.follower(state, context)
