"""The lake's training epochs over HTTP: make, list, download.

    epochs = Epochs("http://127.0.0.1:8080", token)
    epoch = await epochs.create("quantum_mechanics", start, end)
    reader = EpochReader(await epochs.download(epoch, "epoch.parquet"))     # server/client_samples.py

``EpochReader`` and what comes with it are imported when they are asked for: they need pyarrow, 50 MB of memory.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, Literal

import aiohttp
import msgspec

from actors.eustress.replies import Epoch
from server.client_lake import Lake, problem

if TYPE_CHECKING:
    from server.client_samples import FEATURES, Batch, EpochReader, Sample

__all__ = ["FEATURES", "Batch", "Epoch", "EpochReader", "Epochs", "Sample"]

PAGE: Final = 100
CHUNK_BYTES: Final = 256 * 1024


def __getattr__(name: str) -> Any:
    if name in ("FEATURES", "Batch", "EpochReader", "Sample"):
        from server import client_samples

        return getattr(client_samples, name)
    raise AttributeError(name)


class Epochs:
    """A server's epochs. ``token``: a service's, or None for the local user; ``ssl``: what to trust over HTTPS.

    Every method raises the server's errors and ConnectionLost.
    """

    def __init__(self, url: str, token: str | None = None, *, ssl: SSLContext | bool = True) -> None:
        self._url, self._token, self._ssl = url, token, ssl

    async def list(self, space: str | None = None) -> list[Epoch]:
        """All epochs (of a space), newest first."""
        found: list[Epoch] = []
        where = {"limit": str(PAGE)} | ({} if space is None else {"space": space})
        async with self._lake() as lake:
            while True:
                page = msgspec.convert(await lake.ask("GET", "/eustress/epochs", params=where), list[Epoch])
                found += page
                if len(page) < PAGE:
                    return found
                where["before"] = page[-1].id

    async def create(self, space: str, start: datetime, end: datetime, *, key: str | None = None) -> Epoch:
        """An epoch of the space's snapshots between two times. The same ``key`` again is the same epoch."""
        body = {"space_name": space, "start_time": _utc(start), "end_time": _utc(end)}
        async with self._lake() as lake:
            made = await lake.ask("POST", "/eustress/epochs", key=key or str(uuid.uuid4()), body=body)
        return msgspec.convert(made, Epoch)

    async def download(
        self,
        epoch: Epoch | str,
        path: str | PathLike[str],
        format: Literal["parquet", "ndjson"] = "parquet",
        *,
        part: Literal["entities", "connections"] = "entities",
    ) -> Path:
        """Write an epoch's samples (or its connections) to a file, which is there only once it is whole."""
        id_, target = epoch if isinstance(epoch, str) else epoch.id, Path(fspath(path))
        where = {"format": format, "part": part}
        with _whole(target) as temporary:
            async with self._lake() as lake:
                try:
                    # Sorting a million samples takes a while before the first is there.
                    wait = aiohttp.ClientTimeout(total=None, sock_read=None)
                    export = lake.request("GET", f"/eustress/epochs/{id_}/export", params=where, timeout=wait)
                    async with export as answer:
                        if answer.status != 200:
                            raise await problem(answer)
                        await _save(answer.content, temporary)
                except (aiohttp.ClientError, TimeoutError, ConnectionError) as failure:
                    raise lake.lost(failure) from failure
        return target

    def _lake(self) -> Lake:
        return Lake(self._url, self._token, ssl=self._ssl)


def _utc(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError("a time needs a zone: datetime(…, tzinfo=UTC)")
    return time.astimezone(UTC).isoformat()


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


async def _save(content: aiohttp.StreamReader, path: Path) -> None:
    file = await asyncio.to_thread(path.open, "wb")
    try:
        async for chunk in content.iter_chunked(CHUNK_BYTES):
            await asyncio.to_thread(file.write, chunk)
    finally:
        await asyncio.to_thread(file.close)
