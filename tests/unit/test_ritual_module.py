"""A module is judged from its bytes: the ABI by imports and exports, problems as sentences, nothing ever raised."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from actors.ritual.module import (
    BODY_BYTES_MAX,
    CODEX,
    COMPILE_COST_MAX,
    EXPORTS_MAX,
    FUNCTIONS_MAX,
    LOCALS_MAX,
    PROBLEMS_MAX,
    Inspection,
    inspect,
)
from actors.ritual.values import MODULE_BYTES_MAX
from actors.ritual.wasm_binary import Signature

VALUES = {"i32": 0x7F, "i64": 0x7E, "f32": 0x7D, "f64": 0x7C}
COMPILE_HERE = 2**18  # compiling.COMPILE_HERE_MAX, which brings wasmtime with it
STATUS = Signature((), ("i32",))
NAME = Signature(("i32", "i32"), ())


def leb(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def vector(items: list[bytes]) -> bytes:
    return leb(len(items)) + b"".join(items)


def text(name: str) -> bytes:
    return leb(len(name.encode())) + name.encode()


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + leb(len(content)) + content


def signature(type_: Signature) -> bytes:
    return (
        b"\x60"
        + vector([bytes([VALUES[one]]) for one in type_.params])
        + vector([bytes([VALUES[one]]) for one in type_.results])
    )


def module(
    exports: dict[str, Signature] | None = None,
    imports: list[tuple[str, str, Signature]] | None = None,
    *,
    memory: bytes = b"\x00\x01",
    data: bytes = b"",
    bodies: list[bytes] | None = None,
    before: bytes = b"",
    export_memory: bool = True,
    start: bool = False,
) -> bytes:
    """A module with these functions exported, each with a body that traps."""
    exports, imports = exports if exports is not None else {"execute_ritual": STATUS}, imports or []
    types = [one for *_, one in imports] + list(exports.values())
    functions = [leb(len(imports) + n) for n in range(len(exports))]
    code = bodies if bodies is not None else [b"\x03\x00\x00\x0b"] * len(exports)
    functions += [leb(len(types) - 1)] * (len(code) - len(exports))
    entries = [text(name) + b"\0" + leb(len(imports) + n) for n, name in enumerate(exports)]
    entries += [text("memory") + b"\x02\0"] if export_memory else []
    parts = [
        section(1, vector([signature(one) for one in types])),
        section(2, vector([text(where) + text(name) + b"\0" + leb(n) for n, (where, name, _) in enumerate(imports)])),
        section(3, vector(functions)),
        before,
        section(5, vector([memory])) if memory else b"",
        section(7, vector(entries)),
        section(8, b"\0") if start else b"",
        section(10, vector(code)),
        data,
    ]
    return b"\0asm\x01\0\0\0" + b"".join(parts)


def problem(data: bytes, **more: int) -> str:
    found = inspect(data, **more)
    assert found.problems
    return " | ".join(found.problems)


def test_the_abi_follows_from_imports_and_exports() -> None:
    sangha = {"alloc": Signature(("i32",), ("i32",)), "execute": Signature(("i32", "i32"), ("i64",))}
    log = [("codex", "log", NAME)]
    cases: list[tuple[str | None, bytes]] = [
        ("codex", module(imports=log)),
        ("codex", module({"execute_ritual": STATUS, "cleanup": Signature((), ())})),
        ("legacy", module()),
        ("legacy", module({"execute_ritual": STATUS, "get_state_transformation": STATUS})),
        ("sangha-1", module(sangha)),
        (None, module(sangha | {"execute_ritual": STATUS})),
        (None, module(sangha, imports=log)),
        (None, module({"main": STATUS})),
    ]
    for abi, data in cases:
        found = inspect(data)
        assert found.abi == abi
        assert bool(found.problems) == (abi is None)


def test_what_a_module_has_is_told() -> None:
    found = inspect(module(imports=[("codex", "add_symbol", NAME)], memory=b"\x01\x02\x10", start=True))
    assert 0 < found.cost < COMPILE_HERE
    assert structs.replace(found, cost=0) == Inspection(
        abi="codex",
        notes=("it has a start function: it runs before every run, under the same limits",),
        imports=("codex.add_symbol",),
        exports=("execute_ritual", "memory"),
        calls=("execute_ritual",),
        functions=1,
        memory_pages_min=2,
        memory_pages_max=16,
    )


@pytest.mark.parametrize(
    ("where", "name", "says"),
    [
        ("codex", "get_archetype_activaton", "did you mean `codex.get_archetype_activation`?"),
        ("codex", "addSymbol", "did you mean `codex.add_symbol`?"),
        ("codex", "zzz", "there are log, get_archetype_activation"),
        ("env", "get_random", "did you mean `codex.get_random`?"),
        ("env", "abort", "--use abort="),
        ("env", "printf", "only functions of `codex` are there"),
        ("wasi_snapshot_preview1", "fd_write", "WASI"),
        ("wasi:cli/stdout@0.2.0", "get-stdout", "WASI"),
        ("env", "\x1b[31m" + "x" * 500, "`env.\N{REPLACEMENT CHARACTER}[31mxxx"),
    ],
)
def test_an_import_that_is_not_there_is_named_with_what_was_meant(where: str, name: str, says: str) -> None:
    told = problem(module(imports=[("codex", "log", NAME), (where, name, NAME)]))
    assert says in told
    assert len(told) < 400


@pytest.mark.parametrize("name", CODEX)
def test_an_import_of_another_type_is_told_both(name: str) -> None:
    told = problem(module(imports=[("codex", name, Signature(("i64",), ("f32",)))]))
    assert f"`codex.{name}` has the type (i64) -> (f32); it is {CODEX[name]}" in told


@pytest.mark.parametrize(
    ("exports", "says"),
    [
        ({"execute_ritual": Signature((), ())}, "`execute_ritual` has the type () -> (); it must be () -> (i32)"),
        ({"execute_ritual": STATUS, "get_resonance": STATUS}, "`get_resonance` has the type"),
        ({"execute": Signature(("i32", "i32"), ("i64",))}, "no function `alloc`"),
        (
            {"execute": Signature(("i32", "i32"), ("i32",)), "alloc": Signature(("i32",), ("i32",))},
            "`execute` has the type",
        ),
        ({"execute_rituals": STATUS}, "there is `execute_rituals`; is that meant?"),
    ],
)
def test_an_export_that_is_missing_or_of_another_type_is_told(exports: dict[str, Signature], says: str) -> None:
    assert says in problem(module(exports))


def test_memory_is_the_rituals_own_exported_plain_and_within_the_limit() -> None:
    assert "exports no memory" in problem(module(export_memory=False))
    assert "it needs 1,024 MiB of memory from the start" in problem(module(memory=b"\x00\x80\x80\x01"))
    assert not inspect(module(memory=b"\x00\x02"), 2 * 65_536).problems
    assert inspect(module(memory=b"\x00\x03"), 2 * 65_536).problems
    assert "shared" in problem(module(memory=b"\x03\x01\x02"))
    assert "memory64" in problem(module(memory=b"\x04\x01"))
    assert "another size" in problem(module(memory=b"\x08\x01\x00"))
    imported = section(2, vector([text("env") + text("memory") + b"\x02\x00\x01"]))
    assert "imports its memory" in problem(b"\0asm\x01\0\0\0" + imported)


def data_at(offset: bytes, content: bytes = b"x") -> bytes:
    return section(11, vector([b"\0" + offset + b"\x0b" + leb(len(content)) + content]))


def test_legacy_keeps_no_data_where_the_host_writes() -> None:
    assert "data at offset 2047" in problem(module(data=data_at(b"\x41\xff\x0f")))
    assert not inspect(module(data=data_at(b"\x41\x80\x10"))).problems
    assert not inspect(module(data=data_at(b"\x41\x00", b""))).problems
    assert not inspect(module(data=data_at(b"\x41\x7f"))).problems  # -1 is far up
    assert "computes where its data lies" in problem(module(data=data_at(b"\x23\x00")))
    codex = module(imports=[("codex", "log", NAME)], data=data_at(b"\x41\x00"))
    assert not inspect(codex).problems


def body(size: int, locals_: int = 0) -> bytes:
    content = b"\x01" + leb(locals_) + b"\x7f"
    content += b"\x01" * (size - len(content) - 1) + b"\x0b"
    return leb(len(content)) + content


def test_what_would_take_long_to_compile_is_refused() -> None:
    trap = b"\x03\x00\x00\x0b"
    assert not inspect(module(bodies=[trap] * FUNCTIONS_MAX)).problems
    assert f"{FUNCTIONS_MAX + 1:,} functions" in problem(module(bodies=[trap] * (FUNCTIONS_MAX + 1)))
    assert "largest function" in problem(module(bodies=[body(BODY_BYTES_MAX + 1)]))
    assert "local variables" in problem(module(bodies=[body(100, LOCALS_MAX + 1)]))
    assert "too large, or have too many parameters and local" in problem(
        module(bodies=[body(100_000, COMPILE_COST_MAX // 100_000)])
    )
    assert not inspect(module(bodies=[body(100_000, 50)])).problems
    assert f"{EXPORTS_MAX + 1:,} exports" in problem(module({f"f{n}": STATUS for n in range(EXPORTS_MAX)}))


@pytest.mark.parametrize(
    "heavy",
    {
        "a body's square": module(bodies=[body(10_000)]),
        "loops among local variables": module(bodies=[body(1_000, 300)]),
        "parameters": module({"execute_ritual": STATUS} | {f"f{n}": Signature(("i32",) * 100, ()) for n in range(400)}),
        "types": module(imports=[("codex", "log", NAME)] * 1_000),
        "elements": module(before=section(6, bytes(10_000))),
        "segments": module(data=section(11, leb(300) + b"\x01\x00" * 300)),
    }.items(),
    ids=lambda each: each[0],
)
def test_what_may_be_much_to_compile_is_not_compiled_beside_rituals(heavy: tuple[str, bytes]) -> None:
    assert inspect(heavy[1]).cost > COMPILE_HERE


def test_of_a_hundred_thousand_faults_the_first_are_looked_for() -> None:
    found = inspect(module(imports=[("codex", "add_symbo", NAME)] * 99_999))
    assert len(found.problems) == PROBLEMS_MAX


def test_tables_are_few_and_small() -> None:
    assert "a table of 10,001 elements" in problem(module(before=section(4, vector([b"\x70\x00" + leb(10_001)]))))
    assert "17 tables" in problem(module(before=section(4, vector([b"\x70\x00\x01"] * 17))))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes are too few"),
        (b"hello world", "does not begin with"),
        (b"  (module)", "sangha ritual build"),
        (b"\0asm\x0d\0\x01\0", "this is a component; a core module is needed"),
        (b"\0asm\x02\0\0\0", "version 1"),
        (b"\0asm\x01\0\0\0\x0e\x00", "no section 14"),
        (b"\0asm\x01\0\0\0\x01\x20\x00", "cut off"),
        (b"\0asm\x01\0\0\0\x01\x01\x05", "cut off or damaged"),
        (b"\0asm\x01\0\0\0\x01\x01\x00\x01\x01\x00", "twice"),
        (b"\0asm\x01\0\0\0\x01\x02\x01\x5f", "garbage collection"),
        (b"\0asm\x01\0\0\0\x03\x06\xff\xff\xff\xff\x0f\x00", "entries"),
        (b"\0asm\x01\0\0\0\x03\x06\xff\xff\xff\xff\xff\x00", "does not end"),
        (bytes(MODULE_BYTES_MAX + 1), "4,194,305 bytes"),
    ],
)
def test_what_is_no_module_is_told_what_it_is(data: bytes, says: str) -> None:
    assert says in problem(data)


GOOD = module(imports=[("codex", "log", NAME)], data=data_at(b"\x41\x00", b"Shadow\0"))


def sane(found: Inspection) -> bool:
    return (
        len(found.problems) <= PROBLEMS_MAX
        and all(0 < len(one) < 500 and one.isprintable() for one in (*found.problems, *found.notes))
        and (bool(found.problems) or found.abi is not None)
    )


@given(st.binary(max_size=300))
@example(b"\0asm\x01\0\0\0")
def test_any_bytes_are_judged(data: bytes) -> None:
    assert sane(inspect(data))
    assert sane(inspect(b"\0asm\x01\0\0\0" + data))


@given(st.integers(0, len(GOOD)))
def test_a_truncated_module_is_judged(size: int) -> None:
    found = inspect(GOOD[:size])
    assert sane(found)
    assert bool(found.problems) == (size < len(GOOD)) or size >= len(GOOD) - 20  # data is the last section and optional


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_module_is_judged(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    assert sane(inspect(bytes(data)))


@given(st.lists(st.tuples(st.integers(0, 13), st.binary(max_size=60)), max_size=6))
def test_any_sections_are_judged(sections: list[tuple[int, bytes]]) -> None:
    assert sane(inspect(b"\0asm\x01\0\0\0" + b"".join(section(number, content) for number, content in sections)))
