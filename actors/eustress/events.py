"""What happened to a space, as it stands in the journal.

The journal says that something changed, and how much; the scene itself is in the versioned rows that the same commit writes. So
a change carries what it makes of the scene in memory only: of a replayed one it is not there, nor needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from actors.eustress.lake import Archived, LakeTask, Removable
from actors.eustress.replies import Epoch
from actors.eustress.scene import Delta
from actors.eustress.values import Policy
from actors.runtime.codec import Codec, Uuid
from actors.runtime.entity import Struct

FORMAT: Final = 1

Reason = Literal["count", "batch", "alarm", "manual"]


class Counts(Struct, frozen=True, kw_only=True):
    """Items that were taken, by what they are."""

    entities: int = 0
    connections: int = 0
    parameters: int = 0
    removed_entities: int = 0
    removed_connections: int = 0


class Changed(Struct, frozen=True, kw_only=True, tag="changed", omit_defaults=True):
    """A command's items were taken. ``updates`` of them changed something; ``seen`` ids were never there before; ``stream`` has
    come to ``cursor`` with it. ``items``: what was taken, as the JSON text of a batch, where it is short."""

    version: int
    counts: Counts = Counts()
    accepted: int = 0
    updates: int = 0
    seen: int = 0
    stream: str | None = None
    cursor: int = 0
    items: msgspec.Raw | UnsetType = UNSET
    delta: Delta | UnsetType = UNSET
    """In memory only."""


class SnapshotTaken(Struct, frozen=True, kw_only=True, tag="snapshot_taken"):
    """The scene as this version shows it is kept."""

    id: Uuid
    version: int
    reason: Reason


class PolicySet(Struct, frozen=True, kw_only=True, tag="policy_set"):
    """The space's keepers decided."""

    policy: Policy


class EpochCreated(Struct, frozen=True, kw_only=True, tag="epoch_created"):
    """Snapshots became an epoch."""

    epoch: Epoch


class RetentionBegan(Struct, frozen=True, kw_only=True, tag="retention_began"):
    """A round of it: what the lake's worker is asked, by the effect's id. The next round is due at ``next_at``."""

    tasks: Mapping[str, LakeTask]
    next_at: datetime


class WasArchived(Struct, frozen=True, kw_only=True, tag="archived"):
    """What ended before ``archived.to_time`` is in files; it can be removed."""

    task: str
    id: Uuid
    archived: Archived


class WasCounted(Struct, frozen=True, kw_only=True, tag="counted"):
    """What can be removed, of a space that keeps no archive."""

    task: str
    removable: Removable


class Trimmed(Struct, frozen=True, kw_only=True, tag="trimmed"):
    """A step: rows of these tables were removed, at most ``limit`` each, and ``forgotten`` of the oldest events."""

    tables: tuple[str, ...]
    limit: int
    forgotten: int = 0


class Retained(Struct, frozen=True, kw_only=True, tag="retained"):
    """The round is over: what ended before is removed."""

    horizon: datetime


class EpochConsolidated(Struct, frozen=True, kw_only=True, tag="epoch_consolidated"):
    """One epoch stands for several."""

    task: str
    epoch: Epoch
    replaced: tuple[Uuid, ...]


class TaskFailed(Struct, frozen=True, kw_only=True, tag="task_failed"):
    """The lake's worker could not; the next round asks again."""

    task: str
    error: str


EustressEvent = (
    Changed
    | SnapshotTaken
    | PolicySet
    | EpochCreated
    | RetentionBegan
    | WasArchived
    | WasCounted
    | Trimmed
    | Retained
    | EpochConsolidated
    | TaskFailed
)
codec: Final[Codec[EustressEvent]] = Codec(EustressEvent, FORMAT)
