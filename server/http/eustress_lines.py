"""Lines of an NDJSON body, numbered and in chunks. Pure.

A line ends with a newline, the last one also with the body. A blank line is none, and is not counted. What is cut off in the
middle of a line never becomes a chunk: only ``flush`` with ``end`` takes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from actors.runtime.errors import FieldError, TooLarge

LINE_BYTES: Final = 64 * 1024
CHUNK_LINES: Final = 1_000
CHUNK_BYTES: Final = 256 * 1024
"""What is committed together: enough to make a commit's cost small beside it, and a moment's work for the space."""
_BLANK: Final = re.compile(rb"\n\s*\n")
"""Blank lines, which a body of a megabyte may inflate to a thousand million of: they go at once, not one by one."""


class Chunk(NamedTuple):
    """Lines, joined by newlines. ``first`` is the number of the first one."""

    first: int
    lines: bytes


class Cutter:
    """Makes chunks of a body that comes in pieces."""

    def __init__(self, first: int) -> None:
        """``first`` is the number of the body's first line."""
        self._first = first
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Chunks that are full. Raises TooLarge for a line, after the chunk of those before it."""
        *lines, rest = _BLANK.sub(b"\n", self._rest + data).split(b"\n")
        for line in lines:
            yield from self._take(line)
        self._rest = rest
        if len(rest) > LINE_BYTES:
            yield from self._refuse(len(rest))

    def flush(self, *, end: bool = False) -> Iterator[Chunk]:
        """What there is, though it be less. ``end``: with the line that has no newline. Raises TooLarge."""
        if end:
            rest, self._rest = self._rest, b""
            yield from self._take(rest)
        if self._lines:
            yield self._cut()

    def _take(self, line: bytes) -> Iterator[Chunk]:
        size = len(line)
        if size > LINE_BYTES:
            yield from self._refuse(size)
        if not line or line.isspace():
            return
        if self._size + size > CHUNK_BYTES:
            yield self._cut()
        self._lines.append(line)
        self._size += size + 1
        if len(self._lines) == CHUNK_LINES:
            yield self._cut()

    def _refuse(self, size: int) -> Iterator[Chunk]:
        where = f"line {self._first + len(self._lines)}"
        yield from self.flush()
        message = f"{size} bytes or more, {LINE_BYTES} are allowed"
        raise TooLarge(f"{where}: {message}", (FieldError(path=where, message=message),))

    def _cut(self) -> Chunk:
        chunk = Chunk(self._first, b"\n".join(self._lines))
        self._first += len(self._lines)
        self._lines, self._size = [], 0
        return chunk
