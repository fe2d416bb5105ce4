"""What becomes of a space when an account that had to do with it is deleted. Pure.

* They are a participant no more, invited no more, and nobody whom the space knows (``not_found``), whatever comes late.
* If they facilitated, the seat passes to whoever has participated longest (no guest). Where there is nobody it is vacant, and
  the next account that joins takes it; a space that nobody could ever enter again is closed, after the end of a group ritual
  that is under way there (``conduct``).
* What they said stays, under the name ``departed``: at once in all that is read (``shown``), then in the stored events too.

Stored events are rewritten outside the space's own commits (``storage.scrubbing``), a page at a time, with ``scrubbed``, and
so are the invitations that they sent, which stand in the journals of whoever was invited. When that is done the gateway says
so and the row of ``space_members``, which stood for what was still to do, goes. It changes no state: the fold of the rewritten
events is the same from ``Departed`` on, and a checkpoint went with that.

Left as it is: the text of messages, whatever it says; the id, which is all that tells one departed from another.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import Any, Final

from msgspec import structs

from actors.runtime.entity import Context, Decision, Delete, Published, Row, Upsert
from actors.runtime.errors import Forbidden
from actors.space import commands as c
from actors.space import conduct
from actors.space import events as e
from actors.space import group_events as r
from actors.space import presence as p
from actors.space.state import SpaceState

NAME: Final = e.DEPARTED
TABLE: Final = "space_members"


def depart(state: SpaceState, command: c.Depart, context: Context, moment: conduct.Moment) -> Decision:
    """Once. Raises Forbidden where a person asks."""
    _of_the_server(context)
    who, live = command.practitioner, moment.live
    if state.created_at is None or who in state.departed:
        return Decision(reply={})
    departed = e.Departed(by=who, by_name=NAME)
    if state.is_open and who == state.facilitator:
        departed = structs.replace(departed, facilitator=_successor(state, who))
    events, after = conduct.advance(state, moment, (departed,))
    shown = {id_: NAME if id_ == who else name for id_, name in live.presence.shown.items()}
    return Decision(
        events=events,
        reply={},
        revises=True,
        unsubscribe=(who,) if after.is_open else "all",
        live=structs.replace(
            live, presence=structs.replace(live.presence, shown=shown), pulses=p.silenced(live.pulses, who)
        ),
        tick_after_s=p.TELL_EVERY.total_seconds(),
    )


def finish(state: SpaceState, command: c.FinishDeparture, context: Context) -> Decision:
    """The stored events no longer have the name. Raises Forbidden where a person asks."""
    _of_the_server(context)
    events = (e.DepartureFinished(practitioner=command.practitioner),) if command.practitioner in state.departed else ()
    return Decision(events=events, reply={})


def _of_the_server(context: Context) -> None:
    if context.caller is not None:
        raise Forbidden("an account departs by being deleted")


def _successor(state: SpaceState, who: str) -> str | None:
    others = ((id_, member) for id_, member in state.participants.items() if id_ != who and not member.guest)
    return next((id_ for id_, _ in others), None)


def shown(published: Published, state: SpaceState) -> Published:
    """As it reads now: of who is gone only the id is told."""
    sender = published.sender
    if sender is None or sender[0] not in state.departed:
        return published
    return structs.replace(published, sender=(sender[0], NAME))


def scrubbed(event: e.SpaceEvent, who: str) -> e.SpaceEvent:
    """The event without the name of a practitioner; the very same where it has none."""
    match event:
        case r.RitualScheduled(plan=plan) | r.RitualGathering(plan=plan):
            named = r.nameless(plan, who, NAME)
            return event if named is plan else structs.replace(event, plan=named)
        case _ if getattr(event, "by", None) != who or getattr(event, "by_name", None) in (None, NAME):
            return event
        case _:
            return structs.replace(event, by_name=NAME)


# Rows


def member_id(space: str, practitioner: str) -> str:
    """Of the row of ``space_members``: the first half of the SHA-256 of both ids."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{space}:{practitioner}".encode()).digest()[:16]))


def member_rows(event: e.SpaceEvent, state: SpaceState, at: datetime) -> tuple[Row, ...]:
    """Who has to do with the space; guests have no account and no row."""
    match event:
        case e.Created(by=who, ends_at=None):
            return (_member(state, who, participant=False),)
        case e.Joined(by=who, guest=False):
            return (_member(state, who, participant=True),)
        case e.Left(by=who, guest=False):
            return (_member(state, who, participant=False),)
        case e.Departed(by=who):
            return (_member(state, who, participant=False, departed_at=at),)
        case e.DepartureFinished(practitioner=who):
            return (Delete(table=TABLE, id=member_id(state.id, who)),)
        case _:
            return ()


def _member(state: SpaceState, who: str, **values: Any) -> Upsert:
    ids = {"id": member_id(state.id, who), "space_id": state.id, "practitioner_id": who}
    return Upsert(table=TABLE, values=ids | values)
