"""Compressed request bodies: gzip and deflate, inflated within the bound that holds for plain ones.

aiohttp's own decompression is off. It streams what a bomb holds for as long as somebody reads, and after a refusal it reads
on for a while: 4 MiB of gzip would cost seconds of the event loop. Here nothing is inflated beyond the bound plus one byte.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web
from aiohttp.streams import StreamReader

from actors.runtime.errors import BadRequest, TooLarge

GZIP: Final = 16 + zlib.MAX_WBITS
PIECE_BYTES: Final = 64 * 1024
"""Inflated at once, of a body that has no bound."""
ENCODINGS: Final = ("gzip", "x-gzip", "deflate")


class UnsupportedEncoding(BadRequest):
    """A body in an encoding that is not read here: 415."""


async def decode_body(request: web.Request, limit: int) -> None:
    """Make the request's body plain, where it is encoded. Raises UnsupportedEncoding, BadRequest, TooLarge."""
    encoding = encoding_of(request)
    if encoding is None or not request.can_read_body:
        return
    plain = inflate(await _raw(request, limit), encoding, limit)
    reader = StreamReader(request.protocol, 2 * limit, loop=asyncio.get_running_loop())
    reader.feed_data(plain)
    reader.feed_eof()
    request._payload = reader  # noqa: SLF001 - aiohttp knows no other way to hand a handler another body


def encoding_of(request: web.Request) -> str | None:
    """How the body is encoded, where it is. Raises UnsupportedEncoding."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ENCODINGS:
        raise UnsupportedEncoding(f"a body may be encoded as gzip or deflate, not as {encoding[:40]!r}")
    return encoding


async def _raw(request: web.Request, limit: int) -> bytes:
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > limit:
            raise too_large(limit)
    return bytes(data)


def too_large(limit: int) -> TooLarge:
    """The body exceeds the bound."""
    return TooLarge(f"the body is larger than {limit} bytes")


def inflate(data: bytes, encoding: str, limit: int) -> bytes:
    """At most ``limit`` bytes. Raises BadRequest, TooLarge."""
    try:
        inflater = _inflater(data, encoding)
        plain: bytes = inflater.decompress(data, limit + 1)
    except zlib.error as failure:
        raise BadRequest(f"the body is not {encoding}: {failure}") from None
    if len(plain) > limit:
        raise too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise BadRequest(f"the body is not {encoding}: it ends {'early' if not inflater.eof else 'late'}")
    return plain


def _inflater(head: bytes, encoding: str) -> Any:
    zlib_header = len(head) > 1 and head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0
    return zlib.decompressobj(GZIP if encoding != "deflate" else zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS)


class Inflating:
    """A body without a bound, inflated as it comes."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._head = b""
        self._inflater: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of at most ``PIECE_BYTES``. Raises BadRequest."""
        if self._inflater is None:
            self._head += data
            if len(self._head) < 2:  # the first two bytes say which deflate it is
                return
            data, self._head = self._head, b""
            self._inflater = _inflater(data, self._encoding)
        if self._inflater.eof:
            raise BadRequest(f"the body is not {self._encoding}: it ends late")
        try:
            while not self._inflater.eof:
                piece = self._inflater.decompress(data, PIECE_BYTES)
                data = self._inflater.unconsumed_tail
                if piece:
                    yield piece
                if not data and len(piece) < PIECE_BYTES:
                    break
        except zlib.error as failure:
            raise BadRequest(f"the body is not {self._encoding}: {failure}") from None
        if self._inflater.unused_data:
            raise BadRequest(f"the body is not {self._encoding}: it ends late")

    def check_end(self) -> None:
        """The body ended. Raises BadRequest where that is too early."""
        if self._inflater is None or not self._inflater.eof:
            raise BadRequest(f"the body is not {self._encoding}: it ends early")
