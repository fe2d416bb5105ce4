"""Recorded runs give the same again, and what was changed since is named."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
import wasmtime
from backends import LAYOUT, PostgresBackend
from recording import FIRST, Recorded, uploaded

from actors.practitioner.archetypal_state import ArchetypalState
from actors.ritual.builtin.builtin import BUILTINS, upload_command
from actors.ritual.engine import SandboxLimits
from actors.ritual.sandbox import Sandbox
from actors.ritual.values import Brief, RunOutcome, RunRequest
from actors.runtime.ports import Batch
from storage.pool import BadValue
from storage.replay import Difference, Replayed, replay
from storage.seal import Sealer
from storage.store import PostgresStore

SEAL = Sealer(b"k" * 32)
STATE = ArchetypalState(
    archetypes={"Shadow": 0.9, "Light": 0.1, "Self": 0.3, "Z": 1.0},
    energies={"water": 0.25, "fire": 0.75, "earth": 1 / 3, "air": 0.5},
    transformations=("individuation", "b", "a"),
)
LOOPS = """(module
    (import "codex" "log" (func $log (param i32 i32)))
    (memory (export "memory") 1)
    (func (export "execute_ritual") (result i32) (loop $again (br $again)) (i32.const 0)))"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(SandboxLimits(fuel=1_000_000))
    yield sandbox
    sandbox.close()


@pytest.fixture(params=["plain", "sealed"])
def seal(request: pytest.FixtureRequest) -> Sealer | None:
    return SEAL if request.param == "sealed" else None


async def someone(backend: PostgresBackend, seal: Sealer | None) -> Recorded:
    store = PostgresStore(
        backend.dsn, kind="practitioner", layout=LAYOUT, shard=0, incarnation=backend.incarnation, seal=seal
    )
    backend.stores.append(store)
    await store.acquire()
    return await Recorded(store).register()


async def known(who: Recorded, sandbox: Sandbox, module: bytes, module_hash: str, name: str = "n") -> Brief:
    row, brief = uploaded(module, module_hash, name)
    await who.store.commit(Batch(rows=[row]))
    sandbox.load(module_hash, module)
    return brief


async def builtin(who: Recorded, sandbox: Sandbox, name: str) -> Brief:
    command = upload_command(BUILTINS[name])
    return await known(who, sandbox, command.module, command.module_hash, name)


async def again(
    backend: PostgresBackend, seal: Sealer | None, fuel: int = 1_000_000, **only: Any
) -> tuple[Replayed, list[Difference]]:
    found: list[Difference] = []
    report = await replay(
        backend.dsn,
        seal=seal,
        sandboxes=lambda limit: Sandbox(SandboxLimits(fuel=limit or fuel)),
        found=found.append,
        progress=lambda *_: None,
        **only,
    )
    assert report.differences == len(found)
    return report, found


async def test_every_builtin_ritual_replays_bit_for_bit(
    postgres_backend: PostgresBackend, sandbox: Sandbox, seal: Sealer | None
) -> None:
    who = await (await someone(postgres_backend, seal)).put(STATE)
    parameters = b'{"zz": 1e2, "archetype": "Sage",\n "a": {"y": 1, "x": 12345678901234567890}}'
    for name in BUILTINS:
        brief = await builtin(who, sandbox, name)
        await who.run(brief, sandbox, parameters=parameters, intention="to see\u00e9")
        await who.run(brief, sandbox, group=str(uuid4()), parameters=parameters)
    assert await again(postgres_backend, seal) == (Replayed(runs=2 * len(BUILTINS)), [])
    assert {run["participants"] for run in await postgres_backend.rows("ritual_sessions")} == {None, 3}


async def test_one_run_is_replayed_where_it_is_named(postgres_backend: PostgresBackend, sandbox: Sandbox) -> None:
    who = await (await someone(postgres_backend, None)).put(STATE)
    brief = await builtin(who, sandbox, "shadow_integration")
    runs = [await who.run(brief, sandbox) for _ in range(3)]
    assert await again(postgres_backend, None, session=runs[1]) == (Replayed(runs=1), [])
    assert await again(postgres_backend, None, practitioner=who.id) == (Replayed(runs=3), [])
    assert await again(postgres_backend, None, practitioner=str(uuid4())) == (Replayed(), [])
    with pytest.raises(BadValue):
        await again(postgres_backend, None, session=str(uuid4()))


async def test_a_run_that_used_up_its_fuel_does_so_again_under_another_limit(
    postgres_backend: PostgresBackend, sandbox: Sandbox
) -> None:
    who = await (await someone(postgres_backend, None)).put(STATE)
    await who.run(await known(who, sandbox, *compiled(LOOPS)), sandbox)
    await who.run(await builtin(who, sandbox, "void_contemplation"), sandbox)
    for fuel in (10_000_000, 1_000_000, 10):
        assert await again(postgres_backend, None, fuel) == (Replayed(runs=2), [])


async def test_a_part_that_was_refused_never_reached_its_ritual(
    postgres_backend: PostgresBackend, sandbox: Sandbox
) -> None:
    who = await (await someone(postgres_backend, None)).put(FIRST)
    brief = await builtin(who, sandbox, "void_contemplation")
    refused = Brief(id=brief.id, name=brief.name, module_hash=brief.module_hash, required_archetypes=("Nobody",))
    with pytest.raises(AssertionError):
        await who.run(refused, sandbox, group=str(uuid4()))  # no run is open then
    assert await again(postgres_backend, None) == (Replayed(skipped=1), [])


DAMAGES = {
    "the module": (
        "UPDATE sacred_rituals SET wasm_module_data = wasm_module_data || '\\x00'",
        "do not have the hash",
    ),
    "no module": ("DELETE FROM sacred_rituals", "module is not there"),
    "the result": ("UPDATE ritual_sessions SET result = jsonb_set(result, '{log}', '[\"x\"]')", "another result"),
    "the fuel": ("UPDATE ritual_sessions SET fuel = fuel + 1", "of fuel"),
    "the outcome": ("UPDATE ritual_sessions SET status = 'failed'", "its row says failed"),
    "no row": ("DELETE FROM ritual_sessions", "no row"),
    "the journal": (
        """UPDATE journal SET data = convert_to(replace(convert_from(data, 'UTF8'), '"fuel":', '"fuel":1'), 'UTF8')
           WHERE event_type = 'run_completed'""",
        "of fuel",
    ),
    "a lost event": ("DELETE FROM journal WHERE event_type = 'archetypal_state_updated'", "is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_is_not_as_it_was_is_named(postgres_backend: PostgresBackend, sandbox: Sandbox, damage: str) -> None:
    who = await (await someone(postgres_backend, None)).put(STATE)
    await who.run(await builtin(who, sandbox, "shadow_integration"), sandbox)
    sql, what = DAMAGES[damage]
    await postgres_backend.connection.execute(sql)
    _, (difference,) = await again(postgres_backend, None)
    assert difference.practitioner == who.id
    assert what in difference.what


class Forgetful(Sandbox):
    """Says that something else emerged."""

    def run(self, request: RunRequest) -> RunOutcome:
        outcome = super().run(request)
        return RunOutcome(state=outcome.state, emerged_symbols=("Other",), fuel=outcome.fuel, resonance=0.1234)


async def test_an_outcome_that_is_another_names_its_parts(postgres_backend: PostgresBackend, sandbox: Sandbox) -> None:
    who = await (await someone(postgres_backend, None)).put(STATE)
    await who.run(await builtin(who, sandbox, "shadow_integration"), sandbox)
    found: list[Difference] = []
    await replay(
        postgres_backend.dsn,
        seal=None,
        sandboxes=lambda limit: Forgetful(SandboxLimits(fuel=limit or 1_000_000)),
        found=found.append,
        progress=lambda *_: None,
    )
    assert "emerged_symbols" in found[0].what
    assert "resonance" in found[0].what


def compiled(wat: str) -> tuple[bytes, str]:
    module = bytes(wasmtime.wat2wasm(wat))
    return module, sha256(module).hexdigest()
