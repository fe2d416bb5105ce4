"""How group rituals are conducted: what the facilitator may ask for, and what is next by time and by outcomes.

``next_event`` is the whole of what happens by itself: from the state and the moment it says the one event that is due, or
None. Whatever may have made something due (a tick, an alarm, a participant's outcome, the end of another ritual) ends in
``advance``, which takes events from it until there are none. So a tick and an alarm for the same moment, or an alarm that
comes twice, change nothing the second time.

Time is kept twice: a tick is exact to milliseconds and gone with the process, an alarm is durable and half a second late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from actors.oracle.values import Insight
from actors.practitioner.replies import nul_free
from actors.ritual.values import Contribution, parse_contribution
from actors.runtime.entity import Caller, Decision, EffectDone, Push, Subscriber
from actors.space import collective, telling
from actors.space import group as g
from actors.space import group_events as e
from actors.space import presence as p
from actors.space.events import Closed
from actors.space.state import SpaceState, evolve

RITUAL: Final = "ritual"
SCHEDULED: Final = "ritual-scheduled"
ALARMS: Final = (RITUAL, SCHEDULED)

EARLY: Final = timedelta(milliseconds=2)
"""A timer may come this much before its time: two clocks measured it. Waiting again would cost more than it mends."""
LATE: Final = timedelta(seconds=1)
"""A stage that begins later than this after its time (the server was away) lasts from then, not from when it should have."""
TICK_AHEAD: Final = timedelta(hours=2)
"""What is further away is for its alarm: a tick keeps the entity from its rest."""


class Moment(NamedTuple):
    """What there is to know beside the state."""

    now: datetime
    live: p.Live
    present: Mapping[str, Subscriber]
    presence_grace: timedelta
    shared_state_bytes: int

    def due(self, at: datetime | None) -> bool:
        """Whether it is time."""
        return at is not None and self.now >= at - EARLY


# What is next


def next_event(state: SpaceState, moment: Moment) -> Any | None:
    """The event that is due now; None where there is none."""
    if not state.is_open:
        return None
    if (missed := _missed(state, moment)) is not None:
        return missed
    if state.group is None:
        if out_of_reach(state):
            return Closed(reason="departed")
        plan = _soonest(state)
        return e.RitualGathering(plan=plan) if plan is not None and moment.due(plan.starts_at - g.GATHERING) else None
    return _NEXT[state.group.stage](state, state.group, moment)


def out_of_reach(state: SpaceState) -> bool:
    """Accounts were deleted, nobody is left, and nobody could ever enter again."""
    return not (state.access_level == "open" or state.facilitator or state.participants or state.invited)


def _soonest(state: SpaceState) -> e.Plan | None:
    return min(state.scheduled.values(), key=lambda plan: plan.starts_at, default=None)


def _missed(state: SpaceState, moment: Moment) -> e.RitualUnscheduled | None:
    plan = _soonest(state)
    if plan is None or not moment.due(plan.starts_at + g.MISSED_AFTER):
        return None
    return e.RitualUnscheduled(run=plan.run, reason="missed")


def _after_gathering(state: SpaceState, group: g.GroupRitual, moment: Moment) -> Any | None:
    starts_at = group.plan.starts_at
    if not moment.due(starts_at):
        return None
    roster, absent, witnesses = _who_is_here(state, moment)
    if patience := _patience(state, absent, moment):
        return e.RitualHeld(run=group.plan.run, until=patience) if group.due_at != patience else None
    if not roster:
        return closing(group, "aborted", "nobody came", moment.now)
    begins = starts_at if moment.now - starts_at <= LATE else moment.now
    return e.RitualOpening(
        run=group.plan.run,
        starts_at=begins,
        active_at=begins + timedelta(seconds=group.plan.opening_s),
        roster=tuple(roster),
        absent=tuple(absent),
        witnesses=tuple(witnesses),
    )


def _who_is_here(state: SpaceState, moment: Moment) -> tuple[list[str], list[str], list[str]]:
    """Who takes part, who is absent, who watches."""
    here, away = p.connected(moment.present, state.participants), moment.live.presence.away
    roster: list[str] = []
    absent: list[str] = []
    witnesses: list[str] = []
    for who, member in state.participants.items():
        if who in here or (who in away and moment.now - away[who] < moment.presence_grace):
            (witnesses if member.guest else roster).append(who)
        elif not member.guest:
            absent.append(who)
    return roster, absent, witnesses


def _patience(state: SpaceState, absent: Iterable[str], moment: Moment) -> datetime | None:
    """Until when somebody's absence may be a restart's doing; None where it is not."""
    since, away = moment.live.presence.since, moment.live.presence.away
    until = since + g.RESTART_PATIENCE
    if moment.now >= until or all(who in away or state.participants[who].joined_at > since for who in absent):
        return None
    return until


def _after_opening(state: SpaceState, group: g.GroupRitual, moment: Moment) -> Any | None:
    if not moment.due(group.active_at):
        return None
    if not group.called:
        return closing(group, "aborted", "everyone left", moment.now)
    return e.RitualActive(run=group.plan.run, participants=group.called)


def _after_active(state: SpaceState, group: g.GroupRitual, moment: Moment) -> Any | None:
    return None if group.settled < group.called else _integration(state, group, moment)


def _after_aborting(state: SpaceState, group: g.GroupRitual, moment: Moment) -> Any | None:
    return None if group.settled < group.called else closing(group, "aborted", "facilitator", moment.now)


def _integration(state: SpaceState, group: g.GroupRitual, moment: Moment) -> e.RitualIntegration:
    done = [part.contribution for part in group.parts.values() if part.contribution is not None]
    closes_at = moment.now + timedelta(seconds=group.plan.integration_s)
    nothing = e.RitualIntegration(run=group.plan.run, transformed=0, failed=group.called, closes_at=closes_at)
    if not done:
        return nothing
    agreed = p.agreement(p.heard(moment.live.pulses, moment.now, state.participants))
    whole = collective.collective(done, group.called, agreed)
    return msgspec.structs.replace(
        nothing,
        transformed=len(done),
        failed=group.called - len(done),
        collective=msgspec.Raw(msgspec.json.encode(collective.fitted(whole, collective.BYTES_MAX))),
        shared_state=collective.shared(state.shared_state, whole, moment.shared_state_bytes),
        consent=all(contribution.oracle_consent for contribution in done),
        insight_by=max(closes_at, moment.now + g.ORACLE_PATIENCE),
    )


def _after_integration(state: SpaceState, group: g.GroupRitual, moment: Moment) -> Any | None:
    run = group.plan.run
    if group.insight_by is None:
        return closing(group, "completed", None, moment.now) if moment.due(group.closes_at) else None
    if moment.due(group.insight_by):
        return e.RitualInsight(run=run, id=g.insight_id(run), error="timeout")
    if moment.due(group.closes_at) and group.due_at != group.insight_by:
        return e.RitualHeld(run=run, until=group.insight_by)
    return None


_NEXT: Final[Mapping[str, Callable[[SpaceState, g.GroupRitual, Moment], Any | None]]] = {
    "gathering": _after_gathering,
    "opening": _after_opening,
    "active": _after_active,
    "aborting": _after_aborting,
    "integration": _after_integration,
}


def closing(group: g.GroupRitual, outcome: e.Outcome, reason: Any, now: datetime, by: Caller | None = None) -> Any:
    """The end."""
    return e.RitualClosed(
        run=group.plan.run,
        outcome=outcome,
        reason=reason,
        by=None if by is None else by.practitioner,
        by_name=None if by is None else by.name,
        summary=msgspec.Raw(msgspec.json.encode(telling.summary(group, outcome, reason, now))),
    )


def advance(state: SpaceState, moment: Moment, first: Iterable[Any] = ()) -> tuple[tuple[Any, ...], SpaceState]:
    """``first``, then all that is due after it; and the state that comes of them."""
    events = list(first)
    for event in events:
        state = evolve(state, event, moment.now)
    while (event := next_event(state, moment)) is not None:
        events.append(event)
        state = evolve(state, event, moment.now)
    return tuple(events), state


# When to look again


def alarms(state: SpaceState) -> dict[str, datetime]:
    """The durable times at which something is due."""
    due: dict[str, datetime] = {}
    if state.group is not None and state.group.due_at is not None:
        due[RITUAL] = state.group.due_at
    if (plan := _soonest(state)) is not None:
        due[SCHEDULED] = plan.starts_at + (-g.GATHERING if state.group is None else g.MISSED_AFTER)
    return due


def next_tick(state: SpaceState, now: datetime) -> datetime | None:
    """The exact time at which something is due; None where that is far away."""
    soonest = min(alarms(state).values(), default=None)
    return None if soonest is None or soonest - now > TICK_AHEAD else soonest


class Decided(NamedTuple):
    """What a command or signal does about group rituals; the entity makes a Decision of it."""

    events: Sequence[Any]
    state: SpaceState
    reply: Any = None


# Outcomes


def effect_done(state: SpaceState, done: EffectDone, moment: Moment) -> Decided:
    """A participant's outcome, an acknowledgement, or the oracle's word. What is not owed any more changes nothing."""
    effect, group = state.effects.get(done.id), state.group
    if effect is None:
        return Decided((), state)
    if done.id in state.unsettled:
        return Decided(*advance(state, moment, (e.ParticipantAcknowledged(effect=done.id),)))
    assert group is not None, "the other effects are owed by a ritual that is under way"
    run = group.plan.run
    first = _insight(run, done) if done.id == g.oracle_id(run) else _outcome(run, effect.target.id, done)
    return Decided(*advance(state, moment, (first,)))


def _outcome(run: str, who: str, done: EffectDone) -> e.ParticipantTransformed | e.ParticipantFailed:
    if done.error is not None or done.reply is None:
        return e.ParticipantFailed(run=run, practitioner=who, code=done.error or "internal", answered=False)
    try:
        contribution = parse_contribution(done.reply)
    except msgspec.MsgspecError:  # not of our making: the ritual does not hang on it
        return e.ParticipantFailed(run=run, practitioner=who, code="internal", answered=True)
    if contribution.status == "transformed":
        return e.ParticipantTransformed(run=run, practitioner=who, contribution=_bare(contribution))
    return e.ParticipantFailed(run=run, practitioner=who, code=contribution.code or "internal", answered=True)


def _bare(contribution: Contribution) -> Contribution:
    return msgspec.structs.replace(contribution, code=None, message="")


def _insight(run: str, done: EffectDone) -> e.RitualInsight:
    id_ = g.insight_id(run)
    if done.error is not None or done.reply is None:
        return e.RitualInsight(run=run, id=id_, error=done.error or "internal")
    try:
        return e.RitualInsight(run=run, id=id_, insight=msgspec.json.decode(nul_free(bytes(done.reply)), type=Insight))
    except msgspec.MsgspecError:
        return e.RitualInsight(run=run, id=id_, error="internal")


# Telling of progress


def progress(state: SpaceState, moment: Moment) -> tuple[Push | None, p.Progress]:
    """A push of how many are settled, where that is news and not told too lately; and what has been told then."""
    group, told = state.group, moment.live.progress
    if not _news(state, told):
        return None, told
    if group is None or (told.told_at is not None and moment.now - told.told_at < p.TELL_EVERY):
        return None, told
    now_told = p.Progress(run=group.plan.run, settled=group.settled, told_at=moment.now)
    return telling.progress_push(group), now_told


def next_progress(state: SpaceState, told: p.Progress, now: datetime) -> datetime | None:
    """When progress is to be told next."""
    if not _news(state, told):
        return None
    return now + p.TELL_EVERY if told.told_at is None else told.told_at + p.TELL_EVERY


def _news(state: SpaceState, told: p.Progress) -> bool:
    group = state.group
    if group is None or group.stage not in ("active", "aborting"):
        return False
    return group.settled > (told.settled if told.run == group.plan.run else 0)


def decision(decided: Decided, moment: Moment) -> Decision:
    """The Decision of what was decided, with a tick for what comes next."""
    after, now = decided.state, moment.now
    return Decision(
        events=decided.events,
        reply=decided.reply,
        live=moment.live,
        tick_after_s=p.until(now, next_tick(after, now), next_progress(after, moment.live.progress, now)),
    )
