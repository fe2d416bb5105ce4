"""Whether the recorded states are what they were: every practitioner's chain, row by row, held against their journal.

A row fits where its version follows the last one, its id is the version's, it names the hash of the row before,
``state_hash = sha256(prev_hash ‖ rfc8785(state_data))``, its split columns are parts of ``state_data``, and the journal has
the same version with the same id and hash. What is in only one of the two is named too, so a chain whose tail was cut off
does not pass. Of each practitioner the first row that does not fit is named: those after it follow from it.

Of an account that is being deleted, rows and journal go by and by, each at its own pace: nothing of it is wrong (``is_leaving``).
Of one that is gone there is nothing to look at.

Reads one snapshot (REPEATABLE READ), so it works beside a running server; streams it, so memory does not grow with it.
What this cannot see: an attacker who rewrites rows and journal alike, with the key where there is one.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import rfc8785

from actors.practitioner import chain
from actors.practitioner import events as e
from actors.practitioner.archetypal_state import NAMES, STRENGTHS
from actors.practitioner.chain import Version
from actors.practitioner.state import codec
from actors.runtime.codec import FormatTooNew
from storage.migrate import require_current
from storage.pool import connect, translated
from storage.rows import UNSEALED, opened
from storage.seal import CannotUnseal, Seal
from storage.statements import statement

BATCH: Final = 200
"""Practitioners whose rows one pair of cursors reads: enough to make the two round trips nothing."""
PREFETCH: Final = 50
"""Rows of a cursor in memory at once; a state's largest row is some 300 KiB."""
PARTS: Final = (*STRENGTHS, *NAMES)
STATE_EVENTS: Final = ("archetypal_state_updated", "run_completed")
"""The events that carry a version."""


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """The first of a practitioner's rows that does not fit. ``id`` is the row's."""

    practitioner: str
    version: int | None
    id: str | None
    what: str


class Verified(msgspec.Struct, kw_only=True):
    """What was looked at."""

    practitioners: int = 0
    states: int = 0
    misfits: int = 0
    leaving: int = 0
    """Accounts of which some is gone already because they are being deleted."""


Found = Callable[[Misfit], None]
Progress = Callable[[int, int], None]


@asynccontextmanager
async def snapshot(dsn: str, application_name: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection in a transaction that sees one instant. Raises StoreDown, UnusableDatabase."""
    connection = await connect(dsn, application_name=application_name, statement_timeout_s=0)
    try:
        await require_current(connection)
        with translated():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
    finally:
        connection.terminate()


async def verify(
    dsn: str, *, seal: Seal | None, found: Found, progress: Progress, practitioner: str | None = None
) -> Verified:
    """Walk every chain, or one practitioner's. ``progress`` gets states done and states in all.

    Raises StoreDown, UnusableDatabase, BadValue (an id that is none).
    """
    async with snapshot(dsn, "sangha verify") as connection:
        total = await connection.fetchval(statement("ledger/count_states"), practitioner)
        ids = await connection.cursor(statement("ledger/practitioners"), practitioner)
        walk = _Walk(connection, seal or UNSEALED, found)
        progress(0, total)
        while batch := await ids.fetch(BATCH):
            await walk.batch(sorted(row["id"] for row in batch))
            progress(walk.report.states, total)
        return walk.report


async def is_leaving(connection: asyncpg.Connection, seal: Seal, practitioner: str) -> bool:
    """Whether an account is being deleted, or is gone, by its checkpoint: before anything goes there is one that says so."""
    row = await connection.fetchrow(statement("ledger/checkpoint"), practitioner)
    if row is None:
        return False
    try:
        state = codec.decode(row["format"], seal.unseal(row["data"], "checkpoints", practitioner, row["seq"]))
    except (CannotUnseal, msgspec.MsgspecError, FormatTooNew):
        return False
    return state.leaving is not None or state.erased_at is not None


def misfit(last: Version | None, row: Mapping[str, Any]) -> str | None:
    """Why an opened row of ``archetypal_states`` does not follow ``last`` (None: it is the first); None where it does."""
    due, prev_hash = (last.number + 1, last.hash) if last else (1, None)
    if row["version"] != due:
        return f"version {due} is missing" if row["version"] > due else f"version {row['version']} is there twice"
    if str(row["id"]) != (right := chain.version_id(row["practitioner_id"], due)):
        return f"its id is not the version's, which is {right}"
    if (row["prev_hash"] or None) != prev_hash:
        return (
            f"prev_hash is not the state_hash of version {due - 1}" if last else "prev_hash of the first is not empty"
        )
    if row["state_hash"] != _hash(prev_hash, row["state_data"]):
        return "state_hash does not fit state_data"
    state = row["state_data"]
    if not isinstance(state, Mapping):
        return "state_data is no object"
    split = [name for name in PARTS if row[name] != state.get(name, {} if name in STRENGTHS else [])]
    return f"the column {split[0]} is not that of state_data" if split else None


def _hash(prev_hash: str | None, state: Any) -> str | None:
    try:
        return hashlib.sha256(bytes.fromhex(prev_hash or "") + rfc8785.dumps(state)).hexdigest()
    except rfc8785.CanonicalizationError:
        return None  # a number that no state ever had


class _Walk:
    """Batches of practitioners, each with a cursor on their states and one on their journals."""

    def __init__(self, connection: asyncpg.Connection, seal: Seal, found: Found) -> None:
        self._connection = connection
        self._seal = seal
        self._found = found
        self.report = Verified()

    async def batch(self, ids: Sequence[str]) -> None:
        """``ids`` in the order of their characters, as the cursors have them."""
        states = self._rows("ledger/states", [id_ for id_ in ids if is_uuid(id_)])  # others of the kind have none
        events = self._rows("ledger/events", list(ids), list(STATE_EVENTS))
        for id_ in ids:
            self.report.practitioners += 1
            if (wrong := await self._chain(id_, states, events)) is not None:
                if await is_leaving(self._connection, self._seal, id_):
                    self.report.leaving += 1
                else:
                    self.report.misfits += 1
                    self._found(wrong)
            while await states.next(id_) is not None:
                self.report.states += 1
            while await events.next(id_) is not None:
                pass

    def _rows(self, name: str, *arguments: Any) -> Grouped:
        return Grouped(self._connection.cursor(statement(name), *arguments, prefetch=PREFETCH))

    async def _chain(self, id_: str, states: Grouped, events: Grouped) -> Misfit | None:
        """The first row that does not fit."""
        last: Version | None = None
        try:
            noted = await self._noted(id_, events)
            while (row := await states.next(id_)) is not None:
                self.report.states += 1
                if (what := self._judge(last, noted, row)) is not None:
                    return Misfit(practitioner=id_, version=row["version"], id=str(row["id"]), what=what)
                last, noted = noted, await self._noted(id_, events)
        except (CannotUnseal, msgspec.MsgspecError, FormatTooNew) as error:
            return Misfit(practitioner=id_, version=None, id=None, what=f"the journal cannot be read: {error}")
        if noted is None:
            return None
        what = "the journal has it and there is no row: the tail is missing"
        return Misfit(practitioner=id_, version=noted.number, id=noted.id, what=what)

    async def _noted(self, id_: str, events: Grouped) -> Version | None:
        """The next version that the journal has."""
        while (row := await events.next(id_)) is not None:
            data = self._seal.unseal(row["data"], "journal", id_, row["seq"])
            version: Version | None = getattr(e.codec.decode(row["format"], data), "version", None)
            if version is not None:  # None: it was written before versions were counted
                return version
        return None

    def _judge(self, last: Version | None, noted: Version | None, row: asyncpg.Record) -> str | None:
        """Why the row does not fit; where it does, ``noted`` is its version."""
        try:
            what = misfit(last, opened(row, "archetypal_states", self._seal))
        except (CannotUnseal, ValueError) as error:
            return f"it cannot be opened: {error}"
        if what is None and (noted is None or noted.number > row["version"]):
            return "it was never journaled"
        if what is None and noted is not None and noted.hash != row["state_hash"]:
            return f"the journal has another state for it, with the hash {noted.hash}"
        return what


class Grouped:
    """A cursor's rows (each with a practitioner_id), asked for by practitioner, in the cursor's own order."""

    def __init__(self, rows: Any) -> None:
        self._rows: AsyncIterator[asyncpg.Record] = aiter(rows)
        self._ahead: asyncpg.Record | None = None

    async def next(self, practitioner: str) -> asyncpg.Record | None:
        """The next of this one's rows; None at their end."""
        if self._ahead is None:
            self._ahead = await anext(self._rows, None)
        if self._ahead is None or self._ahead["practitioner_id"] != practitioner:
            return None
        row, self._ahead = self._ahead, None
        return row


def is_uuid(text: str) -> bool:
    """Whether it is the canonical text of a UUID."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
