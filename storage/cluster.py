"""One cluster a database: who owns it, under which incarnation, and which leases its shards hold.

Always: an incarnation is owned by one ``serve``; leases are raised only under the current one. Times are the database's.
Functions take a connection of ``storage.pool.connect`` and raise StoreDown where it breaks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import asyncpg
import msgspec

from actors.runtime.ports import Fenced, StoreDown
from storage.pool import translated
from storage.statements import statement

OWNER_DEAD_AFTER_S: Final = 5.0
"""Five of the coordinator's beats: a takeover must not come before a short stall is over."""
CLAIM_POLL_S: Final = 0.25
RAISE_TRIES: Final = 5


class ClusterOwned(Exception):
    """Another ``serve`` is alive on this database."""


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """What a ``serve`` owns. ``cluster_id`` is the database's for ever, ``incarnation`` grows with each new serve."""

    cluster_id: str
    incarnation: int


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A shard's lease as recorded."""

    kind: str
    layout: str
    shard: str
    epoch: int
    backend_pid: int | None


async def claim_cluster(connection: asyncpg.Connection, wait_s: float = 0.0) -> Ownership:
    """Become the owner, under a new incarnation, waiting up to ``wait_s`` for the last one to be dead or to let go.

    Raises ClusterOwned, StoreDown.
    """
    deadline = time.monotonic() + wait_s
    while True:
        with translated():
            row = await connection.fetchrow(statement("cluster/claim"), OWNER_DEAD_AFTER_S)
        if row is not None:
            return _ownership(row)
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise ClusterOwned("another sangha serve is running on this database")
        await asyncio.sleep(min(CLAIM_POLL_S, left_s))


async def adopt_cluster(connection: asyncpg.Connection) -> Ownership:
    """Join the actors that outlived their ``serve``: the same incarnation goes on, and their leases with it."""
    with translated():
        return _ownership(await connection.fetchrow(statement("cluster/adopt")))


def _ownership(row: asyncpg.Record) -> Ownership:
    return Ownership(cluster_id=str(row["cluster_id"]), incarnation=row["incarnation"])


async def beat(connection: asyncpg.Connection, incarnation: int) -> bool:
    """Still here. False where the cluster has another owner by now: whoever is told that must stop."""
    with translated():
        return bool(await connection.fetchval(statement("cluster/beat"), incarnation))


async def release(connection: asyncpg.Connection, incarnation: int) -> None:
    """Let go, so that the next ``serve`` need not wait. Nothing where the cluster is another's by now."""
    with translated():
        await connection.execute(statement("cluster/release"), incarnation)


async def raise_all_leases(
    connection: asyncpg.Connection, incarnation: int, layouts: Mapping[str, str] | None = None
) -> None:
    """Fence every shard there is or ever was, old layouts included, and record the layouts now in force: one transaction.

    Raises Fenced where the incarnation is not the current one, StoreDown.
    """
    noted = None if layouts is None else dict(layouts)
    with translated():
        for _ in range(RAISE_TRIES):
            await connection.fetch(statement("cluster/terminate_owners"))
            try:
                ours = await connection.fetchval(statement("cluster/raise_all"), incarnation, noted)
            except asyncpg.LockNotAvailableError:
                continue  # an owner came back on a new backend between the two statements
            if not ours:
                raise Fenced(f"incarnation {incarnation} is no longer the cluster's")
            return
    raise StoreDown("a shard's lease stays locked")


async def layouts(connection: asyncpg.Connection) -> dict[str, str]:
    """The layouts that ``raise_all_leases`` recorded last, by kind; empty at first."""
    with translated():
        found: dict[str, str] = await connection.fetchval(statement("cluster/layouts"))
        return found


async def live_leases(connection: asyncpg.Connection, incarnation: int) -> list[Lease]:
    """Leases under this incarnation whose backend is connected now."""
    with translated():
        return [Lease(**dict(row)) for row in await connection.fetch(statement("cluster/live_leases"), incarnation)]
