"""The body of a ritual's upload: JSON (the module as base64 or as an array of bytes) or a multipart form.

Its bounds are its own, because 4 MiB of module are up to 20 MiB of JSON: read as it comes, refused at the first byte too
many, four at once in a gateway and one a practitioner. An array is turned into bytes a slice at a time, so that the event
loop is never held up by one (measured: 0.3 ms a slice; 95 ms where orjson parses 4 MiB of numbers at once).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import orjson
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam
from msgspec import UNSET, UnsetType

from actors.ritual.commands import MODULE_BYTES_MIN, Upload
from actors.ritual.values import MODULE_BYTES_MAX
from actors.runtime.codec import invalid
from actors.runtime.errors import BadRequest, FieldError, Timeout, TooLarge
from server.http.context import gateway_of, object_of, raw_fields_of
from server.limits import RateLimit, TooSoon
from server.ws import protocol

BODY_BYTES: Final = 24 * 2**20
"""A module of ``MODULE_BYTES_MAX`` as numbers with a comma and a space each, and the other fields."""
BASE64_BYTES: Final = 8 * 2**20
"""A module of ``MODULE_BYTES_MAX`` takes 5.6 MiB; the rest is for line ends and escapes."""
FIELDS_BYTES: Final = 256 * 1024
"""All of a body but the module: the bounds of the fields allow less."""
AT_ONCE: Final = 4
"""Uploads in one gateway: bounds what strangers can make it hold to some 100 MiB."""
PER_MINUTE: Final = 30
"""Of one practitioner: an author at work tries often, but each try is a compile."""
READ_S: Final = 60.0
"""A body that takes longer gives its place to another."""
SLICE: Final = 64 * 1024
JSON_PARTS: Final = frozenset({"required_archetypes", "energy_requirements", "is_public"})
KNOWN_PARTS: Final = frozenset(Upload.__struct_fields__)
OPTIONAL_PARTS: Final = frozenset({"tradition", "module_language", "difficulty_level"})
"""A form sends what was left empty as an empty text."""
_decode: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Document",
        [("wasm_module", msgspec.Raw, msgspec.Raw(b"null"))]
        + [(name, msgspec.Raw | UnsetType, UNSET) for name in sorted(KNOWN_PARTS)],
    )
).decode
"""Fields that nobody knows are skipped, a million of them at no cost."""
_TORN: Final = (BadContentDispositionHeader, BadContentDispositionParam)
"""Warnings of aiohttp, which a program may have made errors; else such a part has no name."""
PLAIN_ENCODINGS: Final = ("binary", "8bit", "7bit")


class Uploads:
    """Who uploads now."""

    def __init__(self, clock: Callable[[], float], *, lifted: bool = False) -> None:
        self._uploading: set[str] = set()
        self._rate = RateLimit(10**9 if lifted else PER_MINUTE, clock)

    @contextmanager
    def place(self, practitioner: str) -> Iterator[None]:
        """One of the places, while it lasts. Raises TooSoon."""
        if practitioner in self._uploading:
            raise TooSoon("another upload of yours is under way", 1)
        if len(self._uploading) >= AT_ONCE:
            raise TooSoon(f"{AT_ONCE} uploads are under way; try again", 1)
        self._rate.take(practitioner)
        self._uploading.add(practitioner)
        try:
            yield
        finally:
            self._uploading.discard(practitioner)


UPLOADS: Final = web.AppKey("uploads", Uploads)


async def read_upload(request: web.Request) -> tuple[bytes, dict[str, Any]]:
    """The module and the other fields. Raises BadRequest, Invalid, TooLarge, Timeout."""
    if (request.content_length or 0) > BODY_BYTES:
        raise _body_too_large()
    try:
        async with asyncio.timeout(READ_S):
            if request.content_type == "multipart/form-data":
                return await _form(request)
            return await _document(request, await _body(request))
    except TimeoutError:
        raise Timeout(f"the body did not come within {READ_S:.0f} s") from None


def _body_too_large() -> TooLarge:
    return TooLarge(f"the body is larger than {BODY_BYTES} bytes; a module has at most {MODULE_BYTES_MAX}")


def _module_too_large(what: str) -> TooLarge:
    message = f"{what}; at most {MODULE_BYTES_MAX} are allowed"
    return TooLarge(f"wasm_module: {message}", (FieldError(path="wasm_module", message=message),))


def _checked(module: bytes) -> bytes:
    if len(module) < MODULE_BYTES_MIN:
        raise invalid("wasm_module", f"{len(module)} bytes are too few for a WebAssembly module")
    if len(module) > MODULE_BYTES_MAX:
        raise _module_too_large(f"the module has {len(module)} bytes")
    return module


# --- JSON ------------------------------------------------------------------------------------------------------------


async def _body(request: web.Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES:
            raise _body_too_large()
    return bytes(body)


async def _document(request: web.Request, body: bytes) -> tuple[bytes, dict[str, Any]]:
    document: Any = raw_fields_of(_decode, body)
    fields = {name: found for name in KNOWN_PARTS if (found := getattr(document, name)) is not UNSET}
    module = memoryview(document.wasm_module)
    if len(body) - len(module) > FIELDS_BYTES:
        raise TooLarge(f"the fields beside the module have more than {FIELDS_BYTES} bytes")
    others = object_of(msgspec.json.encode(fields), gateway_of(request).json_depth)
    return _checked(await _module(module)), others


async def _module(text: memoryview) -> bytes:
    """The bytes that a JSON value stands for."""
    first = bytes(text[:1])
    if first == b'"':
        return _from_base64(text)
    if first == b"[":
        return await _from_numbers(text)
    raise invalid("wasm_module", "is required" if first == b"n" else "must be base64 or an array of bytes")


def _from_base64(text: memoryview) -> bytes:
    if len(text) > BASE64_BYTES:
        raise _module_too_large(f"the module has more than {BASE64_BYTES} bytes as base64")
    try:
        letters = orjson.loads(text).encode("ascii").translate(None, string.whitespace.encode())
        return base64.b64decode(letters, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("wasm_module", "is not base64") from None


async def _from_numbers(text: memoryview) -> bytes:
    """``text`` is known to be a JSON array; each slice ends before a comma, so what parses is what stood there."""
    module, start, end = bytearray(), 1, len(text) - 1
    while start < end:
        piece = bytes(text[start : min(start + SLICE, end)])
        if start + len(piece) < end:
            piece = piece[: piece.rfind(b",")] if b"," in piece else b"no number is that long"
        module += _numbers(piece)
        start += len(piece) + 1
        if len(module) > MODULE_BYTES_MAX:
            raise _module_too_large(f"the module has more than {MODULE_BYTES_MAX} bytes")
        await asyncio.sleep(0)
    return bytes(module)


def _numbers(piece: bytes) -> bytes:
    wrong = invalid("wasm_module", "must be base64 or an array of integers from 0 to 255")
    if b"e" in piece:  # true and false, which bytes() would take for 1 and 0
        raise wrong
    try:
        return bytes(orjson.loads(b"[%b]" % piece))
    except (ValueError, TypeError):
        raise wrong from None


# --- multipart -------------------------------------------------------------------------------------------------------


async def _form(request: web.Request) -> tuple[bytes, dict[str, Any]]:
    module: bytes | None = None
    fields: dict[str, Any] = {}
    left = FIELDS_BYTES
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.name:
                raise BadRequest("each part of the form is a field with a name")
            _check_encoding(part)
            if part.name == "wasm_module":
                if module is not None:
                    raise invalid("wasm_module", "is there twice")
                module = await _part(part, MODULE_BYTES_MAX)
                continue
            text = await _part(part, left)
            left -= len(text) + len(part.name)
            _add_field(request, fields, part.name, text)
    except (*_TORN, ValueError, LookupError, HttpProcessingError) as failure:
        raise BadRequest(f"the form cannot be read: {str(failure)[:200]!a}") from None
    if module is None:
        raise invalid("wasm_module", "is required, as a file")
    return _checked(module), fields


def _check_encoding(part: BodyPartReader) -> None:
    transfer = part.headers.get("Content-Transfer-Encoding", "binary").lower()
    if transfer not in PLAIN_ENCODINGS or "Content-Encoding" in part.headers:
        raise BadRequest(f"{part.name!a}: send the part as it is, neither compressed nor encoded")


async def _part(part: BodyPartReader, most: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > most:
            if part.name == "wasm_module":
                raise _module_too_large(f"the module has more than {most} bytes")
            raise TooLarge(f"the fields beside the module have more than {FIELDS_BYTES} bytes")
    return bytes(data)


def _add_field(request: web.Request, fields: dict[str, Any], name: str, data: bytes) -> None:
    if name not in KNOWN_PARTS or (name in OPTIONAL_PARTS and not data):
        return
    if name in JSON_PARTS:
        try:
            fields[name] = orjson.loads(data)
        except orjson.JSONDecodeError as failure:
            raise invalid(name, f"is not JSON: {failure}") from None
        protocol.check_json(data, fields[name], gateway_of(request).json_depth)
        return
    try:
        fields[name] = data.decode()
    except UnicodeDecodeError:
        raise invalid(name, "is not UTF-8") from None
