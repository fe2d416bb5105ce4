"""What a scene is made of, and how much of it there may be. The types carry every bound.

Ids of spaces and entities are the engine's own text. Coordinates are the doubles that were received; they must fit a REAL, for
the seed's tables show positions as such.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.runtime.entity import Struct

REAL_MAX: Final = 3.4028234663852886e38
"""The greatest float32. domain.md: REAL[] is float32, and 1e308 overflows it."""
INLINE_BYTES: Final = 16 * 1024
"""A change of at most so many bytes of JSON is told to followers whole; of a larger one they are told what it was about."""
WARNINGS_SHOWN: Final = 100
ITEMS_MAX: Final = 50_000
"""Of one batch: some million would fit into the bytes that a request may have, and would take minutes."""

# (?!\n): Python's $ also matches before a final newline. No control characters: ids stand in paths, logs and file names.
SpaceName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
EntityId = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
Text = Annotated[str, Meta(max_length=1_000)]
Tag = Annotated[str, Meta(max_length=200)]
ParameterName = Annotated[str, Meta(min_length=1, max_length=200)]
Real = Annotated[float, Meta(ge=-REAL_MAX, le=REAL_MAX)]
Vector3 = tuple[Real, Real, Real]
Quaternion = tuple[Real, Real, Real, Real]
Updates = Annotated[int, Meta(ge=0, le=1_000_000)]
Seconds = Annotated[int, Meta(ge=0, le=3_153_600_000)]
Count = Annotated[int, Meta(ge=0, le=100_000_000)]
StreamName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$(?!\n)")]


class SceneEntity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """An entity as it is ingested and as ``entity_data`` shows it: rotation x y z w, of any length but zero.

    What the engine does not say is UNSET where a default would claim that it did; ``consent`` is EEP's ``ai_training``.
    """

    id: EntityId
    name: Text = ""
    class_type: Annotated[str, Meta(max_length=200)] = ""
    position: Vector3 = (0.0, 0.0, 0.0)
    rotation: Quaternion = (0.0, 0.0, 0.0, 1.0)
    scale: Vector3 = (1.0, 1.0, 1.0)
    tags: Annotated[list[Tag], Meta(max_length=1_000)] = []
    parameters: Annotated[dict[ParameterName, Any], Meta(max_length=1_000)] = {}
    properties: dict[str, Any] | UnsetType = UNSET
    attributes: dict[str, Any] | UnsetType = UNSET
    creator: dict[str, Any] | UnsetType = UNSET
    consent: bool | UnsetType = UNSET


class SceneConnection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A connection. Where ``connection_type`` is "hierarchy" the source is the parent. (source, target, type) is its key."""

    source_id: EntityId
    target_id: EntityId
    connection_type: Annotated[str, Meta(min_length=1, max_length=200)]
    strength: Annotated[float, Meta(ge=0, le=1)] = 1.0
    label: Annotated[str, Meta(max_length=1_000)] | None = None


class ParameterUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of an entity. ``remove`` takes it away."""

    entity_id: EntityId
    parameter_name: ParameterName
    value: Any = None
    remove: bool = False


class ConnectionKey(msgspec.Struct, frozen=True, kw_only=True):
    """Which connection."""

    source_id: EntityId
    target_id: EntityId
    connection_type: Annotated[str, Meta(min_length=1, max_length=200)]


class Ancestor(msgspec.Struct, frozen=True, kw_only=True):
    """An entity above another, as far as that one's export names it."""

    id: EntityId
    name: Text = ""
    class_type: Annotated[str, Meta(max_length=200)] = ""


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where an entity is in the tree, by an engine that says all of its ancestors, the root first. Those that are not there are
    made; a place in the tree that says otherwise is given up."""

    entity_id: EntityId
    ancestors: Annotated[list[Ancestor], Meta(min_length=1, max_length=1_000)]


class Items(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a batch, applied in the order of its fields. An update of an entity is the whole entity again."""

    entities: list[SceneEntity] = []
    placements: list[Placement] = []
    connections: list[SceneConnection] = []
    parameters: list[ParameterUpdate] = []
    removed_connections: list[ConnectionKey] = []
    removed_entities: list[EntityId] = []


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of an NDJSON stream: exactly one of these, applied in the order of the lines."""

    entity: SceneEntity | None = None
    connection: SceneConnection | None = None
    parameter: ParameterUpdate | None = None
    remove_connection: ConnectionKey | None = None
    remove_entity: EntityId | None = None


Ordering = Literal["lenient", "strict"]


class Policy(Struct, frozen=True, kw_only=True):
    """What a space's keepers decided. 0 turns a rule off."""

    ordering: Annotated[
        Ordering,
        Meta(
            description="lenient: what refers to something missing waits for it, with a warning; strict: it is refused"
        ),
    ] = "lenient"
    snapshot_every_updates: Updates = 100
    snapshot_batch_items: Updates = 100
    snapshot_interval_s: Annotated[Seconds, Meta(description="by a durable alarm, where something changed")] = 300
    retention_s: Annotated[
        Seconds, Meta(description="what ended longer ago is removed; snapshots too, but for those of an epoch")
    ] = 0
    archive: Annotated[bool, Meta(description="before it is removed, it is written to Parquet files")] = True
    consolidate_after_s: Annotated[Seconds, Meta(description="epochs that ended longer ago become one a day")] = 0
    trains_by_default: Annotated[
        bool, Meta(description="may an entity of which nobody said anything be in an epoch?")
    ] = True
    max_entities: Annotated[Count, Meta(description="0: the setting eustress_entities, which bounds it too")] = 0


class PolicyPatch(Struct, frozen=True, kw_only=True):
    """What of a policy changes."""

    ordering: Ordering | UnsetType = UNSET
    snapshot_every_updates: Updates | UnsetType = UNSET
    snapshot_batch_items: Updates | UnsetType = UNSET
    snapshot_interval_s: Seconds | UnsetType = UNSET
    retention_s: Seconds | UnsetType = UNSET
    archive: bool | UnsetType = UNSET
    consolidate_after_s: Seconds | UnsetType = UNSET
    trains_by_default: bool | UnsetType = UNSET
    max_entities: Count | UnsetType = UNSET


class SceneLimits(Struct, frozen=True, kw_only=True):
    """The settings that bind a space."""

    max_entities: int = 2_000_000
    max_connections: int = 4_000_000
    scene_bytes: int = 4 * 2**30
    """Of the live scene, as JSON: it lies in memory."""
    waiting: int = 100_000
    """Connections that wait for an end, or for their place in the tree."""


class SnapshotMetadata(Struct, frozen=True, kw_only=True):
    """As the seed has it. ``spatial_bounds`` are the least and the greatest coordinates, both zero of an empty scene."""

    entity_count: int
    connection_count: int
    hierarchy_depth: int
    sacred_entity_count: int
    avg_flux_position: float
    spatial_bounds: tuple[tuple[float, float, float], tuple[float, float, float]]
    quality_score: float


class EpochStats(Struct, frozen=True, kw_only=True):
    """As the seed has it, by domain.md's formulas."""

    total_entities: int
    total_connections: int
    unique_types: int
    avg_hierarchy_depth: float
    sacred_frequency: float
    spatial_coverage: float
