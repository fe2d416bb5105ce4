"""The archetypal state as its practitioner sees it and changes it by hand. Pure.

Each change is a version of the chain. A state that was there before versions were counted becomes version 1, its baseline,
with the first thing that builds on it. While a ritual is under way the state is not to be changed by hand.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.practitioner import archetypal_state, chain, changes
from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner import transformation as t
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.guards import no_run_open, own
from actors.practitioner.state import PractitionerState, evolve
from actors.runtime.entity import Context, Decision


def state_object(state: PractitionerState) -> dict[str, Any]:
    """The state now, where it stands in the chain, and the open run."""
    version = state.version
    return {
        "archetypal_state": msgspec.to_builtins(state.archetypal_state),
        "state_id": None if version is None else version.id,
        "state_hash": None if version is None else version.hash,
        "version": 0 if version is None else version.number,
        "under_way": _under_way(state.run),
    }


def _under_way(run: e.Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "session_id": run.id,
        "ritual_id": run.ritual,
        "name": run.ritual_name,
        "group_id": run.group,
        "space_id": run.space,
        "started_at": run.started_at,
    }


def baseline(state: PractitionerState) -> tuple[e.ArchetypalStateUpdated, ...]:
    """The first version of a state that was there before versions were counted; nothing where there is none such."""
    if state.version is not None or state.archetypal_state == ArchetypalState():
        return ()
    version = chain.next_version(state.id, None, state.archetypal_state)
    return (e.ArchetypalStateUpdated(state=state.archetypal_state, origin="baseline", version=version),)


def get_state(state: PractitionerState, command: c.GetState, context: Context) -> Decision:
    """The state now."""
    own(state, context)
    return Decision(reply=state_object(state))


def put_archetypal_state(state: PractitionerState, command: c.PutArchetypalState, context: Context) -> Decision:
    """The whole state replaced."""
    own(state, context)
    new = archetypal_state.check(command.state)
    return Decision(events=_updates(state, new, "put"), reply=msgspec.to_builtins(new))


def transform_state(state: PractitionerState, command: c.TransformState, context: Context) -> Decision:
    """One change. Answered with the state now and what a ritual's result says of it."""
    own(state, context)
    new = changes.apply(state.archetypal_state, command.transformation_type, command.parameters)
    events = _updates(state, new, command.transformation_type)
    after = evolve(state, events[-1], context.now) if events else state
    said = {
        "transformation_intensity": t.intensity(state.archetypal_state, new),
        "next_rituals_suggested": t.suggestions(new),
    }
    return Decision(events=events, reply=state_object(after) | said)


def _updates(state: PractitionerState, new: ArchetypalState, origin: e.Origin) -> tuple[e.ArchetypalStateUpdated, ...]:
    no_run_open(state)
    if new == state.archetypal_state:
        return ()
    first = baseline(state)
    version = chain.next_version(state.id, first[0].version if first else state.version, new)
    return (*first, e.ArchetypalStateUpdated(state=new, origin=origin, version=version))
