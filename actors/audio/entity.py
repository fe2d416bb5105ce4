"""The sound device as an entity: who plays what on it, until when, and how loud it is.

What sounds is a function of the state and the server's time, so an actor that was killed goes on where it would be. What its
player sees of the hardware (``Report``) is live: it is gone with the process and comes again from the next one. A tone cannot
be stuck: every voice has an owner and an end, and the alarm of the next end is in the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from msgspec import UNSET

from actors.audio import commands as c
from actors.audio import conduct
from actors.audio import events as e
from actors.audio.state import DeviceVoices, codec, evolve
from actors.runtime.codec import Kept
from actors.runtime.entity import SIGNALS, Agenda, Context, Decision, Delete, Published, Push, Row, Upsert
from actors.runtime.errors import Forbidden

END: Final = "end"
TABLE: Final = "audio_voices"


class AudioKind(Kept):
    """The kind ``audio``. An entity's id is the device's name."""

    kind: ClassVar[str] = "audio"
    format: ClassVar[int] = e.FORMAT
    events: ClassVar = e.codec
    states: ClassVar = codec
    sealed: ClassVar[bool] = True
    _decide: ClassVar[Mapping[type, Callable[[DeviceVoices, Any, Context], Decision]]] = {
        c.Play: conduct.play,
        c.PlaySamples: conduct.play_samples,
        c.Stop: conduct.stop,
        c.EndVoices: conduct.end_voices,
        c.Erase: conduct.erase,
        c.SetVolume: conduct.set_volume,
        c.GetDevice: conduct.get,
        c.Report: conduct.report,
    }

    def initial(self, entity_id: str) -> DeviceVoices:
        """Silence."""
        return DeviceVoices()

    def decode_command(self, data: bytes) -> c.AnyCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def request(self, command: Any, data: bytes) -> bytes:
        """All of it, but of a stop's second step what there was to end: that is another when it is asked again."""
        return b"" if isinstance(command, c.EndVoices) else data

    def decide(self, state: DeviceVoices, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        if isinstance(command, SIGNALS):
            return conduct.signal(state, command, context)
        return self._decide[type(command)](state, command, context)

    def evolve(self, state: DeviceVoices, event: e.AudioEvent, at: datetime) -> DeviceVoices:
        """The state after the event."""
        return evolve(state, event)

    def rows(self, event: e.AudioEvent, state: DeviceVoices, at: datetime) -> Iterable[Row]:
        """Of ``audio_voices``: whose voices sound where. A voice has a row while it sounds, on one device at a time."""
        match event:
            case e.VoicesEnded(voices=ended):
                return [Delete(table=TABLE, id=id_) for id_ in ended]
            case e.VoiceBegan(voice=voice, device=device) if device is not UNSET:
                return (
                    Upsert(
                        table=TABLE,
                        values={
                            "id": voice.id,
                            "device": device,
                            "practitioner_id": voice.owner,
                            "session_id": voice.session,
                            "begins_at": voice.timeline.anchor_at,
                            "ends_at": voice.ends_at,
                        },
                    ),
                )
        return ()

    def agenda(self, state: DeviceVoices) -> Agenda:
        """The end of the voice that ends next."""
        due = state.next_end
        return Agenda() if due is None else Agenda(alarms={END: due})

    def publish(self, event: e.AudioEvent) -> Published | None:
        """What the player makes sound of."""
        if isinstance(event, e.Ordered):
            return None
        return Published(event=self.event_type(event), body=event)

    def snapshot(self, state: DeviceVoices, context: Context) -> DeviceVoices:
        """All of it."""
        return state

    def greeting(self, state: DeviceVoices, context: Context) -> Sequence[Push]:
        """Nothing."""
        return ()

    def may_read(self, state: DeviceVoices, context: Context) -> None:
        """Nobody: what others play is theirs. Raises Forbidden."""
        if context.caller is not None:
            raise Forbidden("what a device played is not shown")
