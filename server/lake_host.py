"""The lake's worker: writes archives, counts, works out what epochs would be as one. The spaces ask it, as an effect each.

An archive's files are made in a process of their own (``server/lake_archiving.py``), one at a time: however long it takes, this
one answers its pings. A disk that is full, or a directory that cannot be written, is ``full``: the effect ends with that, no row
is removed, and the space's next retention tries again. A database that is away is ``storage_unavailable``, which the runtime
asks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.eustress.lake import (
    Archive,
    Archived,
    Consolidate,
    Count,
    archived_codec,
    codec,
    consolidated_codec,
    removable_codec,
)
from actors.runtime.errors import ActorUnavailable, Full, Invalid, NotFound, SanghaError, StorageUnavailable
from actors.runtime.ports import StoreDown
from actors.runtime.wire import Ask
from server.lake_child import Child
from server.worker_hosts import WorkerHost
from storage.eustress_files import Leaving, lake_reader
from storage.pool import BadValue

log = logging.getLogger(__name__)

NAME: Final = "sangha lake"
ARCHIVE_S: Final = 3_600.0
"""What takes longer is ended, and asked again by the next retention."""
COUNTS_AT_ONCE: Final = 2


class LakeHandler:
    """What ``actors.runtime.worker.Worker`` calls. ``deployment`` is the path of the 0600 file, ``directory`` the archives'."""

    def __init__(self, dsn: str, deployment: Path, directory: Path) -> None:
        self._dsn, self._deployment, self._directory = dsn, deployment, directory
        self._one = asyncio.Semaphore(1)
        self._few = asyncio.Semaphore(COUNTS_AT_ONCE)

    async def __call__(self, ask: Ask) -> bytes:
        """The answer as JSON. Raises Full, NotFound, StorageUnavailable; BadRequest, Invalid where it is no task."""
        try:
            match codec.decode(ask.command):
                case Archive() as task:
                    return archived_codec.encode(await self.archive(task))
                case Count() as task:
                    return await self._count(task)
                case Consolidate() as task:
                    return await self._consolidate(task)
        except StoreDown as down:
            raise StorageUnavailable("storage does not answer; try again") from down
        except BadValue as wrong:
            raise Invalid(str(wrong)) from wrong

    async def archive(self, task: Archive) -> Archived:
        """What was written; it is on the disk."""
        job = {
            "deployment": str(self._deployment),
            "directory": str(self._directory),
            "space": task.space,
            "before": task.before.isoformat(),
            "after": None if task.after is None else task.after.isoformat(),
        }
        async with self._one:
            try:
                archived = await _done(job)
            except SanghaError as failure:
                log.warning("space %s is not archived: %s", task.space, failure)
                raise
        log.info("space %s: %d files archived", task.space, len(archived.files))
        return archived

    async def _count(self, task: Count) -> bytes:
        async with self._few, lake_reader(self._dsn, application_name=NAME) as lake:
            staying = await lake.staying(task.space, task.before, task.after)
            return removable_codec.encode(await lake.removable(Leaving(task.space, task.before, task.after, staying)))

    async def _consolidate(self, task: Consolidate) -> bytes:
        async with self._few, lake_reader(self._dsn, application_name=NAME) as lake:
            union = await lake.union(task.space, task.epoch_ids)
        if union is None:
            raise NotFound("there are no such epochs")
        return consolidated_codec.encode(union)


async def _done(job: dict[str, Any]) -> Archived:
    child = await Child.start("server.lake_archiving", job)
    try:
        async with asyncio.timeout(ARCHIVE_S):
            while await child.read():
                pass
            return msgspec.convert(await child.outcome(), Archived)
    except TimeoutError:
        raise Full(f"an archive took longer than {ARCHIVE_S:g} s") from None
    except ActorUnavailable as failure:
        raise Full(failure.message) from failure  # what ends it, memory say, would do so again a second later
    finally:
        await asyncio.shield(asyncio.ensure_future(child.end()))


class LakeHost(WorkerHost):
    """The lake's Ray actor."""

    def handler(self) -> Callable[[Ask], Awaitable[bytes]]:
        """Reads the lake, writes archives."""
        return LakeHandler(self.deployment.dsn, Path(self.path), self.settings.archive_dir)
