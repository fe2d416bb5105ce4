"""How values of a domain become bytes and come back: tagged unions as JSON or msgpack, old formats upcast.

Events and checkpoints carry an integer ``format``. What an older version wrote passes through upcasters, pure functions
``data -> data`` from one format to the next; what a newer version wrote is refused, never guessed. Commands come from the
wire (``from_wire``, a dict of JSON values) or over a link (``CommandCodec``, msgpack); both end in the same frozen Struct,
valid from birth as far as its type can say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar, cast

import msgspec

from actors.runtime.errors import BadRequest, FieldError, Invalid
from actors.runtime.forms import form_of

T = TypeVar("T")
Upcaster = Callable[[Any], Any]
"""From a format to the next, over the decoded JSON."""

# (?!\n): Python's $ also matches before a final newline.
Uuid = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)")]

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD: Final = re.compile(r"^Object (?P<how>contains unknown|missing required) field `(?P<field>[^`]*)`")
_HOW: Final = {"contains unknown": "is not known here", "missing required": "is required"}
_TYPES: Final = re.compile(r"`([^`]+)`")
_JSON_TYPES: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
}
"""Who wrote the request knows JSON, and not necessarily Python."""
_REGEX: Final = re.compile(r"Expected `str` matching regex (?P<regex>.*)", re.DOTALL)
_JSON_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

NULL: Final = msgspec.Raw(b"null")


class FormatTooNew(ValueError):
    """Written by a newer version of this program than the one that reads."""


def path(*parts: object) -> str:
    """The path of a field in an error: ``archetypes.Shadow``, ``symbols.3``."""
    return ".".join(str(part) for part in parts)


def field_error(failure: msgspec.ValidationError, type_: Any = None) -> FieldError:
    """What msgspec found wrong, and where. ``type_``: what it was to be, which may say of what form a text is."""
    found = _AT.match(str(failure))
    what, where = (found["what"], found["path"] or "") if found else (str(failure), "")
    if named := _FIELD.match(what):
        return FieldError(path=path(*filter(None, (where, named["field"]))), message=_HOW[named["how"]])
    if formed := _REGEX.fullmatch(what):
        form = form_of(formed["regex"], type_, where)
        return FieldError(path=where, message="Not of the form that is allowed here" + (f": {form}" if form else ""))
    return FieldError(path=where, message=_TYPES.sub(_in_json, what))


def _in_json(types: re.Match[str]) -> str:
    return " or ".join(_JSON_TYPES.get(type_, type_) for type_ in types[1].split(" | "))


def invalid(where: str, message: str) -> Invalid:
    """The error of one field."""
    return Invalid(f"{where}: {message}" if where else message, (FieldError(path=where, message=message),))


def from_wire(type_: type[T], fields: Mapping[str, Any]) -> T:
    """A command from the fields of a request (without ``id``, ``type`` and the address), JSON values as they were parsed.

    Fields that the command names in ``json_fields`` are any JSON and become its text. Raises Invalid with the field's path.
    """
    as_json = cast("frozenset[str]", getattr(type_, "json_fields", frozenset()))
    try:
        return msgspec.convert(
            {name: msgspec.json.encode(value) if name in as_json else value for name, value in fields.items()}, type_
        )
    except msgspec.ValidationError as failure:
        error = field_error(failure, type_)
        raise invalid(error.path, error.message) from failure


def has_nul(text: bytes) -> bool:
    """Whether a JSON text has the character U+0000, which Postgres keeps in no text and no jsonb."""
    return _JSON_NUL.search(text) is not None


class CommandCodec(Generic[T]):
    """A kind's commands, a tagged union, as they cross a link."""

    def __init__(self, union: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(union).decode
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, command: T) -> bytes:
        """msgpack."""
        return self._encoder.encode(command)

    def decode(self, data: bytes) -> T:
        """Raises Invalid (a field out of its bounds) or BadRequest (not a command)."""
        try:
            return cast("T", self._decode(data))
        except msgspec.ValidationError as failure:
            error = field_error(failure)
            raise invalid(error.path, error.message) from failure
        except msgspec.DecodeError as failure:
            raise BadRequest("not a command") from failure


class Codec(Generic[T]):
    """A kind's events, or its state, as JSON. ``upcasters[n]`` makes format n + 1 of format n."""

    def __init__(self, type_: Any, format_: int, upcasters: Mapping[int, Upcaster] | None = None) -> None:
        self.format: Final = format_
        self._upcasters = dict(upcasters or {})
        self._decode = msgspec.json.Decoder(type_).decode
        self._encoder = msgspec.json.Encoder()

    def encode(self, value: T) -> bytes:
        """JSON in the newest format."""
        return self._encoder.encode(value)

    def decode(self, format_: int, data: bytes) -> T:
        """From any format ever written. Raises FormatTooNew."""
        if format_ == self.format:
            return cast("T", self._decode(data))
        if format_ > self.format:
            raise FormatTooNew(f"format {format_} is newer than {self.format}")
        return cast("T", self._decode(self._upcast(format_, data)))

    def _upcast(self, format_: int, data: bytes) -> bytes:
        value = msgspec.json.decode(data)
        for step in range(format_, self.format):
            value = self._upcasters[step](value)
        return msgspec.json.encode(value)


def tag_of(value: msgspec.Struct) -> str:
    """The tag of a tagged Struct: an event's type in the journal."""
    return cast("str", value.__struct_config__.tag)


class Kept:
    """How a kind's events and state are kept: the part of ``EntityKind`` that is the same for every kind with two codecs; and
    what most kinds answer the runtime, which the others say for themselves."""

    events: ClassVar[Codec[Any]]
    states: ClassVar[Codec[Any]]
    versioned: ClassVar[tuple[str, ...]] = ()

    def subscribes(self, command: Any) -> bool:
        """None makes the caller follow the stream."""
        return False

    def request(self, command: Any, data: bytes) -> bytes:
        """All of a command has to be repeated."""
        return data

    def awaits(self, command: Any, operation: str | None, entity_id: str) -> Any | None:
        """Nothing takes long."""
        return None

    def claims(self, command: Any) -> Sequence[tuple[str, str]]:
        """No name is unique."""
        return ()

    def restored(self, state: Any, table: str, rows: Sequence[tuple[Any, ...]]) -> Any:
        """All of the state is in the journal."""
        return state

    def shown(self, published: Any, state: Any) -> Any:
        """What was published stays as it was."""
        return published

    def event_type(self, event: Any) -> str:
        """The name of an event in the journal."""
        return tag_of(event)

    def encode_event(self, event: Any) -> bytes:
        """JSON."""
        return self.events.encode(event)

    def decode_event(self, format_: int, data: bytes) -> Any:
        """An event of any format."""
        return self.events.decode(format_, data)

    def encode_state(self, state: Any) -> bytes:
        """JSON."""
        return self.states.encode(state)

    def decode_state(self, format_: int, data: bytes) -> Any:
        """A state of any format."""
        return self.states.decode(format_, data)
