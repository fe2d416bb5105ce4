"""A scene's lines on their way into a stream: what is not committed yet is kept until it is, and goes on after any failure.

The source is read once, forward, so it may be a pipe. A source that was sent before is read up to the stream's cursor and goes
on from there.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from actors.runtime.errors import SanghaError
from server.client_events import Backoff, ClientError
from server.client_lake import Lake, passes
from server.scene_files import UnusableFile

BLOCK_BYTES: Final = 64 * 1024
REQUEST_BYTES: Final = 32 * 2**20
"""Of one request: a proxy that answers at the end only lets us keep so much."""
PATIENCE_S: Final = 60.0
"""For a server that answered before, and no longer does."""
BACKOFF: Final = Backoff(base_s=0.25, cap_s=5.0)
_PARTICULARS: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")


class Sending:
    """Lines into a stream of a space."""

    def __init__(
        self,
        lake: Lake,
        space: str,
        stream: str,
        lines: Iterator[bytes],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.stream = stream
        self.cursor = self.skipped = 0
        """Lines that are committed, and how many of them were before."""
        self.bytes = 0
        """Sent, of lines, each once."""
        self.warning_count = 0
        self.warnings: Counter[str] = Counter()
        """Of those that were told in full, by what they say beside names and numbers."""
        self.examples: dict[str, str] = {}
        self.trouble: SanghaError | None = None
        self._lake, self._space, self._lines = lake, space, lines
        self._changed: Callable[[], None] = lambda: None
        self._patience_s = patience_s
        self._kept: deque[bytes] = deque()  # sent, the first is line cursor + 1
        self._at_end = False
        self._wrong: UnusableFile | None = None

    @property
    def committed(self) -> int:
        """Lines that are committed since this began."""
        return self.cursor - self.skipped

    def listen(self, changed: Callable[[], None]) -> None:
        """Call this when a figure is another; it must not block."""
        self._changed = changed

    async def run(self) -> None:
        """Until all is committed. Raises LinesRefused, the server's other errors, ConnectionLost where the server does not
        answer at first or not for too long; UnusableFile, with all before it committed."""
        self._skip(await self._lake.cursor(self._space, self.stream))
        attempt, deadline = 0, 0.0
        while not self._at_end or self._kept:
            before = self.cursor
            try:
                await self._request()
            except SanghaError as failure:
                now = asyncio.get_running_loop().time()
                if self.trouble is None or self.cursor > before:
                    attempt, deadline = 0, now + self._patience_s
                if not passes(failure) or now > deadline:
                    raise
                self.trouble, attempt = failure, attempt + 1
                self._changed()
                await asyncio.sleep(max(failure.retry_after_s or 0, BACKOFF.delay_s(attempt, random.random())))
        if self._wrong is not None:
            raise self._wrong

    def _skip(self, cursor: int) -> None:
        had = sum(1 for _ in islice(self._lines, cursor))
        if had < cursor:
            raise ClientError(
                f"the stream {self.stream} has {cursor:,} lines, and this has {had:,}: it is another (--stream, --from-start)"
            )
        self.cursor = self.skipped = cursor
        self._changed()

    async def _request(self) -> None:
        told: Mapping[str, Any] = {}

        def heard(progress: Mapping[str, Any]) -> None:
            nonlocal told
            told = progress
            self._moved_to(progress["cursor"])

        if self.trouble is not None:
            self._moved_to(await self._lake.cursor(self._space, self.stream))
        try:
            await self._lake.send(self._space, self.stream, self.cursor + 1, self._body(), heard)
        finally:
            self._note(told)
        self.trouble = None

    def _moved_to(self, cursor: int) -> None:
        if cursor < self.cursor:
            raise ClientError(
                f"the stream {self.stream} had {self.cursor:,} lines and now has {cursor:,}: the server was put back; run this"
                " again"
            )
        for _ in range(min(cursor - self.cursor, len(self._kept))):
            self._kept.popleft()
        self.cursor = cursor
        self._changed()

    def _note(self, told: Mapping[str, Any]) -> None:
        self.warning_count += told.get("warning_count", 0)
        for warning in told.get("warnings", ()):
            kind = _PARTICULARS.sub("…", warning["message"])
            self.warnings[kind] += 1
            self.examples.setdefault(kind, f"{warning['path']}: {warning['message']}")

    async def _body(self) -> AsyncIterator[bytes]:
        sent = 0
        for block in _blocks(iter(list(self._kept))):
            sent += len(block)
            yield block
        for block in _blocks(self._new_lines()):
            self._changed()
            sent += len(block)
            yield block
            if sent >= REQUEST_BYTES:
                return

    def _new_lines(self) -> Iterator[bytes]:
        """What was not sent yet. A line that is none ends it: those before it are to be committed first."""
        try:
            for line in self._lines:
                self._kept.append(line)
                self.bytes += len(line) + 1
                yield line
        except UnusableFile as wrong:
            self._wrong = wrong
        self._at_end = True


def _blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines, each with its newline, some at a time."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line) + 1
        if size >= BLOCK_BYTES:
            yield b"\n".join(some) + b"\n"
            some, size = [], 0
    if some:
        yield b"\n".join(some) + b"\n"
