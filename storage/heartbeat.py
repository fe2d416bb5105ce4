"""The coordinator's view of the database: the cluster's beat, which sleeping entities are due, what the server is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from storage.pool import LazyConnection
from storage.statements import statement

AT_ONCE: Final = 100


class Heartbeat:
    """One lazily made connection. Methods raise StoreDown."""

    def __init__(self, dsn: str, incarnation: int) -> None:
        self._connection = LazyConnection(dsn, application_name="sangha coordinator")
        self._incarnation = incarnation

    async def beat(self) -> bool:
        """Still here. False where the cluster has another owner by now."""
        row = await self._connection.fetchrow(statement("cluster/beat"), self._incarnation)
        return bool(row is not None and row[0])

    async def due_entities(self, kinds: Sequence[str]) -> list[tuple[str, str]]:
        """(kind, entity_id) of entities of these kinds with an alarm that is due."""
        rows = await self._connection.fetch(statement("cluster/due_entities"), list(kinds), AT_ONCE)
        return [(row["kind"], row["entity_id"]) for row in rows]

    async def busy_entities(self, kinds: Sequence[str]) -> list[tuple[str, str]]:
        """(kind, entity_id) of entities of these kinds with an alarm at any time."""
        rows = await self._connection.fetch(statement("cluster/busy_entities"), list(kinds), AT_ONCE)
        return [(row["kind"], row["entity_id"]) for row in rows]

    async def facts(self) -> dict[str, Any]:
        """The server's pid (where it can be told), version and schema version."""
        row = await self._connection.fetchrow(statement("cluster/facts"))
        assert row is not None
        return {"pid": row["pid"], "version": row["version"], "schema": row["schema"]}

    async def gauges(self) -> dict[str, Any]:
        """What metrics say of the server: ``facts`` without the pid, connections, transactions since its statistics began."""
        row = await self._connection.fetchrow(statement("cluster/gauges"))
        assert row is not None
        return dict(row)

    async def close(self) -> None:
        """Give the connection back."""
        await self._connection.close()
