"""The state of a collective space: the fold of its events.

What always holds, whatever the events: at most ``participant_limit`` participants (``decide`` sees to it); a sweep is due
exactly while there are participants; a closed space has no participants, owes nothing but acknowledgements and changes no
more than by those. The fold knows no settings and no clock. A message leaves the very same object.

``effects`` is what a group ritual owes, made by the fold one by one: an agenda of a thousand participants is looked at
after each of their thousand outcomes. It follows from the rest (``group.owed``), so checkpoints do not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, structs

from actors.runtime.codec import NULL, Codec
from actors.runtime.entity import Effect, Struct
from actors.space import events as e
from actors.space import group as g
from actors.space import group_events as r
from actors.space.commands import AccessLevel

V = TypeVar("V")

EMPTY: Final = msgspec.Raw(b"{}")


class Participant(Struct, frozen=True, kw_only=True):
    """Who joined and has not left. ``name`` is None where the practitioner shows nothing."""

    name: str | None = None
    joined_at: datetime
    guest: bool = False


class Notice(Struct, frozen=True, kw_only=True):
    """A notification that is owed to an invited practitioner, as it was when it was made."""

    practitioner: str
    by: str
    by_name: str | None = None
    space_name: str


class SpaceState(Struct, frozen=True, kw_only=True):
    """A space; before ``created_at`` is set there is none."""

    id: str
    name: str = ""
    purpose: str = ""
    slug: str | None = None
    tradition: str | None = None
    participant_limit: int = 12
    access_level: AccessLevel = "invite"
    facilitator: str = ""
    """Empty where the seat is vacant."""
    ritual_schedule: msgspec.Raw = NULL
    shared_state: msgspec.Raw = EMPTY
    created_at: datetime | None = None
    updated_at: datetime | None = None
    closed_at: datetime | None = None
    participants: Mapping[str, Participant] = {}
    """By practitioner, in the order of joining."""
    invited: Mapping[str, Literal[True]] = {}
    outbox: Mapping[str, Notice] = {}
    """Notifications by effect."""
    away: Mapping[str, datetime] = {}
    """Participants who were absent at the last sweep and have not been seen since."""
    sweep_at: datetime | None = None
    ends_at: datetime | None = None
    """A guest's space ends then."""
    group: g.GroupRitual | None = None
    """The group ritual that is under way."""
    last: msgspec.Raw = NULL
    """The summary of the newest one that is closed."""
    scheduled: Mapping[str, r.Plan] = {}
    """By run."""
    unsettled: Mapping[str, g.Ack] = {}
    """By effect: practitioners who are to be told that their part is recorded."""
    departed: Mapping[str, Literal[True]] = {}
    """Accounts that are deleted: of them only the id is told."""
    effects: Mapping[str, Effect] = {}

    @property
    def is_open(self) -> bool:
        """Created and not closed."""
        return self.created_at is not None and self.closed_at is None


_codec: Final[Codec[SpaceState]] = Codec(SpaceState, e.FORMAT)


def encode(state: SpaceState) -> bytes:
    """As it stands in a checkpoint."""
    return _codec.encode(structs.replace(state, effects={}) if state.effects else state)


def decode(format_: int, data: bytes) -> SpaceState:
    """From a checkpoint of any format."""
    state = _codec.decode(format_, data)
    effects = g.owed(state.group, state.unsettled, state.id)
    return structs.replace(state, effects=effects) if effects else state


def evolve(state: SpaceState, event: e.SpaceEvent, at: datetime) -> SpaceState:
    """The state after the event."""
    if type(event) is e.Message:
        return state
    return _FOLD[type(event)](state, event, at)


def _created(state: SpaceState, event: e.Created, at: datetime) -> SpaceState:
    return SpaceState(
        id=state.id,
        name=event.name,
        purpose=event.purpose,
        slug=event.slug,
        tradition=event.tradition,
        participant_limit=event.participant_limit,
        access_level=event.access_level,
        facilitator=event.by,
        ritual_schedule=event.ritual_schedule,
        ends_at=event.ends_at,
        created_at=at,
        updated_at=at,
    )


UPDATABLE: Final = (
    "name",
    "purpose",
    "tradition",
    "participant_limit",
    "access_level",
    "ritual_schedule",
    "shared_state",
)


def changes(event: e.Updated) -> dict[str, Any]:
    """The fields that an update sets."""
    return {name: value for name in UPDATABLE if (value := getattr(event, name)) is not UNSET}


def _updated(state: SpaceState, event: e.Updated, at: datetime) -> SpaceState:
    return structs.replace(state, updated_at=at, **changes(event))


def _invited(state: SpaceState, event: e.Invited, at: datetime) -> SpaceState:
    notice = Notice(practitioner=event.practitioner, by=event.by, by_name=event.by_name, space_name=event.space_name)
    return structs.replace(
        state,
        invited={**state.invited, event.practitioner: True},
        outbox={**state.outbox, event.effect: notice},
    )


def _invite_delivered(state: SpaceState, event: e.InviteDelivered, at: datetime) -> SpaceState:
    return structs.replace(state, outbox=_without(state.outbox, event.effect))


def _invite_failed(state: SpaceState, event: e.InviteFailed, at: datetime) -> SpaceState:
    notice = state.outbox.get(event.effect)
    return structs.replace(
        state,
        outbox=_without(state.outbox, event.effect),
        invited=state.invited if notice is None else _without(state.invited, notice.practitioner),
    )


def _joined(state: SpaceState, event: e.Joined, at: datetime) -> SpaceState:
    newcomer = Participant(name=event.by_name, joined_at=at, guest=event.guest)
    return structs.replace(
        state,
        group=g.joined(state.group, event.by),
        participants={**state.participants, event.by: newcomer},
        facilitator=event.by if event.facilitates else state.facilitator,
        sweep_at=event.sweep_at or state.sweep_at,
        updated_at=at,
    )


def _renamed(state: SpaceState, event: e.Renamed, at: datetime) -> SpaceState:
    renamed = structs.replace(state.participants[event.by], name=event.by_name)
    return structs.replace(state, participants={**state.participants, event.by: renamed})


def _left(state: SpaceState, event: e.Left, at: datetime) -> SpaceState:
    remaining = _without(state.participants, event.by)
    return structs.replace(
        state,
        group=g.left(state.group, event.by),
        participants=remaining,
        away=_without(state.away, event.by),
        sweep_at=state.sweep_at if remaining else None,
        updated_at=at,
    )


def _swept(state: SpaceState, event: e.Swept, at: datetime) -> SpaceState:
    return structs.replace(state, sweep_at=event.next_at, away=event.away)


def _returned(state: SpaceState, event: e.Returned, at: datetime) -> SpaceState:
    back = frozenset(event.practitioners)
    return structs.replace(state, away={who: since for who, since in state.away.items() if who not in back})


def _closed(state: SpaceState, event: e.Closed, at: datetime) -> SpaceState:
    return structs.replace(
        state,
        closed_at=at,
        updated_at=at,
        participants={},
        invited={},
        outbox={},
        away={},
        sweep_at=None,
        ends_at=None,
        scheduled={},
    )


def _departed(state: SpaceState, event: e.Departed, at: datetime) -> SpaceState:
    """Without them, and without their name."""
    who, group = event.by, g.left(state.group, event.by)
    if group is not None:
        group = structs.replace(group, plan=r.nameless(group.plan, who, e.DEPARTED))
    remaining = _without(state.participants, who)
    return structs.replace(
        state,
        departed={**state.departed, who: True},
        facilitator=state.facilitator if event.facilitator is UNSET else event.facilitator or "",
        participants=remaining,
        invited=_without(state.invited, who),
        outbox={id_: _notice_without(notice, who) for id_, notice in state.outbox.items()},
        away=_without(state.away, who),
        sweep_at=state.sweep_at if remaining else None,
        group=group,
        scheduled={run: r.nameless(plan, who, e.DEPARTED) for run, plan in state.scheduled.items()},
        updated_at=at,
    )


def _notice_without(notice: Notice, who: str) -> Notice:
    return structs.replace(notice, by_name=e.DEPARTED) if notice.by == who else notice


def _unchanged(state: SpaceState, event: e.DepartureFinished, at: datetime) -> SpaceState:
    return state


# Group rituals


def _scheduled(state: SpaceState, event: r.RitualScheduled, at: datetime) -> SpaceState:
    return structs.replace(state, scheduled={**state.scheduled, event.plan.run: event.plan})


def _unscheduled(state: SpaceState, event: r.RitualUnscheduled, at: datetime) -> SpaceState:
    return structs.replace(state, scheduled=_without(state.scheduled, event.run))


def _gathering(state: SpaceState, event: r.RitualGathering, at: datetime) -> SpaceState:
    return structs.replace(_staged(state, event, at), scheduled=_without(state.scheduled, event.plan.run))


def _staged(state: SpaceState, event: Any, at: datetime) -> SpaceState:
    return structs.replace(state, group=g.evolve(state.group, event, at))


def _active(state: SpaceState, event: r.RitualActive, at: datetime) -> SpaceState:
    state = _staged(state, event, at)
    assert state.group is not None, "active, or the stage would have been refused"
    return structs.replace(state, effects={**state.effects, **g.transforms(state.group, state.id)})


def _settled(state: SpaceState, event: r.ParticipantTransformed | r.ParticipantFailed, at: datetime) -> SpaceState:
    """In place of the effect that transforms stands the one that acknowledges."""
    state, unsettled = _staged(state, event, at), state.unsettled
    effects = dict(state.effects)
    del effects[g.transform_id(event.run, event.practitioner)]
    if isinstance(event, r.ParticipantTransformed) or event.answered:
        ack = g.Ack(run=event.run, practitioner=event.practitioner)
        effect = g.acknowledgement(ack)
        unsettled = {**unsettled, effect.id: ack}
        effects[effect.id] = effect
    return structs.replace(state, unsettled=unsettled, effects=effects)


def _acknowledged(state: SpaceState, event: r.ParticipantAcknowledged, at: datetime) -> SpaceState:
    unsettled, effects = _without(state.unsettled, event.effect), _without(state.effects, event.effect)
    return structs.replace(state, unsettled=unsettled, effects=effects)


def _integration(state: SpaceState, event: r.RitualIntegration, at: datetime) -> SpaceState:
    state = structs.replace(_staged(state, event, at), updated_at=at)
    if event.shared_state is not UNSET:
        state = structs.replace(state, shared_state=event.shared_state)
    if state.group is not None and state.group.insight_by is not None:
        effect = g.consultation(state.group, state.id)
        state = structs.replace(state, effects={**state.effects, effect.id: effect})
    return state


def _insight(state: SpaceState, event: r.RitualInsight, at: datetime) -> SpaceState:
    return structs.replace(_staged(state, event, at), effects=_without(state.effects, g.oracle_id(event.run)))


def _ended(state: SpaceState, event: r.RitualClosed, at: datetime) -> SpaceState:
    effects = _without(state.effects, g.oracle_id(event.run))
    return structs.replace(_staged(state, event, at), last=event.summary, effects=effects)


def _without(mapping: Mapping[str, V], key: str) -> Mapping[str, V]:
    if key not in mapping:
        return mapping
    rest = dict(mapping)
    del rest[key]
    return rest


_FOLD: Final[Mapping[type, Callable[[SpaceState, Any, datetime], SpaceState]]] = {
    e.Created: _created,
    e.Updated: _updated,
    e.Invited: _invited,
    e.InviteDelivered: _invite_delivered,
    e.InviteFailed: _invite_failed,
    e.Joined: _joined,
    e.Renamed: _renamed,
    e.Left: _left,
    e.Swept: _swept,
    e.Returned: _returned,
    e.Closed: _closed,
    e.Departed: _departed,
    e.DepartureFinished: _unchanged,
    r.RitualScheduled: _scheduled,
    r.RitualUnscheduled: _unscheduled,
    r.RitualGathering: _gathering,
    r.RitualHeld: _staged,
    r.RitualOpening: _staged,
    r.RitualActive: _active,
    r.ParticipantTransformed: _settled,
    r.ParticipantFailed: _settled,
    r.ParticipantAcknowledged: _acknowledged,
    r.RitualAborting: _staged,
    r.RitualIntegration: _integration,
    r.RitualInsight: _insight,
    r.RitualClosed: _ended,
}
