"""What happened to a practitioner, as it stands in the (sealed) journal."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.commands import PrivacyLevel
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct

FORMAT: Final = 1
EMPTY: Final = msgspec.Raw(b"{}")


class Profile(Struct, frozen=True, kw_only=True):
    """What a practitioner says of themselves and may change."""

    spiritual_name: str | None = None
    sacred_path: str | None = None
    privacy_level: PrivacyLevel = "private"
    archetypal_preferences: msgspec.Raw = EMPTY
    energy_alignments: msgspec.Raw = EMPTY


class AuthSession(Struct, frozen=True, kw_only=True):
    """A login that counts until it ends. The token is kept as its hash only."""

    id: str
    token_hash: bytes
    created_at: datetime
    expires_at: datetime


class Registered(Struct, frozen=True, kw_only=True, tag="registered"):
    """The account began. Not published."""

    email: str
    password_hash: str
    profile: Profile


class ProfileUpdated(Struct, frozen=True, kw_only=True, tag="profile_updated"):
    """The profile is now so."""

    profile: Profile


class ArchetypalStateUpdated(Struct, frozen=True, kw_only=True, tag="archetypal_state_updated"):
    """The archetypal state is now so."""

    state: ArchetypalState


class SessionOpened(Struct, frozen=True, kw_only=True, tag="session_opened"):
    """A login."""

    session: AuthSession


class SessionClosed(Struct, frozen=True, kw_only=True, tag="session_closed"):
    """Logins that no longer count. Whole, because their rows are written once more."""

    sessions: tuple[AuthSession, ...]
    reason: Literal["logout", "expired", "evicted"] = "logout"


class InvitationReceived(Struct, frozen=True, kw_only=True, tag="invitation"):
    """Somebody invited the practitioner to a space."""

    space: str
    name: str
    by: str
    by_name: str | None = None


PractitionerEvent = (
    Registered | ProfileUpdated | ArchetypalStateUpdated | SessionOpened | SessionClosed | InvitationReceived
)

codec: Final[Codec[PractitionerEvent]] = Codec(PractitionerEvent, FORMAT)
