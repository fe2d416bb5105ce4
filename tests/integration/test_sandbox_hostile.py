"""Every hostile guest ends in a coded failure that tells its author what was wrong; the next ritual is fine."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import guests
import pytest
from guests import bare, codex, legacy, sangha, wasm

from actors.ritual.builtin.builtin import BUILTINS, upload_command
from actors.ritual.compiling import COMPILE_HERE_MAX
from actors.ritual.engine import CONCURRENT, SandboxLimits
from actors.ritual.guest import Guest, Scratch
from actors.ritual.module import inspect
from actors.ritual.sandbox import Sandbox
from actors.ritual.values import CheckRequest, RunOutcome
from actors.runtime.errors import RitualRejected


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(SandboxLimits(fuel=20_000_000))
    yield sandbox
    sandbox.close()


def run(sandbox: Sandbox, module: bytes, **more: object) -> RunOutcome:
    """Its outcome, which is the same when it is run briefly; afterwards a good ritual runs."""
    request = guests.request(module, **more)
    sandbox.load(request.module_hash, module)
    before = json.dumps(request.state.archetypes)
    brief = sandbox.run_briefly(request)
    outcome = sandbox.run(request)
    assert brief is None or same(brief, outcome)
    assert json.dumps(request.state.archetypes) == before
    good = guests.request(guests.GOOD)
    sandbox.load(good.module_hash, guests.GOOD)
    assert sandbox.run(good).code is None
    return outcome


def same(one: RunOutcome, other: RunOutcome) -> bool:
    def all_but_time(outcome: RunOutcome) -> dict[str, object]:
        return {name: getattr(outcome, name) for name in outcome.__struct_fields__ if name != "duration_us"}

    return all_but_time(one) == all_but_time(other)


BIG = 2**31
LOOP = "(loop $l (br $l))"
RECURSION = "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))"
NAMES = """(local $i i32) (loop $l
  (i32.store8 (i32.const 100) (i32.add (i32.const 65) (i32.and (local.get $i) (i32.const 15))))
  (i32.store8 (i32.const 101) (i32.add (i32.const 65) (i32.and (i32.shr_u (local.get $i) (i32.const 4)) (i32.const 15))))
  (i32.store8 (i32.const 102) (i32.add (i32.const 65) (i32.shr_u (local.get $i) (i32.const 8))))
  %s
  (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3000))))"""


def state(**fields: object) -> str:
    return json.dumps({"state": fields})


FAILING = {
    "an endless loop": (codex(LOOP), "ritual_failed", "fuel"),
    "an endless loop, legacy": (legacy(execute=LOOP), "ritual_failed", "in execute_ritual"),
    "an endless loop in alloc": (sangha("{}", alloc=f"{LOOP} (i32.const 8)"), "ritual_failed", "in alloc"),
    "deep recursion": (
        codex("(drop (call $deep (i32.const 0)))", RECURSION),
        "ritual_failed",
        "`deep`): it used up the stack",
    ),
    "a start function that loops": (
        codex("", f"(func $s {LOOP}) (start $s)"),
        "ritual_failed",
        "while it was instantiated",
    ),
    "a start function that traps": (codex("", "(func $s unreachable) (start $s)"), "ritual_failed", "unreachable"),
    "a division by zero": (
        codex("(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        "ritual_failed",
        "divided an integer by zero",
    ),
    "a write past its memory": (
        codex("(i32.store (i32.const -4) (i32.const 1))"),
        "ritual_failed",
        "outside its memory",
    ),
    "data past its memory": (codex("", '(data (i32.const 65535) "ab")'), "ritual_failed", "outside its memory"),
    "a status after a word": (
        codex("(call $log (i32.const 22) (i32.const 9)) (return (i32.const 1))"),
        "ritual_failed",
        "answered 1 (0 is success); the last that it logged: Entering",
    ),
    "a status": (codex("(return (i32.const -7))"), "ritual_failed", "answered -7 (0 is success)"),
    "a trap in cleanup": (codex("", '(func (export "cleanup") unreachable)'), "ritual_failed", "in cleanup"),
    "a loop in get_resonance": (
        codex("", f'(func (export "get_resonance") (result f64) {LOOP} (f64.const 0))'),
        "ritual_failed",
        "in get_resonance",
    ),
    "a resonance that is no number": (
        codex("", '(func (export "get_resonance") (result f64) (f64.div (f64.const 0) (f64.const 0)))'),
        "ritual_failed",
        "get_resonance gave nan",
    ),
    "NaN as a strength": (
        codex("(call $set_archetype (i32.const 0) (i32.const 6) (f64.const nan))"),
        "ritual_failed",
        "archetypes.Shadow was set to nan",
    ),
    "infinity as a level": (
        codex("(call $set_energy (i32.const 13) (i32.const 4) (f64.const -inf))"),
        "ritual_failed",
        "energies.Fire was set to -inf",
    ),
    "thousands of archetypes": (
        codex(NAMES % "(call $set_archetype (i32.const 100) (i32.const 3) (f64.const 1))"),
        "ritual_failed",
        "archetypes: more than 256 entries",
    ),
    "thousands of symbols": (
        codex(NAMES % "(call $add_symbol (i32.const 100) (i32.const 3))"),
        "ritual_failed",
        "symbols: more than 256 entries",
    ),
    "host calls without end": (
        codex("(loop $l (drop (call $random)) (br $l))"),
        "ritual_failed",
        "called the host more than 100,000 times",
    ),
    "an empty name": (codex("(call $add_symbol (i32.const 0) (i32.const 0))"), "ritual_failed", "the name is empty"),
    "a long name": (
        codex("(call $add_symbol (i32.const 0) (i32.const 500))", data="x" * 500),
        "ritual_failed",
        "500 characters",
    ),
    "a very long name": (codex("(call $add_symbol (i32.const 0) (i32.const 60000))"), "ritual_failed", "60,000 bytes"),
    "a NUL in a name": (codex("(call $add_symbol (i32.const 0) (i32.const 9))"), "ritual_failed", "U+0000"),
    "a name that is not UTF-8": (
        codex("(call $add_symbol (i32.const 0) (i32.const 3))", data="a\\ff\\fe"),
        "ritual_failed",
        "codex.add_symbol: the text is not valid UTF-8 (byte 1",
    ),
    "a log that is not UTF-8": (
        codex("(call $log (i32.const 0) (i32.const 2))", data="\\c3\\28"),
        "ritual_failed",
        "codex.log",
    ),
    "a state of 1,024 bytes for legacy": (legacy("{}"), "ritual_rejected", "1,023"),
    "parameters of 1,024 bytes for legacy": (legacy("{}"), "ritual_rejected", "the parameters"),
    "a legacy memory of no pages": (
        bare(memory="0"),
        "ritual_rejected",
        "no room",
    ),
    "a legacy state that is not UTF-8": (legacy(b'{"symbols":["\xff\xfe"]}'), "ritual_failed", "UTF-8"),
    "a legacy state that is not JSON": (legacy("{symbols}"), "ritual_failed", "is not JSON"),
    "NaN in a legacy state": (
        legacy('{"archetypes":{"Shadow":NaN}}'),
        "ritual_failed",
        "NaN and Infinity are not JSON",
    ),
    "a number past all doubles": (legacy('{"archetypes":{"Shadow":1e999}}'), "ritual_failed", "out of range"),
    "a legacy state with another field": (legacy('{"archetype":{}}'), "ritual_failed", "archetype"),
    "a strength that is text": (legacy('{"archetypes":{"Shadow":"0.5"}}'), "ritual_failed", "archetypes"),
    "no NUL at offset 0": (
        wasm(
            """(module (memory (export "memory") 1) (func (export "execute_ritual") (result i32)
            (memory.fill (i32.const 0) (i32.const 65) (i32.const 4096)) (i32.const 0)))"""
        ),
        "ritual_failed",
        "no NUL ends the text within 1,024 bytes",
    ),
    "no NUL anywhere": (
        legacy("{}", execute="(memory.fill (i32.const 0) (i32.const 65) (i32.const 65536))"),
        "ritual_failed",
        "no NUL",
    ),
    "alloc that finds no room": (sangha("{}", alloc="(i32.const 0)"), "ritual_failed", "gave 0"),
    "a result that is not UTF-8": (sangha(b'{"state":{"symbols":["\xc3\x28"]}}'), "ritual_failed", "UTF-8"),
    "a lone surrogate": (sangha(r'{"state":{"symbols":["\ud800"]}}'), "ritual_failed", "the result of execute"),
    "a NUL in a result's name": (sangha(r'{"state":{"symbols":["a\u0000b"]}}'), "ritual_failed", "U+0000"),
    "a result without a state": (sangha('{"log":[]}'), "ritual_failed", "state"),
    "a misspelt field": (sangha('{"state":{},"emergent_symbols":[]}'), "ritual_failed", "emergent_symbols"),
    "JSON that is too deep": (sangha("[" * 100_000), "ritual_failed", "the result of execute"),
    "thousands of names in a result": (
        sangha(state(archetypes={f"unknown {n}": 0.5 for n in range(4_000)})),
        "ritual_failed",
        "archetypes has 4,000 entries",
    ),
    "a result of 10 MB": (
        sangha("{}", execute=f"(i64.const {(65_536 << 32) | 10_000_000})"),
        "ritual_failed",
        "10,000,000 bytes",
    ),
    "an empty result": (sangha("{}", execute="(i64.const 0)"), "ritual_failed", "is empty"),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_hostile_run_ends_in_a_coded_failure_that_says_what_was_wrong(sandbox: Sandbox, what: str) -> None:
    module, code, says = FAILING[what]
    more: dict[str, object] = {}
    if what == "a state of 1,024 bytes for legacy":
        more["state"] = guests.ArchetypalState(symbols=tuple(f"{n:0100}" for n in range(10)))
    if what == "parameters of 1,024 bytes for legacy":
        more["parameters"] = json.dumps({"x": "y" * 1_024}).encode()
    outcome = run(sandbox, module, **more)
    assert (outcome.code, outcome.state) == (code, None)
    assert says in outcome.message
    assert len(outcome.message) < 400


LIES = {
    "negative": (-4, 8),
    "past the end": (65_530, 7),
    "2^31": (BIG, 1),
    "a length of 2^31": (0, BIG),
    "both": (-1, -1),
}
CODEX_CALLS = {
    "log": "(call $log {0})",
    "get": "(drop (call $archetype {0}))",
    "set": "(call $set_archetype {0} (f64.const 1))",
    "energy": "(drop (call $energy {0}))",
    "set energy": "(call $set_energy {0} (f64.const 1))",
    "symbol": "(call $add_symbol {0})",
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("call", CODEX_CALLS)
def test_a_codex_pointer_that_lies_is_refused(sandbox: Sandbox, call: str, lie: str) -> None:
    at, size = LIES[lie]
    outcome = run(sandbox, codex(CODEX_CALLS[call].format(f"(i32.const {at}) (i32.const {size})")))
    assert outcome.code == "ritual_failed"
    assert "do not lie within its memory of 65,536 bytes" in outcome.message


@pytest.mark.parametrize("at", [-4, 65_536, BIG])
def test_a_legacy_pointer_that_lies_is_refused(sandbox: Sandbox, at: int) -> None:
    module = wasm(
        f"""(module (memory (export "memory") 1) (func (export "execute_ritual") (result i32) (i32.const 0))
        (func (export "get_state_transformation") (result i32) (i32.const {at})))"""
    )
    outcome = run(sandbox, module)
    assert outcome.code == "ritual_failed"
    assert "do not lie within its memory of 65,536 bytes" in outcome.message


@pytest.mark.parametrize("at", [-4, 131_072, 131_000, BIG])
def test_an_alloc_that_lies_is_refused_and_nothing_is_written(sandbox: Sandbox, at: int) -> None:
    outcome = run(sandbox, sangha("{}", alloc=f"(i32.const {at})"))
    assert outcome.code == "ritual_failed"
    assert "do not lie within its memory of 131,072 bytes" in outcome.message


@pytest.mark.parametrize(
    ("at", "size"), [(0xFFFFFFFC, 8), (131_070, 3), (BIG, 1), (0, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)]
)
def test_a_result_that_lies_is_refused(sandbox: Sandbox, at: int, size: int) -> None:
    outcome = run(sandbox, sangha("{}", execute=f"(i64.const {(at << 32) | size})"))
    assert outcome.code == "ritual_failed"
    assert "do not lie within its memory of 131,072 bytes" in outcome.message


def test_a_result_that_overlaps_the_input_is_read_as_what_it_is(sandbox: Sandbox) -> None:
    same_place = "(i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))"
    outcome = run(sandbox, sangha("{}", execute=same_place))
    assert outcome.code == "ritual_failed"
    assert "is not known here" in outcome.message


def test_a_run_over_its_deadline_ends_there() -> None:
    sandbox = Sandbox(SandboxLimits(fuel=10**15, deadline_s=0.2))
    module = codex(LOOP)
    sandbox.load(guests.sha256(module), module)
    outcome = sandbox.run(guests.request(module))
    sandbox.close()
    assert outcome.code == "ritual_failed"
    assert "longer than it may" in outcome.message
    assert outcome.duration_us < 2_000_000


def test_memory_and_tables_grow_to_their_limits_and_no_further() -> None:
    sandbox = Sandbox(SandboxLimits(memory_bytes=10 * 65_536, table_elements=100))
    grow = """(block $b (loop $l (br_if $b (i32.eq (memory.grow (i32.const 1)) (i32.const -1))) (br $l)))
      (block $c (loop $m (br_if $c (i32.eq (table.grow (ref.null func) (i32.const 1)) (i32.const -1))) (br $m)))
      (call $set_archetype (i32.const 0) (i32.const 6) (f64.div (f64.convert_i32_u (memory.size)) (f64.const 100)))
      (call $set_archetype (i32.const 7) (i32.const 5) (f64.div (f64.convert_i32_u (table.size)) (f64.const 1000)))"""
    module = codex(grow, "(table 1 funcref)")
    sandbox.load(guests.sha256(module), module)
    outcome = sandbox.run(guests.request(module))
    sandbox.close()
    assert outcome.state is not None
    assert outcome.state.archetypes == {"Shadow": 0.1, "Light": 0.1}


def test_logs_by_the_megabyte_are_cut_and_say_so(sandbox: Sandbox) -> None:
    long = "(call $log (i32.const 0) (i32.const 65000))"
    counted = "(i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 500))"
    many = f"(local $i i32) (loop $l {long} (br_if $l {counted}))"
    outcome = run(sandbox, codex(many, data="é" * 32_500))
    assert outcome.code is None
    assert len(outcome.log) == 101
    assert outcome.log[0] == "é" * 500 + "…"
    assert outcome.log[-1] == "[400 more lines were left out]"


REFUSED = {
    "1 GB of memory": (
        bare(memory="16384"),
        "1,024 MiB",
    ),
    "100,000 functions": (guests.many_functions(99_999), "100,000 functions; 10,000 are allowed"),
    "a forbidden import": (
        bare('(import "env" "abort" (func (param i32 i32 i32 i32)))'),
        "--use abort=",
    ),
    "a misspelt import": (
        bare('(import "codex" "get_archetype_activaton" (func (param i32 i32) (result f64)))'),
        "did you mean `codex.get_archetype_activation`?",
    ),
    "a WASI import": (
        bare('(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'),
        "WASI",
    ),
    "a wrong type": (
        bare('(import "codex" "log" (func (param i64 i32)))'),
        "(i64, i32) -> ()",
    ),
    "4 MiB + 1": (guests.padded(guests.GOOD, 4 * 2**20 + 1), "4,194,305 bytes"),
    "a component": (guests.COMPONENT, "component"),
    "text": (b"(module)", "sangha ritual build"),
    "nothing": (b"", "too few"),
    "a table of 100,000": (codex("", "(table 100000 funcref)"), "10,000 are allowed"),
    "imported memory": (
        wasm('(module (import "env" "memory" (memory 1)) (func (export "execute_ritual") (result i32) (i32.const 0)))'),
        "imports its memory",
    ),
    "memory64": (
        bare(memory="i64 1"),
        "memory64",
    ),
    "shared memory": (
        bare(memory="1 2 shared"),
        "shared",
    ),
    "low data in legacy": (legacy("{}", at=2_047), "2048"),
    "an invalid body": (guests.many_functions(0).replace(b"\x41\0\x0b", b"\x42\0\x0b"), "not valid"),
    "an invalid body among many": (guests.many_functions(9_000).replace(b"\x41\0\x0b", b"\x42\0\x0b"), "not valid"),
    "a compile that takes 5 GB": (
        guests.nested(3_000, 1_000),
        "too much to compile: it takes more than 20 s, 1,024 MiB",
    ),
    "blocks of many values": (
        bare(more="(func (result i32 i32) (i32.const 0) (i32.const 0))"),
        "not valid: func type returns multiple values",
    ),
    "atomics": (codex("(drop (i32.atomic.load (i32.const 0)))"), "not valid"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_module_that_is_not_acceptable_is_refused_and_told_why(sandbox: Sandbox, what: str) -> None:
    module, says = REFUSED[what]
    report = sandbox.check(CheckRequest(module=module))
    assert not report.accepted
    assert any(says in problem for problem in report.problems), report.problems
    with pytest.raises(RitualRejected, match="module"):
        sandbox.load(report.module_hash, module)
    assert not sandbox.has(report.module_hash)


def test_a_module_of_4_mib_exactly_runs(sandbox: Sandbox) -> None:
    assert run(sandbox, guests.padded(guests.GOOD, 4 * 2**20)).code is None


def test_a_module_that_is_much_to_compile_runs_as_any_other(sandbox: Sandbox) -> None:
    module = guests.codex(
        "(call $set_archetype (i32.const 0) (i32.const 6) (f64.const 0.75))", "(func)" * (COMPILE_HERE_MAX // 32)
    )
    assert inspect(module).cost > COMPILE_HERE_MAX
    outcome = run(sandbox, module)
    assert outcome.state is not None
    assert outcome.state.archetypes["Shadow"] == 0.75


def test_there_are_tables_for_as_many_instances_as_may_run() -> None:
    sandbox = Sandbox()
    module = bare(more="(table 10 funcref)" * 16)
    sandbox.load(guests.sha256(module), module)
    prepared = sandbox._modules.get(guests.sha256(module))
    assert prepared is not None
    scratch, running = Scratch(), []
    for _ in range(CONCURRENT):
        guest = Guest(scratch, sandbox._engine_at, fuel=1_000, ticks=9, limits=(2**20, 100), brief=True)
        running.append(guest)
        guest.start(prepared.address)
    for guest in running:
        guest.close()
    sandbox.close()


def test_who_was_seen_with_much_memory_is_never_again_run_on_the_loop(sandbox: Sandbox) -> None:
    module = codex("(drop (memory.grow (i32.const 200)))")
    request = guests.request(module)
    sandbox.load(request.module_hash, module)
    first = sandbox.run_briefly(request)
    assert first is not None
    assert sandbox.run_briefly(request) is None
    assert same(sandbox.run(request), first)
    from_the_start = bare(memory="200")
    sandbox.load(guests.sha256(from_the_start), from_the_start)
    assert sandbox.run_briefly(guests.request(from_the_start)) is None


def test_truncated_and_bit_flipped_modules_never_hurt(sandbox: Sandbox) -> None:
    chance = random.Random(7)
    builtins = [upload_command(builtin).module for builtin in BUILTINS.values()]
    examples = [*builtins, guests.GOOD, legacy('{"symbols":["Key"]}'), sangha('{"state":{"symbols":["Key"]}}')]
    accepted = refused = 0
    for number in range(600):
        module = bytearray(chance.choice(examples))
        if number % 3 == 0:
            del module[chance.randrange(len(module)) :]
        for _ in range(chance.randrange(1, 4) if number % 3 else 0):
            module[chance.randrange(len(module))] ^= 1 << chance.randrange(8)
        report = sandbox.check(CheckRequest(module=bytes(module)))
        assert report.accepted or report.problems
        assert all(len(problem) < 500 for problem in report.problems)
        accepted, refused = accepted + report.accepted, refused + (not report.accepted)
    assert accepted
    assert refused
    good = guests.request(guests.GOOD)
    sandbox.load(good.module_hash, guests.GOOD)
    assert sandbox.run(good).code is None
