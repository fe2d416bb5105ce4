"""What happened to a practitioner, as it stands in the (sealed) journal."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from actors.oracle.values import Consult, Insight
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.chain import Version
from actors.practitioner.commands import Farewell, PrivacyLevel
from actors.practitioner.transformation import TransformationResult
from actors.ritual.values import Brief, FailureCode
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct

FORMAT: Final = 1
EMPTY: Final = msgspec.Raw(b"{}")

Origin = Literal[
    "put",
    "archetype_activation",
    "energy_adjustment",
    "integration",
    "symbol",
    "transformation_open",
    "transformation_close",
    "ritual",
    "baseline",
]
"""What made a version of the archetypal state. ``baseline``: it was there before versions were counted."""


class Profile(Struct, frozen=True, kw_only=True):
    """What a practitioner says of themselves and may change."""

    spiritual_name: str | None = None
    sacred_path: str | None = None
    privacy_level: PrivacyLevel = "private"
    archetypal_preferences: msgspec.Raw = EMPTY
    energy_alignments: msgspec.Raw = EMPTY


class AuthSession(Struct, frozen=True, kw_only=True):
    """A login that counts until it ends. The token is kept as its hash only. ``service`` is None for a person's."""

    id: str
    token_hash: bytes
    created_at: datetime
    expires_at: datetime
    service: str | None = None
    name: str | None = None


class Registered(Struct, frozen=True, kw_only=True, tag="registered"):
    """The account began. Not published."""

    email: str
    password_hash: str
    profile: Profile


class ProfileUpdated(Struct, frozen=True, kw_only=True, tag="profile_updated"):
    """The profile is now so."""

    profile: Profile


class PasswordChanged(Struct, frozen=True, kw_only=True, tag="password_changed"):
    """The account has another password. Not published."""

    password_hash: str


class OracleConsentChanged(Struct, frozen=True, kw_only=True, tag="oracle_consent_changed"):
    """Whether the state may be sent to a language model outside. An event of its own: it is asked for by its date."""

    oracle_consent: bool


class ArchetypalStateUpdated(Struct, frozen=True, kw_only=True, tag="archetypal_state_updated"):
    """The archetypal state is now so. Without a version it was written before versions were counted."""

    state: ArchetypalState
    origin: Origin = "put"
    version: Version | None = None


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


class Run(Struct, frozen=True, kw_only=True):
    """A run of a ritual that has begun. ``number`` counts a practitioner's runs."""

    id: str
    number: int
    ritual: str
    ritual_name: str
    module_hash: str
    intention: str = ""
    parameters: msgspec.Raw = EMPTY
    pre_state_id: str | None = None
    """None: the empty state before version 1."""
    started_at: datetime
    group: str | None = None
    space: str | None = None
    participants: int | None = None
    """With ``group`` and ``space``: how many take part in the group ritual."""


class RunStarted(Struct, frozen=True, kw_only=True, tag="run_started"):
    """A run began."""

    run: Run


class RunCompleted(Struct, frozen=True, kw_only=True, tag="run_completed"):
    """The open run changed the state, to ``version``."""

    version: Version
    result: TransformationResult


class RunFailed(Struct, frozen=True, kw_only=True, tag="run_failed"):
    """The open run ended and changed nothing."""

    run: str
    code: FailureCode | Literal["rate_limited"]
    """rate_limited: a part in a group ritual beyond the practitioner's quota."""
    message: str
    fuel: int = 0
    duration_ms: float = 0.0


class RunAnnotated(Struct, frozen=True, kw_only=True, tag="run_annotated"):
    """Notes on a run, where given, and a rating of its ritual. ``rating_version`` counts a practitioner's ratings."""

    run: str
    ritual: str
    subjective_experience: str | UnsetType | None = UNSET
    integration_notes: str | UnsetType | None = UNSET
    effectiveness_rating: int | UnsetType = UNSET
    rating_version: int | UnsetType = UNSET


class GroupQueued(Struct, frozen=True, kw_only=True, tag="group_queued"):
    """A part in a group ritual waits for the open run's end; all that its own run needs to begin."""

    group: str
    space: str
    brief: Brief
    intention: str = ""
    parameters: msgspec.Raw = EMPTY
    participants: int


class GroupSettled(Struct, frozen=True, kw_only=True, tag="group_settled"):
    """The contribution to a group ritual need not be remembered any longer."""

    group: str


class EffectSettled(Struct, frozen=True, kw_only=True, tag="effect_settled"):
    """A ritual knows of its use, or of its rating."""

    effect: str


class Reflection(Struct, frozen=True, kw_only=True):
    """A consultation of the oracle that is under way. ``number`` counts a practitioner's reflections."""

    number: int
    session_id: str | None = None
    """The run that it is about."""
    consult: Consult
    asked_at: datetime


class ReflectionRequested(Struct, frozen=True, kw_only=True, tag="reflection_requested"):
    """The oracle is being asked."""

    reflection: Reflection


class InsightReceived(Struct, frozen=True, kw_only=True, tag="insight_received"):
    """The oracle answered."""

    id: str
    session_id: str | None = None
    insight: Insight


class ReflectionFailed(Struct, frozen=True, kw_only=True, tag="reflection_failed"):
    """The oracle did not answer, and will not."""

    id: str


class AccountLeaving(Struct, frozen=True, kw_only=True, tag="account_leaving"):
    """The account is to be erased. Not published, as the next two."""

    farewells: tuple[Farewell, ...] = ()


class AccountPurged(Struct, frozen=True, kw_only=True, tag="account_purged"):
    """Some rows of these tables are gone, of a large account. So many steps are left: all but the states, then those."""

    first: int
    last: int
    tables: tuple[str, ...] = ()


class AccountErased(Struct, frozen=True, kw_only=True, tag="account_erased"):
    """All of it is gone, this event with it. ``email`` is free again."""

    email: str


PractitionerEvent = (
    Registered
    | ProfileUpdated
    | OracleConsentChanged
    | PasswordChanged
    | ArchetypalStateUpdated
    | SessionOpened
    | SessionClosed
    | InvitationReceived
    | RunStarted
    | RunCompleted
    | RunFailed
    | RunAnnotated
    | GroupQueued
    | GroupSettled
    | EffectSettled
    | ReflectionRequested
    | InsightReceived
    | ReflectionFailed
    | AccountLeaving
    | AccountPurged
    | AccountErased
)

codec: Final[Codec[PractitionerEvent]] = Codec(PractitionerEvent, FORMAT)
