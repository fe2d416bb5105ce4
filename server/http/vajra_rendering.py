"""A sound as a file that is streamed: from a thread that renders it to the socket, at the client's pace.

Rendering is off the event loop, ``WORKERS`` at once in a gateway whoever waits, and a piece is made when the one before was
taken: memory is flat, and the client's leaving ends it. What fails before the first byte is an error like any other; later the
answer is cut off, which no reader takes for a whole file.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from aiohttp import web

from actors.audio.recipe import Recipe
from server.http.context import gateway_of
from server.limits import TooSoon
from server.sound.files import MEDIA, Format, encoded, size_of

log = logging.getLogger(__name__)

WORKERS: Final = 2
"""Threads of a gateway that render for HTTP at the same time; sockets need the processor too."""
RETRY_S: Final = 5.0
"""For whom all places are taken."""
STALL_S: Final = 60.0
"""A client that takes nothing for so long has no place: others wait."""

T = TypeVar("T")


class Places:
    """How many sounds a gateway renders for HTTP: begun, and in hand."""

    def __init__(self) -> None:
        self.taken = 0
        self._hands = asyncio.Semaphore(WORKERS)

    @asynccontextmanager
    async def one(self, most: int) -> AsyncIterator[None]:
        """A place, while it lasts. Raises TooSoon."""
        if self.taken >= most:
            raise TooSoon(f"{self.taken} sounds are being rendered, and {most} may be; try again", RETRY_S)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def work(self, do: Callable[[], T]) -> T:
        """What ``do`` answers, from a thread. Whoever is cancelled waits for the thread's end: what it works on is its own."""
        async with self._hands:
            doing = asyncio.ensure_future(asyncio.to_thread(do))
            try:
                return await asyncio.shield(doing)
            finally:
                await asyncio.wait([doing])


_places: weakref.WeakKeyDictionary[object, Places] = weakref.WeakKeyDictionary()
"""By gateway."""


def places_of(gateway: object) -> Places:
    """A gateway's."""
    return _places.setdefault(gateway, Places())


async def stream(request: web.Request, recipe: Recipe, format_: Format, name: str) -> web.StreamResponse:
    """The answer: the file of that format, called ``name``. Raises TooSoon."""
    gateway = gateway_of(request)
    places = places_of(gateway)
    async with places.one(gateway.settings.audio_renders):
        pieces = encoded(recipe, format_)
        try:
            return await _piped(request, places, pieces, _response(recipe, format_, name))
        finally:
            await places.work(pieces.close)


async def _piped(
    request: web.Request, places: Places, pieces: Generator[bytes, None, None], response: web.StreamResponse
) -> web.StreamResponse:
    piece = await places.work(lambda: next(pieces, None))
    await response.prepare(request)
    try:
        while piece is not None:
            async with asyncio.timeout(STALL_S):
                await response.write(piece)
            piece = await places.work(lambda: next(pieces, None))
    except ConnectionError:
        log.debug("a sound's client left")
    except TimeoutError:
        _cut_off(request, f"its client took nothing for {STALL_S:g} s")
    except Exception:
        log.exception("a sound could not be rendered")
        _cut_off(request, "it could not be rendered")
    return response


def _cut_off(request: web.Request, why: str) -> None:
    # An end as of any other answer would make what is there look whole.
    log.warning("a sound was cut off: %s", why)
    if request.transport is not None:
        request.transport.abort()


def _response(recipe: Recipe, format_: Format, name: str) -> web.StreamResponse:
    headers = {
        "Content-Type": MEDIA[format_],
        "Content-Disposition": f'inline; filename="{name}.{format_}"',
        "Cache-Control": "private, max-age=3600",  # the same question has the same answer
    }
    size = size_of(recipe, format_)
    return web.StreamResponse(headers=headers | ({} if size is None else {"Content-Length": str(size)}))
