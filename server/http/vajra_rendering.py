"""A sound as a file that is streamed: from a thread that renders it to the socket, at the client's pace.

Rendering is off the event loop, and a piece is made when the one before was taken: memory is flat, and the client's leaving ends
it. What fails before the first byte is an error like any other; later the answer is cut off, which no reader takes for a whole
file. Files and short work (a list of samples, a spectrum) have places and threads of their own, so that nobody waits for a
spectrum behind a download of a day; and nobody has more than a share of either.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from actors.audio.recipe import Recipe
from server.by_gateway import ByGateway
from server.http.context import gateway_of
from server.http.problems import problem_response
from server.limits import TooSoon
from server.sound.files import MEDIA, Format, encoded, size_of, wav_part

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

WORKERS: Final = 2
"""Threads of a gateway that render files at the same time, and as many for short work; sockets need the processor too."""
EACH: Final = 4
"""Places of one practitioner: of the files, and of the short work."""
SHORT: Final = 16
"""Short works of a gateway at once, from the first sample to the last byte sent: a list is up to 20 MB."""
RETRY_S: Final = 5.0
"""For whom all places are taken."""
STALL_S: Final = 60.0
"""A client that takes nothing for so long has no place: others wait."""
PIECE_BYTES: Final = 2**18
"""Of a list that is sent."""
_NO_BYTES: Final = re.compile("bytes=-0+")

T = TypeVar("T")


class Places:
    """How many works of one sort a gateway does for HTTP: begun, and in hand."""

    def __init__(self, most: int, each: int, what: str) -> None:
        self._most, self._each, self._what = most, each, what
        self._of: Counter[str] = Counter()
        self._hands = asyncio.Semaphore(WORKERS)

    @property
    def taken(self) -> int:
        """By all together."""
        return self._of.total()

    @asynccontextmanager
    async def one(self, practitioner: str) -> AsyncIterator[None]:
        """A place, while it lasts. Raises TooSoon."""
        if self._of[practitioner] >= self._each:
            raise TooSoon(f"{self._each} {self._what} of yours are under way, which is one's share; try again", RETRY_S)
        if self.taken >= self._most:
            raise TooSoon(f"{self._most} {self._what} are under way, and no more may be; try again", RETRY_S)
        self._of[practitioner] += 1
        try:
            yield
        finally:
            self._of[practitioner] -= 1
            if not self._of[practitioner]:
                del self._of[practitioner]

    async def work(self, do: Callable[[], T]) -> T:
        """What ``do`` answers, from a thread. Whoever is cancelled waits for the thread's end: what it works on is its own."""
        async with self._hands:
            doing = asyncio.ensure_future(asyncio.to_thread(do))
            try:
                return await asyncio.shield(doing)
            finally:
                await asyncio.wait([doing])


class AllPlaces(NamedTuple):
    """A gateway's."""

    files: Places
    short: Places


def _places(gateway: Gateway) -> AllPlaces:
    most, each = gateway.settings.audio_renders, 10**9 if gateway.settings.lab else EACH
    return AllPlaces(Places(most, each, "sounds"), Places(SHORT, each, "short sounds"))


places_of: Final = ByGateway(_places)


async def listed(request: web.Request, practitioner: str, make: Callable[[], bytes]) -> web.StreamResponse:
    """The answer: JSON that takes a moment to make, and has a place until it is sent. Raises TooSoon."""
    places = places_of(gateway_of(request)).short
    async with places.one(practitioner):
        body = await places.work(make)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        pieces = (body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES))
        return await _sent(request, web.StreamResponse(headers=headers), _at_once(pieces))


async def _at_once(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def stream(
    request: web.Request, practitioner: str, recipe: Recipe, format_: Format, name: str
) -> web.StreamResponse:
    """The answer: the file of that format, called ``name``, or the part of it that is asked for. Raises TooSoon."""
    size, tag = size_of(recipe, format_), tag_of(recipe, format_)
    headers = {
        "Content-Type": MEDIA[format_],
        "Content-Disposition": f'inline; filename="{name}.{format_}"',
        "Cache-Control": "private, max-age=3600",  # the same question has the same answer
        "ETag": f'"{tag}"',
        "Accept-Ranges": "none" if size is None else "bytes",
    }
    if any(each.value in (tag, "*") for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    part = None if size is None else _part(request, size, tag)
    if size is not None and part is not None and part.start >= part.stop:
        return _nowhere(size)
    places = places_of(gateway_of(request)).files
    async with places.one(practitioner):
        pieces = encoded(recipe, format_) if part is None else wav_part(recipe, part.start, part.stop)
        try:
            response = _response(headers, size, part)
            return await _sent(request, response, _made(places, pieces))
        finally:
            await places.work(pieces.close)


def tag_of(recipe: Recipe, format_: Format) -> str:
    """Of what sounds, and of the version of what renders it."""
    named = f"{version('sangha')} {format_} ".encode() + msgspec.json.encode(recipe)
    return hashlib.sha256(named).hexdigest()[:32]


def _part(request: web.Request, size: int, tag: str) -> range | None:
    """Which bytes are asked for; an empty range is one beyond the end. None: all of them, also where it cannot be told which, or
    a part of another version."""
    if request.headers.get("If-Range", f'"{tag}"') != f'"{tag}"':
        return None
    try:
        asked = request.http_range
    except ValueError:  # another unit, or several parts: RFC 9110 lets the whole be sent
        return None
    if asked.start is None and asked.stop is None:
        return None
    if _NO_BYTES.fullmatch(request.headers["Range"].strip()):  # aiohttp: from minus nought, which is all
        return range(0)
    return range(size)[asked]


def _nowhere(size: int) -> web.Response:
    message = f"the file has {size} bytes, and none of them is in the range"
    response = problem_response(416, {"code": "bad_request", "message": message, "retryable": False})
    response.headers["Content-Range"] = f"bytes */{size}"
    return response


def _response(headers: dict[str, str], size: int | None, part: range | None) -> web.StreamResponse:
    if size is None:
        return web.StreamResponse(headers=headers)
    if part is None:
        return web.StreamResponse(headers=headers | {"Content-Length": str(size)})
    place = {"Content-Length": str(len(part)), "Content-Range": f"bytes {part.start}-{part.stop - 1}/{size}"}
    return web.StreamResponse(status=206, headers=headers | place)


async def _made(places: Places, pieces: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    while (piece := await places.work(lambda: next(pieces, None))) is not None:
        yield piece


async def _sent(request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """The response with these pieces, each when the one before was taken."""
    piece = await anext(pieces, None)
    await response.prepare(request)
    try:
        while piece is not None:
            async with asyncio.timeout(STALL_S):
                await response.write(piece)
            piece = await anext(pieces, None)
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
