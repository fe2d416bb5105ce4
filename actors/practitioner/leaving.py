"""The end of an account: everyone who knows of it is told, then all of it is erased. Pure.

    DeleteAccount ──▶ AccountLeaving ──effects "farewell-n" (spaces, rituals)──▶ EffectSettled … ──▶ AccountErased
                                                                                     └─▶ AccountPurged … ─┘ (a large account)

From ``AccountLeaving`` on every login is closed and nobody is there to ask (``not_found``); an email is taken until the end. A
run that is open is given up (its answer changes nothing), a part in a group ritual that was not yet done is ``not_found``, as
of any account that is gone, so no group waits for it; an open reflection is given up too. What is owed to rituals (uses,
ratings) is still told. Then the rows go: of a small account at once, with the practitioner's own row; of a large one first
``STEP_ROWS`` of each table a commit, so that no commit takes longer than a shard's other entities can wait. ``AccountErased``
is the last event, and it goes with the commit that writes it: all that is left is a checkpoint that says that the id is gone.

The agenda carries all of it, so a crash at any point is taken up again: the effects while there are any, then the alarm.

What is to be said to whom comes with the command, as commands of the others' own (the gateway made them): a practitioner knows
nothing of spaces. The gateway looks once more afterwards, for what had begun before the logins were closed (``server.erasure``).

Rejected: keeping a list of one's spaces in the practitioner. Each join would be a command to two entities.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner.guards import own
from actors.practitioner.state import PractitionerState
from actors.runtime.entity import EVERYTHING, Context, Decision, Effect, Purge, Row
from actors.runtime.errors import NotFound

ERASE: Final = "erase"
"""The alarm of an account that is being erased."""
STEP_ROWS: Final = 1_000
"""Of each table in one commit: some 50 ms. An account below it goes at once."""
SOON_S: Final = 0.001
AGAIN_S: Final = 0.005
DEPARTED: Final = "departed"
"""The name of whoever's account is deleted, as spaces have it."""
PATIENCE: Final = timedelta(seconds=1)
"""The alarm is for when the tick was lost."""
PURGED_FIRST: Final = ("oracle_insights", "ritual_sessions", "auth_sessions")
PURGED_LAST: Final = ("archetypal_states",)
"""Runs refer to states."""


def delete_account(state: PractitionerState, command: c.DeleteAccount, context: Context) -> Decision:
    """It begins; or has begun already."""
    own(state, context)
    if state.leaving is not None:
        return Decision(reply={})
    events: list[e.PractitionerEvent] = []
    if state.sessions:
        events.append(e.SessionClosed(sessions=tuple(state.sessions.values())))
    events.append(e.AccountLeaving(farewells=command.farewells))
    return Decision(events=events, reply={}, unsubscribe="all", tick_after_s=SOON_S)


def await_erasure(state: PractitionerState, command: c.AwaitErasure, context: Context) -> Decision:
    """Nothing, when the account is gone."""
    return Decision(park=True) if state.leaving is not None else Decision(reply={})


def while_leaving(state: PractitionerState, command: object, context: Context) -> Decision:
    """What an account on its way out still answers: that it is, and a contribution that it had made before. Raises NotFound."""
    match command:
        case c.DeleteAccount():
            return delete_account(state, command, context)
        case c.AwaitErasure():
            return await_erasure(state, command, context)
        case c.AwaitContribution(group=group) | c.RunInGroup(group=group):
            part = state.groups.get(group)
            if context.caller is None and part is not None and part.contribution is not None:
                return Decision(reply=part.contribution)
    raise NotFound("there is no such practitioner")


def farewells(state: PractitionerState) -> list[Effect]:
    """Those that are not yet answered."""
    waiting = {} if state.leaving is None else state.leaving.farewells
    return [Effect(id=id_, target=farewell.target, command=farewell.command) for id_, farewell in waiting.items()]


def alarms(state: PractitionerState) -> dict[str, datetime]:
    """When to go on erasing; none while somebody has not answered."""
    if state.leaving is None or _waits(state):
        return {}
    return {ERASE: state.leaving.stepped_at + PATIENCE}


def _waits(state: PractitionerState) -> bool:
    return state.leaving is not None and bool(state.leaving.farewells or state.uses or state.ratings)


def go_on(state: PractitionerState, context: Context) -> Decision:
    """A tick, or the alarm: the next step, once all have answered."""
    leaving = state.leaving
    if leaving is None or _waits(state):
        return Decision()
    if not context.clean:  # a step a commit: where the last one takes its time, its successors would all go with one
        return Decision(tick_after_s=AGAIN_S)
    if leaving.steps is None:
        first, last = _steps(state, context)
        if (first, last) != (0, 0):
            return Decision(events=(e.AccountPurged(first=first, last=last),), tick_after_s=SOON_S)
    elif leaving.steps != (0, 0):
        return Decision(events=(_next_step(*leaving.steps),), tick_after_s=SOON_S, forget=STEP_ROWS)
    return Decision(events=(e.AccountErased(email=state.email),), forget=EVERYTHING, revises=True)


def settled(state: PractitionerState, effect: str, context: Context) -> Decision:
    """A farewell was answered, one way or the other."""
    if state.leaving is None or effect not in state.leaving.farewells:
        return Decision()
    return Decision(events=(e.EffectSettled(effect=effect),), tick_after_s=SOON_S)


def _steps(state: PractitionerState, context: Context) -> tuple[int, int]:
    """Steps for all but the states, then for those; none where it is little enough."""
    versions = state.version.number if state.version is not None else 0
    others = max(state.runs_begun, state.reflections_begun, context.seq)
    if max(versions, others) <= STEP_ROWS:
        return 0, 0
    return -(-others // STEP_ROWS), -(-versions // STEP_ROWS)


def _next_step(first: int, last: int) -> e.AccountPurged:
    """Runs go before the states that they refer to."""
    if first:
        return e.AccountPurged(first=first - 1, last=last, tables=PURGED_FIRST)
    return e.AccountPurged(first=0, last=last - 1, tables=PURGED_LAST)


def purges(event: e.AccountPurged, state: PractitionerState) -> tuple[Row, ...]:
    """The rows of a step."""
    return tuple(Purge(table=table, practitioner=state.id, limit=STEP_ROWS) for table in event.tables)


def unsigned(event: e.PractitionerEvent, by: str) -> e.PractitionerEvent:
    """The event without the name of another who is gone: an invitation that they sent. The very same where it has none."""
    if type(event) is not e.InvitationReceived or event.by != by or event.by_name in (None, DEPARTED):
        return event
    return structs.replace(event, by_name=DEPARTED)
