"""What a gateway reads for itself: logins, the list of spaces, names, rituals. One connection, opened when needed.

Never writes. Every method raises StoreDown where there is no database, BadValue for an id that is not one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from actors.runtime.ports import StoreDown
from storage.account_queries import AccountQueries
from storage.audio_queries import AudioQueries
from storage.device_queries import DeviceQueries
from storage.pool import BadValue, LazyConnection
from storage.prayer_queries import PrayerQueries
from storage.ritual_queries import RitualQueries, literal
from storage.seal import Seal
from storage.statements import statement


class AuthSession(msgspec.Struct, frozen=True, kw_only=True):
    """A login that counts now. ``service``: a program's, and good for that service alone."""

    id: str
    practitioner_id: str
    created_at: datetime
    expires_at: datetime
    service: str | None = None
    name: str | None = None


class Queries(RitualQueries, AccountQueries, PrayerQueries, AudioQueries, DeviceQueries):
    """A gateway's reader. ``seal`` opens what practitioners' rows have sealed."""

    def __init__(self, dsn: str, *, application_name: str = "sangha gateway", seal: Seal | None = None) -> None:
        super().__init__(LazyConnection(dsn, application_name=application_name), seal)

    async def auth_session(self, token_hash: bytes) -> AuthSession | None:
        """The login with this token: not revoked, not expired by the database's clock."""
        row = await self._reader.fetchrow(statement("queries/auth_session"), token_hash)
        if row is None:
            return None
        return AuthSession(
            id=str(row["id"]),
            practitioner_id=str(row["practitioner_id"]),
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            service=row["service"],
            name=row["name"],
        )

    async def spaces(
        self,
        viewer: str | None,
        limit: int,
        before: str | None = None,
        q: str | None = None,
        joined: bool = False,
    ) -> list[dict[str, Any]]:
        """Open spaces that the viewer may see listed, newest first; private ones only to their facilitator.

        ``before`` is the id of the last space of the page before, ``q`` a text somewhere in name, purpose or slug,
        ``joined``: all that the viewer, an account, participates in, and no others. Ids come as text, times as datetimes.
        """
        pattern = None if not q else f"%{literal(q)}%"
        rows = await self._reader.fetch(statement("queries/spaces"), viewer, limit, before, pattern, joined)
        return [
            {
                **row,
                "id": str(row["id"]),
                "facilitator_id": None if row["facilitator_id"] is None else str(row["facilitator_id"]),
            }
            for row in map(dict, rows)
        ]

    async def resolve(self, scope: str, name: str) -> str | None:
        """The entity that the name belongs to for good."""
        row = await self._reader.fetchrow(statement("queries/resolve"), scope, name)
        return None if row is None else str(row["entity_id"])

    async def count_spaces(self, facilitator_id: str) -> int:
        """How many open spaces they facilitate."""
        row = await self._reader.fetchrow(statement("queries/count_spaces"), facilitator_id)
        return 0 if row is None else int(row["count"])

    async def eustress_room(self, name: str) -> tuple[bool, int]:
        """Whether there is a Eustress space of this name, and how many there are."""
        row = await self._reader.fetchrow(statement("eustress/count_spaces"), name)
        return (False, 0) if row is None else (bool(row["known"]), int(row["count"]))

    async def healthy(self) -> bool:
        """Whether the database answers."""
        try:
            await self._reader.fetch("SELECT 1")
        except (StoreDown, BadValue):
            return False
        return True

    async def close(self) -> None:
        """Give the connection back."""
        await self._reader.close()
