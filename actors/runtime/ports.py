"""What a shard needs from outside, as Protocols. ``storage`` implements them; ``storage.memory`` has the twins.

The three ends of a commit are three outcomes, not two: it returned (committed), it raised ``CommitAborted`` (the server
said so; nothing is there), or it raised ``CommitUnknown`` (the connection ended first; only ``settle`` can tell).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from actors.runtime.entity import Delete, End, Purge, Trim, Upsert

LIVE: Final = 2**63 - 1
"""The version in which what still holds ends."""


class CommitAborted(Exception):
    """The server aborted the transaction: nothing of it is there.

    ``data_error`` is True where the batch's content was refused (a unique name, a bad value), so that the guilty command
    can be found by running each alone; False where storage itself failed (disk full, shutting down, no connection).
    """

    def __init__(
        self, message: str, *, data_error: bool = False, conflict: bool = False, disagrees: bool = False
    ) -> None:
        super().__init__(message)
        self.data_error = data_error
        self.conflict = conflict  # a unique constraint: the guilty command is told `conflict`, else `invalid`
        self.disagrees = disagrees  # memory took a version for live that is not, or for over: no fault of the caller's


class CommitUnknown(Exception):
    """The connection ended before the server answered: committed or not, only ``settle`` can tell."""


class Fenced(Exception):
    """Another incarnation of this shard has the lease. Whoever gets this must stop at once and write nothing more."""


class Unreadable(Exception):
    """What storage has cannot be read: it is sealed with a key that we do not have, or damaged. The fault of that entity's
    rows alone; its neighbours are well."""


class StoreDown(Exception):
    """No connection to storage; try again later."""


class JournalRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event as it is kept. ``operation_id`` and what belongs to it stand on the first event of a command."""

    entity_id: str
    seq: int
    at: datetime
    event_type: str
    format: int
    data: bytes
    operation_id: str | None = None
    request_digest: bytes | None = None
    reply: bytes | None = None
    stream_offset: int | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entity's whole state after event ``seq``. ``stream_offset`` is the last offset given by then.

    ``sessions`` has, by session, the highest request id that changed this entity and when (epoch seconds): a higher one is
    surely new, a lower one has to be looked up.
    """

    entity_id: str
    seq: int
    stream_offset: int
    at: datetime
    format: int
    data: bytes
    sessions: Mapping[str, tuple[int, int]] = {}


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A unique name of an entity: made permanent (``confirm``) or given back by the commit."""

    scope: str
    name: str
    entity_id: str
    confirm: bool


class Alarm(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entity's alarm; ``due_at`` None deletes it."""

    entity_id: str
    name: str
    due_at: datetime | None


class Forget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """At most ``limit`` of an entity's events at or below its checkpoint are deleted, the oldest first; none above it."""

    entity_id: str
    limit: int


class Versions(msgspec.Struct, kw_only=True, gc=False):
    """What becomes of a versioned table. ``begins`` are whole rows in the order in which they began: a Begin's values, then the
    version in which it ends (LIVE) and when (None). The ends are of rows that are in storage, and are written first."""

    table: str
    begins: Sequence[tuple[Any, ...]] = ()
    ends: Sequence[End] = ()


class Batch(msgspec.Struct, kw_only=True, gc=False):
    """All that one transaction writes. Rows are coalesced by (table, id) and written in that order, after the purges and
    versions; then comes what is trimmed, in order. Events are forgotten last, when the batch's own checkpoints are there."""

    journal: Sequence[JournalRow] = ()
    rows: Sequence[Upsert | Delete] = ()
    claims: Sequence[Claim] = ()
    alarms: Sequence[Alarm] = ()
    checkpoints: Sequence[Checkpoint] = ()
    purges: Sequence[Purge] = ()
    versions: Sequence[Versions] = ()
    trims: Sequence[Trim] = ()
    forgets: Sequence[Forget] = ()


class Loaded(msgspec.Struct, kw_only=True, gc=False):
    """An entity as storage has it: the newest checkpoint and the events after it, in order."""

    checkpoint: Checkpoint | None = None
    events: Sequence[JournalRow] = ()
    unreadable: str | None = None
    """Why it cannot be read."""


class RememberedOperation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operation found in the journal."""

    operation_id: str
    request_digest: bytes
    reply: bytes


class FoundOperations(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a look-up of operation ids in the last ``window`` events of an entity.

    ``oldest`` has, by session, the smallest request id of that session in the window; ``whole`` is True where the window
    reaches back to the entity's first event, so that what is not found never happened.
    """

    operations: Sequence[RememberedOperation]
    oldest: Mapping[str, int]
    whole: bool


class Store(Protocol):
    """A shard's fenced storage. One instance belongs to one (kind, layout, shard) and one epoch at a time.

    Every method but ``close`` raises StoreDown where there is no connection, Fenced where the lease is another's; those that
    read rows of one entity raise Unreadable (``load`` says so in what it gives).
    """

    epoch: int

    async def acquire(self) -> int:
        """Take the shard over: end the backend of the last owner, raise the epoch, return it. Raises Fenced where the
        cluster's incarnation is no longer ours."""

    async def confirm(self) -> None:
        """The lease is still ours, as of now (the shard may then speak for another three seconds)."""

    async def commit(self, batch: Batch) -> None:
        """All of it or nothing, under the epoch. Raises CommitAborted, CommitUnknown, Fenced."""

    async def settle(self) -> None:
        """After CommitUnknown: reconnect and raise our own epoch, which waits behind the doubtful transaction. When it
        returns, what is in the journal is what happened."""

    async def load(self, entity_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """Entities as committed, many at once. An unknown id gives an empty Loaded."""

    async def load_live(
        self, entity_id: str, table: str, after: tuple[Any, ...] | None = None
    ) -> Sequence[tuple[Any, ...]]:
        """The next of an entity's live rows in a versioned table, in the order of their keys, as they began; ``after`` is the
        last row of the page before. Empty at the end. A page is some ten thousand rows: a statement that takes little time."""

    async def page(self, entity_id: str, after: int, limit: int, max_bytes: int) -> Sequence[JournalRow]:
        """Numbered events with offset > after, in order, at most ``limit`` and about ``max_bytes`` of data, at least one."""

    async def find_operations(self, entity_id: str, window: int, operation_ids: Sequence[str]) -> FoundOperations:
        """Which of these operations are in the last ``window`` events. Ids are ``<session>:<n>`` or any other text."""

    async def claim(self, scope: str, name: str, entity_id: str, operation_id: str, ttl_s: float) -> bool:
        """Claim a unique name; True where it is ours (already, or now), False where another has it."""

    async def due_alarms(self, slots: Sequence[tuple[int, int]], limit: int) -> Sequence[tuple[str, str]]:
        """(entity_id, name) of alarms due by the database's clock, with slot in one of the ranges [from, to)."""

    async def next_alarm_in(self, slots: Sequence[tuple[int, int]]) -> float | None:
        """Seconds until the next alarm of these slots is due, by the database's clock; None where there is none."""

    async def close(self) -> None:
        """Give the connections back."""


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> datetime:
        """UTC, aware."""

    def monotonic(self) -> float:
        """Seconds that only grow; also while the process is stopped."""
