"""From the JSON text that an engine sent to items, and onto a draft: a batch, or lines of a stream.

What is wrong is told with its path: ``entities.3.position.1``, ``line 17.connection.target_id``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from actors.eustress.draft import Draft
from actors.eustress.events import Counts
from actors.eustress.overlay import TooMuch
from actors.eustress.replies import Refused, Warned
from actors.eustress.scene import Delta
from actors.eustress.values import (
    INLINE_BYTES,
    ITEMS_MAX,
    WARNINGS_SHOWN,
    ConnectionKey,
    EntityId,
    Items,
    Line,
    ParameterUpdate,
    Placement,
    SceneConnection,
    SceneEntity,
)
from actors.runtime.codec import NULL, field_error, invalid
from actors.runtime.errors import FieldError, Invalid, SanghaError, TooLarge

T = TypeVar("T")

FIELDS: Final = ("entities", "placements", "connections", "parameters", "removed_connections", "removed_entities")
"""Of a batch, in the order in which they are applied."""
PLACEMENTS: Final = "placements"
_LINE_FIELDS: Final = {
    "entity": "entities",
    "connection": "connections",
    "parameter": "parameters",
    "remove_connection": "removed_connections",
    "remove_entity": "removed_entities",
}
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `([^`]*)`$")
_INDEX: Final = re.compile(r"\[([^\]]*)\]")
_KEY: Final = re.compile(r"^(.*) - at `key` in `\$\.?([^`]*)`$", re.DOTALL)


class _Body(Items, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch as it comes over HTTP: a list by a mistyped name would else be lost without a word."""

    space_name: msgspec.Raw = NULL
    source: msgspec.Raw = NULL
    sequence: msgspec.Raw = NULL


class _Raws(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of which each item is looked at by itself."""

    entities: list[msgspec.Raw] = []
    placements: list[Placement] = []
    connections: list[msgspec.Raw] = []
    parameters: list[msgspec.Raw] = []
    removed_connections: list[msgspec.Raw] = []
    removed_entities: list[msgspec.Raw] = []


class _Counted(_Raws, frozen=True, kw_only=True):
    """A batch of which the items are only counted."""

    placements: list[msgspec.Raw] = []  # type: ignore[assignment]


_body: Final = msgspec.json.Decoder(_Body).decode
_items: Final = msgspec.json.Decoder(Items).decode
_counted: Final = msgspec.json.Decoder(_Counted).decode
_raws: Final = msgspec.json.Decoder(_Raws).decode
_line: Final = msgspec.json.Decoder(Line).decode
_each: Final[Mapping[str, Callable[[Any], Any]]] = {
    "entities": msgspec.json.Decoder(SceneEntity).decode,
    "connections": msgspec.json.Decoder(SceneConnection).decode,
    "parameters": msgspec.json.Decoder(ParameterUpdate).decode,
    "removed_connections": msgspec.json.Decoder(ConnectionKey).decode,
    "removed_entities": msgspec.json.Decoder(EntityId).decode,
}
_encode: Final = msgspec.json.Encoder().encode


class Application:
    """Items on their way onto a draft, and what came of them. With ``per_item`` what is wrong is left out and told."""

    def __init__(self, draft: Draft, *, per_item: bool = False) -> None:
        self.items = self.updates = self.accepted = self.warning_count = 0
        """Items that came, items that changed something, items that were taken."""
        self.warnings: list[Warned] = []
        self.refused: list[Refused] = []
        self._draft, self._per_item = draft, per_item
        self._counts = dict.fromkeys(FIELDS, 0)
        self._taken: dict[str, list[Any]] | None = {}
        self._last_field = 0
        self._apply: Final[Mapping[str, Callable[[Any], bool]]] = {
            "entities": draft.put,
            "placements": draft.place,
            "connections": draft.connect,
            "parameters": draft.set,
            "removed_connections": draft.disconnect,
            "removed_entities": draft.remove,
        }

    def batch(self, text: bytes) -> None:
        """A JSON text of ``Items``. Raises Invalid, Full, with the path of the item."""
        if len(text) > 2 * INLINE_BYTES:  # it may be shorter in our words, but seldom by half
            self._taken = None
        for field, numbered in self._read(text):
            apply, is_last_word = self._apply[field], not self._per_item or field == PLACEMENTS
            taken = []
            for index, item in numbered:
                try:
                    self.updates += apply(item)
                    taken.append(item)
                except SanghaError as refusal:
                    if is_last_word or isinstance(refusal, TooMuch):
                        raise at(f"{field}.{index}", refusal) from refusal
                    self._refuse(at(f"{field}.{index}", refusal))
                if self._draft.warned:
                    self._warn(f"{field}.{index}")
            self.accepted += len(taken)
            self._counts[field] += len(taken)
            if taken and self._taken is not None:
                self._taken[field] = taken

    def lines(self, texts: Sequence[bytes], first: int) -> None:
        """Lines of a stream, the first of which has this number. Raises Invalid, Full, with the number of the line."""
        if sum(map(len, texts)) > 2 * INLINE_BYTES:
            self._taken = None
        for number, text in enumerate(texts, first):
            try:
                line = decoded(_line, text)
                name, item = _only(line)
                field = _LINE_FIELDS[name]
            except SanghaError as refusal:
                raise at(f"line {number}", refusal) from refusal
            self.items += 1
            try:
                self._take(field, item, self._apply[field](item))
            except SanghaError as refusal:
                raise at(f"line {number}.{name}", refusal) from refusal
            if self._draft.warned:
                self._warn(f"line {number}")

    def finish(self) -> Delta:
        """What the draft came to."""
        return self._draft.finish()

    @property
    def counts(self) -> Counts:
        """Items that were taken, by what they are."""
        counts = self._counts
        return Counts(
            entities=counts["entities"],
            connections=counts["connections"],
            parameters=counts["parameters"],
            removed_entities=counts["removed_entities"],
            removed_connections=counts["removed_connections"],
        )

    @property
    def told(self) -> msgspec.Raw | UnsetType:
        """What was taken, as the JSON text of a batch; UNSET where that is long, or would not say in which order."""
        if self._taken is None:
            return UNSET
        text = _encode(self._taken)
        return msgspec.Raw(text) if len(text) <= INLINE_BYTES else UNSET

    def _read(self, text: bytes) -> Iterator[tuple[str, Iterable[tuple[int, Any]]]]:
        _check_count(text)
        try:
            items = self._items(text)
        except Invalid:
            if not self._per_item:
                raise
            raws = decoded(_raws, text)
            for field in FIELDS:
                entries = getattr(raws, field)
                self.items += len(entries)
                yield field, enumerate(entries) if field == PLACEMENTS else self._decodable(field, entries)
        else:
            for field in FIELDS:
                entries = getattr(items, field)
                self.items += len(entries)
                yield field, enumerate(entries)

    def _items(self, text: bytes) -> Items:
        """All of a batch. What it has beside is left out, and the first of that is warned of."""
        try:
            return _body(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
            items = decoded(_items, text)
            if unknown := _UNKNOWN.match(str(failure)):
                self.warnings.append(Warned(path=unknown[1], message="is not known here, and was left out"))
                self.warning_count += 1
            return items

    def _decodable(self, field: str, entries: Iterable[msgspec.Raw]) -> Iterator[tuple[int, Any]]:
        for index, raw in enumerate(entries):
            try:
                item = decoded(_each[field], raw)
            except Invalid as refusal:
                self._refuse(at(f"{field}.{index}", refusal))
            else:
                yield index, item

    def _take(self, field: str, item: Any, changed: bool) -> None:
        self.accepted += 1
        self.updates += changed
        self._counts[field] += 1
        if self._taken is not None:
            order = FIELDS.index(field)
            if order < self._last_field:
                self._taken = None  # a batch would apply it in another order than these lines
                return
            self._last_field = order
            self._taken.setdefault(field, []).append(item)

    def _refuse(self, refusal: SanghaError) -> None:
        where = refusal.errors[0].path if refusal.errors else ""
        why = refusal.errors[0].message if refusal.errors else refusal.message
        self.refused.append(Refused(path=where, code=refusal.code, message=why))

    def _warn(self, path: str) -> None:
        for message in self._draft.warned:
            if len(self.warnings) < WARNINGS_SHOWN:
                self.warnings.append(Warned(path=path, message=message))
        self.warning_count += len(self._draft.warned)
        self._draft.warned.clear()


def at(path: str, refusal: SanghaError) -> SanghaError:
    """The same refusal, of what is at a path."""
    errors = refusal.errors or (FieldError(path="", message=refusal.message),)
    found = tuple(FieldError(path=f"{path}.{e.path}" if e.path else path, message=e.message) for e in errors)
    return type(refusal)(f"{found[0].path}: {found[0].message}", found)


def decoded(decode: Callable[[Any], T], text: bytes | msgspec.Raw, at_path: str = "") -> T:
    """A JSON text as what a decoder makes of it. Raises Invalid, with the path."""
    try:
        return decode(text)
    except msgspec.ValidationError as failure:
        of_key = _KEY.match(str(failure))
        error = field_error(msgspec.ValidationError(f"Name: {of_key[1]} - at `$.{of_key[2]}`") if of_key else failure)
        path = _INDEX.sub(r".\1", error.path).replace("....", "")
        raise invalid(".".join(filter(None, (at_path, path))), error.message) from failure
    except msgspec.DecodeError as failure:
        raise invalid("", f"{failure}; NaN and Infinity are no JSON") from failure
    except UnicodeDecodeError as failure:
        raise invalid("", "not UTF-8") from failure
    except RecursionError as failure:
        raise invalid("", "nested too deep") from failure


def _check_count(text: bytes) -> None:
    """Before each is decoded, which takes a hundred times as long. Raises Invalid, TooLarge."""
    if len(text) > 2 * ITEMS_MAX:
        items = decoded(_counted, text)
        count = sum(len(getattr(items, field)) for field in FIELDS)
        if count > ITEMS_MAX:
            raise TooLarge(f"{count} items, {ITEMS_MAX} are allowed in one batch")


def _only(line: Line) -> tuple[str, Any]:
    """The one thing that a line has. Raises Invalid."""
    found = [(name, item) for name in _LINE_FIELDS if (item := getattr(line, name)) is not None]
    if len(found) != 1:
        raise invalid("", f"has to have one of {', '.join(_LINE_FIELDS)}, and has {len(found)}")
    return found[0]
