"""What a ritual may do, in each of the three ABIs, and that a run gives the same anywhere."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import guests
import pytest
import sandbox_child
from guests import codex, legacy, request, sangha, sha256, wasm

from actors.practitioner.archetypal_state import ArchetypalState
from actors.ritual import module_cache
from actors.ritual import sandbox as sandbox_module
from actors.ritual.module_cache import DiskCache
from actors.ritual.sandbox import ModuleMissing, Sandbox
from actors.ritual.values import CheckRequest, RunOutcome
from actors.runtime.errors import RitualRejected


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def run(sandbox: Sandbox, module: bytes, **more: object) -> RunOutcome:
    sandbox.load(sha256(module), module)
    return sandbox.run(request(module, **more))


def test_a_codex_ritual_changes_the_state(sandbox: Sandbox) -> None:
    outcome = run(sandbox, guests.GOOD)
    assert outcome.state == ArchetypalState(
        archetypes={"Shadow": 0.6, "Light": 1.0},
        energies={"Fire": 0.5},
        integrations=("a dream",),
        symbols=("Mirror", "Key"),
        transformations=("individuation",),
    )
    assert outcome.emerged_symbols == ("Key",)
    assert outcome.clamped == ("archetypes.Light",)
    assert outcome.log == ("Entering",)
    assert (outcome.resonance, outcome.code) == (0.75, None)
    assert outcome.fuel > 0


def test_an_unknown_name_reads_as_zero_and_setting_it_creates_it(sandbox: Sandbox) -> None:
    value = "(f64.add (call $archetype (i32.const 18) (i32.const 3)) (f64.const 0.25))"
    outcome = run(sandbox, codex(f"(call $set_archetype (i32.const 18) (i32.const 3) {value})"))
    assert outcome.state is not None
    assert outcome.state.archetypes["Key"] == 0.25
    unchanged = run(sandbox, codex("(drop (call $archetype (i32.const 18) (i32.const 3)))"))
    assert unchanged.state == guests.STATE


def test_a_start_function_may_call_the_host(sandbox: Sandbox) -> None:
    outcome = run(sandbox, codex("", "(func $s (call $log (i32.const 22) (i32.const 9))) (start $s)"))
    assert (outcome.code, outcome.log) == (None, ("Entering",))


def test_chance_is_the_documented_stream_of_the_run(sandbox: Sandbox) -> None:
    body = "".join(f"(f64.store (i32.const {8 * n}) (call $random))" for n in range(6))
    sets = "".join(
        f"(call $set_archetype (i32.const {100 + n}) (i32.const 1) (f64.load (i32.const {8 * n})))" for n in range(6)
    )
    outcome = run(sandbox, codex(body + sets, '(data (i32.const 100) "abcdef")'), state=ArchetypalState())
    run_id = request(b"").run.encode()
    blocks = b"".join(hashlib.sha256(b"sangha.chance" + run_id + n.to_bytes(8, "big")).digest() for n in range(2))
    expected = [(word >> 11) / 2**53 for word in struct.unpack("<6Q", blocks[:48])]
    assert outcome.state is not None
    assert list(outcome.state.archetypes.values()) == expected
    other = run(sandbox, codex(body + sets, '(data (i32.const 100) "abcdef")'), state=ArchetypalState(), run="another")
    assert other.state != outcome.state


def test_a_legacy_ritual_points_to_its_new_state_and_what_it_leaves_out_stays(sandbox: Sandbox) -> None:
    outcome = run(sandbox, legacy('{"archetypes":{"Shadow":1.5},"symbols":["Mirror","Key"]}'))
    assert outcome.state == ArchetypalState(
        archetypes={"Shadow": 1.0},
        energies={"Fire": 0.25},
        integrations=("a dream",),
        symbols=("Mirror", "Key"),
        transformations=("individuation",),
    )
    assert (outcome.emerged_symbols, outcome.clamped) == (("Key",), ("archetypes.Shadow",))


def test_a_legacy_ritual_finds_state_and_parameters_and_is_read_back(sandbox: Sandbox) -> None:
    silent = wasm(
        """(module (memory (export "memory") 1) (func (export "execute_ritual") (result i32)
        (memory.copy (i32.const 0) (i32.const 1024) (i32.const 1024)) (i32.const 0)))"""
    )
    outcome = run(sandbox, silent, parameters=b'{"symbols":["from the parameters"]}')
    assert outcome.state is not None
    assert outcome.state.symbols == ("from the parameters",)
    assert outcome.state.archetypes == guests.STATE.archetypes


def test_a_sangha_ritual_gets_its_input_as_json(sandbox: Sandbox) -> None:
    """It answers with its input as a log line, which shows what it got."""
    head, tail = b'{"state":{"symbols":["Key"]},"log":["', b'"]}'
    escape = f"""
      (local $i i32) (local $o i32) (local $c i32)
      (local.set $o (i32.const {65_536 + len(head)}))
      (loop $l
        (local.set $c (i32.load8_u (i32.add (local.get 0) (local.get $i))))
        (if (i32.eq (local.get $c) (i32.const 34)) (then (local.set $c (i32.const 39))))
        (i32.store8 (local.get $o) (local.get $c))
        (local.set $o (i32.add (local.get $o) (i32.const 1)))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 1))))
      (memory.copy (local.get $o) (i32.const 60000) (i32.const {len(tail)}))
      (i64.or (i64.const {65_536 << 32})
        (i64.extend_i32_u (i32.sub (i32.add (local.get $o) (i32.const {len(tail)})) (i32.const 65536))))"""
    module = sangha(head, execute=escape, more=f'(data (i32.const 60000) "{guests.quoted(tail)}")')
    outcome = run(sandbox, module, parameters=b'{"depth":3}', intention="to see", participants=12)
    assert (outcome.code, outcome.emerged_symbols) == (None, ("Key",))
    told = json.loads(outcome.log[0].replace("'", '"'))
    assert told["state"]["archetypes"] == {"Shadow": 0.5, "Light": 0.95}
    assert (told["parameters"], told["intention"], told["participants"]) == ({"depth": 3}, "to see", 12)


def test_a_sangha_result_names_what_emerged_and_what_is_to_integrate(sandbox: Sandbox) -> None:
    answer = {
        "state": {"energies": {"Fire": -1}},
        "emerged_symbols": ["Owl"],
        "integration_required": ["rest"],
        "log": ["a"],
    }
    outcome = run(sandbox, sangha(json.dumps(answer)))
    assert (outcome.emerged_symbols, outcome.integration_required, outcome.log) == (("Owl",), ("rest",), ("a",))
    assert outcome.state is not None
    assert (outcome.state.energies, outcome.clamped) == ({"Fire": 0.0}, ("energies.Fire",))


def test_nothing_of_a_run_is_left_for_the_next(sandbox: Sandbox) -> None:
    counts = """(i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
      (call $set_archetype (i32.const 0) (i32.const 6) (f64.div (f64.convert_i32_u (i32.load (i32.const 512))) (f64.const 4)))"""
    for _ in range(50):
        outcome = run(sandbox, codex(counts))
        assert outcome.state is not None
        assert outcome.state.archetypes["Shadow"] == 0.25


def test_a_brief_run_and_a_full_one_and_one_in_another_process_are_the_same(sandbox: Sandbox, tmp_path: Path) -> None:
    def all_but_time(outcome: RunOutcome | None) -> str:
        return repr(outcome).split("duration_us")[0]

    outcome = run(sandbox, guests.GOOD)
    assert all_but_time(sandbox.run_briefly(request(guests.GOOD))) == all_but_time(outcome)
    for mode in ("good", "limited"):  # limited: a process that may have few addresses
        said = asyncio.run(child_says(mode, tmp_path / "marks"))
        assert said.split("duration_us")[0] == all_but_time(outcome)


async def child_says(mode: str, marks: Path) -> str:
    child = await asyncio.create_subprocess_exec(
        sys.executable, sandbox_child.__file__, mode, str(marks), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    return out.decode().splitlines()[-1]


def test_nan_bits_are_canonical(sandbox: Sandbox) -> None:
    """The sign of a NaN that 0/0 makes differs between processors; here it is one."""
    body = """(i64.store (i32.const 512) (i64.reinterpret_f64 (f64.div (f64.const 0) (f64.const 0))))
      (call $set_archetype (i32.const 0) (i32.const 6)
        (f64.convert_i32_u (i64.eq (i64.load (i32.const 512)) (i64.const 0x7ff8000000000000))))"""
    outcome = run(sandbox, codex(body))
    assert outcome.state is not None
    assert outcome.state.archetypes["Shadow"] == 1.0


def test_a_long_run_is_no_brief_one_and_is_remembered_as_such(sandbox: Sandbox) -> None:
    counted = "(i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))"
    body = f"(local $i i32) (loop $l (br_if $l {counted}))"
    module = codex(body)
    sandbox.load(sha256(module), module)
    assert sandbox.run_briefly(request(module)) is None
    assert sandbox.run(request(module)).code is None
    assert sandbox.run_briefly(request(module)) is None


def test_threads_run_rituals_side_by_side(sandbox: Sandbox) -> None:
    run(sandbox, guests.GOOD)
    outcomes: list[RunOutcome] = []

    def many(number: int) -> None:
        for turn in range(100):
            state = ArchetypalState(archetypes={"Shadow": number / 32, "Light": turn / 200})
            outcome = sandbox.run(request(guests.GOOD, state=state))
            assert outcome.state is not None
            assert outcome.state.archetypes == {"Shadow": number / 32 + 0.1, "Light": turn / 200 + 0.1}
            outcomes.append(outcome)

    threads = [threading.Thread(target=many, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2_000


def test_other_bytes_than_the_hash_says_are_refused_before_anything_looks_at_them(sandbox: Sandbox) -> None:
    with pytest.raises(RitualRejected, match="hash"):
        sandbox.load("0" * 64, guests.GOOD)
    assert not sandbox.has("0" * 64)
    with pytest.raises(ModuleMissing):
        sandbox.run(request(b"never loaded"))


def test_a_ritual_that_declines_the_example_is_accepted_with_a_note(sandbox: Sandbox) -> None:
    report = sandbox.check(CheckRequest(module=codex("(return (i32.const 3))")))
    assert report.accepted
    assert any("answered 3" in note for note in report.notes)
    refused = sandbox.check(CheckRequest(module=codex("unreachable")))
    assert not refused.accepted
    assert "on an example state" in refused.problems[0]


def test_a_report_says_what_a_module_is(sandbox: Sandbox) -> None:
    report = sandbox.check(CheckRequest(module=guests.GOOD))
    assert (report.abi, report.functions, report.memory_pages_min, report.memory_pages_max) == ("codex", 3, 1, None)
    assert "codex.add_symbol" in report.imports
    assert set(report.exports) == {"memory", "execute_ritual", "get_resonance", "cleanup"}
    assert report.module_hash == sha256(guests.GOOD)


def cached(directory: Path, key: bytes = b"k" * 32) -> Sandbox:
    return Sandbox(None, directory, key)


def test_compiled_modules_are_kept_on_disk_for_the_server_alone(tmp_path: Path) -> None:
    directory = tmp_path / "modules"
    sandbox = cached(directory)
    run(sandbox, guests.GOOD)
    sandbox.close()
    (file,) = directory.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.stat().st_mtime_ns
    again = cached(directory)
    assert run(again, guests.GOOD).code is None
    again.close()
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("harm", ["a flipped bit", "cut off", "empty", "another key", "another module's"])
def test_a_cached_module_that_is_not_ours_is_compiled_anew(tmp_path: Path, harm: str) -> None:
    directory = tmp_path / "modules"
    sandbox = cached(directory, b"another" if harm == "another key" else b"k" * 32)
    run(sandbox, guests.GOOD)
    (file,) = directory.iterdir()
    content = bytearray(file.read_bytes())
    if harm == "a flipped bit":
        content[len(content) // 2] ^= 1
    if harm in ("cut off", "empty"):
        del content[40 if harm == "cut off" else 0 :]
    if harm == "another module's":
        file.unlink()
        run(sandbox, codex("unreachable"))
        (other,) = directory.iterdir()
        content = bytearray(other.read_bytes())
    sandbox.close()
    file.write_bytes(content)
    again = cached(directory)
    assert run(again, guests.GOOD).code is None
    again.close()
    assert file.read_bytes() != content


def test_the_disk_keeps_the_newest_that_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_cache, "FILE_BYTES_MAX", 3_500)
    (tmp_path / ".torn").write_bytes(b"half")
    os.utime(tmp_path / ".torn", (1, 1))
    (tmp_path / ".another-sandbox-writes").write_bytes(b"half")
    disk = DiskCache(tmp_path, b"k" * 32, "settings")
    for number, size in enumerate((1_000, 1_000, 1_000, 2_000)):
        disk.write(f"{number}", bytes(size))
        for file in tmp_path.glob(f"{number}-*"):
            os.utime(file, (number + 1, number + 1))
    assert [disk.read(f"{number}") is not None for number in range(4)] == [False, False, True, True]
    assert {file.name for file in tmp_path.glob(".*")} == {".another-sandbox-writes"}
    disk.write("5", bytes(4_000))
    assert disk.read("5") is None


@pytest.mark.parametrize("apart", [False, True])
def test_compiled_modules_are_kept_in_memory_by_their_compiled_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    if apart:
        monkeypatch.setattr(sandbox_module, "COMPILE_HERE_MAX", 0)
    monkeypatch.setattr(module_cache, "COMPILED_BYTES_MAX", 1)
    sandbox = cached(tmp_path)
    assert run(sandbox, guests.GOOD).code is None
    other = codex("(call $add_symbol (i32.const 18) (i32.const 3))")
    assert run(sandbox, other).code is None
    assert (sandbox.has(sha256(guests.GOOD)), sandbox.has(sha256(other))) == (False, True)
    sandbox.close()
    assert len(list(tmp_path.iterdir())) == 2
