"""What a client gets unasked, by kind of stream: bodies of numbered events, fields of unnumbered ones, states of snapshots.

See ``server.shapes`` for the objects in them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from actors.audio_session.replies import AudioSession
from actors.eustress import replies as eustress
from actors.eustress.values import INLINE_BYTES, Policy
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.events import Origin
from actors.practitioner.transformation import TransformationResult
from actors.runtime.codec import Uuid
from actors.space.commands import AccessLevel
from actors.space.group_events import Outcome
from server import shapes

# --- of a space ------------------------------------------------------------------------------------------------------


class Created(shapes.SpaceFields, kw_only=True):
    """The space began."""


class Updated(Struct, kw_only=True):
    """What is given has changed."""

    name: str | UnsetType = UNSET
    purpose: str | UnsetType = UNSET
    tradition: str | UnsetType | None = UNSET
    participant_limit: int | UnsetType = UNSET
    access_level: AccessLevel | UnsetType = UNSET
    ritual_schedule: shapes.Json | UnsetType = UNSET
    shared_state: shapes.Json | UnsetType = UNSET


class Invited(Struct, kw_only=True):
    """A practitioner may enter."""

    practitioner: Uuid


class Joined(Struct, kw_only=True):
    """A new participant: whoever it is from. They are the facilitator from here on where ``facilitates`` says so."""

    facilitates: bool | UnsetType = UNSET


class Renamed(Struct, kw_only=True):
    """A participant shows another name, or none any more."""


class Left(Struct, kw_only=True):
    """A participant no longer: by their own word, or by absence."""

    reason: Literal["left", "absent"]


class Departed(Struct, kw_only=True):
    """Their account is deleted: all they said is from `departed` from here on. ``facilitator`` is given where that was theirs:
    whose it is now, null where nobody can be."""

    facilitator: Uuid | UnsetType | None = UNSET


class Closed(Struct, kw_only=True):
    """The end: by the facilitator, with the session of the guest who made the space, or with the account of its last one."""

    reason: Literal["closed", "guest", "departed"]


class RitualScheduled(shapes.ScheduledRitual, kw_only=True):
    """A group ritual will be."""


class RitualUnscheduled(Struct, kw_only=True):
    """It will not be: it was taken back, or its time went by."""

    ritual_run: Uuid
    stage: Literal["unscheduled"]
    reason: Literal["aborted", "missed"]


class RitualGathering(shapes.Plan, kw_only=True):
    """The countdown began."""

    stage: Literal["gathering"]


class RitualOpening(Struct, kw_only=True):
    """Who takes part is fixed. ``roster`` is null where it is longer than 1,000."""

    ritual_run: Uuid
    stage: Literal["opening"]
    roster: list[Uuid] | None
    participants: int
    starts_at: datetime
    active_at: datetime


class RitualActive(Struct, kw_only=True):
    """The participants are being transformed."""

    ritual_run: Uuid
    stage: Literal["active"]
    participants: int


class RitualAborting(Struct, kw_only=True):
    """The facilitator ended it while participants were being transformed: they still are, then it closes."""

    ritual_run: Uuid
    stage: Literal["aborting"]


class RitualIntegration(Struct, kw_only=True):
    """All are settled."""

    ritual_run: Uuid
    stage: Literal["integration"]
    transformed: int
    failed: int
    collective: shapes.Collective | None
    closes_at: datetime


class RitualClosed(Struct, kw_only=True):
    """The end, with all that is to be said about it."""

    ritual_run: Uuid
    stage: Literal["closed"]
    outcome: Outcome
    reason: str | None
    summary: shapes.RitualSummary


class Presence(Struct, kw_only=True):
    """Who came and who went; ``full``: everyone who is here, after joining or resuming."""

    joined: list[shapes.Person]
    left: list[shapes.Person]
    full: bool | UnsetType = UNSET


class Agreement(Struct, kw_only=True):
    """How much the phases of breath or pulse agree: Kuramoto's *r*; null for fewer than two phases.

    ``phases`` has those of practitioners who show a name, where there are no more than 100.
    """

    phase_coherence: float | None
    unbiased: float | None
    n: int
    phases: dict[str, float] | UnsetType = UNSET


class RitualProgress(Struct, kw_only=True):
    """How many participants of the group ritual have an outcome."""

    ritual_run: Uuid
    stage: str
    settled: int
    of: int


# --- of a practitioner -----------------------------------------------------------------------------------------------


class ProfileUpdated(shapes.ProfileFields, kw_only=True):
    """The profile is now so."""


class ConsentChanged(Struct, kw_only=True):
    """Whether the state may be sent to a language model outside."""

    oracle_consent: bool


class StateUpdated(ArchetypalState, frozen=True, kw_only=True):
    """The archetypal state is now so. One that was written before versions were counted has no id."""

    state_id: Uuid | UnsetType = UNSET
    state_hash: shapes.Hash | UnsetType = UNSET
    origin: Origin | UnsetType = UNSET


class SessionOpened(Struct, kw_only=True):
    """A login."""

    session: Uuid


class SessionClosed(Struct, kw_only=True):
    """Logins that no longer count; sockets that came with one are closed with 4001."""

    sessions: list[Uuid]
    reason: Literal["logout", "expired", "evicted"]


class Invitation(Struct, kw_only=True):
    """Somebody invited you to a space."""

    space: Uuid
    name: str


class RitualStarted(Struct, kw_only=True):
    """A ritual began on your state: your own, or your part in a group ritual."""

    session_id: Uuid
    ritual_id: Uuid
    name: str


class RitualFailed(Struct, kw_only=True):
    """It ended and changed nothing."""

    session_id: Uuid
    code: Annotated[str, Meta(description="an error code")]
    message: str


# --- of a Eustress space ---------------------------------------------------------------------------------------------


class EustressSpace(eustress.SpaceState, frozen=True, kw_only=True):
    """The figures of a Eustress space. The scene itself is read over HTTP, as of ``version``."""


class ItemCounts(Struct, kw_only=True):
    """How many items there were of each sort."""

    entities: int
    connections: int
    parameters: int
    removed_entities: int
    removed_connections: int


class SceneChanged(Struct, kw_only=True):
    """The scene is another, as of this version."""

    version: int
    counts: ItemCounts
    items: Annotated[
        dict[str, list[Any]] | UnsetType,
        Meta(description=f"the batch, as it was ingested, where it is no more than {INLINE_BYTES} bytes of JSON"),
    ] = UNSET


class SnapshotTaken(Struct, kw_only=True):
    """The scene as of this version is kept. ``reason``: so many updates, a large batch, its time, or somebody's wish."""

    snapshot_id: Uuid
    version: int
    reason: Literal["count", "batch", "alarm", "manual"]


# --- of an audio session ---------------------------------------------------------------------------------------------


class Deleted(Struct, kw_only=True):
    """The session is no more."""


BANDS: Final = 64
"""Of a spectrum; ``actors.audio.spectrum`` measures so many (and brings numpy, which this module does without)."""


class SoundSpectrum(Struct, kw_only=True):
    """What sounds, measured from the samples before ``position_s``: peaks by falling amplitude (linear, 1 is full scale), and 64
    bands of equal ratio from 20 Hz to 20 kHz, 0 at -80 dBFS and 1 at full scale."""

    frequencies: Annotated[list[float], Meta(description="of the peaks, in Hz")]
    amplitudes: list[float]
    bands: Annotated[list[float], Meta(min_length=BANDS, max_length=BANDS)]
    position_s: float
    at: Annotated[datetime, Meta(description="when that sounds, by the server's clock")]


class Unheard(Struct, kw_only=True):
    """The session runs, and there is no room to render it here: it is heard as soon as there is."""

    code: Literal["full"]
    message: str


class Unfollowed(Struct, kw_only=True):
    """This session could not follow the stream again that it named in ``resume``, or may no longer hear the audio session;
    ``reason`` is an error code."""

    reason: str


class Bye(Struct, kw_only=True, tag_field="type", tag="bye"):
    """The server goes away; come back after so long. Then the socket closes with 1001."""

    code: Literal["draining"]
    retry_after_ms: int


EVENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "space": {
        "created": Created,
        "updated": Updated,
        "invited": Invited,
        "joined": Joined,
        "renamed": Renamed,
        "left": Left,
        "departed": Departed,
        "message": Annotated[Any, Meta(description="what somebody said: any JSON")],
        "closed": Closed,
        "ritual_scheduled": RitualScheduled,
        "ritual_unscheduled": RitualUnscheduled,
        "ritual_gathering": RitualGathering,
        "ritual_opening": RitualOpening,
        "ritual_active": RitualActive,
        "ritual_aborting": RitualAborting,
        "ritual_integration": RitualIntegration,
        "ritual_closed": RitualClosed,
    },
    "practitioner": {
        "profile_updated": ProfileUpdated,
        "oracle_consent_changed": ConsentChanged,
        "archetypal_state_updated": StateUpdated,
        "session_opened": SessionOpened,
        "session_closed": SessionClosed,
        "invitation": Invitation,
        "ritual_started": RitualStarted,
        "ritual_completed": TransformationResult,
        "ritual_failed": RitualFailed,
        "run_annotated": shapes.Annotation,
        "insight": shapes.Insight,
    },
    "eustress": {
        "changed": SceneChanged,
        "snapshot_taken": SnapshotTaken,
        "policy": Policy,
        "epoch": eustress.Epoch,
    },
    "audio_session": {
        "changed": AudioSession,
        "deleted": Deleted,
    },
}
"""Numbered: by kind of stream and event, the type of the body."""

LIVE: Final[Mapping[str, type]] = {"presence": Presence, "coherence": Agreement, "ritual_progress": RitualProgress}
"""Unnumbered, of spaces: how things are now. Their fields stand in the push itself."""

SOUND: Final[Mapping[str, type]] = {"spectrum": SoundSpectrum, "unheard": Unheard}
"""Unnumbered, of audio sessions. Sound itself comes as binary frames: ``server.sound.frames``."""

UNNUMBERED: Final[Mapping[str, Mapping[str, type]]] = {"space": LIVE, "audio_session": SOUND}
"""By kind of stream."""

SNAPSHOTS: Final[Mapping[str, type]] = {
    "space": shapes.SpaceState,
    "practitioner": shapes.Profile,
    "eustress": EustressSpace,
    "audio_session": AudioSession,
}
