"""The process that makes the bytes of an epoch's export (``server/lake_files.py`` pipes them to the client).

A child of ``server/lake_child.py``; its job is ``{deployment, epoch, part, format}``. Its own connection reads by a server-side
cursor, so its memory is a row group's, and what Parquet's footer says of each: 121 MB of 10,000 samples, 131 of 300,000, 141 of
1,000,000; as NDJSON 104 of 10,000 and 105 of 300,000 (80 of them are Python and pyarrow).
"""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any, Final

from actors.runtime.errors import NotFound
from server.deployment import Deployment
from server.lake_child import run
from server.lake_tables import JsonRows, ParquetRows, Part, Sink, rows_of
from storage.eustress_files import ExportedEpoch, LakeReader, lake_reader

NAME: Final = "sangha export"
"""As PostgreSQL shows it."""
BUFFER_BYTES: Final = 64 * 1024
"""Parquet's first four bytes stay here until there are rows, so that what fails before is an error and no cut answer."""


async def export(job: dict[str, Any]) -> dict[str, int]:
    """The file, to standard output; how many rows it has. Raises NotFound, StoreDown."""
    deployment = await asyncio.to_thread(Deployment.read, job["deployment"])
    async with lake_reader(deployment.dsn, application_name=NAME) as lake:
        epoch = await lake.epoch(job["epoch"])
        if epoch is None:
            raise NotFound("there is no such epoch")
        return {"rows": await _write(lake, epoch, job)}


async def _write(lake: LakeReader, epoch: ExportedEpoch, job: dict[str, Any]) -> int:
    part = job["part"]
    with io.BufferedWriter(io.FileIO(sys.stdout.fileno(), "wb", closefd=False), BUFFER_BYTES) as sink:
        return await _fill(sink, lake, epoch, part, job["format"])


async def _fill(sink: Sink, lake: LakeReader, epoch: ExportedEpoch, part: Part, format_: str) -> int:
    pages = lake.samples(epoch) if part == "entities" else lake.connections(epoch)
    writer = ParquetRows(sink, part, metadata_of(epoch)) if format_ == "parquet" else JsonRows(sink, part)
    async for page in pages:
        writer.write(rows_of(part, page, epoch_id=epoch.id, space_name=epoch.space_name))
    writer.close()
    return writer.rows


def metadata_of(epoch: ExportedEpoch) -> dict[str, str]:
    """What a Parquet file says of its epoch; ``stats`` are the epoch's, as JSON, counted when it was made."""
    return {
        "sangha.epoch": epoch.id,
        "sangha.space": epoch.space_name,
        "sangha.start_time": epoch.start_time.isoformat(),
        "sangha.end_time": epoch.end_time.isoformat(),
        "sangha.sample_count": str(epoch.sample_count),
        "sangha.snapshots": str(len(epoch.versions)),
        "sangha.stats": epoch.stats,
    }


if __name__ == "__main__":
    run(export)
