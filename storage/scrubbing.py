"""Takes the name of whoever departed out of a space's stored events.

Outside the space's own commits, and beside a running server, as ``rekey`` does it: an event is only ever rewritten where it is
still what was read, and the shard that owns the space never writes an event again. A page at a time, so no transaction is
long; it may be stopped anywhere and begun again, for an event without the name is passed over. What an event means stays: the
fold is the same (``actors.space.departing``), and the envelope's place too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

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
        after, changed = 0, 0
        while True:
            last, named = await self._page(space, practitioner, after)
            for _ in range(TRIES):
                if not named:
                    break
                changed += await self._rewrite(space, named)
                _, named = await self._page(space, practitioner, after)
            if named:
                raise StoreDown(f"events of space {space} are being rewritten by another")
            if last is None:
                return changed
            after = last

    async def _page(self, space: str, practitioner: str, after: int) -> tuple[int | None, list[Stored]]:
        """The last event's seq, and those that have the name."""
        rows = await self._connection.fetch(statement("scrub/page"), space, after, PAGE)
        named = []
        for seq, format_, data in rows:
            event = e.codec.decode(format_, self._seal.unseal(data, "journal", space, seq))
            without = scrubbed(event, practitioner)
            if without is not event:
                text = e.codec.encode(without)
                new = self._seal.seal(text, "journal", space, seq) if is_sealed(data) else text
                named.append(Stored(seq, data, new))
        return (rows[-1]["seq"] if rows else None), named

    async def _rewrite(self, space: str, events: list[Stored]) -> int:
        columns = map(list, zip(*events, strict=True))
        return len(await self._connection.fetch(statement("scrub/update"), space, *columns, e.FORMAT))

    async def close(self) -> None:
        """Give the connection back."""
        await self._connection.close()
