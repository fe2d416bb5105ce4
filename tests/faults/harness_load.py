"""A load of acknowledged commands: guests who talk in open spaces, accounts that change their archetypal state.

Each writer sends one numbered command after another, each only after the last was acknowledged, and keeps what it was told;
each guest keeps every event that it saw. ``check`` then holds that against storage (``harness_audit``). A command that
fails in a way that a client may not retry fails the test.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import harness_audit
import httpx
from harness import RunningServer

from server.client import Client, Stream, register
from server.client_events import Backoff, Event

PACE_S = 0.02
"""Between an acknowledgement and the next command: a load, but one that leaves the machine room to recover."""
RETRY_S = 0.05
QUICK = Backoff(base_s=0.05, cap_s=0.25)
"""The server's recovery is measured, not a client's patience."""
RECOVERED_S = 60.0
SETTLED_S = 60.0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One command that was answered. ``answer`` is a message's offset."""

    n: int
    began_at: float
    ended_at: float
    answer: Any


@dataclass(slots=True)
class Writer:
    """Whoever sends one command after another."""

    name: str
    send: Callable[[int], Awaitable[Any]]
    acknowledged: list[Acknowledged] = field(default_factory=list)
    busy: bool = False

    def first_since(self, since: float) -> float | None:
        """When the first command that was begun after ``since`` was acknowledged."""
        return next((ack.ended_at for ack in self.acknowledged if ack.began_at >= since), None)


@dataclass(slots=True)
class Guest:
    """A guest in one space."""

    client: Client
    stream: Stream
    writer: Writer
    from_offset: int
    """Of the snapshot with which it entered."""
    seen: list[tuple[float, Event]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.client.practitioner["id"])

    @property
    def head(self) -> int:
        return self.seen[-1][1].offset or 0 if self.seen else self.from_offset


@dataclass(slots=True)
class Account:
    """A registered practitioner, over HTTP."""

    id: str
    headers: dict[str, str]
    writer: Writer


class Load:
    """See the module. ``async with`` starts it; it ends with the block, without a check."""

    def __init__(self, server: RunningServer, *, guests: int = 6, spaces: int = 2, accounts: int = 2) -> None:
        self.server = server
        self.guests: list[Guest] = []
        self.accounts: list[Account] = []
        self.spaces: list[str] = []
        self.epochs: dict[tuple[str, str, str], int] = {}
        self._sizes = guests, spaces, accounts
        self._go, self._news = asyncio.Event(), asyncio.Event()
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._http: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        guests, spaces, accounts = self._sizes
        try:
            self._http = await self._stack.enter_async_context(httpx.AsyncClient(base_url=self.server.url, timeout=40))
            for number in range(guests):
                await self._enter(number, spaces, room=guests)
            for number in range(accounts):
                await self._register(number)
            await self.note_epochs()
            for writer in self.writers:
                self._run(self._write(writer))
            self.go()
            await self.recovered(time.monotonic())
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    @property
    def writers(self) -> list[Writer]:
        """Everybody who sends."""
        return [guest.writer for guest in self.guests] + [account.writer for account in self.accounts]

    # -- making it ------------------------------------------------------------------------------------------------

    async def _enter(self, number: int, spaces: int, room: int) -> None:
        client = await self._stack.enter_async_context(Client(self.server.url, guest=f"g{number}", backoff=QUICK))
        if number < spaces:
            made = await client.create_space(
                f"space {number}", purpose="talk", access_level="open", participant_limit=room
            )
            self.spaces.append(made["id"])
        stream = await self._stack.enter_async_context(client.join(self.spaces[number % spaces], leave=False))
        name = f"g{number}"
        writer = Writer(name, lambda n: stream.send({"who": name, "n": n}))
        assert stream.offset is not None
        guest = Guest(client, stream, writer, from_offset=stream.offset)
        self.guests.append(guest)
        self._run(self._listen(guest))

    async def _register(self, number: int) -> None:
        email = f"a{number}-{uuid.uuid4().hex}@example.org"
        made = await register(self.server.url, email, "a long enough password")
        headers = {"Authorization": f"Bearer {made['token']}"}
        run = uuid.uuid4().hex
        writer = Writer(f"a{number}", lambda n: self._put(headers, f"{run}-{n}", n))
        self.accounts.append(Account(made["practitioner"]["id"], headers, writer))

    async def _put(self, headers: dict[str, str], key: str, n: int) -> None:
        """PUT the archetypal state; retried with the same key until it is done."""
        while True:
            try:
                reply = await self._http.put(
                    "/api/users/archetypal_state",
                    json={"symbols": [str(n)]},
                    headers=headers | {"Idempotency-Key": key},
                )
            except httpx.TransportError:
                await asyncio.sleep(RETRY_S)
                continue
            if reply.status_code == 200:
                assert reply.json()["symbols"] == [str(n)]
                return
            if reply.status_code not in (503, 504):
                raise AssertionError(f"PUT {n} with key {key}: {reply.status_code} {reply.text}")
            await asyncio.sleep(RETRY_S)

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._news.set())
        self._tasks.append(task)

    async def _write(self, writer: Writer) -> None:
        n = 0
        while True:
            await self._go.wait()
            n += 1
            writer.busy, began = True, time.monotonic()
            answer = await writer.send(n)
            writer.acknowledged.append(Acknowledged(n, began, time.monotonic(), answer))
            writer.busy = False
            self._news.set()
            await asyncio.sleep(PACE_S)

    async def _listen(self, guest: Guest) -> None:
        async for event in guest.stream:
            if event.offset is not None:
                guest.seen.append((time.monotonic(), event))
                self._news.set()

    # -- driving it -----------------------------------------------------------------------------------------------

    def go(self) -> None:
        """Let everybody write (again)."""
        self._go.set()

    async def quiet(self, timeout_s: float = SETTLED_S) -> None:
        """Let nobody begin another command, and wait for those that are under way."""
        self._go.clear()
        await self._until(
            lambda: not any(writer.busy for writer in self.writers),
            lambda: f"unanswered: {[(w.name, len(w.acknowledged) + 1) for w in self.writers if w.busy]}",
            timeout_s,
        )

    async def recovered(self, since: float, timeout_s: float = RECOVERED_S) -> float:
        """Wait until a command that was begun after ``since`` is acknowledged to everybody: seconds since then."""
        await self._until(
            lambda: all(w.acknowledged and w.acknowledged[-1].began_at >= since for w in self.writers),
            lambda: f"no answer since the blow: {[w.name for w in self.writers if w.first_since(since) is None]}",
            timeout_s,
        )
        return max(w.first_since(since) or 0.0 for w in self.writers) - since

    async def _until(self, condition: Callable[[], bool], what: Callable[[], str], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not (self._failed() or condition()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s:.0f} s; {what()}") from None

    def _failed(self) -> bool:
        for task in self._tasks:
            if task.done():
                task.result()
                raise AssertionError("a listener's stream ended")
        return False

    async def note_epochs(self) -> dict[tuple[str, str, str], int]:
        """The shards' epochs now; none is below what it was."""
        connection = await self.server.connect()
        try:
            rows = await connection.fetch("SELECT kind, layout, shard, epoch FROM shard_leases")
        finally:
            await connection.close()
        now = {(row["kind"], row["layout"], row["shard"]): int(row["epoch"]) for row in rows}
        for lease, epoch in self.epochs.items():
            assert now[lease] >= epoch, f"the epoch of {lease} went back from {epoch} to {now[lease]}"
        self.epochs = now
        return now

    async def check(self) -> None:
        """Stop writing, and hold what everybody was told and saw against what is stored. ``go`` may follow."""
        await self.quiet()
        await self.note_epochs()
        connection = await self.server.connect()
        try:
            for space in self.spaces:
                await self._check_space(await harness_audit.read(connection, "space", space), space)
            for account in self.accounts:
                await self._check_account(await harness_audit.read(connection, "practitioner", account.id), account)
        finally:
            await connection.close()

    async def _check_space(self, stored: harness_audit.Stored, space: str) -> None:
        guests = [guest for guest in self.guests if guest.stream.space == space]
        await self._until(
            lambda: all(guest.head >= stored.head for guest in guests),
            lambda: f"{space} is at {stored.head}, seen: {[(g.writer.name, g.head) for g in guests]}",
            SETTLED_S,
        )
        harness_audit.check_journal(stored)
        for guest in guests:
            acknowledged = {ack.n: ack.answer for ack in guest.writer.acknowledged}
            harness_audit.check_messages(stored, guest.id, acknowledged)
            harness_audit.check_seen(stored, guest.from_offset, [event for _, event in guest.seen])
        history = [event async for event in guests[0].client.history(f"space:{space}")]
        harness_audit.check_history(stored, history)
        harness_audit.check_space(stored, await guests[0].client.request("space.get", space=space))

    async def _check_account(self, stored: harness_audit.Stored, account: Account) -> None:
        harness_audit.check_journal(stored)
        harness_audit.check_states(stored, [ack.n for ack in account.writer.acknowledged])
        profile = await self._http.get("/api/users/profile", headers=account.headers)
        assert profile.status_code == 200, profile.text
        harness_audit.check_profile(stored, profile.json())
