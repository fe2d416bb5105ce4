"""The native dialect's frames: what a client may send, and how what it gets is spelled.

Inbound text becomes a ``Frame`` or an error that names what was wrong and where; outbound pieces that are already JSON are
spliced, never decoded. Nothing is decided here: bounds that belong to the domain (a name's length) are the domain's.

Two kinds of refusal: ``Malformed`` is no request at all (it counts towards closing the socket), ``Rejected`` is a known
request with a wrong value. Both carry the request's id where one could be read. Pure.
"""

from __future__ import annotations

import gc
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson
from msgspec import Meta

from actors.eustress.values import SpaceName as EustressName
from actors.runtime.codec import Uuid, field_error, has_nul, invalid
from actors.runtime.errors import CODES, BadRequest, FieldError, Internal, Invalid, SanghaError
from actors.runtime.wire import Refused

MAX_ID: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly."""
UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
COLLECTED_BYTES: Final = 2 * 1024
"""Smaller frames hold too little to wake the garbage collector."""
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
STREAM_IDS: Final = {
    "space": UUID.pattern,
    "practitioner": UUID.pattern,
    "audio_session": UUID.pattern,
    "eustress": r"[^\x00-\x1f\x7f]{1,200}",
}
"""By kind of stream, what an id looks like. A Eustress space's is the engine's own text."""
STREAM: Final = re.compile("|".join(f"^{kind}:{ids}$" for kind, ids in STREAM_IDS.items()))
STREAM_NAMES: Final = "space:UUID, practitioner:UUID, audio_session:UUID or eustress:NAME"
VERSION_MAX: Final = 2**31 - 1
"""Of a state: the column's."""
GUEST_NAME_MAX: Final = 100
"""Characters, as for a spiritual name."""

RequestId = Annotated[int, Meta(ge=1, le=MAX_ID, description="counts upward; the same again is a retry")]
SpaceName = Annotated[str, Meta(description="the space's UUID or slug")]
RitualName = Annotated[str, Meta(description="the ritual's UUID or name")]
Offset = Annotated[int, Meta(ge=0, le=MAX_ID)]
GuestName = Annotated[str, Meta(min_length=1, max_length=GUEST_NAME_MAX, description="the name that a guest shows")]
Stream = Annotated[str, Meta(description=STREAM_NAMES, extra_json_schema={"pattern": STREAM.pattern})]
Version = Annotated[int, Meta(ge=0, le=VERSION_MAX)]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What every request has."""

    id: RequestId


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier session, and how far its streams were read. ``secret`` is a guest's."""

    session: Annotated[str, Meta(description="as an earlier auth was answered")]
    secret: str | None = None
    offsets: Annotated[dict[str, Offset], Meta(description="by stream, the last offset that was seen")] = {}


class Auth(Request, frozen=True, kw_only=True):
    """Who is there: a token, or a guest's name."""

    token: Annotated[str, Meta(description="of a login")] | None = None
    guest: GuestName | None = None
    resume: Resume | None = None


class Ping(Request, frozen=True, kw_only=True):
    """Are you there, and what time is it?"""


class SpaceList(Request, frozen=True, kw_only=True):
    """Spaces that the caller may know of, newest first."""

    limit: int = 50
    before: Annotated[Uuid, Meta(description="the last space of the page before")] | None = None
    q: Annotated[str, Meta(description="a text somewhere in name, purpose or slug")] | None = None


class SpaceCreate(Request, frozen=True, kw_only=True):
    """A new space. The caller becomes its facilitator, and takes part by joining like everyone; a guest's space is open."""

    name: Any = msgspec.UNSET
    purpose: Any = msgspec.UNSET
    slug: Any = msgspec.UNSET
    tradition: Any = msgspec.UNSET
    participant_limit: Any = msgspec.UNSET
    access_level: Any = msgspec.UNSET
    ritual_schedule: Any = msgspec.UNSET


class SpaceRequest(Request, frozen=True, kw_only=True):
    """A request about one space, by UUID or slug."""

    space: SpaceName


class SpaceUpdate(SpaceRequest, frozen=True, kw_only=True):
    """New values for some fields of a space; what is absent stays."""

    name: Any = msgspec.UNSET
    purpose: Any = msgspec.UNSET
    tradition: Any = msgspec.UNSET
    participant_limit: Any = msgspec.UNSET
    access_level: Any = msgspec.UNSET
    ritual_schedule: Any = msgspec.UNSET
    shared_state: Any = msgspec.UNSET


def domain_fields(request: Request) -> dict[str, Any]:
    """The fields of a request that are the domain's: not absent, and not the envelope's or the name of what is looked up."""
    return {
        name: value
        for name in request.__struct_fields__
        if name not in ("id", "space", "ritual") and (value := getattr(request, name)) is not msgspec.UNSET
    }


class SpaceInvite(SpaceRequest, frozen=True, kw_only=True):
    """Let a practitioner in."""

    practitioner: str


class SpaceJoin(SpaceRequest, frozen=True, kw_only=True):
    """Take part; ``after`` asks for a replay from that offset in place of a snapshot."""

    after: Annotated[Offset, Meta(description="replay what came after this offset")] | None = None


class SpaceLeave(SpaceRequest, frozen=True, kw_only=True):
    """Take part no longer."""


class SpaceClose(SpaceRequest, frozen=True, kw_only=True):
    """End the space."""


class SpaceGet(SpaceRequest, frozen=True, kw_only=True):
    """The space as it is now."""


class SpaceSend(SpaceRequest, frozen=True, kw_only=True):
    """A message to everyone in the space: any JSON."""

    body: Annotated[Any, Meta(description="any JSON")]


class SpacePulse(SpaceRequest, frozen=True, kw_only=True):
    """The phase of one's breath or pulse, in radians."""

    phase_rad: Annotated[float, Meta(description="any real number; it is taken modulo 2π")]


class SpaceRitualBegin(SpaceRequest, frozen=True, kw_only=True):
    """A group ritual, by id or name, that opens ``starts_in_s`` from now or at a time."""

    ritual: RitualName
    intention: Any = msgspec.UNSET
    parameters: Any = msgspec.UNSET
    starts_in_s: Any = msgspec.UNSET
    at: Any = msgspec.UNSET
    opening_s: Any = msgspec.UNSET
    integration_s: Any = msgspec.UNSET


class SpaceRitualAbort(SpaceRequest, frozen=True, kw_only=True):
    """End the group ritual, or the scheduled one that is named."""

    ritual_run: Any = msgspec.UNSET


class SpaceRitualGet(SpaceRequest, frozen=True, kw_only=True):
    """The space's group rituals: under way, last, scheduled."""


class OwnRequest(Request, frozen=True, kw_only=True):
    """A request about the practitioner's own archetypal state. A guest has none."""


class RitualRun(OwnRequest, frozen=True, kw_only=True):
    """Run a ritual, by id or name, on one's state; answered when it has ended."""

    ritual: RitualName
    intention: Any = msgspec.UNSET
    parameters: Any = msgspec.UNSET


class StateGet(OwnRequest, frozen=True, kw_only=True):
    """The state as it is now."""


class StateTransform(OwnRequest, frozen=True, kw_only=True):
    """One change of the state by one's own hand."""

    transformation_type: Any = msgspec.UNSET
    parameters: Any = msgspec.UNSET


class StateHistory(OwnRequest, frozen=True, kw_only=True):
    """Versions of the state, newest first; ``before`` is the id, or the version, of the last one of the page before."""

    limit: int = 50
    before: Uuid | Version | None = None


class StateReflection(OwnRequest, frozen=True, kw_only=True):
    """What the oracle says of the state, or of a run."""

    session_id: Annotated[str, Meta(description="a completed run of one's own; without it, the state")] | None = None


class EustressRequest(Request, frozen=True, kw_only=True):
    """A request about one Eustress space, by its name. For a service token of eustress, or the local user."""

    space: EustressName


class EustressSubscribe(EustressRequest, frozen=True, kw_only=True):
    """Follow a Eustress space: a snapshot of its figures (or the replay after an offset), then what changes in it."""

    after: Annotated[Offset, Meta(description="replay what came after this offset")] | None = None


class EustressUnsubscribe(EustressRequest, frozen=True, kw_only=True):
    """Follow it no longer: this session alone."""


class EustressIngest(EustressRequest, frozen=True, kw_only=True):
    """Changes of a scene, applied in this order, all or none; answered when they are committed.

    A socket may ask so many requests a second, whatever is in them: whoever has much to say says it in batches.
    """

    entities: Any = msgspec.UNSET
    connections: Any = msgspec.UNSET
    parameters: Any = msgspec.UNSET
    removed_connections: Any = msgspec.UNSET
    removed_entities: Any = msgspec.UNSET


class AudioRequest(Request, frozen=True, kw_only=True):
    """A request about one audio session, by its id: one's own, or one that is shared with a space that one participates in."""

    session: Uuid


class AudioListen(AudioRequest, frozen=True, kw_only=True):
    """Hear an audio session: its snapshot, then what becomes of it, its sound as binary frames, and its spectrum if asked for.

    Frames are sent before they sound and may be lost on a slow connection; they are never resumed, one listens anew.
    """

    codec: Annotated[Literal["pcm", "opus"], Meta(description="pcm: 16 bits, 44.1 kHz; opus: 48 kHz")] = "pcm"
    spectrum: Annotated[bool, Meta(description="ten times a second, measured from what sounds then")] = False


class AudioUnlisten(AudioRequest, frozen=True, kw_only=True):
    """Hear it no longer: this session alone."""


class History(Request, frozen=True, kw_only=True):
    """Numbered events of a stream, oldest first."""

    stream: Stream
    after: Offset = 0
    limit: int = 100


REQUESTS: Final[dict[str, type[Request]]] = {
    "auth": Auth,
    "ping": Ping,
    "space.list": SpaceList,
    "space.create": SpaceCreate,
    "space.update": SpaceUpdate,
    "space.invite": SpaceInvite,
    "space.join": SpaceJoin,
    "space.leave": SpaceLeave,
    "space.close": SpaceClose,
    "space.get": SpaceGet,
    "space.send": SpaceSend,
    "space.pulse": SpacePulse,
    "space.ritual.begin": SpaceRitualBegin,
    "space.ritual.abort": SpaceRitualAbort,
    "space.ritual.get": SpaceRitualGet,
    "ritual.run": RitualRun,
    "state.get": StateGet,
    "state.transform": StateTransform,
    "state.history": StateHistory,
    "state.reflection": StateReflection,
    "eustress.subscribe": EustressSubscribe,
    "eustress.unsubscribe": EustressUnsubscribe,
    "eustress.ingest": EustressIngest,
    "audio.listen": AudioListen,
    "audio.unlisten": AudioUnlisten,
    "history": History,
}

_ITEMS: Final = {"entities", "connections", "removed_connections", "removed_entities"}
_ANY_JSON: Final = frozenset({"body", "parameters", "ritual_schedule", "shared_state", *_ITEMS})
_ANY_JSON_OF: Final = {
    known: tuple(field for field in known.__struct_fields__ if field in _ANY_JSON) for known in REQUESTS.values()
}
"""Fields whose values may be any JSON, by type: found once and not for each frame."""


class Frame(msgspec.Struct, frozen=True):
    """A well-formed inbound frame. ``digest`` is equal for equal requests within this process, and never 0."""

    request: Request
    digest: int


class Refusal(Exception):
    """An inbound frame that is no request. ``id`` is None where none could be read."""

    def __init__(self, request_id: int | None, error: SanghaError) -> None:
        super().__init__(error.message)
        self.id = request_id
        self.error = error


class Malformed(Refusal):
    """Not JSON, not an object, no usable id, no known type."""


class Rejected(Refusal):
    """A known request with a wrong value."""


def parse(data: bytes, max_depth: int) -> Frame:
    """One inbound text frame. Raises Malformed or Rejected.

    Values that may be any JSON are kept as JSON texts (``msgspec.Raw``): a request may wait, 256 of them on one socket, and
    64 KB of empty lists are 1.3 MB of them. And nothing that JSON holds is a cycle, so the collector has no business here: for
    such a frame it looked at all of the gateway's objects several times, at five times the cost of all the rest.
    """
    if len(data) < COLLECTED_BYTES or not gc.isenabled():
        return _parsed(data, max_depth)
    gc.disable()
    try:
        return _parsed(data, max_depth)
    finally:
        gc.enable()


def _parsed(data: bytes, max_depth: int) -> Frame:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as failure:
        raise Malformed(None, BadRequest(f"not JSON: {failure}")) from None
    if type(value) is not dict:
        raise Malformed(None, BadRequest("a frame is a JSON object"))
    request_id = value.get("id")
    if type(request_id) is not int or not 1 <= request_id <= MAX_ID:
        raise Malformed(None, BadRequest("id must be an integer from 1 to 2^53-1"))
    name = value.get("type")
    known = REQUESTS.get(name) if type(name) is str else None
    if known is None:
        raise Malformed(request_id, BadRequest("unknown type" if name is not None else "type is missing"))
    try:
        check_json(data, value, max_depth)
        request = msgspec.convert(value, known)
    except Invalid as error:
        raise Rejected(request_id, error) from None
    except msgspec.ValidationError as failure:
        wrong = field_error(failure, known)
        raise Rejected(request_id, invalid(wrong.path, wrong.message)) from None
    for field in _ANY_JSON_OF[known]:
        if field in value:
            msgspec.structs.force_setattr(request, field, msgspec.Raw(orjson.dumps(value[field])))
    return Frame(request, hash(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)) or 1)


def check_json(data: bytes, value: Any, max_depth: int) -> None:
    """Bounds on any inbound JSON: nesting, and no NUL in a string (PostgreSQL's jsonb and text have none). Raises Invalid.

    Counting brackets is cheap and errs to one side only (brackets within strings), so more is rarely needed.
    """
    if data.count(b"{") + data.count(b"[") > max_depth and deeper_than(data, max_depth):
        raise invalid("", f"nested deeper than {max_depth}")
    if b"\\u0000" in data and has_nul(data):
        raise invalid(nul_path(value), "contains U+0000, which cannot be stored")


def deeper_than(data: bytes, depth: int) -> bool:
    """Whether arrays and objects of a JSON text (one that could be read) nest deeper than ``depth`` levels.

    Nothing but the brackets is kept; then each turn takes away all that have nothing within. Rejected: a walk over the
    values, at 7 ms for a frame of 64 KB of ``[],[],…``, and half a second of the event loop for an HTTP body of 4 MiB.
    """
    brackets = _STRING.sub(b"", data).translate(_AS_SQUARE, _NO_BRACKETS)
    for _ in range(depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def nul_path(value: Any) -> str:
    """The path of a string (or of the object with a key) that has U+0000 in it; empty where none has."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if type(item) is str and "\0" in item:
            return ".".join(path)
        if type(item) is dict:
            if any("\0" in key for key in item):
                return ".".join(path)
            stack += [((*path, key), below) for key, below in item.items()]
        elif type(item) is list:
            stack += [((*path, str(index)), below) for index, below in enumerate(item)]
    return ""


# --- what goes out -------------------------------------------------------------------------------------------------


def result(request_id: int, body: bytes) -> bytes:
    """The answer to a request; ``body`` is JSON."""
    return b'{"id":%d,"type":"result","result":%b}' % (request_id, body)


def error(request_id: int | None, failure: SanghaError) -> bytes:
    """An error instead of an answer; without an id where none could be read."""
    body: dict[str, Any] = {} if request_id is None else {"id": request_id}
    body["type"] = "error"
    body["error"] = error_body(failure)
    return orjson.dumps(body)


def error_body(failure: SanghaError) -> dict[str, Any]:
    """``{code, message, retryable, errors?, retry_after_s?}``."""
    body: dict[str, Any] = {"code": failure.code, "message": failure.message, "retryable": failure.retryable}
    if failure.errors:
        body["errors"] = [{"path": each.path, "message": each.message} for each in failure.errors]
    if failure.retry_after_s is not None:
        body["retry_after_s"] = round(failure.retry_after_s, 1)
    return body


def from_refused(refused: Refused) -> SanghaError:
    """The error that a shard's refusal stands for."""
    kind = CODES.get(refused.code, Internal)
    failure = kind(refused.message, tuple(FieldError(path, message) for path, message in refused.errors))
    failure.retry_after_s = refused.retry_after_s
    return failure


def snapshot(body: bytes, reason: str) -> bytes:
    """The whole of a stream; ``body`` is the shard's ``{"stream","offset","state"}``, ``reason`` is ``joined`` or ``gap``."""
    return b'{"type":"snapshot",%b,"reason":"%b"}' % (body[1:-1], reason.encode())


def left(stream: str, reason: str) -> bytes:
    """The session no longer follows a stream: one that it asked to resume, or an audio session that it may hear no longer.
    Unnumbered, for this session only.

    ``reason`` is an error code: ``not_found`` (closed), ``forbidden`` (no longer a member), ``full`` …
    """
    return orjson.dumps({"type": "event", "stream": stream, "event": "left", "body": {"reason": reason}})


def bye(retry_after_ms: int) -> bytes:
    """The server goes away; come back after so long."""
    return b'{"type":"bye","code":"draining","retry_after_ms":%d}' % retry_after_ms


def utc_now() -> str:
    """RFC 3339 with a Z, to the microsecond."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def text_frame(payload: bytes) -> bytes:
    """The unmasked WebSocket text frame of a payload (RFC 6455, 5.2), ready for any number of transports."""
    return _frame(b"\x81", payload)


def binary_frame(payload: bytes) -> bytes:
    """The unmasked binary frame: sound."""
    return _frame(b"\x82", payload)


def _frame(first: bytes, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return b"%b%c%b" % (first, size, payload)
    if size < 65536:
        return b"%b\x7e%b%b" % (first, size.to_bytes(2, "big"), payload)
    return b"%b\x7f%b%b" % (first, size.to_bytes(8, "big"), payload)


def pong_frame(payload: bytes) -> bytes:
    """The unmasked answer to a ping, of at most 125 bytes."""
    return b"\x8a%c%b" % (len(payload), payload)


def close_frame(code: int, reason: str) -> bytes:
    """The unmasked close frame."""
    body = code.to_bytes(2, "big") + reason.encode()[:123]
    return b"\x88%c%b" % (len(body), body)
