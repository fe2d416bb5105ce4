"""What a gateway reads of audio sessions. Every method raises StoreDown, BadValue for an id that is none, CannotUnseal."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from storage.pool import LazyConnection
from storage.rows import opened
from storage.seal import Seal
from storage.statements import statement


class Place(NamedTuple):
    """Whose a session is, and the space that it is shared with."""

    owner: str
    space: str | None


class AudioQueries:
    """The part of ``storage.queries.Queries`` that reads audio sessions."""

    _reader: LazyConnection
    _unseal: Seal

    async def audio_sessions(
        self, owner: str, limit: int, before: str | None = None, status: str | None = None
    ) -> list[dict[str, Any]]:
        """Rows of ``audio_sessions``, newest first; ``before``: the id of the last one of the page before."""
        rows = await self._reader.fetch(statement("queries/audio_sessions"), owner, limit, before, status)
        return [self._session(row) for row in rows]

    async def audio_sessions_of_space(self, space: str, limit: int, before: str | None = None) -> list[dict[str, Any]]:
        """The same of those that are shared with a space, whoever's they are."""
        rows = await self._reader.fetch(statement("queries/audio_sessions_of_space"), space, limit, before)
        return [self._session(row) for row in rows]

    async def audio_session_place(self, session: str) -> Place | None:
        """Where a session belongs; None where there is none."""
        row = await self._reader.fetchrow(statement("queries/audio_session_place"), session)
        return None if row is None else Place(str(row["owner_id"]), row["space_id"] and str(row["space_id"]))

    async def count_audio_sessions(self, owner: str) -> int:
        """How many they keep."""
        row = await self._reader.fetchrow(statement("queries/count_audio_sessions"), owner)
        return 0 if row is None else int(row["count"])

    async def audio_session_ids(self, owner: str, limit: int, *, gone: bool = False) -> list[str]:
        """Ids of their sessions; with ``gone`` none while the account is there."""
        rows = await self._reader.fetch(statement("queries/audio_session_ids"), owner, limit, gone)
        return [str(row["id"]) for row in rows]

    async def audible_sessions(self, practitioner: str, limit: int) -> list[tuple[str, bool]]:
        """Ids of sessions that are neither stopped nor completed, theirs (True) and of spaces that they participate in."""
        rows = await self._reader.fetch(statement("queries/audible_sessions"), practitioner, limit)
        return [(str(row["id"]), row["own"]) for row in rows]

    async def participates(self, space: str, practitioner: str) -> bool:
        """Whether an account is a participant of an open space. (A guest has no row.)"""
        row = await self._reader.fetchrow(statement("queries/participates"), space, practitioner)
        return row is not None and bool(row["participates"])

    def _session(self, row: Any) -> dict[str, Any]:
        found = {name: str(value) if isinstance(value, UUID) else value for name, value in dict(row).items()}
        return opened(found, "audio_sessions", self._unseal)
