"""What a ritual's module is, judged from its bytes before anything is compiled. Pure; safe on any bytes.

``inspect`` chooses the ABI by imports and exports and says in ``problems`` all that an author has to mend. The rule, in order:

* it imports from ``codex``, or exports ``execute_ritual`` with ``get_resonance`` or ``cleanup``: **codex**;
* it exports ``execute``: **sangha-1**;
* it exports ``execute_ritual``: **legacy**.

Who exports both ``execute`` and ``execute_ritual`` is refused: nothing is guessed.

What no problem was found in may still be refused by the compiler, which alone knows whether the code is valid. ``cost``
bounds what compiling takes, for that cannot be interrupted. Measured on one core: 10,000 empty functions 0.3 s, 100,000 2 s
and 600 MB; it grows with the square of a body's size and with loops × local variables (1,000 of 300 in 10 KB: 2.6 s), so a
body costs size × (size / 256 + variables). Types, elements and segments of data have their price (20 us a byte, 600 us each).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final

from actors.ritual.abi_values import shown
from actors.ritual.values import MODULE_BYTES_MAX, Abi
from actors.ritual.wasm_binary import Garbled, Import, Limits, Sections, Signature, read
from actors.runtime.entity import Struct

PAGE_BYTES: Final = 65_536
MEMORY_BYTES: Final = 256 * 2**20
FUNCTIONS_MAX: Final = 10_000
BODY_BYTES_MAX: Final = 128 * 1024
LOCALS_MAX: Final = 10_000
COMPILE_COST_MAX: Final = 2**27
"""4 MiB of usual functions (2 KB, 15 locals) cost 0.8 of it, 1 MiB of them a fifth. Two minutes at the very worst: what
costs more than a little is compiled in a process that is ended long before (``compiling``)."""
COST_OF_TABLE_BYTE: Final = 32
"""Of types, imports, exports, elements: each becomes code or relocations of its own."""
COST_OF_DATA_SEGMENT: Final = 1_000
COST_OF_CROSSING: Final = 8
"""Of a parameter, where the host or a table may call the function."""
EXPORTS_MAX: Final = 1_000
TABLES_MAX: Final = 16
TABLE_ELEMENTS_MAX: Final = 10_000
PROBLEMS_MAX: Final = 20
LISTED_MAX: Final = 64
LEGACY_FREE_BYTES: Final = 2_048
"""Below it the host writes the state and the parameters of a legacy ritual."""

_NAME: Final = ("i32", "i32")
CODEX: Final[dict[str, Signature]] = {
    "log": Signature(_NAME, ()),
    "get_archetype_activation": Signature(_NAME, ("f64",)),
    "set_archetype_activation": Signature((*_NAME, "f64"), ()),
    "get_energy_amplitude": Signature(_NAME, ("f64",)),
    "set_energy_amplitude": Signature((*_NAME, "f64"), ()),
    "add_symbol": Signature(_NAME, ()),
    "get_random": Signature((), ("f64",)),
}
"""What the host offers to a codex ritual, from the module ``codex``."""

_STATUS: Final = Signature((), ("i32",))
REQUIRED: Final[dict[Abi, dict[str, Signature]]] = {
    "codex": {"execute_ritual": _STATUS},
    "legacy": {"execute_ritual": _STATUS},
    "sangha-1": {"alloc": Signature(("i32",), ("i32",)), "execute": Signature(("i32", "i32"), ("i64",))},
}
OPTIONAL: Final[dict[Abi, dict[str, Signature]]] = {
    "codex": {"get_resonance": Signature((), ("f64",)), "cleanup": Signature((), ())},
    "legacy": {"get_state_transformation": _STATUS},
    "sangha-1": {},
}
_CODEX_AND_EXECUTE: Final = (
    "it imports from `codex` and exports `execute`: "
    "a codex ritual exports `execute_ritual`, and one of sangha-1 imports nothing"
)
_HINTS: Final = {
    ("env", "abort"): "it comes from AssemblyScript: build with `--use abort=`",
    ("env", "seed"): "it comes from AssemblyScript's Math.random: a ritual's chance is codex.get_random",
    ("env", "trace"): "it comes from AssemblyScript: leave trace() out",
    ("env", "memory"): "export a memory named `memory` instead (without `--import-memory`)",
}


class Inspection(Struct, frozen=True, kw_only=True):
    """What is known of a module. It may be compiled where ``problems`` is empty; ``abi`` is set then."""

    abi: Abi | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    """The exported functions that the ABI calls and the module has."""
    functions: int = 0
    memory_pages_min: int = 0
    memory_pages_max: int | None = None
    cost: int = 0
    """Of compiling it: at the worst some microseconds each (measured on hostile modules), a tenth of that for usual ones."""


def inspect(data: bytes, memory_limit_bytes: int = MEMORY_BYTES) -> Inspection:
    """What the module is, and why it would be refused. Never raises."""
    if len(data) > MODULE_BYTES_MAX:
        return Inspection(problems=(f"the module has {len(data):,} bytes; {MODULE_BYTES_MAX:,} (4 MiB) are allowed",))
    try:
        sections = read(data)
    except Garbled as failure:
        return Inspection(problems=(str(failure),))
    abi, ambiguity = _abi(sections)
    found = chain(ambiguity, _sizes(sections), _memory(sections, memory_limit_bytes))
    if abi is not None:
        found = chain(found, _imports(abi, sections), _signatures(abi, sections))
        found = chain(found, _low_data(sections) if abi == "legacy" else ())
    memory = sections.memories[0] if sections.memories else Limits(0, None)
    return Inspection(
        abi=abi,
        problems=tuple(islice(found, PROBLEMS_MAX)),  # the rest is never looked for: there may be 100,000
        notes=tuple(_notes(abi, sections)),
        imports=tuple(f"{shown(one.module)}.{shown(one.name)}" for one in sections.imports[:LISTED_MAX]),
        exports=tuple(shown(one.name) for one in sections.exports[:LISTED_MAX]),
        calls=tuple(_calls(abi, sections)) if abi else (),
        functions=len(sections.functions),
        memory_pages_min=memory.minimum,
        memory_pages_max=memory.maximum,
        cost=_cost(sections),
    )


def _cost(sections: Sections) -> int:
    values = [len(one.params) + len(one.results) for one in sections.types]
    cost = sections.table_bytes * COST_OF_TABLE_BYTE + sections.data_segments * COST_OF_DATA_SEGMENT
    for type_, body in zip(sections.functions, sections.bodies, strict=True):
        crossing = values[type_] if type_ < len(values) else 0
        cost += body.size * (body.size // 256 + body.locals + crossing) + crossing * COST_OF_CROSSING
    return cost


def _abi(sections: Sections) -> tuple[Abi | None, list[str]]:
    """Which of the three, or why that cannot be said."""
    named = {one.name: None for one in sections.exports if one.kind == "function"}
    codex = any(one.module == "codex" for one in sections.imports)
    if "execute" in named and "execute_ritual" in named:
        return None, ["it exports both `execute` (sangha-1) and `execute_ritual` (codex, legacy): export one of them"]
    if "execute" in named:
        if codex:
            return None, [_CODEX_AND_EXECUTE]
        return "sangha-1", []
    if codex or ("execute_ritual" in named and named.keys() & {"get_resonance", "cleanup"}):
        return "codex", []
    if "execute_ritual" in named:
        return "legacy", []
    meant = _there_is("execute_ritual", named) or _there_is("execute", named)
    wanted = (
        "it exports no function `execute_ritual` (codex, legacy) and no `execute` (sangha-1): there is nothing to run"
    )
    return None, [wanted + meant, *(_forbidden(one, None) for one in sections.imports[:LISTED_MAX])]


def _there_is(wanted: str, names: Iterable[str]) -> str:
    """The name that may be meant, among the first ones: to compare has its price."""
    close = difflib.get_close_matches(wanted, islice(names, EXPORTS_MAX), 1)
    return f" (there is `{shown(close[0])}`; is that meant?)" if close else ""


def _imports(abi: Abi, sections: Sections) -> Iterator[str]:
    for one in sections.imports:
        if abi == "codex" and one.module == "codex" and one.kind == "function" and one.name in CODEX:
            if one.type != CODEX[one.name]:
                yield f"the import `codex.{one.name}` has the type {_type(one.type)}; it is {CODEX[one.name]}"
        else:
            yield _forbidden(one, abi)


def _forbidden(one: Import, abi: Abi | None) -> str:
    name = f"`{shown(one.module)}.{shown(one.name)}`"
    if one.module.startswith("wasi"):
        return f"the import {name} is WASI's: a ritual has no files, clock or environment; build for wasm32-unknown-unknown"
    if (hint := _HINTS.get((one.module, one.name))) is not None:
        return f"the import {name} is not allowed: {hint}"
    if one.module == "codex" and one.name in CODEX:
        return f"the import {name} is a {one.kind}; it is a function"
    if one.module == "codex":
        close = difflib.get_close_matches(one.name[:LISTED_MAX], CODEX, 1, 0.5)
        meant = f"did you mean `codex.{close[0]}`?" if close else f"there are {', '.join(CODEX)}"
        return f"the import {name} does not exist: {meant}"
    if one.name in CODEX:
        return f"the import {name} does not exist: did you mean `codex.{one.name}`?"
    allowed = (
        "a ritual of sangha-1 or legacy imports nothing"
        if abi in ("sangha-1", "legacy")
        else "only functions of `codex` are there"
    )
    return f"the import {name} is not allowed: {allowed}"


def _signatures(abi: Abi, sections: Sections) -> Iterator[str]:
    functions = {one.name: one.position for one in sections.exports if one.kind == "function"}
    for name, wanted in (REQUIRED[abi] | OPTIONAL[abi]).items():
        if name not in functions:
            if name in REQUIRED[abi]:
                meant = _there_is(name, functions)
                yield f"it exports no function `{name}`, which a {abi} ritual needs: {wanted}{meant}"
        elif (has := sections.signature(functions[name])) != wanted:
            yield f"the export `{name}` has the type {_type(has)}; it must be {wanted}"


def _calls(abi: Abi, sections: Sections) -> Iterator[str]:
    named = {one.name for one in sections.exports if one.kind == "function"}
    return (name for name in REQUIRED[abi] | OPTIONAL[abi] if name in named)


def _sizes(sections: Sections) -> Iterator[str]:
    if len(sections.functions) > FUNCTIONS_MAX:
        yield f"it has {len(sections.functions):,} functions; {FUNCTIONS_MAX:,} are allowed, compiling more would take too long"
    if (largest := max((body.size for body in sections.bodies), default=0)) > BODY_BYTES_MAX:
        yield f"its largest function has {largest:,} bytes of code; {BODY_BYTES_MAX:,} are allowed"
    if (most := max((body.locals for body in sections.bodies), default=0)) > LOCALS_MAX:
        yield f"one of its functions has {most:,} local variables; {LOCALS_MAX:,} are allowed"
    elif _cost(sections) > COMPILE_COST_MAX:
        yield (
            "its functions are too large, or have too many parameters and local variables: "
            "compiling them would take too long; split them"
        )
    if len(sections.exports) > EXPORTS_MAX:
        yield f"it has {len(sections.exports):,} exports; {EXPORTS_MAX:,} are allowed"
    if len(sections.tables) > TABLES_MAX:
        yield f"it has {len(sections.tables):,} tables; {TABLES_MAX} are allowed"
    for table in sections.tables[:TABLES_MAX]:
        if table.minimum > TABLE_ELEMENTS_MAX:
            yield f"it has a table of {table.minimum:,} elements; {TABLE_ELEMENTS_MAX:,} are allowed"
        if table.wide:
            yield "it has a table with 64-bit indexes, which is not supported"


def _memory(sections: Sections, limit_bytes: int) -> Iterator[str]:
    if any(one.kind == "memory" for one in sections.imports):
        yield "it imports its memory: a ritual has its own and exports it as `memory`"
        return
    if len(sections.memories) > 1:
        yield f"it has {len(sections.memories)} memories; a ritual has one"
    if not any(one.kind == "memory" and one.name == "memory" for one in sections.exports):
        there = "export it under that name" if sections.memories else "it has none"
        yield f"it exports no memory named `memory`: {there}"
    for memory in sections.memories[:1]:
        if memory.shared:
            yield "its memory is shared between threads, which is not supported"
        if memory.wide:
            yield "its memory has 64-bit addresses (memory64), which is not supported"
        if memory.custom_page:
            yield "its memory has pages of another size than 64 KiB, which is not supported"
        elif memory.minimum * PAGE_BYTES > limit_bytes:
            needs, allowed = memory.minimum * PAGE_BYTES >> 20, limit_bytes >> 20
            yield f"it needs {needs:,} MiB of memory from the start ({memory.minimum:,} pages); {allowed:,} MiB are allowed"


def _low_data(sections: Sections) -> Iterator[str]:
    why = f"the host writes the state at 0 and the parameters at 1024, so data of a legacy ritual begins at {LEGACY_FREE_BYTES}"
    low = [offset for offset in sections.data_offsets if offset is not None and offset < LEGACY_FREE_BYTES]
    if low:
        yield f"it keeps data at offset {min(low)}: {why} or above (clang: `-Wl,--global-base={LEGACY_FREE_BYTES}`)"
    elif None in sections.data_offsets:
        yield f"it computes where its data lies: {why}, and at a constant offset, so that this can be seen"


def _notes(abi: Abi | None, sections: Sections) -> Iterator[str]:
    if sections.start is not None:
        yield "it has a start function: it runs before every run, under the same limits"
    if sections.memories and sections.memories[0].maximum is None:
        yield "its memory has no maximum of its own: the server's limit applies"
    if abi == "codex" and not sections.imports:
        yield "it imports nothing: it can neither read nor change the state"


def _type(signature: Signature | None) -> str:
    return shown(str(signature)) if signature is not None else "of a function that is not there"
