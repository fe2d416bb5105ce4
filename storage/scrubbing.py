"""Takes the name of whoever departed out of stored events: a space's, and the invitations to it in the journals of the invited.

Outside the entities' own commits, and beside a running server, as ``rekey`` does it: an event is only ever rewritten where it is
still what was read, and the shard that owns the entity never writes an event again. A page at a time, so no transaction is
long; it may be stopped anywhere and begun again, for an event without the name is passed over. What an event means stays: the
fold is the same (``actors.space.departing``, ``actors.practitioner.leaving``), and the envelope's place too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from actors.practitioner import events as p
from actors.practitioner.leaving import unsigned
from actors.runtime.codec import Codec
from actors.runtime.ports import StoreDown
from actors.space import events as e
from actors.space.departing import scrubbed
from storage.pool import LazyConnection
from storage.seal import Seal, Unsealed, is_sealed
from storage.statements import statement

PAGE: Final = 200
"""Events of at most 16 KiB of message each."""
TRIES: Final = 5
"""Of a page of which some events were rewritten by another (``rekey``) meanwhile."""
INVITATION: Final = "invitation"


class Journal(NamedTuple):
    """Where to look: an entity's events, of one type or all; and what makes one nameless (the very same where it is so)."""

    kind: str
    entity: str
    codec: Codec[Any]
    nameless: Callable[[Any], Any]
    event_type: str | None = None


class Stored(NamedTuple):
    """An event as it is stored, and as it is to be."""

    seq: int
    old: bytes
    new: bytes


class Scrubber:
    """One connection, opened when needed."""

    def __init__(self, dsn: str, *, seal: Seal | None = None, application_name: str = "sangha scrub") -> None:
        self._connection = LazyConnection(dsn, application_name=application_name)
        self._seal: Seal = seal or Unsealed()

    async def scrub(self, space: str, practitioner: str) -> int:
        """How many events had the name. Raises StoreDown, Unreadable."""
        invited: set[str] = set()

        def nameless(event: e.SpaceEvent) -> e.SpaceEvent:
            if type(event) is e.Invited and event.by == practitioner:
                invited.add(event.practitioner)
            return scrubbed(event, practitioner)

        changed = await self._journal(Journal("space", space, e.codec, nameless))
        for who in invited:
            changed += await self._journal(
                Journal("practitioner", who, p.codec, lambda event: unsigned(event, practitioner), INVITATION)
            )
        return changed

    async def _journal(self, journal: Journal) -> int:
        after, changed = 0, 0
        while True:
            last, named = await self._page(journal, after)
            for _ in range(TRIES):
                if not named:
                    break
                changed += await self._rewrite(journal, named)
                _, named = await self._page(journal, after)
            if named:
                raise StoreDown(f"events of {journal.kind} {journal.entity} are being rewritten by another")
            if last is None:
                return changed
            after = last

    async def _page(self, journal: Journal, after: int) -> tuple[int | None, list[Stored]]:
        """The last event's seq, and those that have the name."""
        where = (journal.kind, journal.entity, after, PAGE, journal.event_type)
        rows = await self._connection.fetch(statement("scrub/page"), *where)
        named = []
        for seq, format_, data in rows:
            event = journal.codec.decode(format_, self._seal.unseal(data, "journal", journal.entity, seq))
            without = journal.nameless(event)
            if without is not event:
                text = journal.codec.encode(without)
                new = self._seal.seal(text, "journal", journal.entity, seq) if is_sealed(data) else text
                named.append(Stored(seq, data, new))
        return (rows[-1]["seq"] if rows else None), named

    async def _rewrite(self, journal: Journal, events: list[Stored]) -> int:
        columns = map(list, zip(*events, strict=True))
        where = (journal.kind, journal.entity)
        return len(await self._connection.fetch(statement("scrub/update"), *where, *columns, journal.codec.format))

    async def close(self) -> None:
        """Give the connection back."""
        await self._connection.close()
