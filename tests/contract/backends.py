"""The two stores behind one face, so that one suite holds both to the same contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from actors.runtime.ports import Store
from storage.memory import HeldClaim, MemoryDatabase, MemoryStore
from storage.memory_versions import as_dicts
from storage.store import PostgresStore
from storage.versions import VERSIONED

LAYOUT = "shared:1"


class MemoryBackend:
    """What tests need of a database beside its stores."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()
        self.stores: list[Store] = []

    def store(self, kind: str = "space", shard: int | str = 0, incarnation: int | None = None) -> Store:
        return MemoryStore(
            self.database,
            kind=kind,
            layout=LAYOUT,
            shard=shard,
            incarnation=self.database.incarnation if incarnation is None else incarnation,
        )

    async def rows(self, table: str) -> list[dict[str, Any]]:
        if table in VERSIONED:
            return as_dicts(table, self.database.versions[table])
        return list(self.database.tables[table].values())

    async def expire_claims(self) -> None:
        past = datetime.now(UTC) - timedelta(seconds=1)
        for key, held in self.database.claims.items():
            if held.expires_at is not None:
                self.database.claims[key] = HeldClaim(
                    entity_id=held.entity_id, operation_id=held.operation_id, expires_at=past
                )

    async def new_incarnation(self) -> None:
        self.database.incarnation += 1

    async def close(self) -> None:
        pass


class PostgresBackend:
    """The same over a real server."""

    def __init__(self, dsn: str, connection: asyncpg.Connection, incarnation: int) -> None:
        self.dsn = dsn
        self.connection = connection
        self.incarnation = incarnation
        self.stores: list[PostgresStore] = []

    def store(self, kind: str = "space", shard: int | str = 0, incarnation: int | None = None) -> Store:
        store = PostgresStore(
            self.dsn,
            kind=kind,
            layout=LAYOUT,
            shard=shard,
            incarnation=self.incarnation if incarnation is None else incarnation,
        )
        self.stores.append(store)
        return store

    async def rows(self, table: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.connection.fetch(f"SELECT * FROM {table}")]

    async def expire_claims(self) -> None:
        await self.connection.execute(
            "UPDATE claims SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL"
        )

    async def new_incarnation(self) -> None:
        await self.connection.execute("UPDATE cluster_owner SET incarnation = incarnation + 1")
        self.incarnation += 1

    async def close(self) -> None:
        for store in self.stores:
            await store.close()
        await self.connection.close()
