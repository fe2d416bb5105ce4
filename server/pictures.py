"""Pictures made ready to be sent: drawn in a thread, a few at a time, kept for whoever asks for the same.

Nobody needs a login to have one drawn, so an address has a rate and a share of those that wait; and what nobody waits for any
more is not begun. A picture is a function of its parameters, so its entity tag is one of them too: who has it is told so without
drawing it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec
from PIL import Image

from actors.visuals.pictures import AnyPicture, check, pixels_of, svg_of
from actors.visuals.raster import Pixels
from server.limits import RateLimit, TooSoon

MEDIA: Final = {"svg": "image/svg+xml", "png": "image/png"}
AT_ONCE: Final = 2
"""Drawn at one time in a gateway: the largest takes a second or two of a core, and some 100 MiB."""
WAITING_MAX: Final = 32
"""Who comes when so many wait is asked to come again: the last of them would wait for a minute as it is."""
WAITING_EACH: Final = 8
"""For one address: it does not keep the others from theirs."""
PER_MINUTE: Final = 60
"""Drawn for one address; what is kept is not drawn. The dearest takes 2 s of a core."""
RETRY_S: Final = 5.0
KEPT_BYTES: Final = 16 * 2**20
COMPRESSION: Final = 6


class Ready(NamedTuple):
    """A picture's bytes and what they are."""

    body: bytes
    media: str
    tag: str


class _Drawing:
    """A picture in the making, and how many wait for it."""

    def __init__(self, asker: str, draw: Coroutine[Any, Any, bytes]) -> None:
        self.asker = asker
        self.task = asyncio.create_task(draw)
        self.waiting = 0
        self.begun = False


class Studio:
    """Draws the pictures of one gateway. ``lifted``: whoever asks may ask for all that there is room for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, lifted: bool = False) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._drawings: dict[str, _Drawing] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._rate = RateLimit(10**9 if lifted else PER_MINUTE, clock)
        self._share = WAITING_MAX if lifted else WAITING_EACH

    async def made(self, picture: AnyPicture, asker: str) -> Ready:
        """The picture. ``asker``: whose it counts as, where it has to be drawn. Raises Invalid, TooSoon."""
        check(picture)
        tag = tag_of(picture)
        return Ready(await self._body(picture, tag, asker), MEDIA[picture.format], tag)

    async def _body(self, picture: AnyPicture, tag: str, asker: str) -> bytes:
        if tag in self._kept:
            self._kept.move_to_end(tag)
            return self._kept[tag]
        drawing = self._drawings.get(tag)
        if drawing is None:
            self._check_room(asker)
            drawing = self._drawings[tag] = _Drawing(asker, self._draw(picture, tag))
            drawing.task.add_done_callback(partial(self._done, tag, drawing))
        drawing.waiting += 1
        try:
            return await asyncio.shield(drawing.task)  # others may wait for the same
        finally:
            drawing.waiting -= 1
            if not drawing.waiting and not drawing.begun:  # nobody is left to draw it for
                self._forget(tag, drawing)
                drawing.task.cancel()

    def _check_room(self, asker: str) -> None:
        if sum(drawing.asker == asker for drawing in self._drawings.values()) >= self._share:
            raise TooSoon(f"{self._share} pictures for your address are being drawn; try again", RETRY_S)
        if len(self._drawings) >= WAITING_MAX:
            raise TooSoon("too many pictures are being drawn; try again", RETRY_S)
        self._rate.take(asker)

    def _done(self, tag: str, drawing: _Drawing, task: asyncio.Task[bytes]) -> None:
        self._forget(tag, drawing)
        _ = task.cancelled() or task.exception()  # seen, also where nobody waits any more

    def _forget(self, tag: str, drawing: _Drawing) -> None:
        if self._drawings.get(tag) is drawing:
            del self._drawings[tag]

    async def _draw(self, picture: AnyPicture, tag: str) -> bytes:
        async with self._places:
            self._drawings[tag].begun = True
            body = await asyncio.to_thread(encoded, picture)
        self._kept[tag] = body
        self._kept_bytes += len(body)
        while self._kept_bytes > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)
        return body


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
