"""What a Eustress space answers. Pure types; the HTTP and WebSocket documents show them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from actors.eustress.values import EpochStats, Policy, SnapshotMetadata
from actors.runtime.codec import Uuid
from actors.runtime.entity import Struct


class Warned(Struct, frozen=True, kw_only=True):
    """Something that was taken as it came, and why that may not be what was meant."""

    path: Annotated[str, Meta(description="such as ``connections.3``, or ``line 17``")]
    message: str


class Refused(Struct, frozen=True, kw_only=True):
    """An item that was left out, in a batch that asked for a report."""

    path: str
    code: str
    message: str


class Ingested(Struct, frozen=True, kw_only=True):
    """It is committed. ``snapshot_id``: the snapshot that it set off, if any."""

    success: bool = True
    message: str
    snapshot_id: Uuid | None = None
    version: Annotated[int, Meta(description="of the space, from here on; 0 where nothing has changed ever")]
    accepted: Annotated[int, Meta(description="items that were taken")] = 0
    warnings: Annotated[tuple[Warned, ...], Meta(description="the first hundred")] = ()
    warning_count: int = 0
    refused: Annotated[tuple[Refused, ...] | UnsetType, Meta(description="with ``report=items``")] = UNSET


class StreamCursor(Struct, frozen=True, kw_only=True):
    """How many lines of a stream are committed: go on after them."""

    stream: str
    cursor: int
    version: int
    accepted: int = 0
    snapshot_id: Uuid | None = None
    warnings: tuple[Warned, ...] = ()
    warning_count: int = 0


class SpaceState(Struct, frozen=True, kw_only=True):
    """A space as it is now."""

    space_name: str
    version: int
    created_at: datetime
    changed_at: datetime
    metadata: SnapshotMetadata
    unresolved: Annotated[int, Meta(description="connections that wait for an end, or for their place in the tree")]
    scene_bytes: Annotated[int, Meta(description="of the live scene, as JSON")]
    entities_seen: Annotated[int, Meta(description="distinct ids, ever")]
    changes: Annotated[int, Meta(description="items taken in, ever")]
    snapshots: int
    last_snapshot: datetime | None
    horizon: Annotated[datetime | None, Meta(description="what ended before is removed")]
    policy: Policy


class Epoch(Struct, frozen=True, kw_only=True):
    """A training epoch, as the seed has it."""

    id: Uuid
    space_name: str
    snapshot_ids: tuple[Uuid, ...]
    start_time: datetime
    end_time: datetime
    sample_count: Annotated[int, Meta(description="entity versions that its snapshots show")]
    stats: EpochStats
