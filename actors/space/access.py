"""Who may do what in a space. Every function raises where the caller may not.

* the **facilitator** (who created it) updates, invites, closes and holds group rituals, and may always join where there is
  room;
* an **open** space takes anyone, an **invite** or **private** one its facilitator and whom it invited;
* a **private** space is not there (``not_found``) for strangers: neither facilitator, nor participant, nor invited;
* **guests** create and enter open spaces only, and what they created ends with their session;
* whose **account is deleted** knows of no space any more;
* only participants speak and pulse. A closed space is not there for anyone.
"""

from __future__ import annotations

from actors.runtime.entity import Caller, Context
from actors.runtime.errors import Forbidden, NotFound, Unauthenticated
from actors.space.state import SpaceState


def caller_of(context: Context) -> Caller:
    """Whoever asks. Raises Unauthenticated."""
    if context.caller is None:
        raise Unauthenticated("a space answers to practitioners only")
    return context.caller


def known(state: SpaceState, context: Context) -> Caller:
    """The caller, if there is a space that they may know of. Raises NotFound."""
    caller = caller_of(context)
    if (
        caller.practitioner in state.departed
        or not state.is_open
        or (state.access_level == "private" and not _belongs(state, caller))
    ):
        raise NotFound("there is no such space")
    return caller


def _belongs(state: SpaceState, caller: Caller) -> bool:
    who = caller.practitioner
    return who in state.participants or _facilitates(state, who) or (who in state.invited and not caller.guest)


def _facilitates(state: SpaceState, who: str) -> bool:
    return bool(who) and who == state.facilitator


def facilitator(state: SpaceState, context: Context) -> Caller:
    """The caller, if the space is theirs. Raises NotFound, Forbidden."""
    caller = known(state, context)
    if not _facilitates(state, caller.practitioner):
        raise Forbidden("only the facilitator may do this")
    return caller


def participant(state: SpaceState, context: Context) -> Caller:
    """The caller, if they joined. Raises NotFound, Forbidden."""
    caller = context.caller
    if caller is not None and caller.practitioner in state.participants:
        return caller
    known(state, context)
    raise Forbidden("join the space first")


def reader(state: SpaceState, context: Context) -> Caller:
    """The caller, if they may read what happened in the space. Raises NotFound, Forbidden."""
    caller = known(state, context)
    if caller.practitioner not in state.participants and not _facilitates(state, caller.practitioner):
        raise Forbidden("only participants read a space's history")
    return caller


def check_enter(state: SpaceState, caller: Caller) -> None:
    """The caller may enter. Raises Forbidden."""
    if state.access_level == "open":
        return
    if caller.guest:
        raise Forbidden("guests enter open spaces only")
    if not _belongs(state, caller):
        raise Forbidden("an invitation is needed")
