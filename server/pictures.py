"""Pictures made ready to be sent: drawn in a thread, a few at a time, kept for whoever asks for the same.

A picture is a function of its parameters, so its entity tag is one of them too: who has it is told so without drawing it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections import OrderedDict
from importlib.metadata import version
from typing import Final, NamedTuple

import msgspec
from PIL import Image

from actors.runtime.errors import RateLimited
from actors.visuals.pictures import AnyPicture, check, pixels_of, svg_of
from actors.visuals.raster import Pixels

MEDIA: Final = {"svg": "image/svg+xml", "png": "image/png"}
AT_ONCE: Final = 2
"""Drawn at one time in a gateway: the largest takes a second or two of a core, and some 100 MiB."""
WAITING_MAX: Final = 32
"""Who comes when so many wait is asked to come again: the last of them would wait for a minute as it is."""
RETRY_S: Final = 5.0
KEPT_BYTES: Final = 16 * 2**20
COMPRESSION: Final = 6


class Ready(NamedTuple):
    """A picture's bytes and what they are."""

    body: bytes
    media: str
    tag: str


class Studio:
    """Draws the pictures of one gateway."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._drawing: dict[str, asyncio.Task[bytes]] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0

    async def made(self, picture: AnyPicture) -> Ready:
        """The picture. Raises Invalid, RateLimited."""
        check(picture)
        tag = tag_of(picture)
        return Ready(await self._body(picture, tag), MEDIA[picture.format], tag)

    async def _body(self, picture: AnyPicture, tag: str) -> bytes:
        if tag in self._kept:
            self._kept.move_to_end(tag)
            return self._kept[tag]
        task = self._drawing.get(tag)
        if task is None:
            if len(self._drawing) >= WAITING_MAX:
                raise _busy()
            task = self._drawing[tag] = asyncio.create_task(self._draw(picture, tag))
            task.add_done_callback(lambda _: self._drawing.pop(tag))
        return await asyncio.shield(task)  # others may wait for the same

    async def _draw(self, picture: AnyPicture, tag: str) -> bytes:
        async with self._places:
            body = await asyncio.to_thread(encoded, picture)
        self._kept[tag] = body
        self._kept_bytes += len(body)
        while self._kept_bytes > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)
        return body


def _busy() -> RateLimited:
    busy = RateLimited("too many pictures are being drawn; try again")
    busy.retry_after_s = RETRY_S
    return busy


def encoded(picture: AnyPicture) -> bytes:
    """The bytes of the picture in its format. Takes its time; for a thread."""
    return png(pixels_of(picture)) if picture.format == "png" else svg_of(picture).encode()


def png(pixels: Pixels) -> bytes:
    """A PNG of (rows, columns, 3) or, with alpha, 4."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=COMPRESSION)
    return out.getvalue()


def tag_of(picture: AnyPicture) -> str:
    """Of what is drawn, and of the version of what draws it."""
    named = f"{version('sangha')} {type(picture).__name__} ".encode() + msgspec.json.encode(picture)
    return hashlib.sha256(named).hexdigest()[:32]
