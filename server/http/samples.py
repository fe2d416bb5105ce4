"""The body of ``POST /api/v1/audio/play``: JSON with up to ten seconds of samples, one or two numbers for each moment.

So many numbers are up to 24 MiB of text, and made objects of they would be 100 MB, and hold the event loop up for a tenth of a
second. The text is cut at commas into pieces, each of which becomes 16 bit samples by itself, in a thread; few bodies are read at
once, and one of a practitioner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Final, Literal

import msgspec
import numpy as np
from aiohttp import web
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from actors.audio.commands import SAMPLES_MAX
from actors.runtime.codec import invalid
from actors.runtime.errors import Timeout, TooLarge
from server.audio_devices import Places
from server.http.context import gateway_of, object_of, raw_fields_of

BODY_BYTES: Final = 24 * 2**20
"""``SAMPLES_MAX`` pairs of numbers with all their digits."""
SMALL_BYTES: Final = 64 * 1024
"""What needs no place; and all of a body but the samples."""
READ_S: Final = 60.0
PAUSE_S: Final = 5.0
SLOWEST: Final = 64 * 1024
"""Bytes a second, after the first ``PAUSE_S``: a body that comes more slowly, pauses so long, or takes longer than ``READ_S``,
gives its place to another."""
SLICE: Final = 64 * 1024
_FULL: Final = 32_767
_WRONG: Final = "must be numbers, or pairs of numbers"
_decode: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Document",
        [(name, msgspec.Raw | UnsetType, UNSET) for name in ("audio_data", "device", "hardware_level")],
    )
).decode
"""Fields that nobody knows are skipped."""
_one_each: Final = msgspec.json.Decoder(list[float]).decode
_two_each: Final = msgspec.json.Decoder(list[tuple[float, float]]).decode


class Samples(msgspec.Struct, frozen=True):
    """16 bit, little-endian, of so many channels beside each other."""

    data: bytes
    channels: Literal[1, 2]


async def read_samples(
    request: web.Request, places: Places, practitioner: str
) -> tuple[Samples | None, dict[str, Any]]:
    """The samples of a body, if any, and its other fields. Raises BadRequest, Invalid, TooLarge, TooSoon, Timeout."""
    length = None if "Content-Encoding" in request.headers else request.content_length  # inflated it is another
    small = length is not None and length <= SMALL_BYTES
    with nullcontext() if small else places.place(practitioner):
        try:
            async with asyncio.timeout(READ_S):
                body = await _body(request)
        except TimeoutError:
            raise Timeout("the body came too slowly") from None
        parsing = asyncio.ensure_future(asyncio.to_thread(parsed, body, gateway_of(request).json_depth))
        try:
            return await asyncio.shield(parsing)
        finally:
            await asyncio.wait([parsing])  # the place is taken as long as the thread works, also where the client left


async def _body(request: web.Request) -> bytes:
    """Raises TooLarge, TimeoutError."""
    loop, body = asyncio.get_running_loop(), bytearray()
    begun = loop.time()
    while not request.content.at_eof():
        async with asyncio.timeout(PAUSE_S):
            body += await request.content.readany()
        if len(body) > BODY_BYTES:
            raise TooLarge(f"the body is larger than {BODY_BYTES} bytes")
        if len(body) < SLOWEST * (loop.time() - begun - PAUSE_S):
            raise TimeoutError
    return bytes(body)


def parsed(body: bytes, depth: int) -> tuple[Samples | None, dict[str, Any]]:
    """The same of a body that is there. Raises BadRequest, Invalid, TooLarge."""
    document: Any = raw_fields_of(_decode, body)
    fields = {name: text for name in ("device", "hardware_level") if (text := getattr(document, name)) is not UNSET}
    data = msgspec.json.encode(fields)
    if len(data) > SMALL_BYTES:
        raise TooLarge(f"the fields beside the samples have more than {SMALL_BYTES} bytes")
    others = object_of(data, depth)
    text = document.audio_data
    return (None if text is UNSET else samples_of(bytes(text))), others


def samples_of(text: bytes) -> Samples:
    """Of a JSON array of numbers from -1 to 1, or of pairs of them: left and right. Raises Invalid."""
    inner = text[1:-1].strip() if text[:1] == b"[" else b""
    if not inner:
        raise invalid("audio_data", "must have at least one sample" if text[:1] == b"[" else _WRONG)
    pairs = inner[:1] == b"["
    found: list[NDArray[np.int16]] = []
    count = 0
    for piece in _pieces(inner, b"]" if pairs else b","):
        values = _values(piece, count, pairs=pairs)
        found.append(values)
        count += len(values)
        if count > SAMPLES_MAX:
            raise invalid("audio_data", f"at most {SAMPLES_MAX} samples")
    return Samples(np.concatenate(found).tobytes(), 2 if pairs else 1)


def _pieces(inner: bytes, ends: bytes) -> Iterator[bytes]:
    """Parts of the inside of an array, each of whole elements: up to a comma that follows ``ends`` (or is it)."""
    start = 0
    while start < len(inner):
        end = min(start + SLICE, len(inner))
        if end < len(inner):
            cut = inner.rfind(ends, start, end)
            if cut < 0:  # no number is that long
                raise invalid("audio_data", _WRONG)
            end = cut if ends == b"," else inner.find(b",", cut)
            end = len(inner) if end < 0 else end
        yield inner[start:end]
        start = end + 1


def _values(piece: bytes, before: int, *, pairs: bool) -> NDArray[np.int16]:
    """(n, 1) or (n, 2). ``before``: how many came before. Raises Invalid."""
    try:
        values: Any = (_two_each if pairs else _one_each)(b"[" + piece + b"]")
    except msgspec.DecodeError:
        raise invalid("audio_data", _WRONG) from None
    found = np.array(values, dtype=np.float64).reshape(len(values), -1)
    outside = np.flatnonzero(~(np.abs(found) <= 1).all(axis=1))
    if len(outside):
        raise invalid(f"audio_data.{before + outside[0]}", "must be from -1 to 1")
    samples: NDArray[np.int16] = np.round(found * _FULL).astype("<i2")
    return samples
