"""What a gateway reads of audio sessions. Every method raises StoreDown, BadValue for an id that is none, CannotUnseal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from storage.pool import LazyConnection
from storage.rows import opened
from storage.seal import Seal
from storage.statements import statement


class Place(NamedTuple):
    """Whose a session is, and the open space that it is shared with, in which the owner participates: of a guest, who has no
    row, the space has to be asked."""

    owner: str
    space: str | None
    guest: bool = False


class Stranger(NamedTuple):
    """Who listens to another's session without rows that they and the owner (a guest?) participate in its space (None: it is
    closed, or shared with none)."""

    session: str
    practitioner: str
    owner: str
    guest: bool
    space: str | None


class Audible(NamedTuple):
    """A session that a practitioner may hear, and by which open space (None: it is theirs); ``guest``: its owner, where that is
    a guest, who has no row, and of whom the space has to be asked."""

    session: str
    space: str | None
    guest: str | None = None


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
        """The same of those that are shared with a space, whoever's they are: of guests (``expires_at``), the space has to be
        asked whether they are still there."""
        rows = await self._reader.fetch(statement("queries/audio_sessions_of_space"), space, limit, before)
        return [self._session(row) for row in rows]

    async def audio_session_place(self, session: str) -> Place | None:
        """Where a session belongs; None where there is none."""
        row = await self._reader.fetchrow(statement("queries/audio_session_place"), session)
        if row is None:
            return None
        return Place(str(row["owner_id"]), row["space_id"] and str(row["space_id"]), row["guest"])

    async def audio_strangers(self, listening: Sequence[tuple[str, str]]) -> list[Stranger]:
        """Of pairs of a session and who listens to it, those that rows do not allow."""
        sessions, who = ([pair[n] for pair in listening] for n in (0, 1))
        rows = await self._reader.fetch(statement("queries/audio_strangers"), sessions, who)
        return [
            Stranger(
                str(row["session_id"]),
                str(row["practitioner_id"]),
                str(row["owner_id"]),
                row["guest"],
                row["space_id"] and str(row["space_id"]),
            )
            for row in rows
        ]

    async def count_audio_sessions(self, owner: str) -> int:
        """How many they keep."""
        row = await self._reader.fetchrow(statement("queries/count_audio_sessions"), owner)
        return 0 if row is None else int(row["count"])

    async def audio_session_ids(self, owner: str, limit: int, *, gone: bool = False) -> list[str]:
        """Ids of their sessions; with ``gone`` none while the account is there."""
        rows = await self._reader.fetch(statement("queries/audio_session_ids"), owner, limit, gone)
        return [str(row["id"]) for row in rows]

    async def audible_sessions(self, practitioner: str, limit: int) -> list[Audible]:
        """Sessions that are neither stopped nor completed: theirs, and of open spaces that both they and the owner participate
        in."""
        rows = await self._reader.fetch(statement("queries/audible_sessions"), practitioner, limit)
        return [
            Audible(str(row["id"]), *(found and str(found) for found in (row["space_id"], row["guest_id"])))
            for row in rows
        ]

    async def playing_on(self, device: str) -> list[tuple[str, str | None]]:
        """Whose voices a sound device has that are not at their end, and of which session each is, if of one."""
        rows = await self._reader.fetch(statement("queries/playing_on"), device)
        found = [(row["practitioner_id"], row["session_id"]) for row in rows]
        return [(str(owner), None if session is None else str(session)) for owner, session in found]

    async def participates(self, space: str, practitioner: str) -> bool:
        """Whether an account is a participant of an open space. (A guest has no row.)"""
        row = await self._reader.fetchrow(statement("queries/participates"), space, practitioner)
        return row is not None and bool(row["participates"])

    def _session(self, row: Any) -> dict[str, Any]:
        found = {name: str(value) if isinstance(value, UUID) else value for name, value in dict(row).items()}
        return opened(found, "audio_sessions", self._unseal)
