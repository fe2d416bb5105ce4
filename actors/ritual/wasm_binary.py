"""Reads the sections of a WebAssembly binary that say what a module asks for and offers. Pure; safe on any bytes.

Only what a decision needs is read: types, imports, function types, tables, memories, exports, the start function, how big
function bodies are and where data lies. Everything else is skipped by its length; whether the code is valid is the engine's
to say. What does not follow the format raises ``Garbled`` with the offset, never anything else.

Counts are bounded here (``COUNT_MAX``): a module of 4 MiB could name 800,000 exports, and listing them is no work that an
author of a ritual ever needs done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from actors.ritual.abi_values import shown

T = TypeVar("T")

MAGIC: Final = b"\0asm"
CORE: Final = b"\x01\0\0\0"
COUNT_MAX: Final = 100_000
"""Entries of one section. A module compiled from Rust has some thousand functions and a dozen exports."""

_KINDS: Final = ("function", "table", "memory", "global", "tag")
_VALUES: Final = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref"}
_I32_CONST, _END = 0x41, 0x0B


class Garbled(ValueError):
    """The bytes are not a WebAssembly module. The message is a sentence."""


class Signature(NamedTuple):
    """Of a function: names of value types."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> ({', '.join(self.results)})"


class Limits(NamedTuple):
    """Of a memory (in pages) or a table (in elements)."""

    minimum: int
    maximum: int | None
    shared: bool = False
    wide: bool = False
    """64-bit addresses."""
    custom_page: bool = False


class Import(NamedTuple):
    """What a module needs from outside. ``type`` is the Signature of a function, else None."""

    module: str
    name: str
    kind: str
    type: Signature | None


class Export(NamedTuple):
    """What a module offers, by its position among its kind."""

    name: str
    kind: str
    position: int


class Body(NamedTuple):
    """How much there is of a function to compile."""

    size: int
    locals: int


class Sections:
    """What was read of a module."""

    def __init__(self) -> None:
        self.types: list[Signature] = []
        self.imports: list[Import] = []
        self.functions: list[int] = []
        """Type index of each defined function."""
        self.tables: list[Limits] = []
        self.memories: list[Limits] = []
        self.exports: list[Export] = []
        self.start: int | None = None
        self.bodies: list[Body] = []
        self.data_offsets: list[int | None] = []
        """Of each active data segment that holds bytes; None where it is computed."""
        self.data_segments = 0
        self.table_bytes = 0
        """Of all sections but code, data and custom ones."""

    def signature(self, function: int) -> Signature | None:
        """Of a function by its index, imported ones first; None where there is none."""
        imported = [entry.type for entry in self.imports if entry.kind == "function"]
        if function < len(imported):
            return imported[function]
        defined = function - len(imported)
        if defined >= len(self.functions) or self.functions[defined] >= len(self.types):
            return None
        return self.types[self.functions[defined]]


def read(data: bytes) -> Sections:
    """The sections of a core module. Raises Garbled."""
    if data[:4] != MAGIC:
        raise Garbled(_what_instead(data))
    if data[4:8] != CORE:
        if data[6:8] == b"\x01\0":
            raise Garbled(
                "this is a component; a core module is needed (without `wasm-tools component new`, not wasm32-wasip2)"
            )
        raise Garbled("this is not version 1 of the WebAssembly binary format")
    try:
        return _read(data)
    except (IndexError, UnicodeDecodeError, OverflowError) as cut:
        raise Garbled("the module is cut off or damaged: a section does not follow the format") from cut


def _what_instead(data: bytes) -> str:
    if len(data) < 8:
        return f"{len(data)} bytes are too few for a WebAssembly module"
    head = data[:64].lstrip()
    if head.startswith((b"(module", b"(;", b";;", b"(component")):
        return "this is the text of a module (WAT); its binary form is needed: `sangha ritual build` makes it"
    return r"this is not a WebAssembly module: it does not begin with \0asm"


def _read(data: bytes) -> Sections:
    found, reader = Sections(), _Reader(data, 8, len(data))
    seen: set[int] = set()
    while reader.at < reader.end:
        start = reader.at
        number, size = reader.byte(), reader.u32()
        if number > 13:
            raise Garbled(f"there is no section {number} (at byte {start})")
        if size > reader.end - reader.at:
            raise Garbled(
                f"the module is cut off: section {number} at byte {start} says {size} bytes and {reader.end - reader.at} are left"
            )
        if number and number in seen:
            raise Garbled(f"section {number} is there twice (at byte {start})")
        seen.add(number)
        if number not in _BULK:
            found.table_bytes += size
        if (parse := _SECTIONS.get(number)) is not None:
            section = _Reader(data, reader.at, reader.at + size)
            parse(section, found)
        reader.at += size
    if len(found.functions) != len(found.bodies):
        raise Garbled(f"{len(found.functions)} functions are declared and {len(found.bodies)} have a body")
    return found


class _Reader:
    """A position in a stretch of bytes. Reading past its end raises IndexError."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def byte(self) -> int:
        if self.at >= self.end:
            raise IndexError
        self.at += 1
        return self.data[self.at - 1]

    def u32(self) -> int:
        value = self.leb(5)
        if value >= 2**32:
            raise Garbled(f"a number of more than 32 bits at byte {self.at}")
        return value

    def leb(self, bytes_max: int) -> int:
        value = 0
        for place in range(bytes_max):
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value
        raise Garbled(f"a number that does not end at byte {self.at}")

    def skip(self, count: int) -> None:
        if count > self.end - self.at:
            raise IndexError
        self.at += count

    def name(self) -> str:
        size = self.u32()
        start = self.at
        self.skip(size)
        return self.data[start : self.at].decode()

    def count(self) -> int:
        count = self.u32()
        if count > COUNT_MAX:
            raise Garbled(f"a section of {count:,} entries; {COUNT_MAX:,} are allowed")
        return count

    def vector(self, one: Callable[[], T]) -> list[T]:
        return [one() for _ in range(self.count())]

    def value_type(self) -> str:
        byte = self.byte()
        if byte in (0x63, 0x64):
            self.leb(5)
        return _VALUES.get(byte, f"type 0x{byte:02x}")

    def limits(self) -> Limits:
        flags = self.byte()
        if flags > 15:
            raise Garbled(f"limits of an unknown form (0x{flags:02x}) at byte {self.at}")
        wide = bool(flags & 4)
        width = 10 if wide else 5
        minimum = self.leb(width)
        maximum = self.leb(width) if flags & 1 else None
        if flags & 8:
            self.leb(5)
        return Limits(minimum, maximum, bool(flags & 2), wide, bool(flags & 8))

    def table_type(self) -> Limits:
        self.value_type()
        return self.limits()

    def signature(self) -> Signature:
        form = self.byte()
        if form != 0x60:
            raise Garbled(f"a type of the form 0x{form:02x}: garbage collection's types are not supported")
        return Signature(tuple(self.vector(self.value_type)), tuple(self.vector(self.value_type)))


def _types(reader: _Reader, found: Sections) -> None:
    found.types = reader.vector(reader.signature)


def _imports(reader: _Reader, found: Sections) -> None:
    def one() -> Import:
        module, name, kind = reader.name(), reader.name(), reader.byte()
        if kind >= len(_KINDS):
            raise Garbled(f"an import of an unknown kind (0x{kind:02x}): {shown(module)}.{shown(name)}")
        type_ = None
        if kind == 0:
            index = reader.u32()
            type_ = found.types[index] if index < len(found.types) else None
        elif kind == 1:
            reader.table_type()
        elif kind == 2:
            reader.limits()
        elif kind == 3:
            reader.value_type()
            reader.byte()
        else:
            reader.byte()
            reader.u32()
        return Import(module, name, _KINDS[kind], type_)

    found.imports = reader.vector(one)


def _functions(reader: _Reader, found: Sections) -> None:
    found.functions = reader.vector(reader.u32)


def _tables(reader: _Reader, found: Sections) -> None:
    def one() -> Limits:
        if (
            reader.data[reader.at : reader.at + 2] == b"\x40\x00"
        ):  # a table with an initial value; its expression follows
            raise Garbled("a table with an initial value is not supported")
        return reader.table_type()

    found.tables = reader.vector(one)


def _memories(reader: _Reader, found: Sections) -> None:
    found.memories = reader.vector(reader.limits)


def _exports(reader: _Reader, found: Sections) -> None:
    def one() -> Export:
        name, kind, index = reader.name(), reader.byte(), reader.u32()
        if kind >= len(_KINDS):
            raise Garbled(f"an export of an unknown kind (0x{kind:02x}): {shown(name)}")
        return Export(name, _KINDS[kind], index)

    found.exports = reader.vector(one)


def _start(reader: _Reader, found: Sections) -> None:
    found.start = reader.u32()


def _code(reader: _Reader, found: Sections) -> None:
    def one() -> Body:
        size = reader.u32()
        start = reader.at
        declared = 0
        for _ in range(reader.count()):
            declared += reader.u32()
            reader.value_type()
        if reader.at > start + size:
            raise IndexError
        reader.at = start
        reader.skip(size)
        return Body(size, declared)

    found.bodies = reader.vector(one)


def _data(reader: _Reader, found: Sections) -> None:
    found.data_segments = reader.count()
    for _ in range(found.data_segments):
        flags = reader.u32()
        if flags > 2:
            raise Garbled(f"a data segment of an unknown form ({flags}) at byte {reader.at}")
        if flags == 2:
            reader.u32()
        offset = _offset(reader) if flags != 1 else 0
        if offset is None:
            found.data_offsets.append(None)
            return  # where the expression ends is not known, so neither is what follows
        size = reader.u32()
        reader.skip(size)
        if flags != 1 and size:
            found.data_offsets.append(offset)


def _offset(reader: _Reader) -> int | None:
    """Of an ``i32.const N; end``; None where it is computed in another way."""
    if reader.byte() != _I32_CONST:
        return None
    value = 0
    for shift in range(0, 35, 7):
        byte = reader.byte()
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            value -= (byte & 0x40) << shift + 1
            return value & 0xFFFFFFFF if reader.byte() == _END else None
    raise Garbled(f"a number that does not end at byte {reader.at}")


_BULK: Final = frozenset({0, 10, 11})
_SECTIONS: Final[dict[int, Callable[[_Reader, Sections], None]]] = {
    1: _types,
    2: _imports,
    3: _functions,
    4: _tables,
    5: _memories,
    7: _exports,
    8: _start,
    10: _code,
    11: _data,
}
