"""What rituals that spin until their fuel is spent do to everyone else: the fan-out load without and beside them.

The spinning module behaves in an upload's dry run and loops for ever for a practitioner in whom ``Spin`` is active. A
sandbox runs it on a thread outside Python's lock, so what others lose is the processor, not their turn in a mailbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import httpx
import wasmtime
from rich.console import Console

from actors.runtime.errors import RitualFailed
from server.bench import fanout, show
from server.bench.accounts import tokens_of_new_accounts
from server.client import Client, http_url
from server.client_events import ClientError

SPIN_WAT: Final = """
(module
  (import "codex" "get_archetype_activation" (func $get (param i32 i32) (result f64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "Spin")
  (func (export "execute_ritual") (result i32)
    (if (f64.gt (call $get (i32.const 0) (i32.const 4)) (f64.const 0))
      (then (loop $for_ever (br $for_ever))))
    (i32.const 0)))
"""


async def run(
    url: str,
    *,
    pids: Sequence[int],
    spinners: int = 1,
    rooms: int = 50,
    members: int = 12,
    rate_per_s: float = 1.0,
    seconds: float = 8.0,
    console: Console | None = None,
) -> dict[str, Any]:
    """Measure the load twice. Prints a table, returns it."""
    tokens = await tokens_of_new_accounts(url, spinners)
    ritual = await _upload(url, tokens[0])
    load: dict[str, Any] = {
        "pids": pids,
        "rooms": rooms,
        "members": members,
        "rate_per_s": rate_per_s,
        "seconds": seconds,
    }
    quiet = await fanout.run(url, **load)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(url, token=token)) for token in tokens]
        spun_s: list[float] = []
        spinning = [asyncio.create_task(_spin(client, ritual, spun_s)) for client in clients]
        beside = await fanout.run(url, **load)
        for task in spinning:
            task.cancel()
    figures = {
        "spinners": spinners,
        "runs_that_spun": len(spun_s),
        "seconds_each": round(sum(spun_s) / len(spun_s), 2) if spun_s else None,
        **{f"{name}_alone": quiet[name] for name in ("p50_ms", "p99_ms")},
        **{f"{name}_beside": beside[name] for name in ("p50_ms", "p99_ms")},
    }
    show(console, "spinning rituals beside the fan-out load", figures)
    return figures


async def _upload(url: str, token: str) -> str:
    module = bytes(wasmtime.wat2wasm(SPIN_WAT))
    async with httpx.AsyncClient(base_url=http_url(url), timeout=60) as http:
        answer = await http.post(
            "/api/rituals/upload",
            headers={"Authorization": f"Bearer {token}"},
            data={"name": "spin", "description": "for a bench", "intent": "none", "is_public": "true"},
            files={"wasm_module": ("spin.wasm", module, "application/wasm")},
        )
    if answer.status_code != 201:
        raise ClientError(f"the spinning ritual was refused: {answer.text[:300]}")
    ritual: str = answer.json()["id"]
    return ritual


async def _spin(client: Client, ritual: str, spun_s: list[float]) -> None:
    await client.request(
        "state.transform", transformation_type="archetype_activation", parameters={"archetype": "Spin", "strength": 1}
    )
    while True:
        began = time.perf_counter()
        with suppress(RitualFailed):  # out of fuel, as it should be
            await client.request("ritual.run", ritual=ritual)
        spun_s.append(time.perf_counter() - began)
