"""The process that writes what retention is about to remove to Parquet files (``server/lake_host.py`` starts it).

A child of ``server/lake_child.py``; its job is ``{deployment, directory, space, before, after}``, its word what ``Archived`` is
in JSON. The rows are those that the trims take, read in one transaction. A file gets its name when it is whole and on the disk,
and the directory is synced before the answer: what is answered survives a power cut. Done twice it comes to the same names and
the same content, and a file with more rows is never replaced: whoever repeats this late, when rows are gone already, destroys
nothing.

Files are ``FROM-TO-BEFORE.PART.parquet``: the least and the greatest version that stand in them, and the time before which things
ended. A part without rows has none.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import pyarrow.parquet as pq

from actors.eustress.lake import Archived, ArchiveFile, Removable
from actors.runtime.errors import Full
from server.deployment import Deployment
from server.lake_archive import directory_of
from server.lake_child import run
from server.lake_tables import ParquetRows, Part, rows_of, utc
from storage.eustress_files import LakeReader, Leaving, Page, lake_reader

NAME: Final = "sangha archive"
LEFT_OVER_S: Final = 3_600.0
"""A file without its name that nobody touched for so long is one that a killed process left."""
READ_BYTES: Final = 2**20


async def archive(job: dict[str, Any]) -> Any:
    """``Archived`` as JSON values. Raises Full where it cannot be written, StoreDown."""
    deployment = await asyncio.to_thread(Deployment.read, job["deployment"])
    before, after = utc(job["before"]), None if job["after"] is None else utc(job["after"])
    async with lake_reader(deployment.dsn, application_name=NAME) as lake:
        leaving = Leaving(job["space"], before, after, await lake.staying(job["space"], before, after))
        removable = await lake.removable(leaving)
        if removable == Removable():
            return msgspec.to_builtins(Archived(to_time=before))
        directory = directory_of(Path(job["directory"]), leaving.space)
        try:
            archived = await _write(lake, leaving, directory)
        except OSError as failure:
            raise Full(
                f"the archive of {leaving.space!r} cannot be written: {failure.strerror or failure}"
            ) from failure
    return msgspec.to_builtins(msgspec.structs.replace(archived, removable=removable))


async def _write(lake: LakeReader, leaving: Leaving, directory: Path) -> Archived:
    _prepare(directory)
    sources: dict[Part, AsyncIterator[Page]] = {
        "entities": lake.leaving_entities(leaving),
        "connections": lake.leaving_connections(leaving),
        "snapshots": lake.leaving_snapshots(leaving),
    }
    parts: list[_File] = []
    try:
        for part, pages in sources.items():
            parts.append(_File(part, directory, leaving))
            await parts[-1].fill(pages)
        written = [part for part in parts if part.rows]
        first, last = min(part.first for part in written), max(part.last for part in written)
        stem = f"{first}-{last}-{leaving.before.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"
        files = tuple(part.name(stem) for part in written)
        _sync(directory)
    finally:
        for file in parts:
            file.drop()
    begun = min(part.since for part in written if part.since is not None)
    return Archived(from_version=first, to_version=last, from_time=begun, to_time=leaving.before, files=files)


@dataclass
class _Hashing:
    """A file that knows its digest and its size."""

    file: IO[bytes]

    def __post_init__(self) -> None:
        self.digest, self.size = sha256(), 0

    def write(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        self.digest.update(view)
        self.size += len(view)
        self.file.write(view)


class _File:
    """A part that is being written, under a name that no reader looks at."""

    def __init__(self, part: Part, directory: Path, leaving: Leaving) -> None:
        self._part, self._directory, self._space = part, directory, leaving.space
        self._temporary = directory / f".{part}.{os.getpid()}.tmp"
        self._file = open(self._temporary, "wb", opener=_private)  # noqa: SIM115 - closed by name or drop
        self._sink = _Hashing(self._file)
        marks = {"sangha.space": leaving.space, "sangha.before": leaving.before.isoformat()}
        self._writer = ParquetRows(self._sink, part, marks)
        self.first, self.last, self.since = 2**63, 0, None
        self.rows = 0

    since: datetime | None
    """When the oldest began."""

    async def fill(self, pages: AsyncIterator[Page]) -> None:
        """All rows, and the disk's word that it has them."""
        async for page in pages:
            self._writer.write(rows_of(self._part, page, space_name=self._space))
            self.first = min(self.first, *(row["version"] for row in page))
            self.last = max(self.last, *(row.get("ended_version") or row["version"] for row in page))
            times = [row["timestamp"] for row in page]
            self.since = min(times if self.since is None else [*times, self.since])
        self._writer.close()
        self.rows = self._writer.rows
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def name(self, stem: str) -> ArchiveFile:
        """It is whole: now it is there."""
        final = self._directory / f"{stem}.{self._part}.parquet"
        if final.exists() and (rows := pq.read_metadata(final).num_rows) > self.rows:
            return ArchiveFile(name=final.name, rows=rows, bytes=final.stat().st_size, sha256=_digest_of(final))
        self._temporary.replace(final)
        return ArchiveFile(name=final.name, rows=self.rows, bytes=self._sink.size, sha256=self._sink.digest.hexdigest())

    def drop(self) -> None:
        """What got no name."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def _prepare(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sync(directory.parent)
    for left in directory.glob(".*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_OVER_S:
                left.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest_of(file: Path) -> str:
    digest = sha256()
    with file.open("rb") as opened:
        while some := opened.read(READ_BYTES):
            digest.update(some)
    return digest.hexdigest()


if __name__ == "__main__":
    run(archive)
