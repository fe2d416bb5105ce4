"""The state of a practitioner: the fold of their events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import structs

from actors.practitioner import events as e
from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct


class PractitionerState(Struct, frozen=True, kw_only=True):
    """A practitioner; before ``created_at`` is set there is none."""

    id: str
    email: str = ""
    password_hash: str = ""
    profile: e.Profile = e.Profile()
    archetypal_state: ArchetypalState = ArchetypalState()
    sessions: Mapping[str, e.AuthSession] = {}
    """Logins that count, by id, oldest first."""
    created_at: datetime | None = None
    updated_at: datetime | None = None


codec: Final[Codec[PractitionerState]] = Codec(PractitionerState, e.FORMAT)


def evolve(state: PractitionerState, event: e.PractitionerEvent, at: datetime) -> PractitionerState:
    """The state after the event."""
    return _FOLD[type(event)](state, event, at)


def _registered(state: PractitionerState, event: e.Registered, at: datetime) -> PractitionerState:
    return PractitionerState(
        id=state.id,
        email=event.email,
        password_hash=event.password_hash,
        profile=event.profile,
        created_at=at,
        updated_at=at,
    )


def _profile_updated(state: PractitionerState, event: e.ProfileUpdated, at: datetime) -> PractitionerState:
    return structs.replace(state, profile=event.profile, updated_at=at)


def _state_updated(state: PractitionerState, event: e.ArchetypalStateUpdated, at: datetime) -> PractitionerState:
    return structs.replace(state, archetypal_state=event.state)


def _session_opened(state: PractitionerState, event: e.SessionOpened, at: datetime) -> PractitionerState:
    return structs.replace(state, sessions={**state.sessions, event.session.id: event.session})


def _session_closed(state: PractitionerState, event: e.SessionClosed, at: datetime) -> PractitionerState:
    closed = {session.id for session in event.sessions}
    return structs.replace(state, sessions={id_: s for id_, s in state.sessions.items() if id_ not in closed})


def _invitation(state: PractitionerState, event: e.InvitationReceived, at: datetime) -> PractitionerState:
    return state


_FOLD: Final[Mapping[type, Callable[[PractitionerState, Any, datetime], PractitionerState]]] = {
    e.Registered: _registered,
    e.ProfileUpdated: _profile_updated,
    e.ArchetypalStateUpdated: _state_updated,
    e.SessionOpened: _session_opened,
    e.SessionClosed: _session_closed,
    e.InvitationReceived: _invitation,
}
