"""What a gateway reads of sound devices. Every method raises StoreDown, BadValue for an id that is none."""

from __future__ import annotations

from typing import Any

from storage.pool import LazyConnection
from storage.statements import statement


class DeviceQueries:
    """The part of ``storage.queries.Queries`` that reads of sound devices."""

    _reader: LazyConnection

    async def audio_voices(self, practitioner: str, *, gone: bool = False) -> list[dict[str, Any]]:
        """What of theirs sounds on devices, or will; with ``gone`` nothing while the account is there."""
        rows = await self._reader.fetch(statement("queries/audio_voices"), practitioner, gone)
        return [dict(row) for row in rows]
