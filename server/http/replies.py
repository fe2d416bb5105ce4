"""The types of answers: what a client may rely on in them. A test holds real answers against them, field by field.

Answers are made by entities and by storage; nothing is converted to these types when a request is served.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from actors.oracle.values import InsightType
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.transformation import TransformationResult
from actors.ritual.commands import Difficulty
from actors.ritual.values import Abi, FailureCode
from actors.space.commands import AccessLevel
from actors.space.group import Stage

Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="SHA-256, hex")]
Instant = Annotated[datetime, Meta(tz=True)]
RunStatus = Literal["running", "completed", "failed"]
Rating = Annotated[int, Meta(ge=1, le=10)]

__all__ = ["TransformationResult"]
"""The answer to a run is the domain's own type."""


class Index(Struct, frozen=True, kw_only=True):
    """What this is, and where to go on."""

    name: str
    version: str
    websocket: str
    health: str


class Health(Struct, frozen=True, kw_only=True):
    """The process lives."""

    status: Literal["healthy"]
    version: str
    gateway: int


class Ready(Struct, frozen=True, kw_only=True):
    """A request would be served now."""

    status: Literal["ready"]


class ServerProcess(Struct, frozen=True, kw_only=True):
    """The process that started the others."""

    pid: int
    started_at: str
    state: Literal["starting", "ready", "draining"]
    coordinator_pid: int
    gcs_pid: int | None


class Database(Struct, frozen=True, kw_only=True):
    """The database; nulls where it does not answer."""

    embedded: bool
    pid: int | None
    version: str | None
    schema: int | None


class Node(Struct, frozen=True, kw_only=True):
    """A machine of the cluster."""

    id: str
    alive: bool
    raylet_pid: int | None


class Topology(Struct, frozen=True, kw_only=True):
    """What runs, where."""

    server: ServerProcess
    database: Database
    nodes: list[Node]
    gateways: Annotated[
        list[dict[str, Any]], Meta(description="node, pid, port, sockets, outbox_bytes and more of each")
    ]
    shards: Annotated[
        list[dict[str, Any]], Meta(description="kind, index, node, pid, epoch, entities, backlog and more")
    ]
    layouts: Annotated[Mapping[str, str], Meta(description="how each kind is spread over actors")]


# --- rituals ---------------------------------------------------------------------------------------------------------


class CatalogEntry(Struct, frozen=True, kw_only=True):
    """A ritual as the catalog has it."""

    id: Id
    name: str
    description: str
    intent: str
    tradition: str | None
    difficulty_level: Difficulty
    required_archetypes: list[str]
    energy_requirements: Mapping[str, float]
    is_public: bool
    module_language: str | None
    wasm_module_hash: Sha256
    module_bytes: int
    abi: Abi
    author_id: Annotated[Id | None, Meta(description="null: one of Sangha's own")]
    builtin: bool
    usage_count: int
    effectiveness_rating: Annotated[
        float, Meta(description="the mean of each practitioner's newest rating; 0 without one")
    ]
    rating_count: int
    created_at: Instant
    updated_at: Instant


class RitualDetails(CatalogEntry, frozen=True, kw_only=True):
    """All of a ritual but its module."""

    withdrawn_at: Instant | None


class DryRun(Struct, frozen=True, kw_only=True):
    """How the ritual did on an example state."""

    code: FailureCode | None
    message: str
    state: ArchetypalState | None
    emerged_symbols: list[str]
    integration_required: list[str]
    clamped: list[str]
    log: list[str]
    resonance: float | None
    fuel: int


class Uploaded(RitualDetails, frozen=True, kw_only=True):
    """The ritual, and what the check of its module found."""

    module_hash: Sha256
    notes: list[str]
    imports: list[str]
    exports: list[str]
    dry_run: DryRun | None


class Annotation(Struct, frozen=True, kw_only=True):
    """What was said of a run: the fields that were given."""

    session_id: Id
    ritual_id: Id
    subjective_experience: str | UnsetType | None = UNSET
    integration_notes: str | UnsetType | None = UNSET
    effectiveness_rating: Rating | UnsetType = UNSET


class Run(Struct, frozen=True, kw_only=True):
    """A run of a ritual on one's own state."""

    id: Id
    ritual_id: Id
    ritual_name: str | None
    status: RunStatus
    error_code: str | None
    error_message: str | None
    intention: str | None
    parameters: dict[str, Any] | None
    pre_state_id: Id | None
    post_state_id: Id | None
    execution_duration_ms: int | None
    transformation_intensity: float | None
    subjective_experience: str | None
    ai_interpretation: str | None
    integration_notes: str | None
    effectiveness_rating: Rating | None
    module_hash: Sha256 | None
    fuel: int | None
    participants: Annotated[int | None, Meta(description="of a group ritual")]
    group_id: Id | None
    space_id: Id | None
    created_at: Instant
    ended_at: Instant | None


class WholeRun(Run, frozen=True, kw_only=True):
    """A run with its result and the states before and after it."""

    result: TransformationResult | None
    pre_state: ArchetypalState | None
    post_state: ArchetypalState | None


# --- state -----------------------------------------------------------------------------------------------------------


class UnderWay(Struct, frozen=True, kw_only=True):
    """The run that is open."""

    session_id: Id
    ritual_id: Id
    name: str
    group_id: Id | None
    space_id: Id | None
    started_at: Instant


class CurrentState(Struct, frozen=True, kw_only=True):
    """The state now, and its place in the chain."""

    archetypal_state: ArchetypalState
    state_id: Id | None
    state_hash: Sha256 | None
    version: int
    under_way: UnderWay | None


class Transformed(CurrentState, frozen=True, kw_only=True):
    """The state after a change, and what a ritual's result says of it."""

    transformation_intensity: float
    next_rituals_suggested: list[str]


class StateVersion(Struct, frozen=True, kw_only=True):
    """One version of the state."""

    id: Id
    version: int
    state: ArchetypalState
    state_hash: Sha256
    prev_hash: Sha256 | None
    origin: Annotated[str, Meta(description="put, ritual, baseline, or the type of the change")]
    session_id: Id | None
    created_at: Instant


class InsightReply(Struct, frozen=True, kw_only=True):
    """What the oracle says."""

    id: Id
    session_id: Id | None
    insight_type: InsightType
    interpretation: str
    symbolic_analysis: list[str]
    integration_guidance: list[str]
    emergent_symbols: list[str]
    next_rituals: list[str]
    cautions: list[str]
    oracle_model: Annotated[str, Meta(description="who spoke: a language model, or the rules")]
    confidence_score: Annotated[float | None, Meta(description="null where nothing is known to derive it from")]
    notice: Annotated[str | None, Meta(description="why this is not what was asked for")]
    tokens: int


class InsightRow(Struct, frozen=True, kw_only=True):
    """An insight as it was recorded, in the seed's columns."""

    id: Id
    session_id: Id | None
    insight_type: InsightType
    interpretation: str
    archetypal_analysis: list[str]
    integration_suggestions: list[str]
    symbolic_emergence: list[str]
    next_rituals: list[str]
    cautions: list[str]
    oracle_model: str
    confidence_score: float | None
    notice: str | None
    created_at: Instant


# --- spaces ----------------------------------------------------------------------------------------------------------


class Space(Struct, frozen=True, kw_only=True):
    """A collective space."""

    id: Id
    slug: str | None
    name: str
    purpose: str
    tradition: str | None
    participant_limit: int
    current_participants: int
    access_level: AccessLevel
    facilitator: str
    ritual_schedule: Any
    shared_state: Any
    created_at: Instant


class ListedSpace(Struct, frozen=True, kw_only=True):
    """A space in a list."""

    id: Id
    slug: str | None
    name: str
    purpose: str
    tradition: str | None
    facilitator_id: Id | None
    participant_limit: int
    current_participants: int
    ritual_schedule: Any
    access_level: AccessLevel
    created_at: Instant


class Person(Struct, frozen=True, kw_only=True):
    """A practitioner as others see them."""

    id: Id
    name: str | None


class PhaseCoherence(Struct, frozen=True, kw_only=True):
    """How much the phases of breath or pulse agree; nulls where too few send one."""

    r: float | None
    unbiased: float | None
    n: int


class RitualName(Struct, frozen=True, kw_only=True):
    """A ritual, by id and name."""

    id: Id
    name: str


class Plan(Struct, frozen=True, kw_only=True):
    """What is planned."""

    ritual_run: Id
    ritual: RitualName
    intention: str
    starts_at: Instant
    opening_s: float
    integration_s: float
    by: Id


class Scheduled(Plan, frozen=True, kw_only=True):
    """A group ritual that is planned for later."""

    stage: Literal["scheduled"]
    gathering_at: Instant


class GroupRitual(Plan, frozen=True, kw_only=True):
    """The group ritual that is under way, as far as it has come."""

    stage: Stage
    began_at: Instant
    opened_at: Instant | None
    active_at: Instant | None
    integrated_at: Instant | None
    closes_at: Instant | None
    participants: int
    settled: int
    collective: Annotated[dict[str, Any] | None, Meta(description="what the participants' states have in common")]


class YourGroupRitual(GroupRitual, frozen=True, kw_only=True):
    """The same, and one's own part."""

    you: str | None


class Failure(Struct, frozen=True, kw_only=True):
    """Whose run failed, and why."""

    practitioner: Id
    code: str | None


class Summary(Struct, frozen=True, kw_only=True):
    """A group ritual that has closed."""

    ritual_run: Id
    ritual: RitualName
    intention: str
    by: Id
    outcome: str
    reason: str | None
    participants: list[Id]
    transformed: int
    failed: list[Failure]
    absent: list[Id]
    left: list[Id]
    late: list[Id]
    witnesses: list[Id]
    counts: Mapping[str, int]
    collective: dict[str, Any] | None
    insight: dict[str, Any] | None
    insight_error: str | None
    began_at: Instant
    opened_at: Instant | None
    active_at: Instant | None
    integrated_at: Instant | None
    closed_at: Instant
    duration_s: float


class GroupRituals(Struct, frozen=True, kw_only=True):
    """The group rituals of a space."""

    current: YourGroupRitual | None
    last: Summary | None
    scheduled: list[Scheduled]
    server_time: Instant


class SpaceNow(Space, frozen=True, kw_only=True):
    """A space with who is there."""

    participants: list[Person]
    present: Annotated[list[Id], Meta(description="who is connected")]
    phase_coherence: PhaseCoherence
    ritual: GroupRitual | None


class GroupRitualBegun(Struct, frozen=True, kw_only=True):
    """Where a group ritual stands after a request."""

    ritual_run: Id
    space: Id
    stage: str
    starts_at: Instant
    server_time: Instant


class Joined(Struct, frozen=True, kw_only=True):
    """The caller is a participant of the space."""

    space: Id
    offset: Annotated[int, Meta(description="of the stream's newest event")]


GROUP_REPLY: Final = GroupRitualBegun | Joined | GroupRituals
"""By the action that was asked for."""
