"""What the lake's worker is asked by a space, and answers. Pure values; the worker decodes the one and encodes the other.

They are effects of the space (to ``Address("lake", space)``): asked again until there is an answer, so each may be done twice
and has to come to the same. The worker reads committed rows and writes files; rows are removed and written by the space alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.eustress.values import EpochStats
from actors.runtime.codec import Codec, CommandCodec, Uuid
from actors.runtime.entity import Struct


class Task(Struct, frozen=True, kw_only=True):
    """One of the below. ``space`` is the space's name."""

    space: str


class Archive(Task, frozen=True, kw_only=True, tag="archive"):
    """Write what retention is about to remove to Parquet files: markers (but for those of an epoch) of before ``before``, and
    versions that ended before it and that no marker which stays shows. Answers ``Archived``.

    ``after``: the last time's ``before``. What ended earlier was archived then, or is shown by an epoch's marker.
    """

    before: datetime
    after: datetime | None = None


class Count(Task, frozen=True, kw_only=True, tag="count"):
    """How many rows ``Archive`` would write, of a space that keeps no archive. Answers ``Removable``."""

    before: datetime
    after: datetime | None = None


class Consolidate(Task, frozen=True, kw_only=True, tag="consolidate"):
    """What one epoch in place of these (all of the space) would be. Answers ``Consolidated``."""

    epoch_ids: tuple[Uuid, ...]


LakeTask = Archive | Count | Consolidate
codec: Final[CommandCodec[LakeTask]] = CommandCodec(LakeTask)
encode: Final = codec.encode


class Removable(Struct, frozen=True, kw_only=True):
    """Rows that retention may remove, by table; never fewer than there are."""

    markers: int = 0
    entities: int = 0
    connections: int = 0


class ArchiveFile(Struct, frozen=True, kw_only=True):
    """A file of an archive, below the space's directory."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Archived(Struct, frozen=True, kw_only=True):
    """What was written. No files where there was nothing to write: then it makes no row of ``eustress_archives``."""

    from_version: int = 0
    to_version: int = 0
    from_time: datetime | None = None
    to_time: datetime
    files: tuple[ArchiveFile, ...] = ()
    removable: Removable = Removable()


class Consolidated(Struct, frozen=True, kw_only=True):
    """The union of the epochs' snapshots in the order of their versions, and what was counted of it."""

    snapshot_ids: tuple[Uuid, ...]
    start_time: datetime
    end_time: datetime
    sample_count: int
    stats: EpochStats


removable_codec: Final[Codec[Removable]] = Codec(Removable, 1)
archived_codec: Final[Codec[Archived]] = Codec(Archived, 1)
consolidated_codec: Final[Codec[Consolidated]] = Codec(Consolidated, 1)
