"""Modules that behave, and modules that do not: what the sandbox's tests run."""

from __future__ import annotations

import hashlib

from wasmtime import wat2wasm

from actors.practitioner.archetypal_state import ArchetypalState
from actors.ritual.values import RunRequest

STATE = ArchetypalState(
    archetypes={"Shadow": 0.5, "Light": 0.95},
    energies={"Fire": 0.25},
    integrations=("a dream",),
    symbols=("Mirror",),
    transformations=("individuation",),
)

CODEX_IMPORTS = """
  (import "codex" "log" (func $log (param i32 i32)))
  (import "codex" "get_archetype_activation" (func $archetype (param i32 i32) (result f64)))
  (import "codex" "set_archetype_activation" (func $set_archetype (param i32 i32 f64)))
  (import "codex" "get_energy_amplitude" (func $energy (param i32 i32) (result f64)))
  (import "codex" "set_energy_amplitude" (func $set_energy (param i32 i32 f64)))
  (import "codex" "add_symbol" (func $add_symbol (param i32 i32)))
  (import "codex" "get_random" (func $random (result f64)))
"""


def wasm(text: str) -> bytes:
    """A module from its text."""
    return bytes(wat2wasm(text))


def sha256(module: bytes) -> str:
    return hashlib.sha256(module).hexdigest()


def request(module: bytes, state: ArchetypalState = STATE, **more: object) -> RunRequest:
    fields = {"run": "11111111-1111-5111-8111-111111111111", "ritual": "ritual"} | more
    return RunRequest(module_hash=sha256(module), state=state, **fields)  # type: ignore[arg-type]


def codex(body: str, more: str = "", data: str = "Shadow\\00Light\\00Fire\\00Key\\00Entering\\00") -> bytes:
    """A codex ritual: ``body`` is what execute_ritual does before it answers 0. In memory: Shadow at 0, Light at 7, Fire at
    13, Key at 18, Entering at 22, each ended by a NUL."""
    return wasm(
        f"""(module {CODEX_IMPORTS} (memory (export "memory") 1) (data (i32.const 0) "{data}") {more}
        (func (export "execute_ritual") (result i32) {body} (i32.const 0)))"""
    )


def bare(imports: str = "", memory: str = "1", more: str = "") -> bytes:
    """The least that is a ritual, with these imports and this memory."""
    return wasm(
        f"""(module {imports} (memory (export "memory") {memory}) {more}
        (func (export "execute_ritual") (result i32) (i32.const 0)))"""
    )


def legacy(answer: str | bytes = b"", at: int = 4096, execute: str = "", more: str = "") -> bytes:
    """A legacy ritual whose new state is ``answer``, NUL-terminated, at ``at``."""
    return wasm(
        f"""(module (memory (export "memory") 1) (data (i32.const {at}) "{quoted(answer)}\\00") {more}
        (func (export "execute_ritual") (result i32) {execute} (i32.const 0))
        (func (export "get_state_transformation") (result i32) (i32.const {at})))"""
    )


def sangha(
    answer: str | bytes, *, alloc: str = "(i32.const 1024)", execute: str | None = None, more: str = ""
) -> bytes:
    """A sangha-1 ritual that answers ``answer``, which lies at 65536."""
    text = answer.encode() if isinstance(answer, str) else answer
    packed = f"(i64.const {(65_536 << 32) | len(text)})" if execute is None else execute
    pages = 2 + len(text) // 65_536
    return wasm(
        f"""(module (memory (export "memory") {pages}) (data (i32.const 65536) "{quoted(text)}") {more}
        (func (export "alloc") (param i32) (result i32) {alloc})
        (func (export "execute") (param i32 i32) (result i64) {packed}))"""
    )


def quoted(text: str | bytes) -> str:
    """As WAT writes bytes."""
    return "".join(f"\\{byte:02x}" for byte in (text.encode() if isinstance(text, str) else text))


def leb(number: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + leb(len(content)) + content


def many_functions(count: int) -> bytes:
    """A legacy ritual with ``count`` empty functions beside its own."""
    types = b"\x02\x60\0\0\x60\0\x01\x7f"
    exports = b"\x02" + b"\x06memory\x02\0" + b"\x0eexecute_ritual\0\0"
    bodies = b"\x04\0\x41\0\x0b" + b"\x02\0\x0b" * count
    return b"\0asm\x01\0\0\0" + b"".join(
        (
            section(1, types),
            section(3, leb(count + 1) + b"\x01" + b"\0" * count),
            section(5, b"\x01\0\x01"),
            section(7, exports),
            section(10, leb(count + 1) + bodies),
        )
    )


def nested(loops: int, variables: int) -> bytes:
    """A legacy ritual with a function of so many loops, one in another, around changes of so many local variables."""
    changes = "".join(f"(local.set {n} (i32.add (local.get {n}) (i32.const 1)))" for n in range(variables))
    code = f"{'loop ' * loops} {changes} {'(br_if 0 (i32.const 0)) end ' * loops}"
    return wasm(
        f"""(module (memory (export "memory") 1) (func (local {"i32 " * variables}) {code})
        (func (export "execute_ritual") (result i32) (i32.const 0)))"""
    )


def padded(module: bytes, size: int) -> bytes:
    """The same module with a custom section that makes it ``size`` bytes long."""
    for header in range(2, 8):
        rest = size - len(module) - header
        if rest >= 1 and 1 + len(leb(rest)) == header:
            return module + b"\0" + leb(rest) + (b"\x01x" + b"\0" * (rest - 2) if rest > 1 else b"\0")
    raise ValueError(size)


COMPONENT = b"\0asm\x0d\0\x01\0"
GOOD = codex(
    """
    (call $log (i32.const 22) (i32.const 9))
    (call $set_archetype (i32.const 0) (i32.const 7)
      (f64.add (call $archetype (i32.const 0) (i32.const 7)) (f64.const 0.1)))
    (call $set_archetype (i32.const 7) (i32.const 6)
      (f64.add (call $archetype (i32.const 7) (i32.const 6)) (f64.const 0.1)))
    (call $set_energy (i32.const 13) (i32.const 5)
      (f64.mul (call $energy (i32.const 13) (i32.const 5)) (f64.const 2)))
    (call $add_symbol (i32.const 18) (i32.const 4))
    """,
    """(func (export "get_resonance") (result f64) (f64.const 0.75)) (func (export "cleanup"))""",
)
