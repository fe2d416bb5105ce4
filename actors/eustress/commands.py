"""What a Eustress space can be asked. The entity's id is the space's name.

Items come as the JSON text that the engine sent and are decoded where they are decided, in the space's own process: of a batch
the gateway only looks at the space's name. A caller is whoever may use the lake; the gateway has made sure of that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta

from actors.eustress.values import EpochStats, PolicyPatch, StreamName
from actors.runtime.codec import CommandCodec, Uuid
from actors.runtime.entity import Struct


class Command(Struct, frozen=True):
    """One of the below."""


class Ingest(Command, frozen=True, kw_only=True, tag="ingest"):
    """A JSON text of ``values.Items`` (what else it has is ignored). All of it or nothing, unless ``per_item``: then each item
    that is wrong is left out, and the answer says which and why.

    Answers ``replies.Ingested``. With ``what`` "batch" a snapshot may follow by the batch's size alone.
    """

    items: bytes
    what: Literal["entity", "connection", "parameter", "batch"] = "batch"
    per_item: bool = False


class IngestLines(Command, frozen=True, kw_only=True, tag="ingest_lines"):
    """Lines of NDJSON (``values.Line``), the first of which is number ``first`` (from 1) of the stream called ``stream``.

    Lines that the stream already had are skipped; a gap is a conflict. All of the rest or nothing. Answers
    ``replies.StreamCursor``. Asked without an operation: the cursor makes it happen once.
    """

    stream: StreamName
    first: Annotated[int, Meta(ge=1)]
    lines: bytes


class GetCursor(Command, frozen=True, kw_only=True, tag="get_cursor"):
    """How far a stream has come. Answers ``replies.StreamCursor``; 0 of one that nobody knows (any more)."""

    stream: StreamName


class TakeSnapshot(Command, frozen=True, kw_only=True, tag="take_snapshot"):
    """By hand. Answers ``replies.Ingested`` with the ``snapshot_id``. NotFound where the space was never written to."""


class SetPolicy(Command, frozen=True, kw_only=True, tag="set_policy"):
    """Changes what is given; makes the space where it is not there. Answers ``replies.SpaceState``."""

    patch: PolicyPatch


class CreateEpoch(Command, frozen=True, kw_only=True, tag="create_epoch"):
    """Of the snapshots between two times. What was counted (by the gateway, in storage) is no part of what a retry repeats.

    ``horizon``: the space's, as it was when they were looked for; where it is another by now some may be gone.

    Answers ``replies.Epoch``. Its id follows from the operation.
    """

    start_time: datetime
    end_time: datetime
    snapshot_ids: tuple[Uuid, ...]
    sample_count: int
    stats: EpochStats
    horizon: datetime | None = None


class GetSpace(Command, frozen=True, kw_only=True, tag="get_space"):
    """Answers ``replies.SpaceState``. NotFound where it was never written to."""


class Subscribe(Command, frozen=True, kw_only=True, tag="subscribe"):
    """The caller's session follows the stream ``eustress:NAME``. Answers ``{space, offset}``."""


class Unsubscribe(Command, frozen=True, kw_only=True, tag="unsubscribe"):
    """The caller's sessions no longer follow. Answers ``{space}``."""


EustressCommand = (
    Ingest | IngestLines | GetCursor | TakeSnapshot | SetPolicy | CreateEpoch | GetSpace | Subscribe | Unsubscribe
)
codec: Final[CommandCodec[EustressCommand]] = CommandCodec(EustressCommand)
encode: Final = codec.encode
