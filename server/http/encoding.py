"""Compressed request bodies: gzip and deflate, inflated within the bound that holds for plain ones.

aiohttp's own decompression is off. It streams what a bomb holds for as long as somebody reads, and after a refusal it reads
on for a while: 4 MiB of gzip would cost seconds of the event loop. Here nothing is inflated beyond the bound plus one byte.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from aiohttp import web
from aiohttp.streams import StreamReader

from actors.runtime.errors import BadRequest, TooLarge

GZIP: Final = 16 + zlib.MAX_WBITS
ENCODINGS: Final = ("gzip", "x-gzip", "deflate")


class UnsupportedEncoding(BadRequest):
    """A body in an encoding that is not read here: 415."""


async def decode_body(request: web.Request, limit: int) -> None:
    """Make the request's body plain, where it is encoded. Raises UnsupportedEncoding, BadRequest, TooLarge."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity") or not request.can_read_body:
        return
    if encoding not in ENCODINGS:
        raise UnsupportedEncoding(f"a body may be encoded as gzip or deflate, not as {encoding[:40]!r}")
    plain = inflate(await _raw(request, limit), encoding, limit)
    reader = StreamReader(request.protocol, 2 * limit, loop=asyncio.get_running_loop())
    reader.feed_data(plain)
    reader.feed_eof()
    request._payload = reader  # noqa: SLF001 - aiohttp knows no other way to hand a handler another body


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
    zlib_header = len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
    bits = GZIP if encoding != "deflate" else zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS
    try:
        inflater = zlib.decompressobj(bits)
        plain = inflater.decompress(data, limit + 1)
    except zlib.error as failure:
        raise BadRequest(f"the body is not {encoding}: {failure}") from None
    if len(plain) > limit:
        raise too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise BadRequest(f"the body is not {encoding}: it ends {'early' if not inflater.eof else 'late'}")
    return plain
