"""Where shards listen: as they write it down themselves on their node, or as Ray answers.

Ray's answer is the truth and works from every node. But a call to an actor that was just restarted takes Ray 0.7 s longer
than the restart itself (0.4 s; measured under load, the call waits until the caller has heard of the new process). So a
shard writes its address into its node's run directory too, and whoever looks for it there tries each written address once
while Ray is being asked. A stale one costs a refused connection: the handshake proves kind, shard and epoch anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from actors.runtime.link import ShardAddress
from server.deployment import write_private

LOOK_S: Final = 0.02


def _file(run_dir: Path, kind: str, shard: str) -> Path:
    return run_dir / f"{kind}-{shard}.address"


def write_down(run_dir: Path, address: ShardAddress) -> None:
    """For those on this node."""
    text = msgspec.json.encode(address).decode()
    write_private(_file(run_dir, address.kind, address.shard), text)


def written_address(run_dir: Path, kind: str, shard: str) -> ShardAddress | None:
    """Where a shard on this machine said that it listens."""
    try:
        return msgspec.json.decode(_file(run_dir, kind, shard).read_bytes(), type=ShardAddress)
    except (OSError, msgspec.DecodeError):
        return None


class AddressBook:
    """Finds one shard, again and again. ``ask`` asks Ray; it raises LookupError where Ray cannot tell now."""

    def __init__(
        self, run_dir: Path, node: str, kind: str, shard: str, ask: Callable[[], Awaitable[ShardAddress]]
    ) -> None:
        self._written_by = run_dir, kind, shard
        self._node, self._ask = node, ask
        self._tried: ShardAddress | None = None

    async def find(self) -> ShardAddress:
        """An address to try."""
        asking = asyncio.ensure_future(self._ask())
        try:
            while not asking.done():
                written = self._written()
                if written is not None and written != self._tried:
                    self._tried = written
                    return written
                await asyncio.wait([asking], timeout=LOOK_S)
            return asking.result()
        finally:
            asking.cancel()

    def _written(self) -> ShardAddress | None:
        written = written_address(*self._written_by)
        return written if written is not None and written.node == self._node else None
