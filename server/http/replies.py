"""The types of answers over HTTP beside ``server.shapes``: what a client may rely on in them. A test holds real answers
against them, field by field.

Answers are made by entities and by storage; nothing is converted to these types when a request is served. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from actors.oracle.values import InsightType
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.commands import Rating
from actors.practitioner.transformation import TransformationResult
from actors.ritual.commands import Difficulty
from actors.ritual.values import Abi, FailureCode
from actors.runtime.codec import Uuid
from server.shapes import Hash

RunStatus = Literal["running", "completed", "failed"]


class Index(Struct, frozen=True, kw_only=True):
    """What this is, and where to go on. Vajra.Stream's clients read ``message`` and ``status``."""

    message: str
    status: Literal["success"]
    name: str
    version: str
    websocket: str
    health: str
    guests: bool
    """Whether anyone may enter as a guest."""


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
    address: str
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
        list[dict[str, Any]],
        Meta(
            description="kind, index, node, pid, epoch, entities, backlog and more; `entity`, the id of the only one, where the"
            " kind's layout is `own`"
        ),
    ]
    layouts: Annotated[Mapping[str, str], Meta(description="how each kind is spread over actors")]


# --- rituals ---------------------------------------------------------------------------------------------------------


class CatalogEntry(Struct, frozen=True, kw_only=True):
    """A ritual as the catalog has it."""

    id: Uuid
    name: str
    description: str
    intent: str
    tradition: str | None
    difficulty_level: Difficulty
    required_archetypes: list[str]
    energy_requirements: Mapping[str, float]
    is_public: bool
    module_language: str | None
    wasm_module_hash: Hash
    module_bytes: int
    abi: Abi
    author_id: Annotated[Uuid | None, Meta(description="null: one of Sangha's own")]
    builtin: bool
    usage_count: int
    effectiveness_rating: Annotated[
        float, Meta(description="the mean of each practitioner's newest rating; 0 without one")
    ]
    rating_count: int
    created_at: datetime
    updated_at: datetime


class RitualDetails(CatalogEntry, frozen=True, kw_only=True):
    """All of a ritual but its module."""

    withdrawn_at: datetime | None


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

    module_hash: Hash
    notes: list[str]
    imports: list[str]
    exports: list[str]
    dry_run: DryRun | None


class Run(Struct, frozen=True, kw_only=True):
    """A run of a ritual on one's own state."""

    id: Uuid
    ritual_id: Uuid
    ritual_name: str | None
    status: RunStatus
    error_code: str | None
    error_message: str | None
    intention: str | None
    parameters: dict[str, Any] | None
    pre_state_id: Uuid | None
    post_state_id: Uuid | None
    execution_duration_ms: int | None
    transformation_intensity: float | None
    subjective_experience: str | None
    ai_interpretation: str | None
    integration_notes: str | None
    effectiveness_rating: Rating | None
    module_hash: Hash | None
    fuel: int | None
    participants: Annotated[int | None, Meta(description="of a group ritual")]
    group_id: Uuid | None
    space_id: Uuid | None
    created_at: datetime
    ended_at: datetime | None


class WholeRun(Run, frozen=True, kw_only=True):
    """A run with its result and the states before and after it."""

    result: TransformationResult | None
    pre_state: ArchetypalState | None
    post_state: ArchetypalState | None


class InsightRow(Struct, frozen=True, kw_only=True):
    """An insight as it was recorded, in the seed's columns."""

    id: Uuid
    session_id: Uuid | None
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
    created_at: datetime
