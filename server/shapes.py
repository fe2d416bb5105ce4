"""The objects of replies and pushes, as clients see them: the documents describe them by these types.

The entities build them as dicts; a test compares what a server really sent with the documents, field by field. A field without
a default is always there; one that may be ``UNSET`` is only there where it applies. Pure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from actors.oracle.values import InsightType
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.commands import PrivacyLevel
from actors.practitioner.events import Origin
from actors.runtime.codec import Uuid
from actors.space.coherence import Coherence
from actors.space.commands import AccessLevel
from actors.space.group import Stage, Status
from actors.space.group_events import Outcome

Json = Annotated[Any, Meta(description="any JSON")]
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256")]


class Person(Struct, kw_only=True):
    """Somebody; the name is null where they show none."""

    id: Uuid
    name: str | None


# --- spaces ----------------------------------------------------------------------------------------------------------


class SpaceFields(Struct, kw_only=True):
    """What its facilitator says of a space."""

    name: str
    purpose: str
    slug: str | None
    tradition: str | None
    participant_limit: int
    access_level: AccessLevel
    ritual_schedule: Json


class Space(SpaceFields, kw_only=True):
    """A collective space."""

    id: Uuid
    current_participants: int
    facilitator: Annotated[Uuid | None, Meta(description="null: their account is gone; the next to join is")]
    shared_state: Json
    created_at: datetime


class ListedSpace(SpaceFields, kw_only=True):
    """A space in a list."""

    id: Uuid
    current_participants: int
    facilitator_id: Uuid | None
    created_at: datetime


class RitualName(Struct, kw_only=True):
    """Which ritual."""

    id: Uuid
    name: str


class Plan(Struct, kw_only=True):
    """A group ritual, as it was asked for. ``starts_at`` is when opening begins, by the server's clock."""

    ritual_run: Uuid
    ritual: RitualName
    intention: str
    starts_at: datetime
    opening_s: float
    integration_s: float
    by: Uuid


class ScheduledRitual(Plan, kw_only=True):
    """A group ritual that will be."""

    stage: Annotated[str, Meta(pattern="^scheduled$")]
    gathering_at: datetime


class Statistics(Struct, kw_only=True):
    """Of the ``n`` participants who have it: mean, and the population's standard deviation."""

    mean: float
    sd: float
    n: int


class Collective(Struct, kw_only=True):
    """What the participants' states, after a group ritual, have in common."""

    transformed: int
    participants: int
    archetypes: dict[str, Statistics]
    energies: dict[str, Statistics]
    symbols: Annotated[dict[str, int], Meta(description="how many participants have each")]
    mean_intensity: float
    coherence: Coherence
    left_out: Annotated[dict[str, int], Meta(description="how many names of each found no room")]


class RitualUnderWay(Plan, kw_only=True):
    """A group ritual, as far as it has come."""

    stage: Stage
    began_at: datetime
    opened_at: datetime | None
    active_at: datetime | None
    integrated_at: datetime | None
    closes_at: datetime | None
    participants: int
    settled: int
    collective: Collective | None


class YourRitual(RitualUnderWay, kw_only=True):
    """The group ritual that is under way, and what has become of you in it."""

    you: Status | None


class SpaceState(Space, kw_only=True):
    """The space now: who takes part, who is here, how much their phases agree, the group ritual under way."""

    participants: list[Person]
    present: Annotated[list[Uuid], Meta(description="of those who show a name")]
    phase_coherence: Coherence
    ritual: RitualUnderWay | None


class GroupFailure(Struct, kw_only=True):
    """A participant whose state is as it was."""

    practitioner: Uuid
    code: str | None


class InsightFields(Struct, kw_only=True):
    """What the oracle says. ``confidence_score`` is null where the model gives no probabilities to derive one from."""

    id: Uuid
    insight_type: InsightType
    interpretation: str
    symbolic_analysis: list[str]
    integration_guidance: list[str]
    emergent_symbols: list[str]
    next_rituals: list[str]
    cautions: list[str]
    oracle_model: str
    confidence_score: float | None
    notice: Annotated[str | None, Meta(description="why this is not what was asked for")]


class GroupInsight(InsightFields, kw_only=True):
    """What the oracle says of a group ritual."""


class Insight(InsightFields, kw_only=True):
    """What the oracle says of a practitioner's state, or of one run."""

    session_id: Uuid | None
    tokens: int


class RitualSummary(Struct, kw_only=True):
    """All of a group ritual that has ended. Lists of practitioners are cut at 200, ``counts`` are not."""

    ritual_run: Uuid
    ritual: RitualName
    intention: str
    by: Uuid
    outcome: Outcome
    reason: str | None
    participants: list[Uuid]
    transformed: int
    failed: list[GroupFailure]
    absent: list[Uuid]
    left: list[Uuid]
    late: list[Uuid]
    witnesses: list[Uuid]
    counts: dict[str, int]
    collective: Collective | None
    insight: GroupInsight | None
    insight_error: str | None
    began_at: datetime
    opened_at: datetime | None
    active_at: datetime | None
    integrated_at: datetime | None
    closed_at: datetime
    duration_s: float


class GroupRituals(Struct, kw_only=True):
    """The group rituals of a space."""

    current: YourRitual | None
    last: RitualSummary | None
    scheduled: list[ScheduledRitual]
    server_time: datetime


class GroupRitualReply(Struct, kw_only=True):
    """Where a group ritual stands after one's request."""

    ritual_run: Uuid
    space: Uuid
    stage: Annotated[str, Meta(pattern="^(scheduled|unscheduled|gathering|aborting|closed)$")]
    starts_at: datetime
    server_time: datetime


# --- practitioners ---------------------------------------------------------------------------------------------------


class RunUnderWay(Struct, kw_only=True):
    """The ritual that one's state is in now."""

    session_id: Uuid
    ritual_id: Uuid
    name: str
    group_id: Uuid | None
    space_id: Uuid | None
    started_at: datetime


class State(Struct, kw_only=True):
    """The archetypal state now, and its place in the chain (version 0: nothing yet)."""

    archetypal_state: ArchetypalState
    state_id: Uuid | None
    state_hash: Hash | None
    version: int
    under_way: RunUnderWay | None


class TransformedState(State, kw_only=True):
    """The state after a change by one's own hand."""

    transformation_intensity: float
    next_rituals_suggested: list[str]


class StateVersion(Struct, kw_only=True):
    """One version of the state."""

    id: Uuid
    version: int
    state: ArchetypalState
    state_hash: Hash
    prev_hash: Hash | None
    origin: Origin
    session_id: Uuid | None
    created_at: datetime


class ProfileFields(Struct, kw_only=True):
    """What a practitioner says of themselves."""

    spiritual_name: str | None
    sacred_path: str | None
    privacy_level: PrivacyLevel
    archetypal_preferences: dict[str, Any]
    energy_alignments: dict[str, Any]


class Profile(State, kw_only=True):
    """A practitioner, as they see themselves."""

    id: Uuid
    email: str
    spiritual_name: str | None
    sacred_path: str | None
    privacy_level: PrivacyLevel
    archetypal_preferences: dict[str, Any]
    energy_alignments: dict[str, Any]
    oracle_consent: Annotated[bool, Meta(description="whether the state may be sent to a language model outside")]
    created_at: datetime


class Account(Profile, kw_only=True):
    """Who is there: a practitioner with an account, and the name that others see."""

    name: str | None
    guest: bool


class Guest(Struct, kw_only=True):
    """Who is there: a guest."""

    id: Uuid
    name: str
    guest: bool


Practitioner = Annotated[
    Any,
    Meta(extra_json_schema={"anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (Account, Guest)]}),
]


class Annotation(Struct, kw_only=True):
    """Notes on a run, as far as they were given."""

    session_id: Uuid
    ritual_id: Uuid
    subjective_experience: str | UnsetType | None = UNSET
    integration_notes: str | UnsetType | None = UNSET
    effectiveness_rating: int | UnsetType = UNSET
