"""The practitioner as an entity: account, profile, archetypal state, logins, invitations.

Only the practitioner changes what is theirs: a command with another caller is refused, one without a caller is the
gateway's own (or a space's effect). Whoever is not registered is not there. No secret (password hash, token hash) is ever
in a push, a snapshot or a profile; ``GetAccount`` alone answers with the password's hash, to the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec
from msgspec import UNSET, structs

from actors.practitioner import archetypal_state
from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner.state import PractitionerState, codec, evolve
from actors.runtime.codec import invalid, tag_of
from actors.runtime.entity import (
    NOTHING_OWED,
    Agenda,
    AlarmFired,
    Attached,
    ConfirmClaim,
    Context,
    Decision,
    Detached,
    EffectDone,
    Published,
    Push,
    Row,
    Tick,
    Upsert,
)
from actors.runtime.errors import Conflict, Forbidden, NotFound

EMAIL_SCOPE: Final = "practitioner.email"
SESSIONS_MAX: Final = 64
"""Logins that count at once: every device of a person and then some; the oldest gives way."""


class PractitionerKind:
    """The kind ``practitioner``."""

    kind: ClassVar[str] = "practitioner"
    format: ClassVar[int] = e.FORMAT
    sealed: ClassVar[bool] = True

    def __init__(self) -> None:
        self._decide: Final[Mapping[type, Callable[[PractitionerState, Any, Context], Decision]]] = {
            c.Register: _register,
            c.OpenSession: _open_session,
            c.CloseSession: _close_session,
            c.GetAccount: _get_account,
            c.GetProfile: _get_profile,
            c.UpdateProfile: _update_profile,
            c.PutArchetypalState: _put_archetypal_state,
            c.Enter: _enter,
            c.NotifyInvitation: _notify_invitation,
        }

    def initial(self, entity_id: str) -> PractitionerState:
        """Nobody yet."""
        return PractitionerState(id=entity_id)

    def decode_command(self, data: bytes) -> c.PractitionerCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def subscribes(self, command: Any) -> bool:
        """Entering follows the stream."""
        return type(command) is c.Enter

    def request(self, command: Any, data: bytes) -> bytes:
        """All of it."""
        return data

    def awaits(self, command: Any, operation: str | None, entity_id: str) -> Any | None:
        """Nothing takes long."""
        return None

    def claims(self, command: Any) -> Sequence[tuple[str, str]]:
        """The email of a new account. Raises Invalid where it is none."""
        return ((EMAIL_SCOPE, c.normal_email(command.email)),) if type(command) is c.Register else ()

    def decide(self, state: PractitionerState, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        if isinstance(command, _SIGNALS):
            return Decision()  # no alarm, no effect and nobody's presence is a practitioner's business
        if state.created_at is None and type(command) is not c.Register:
            raise NotFound("there is no such practitioner")
        return self._decide[type(command)](state, command, context)

    def evolve(self, state: PractitionerState, event: e.PractitionerEvent, at: datetime) -> PractitionerState:
        """The state after the event."""
        return evolve(state, event, at)

    def rows(self, event: e.PractitionerEvent, state: PractitionerState, at: datetime) -> Iterable[Row]:
        """The row of ``practitioners`` with the email's claim, and those of ``auth_sessions``."""
        match event:
            case e.Registered():
                return _row(state), ConfirmClaim(scope=EMAIL_SCOPE, name=state.email)
            case e.ProfileUpdated():
                return (_row(state),)
            case e.SessionOpened(session=session):
                return (_session_row(state, session, None),)
            case e.SessionClosed(sessions=sessions):
                return tuple(_session_row(state, session, at) for session in sessions)
            case _:
                return ()

    def agenda(self, state: PractitionerState) -> Agenda:
        """Nothing: sessions end by their own date wherever they are looked at."""
        return NOTHING_OWED

    def publish(self, event: e.PractitionerEvent) -> Published | None:
        """The numbered push of an event; none of registering."""
        match event:
            case e.ProfileUpdated(profile=profile):
                return Published(event="profile_updated", body=_profile_fields(profile))
            case e.ArchetypalStateUpdated(state=state):
                return Published(event="archetypal_state_updated", body=msgspec.to_builtins(state))
            case e.SessionOpened(session=session):
                return Published(event="session_opened", body={"session": session.id})
            case e.SessionClosed():
                return Published(event="session_closed", body=_closed_body(event))
            case e.InvitationReceived():
                body = {"space": event.space, "name": event.name}
                return Published(event="invitation", body=body, sender=(event.by, event.by_name))
            case _:
                return None

    def snapshot(self, state: PractitionerState, context: Context) -> dict[str, Any]:
        """The profile."""
        return profile_object(state)

    def greeting(self, state: PractitionerState, context: Context) -> Sequence[Push]:
        """Nothing: nobody is present in a practitioner's own stream."""
        return ()

    def may_read(self, state: PractitionerState, context: Context) -> None:
        """The practitioner alone. Raises NotFound, Forbidden."""
        if state.created_at is None:
            raise NotFound("there is no such practitioner")
        if context.caller is None or context.caller.practitioner != state.id:
            raise Forbidden("this stream is another practitioner's")

    def event_type(self, event: e.PractitionerEvent) -> str:
        """The name of an event in the journal."""
        return tag_of(event)

    def encode_event(self, event: e.PractitionerEvent) -> bytes:
        """JSON."""
        return e.codec.encode(event)

    def decode_event(self, format_: int, data: bytes) -> e.PractitionerEvent:
        """An event of any format."""
        return e.codec.decode(format_, data)

    def encode_state(self, state: PractitionerState) -> bytes:
        """JSON."""
        return codec.encode(state)

    def decode_state(self, format_: int, data: bytes) -> PractitionerState:
        """A state of any format."""
        return codec.decode(format_, data)


_SIGNALS: Final = (EffectDone, AlarmFired, Tick, Attached, Detached)


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
        **_profile_fields(state.profile),
        "archetypal_state": msgspec.to_builtins(state.archetypal_state),
        "created_at": state.created_at,
    }


def _public_profile(state: PractitionerState) -> dict[str, Any]:
    return {"id": state.id, **_profile_fields(state.profile), "created_at": state.created_at}


def _profile_fields(profile: e.Profile) -> dict[str, Any]:
    return structs.asdict(profile)


def _closed_body(event: e.SessionClosed) -> dict[str, Any]:
    return {"sessions": [session.id for session in event.sessions], "reason": event.reason}


def _row(state: PractitionerState) -> Upsert:
    values = {
        "id": state.id,
        "email": state.email,
        "password_hash": state.password_hash,
        **_profile_fields(state.profile),
        "created_at": state.created_at,
        "updated_at": state.updated_at,
    }
    return Upsert(table="practitioners", values=values)


def _session_row(state: PractitionerState, session: e.AuthSession, revoked_at: datetime | None) -> Upsert:
    values = {**structs.asdict(session), "practitioner_id": state.id, "revoked_at": revoked_at}
    return Upsert(table="auth_sessions", values=values)


# Commands


def _own(state: PractitionerState, context: Context) -> None:
    if context.caller is not None and context.caller.practitioner != state.id:
        raise Forbidden("this account is another practitioner's")


def _register(state: PractitionerState, command: c.Register, context: Context) -> Decision:
    _own(state, context)
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


def _open_session(state: PractitionerState, command: c.OpenSession, context: Context) -> Decision:
    _own(state, context)
    if command.expires_at <= context.now:
        raise invalid("expires_at", "is past")
    if command.id in state.sessions:
        raise Conflict("the session exists already")
    session = e.AuthSession(
        id=command.id, token_hash=command.token_hash, created_at=context.now, expires_at=command.expires_at
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


def _close_session(state: PractitionerState, command: c.CloseSession, context: Context) -> Decision:
    _own(state, context)
    closed = tuple(s for s in state.sessions.values() if command.id is None or s.id == command.id)
    events = (e.SessionClosed(sessions=closed),) if closed else ()
    return Decision(events=events, reply={"sessions": [session.id for session in closed]})


def _get_account(state: PractitionerState, command: c.GetAccount, context: Context) -> Decision:
    _own(state, context)
    return Decision(reply={"id": state.id, "password_hash": state.password_hash})


def _get_profile(state: PractitionerState, command: c.GetProfile, context: Context) -> Decision:
    if context.caller is None or context.caller.practitioner == state.id:
        return Decision(reply=profile_object(state))
    if state.profile.privacy_level != "public":
        raise NotFound("there is no such practitioner")
    return Decision(reply=_public_profile(state))


def _update_profile(state: PractitionerState, command: c.UpdateProfile, context: Context) -> Decision:
    _own(state, context)
    given = {name: value for name in command.__struct_fields__ if (value := getattr(command, name)) is not UNSET}
    for name in command.json_fields & given.keys():
        given[name] = _json(name, given[name])
    profile = structs.replace(state.profile, **given)
    if profile == state.profile:
        return Decision(reply=profile_object(state))
    updated = e.ProfileUpdated(profile=profile)
    return Decision(events=(updated,), reply=profile_object(evolve(state, updated, context.now)))


def _put_archetypal_state(state: PractitionerState, command: c.PutArchetypalState, context: Context) -> Decision:
    _own(state, context)
    new = archetypal_state.check(command.state)
    events = () if new == state.archetypal_state else (e.ArchetypalStateUpdated(state=new),)
    return Decision(events=events, reply=msgspec.to_builtins(new))


def _enter(state: PractitionerState, command: c.Enter, context: Context) -> Decision:
    _own(state, context)
    return Decision(reply=profile_object(state), subscribe=True)


def _notify_invitation(state: PractitionerState, command: c.NotifyInvitation, context: Context) -> Decision:
    invited = e.InvitationReceived(space=command.space, name=command.name, by=command.by, by_name=command.by_name)
    return Decision(events=(invited,), reply={})
