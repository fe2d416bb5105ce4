"""How many bytes of requests the sockets of one gateway read in one turn of its loop, together.

A frame of 64 KB can hold 20,000 empty lists, which take 4 ms to read: ten sockets that send a hundred such frames at once
would keep the loop for seconds (the coordinator kills a gateway that is silent for three). So frames that are not small wait
for each other, in the order of the sockets, and between any two turns everyone else is served.
"""

from __future__ import annotations

import asyncio
from typing import Final

TURN_BYTES: Final = 64 * 1024
"""The largest frame by default, so 4 ms at worst; at a hundred bytes a request a turn has room for hundreds."""


class Turns:
    """The allowance of a gateway. Use it inside a running loop."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read = 0

    async def wait(self, size: int) -> None:
        """Until so many bytes may be read; one frame a turn always may."""
        while self._read and self._read + size > TURN_BYTES:  # noqa: ASYNC110 - the next turn of the loop is the event
            await asyncio.sleep(0)
        if not self._read:
            asyncio.get_running_loop().call_soon(self._over)
        self._read += size

    def _over(self) -> None:
        self._read = 0
