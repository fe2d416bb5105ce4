"""A circle of accounts in one space who hold group rituals, others who come in, and the exact check of what came of one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import wasmtime
from harness import RunningServer

from server.client import Client, Stream, register
from server.client_events import Backoff

QUICK = Backoff(base_s=0.05, cap_s=0.25)
CLOSED_S = 90.0
SLOW_WAT = """
;; Counts for a while, so that there is time to kill somebody, then raises one archetype by a tenth.
(module
  (import "codex" "get_archetype_activation" (func $get (param i32 i32) (result f64)))
  (import "codex" "set_archetype_activation" (func $set (param i32 i32 f64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "Witness")
  (func (export "execute_ritual") (result i32)
    (local $n i32)
    (local.set $n (i32.const {turns}))
    (loop $more
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $more (local.get $n)))
    (call $set (i32.const 0) (i32.const 7)
      (f64.add (call $get (i32.const 0) (i32.const 7)) (f64.const 0.1)))
    (i32.const 0)))
"""


def slow_module(turns: int = 160_000_000) -> bytes:
    """Nearly as slow as a server's default fuel lets a run be: six a turn, about a tenth of a second on a quiet machine."""
    return bytes(wasmtime.wat2wasm(SLOW_WAT.replace("{turns}", str(turns))))


def patient_module(turns: int = 2_000_000_000) -> bytes:
    """Slow for whoever has the archetype Witness, and not for others. So many turns need fuel beyond a server's default."""
    who = f"(select (i32.const {turns}) (i32.const 1) (f64.gt (call $get (i32.const 0) (i32.const 7)) (f64.const 0)))"
    return bytes(wasmtime.wat2wasm(SLOW_WAT.replace("(i32.const {turns})", who)))


async def upload(http: httpx.AsyncClient, token: str, module: bytes, name: str, **fields: str) -> str:
    """The id of a public ritual."""
    answer = await http.post(
        "/api/rituals/upload",
        headers={"Authorization": f"Bearer {token}"},
        data={"name": name, "description": "a test", "intent": "to be seen", "is_public": "true"} | fields,
        files={"wasm_module": ("ritual.wasm", module, "application/wasm")},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@dataclass(slots=True, eq=False)
class Member:
    """One who is in the space, every group event that they were told of, and the pushes that have no number."""

    token: str
    client: Client
    stream: Stream
    told: list[Any] = field(default_factory=list)
    live: list[Any] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.client.practitioner["id"])

    async def awaken(self) -> None:
        """Have the archetype Witness."""
        await self.client.transform("archetype_activation", archetype="Witness", strength=0.5)

    def seen_leaving(self) -> set[str]:
        """Whose presence they were told has ended."""
        return {who["id"] for event in self.live if event.event == "presence" for who in event.fields["left"]}

    async def states(self) -> list[dict[str, Any]]:
        """Every version of their state, the newest first."""
        return [state async for state in self.client.state_history()]


class Circle:
    """``size`` accounts joined in a space; the first facilitates. Their ritual: a slow one of their own, if none is given."""

    def __init__(self, server: RunningServer, size: int = 3, ritual: str = "", *, turns: int = 160_000_000) -> None:
        self.server, self.size, self.ritual, self._turns = server, size, ritual, turns
        self.members: list[Member] = []
        self.space = ""
        self._slug = f"circle-{uuid.uuid4().hex[:8]}"
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        http = await self._stack.enter_async_context(httpx.AsyncClient(base_url=self.server.url, timeout=60))
        for n in range(self.size):
            token = await self.account(f"M{n}")
            client = await self.connected(token=token)
            if n == 0:
                made = await client.create_space(self._slug, purpose="a test", slug=self._slug, access_level="open")
                self.space = made["id"]
                self.ritual = self.ritual or await upload(http, token, slow_module(self._turns), self._slug)
            self.members.append(await self.enter(client, token))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    async def account(self, name: str) -> str:
        """The token of a new account, whose presence others may see."""
        email = f"{uuid.uuid4().hex}@example.org"
        shown = {"spiritual_name": name, "privacy_level": "community"}
        made = await register(self.server.url, email, "a long password", verify=True, **shown)
        return str(made["token"])

    async def connected(self, *, token: str | None = None, guest: str | None = None) -> Client:
        """A client, closed when the circle is."""
        return await self._stack.enter_async_context(
            Client(self.server.url, token=token, guest=guest, backoff=QUICK, ping_interval_s=1)
        )

    async def enter(self, client: Client, token: str = "") -> Member:
        """Who comes into the space. They are none of ``members``."""
        stream = await self._stack.enter_async_context(client.join(self.space, leave=False))
        member = Member(token, client, stream)
        self._tasks.append(asyncio.create_task(self._listen(member)))
        return member

    async def _listen(self, member: Member) -> None:
        async for event in member.stream:
            if event.offset is None:
                member.live.append(event)
            elif event.event.startswith("ritual_"):
                member.told.append(event)
            async with self._news:
                self._news.notify_all()

    async def begin(self, **options: Any) -> str:
        """Begin one; its id."""
        options = {"starts_in_s": 0.5, "opening_s": 0.5, "integration_s": 0.5} | options
        facilitator = self.members[0].client
        reply = await facilitator.request("space.ritual.begin", space=self.space, ritual=self.ritual, **options)
        return str(reply["ritual_run"])

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for what the pushes make true."""
        async with self._news, asyncio.timeout(CLOSED_S):
            await self._news.wait_for(condition)

    async def told(self, run: str, event: str, everyone: bool = False, by: Sequence[Member] = ()) -> list[Any]:
        """Wait until somebody (or everyone, or each of these) was told of an event of a run."""
        asked = by or self.members

        def heard() -> list[Any]:
            return [e for m in asked for e in m.told if e.event == event and e.body["ritual_run"] == run]

        await self.until(lambda: len(heard()) >= (len(asked) if everyone or by else 1))
        return heard()

    async def summary(self, run: str, by: Sequence[Member] = ()) -> Any:
        """What everyone (or each of these) was told at the end of a run, which is the same."""
        first, *others = await self.told(run, "ritual_closed", everyone=True, by=by)
        assert all(other.body == first.body for other in others)
        return first.body["summary"]

    async def versions(self) -> dict[str, int]:
        """How many times each member's state has changed."""
        states = await asyncio.gather(*(member.client.request("state.get") for member in self.members))
        return {member.id: state["version"] or 0 for member, state in zip(self.members, states, strict=True)}

    async def check_closed(self, run: str, before: dict[str, int], transformed: int | None = None) -> Any:
        """Everyone was told of each stage once, in order, and of one summary, which is what really happened."""
        events = await self.told(run, "ritual_closed", everyone=True)
        summary = events[0].body["summary"]
        after = await self.versions()
        changed = {who for who in after if after[who] != before[who]}
        assert all(after[who] - before[who] == 1 for who in changed), f"{before} became {after}"
        assert summary["transformed"] == len(changed)
        assert len(changed) == (len(self.members) if transformed is None else transformed), summary
        for member in self.members:
            mine = [e for e in member.told if e.body.get("ritual_run") == run]
            assert [e.body for e in mine if e.event == "ritual_closed"] == [events[0].body]
            offsets = [e.offset for e in mine]
            assert offsets == sorted(set(offsets))
        return summary
