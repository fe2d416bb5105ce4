"""The sound device as an entity: who plays what on it, until when, and how loud it is.

What sounds is a function of the state and the server's time, so an actor that was killed goes on where it would be. What its
player sees of the hardware (``Report``) is live: it is gone with the process and comes again from the next one. A tone cannot
be stuck: every voice has an owner and an end, and the alarm of the next end is in the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from msgspec import UNSET, structs

from actors.audio import commands as c
from actors.audio import events as e
from actors.audio.replies import DeviceState, PlayingVoice
from actors.audio.state import DeviceVoices, codec, evolve, partials
from actors.audio.timeline import Timeline
from actors.audio.values import DURATION_MAX_S, SAMPLE_RATE, VOICES_MAX
from actors.runtime.codec import Kept, invalid
from actors.runtime.entity import (
    SIGNALS,
    Agenda,
    AlarmFired,
    Context,
    Decision,
    Published,
    Push,
    Row,
)
from actors.runtime.errors import BadRequest, Forbidden, Full

START_LEAD: Final = timedelta(seconds=0.5)
"""What is played at once begins so much later, so that its beginning is heard: a device has to be opened, and is filled ahead."""
PARTIALS_MAX: Final = 704
"""Sines that a device plays at once: 64 bowls of 11 modes, a third of what a core can do."""
OWNER_VOICES_MAX: Final = 16
"""Of one practitioner, so that there is room for others."""
SAMPLED_MAX: Final = 4
"""Voices of samples at once: of 0.9 MB each, in the state and in each checkpoint."""
END: Final = "end"
UNKNOWN: Final = "a sound device is looked for"
_AHEAD_MAX: Final = timedelta(seconds=DURATION_MAX_S)


class AudioKind(Kept):
    """The kind ``audio``. An entity's id is the device's name."""

    kind: ClassVar[str] = "audio"
    format: ClassVar[int] = e.FORMAT
    events: ClassVar = e.codec
    states: ClassVar = codec
    sealed: ClassVar[bool] = False

    def initial(self, entity_id: str) -> DeviceVoices:
        """Silence."""
        return DeviceVoices()

    def decode_command(self, data: bytes) -> c.AnyCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def decide(self, state: DeviceVoices, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        if isinstance(command, SIGNALS):
            return _signal(state, command, context)
        match command:
            case c.Play():
                return _play(state, command, context)
            case c.PlaySamples():
                return _play_samples(state, command, context)
            case c.Stop():
                return _stop(state, command, context)
            case c.SetVolume(volume=volume):
                events = (e.VolumeSet(volume=volume),) if volume != state.volume else ()
                return _answered(state, events, context, _practitioner(context))
            case c.Report():
                return _report(command, context)
        return Decision(reply=shown(state, context, None if context.caller is None else context.caller.practitioner))

    def evolve(self, state: DeviceVoices, event: e.AudioEvent, at: datetime) -> DeviceVoices:
        """The state after the event."""
        return evolve(state, event)

    def rows(self, event: e.AudioEvent, state: DeviceVoices, at: datetime) -> Iterable[Row]:
        """None: a device has no table."""
        return ()

    def agenda(self, state: DeviceVoices) -> Agenda:
        """The end of the voice that ends next."""
        due = state.next_end
        return Agenda() if due is None else Agenda(alarms={END: due})

    def publish(self, event: e.AudioEvent) -> Published | None:
        """All of it: the player makes sound of it."""
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


def shown(state: DeviceVoices, context: Context, viewer: str | None) -> DeviceState:
    """The device as a practitioner may see it: what is the viewer's, and how much more sounds."""
    now, report = context.now, context.live
    sounding = [voice for voice in state.voices.values() if voice.ends_at > now]
    own = tuple(_voice(voice) for voice in sounding if voice.owner == viewer)
    device = DeviceState(
        device=context.entity_id,
        present=False,
        status=UNKNOWN,
        volume=state.volume,
        voices=own,
        others=len(sounding) - len(own),
    )
    if report is None:
        return device
    known = {name: getattr(report, name) for name in report.__struct_fields__ if name != "device"}
    return structs.replace(device, **known)


def _voice(voice: e.Voice) -> PlayingVoice:
    return PlayingVoice(
        id=voice.id,
        owner=voice.owner,
        recipe=voice.recipe,
        timeline=voice.timeline,
        ends_at=voice.ends_at,
        session=voice.session,
    )


def _practitioner(context: Context) -> str:
    """Who asks, and may make the device sound. Raises Forbidden."""
    if context.caller is None:
        raise BadRequest("nobody asks")
    if context.caller.guest:
        raise Forbidden("the server's sound device is not for guests")
    return context.caller.practitioner


def _owner(command: c.Play | c.Stop, context: Context) -> str:
    """Whose voice is meant."""
    if context.caller is not None:
        if command.owner is not None:
            raise Forbidden("a voice is its caller's")
        return _practitioner(context)
    if command.owner is None:
        raise BadRequest("a voice has an owner")
    return command.owner


def _answered(state: DeviceVoices, events: Sequence[e.AudioEvent], context: Context, owner: str) -> Decision:
    for event in events:
        state = evolve(state, event)
    return Decision(events=events, reply=shown(state, context, owner))


def _play(state: DeviceVoices, command: c.Play, context: Context) -> Decision:
    owner, now = _owner(command, context), context.now
    timeline = _at_once(now) if command.timeline is UNSET else command.timeline
    ends_at = _end_of(timeline, command.recipe.duration_s, now)
    voice = e.Voice(
        id=command.voice,
        owner=owner,
        timeline=timeline,
        ends_at=ends_at,
        recipe=command.recipe,
        session=command.session,
    )
    return _begin(state, voice, context)


def _play_samples(state: DeviceVoices, command: c.PlaySamples, context: Context) -> Decision:
    owner, timeline = _practitioner(context), _at_once(context.now)
    if len(command.samples) % 2:
        raise invalid("samples", "of 2 bytes each")
    ends_at = _end_of(timeline, len(command.samples) / 2 / SAMPLE_RATE, context.now)
    voice = e.Voice(id=command.voice, owner=owner, timeline=timeline, ends_at=ends_at, samples=command.samples)
    return _begin(state, voice, context)


def _at_once(now: datetime) -> Timeline:
    return Timeline(anchor_at=now + START_LEAD)


def _end_of(timeline: Timeline, duration_s: float, now: datetime) -> datetime:
    """When it will be over. Raises Invalid for what would never end, or begin too late."""
    if timeline.anchor_at is None:
        raise invalid("timeline.anchor_at", "is required: what stands does not sound")
    if timeline.anchor_at.tzinfo is None:
        raise invalid("timeline.anchor_at", "must be a time in UTC")
    if timeline.anchor_at - now > _AHEAD_MAX:
        raise invalid("timeline.anchor_at", "at most a day ahead")
    ends_at = timeline.ends_at(duration_s)
    assert ends_at is not None
    return ends_at


def _begin(state: DeviceVoices, voice: e.Voice, context: Context) -> Decision:
    """The voice sounds beside the others, in place of one of its id. Raises Forbidden, Full."""
    known = state.voices.get(voice.id)
    if known is not None and known.owner != voice.owner:
        raise Forbidden("this voice is another's")
    if voice.ends_at <= context.now:
        ended = () if known is None else (e.VoicesEnded(voices=(voice.id,)),)
        return _answered(state, ended, context, voice.owner)
    over = tuple(id_ for id_ in state.over(context.now) if id_ != voice.id)
    others = [kept for id_, kept in state.voices.items() if id_ != voice.id and id_ not in over]
    _check_room(voice, others)
    ended = (e.VoicesEnded(voices=over),) if over else ()
    return _answered(state, (*ended, e.VoiceBegan(voice=voice)), context, voice.owner)


def _check_room(voice: e.Voice, others: Sequence[e.Voice]) -> None:
    if len(others) >= VOICES_MAX:
        raise Full(f"{VOICES_MAX} voices sound on this device already")
    if sum(other.owner == voice.owner for other in others) >= OWNER_VOICES_MAX:
        raise Full(f"{OWNER_VOICES_MAX} voices of yours sound on this device already")
    if voice.recipe is None and sum(other.recipe is None for other in others) >= SAMPLED_MAX:
        raise Full(f"{SAMPLED_MAX} sounds of samples are played on this device already")
    if sum(partials(other.recipe) for other in others) + partials(voice.recipe) > PARTIALS_MAX:
        raise Full(f"this device plays at most {PARTIALS_MAX} partials at once (a bowl has 11)")


def _stop(state: DeviceVoices, command: c.Stop, context: Context) -> Decision:
    owner = _owner(command, context)
    known = None if command.voice is None else state.voices.get(command.voice)
    if known is not None and known.owner != owner:
        raise Forbidden("this voice is another's")
    ended = tuple(id_ for id_, voice in state.voices.items() if voice.owner == owner and command.voice in (None, id_))
    return _answered(state, (e.VoicesEnded(voices=ended),) if ended else (), context, owner)


def _report(report: c.Report, context: Context) -> Decision:
    if context.caller is not None:
        raise Forbidden("only the device's own player says how it is")
    return Decision(live=report)


def _signal(state: DeviceVoices, signal: Any, context: Context) -> Decision:
    over = state.over(context.now)
    if isinstance(signal, AlarmFired) and over:
        return Decision(events=(e.VoicesEnded(voices=over),))
    return Decision()
