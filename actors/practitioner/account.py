"""The account of a practitioner: registering, logins, the profile, who may see it, consent. Pure.

No secret (password hash, token hash) is in a profile; ``GetAccount`` alone answers with the password's hash, to the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, structs

from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner.current_state import state_object
from actors.practitioner.guards import own
from actors.practitioner.state import PractitionerState, evolve
from actors.runtime.codec import invalid
from actors.runtime.entity import Context, Decision
from actors.runtime.errors import Conflict, Full, NotFound, Unauthenticated

SESSIONS_MAX: Final = 64
"""Logins that count at once: every device of a person and then some; the oldest gives way. Not of a service's: an engine would
stop for another's sake, so a further one is refused."""


def display_name(profile: Mapping[str, Any]) -> str | None:
    """What others may see of a profile object: None where it is private; who gave no name gets one of their id."""
    if profile["privacy_level"] == "private":
        return None
    return profile["spiritual_name"] or f"practitioner {profile['id'][:8]}"


def profile_object(state: PractitionerState) -> dict[str, Any]:
    """The profile as its owner sees it."""
    return {
        "id": state.id,
        "email": state.email,
        **profile_fields(state.profile),
        "oracle_consent": state.oracle_consent,
        **state_object(state),
        "created_at": state.created_at,
    }


def public_profile(state: PractitionerState) -> dict[str, Any]:
    """The profile as others see it, where it is public."""
    return {"id": state.id, **profile_fields(state.profile), "created_at": state.created_at}


def profile_fields(profile: e.Profile) -> dict[str, Any]:
    """What a practitioner says of themselves."""
    return structs.asdict(profile)


def register(state: PractitionerState, command: c.Register, context: Context) -> Decision:
    """The account begins."""
    own(state, context)
    if state.erased_at is not None:
        raise Conflict("this Idempotency-Key was used for an account that is deleted; use another")
    if state.created_at is not None:
        raise Conflict("the account exists already")
    profile = e.Profile(
        spiritual_name=command.spiritual_name,
        sacred_path=command.sacred_path,
        privacy_level=command.privacy_level,
        archetypal_preferences=_json("archetypal_preferences", command.archetypal_preferences),
        energy_alignments=_json("energy_alignments", command.energy_alignments),
    )
    email = c.normal_email(command.email)
    registered = e.Registered(email=email, password_hash=command.password_hash, profile=profile)
    return Decision(events=(registered,), reply=profile_object(evolve(state, registered, context.now)))


def _json(where: str, text: bytes) -> msgspec.Raw:
    return msgspec.Raw(c.check_preferences(where, text))


def open_session(state: PractitionerState, command: c.OpenSession, context: Context) -> Decision:
    """A login. Raises Full for one more of a service than may be."""
    own(state, context)
    if command.expires_at <= context.now:
        raise invalid("expires_at", "is past")
    if command.id in state.sessions:
        raise Conflict("the session exists already")
    if command.service is not None and sum(s.expires_at > context.now for s in state.sessions.values()) >= SESSIONS_MAX:
        raise Full(f"at most {SESSIONS_MAX} tokens of one service; revoke one")
    session = e.AuthSession(
        id=command.id,
        token_hash=command.token_hash,
        created_at=context.now,
        expires_at=command.expires_at,
        service=command.service,
        name=command.name,
    )
    events = (*_pruned(state, context.now), e.SessionOpened(session=session))
    return Decision(events=events, reply={"session": session.id, "expires_at": session.expires_at})


def _pruned(state: PractitionerState, now: datetime) -> Iterable[e.SessionClosed]:
    """Room for one more session: the expired ones go, then the oldest."""
    expired = tuple(session for session in state.sessions.values() if session.expires_at <= now)
    if expired:
        yield e.SessionClosed(sessions=expired, reason="expired")
    counting = [session for session in state.sessions.values() if session.expires_at > now]
    if evicted := tuple(counting[: max(0, len(counting) - SESSIONS_MAX + 1)]):
        yield e.SessionClosed(sessions=evicted, reason="evicted")


def close_session(state: PractitionerState, command: c.CloseSession, context: Context) -> Decision:
    """A logout, of one session or all."""
    own(state, context)
    events = _closed(state, command.id, command.keep)
    return Decision(events=events, reply={"sessions": _ids(events)})


def _closed(state: PractitionerState, one: str | None, keep: str | None) -> tuple[e.SessionClosed, ...]:
    closed = tuple(s for s in state.sessions.values() if s.id != keep and one in (None, s.id))
    return (e.SessionClosed(sessions=closed),) if closed else ()


def _ids(events: Iterable[e.SessionClosed]) -> list[str]:
    return [session.id for event in events for session in event.sessions]


def change_password(state: PractitionerState, command: c.ChangePassword, context: Context) -> Decision:
    """The gateway has compared the old one."""
    own(state, context)
    closed = _closed(state, None, command.keep)
    events = (e.PasswordChanged(password_hash=command.password_hash), *closed)
    return Decision(events=events, reply={"sessions": _ids(closed)})


def get_account(state: PractitionerState, command: c.GetAccount, context: Context) -> Decision:
    """What a login compares with."""
    own(state, context)
    return Decision(reply={"id": state.id, "password_hash": state.password_hash})


def get_profile(state: PractitionerState, command: c.GetProfile, context: Context) -> Decision:
    """The whole for its owner, the public part of a public one for others."""
    if context.caller is None or context.caller.practitioner == state.id:
        return Decision(reply=profile_object(state))
    if state.profile.privacy_level != "public":
        raise NotFound("there is no such practitioner")
    return Decision(reply=public_profile(state))


def update_profile(state: PractitionerState, command: c.UpdateProfile, context: Context) -> Decision:
    """What is given changes; an event for the profile, one for the consent."""
    own(state, context)
    given = {name: value for name in command.__struct_fields__ if (value := getattr(command, name)) is not UNSET}
    consent = given.pop("oracle_consent", state.oracle_consent)
    for name in command.json_fields & given.keys():
        given[name] = _json(name, given[name])
    profile = structs.replace(state.profile, **given)
    events: list[e.PractitionerEvent] = []
    if profile != state.profile:
        events.append(e.ProfileUpdated(profile=profile))
    if consent != state.oracle_consent:
        events.append(e.OracleConsentChanged(oracle_consent=consent))
    for event in events:
        state = evolve(state, event, context.now)
    return Decision(events=tuple(events), reply=profile_object(state))


def enter(state: PractitionerState, command: c.Enter, context: Context) -> Decision:
    """The session follows the practitioner's own stream. Raises Unauthenticated."""
    own(state, context)
    if command.login is not None and command.login not in state.sessions:
        raise Unauthenticated("the token is unknown or has expired")
    return Decision(reply=profile_object(state), subscribe=True)


def notify_invitation(state: PractitionerState, command: c.NotifyInvitation, context: Context) -> Decision:
    """An invitation is told, and remembered by nobody but the journal."""
    invited = e.InvitationReceived(space=command.space, name=command.name, by=command.by, by_name=command.by_name)
    return Decision(events=(invited,), reply={})
