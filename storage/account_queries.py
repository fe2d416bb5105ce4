"""What a gateway reads of accounts: logins, spaces that one had to do with, what is left over of those who are gone, journals.

Every method raises StoreDown, BadValue for an id that is not one, CannotUnseal where a row was sealed with a key that we do
not have.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from actors.runtime.ports import JournalRow
from storage.pool import LazyConnection
from storage.seal import Seal
from storage.statements import statement


class LeftOver(msgspec.Struct, frozen=True, kw_only=True):
    """A space that has still to do with an account that is gone. ``departed``: only its stored events have."""

    space: str
    practitioner: str
    departed: bool


class AccountQueries:
    """The part of ``storage.queries.Queries`` that reads what belongs to accounts."""

    _reader: LazyConnection
    _unseal: Seal

    async def logins(self, practitioner: str) -> list[dict[str, Any]]:
        """``{id, created_at, expires_at}`` of the logins that count, newest first."""
        return _rows(await self._reader.fetch(statement("queries/logins"), practitioner))

    async def service_tokens(self, accounts: list[str]) -> list[dict[str, Any]]:
        """``{id, service, name, created_at, expires_at}`` of the tokens of services' accounts that count, newest first."""
        return _rows(await self._reader.fetch(statement("queries/service_tokens"), accounts))

    async def was_login(self, token_hash: bytes) -> bool:
        """Whether the token was somebody's, however it ended."""
        return await self._reader.fetchrow(statement("queries/was_login"), token_hash) is not None

    async def memberships(self, practitioner: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        """Spaces that they have, or had, to do with, by id."""
        return _rows(await self._reader.fetch(statement("queries/memberships"), practitioner, limit, after))

    async def share_a_space(self, one: str, other: str) -> bool:
        """Whether both participate in one space now."""
        row = await self._reader.fetchrow(statement("queries/share_a_space"), one, other)
        return row is not None and bool(row["shared"])

    async def unpublished(self, author: str, limit: int) -> list[str]:
        """Rituals that they uploaded, and neither published nor withdrew."""
        return [str(row["id"]) for row in await self._reader.fetch(statement("queries/unpublished"), author, limit)]

    async def gone(self, limit: int, after: str | None = None) -> list[str]:
        """Accounts that are gone and of whom something is left elsewhere, by id."""
        return [str(row["who"]) for row in await self._reader.fetch(statement("queries/gone"), limit, after)]

    async def left_over(self, practitioner: str, limit: int, after: str | None = None) -> list[LeftOver]:
        """What is to be done about spaces of an account that is gone, by the space's id."""
        rows = await self._reader.fetch(statement("queries/left_over"), practitioner, limit, after)
        return [LeftOver(space=str(space), practitioner=practitioner, departed=departed) for space, departed in rows]

    async def orphans(self, author: str, limit: int) -> list[str]:
        """Unpublished rituals of an author who is gone."""
        return [str(row["id"]) for row in await self._reader.fetch(statement("queries/orphans"), author, limit)]

    async def authored(self, author: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        """All that they uploaded, withdrawn ones too, by id, without the modules."""
        return _rows(await self._reader.fetch(statement("queries/authored"), author, limit, after))

    async def journal(self, kind: str, entity: str, after: int, limit: int) -> list[JournalRow]:
        """Events of an entity, opened, without what the runtime remembers beside them."""
        rows = await self._reader.fetch(statement("queries/journal"), kind, entity, after, limit)
        return [self._event(entity, row) for row in rows]

    async def head(self, kind: str, entity: str) -> int:
        """The number of an entity's last event; 0 where it has none."""
        row = await self._reader.fetchrow(statement("queries/head"), kind, entity)
        return 0 if row is None or row["seq"] is None else int(row["seq"])

    async def said(self, space: str, practitioner: str, after: int, limit: int, window: int) -> list[JournalRow]:
        """Messages among the ``window`` events after ``after``: theirs, and where they are sealed others' too."""
        rows = await self._reader.fetch(statement("queries/said"), space, practitioner, after, limit, window)
        return [self._event(space, row) for row in rows]

    def _event(self, entity: str, row: Any) -> JournalRow:
        seq, at, event_type, format_, data, offset = row
        return JournalRow(
            entity_id=entity,
            seq=seq,
            at=at,
            event_type=event_type,
            format=format_,
            data=self._unseal.unseal(data, "journal", entity, seq),
            stream_offset=offset,
        )


def _rows(rows: Any) -> list[dict[str, Any]]:
    return [
        {name: str(value) if isinstance(value, UUID) else value for name, value in dict(row).items()} for row in rows
    ]
