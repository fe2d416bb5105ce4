"""Cold activation: how many sleeping practitioners a shard wakes a second, from their checkpoints.

A real shard on a real embedded Postgres, in this process: N practitioners are registered and checkpointed, then a new shard
(nothing live) is asked for the profile of each, all at once, as after a restart when everyone comes back.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from actors.practitioner import commands
from actors.practitioner.entity import PractitionerKind
from actors.runtime.cell import Work
from actors.runtime.entity import Address
from actors.runtime.shard import Shard, ShardLimits
from actors.runtime.wire import Answer
from server.host import SystemClock
from storage import cluster
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.pool import connect
from storage.store import PostgresStore

REGISTER_AT_ONCE: Final = 1000


class _Asker:
    """Counts answers."""

    name = "bench"

    def __init__(self) -> None:
        self.left = 0
        self.refused: list[Any] = []
        self.done = asyncio.Event()

    def send(self, message: Any) -> None:
        """An answer."""
        if not isinstance(message, Answer):
            self.refused.append(message)
        self.left -= 1
        if not self.left:
            self.done.set()

    async def ask(self, shard: Shard, works: list[Work]) -> None:
        """Submit all, wait for all."""
        self.left, self.done = len(works), asyncio.Event()
        for work in works:
            shard.submit(work)
        await self.done.wait()


class _NoPost:
    """Profiles have no effects."""

    def post(self, target: Address, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        """Never called."""
        raise AssertionError(target)


async def _shard(dsn: str, incarnation: int, limits: ShardLimits) -> Shard:
    store = PostgresStore(dsn, kind="practitioner", layout="shared:1", shard="0", incarnation=incarnation)
    await store.acquire()

    def halt(reason: str) -> None:
        raise SystemExit(reason)

    return Shard(PractitionerKind(), store, clock=SystemClock(), post=_NoPost(), halt=halt, limits=limits)


async def _measure(dsn: str, count: int) -> dict[str, Any]:
    await migrate(dsn)
    connection = await connect(dsn, application_name="sangha bench")
    owner = await cluster.claim_cluster(connection)
    await connection.close()
    ids = [str(uuid.uuid4()) for _ in range(count)]
    asker = _Asker()
    limits = ShardLimits(queue=count + 1, live_entities=count + 1, checkpoint_every=1)
    shard = await _shard(dsn, owner.incarnation, limits)
    for start in range(0, count, REGISTER_AT_ONCE):
        some = ids[start : start + REGISTER_AT_ONCE]
        await asker.ask(
            shard, [Work(i, commands.Register(email=f"{i}@example.org", password_hash="x"), peer=asker) for i in some]
        )
    await shard.stop()
    await shard.store.close()
    shard = await _shard(dsn, owner.incarnation, limits)
    cpu, began = time.process_time(), time.perf_counter()
    await asker.ask(shard, [Work(i, commands.GetProfile(), peer=asker) for i in ids])
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    await shard.stop()
    await shard.store.close()
    if asker.refused:
        raise RuntimeError(f"{len(asker.refused)} refused: {asker.refused[0]}")
    return {
        "entities": count,
        "seconds": round(elapsed, 3),
        "activations_per_s": round(count / elapsed),
        "shard_cpu_us_each": round(cpu / count * 1e6, 1),
    }


def run(count: int = 10_000) -> dict[str, Any]:
    """Measure on a temporary embedded database."""
    with tempfile.TemporaryDirectory(prefix="sangha-bench-") as directory:
        Path(directory).chmod(0o755)  # the embedded Postgres has a user of its own, who must get through
        postgres = EmbeddedPostgres(Path(directory))
        postgres.start()
        try:
            return asyncio.run(_measure(postgres.dsn, count))
        finally:
            postgres.stop()
