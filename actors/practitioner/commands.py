"""What a practitioner can be asked. The types carry every bound.

``archetypal_preferences`` and ``energy_alignments`` are JSON objects, as texts in bytes (``codec.from_wire`` makes them).
Passwords never come here: the gateway hashes them.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.practitioner.archetypal_state import ArchetypalState
from actors.ritual.values import INTENTION_MAX, PARAMETERS_BYTES, Brief
from actors.runtime.codec import CommandCodec, Uuid, has_nul, invalid
from actors.runtime.entity import Address, Struct
from actors.runtime.errors import FieldError, TooLarge

EMAIL_MAX: Final = 255
"""The seed's VARCHAR(255)."""
PREFERENCES_BYTES: Final = 16 * 1024
"""Of the JSON of each of preferences and alignments: as much as a message."""

FAREWELLS_MAX: Final = 1_000
"""Of one command, which is journaled and whose effects are looked at after each answer; the gateway finds the rest."""

_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+")
# The pattern is only told: ``normal_email`` holds it, and says better what is wrong.
Email = Annotated[
    str, Meta(min_length=3, max_length=EMAIL_MAX, extra_json_schema={"pattern": rf"^\s*{_EMAIL.pattern}\s*$"})
]
ShortText = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^(?!\s*$)[^\x00]*$")]
PasswordHash = Annotated[str, Meta(min_length=1, max_length=255, description="Argon2id, in its own text form")]
PrivacyLevel = Literal["private", "community", "public"]
Instant = Annotated[datetime, Meta(tz=True)]
TokenHash = Annotated[bytes, Meta(min_length=16, max_length=64)]
ServiceName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$(?!\n)")]
Intention = Annotated[str, Meta(max_length=INTENTION_MAX, pattern=r"^[^\x00]*$")]
LongText = Annotated[str, Meta(max_length=20_000, pattern=r"^[^\x00]*$")]
Rating = Annotated[int, Meta(ge=1, le=10)]


class Command(Struct, frozen=True):
    """One of the below."""

    json_fields: ClassVar[frozenset[str]] = frozenset()


class RunToReflect(Struct, frozen=True, kw_only=True):
    """A run as the oracle is to see it."""

    id: Uuid
    ritual_name: str
    intention: str = ""
    pre: ArchetypalState
    post: ArchetypalState
    intensity: float


class Register(Command, frozen=True, kw_only=True, tag="register", forbid_unknown_fields=True):
    """The first command of a practitioner."""

    json_fields: ClassVar[frozenset[str]] = frozenset({"archetypal_preferences", "energy_alignments"})

    email: Email
    password_hash: PasswordHash
    spiritual_name: ShortText | None = None
    sacred_path: ShortText | None = None
    privacy_level: PrivacyLevel = "private"
    archetypal_preferences: bytes = b"{}"
    energy_alignments: bytes = b"{}"


class OpenSession(Command, frozen=True, kw_only=True, tag="open_session", forbid_unknown_fields=True):
    """A login. The token itself is known to the client alone. ``service``: a program's, for that alone; ``name`` tells which."""

    id: Uuid
    token_hash: TokenHash
    expires_at: Instant
    service: ServiceName | None = None
    name: ShortText | None = None


class CloseSession(Command, frozen=True, kw_only=True, tag="close_session", forbid_unknown_fields=True):
    """A logout: of one session, or (None) of all but the one to keep."""

    id: Uuid | None = None
    keep: Uuid | None = None


class ChangePassword(Command, frozen=True, kw_only=True, tag="change_password", forbid_unknown_fields=True):
    """Another password. All logins but the one to keep are closed."""

    password_hash: PasswordHash
    keep: Uuid | None = None


class GetAccount(Command, frozen=True, kw_only=True, tag="get_account", forbid_unknown_fields=True):
    """What a login needs to compare with. For the gateway alone."""


class GetProfile(Command, frozen=True, kw_only=True, tag="get_profile", forbid_unknown_fields=True):
    """The whole profile for its owner, the public part of a public one for others."""


class UpdateProfile(Command, frozen=True, kw_only=True, tag="update_profile", forbid_unknown_fields=True):
    """Changes what is given."""

    json_fields: ClassVar[frozenset[str]] = frozenset({"archetypal_preferences", "energy_alignments"})

    spiritual_name: ShortText | UnsetType | None = UNSET
    sacred_path: ShortText | UnsetType | None = UNSET
    privacy_level: PrivacyLevel | UnsetType = UNSET
    archetypal_preferences: bytes | UnsetType = UNSET
    energy_alignments: bytes | UnsetType = UNSET
    oracle_consent: bool | UnsetType = UNSET
    """Whether the state may be sent to a language model outside."""


class PutArchetypalState(Command, frozen=True, kw_only=True, tag="put_archetypal_state", forbid_unknown_fields=True):
    """Replaces the archetypal state."""

    state: ArchetypalState


class Enter(Command, frozen=True, kw_only=True, tag="enter", forbid_unknown_fields=True):
    """A session of the account begins to follow the practitioner's own stream.

    ``login`` is the login that it came with: it may have ended since the gateway looked at it, and whoever does not follow yet
    is not told of that.
    """

    login: Uuid | None = None


class Farewell(Struct, frozen=True, kw_only=True):
    """What another entity is told when the account goes: a command of its own."""

    target: Address
    command: bytes


class DeleteAccount(Command, frozen=True, kw_only=True, tag="delete_account", forbid_unknown_fields=True):
    """The account ends. Answered when nothing of it is left (the runtime asks ``AwaitErasure`` in its place).

    Whom to tell is what the gateway found, and no part of what a retry must repeat.
    """

    farewells: Annotated[tuple[Farewell, ...], Meta(max_length=FAREWELLS_MAX)] = ()


class AwaitErasure(Command, frozen=True, kw_only=True, tag="await_erasure", forbid_unknown_fields=True):
    """Answered when nothing of the account is left. For the runtime alone."""


class NotifyInvitation(Command, frozen=True, kw_only=True, tag="notify_invitation", forbid_unknown_fields=True):
    """A space's facilitator invited this practitioner. From the space, as its effect."""

    space: str
    name: str
    by: str
    by_name: str | None = None


class GetState(Command, frozen=True, kw_only=True, tag="get_state", forbid_unknown_fields=True):
    """``{archetypal_state, state_id, state_hash, version, under_way}``: the state now; ``under_way`` is the open run or None."""


class TransformState(Command, frozen=True, kw_only=True, tag="transform_state", forbid_unknown_fields=True):
    """One change of the state by the practitioner's own hand; ``parameters`` depend on the type."""

    json_fields: ClassVar[frozenset[str]] = frozenset({"parameters"})

    transformation_type: Literal[
        "archetype_activation",
        "energy_adjustment",
        "integration",
        "symbol",
        "transformation_open",
        "transformation_close",
    ]
    parameters: bytes = b"{}"


class RunRitual(Command, frozen=True, kw_only=True, tag="run_ritual", forbid_unknown_fields=True):
    """Run a ritual on the state. Answered when the run has ended (the runtime asks ``AwaitRun`` in its place).

    ``brief`` comes from the ritual's entity at the time of asking; it is not part of what a retry must repeat. ``ritual`` is,
    the name or id by which the client asked: by a retry the name may mean another.
    """

    json_fields: ClassVar[frozenset[str]] = frozenset({"parameters"})

    brief: Brief
    ritual: str = ""
    intention: Intention = ""
    parameters: bytes = b"{}"


class AwaitRun(Command, frozen=True, kw_only=True, tag="await_run", forbid_unknown_fields=True):
    """The result of a run, when there is one: a TransformationResult, or the error that the run ended with."""

    run: Uuid


class RunInGroup(Command, frozen=True, kw_only=True, tag="run_in_group", forbid_unknown_fields=True):
    """The practitioner's part in a group ritual. From the space, as its effect; answered with a ``Contribution``.

    The run's id is ``group_run_id(group, practitioner)``: asked again, whenever, it is the same run. While another run is
    under way it waits in a queue, which nothing of the practitioner's own gets ahead of. Refused (retryably) only while too
    many contributions have not been settled.
    """

    json_fields: ClassVar[frozenset[str]] = frozenset({"parameters"})

    group: Uuid
    space: Uuid
    brief: Brief
    intention: Intention = ""
    parameters: bytes = b"{}"
    participants: int


class AwaitContribution(Command, frozen=True, kw_only=True, tag="await_contribution", forbid_unknown_fields=True):
    """The practitioner's ``Contribution`` to a group ritual, when there is one. For the runtime alone."""

    group: Uuid


class SettleGroup(Command, frozen=True, kw_only=True, tag="settle_group", forbid_unknown_fields=True):
    """The space has recorded the contribution; it need not be remembered any longer. From the space, as its effect."""

    group: Uuid


class AnnotateRun(Command, frozen=True, kw_only=True, tag="annotate_run", forbid_unknown_fields=True):
    """Notes on a run of one's own, and a rating of its ritual. The gateway made sure that the run is the caller's, and of
    this ritual."""

    run: Uuid
    ritual: Uuid
    subjective_experience: LongText | UnsetType | None = UNSET
    integration_notes: LongText | UnsetType | None = UNSET
    effectiveness_rating: Rating | UnsetType = UNSET
    newest: bool = False
    """What was asked for is the newest run of the ritual: by a retry there may be a newer one, and it is the same request."""


class Reflect(Command, frozen=True, kw_only=True, tag="reflect", forbid_unknown_fields=True):
    """Ask the oracle: about the state as it is, or about a run. Answered when the oracle has (``AwaitReflection``).

    What belongs to the run stands in ``run`` and was read from the practitioner's own rows by the gateway.
    """

    run: RunToReflect | None = None


class AwaitReflection(Command, frozen=True, kw_only=True, tag="await_reflection", forbid_unknown_fields=True):
    """The insight, when there is one. For the runtime alone."""

    id: Uuid


PractitionerCommand = (
    Register
    | OpenSession
    | CloseSession
    | ChangePassword
    | GetAccount
    | GetProfile
    | UpdateProfile
    | PutArchetypalState
    | Enter
    | DeleteAccount
    | AwaitErasure
    | NotifyInvitation
    | GetState
    | TransformState
    | RunRitual
    | AwaitRun
    | RunInGroup
    | AwaitContribution
    | SettleGroup
    | AnnotateRun
    | Reflect
    | AwaitReflection
)

codec: Final[CommandCodec[PractitionerCommand]] = CommandCodec(PractitionerCommand)
encode = codec.encode


def normal_email(email: str) -> str:
    """The form in which emails are compared and kept: NFC, lower case, no space around. Raises Invalid."""
    normal = unicodedata.normalize("NFC", unicodedata.normalize("NFC", email.strip()).lower())
    if len(normal) > EMAIL_MAX or not _EMAIL.fullmatch(normal):
        raise invalid("email", f"must be an email address of at most {EMAIL_MAX} characters")
    return normal


def check_preferences(where: str, text: bytes) -> bytes:
    """The same JSON text. Raises Invalid, TooLarge where it is no object that may be kept."""
    return _check_object(where, text, PREFERENCES_BYTES)


def check_parameters(text: bytes) -> bytes:
    """The same JSON text of a ritual's or a change's ``parameters``. Raises Invalid, TooLarge."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as failure:
        raise invalid("parameters", "must be JSON of bounded depth") from failure
    return _check_object("parameters", text, PARAMETERS_BYTES)


def _check_object(where: str, text: bytes, bytes_max: int) -> bytes:
    if not text.lstrip().startswith(b"{"):
        raise invalid(where, "must be an object")
    if has_nul(text):
        raise invalid(where, "may not have the character U+0000")
    if len(text) > bytes_max:
        message = f"{len(text)} bytes of JSON, {bytes_max} are allowed"
        raise TooLarge(f"{where}: {message}", (FieldError(path=where, message=message),))
    return text
