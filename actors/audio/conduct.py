"""What each command makes of a sound device. Pure.

Whoever asks is a practitioner; a session's order and the server's own commands have no caller. The journal keeps little: with
each voice that ends, and every ``KEPT`` events, a checkpoint takes its place, so that nothing of what somebody played stays
there. What must not be done twice is known by marks in the state (``state.done``, ``state.orders``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import UNSET, structs

from actors.audio import commands as c
from actors.audio import events as e
from actors.audio.replies import DeviceState, Obeyed, PlayingVoice, Stopping
from actors.audio.state import DeviceVoices, evolve, mark_of, partials
from actors.audio.timeline import Timeline
from actors.audio.values import DURATION_MAX_S, SAMPLE_RATE, VOICES_MAX
from actors.runtime.codec import invalid
from actors.runtime.entity import EVERYTHING, AlarmFired, Context, Decision
from actors.runtime.errors import BadRequest, Forbidden, Full
from actors.runtime.operations import split

START_LEAD: Final = timedelta(seconds=0.5)
"""What is played at once begins so much later, so that its beginning is heard: a device is filled ahead."""
OPENING: Final = timedelta(seconds=1.5)
"""And so much more where it has to be opened first: 1.4 s, seen with PulseAudio."""
PARTIALS_MAX: Final = 704
"""Sines that a device plays at once: 64 bowls of 11 modes, a third of what a core can do."""
OWNER_VOICES_MAX: Final = 16
"""Of one practitioner, so that there is room for others."""
SAMPLED_MAX: Final = 4
"""Voices of samples at once: of up to 1.8 MB each, in the state and in each checkpoint."""
KEPT: Final = 64
"""Events after which the journal is forgotten at the latest."""
END_STEP: Final = ":end"
"""What the operation of ``EndVoices`` has behind that of its ``Stop``."""
UNKNOWN: Final = "a sound device is looked for"
NOT_THE_OPERATOR: Final = (
    "the server's sound device is its operator's: the local user's, or whoever has the admin token"
)
_AHEAD_MAX: Final = timedelta(seconds=DURATION_MAX_S)
_ALL_BUT_COUNTERS: Final = EVERYTHING - 1
"""As a Decision's ``forget``: all events; what links have counted stays known."""
_ANOTHERS: Final = "this voice is another's"


# What is shown


def shown(state: DeviceVoices, context: Context, viewer: str | None, *, everyone: bool = False) -> DeviceState:
    """The device as a practitioner may see it: what is the viewer's (or everyone's), and how much more sounds."""
    now, report = context.now, context.live
    sounding = [voice for voice in state.voices.values() if voice.ends_at > now]
    own = tuple(_voice(voice, now) for voice in sounding if everyone or voice.owner == viewer)
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


def _voice(voice: e.Voice, now: datetime) -> PlayingVoice:
    return PlayingVoice(
        id=voice.id,
        owner=voice.owner,
        timeline=voice.timeline,
        ends_at=voice.ends_at,
        position_s=voice.timeline.at(now, DURATION_MAX_S),
        session=voice.session,
        sampled=voice.recipe is None,
    )


# Who asks, and what was done already


def practitioner(context: Context) -> str:
    """Who asks, and may make the device sound. Raises BadRequest, Forbidden."""
    if context.caller is None:
        raise BadRequest("nobody asks")
    if context.caller.guest:
        raise Forbidden("the server's sound device is not for guests")
    return context.caller.practitioner


def _check_orders_nobody(command: c.Play | c.Stop) -> None:
    """Of a command with a caller. Raises Forbidden."""
    if command.owner is not None or command.order:
        raise Forbidden("a voice is its caller's")


def _mark(context: Context) -> str | None:
    """Of an operation that may come again when the journal has forgotten it. (A link's are counted by the runtime, a session's
    orders by the session.)"""
    operation = context.operation
    if operation is None or context.caller is None or split(operation) is not None:
        return None
    return mark_of(operation)


def _is_done(state: DeviceVoices, context: Context) -> bool:
    mark = _mark(context)
    return mark is not None and mark in state.done


def _is_ended(state: DeviceVoices, context: Context) -> bool:
    """Whether what a ``Stop`` named has ended: the request's second step was done."""
    return context.operation is not None and mark_of(context.operation + END_STEP) in state.done


def _decided(state: DeviceVoices, events: Sequence[e.AudioEvent], context: Context) -> tuple[DeviceVoices, Decision]:
    """The state after events, and a decision for them without a reply: marked, and with the journal as short as may be."""
    mark = _mark(context)
    marked = [
        structs.replace(event, operation=mark) if mark is not None and isinstance(event, e.Done) else event
        for event in events
    ]
    if mark is not None and mark not in state.done and not any(isinstance(event, e.Done) for event in marked):
        marked.append(e.VoicesEnded(voices=(), operation=mark))  # it changed nothing, and shall not when it comes again
    ends, after = False, state
    for event in marked:
        ends = ends or (isinstance(event, e.VoicesEnded) and bool(event.voices))
        ends = ends or (isinstance(event, e.VoiceBegan) and event.voice.id in after.voices)
        after = evolve(after, event)
    long = context.seq // KEPT != (context.seq + len(marked)) // KEPT
    forget = _ALL_BUT_COUNTERS if ends or long else 0
    return after, Decision(events=marked, forget=forget, revises=forget > 0)


def _answered(state: DeviceVoices, events: Sequence[e.AudioEvent], context: Context, viewer: str) -> Decision:
    after, decision = _decided(state, events, context)
    return structs.replace(decision, reply=shown(after, context, viewer))


# Commands


def play(state: DeviceVoices, command: c.Play, context: Context) -> Decision:
    """A recipe sounds."""
    if context.caller is None:
        return _ordered(state, command, context)
    _check_orders_nobody(command)
    return _of_caller(state, _recipe_voice(command, practitioner(context), context), context)


def _recipe_voice(command: c.Play, owner: str, context: Context) -> e.Voice:
    now = context.now
    timeline = _at_once(context) if command.timeline is UNSET else command.timeline
    return e.Voice(
        id=command.voice,
        owner=owner,
        timeline=timeline,
        ends_at=_end_of(timeline, command.recipe.duration_s, now),
        recipe=command.recipe,
        session=command.session,
    )


def play_samples(state: DeviceVoices, command: c.PlaySamples, context: Context) -> Decision:
    """Samples sound."""
    owner, timeline, frame = practitioner(context), _at_once(context), 2 * command.channels
    if len(command.samples) % frame:
        raise invalid("samples", f"of {frame} bytes each")
    if len(command.samples) > frame * c.SAMPLES_MAX:
        raise invalid("samples", f"at most {c.SAMPLES_MAX} of each channel")
    voice = e.Voice(
        id=command.voice,
        owner=owner,
        timeline=timeline,
        ends_at=_end_of(timeline, len(command.samples) / frame / SAMPLE_RATE, context.now),
        samples=command.samples,
        channels=UNSET if command.channels == 1 else command.channels,
    )
    return _of_caller(state, voice, context)


def _at_once(context: Context) -> Timeline:
    report = context.live
    ready = report is not None and report.latency_s is not None  # it is open
    return Timeline(anchor_at=context.now + START_LEAD + (timedelta() if ready else OPENING))


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


def _of_caller(state: DeviceVoices, voice: e.Voice, context: Context) -> Decision:
    events = [] if _is_done(state, context) else _begun(state, voice, context)
    return _answered(state, events, context, voice.owner)


def _begun(state: DeviceVoices, voice: e.Voice, context: Context) -> list[e.AudioEvent]:
    """The voice sounds beside the others, in place of one of its id. Raises Forbidden, Full."""
    known = state.voices.get(voice.id)
    if known is not None and known.owner != voice.owner:
        raise Forbidden(_ANOTHERS)
    if voice.ends_at <= context.now:
        return [] if known is None else [e.VoicesEnded(voices=(voice.id,))]
    over = tuple(id_ for id_ in state.over(context.now) if id_ != voice.id)
    _check_room(voice, [kept for id_, kept in state.voices.items() if id_ != voice.id and id_ not in over])
    ended = [e.VoicesEnded(voices=over)] if over else []
    return [*ended, e.VoiceBegan(voice=voice, device=context.entity_id)]


def _check_room(voice: e.Voice, others: Sequence[e.Voice]) -> None:
    if len(others) >= VOICES_MAX:
        raise Full(f"{VOICES_MAX} voices sound on this device already")
    if sum(other.owner == voice.owner for other in others) >= OWNER_VOICES_MAX:
        raise Full(f"{OWNER_VOICES_MAX} voices of yours sound on this device already")
    if voice.recipe is None and sum(other.recipe is None for other in others) >= SAMPLED_MAX:
        raise Full(f"{SAMPLED_MAX} sounds of samples are played on this device already")
    if sum(partials(other.recipe) for other in others) + partials(voice.recipe) > PARTIALS_MAX:
        raise Full(f"this device plays at most {PARTIALS_MAX} partials at once (a bowl has 11)")


def stop(state: DeviceVoices, command: c.Stop, context: Context) -> Decision:
    """What is meant ends; voices of sessions are named."""
    if context.caller is None:
        return _ordered(state, command, context)
    _check_orders_nobody(command)
    owner = practitioner(context)
    meant = _meant(state, command.voice, owner, context, everyone=command.everyone)
    if _is_done(state, context):  # the sessions are named again where they may not have been stopped
        meant = [] if _is_ended(state, context) else [voice for voice in meant if voice.session is not None]
    ended = tuple(voice.id for voice in meant if voice.session is None)
    after, decision = _decided(state, [e.VoicesEnded(voices=ended)] if ended else [], context)
    device = shown(after, context, owner, everyone=command.everyone)
    sessions = tuple(_voice(voice, context.now) for voice in meant if voice.session is not None)
    return structs.replace(decision, reply=Stopping(device=device, sessions=sessions))


def _meant(state: DeviceVoices, voice: str | None, owner: str, context: Context, *, everyone: bool) -> list[e.Voice]:
    """Raises Forbidden for another's voice."""
    known = None if voice is None else state.voices.get(voice)
    if known is not None and known.owner != owner and not everyone:
        raise Forbidden(_ANOTHERS)
    found = [each for each in state.voices.values() if voice in (None, each.id)]
    return [each for each in found if (everyone or each.owner == owner) and each.ends_at > context.now]


def end_voices(state: DeviceVoices, command: c.EndVoices, context: Context) -> Decision:
    """They end."""
    owner = practitioner(context)
    known = [(state.voices.get(named.id), named) for named in command.voices]
    meant = [voice for voice, named in known if voice is not None and voice.timeline == named.timeline]
    meant = [] if _is_done(state, context) else meant
    if any(voice.owner != owner for voice in meant) and not command.everyone:
        raise Forbidden(_ANOTHERS)
    ended = tuple(voice.id for voice in meant)
    after, decision = _decided(state, [e.VoicesEnded(voices=ended)] if ended else [], context)
    return structs.replace(decision, reply=shown(after, context, owner, everyone=command.everyone))


def _ordered(state: DeviceVoices, command: c.Play | c.Stop, context: Context) -> Decision:
    """A session's order for its voice. It is answered in words where it cannot be: an effect's error has a code alone, and the
    session goes on. Raises BadRequest, Invalid."""
    owner, voice = command.owner, command.voice
    if owner is None:
        raise BadRequest("a voice has an owner")
    if voice is None:
        raise BadRequest("an order is for one voice")
    last = state.orders.get(voice, 0)
    if command.order and command.order <= last:
        return Decision(reply=_obeyed_already(state, command, context) if command.order == last else Obeyed())
    order = [e.Ordered(voice=voice, order=command.order)] if command.order else []
    known, obeyed = state.voices.get(voice), Obeyed()
    try:
        events = _obeyed(state, command, owner, context)
    except (Forbidden, Full) as refused:
        own = known is not None and known.owner == owner
        events = [e.VoicesEnded(voices=(voice,))] if own else []  # the old sound would not be the session's any more
        obeyed = Obeyed(refused=refused.message, code=refused.code)
    _, decision = _decided(state, [*order, *events], context)
    return structs.replace(decision, reply=obeyed)


def _obeyed_already(state: DeviceVoices, command: c.Play | c.Stop, context: Context) -> Obeyed:
    """What became of the last order, asked again: one that was refused has left no voice."""
    if isinstance(command, c.Stop) or command.voice in state.voices:
        return Obeyed()
    over = _recipe_voice(command, command.owner or "", context).ends_at <= context.now
    return Obeyed() if over else Obeyed(refused="the sound device does not play it", code=Full.code)


def _obeyed(state: DeviceVoices, command: c.Play | c.Stop, owner: str, context: Context) -> list[e.AudioEvent]:
    """Raises Forbidden, Full."""
    if isinstance(command, c.Play):
        return _begun(state, _recipe_voice(command, owner, context), context)
    known = state.voices.get(command.voice or "")
    if known is not None and known.owner != owner:
        raise Forbidden(_ANOTHERS)
    return [] if known is None else [e.VoicesEnded(voices=(known.id,))]


def erase(state: DeviceVoices, command: c.Erase, context: Context) -> Decision:
    """Nothing of theirs is left, and none of the journal."""
    if context.caller is not None:
        raise Forbidden("only the server itself does this, when an account ends")
    theirs = tuple(id_ for id_, voice in state.voices.items() if voice.owner == command.owner)
    if not theirs:
        return Decision(reply={"status": "erased"})
    _, decision = _decided(state, [e.VoicesEnded(voices=theirs)], context)
    return structs.replace(decision, reply={"status": "erased"})


def set_volume(state: DeviceVoices, command: c.SetVolume, context: Context) -> Decision:
    """As loud as the operator says."""
    if context.caller is None or not command.operator:
        raise Forbidden(NOT_THE_OPERATOR)
    same = command.volume == state.volume or _is_done(state, context)
    return _answered(state, [] if same else [e.VolumeSet(volume=command.volume)], context, context.caller.practitioner)


def get(state: DeviceVoices, command: c.GetDevice, context: Context) -> Decision:
    """The device as it is now."""
    return Decision(reply=shown(state, context, None if context.caller is None else context.caller.practitioner))


def report(state: DeviceVoices, command: c.Report, context: Context) -> Decision:
    """What the player sees, as long as the entity is live."""
    if context.caller is not None:
        raise Forbidden("only the device's own player says how it is")
    return Decision(live=command)


def signal(state: DeviceVoices, signal: Any, context: Context) -> Decision:
    """The alarm of an end; it may come early, or twice."""
    over = state.over(context.now)
    if isinstance(signal, AlarmFired) and over:
        return _decided(state, [e.VoicesEnded(voices=over)], context)[1]
    return Decision()
