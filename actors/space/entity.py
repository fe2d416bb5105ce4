"""The collective space as an entity: what its commands do, what its events publish and imply.

``access`` says who may do what, ``presence`` who is here, ``conduct`` what becomes of group rituals (and ``group`` what
each participant gets, as a table).

Every event is numbered and pushed but the housekeeping ones (``swept``, ``returned``, ``invite_delivered``,
``invite_failed``) and a group ritual's single outcomes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

from actors.runtime.codec import Kept, has_nul, invalid, tag_of
from actors.runtime.entity import (
    NOTHING_OWED,
    Agenda,
    AlarmFired,
    Attached,
    Caller,
    ConfirmClaim,
    Context,
    Decision,
    Detached,
    EffectDone,
    Published,
    Push,
    ReleaseClaim,
    Row,
    Struct,
    Tick,
    Upsert,
)
from actors.runtime.errors import BadRequest, Conflict, FieldError, Forbidden, Full, TooLarge
from actors.space import access, conduct, departing, facilitation, showing, telling
from actors.space import commands as c
from actors.space import events as e
from actors.space import group_events as r
from actors.space import presence as p
from actors.space.showing import space_object
from actors.space.state import Participant, SpaceState, changes, decode, encode, evolve

SLUG_SCOPE: Final = "space.slug"
SWEEP: Final = "sweep"
GUEST: Final = "guest"
INVITATIONS_MAX: Final = 10_000
"""Invitations of one space: they stay in its state, and no space may have more participants by default."""
SWEEP_APART: Final = timedelta(seconds=1)
"""Sweeps are at least this far apart: who goes within the same second goes with the same sweep."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


_CHANGES_THE_ROW: Final = frozenset(
    {e.Created, e.Updated, e.Joined, e.Left, e.Closed, e.Departed, r.RitualIntegration, r.RitualInsight}
)
_BODY: Final = showing.BODIES


class SpaceLimits(Struct, frozen=True, kw_only=True):
    """The settings that bind a space."""

    participant_limit_max: int = 10_000
    message_bytes: int = 16 * 1024
    shared_state_bytes: int = 256 * 1024
    presence_grace_s: float = 30.0
    participant_grace_s: float = 600.0


class SpaceKind(Kept):
    """The kind ``space``."""

    kind: ClassVar[str] = "space"
    format: ClassVar[int] = e.FORMAT
    events: ClassVar = e.codec
    sealed: ClassVar[bool] = True

    def __init__(self, limits: SpaceLimits | None = None) -> None:
        self.limits: Final = limits or SpaceLimits()
        self._presence_grace = timedelta(seconds=self.limits.presence_grace_s)
        self._participant_grace = timedelta(seconds=self.limits.participant_grace_s)
        self._decide: Final[Mapping[type, Callable[[SpaceState, Any, Context], Decision]]] = {
            c.CreateSpace: self._create,
            c.UpdateSpace: self._update,
            c.Invite: self._invite,
            c.Join: self._join,
            c.Leave: self._leave,
            c.Close: self._close,
            c.SendMessage: self._send,
            c.Pulse: self._pulse,
            c.BeginRitual: self._begin_ritual,
            c.AbortRitual: self._abort_ritual,
            c.Depart: self._depart,
            c.FinishDeparture: departing.finish,
            c.GetRitual: self._get_ritual,
            c.GetSpace: self._get,
            EffectDone: self._effect_done,
            AlarmFired: self._alarm_fired,
            Tick: self._tick,
            Attached: self._attached,
            Detached: self._detached,
        }

    # The contract

    def initial(self, entity_id: str) -> SpaceState:
        """No space yet."""
        return SpaceState(id=entity_id)

    def decode_command(self, data: bytes) -> c.SpaceCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def subscribes(self, command: Any) -> bool:
        """Joining follows the stream."""
        return type(command) is c.Join

    def request(self, command: Any, data: bytes) -> bytes:
        """All of it, but a ritual's brief: what a name means, and its module, may be another by the time of a retry."""
        if type(command) is c.BeginRitual:
            return c.encode(msgspec.structs.replace(command, brief=c.NO_BRIEF))
        return data

    def claims(self, command: Any) -> Sequence[tuple[str, str]]:
        """The slug of a new space."""
        if type(command) is c.CreateSpace and command.slug is not None:
            return ((SLUG_SCOPE, command.slug),)
        return ()

    def decide(self, state: SpaceState, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        return self._decide[type(command)](state, command, context)

    def evolve(self, state: SpaceState, event: e.SpaceEvent, at: datetime) -> SpaceState:
        """The state after the event."""
        return evolve(state, event, at)

    def rows(self, event: e.SpaceEvent, state: SpaceState, at: datetime) -> Iterable[Row]:
        """The row of ``collective_spaces``, the slug's claim with the first and the last of them, those of ``space_members``,
        a group's insight."""
        if type(event) is r.RitualInsight:
            return () if event.insight is None else (telling.insight_row(event, event.insight, state.id, at),)
        members = departing.member_rows(event, state, at)
        if type(event) not in _CHANGES_THE_ROW:
            return members
        row = Upsert(table="collective_spaces", values=showing.row(state))
        if state.slug is None:
            return (row, *members)
        if type(event) is e.Created:
            return row, ConfirmClaim(scope=SLUG_SCOPE, name=state.slug), *members
        if type(event) is e.Closed:
            return row, ReleaseClaim(scope=SLUG_SCOPE, name=state.slug)
        return (row, *members)

    def agenda(self, state: SpaceState) -> Agenda:
        """The sweep, the end of a guest's space, notifications not yet delivered, and what group rituals owe."""
        alarms = {name: at for name, at in ((SWEEP, state.sweep_at), (GUEST, state.ends_at)) if at is not None}
        alarms |= conduct.alarms(state)
        if not alarms and not state.outbox and not state.effects:
            return NOTHING_OWED
        if not state.outbox:
            return Agenda(alarms=alarms, effects=state.effects)
        return Agenda(
            alarms=alarms, effects={**{id_: showing.notification(state, id_) for id_ in state.outbox}, **state.effects}
        )

    def publish(self, event: e.SpaceEvent) -> Published | None:
        """The numbered push of an event; None for housekeeping."""
        body = _BODY.get(type(event))
        if body is None:
            return None
        return Published(event=tag_of(event), body=body(event), sender=telling.sender(event))

    def shown(self, published: Published, state: SpaceState) -> Published:
        """Of an account that is gone only the id is told."""
        return departing.shown(published, state)

    def snapshot(self, state: SpaceState, context: Context) -> dict[str, Any]:
        """The space, its participants, who is present, how much their phases agree, and the group ritual under way."""
        agreed = p.agreement(self._heard(state, context))
        return space_object(state) | {
            "participants": [{"id": who, "name": member.name} for who, member in state.participants.items()],
            "present": list(self._everyone(state, context)),
            "phase_coherence": {"r": agreed.r, "unbiased": agreed.unbiased, "n": agreed.n},
            "ritual": None if state.group is None else telling.current_object(state.group),
        }

    def greeting(self, state: SpaceState, context: Context) -> Sequence[Push]:
        """The full presence, for a session that begins to follow."""
        return (showing.presence_push(self._everyone(state, context).items(), (), full=True),)

    def may_read(self, state: SpaceState, context: Context) -> None:
        """Participants and the facilitator read the history. Raises NotFound, Forbidden."""
        access.reader(state, context)

    def encode_state(self, state: SpaceState) -> bytes:
        """JSON."""
        return encode(state)

    def decode_state(self, format_: int, data: bytes) -> SpaceState:
        """A state of any format."""
        return decode(format_, data)

    # Commands

    def _create(self, state: SpaceState, command: c.CreateSpace, context: Context) -> Decision:
        caller = access.caller_of(context)
        if state.created_at is not None:
            raise Conflict("the space exists already")
        if command.slug is not None and _UUID.fullmatch(command.slug):
            raise invalid("slug", "may not have the form of a UUID")
        self._check_limit(command.participant_limit)
        if caller.guest and command.access_level != "open":
            raise Forbidden("guests create open spaces only")
        created = e.Created(
            by=caller.practitioner,
            by_name=caller.name,
            name=command.name,
            purpose=command.purpose,
            slug=command.slug,
            tradition=command.tradition,
            participant_limit=command.participant_limit,
            access_level=command.access_level,
            ritual_schedule=self._json("ritual_schedule", command.ritual_schedule),
            ends_at=_session_end(caller),
        )
        return Decision(events=(created,), reply=space_object(evolve(state, created, context.now)))

    def _update(self, state: SpaceState, command: c.UpdateSpace, context: Context) -> Decision:
        caller = access.facilitator(state, context)
        self._check_update(state, command, caller)
        updated = e.Updated(
            by=caller.practitioner,
            by_name=caller.name,
            name=_changed(command.name, state.name),
            purpose=_changed(command.purpose, state.purpose),
            tradition=_changed(command.tradition, state.tradition),
            participant_limit=_changed(command.participant_limit, state.participant_limit),
            access_level=_changed(command.access_level, state.access_level),
            ritual_schedule=_changed(self._json("ritual_schedule", command.ritual_schedule), state.ritual_schedule),
            shared_state=_changed(self._json("shared_state", command.shared_state), state.shared_state),
        )
        if not changes(updated):
            return Decision(reply=space_object(state))
        return Decision(events=(updated,), reply=space_object(evolve(state, updated, context.now)))

    def _check_update(self, state: SpaceState, command: c.UpdateSpace, caller: Caller) -> None:
        if caller.guest and command.access_level not in (UNSET, "open"):
            raise Forbidden("a guest's space stays open")
        limit = command.participant_limit
        if limit is UNSET:
            return
        self._check_limit(limit)
        if limit < len(state.participants):
            raise Conflict(
                f"there are {len(state.participants)} participants",
                (FieldError(path="participant_limit", message="below the number of participants"),),
            )

    def _check_limit(self, participant_limit: int) -> None:
        if not 1 <= participant_limit <= self.limits.participant_limit_max:
            raise invalid("participant_limit", f"must be from 1 to {self.limits.participant_limit_max}")

    def _json(self, where: str, text: bytes | UnsetType) -> Any:
        """JSON text that goes into a jsonb column."""
        if text is UNSET:
            return UNSET
        self._check_bytes(where, text, self.limits.shared_state_bytes)
        if has_nul(text):
            raise invalid(where, "may not have the character U+0000")
        return msgspec.Raw(text)

    def _check_bytes(self, where: str, text: bytes, most: int) -> None:
        if len(text) > most:
            message = f"{len(text)} bytes of JSON, {most} are allowed"
            raise TooLarge(f"{where}: {message}", (FieldError(path=where, message=message),))

    def _invite(self, state: SpaceState, command: c.Invite, context: Context) -> Decision:
        caller = access.facilitator(state, context)
        if caller.guest:
            raise Forbidden("guests do not invite")
        reply = {"space": state.id, "practitioner": command.practitioner}
        if command.practitioner in state.invited or command.practitioner == state.facilitator:
            return Decision(reply=reply)
        if len(state.invited) >= INVITATIONS_MAX:
            raise Full(f"{INVITATIONS_MAX} practitioners are invited already")
        invited = e.Invited(
            by=caller.practitioner,
            by_name=caller.name,
            practitioner=command.practitioner,
            effect=f"invite-{context.next_offset}",
            space_name=state.name,
        )
        return Decision(events=(invited,), reply=reply)

    def _join(self, state: SpaceState, command: c.Join, context: Context) -> Decision:
        caller = access.known(state, context)
        if (member := state.participants.get(caller.practitioner)) is not None:
            renamed = () if member.name == caller.name else (_by(e.Renamed, caller),)
            return _joined(state, context, renamed)
        access.check_enter(state, caller)
        if len(state.participants) >= state.participant_limit:
            limit = state.participant_limit
            many = "1 participant is" if limit == 1 else f"{limit} participants are"
            raise Full(f"{many} in the space, which is its limit")
        sweep_at = context.now + self._participant_grace if state.sweep_at is None else None
        joined = e.Joined(
            by=caller.practitioner,
            by_name=caller.name,
            guest=caller.guest,
            sweep_at=sweep_at,
            facilitates=not state.facilitator and not caller.guest,
        )
        return _joined(state, context, (joined,))

    def _leave(self, state: SpaceState, command: c.Leave, context: Context) -> Decision:
        caller = access.known(state, context)
        reply = {"space": state.id}
        if caller.practitioner not in state.participants:
            return Decision(reply=reply, unsubscribe=(caller.practitioner,))
        live = _live(context)
        guest = state.participants[caller.practitioner].guest
        return Decision(
            events=(e.Left(by=caller.practitioner, by_name=caller.name, guest=guest),),
            reply=reply,
            unsubscribe=(caller.practitioner,),
            live=msgspec.structs.replace(live, pulses=p.silenced(live.pulses, caller.practitioner)),
            tick_after_s=p.TELL_EVERY.total_seconds(),
        )

    def _close(self, state: SpaceState, command: c.Close, context: Context) -> Decision:
        caller = access.facilitator(state, context)
        if state.group is not None:
            raise Conflict("a group ritual is under way: abort the ritual first")
        return _closing(e.Closed(by=caller.practitioner, by_name=caller.name), {"space": state.id})

    def _send(self, state: SpaceState, command: c.SendMessage, context: Context) -> Decision:
        caller = access.participant(state, context)
        if len(command.body) > self.limits.message_bytes:
            self._check_bytes("body", command.body, self.limits.message_bytes)
        message = e.Message(by=caller.practitioner, by_name=caller.name, body=msgspec.Raw(command.body))
        return Decision(events=(message,), reply={"offset": context.next_offset})

    def _pulse(self, state: SpaceState, command: c.Pulse, context: Context) -> Decision:
        caller = access.participant(state, context)
        if not math.isfinite(command.phase_rad):
            raise invalid("phase_rad", "must be a finite number")
        live, phase = _live(context), p.normalise(command.phase_rad)
        still = p.heard(live.pulses, context.now, state.participants)
        pulses = p.beat(still, caller.practitioner, phase, context.now, shown=caller.name is not None)
        return Decision(
            reply={"phase_coherence": p.agreement(pulses).r},
            live=msgspec.structs.replace(live, pulses=pulses),
            tick_after_s=p.TELL_EVERY.total_seconds(),
        )

    def _begin_ritual(self, state: SpaceState, command: c.BeginRitual, context: Context) -> Decision:
        moment = self._moment(context)
        return conduct.decision(facilitation.begin(state, command, context, moment), moment)

    def _abort_ritual(self, state: SpaceState, command: c.AbortRitual, context: Context) -> Decision:
        moment = self._moment(context)
        return conduct.decision(facilitation.abort(state, command, context, moment), moment)

    def _depart(self, state: SpaceState, command: c.Depart, context: Context) -> Decision:
        return departing.depart(state, command, context, self._moment(context))

    def _get_ritual(self, state: SpaceState, command: c.GetRitual, context: Context) -> Decision:
        return Decision(reply=facilitation.get(state, context))

    def _get(self, state: SpaceState, command: c.GetSpace, context: Context) -> Decision:
        caller = access.known(state, context)
        if caller.practitioner not in state.participants:
            access.check_enter(state, caller)
        return Decision(reply=self.snapshot(state, context))

    # Signals

    def _effect_done(self, state: SpaceState, done: EffectDone, context: Context) -> Decision:
        if done.id not in state.outbox:
            moment = self._moment(context)
            return conduct.decision(conduct.effect_done(state, done, moment), moment)
        if done.error is None:
            return Decision(events=(e.InviteDelivered(effect=done.id),))
        return Decision(events=(e.InviteFailed(effect=done.id, error=done.error),))

    def _alarm_fired(self, state: SpaceState, alarm: AlarmFired, context: Context) -> Decision:
        if alarm.name == GUEST and state.ends_at is not None:
            return _closing(e.Closed(reason="guest"))
        if alarm.name == SWEEP and state.sweep_at is not None:
            return self._sweep(state, context)
        if alarm.name in conduct.ALARMS:
            moment = self._moment(context)
            return conduct.decision(conduct.Decided(*conduct.advance(state, moment)), moment)
        return Decision()  # handled already: alarms may come twice

    def _sweep(self, state: SpaceState, context: Context) -> Decision:
        live, now = _live(context), context.now
        here = p.connected(context.present, state.participants)
        away = p.absences(live.presence, here, state.participants, state.away)
        gone = [who for who, since in away.items() if now - since >= self._participant_grace]
        still_away = {who: since for who, since in away.items() if now - since < self._participant_grace}
        left = tuple(_absent(who, state.participants[who]) for who in gone)
        remain = len(gone) < len(state.participants)
        next_at = self._next_sweep(now, still_away) if remain else None
        return Decision(
            events=(*left, e.Swept(next_at=next_at, away=still_away)),
            unsubscribe=gone,
            live=live,
            tick_after_s=p.TELL_EVERY.total_seconds() if gone else None,
        )

    def _next_sweep(self, now: datetime, away: Mapping[str, datetime]) -> datetime:
        """Before anyone can have been away for too long, but not at once: the alarm has to move, or it would spin."""
        at_once = now + min(SWEEP_APART, self._participant_grace)
        return max(at_once, min([now, *away.values()]) + self._participant_grace)

    def _attached(self, state: SpaceState, signal: Attached, context: Context) -> Decision:
        strangers = {s.practitioner for s in signal.sessions if s.practitioner not in state.participants}
        live = _live(context)
        presence = p.attached(live.presence, (s for s in signal.sessions if s.practitioner in state.participants))
        back = tuple(dict.fromkeys(s.practitioner for s in signal.sessions if s.practitioner in state.away))
        return Decision(
            events=(e.Returned(practitioners=back),) if back else (),
            live=msgspec.structs.replace(live, presence=presence),
            tick_after_s=p.TELL_EVERY.total_seconds(),
            unsubscribe=tuple(strangers),  # removed for absence while their gateway was away: they have to join again
        )

    def _detached(self, state: SpaceState, signal: Detached, context: Context) -> Decision:
        live = _live(context)
        gone = (s for s in signal.sessions if s.practitioner in state.participants)
        return Decision(
            live=msgspec.structs.replace(live, presence=p.detached(live.presence, gone, context.now)),
            tick_after_s=max(p.TELL_EVERY, self._presence_grace).total_seconds(),
        )

    def _tick(self, state: SpaceState, signal: Tick, context: Context) -> Decision:
        """Tell of arrivals, phases and progress, and take the group ritual on: all share the one timer."""
        moment = self._moment(context)
        live, now = moment.live, moment.now
        events, after = conduct.advance(state, moment)
        here = p.connected(context.present, state.participants)
        turn = p.settle(live.presence, here, state.participants, now, self._presence_grace)
        pulses = p.heard(live.pulses, now, state.participants)
        pushes = [showing.presence_push(turn.joined, turn.left)] if turn.joined or turn.left else []
        if p.may_tell(pulses, now):
            pushes.append(showing.coherence_push(p.agreement(pulses), p.phases(pulses)))
            pulses = p.told(pulses, now)
        news, progress = conduct.progress(after, moment)
        return Decision(
            events=events,
            pushes=pushes if news is None else [*pushes, news],
            live=p.Live(presence=turn.presence, pulses=pulses, progress=progress),
            tick_after_s=p.until(
                now,
                p.next_departure(turn.presence, self._presence_grace),
                p.next_telling(pulses),
                conduct.next_tick(after, now),
                conduct.next_progress(after, progress, now),
            ),
        )

    # The live part

    def _moment(self, context: Context) -> conduct.Moment:
        return conduct.Moment(
            now=context.now,
            live=_live(context),
            present=context.present,
            presence_grace=self._presence_grace,
            shared_state_bytes=self.limits.shared_state_bytes,
        )

    def _everyone(self, state: SpaceState, context: Context) -> dict[str, str]:
        presence = None if context.live is None else context.live.presence
        here = p.connected(context.present, state.participants)
        return p.everyone(presence, here, state.participants, context.now, self._presence_grace)

    def _heard(self, state: SpaceState, context: Context) -> p.Pulses:
        return p.heard(_live(context).pulses, context.now, state.participants)


def _session_end(caller: Caller) -> datetime | None:
    if not caller.guest:
        return None
    if caller.expires_at is None:
        raise BadRequest("a guest's session has to have an end")
    return datetime.fromtimestamp(caller.expires_at, UTC)


# Decisions


def _by(event: Callable[..., Any], caller: Caller) -> Any:
    return event(by=caller.practitioner, by_name=caller.name)


def _absent(who: str, member: Participant) -> e.Left:
    return e.Left(by=who, by_name=member.name, reason="absent", guest=member.guest)


def _joined(state: SpaceState, context: Context, events: Sequence[Any]) -> Decision:
    head = context.next_offset - 1 + len(events)
    return Decision(events=events, reply={"space": state.id, "offset": head}, subscribe=True)


def _closing(closed: e.Closed, reply: Any = None) -> Decision:
    return Decision(events=(closed,), reply=reply, unsubscribe="all")


def _changed(new: Any, old: Any) -> Any:
    return UNSET if new is UNSET or new == old else new


def _live(context: Context) -> p.Live:
    live: p.Live | None = context.live
    return live or p.begin(context.now)
