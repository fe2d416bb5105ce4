"""What is shown of a space: the object that clients see, its row, bodies and fields of its pushes, what an invitation says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import UNSET

from actors.practitioner import commands as practitioner
from actors.runtime.codec import NULL
from actors.runtime.entity import DURABLE, LATEST, Address, Effect, Push
from actors.space import events as e
from actors.space import telling
from actors.space.coherence import Coherence
from actors.space.state import SpaceState, changes


def space_object(state: SpaceState) -> dict[str, Any]:
    """The space as clients see it."""
    return {
        "id": state.id,
        "slug": state.slug,
        "name": state.name,
        "purpose": state.purpose,
        "tradition": state.tradition,
        "participant_limit": state.participant_limit,
        "current_participants": len(state.participants),
        "access_level": state.access_level,
        "facilitator": state.facilitator or None,
        "ritual_schedule": state.ritual_schedule,
        "shared_state": state.shared_state,
        "created_at": state.created_at,
    }


def row(state: SpaceState) -> dict[str, Any]:
    """``collective_spaces``; ``facilitator_id`` may be a guest's, so the seed's foreign key is dropped."""
    return {
        "id": state.id,
        "name": state.name,
        "purpose": state.purpose,
        "tradition": state.tradition,
        "facilitator_id": state.facilitator or None,
        "participant_limit": state.participant_limit,
        "current_participants": len(state.participants),
        "shared_state": state.shared_state,
        "ritual_schedule": None if state.ritual_schedule == NULL else state.ritual_schedule,
        "access_level": state.access_level,
        "created_at": state.created_at,
        "slug": state.slug,
        "updated_at": state.updated_at,
        "closed_at": state.closed_at,
    }


def _created_body(event: e.Created) -> dict[str, Any]:
    return {
        "name": event.name,
        "purpose": event.purpose,
        "slug": event.slug,
        "tradition": event.tradition,
        "participant_limit": event.participant_limit,
        "access_level": event.access_level,
        "ritual_schedule": event.ritual_schedule,
    }


BODIES: Final[Mapping[type, Callable[[Any], Any]]] = {
    e.Created: _created_body,
    e.Updated: changes,
    e.Invited: lambda event: {"practitioner": event.practitioner},
    e.Joined: lambda event: {"facilitates": True} if event.facilitates else {},
    e.Renamed: lambda event: {},
    e.Left: lambda event: {"reason": event.reason},
    e.Message: lambda event: event.body,
    e.Closed: lambda event: {"reason": event.reason},
    e.Departed: lambda event: {} if event.facilitator is UNSET else {"facilitator": event.facilitator},
    **telling.BODIES,
}


def notification(state: SpaceState, effect: str) -> Effect:
    """An invitation that is still to be told."""
    notice = state.outbox[effect]
    command = practitioner.NotifyInvitation(
        space=state.id, name=notice.space_name, by=notice.by, by_name=notice.by_name
    )
    target = Address("practitioner", notice.practitioner)
    return Effect(id=effect, target=target, command=practitioner.encode(command))


def presence_push(joined: Iterable[tuple[str, str]], left: Iterable[tuple[str, str]], *, full: bool = False) -> Push:
    """Who came and who went; ``full``: everyone who is here."""
    fields: dict[str, Any] = {"joined": _people(joined), "left": _people(left)}
    return Push(event="presence", fields=fields | ({"full": True} if full else {}), lane=DURABLE)


def _people(people: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"id": who, "name": name} for who, name in people]


def coherence_push(agreed: Coherence, phases: Mapping[str, float] | None) -> Push:
    """How much the phases agree."""
    fields: dict[str, Any] = {"phase_coherence": agreed.r, "unbiased": agreed.unbiased, "n": agreed.n}
    if phases is not None:
        fields["phases"] = phases
    return Push(event="coherence", fields=fields, lane=LATEST, key="coherence")
