"""Who may ask a practitioner for what. Pure."""

from __future__ import annotations

from actors.practitioner.state import PractitionerState
from actors.runtime.entity import Context
from actors.runtime.errors import Conflict, Forbidden


def own(state: PractitionerState, context: Context) -> None:
    """The practitioner alone, or the gateway for them. Raises Forbidden."""
    if context.caller is not None and context.caller.practitioner != state.id:
        raise Forbidden("this account is another practitioner's")


def of_the_runtime(context: Context) -> None:
    """Another entity's effect, never a person. Raises Forbidden."""
    if context.caller is not None:
        raise Forbidden("group rituals are begun in their space")


def no_run_open(state: PractitionerState) -> None:
    """While a run is open nothing else may change the state, or begin to. Raises Conflict.

    That holds too while a part in a group ritual is queued, for then a run is open.
    """
    if state.run is not None:
        raise Conflict(f"the ritual {state.run.ritual_name} is under way; wait until it has ended")
