"""What a facilitator may ask for: begin or schedule a group ritual, end it, take a scheduled one back. And reading of them."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any, Final

import msgspec

from actors.ritual.values import PARAMETERS_BYTES, run_id_of
from actors.runtime.codec import has_nul, invalid
from actors.runtime.entity import Caller, Context
from actors.runtime.errors import BadRequest, Conflict, FieldError, Forbidden, Full, NotFound, TooLarge
from actors.space import access, telling
from actors.space import commands as c
from actors.space import group as g
from actors.space import group_events as e
from actors.space.conduct import Decided, Moment, advance, closing
from actors.space.state import SpaceState, evolve

SCHEDULED_MAX: Final = 16
AHEAD_MAX: Final = timedelta(days=366)


def begin(state: SpaceState, command: c.BeginRitual, context: Context, moment: Moment) -> Decided:
    """Gathering begins, or the ritual is scheduled.

    Raises what ``access`` does, BadRequest, NotFound, Conflict, Invalid, Full.
    """
    caller = access.facilitator(state, context)
    if caller.guest:
        raise Forbidden("guests hold no group rituals")
    if command.brief == c.NO_BRIEF:
        raise NotFound("there is no such ritual that you may run")
    plan = _plan(command, caller, context)
    if plan.run in _runs(state):
        raise Conflict(f"this request has begun the group ritual {plan.run} already")
    if command.at is not None and plan.starts_at - g.GATHERING > context.now:
        if len(state.scheduled) >= SCHEDULED_MAX:
            raise Full(f"{SCHEDULED_MAX} group rituals are scheduled already")
        events, after = advance(state, moment, (e.RitualScheduled(plan=plan),))
        return Decided(events, after, _reply(state, plan, "scheduled", context))
    if state.group is not None:
        raise Conflict("a group ritual is under way")
    gathering = e.RitualGathering(plan=plan)
    return Decided((gathering,), evolve(state, gathering, context.now), _reply(state, plan, "gathering", context))


def _plan(command: c.BeginRitual, caller: Caller, context: Context) -> e.Plan:
    if context.operation is None:
        raise BadRequest("a group ritual is begun by a request with an id")
    starts_at = context.now + timedelta(seconds=command.starts_in_s)
    if command.at is not None:
        starts_at = command.at.astimezone(UTC)
        if not context.now <= starts_at <= context.now + AHEAD_MAX:
            raise invalid("at", "must be from now to a year ahead")
    return e.Plan(
        run=run_id_of(f"{context.entity_id}:{context.operation}"),  # a key may be used again, in another space
        brief=command.brief,
        intention=command.intention,
        parameters=_parameters(command.parameters),
        starts_at=starts_at,
        opening_s=command.opening_s,
        integration_s=command.integration_s,
        by=caller.practitioner,
        by_name=caller.name,
    )


def _runs(state: SpaceState) -> list[str]:
    """The group rituals that the state still knows, newest last."""
    last = msgspec.json.decode(state.last)
    known = [*state.scheduled] if last is None else [last["ritual_run"], *state.scheduled]
    return known if state.group is None else [*known, state.group.plan.run]


def _parameters(text: bytes) -> msgspec.Raw:
    if not text.lstrip().startswith(b"{"):
        raise invalid("parameters", "must be an object")
    if has_nul(text):
        raise invalid("parameters", "may not have the character U+0000")
    if len(text) > PARAMETERS_BYTES:
        message = f"{len(text)} bytes of JSON, {PARAMETERS_BYTES} are allowed"
        raise TooLarge(f"parameters: {message}", (FieldError(path="parameters", message=message),))
    return msgspec.Raw(text)


def _reply(state: SpaceState, plan: e.Plan, stage: str, context: Context) -> dict[str, Any]:
    return {
        "ritual_run": plan.run,
        "space": state.id,
        "stage": stage,
        "starts_at": plan.starts_at,
        "server_time": context.now,
    }


def abort(state: SpaceState, command: c.AbortRitual, context: Context, moment: Moment) -> Decided:
    """The ritual that is under way ends, or a scheduled one is taken back. Raises what ``access`` does, NotFound."""
    caller, group = access.facilitator(state, context), state.group
    if command.ritual_run is not None and (plan := state.scheduled.get(command.ritual_run)) is not None:
        unscheduled = e.RitualUnscheduled(run=plan.run, reason="aborted", by=caller.practitioner, by_name=caller.name)
        events, after = advance(state, moment, (unscheduled,))
        return Decided(events, after, _reply(state, plan, "unscheduled", context))
    if group is None or command.ritual_run not in (None, group.plan.run):
        raise NotFound("no such group ritual is under way or scheduled")
    if group.stage == "aborting":
        return Decided((), state, _reply(state, group.plan, "aborting", context))
    if group.stage == "active":
        first: Any = e.RitualAborting(run=group.plan.run, by=caller.practitioner, by_name=caller.name)
    else:
        first = closing(group, "aborted", "facilitator", context.now, caller)
    events, after = advance(state, moment, (first,))
    ended = after.group is None or after.group.plan.run != group.plan.run
    return Decided(events, after, _reply(state, group.plan, "closed" if ended else "aborting", context))


def get(state: SpaceState, context: Context) -> dict[str, Any]:
    """The group rituals of the space. Raises what ``access.reader`` does."""
    caller, group = access.reader(state, context), state.group
    planned = sorted(state.scheduled.values(), key=lambda plan: plan.starts_at)
    return {
        "current": None
        if group is None
        else telling.current_object(group) | {"you": g.status_of(group, caller.practitioner)},
        "last": state.last,
        "scheduled": [telling.scheduled_object(plan) for plan in planned],
        "server_time": context.now,
    }
