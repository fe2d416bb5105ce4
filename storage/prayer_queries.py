"""What a gateway reads of prayer wheels. Every method raises StoreDown, BadValue for an id that is none, CannotUnseal."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from storage.pool import LazyConnection
from storage.rows import opened
from storage.seal import Seal
from storage.statements import statement


class PrayerQueries:
    """The part of ``storage.queries.Queries`` that reads prayer wheels."""

    _reader: LazyConnection
    _unseal: Seal

    async def accumulations(
        self,
        practitioner: str,
        limit: int,
        before: str | None = None,
        *,
        dedicated: bool | None = None,
        only: str | None = None,
    ) -> list[dict[str, Any]]:
        """Rows of ``prayer_accumulations``, newest first, with the spin that counts into one (else None). ``dedicated`` None:
        open ones too; ``only``: this one, if it is theirs."""
        rows = await self._reader.fetch(
            statement("queries/accumulations"), practitioner, limit, before, dedicated, only
        )
        return [
            opened(
                {name: str(value) if isinstance(value, UUID) else value for name, value in dict(row).items()},
                "prayer_accumulations",
                self._unseal,
            )
            for row in rows
        ]

    async def has_wheel(self, practitioner: str) -> bool:
        """Whether they ever turned one."""
        return await self._reader.fetchrow(statement("queries/has_wheel"), practitioner) is not None

    async def stray_wheels(self, practitioner: str) -> list[str]:
        """Their wheel, where the account is gone; it has their id."""
        found = await self._reader.fetch(statement("queries/stray_wheels"), practitioner)
        return [str(row["id"]) for row in found]
