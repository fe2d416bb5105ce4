"""The client over real sockets, against a small server of the native dialect that cuts the connection at every point.

A scenario is run once to count its points (each frame before it is handled, between handling and answering, and around
each frame that goes out), then once for each point with a cut there, and once with a cut at every n-th point.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

from actors.runtime.errors import Conflict, Unauthenticated
from server.client import Client
from server.client_events import Backoff, ConnectionLost, OutcomeUnknown

QUICK = Backoff(base_s=0.001, cap_s=0.005)
SPACE = "5eed0000-0000-4000-8000-000000000001"
STREAM = f"space:{SPACE}"


class Cut(Exception):
    """The connection goes here."""


@dataclass
class Fake:
    """One space, sessions that outlive connections, and a plan of where to cut."""

    cut_at: Callable[[int], bool] = lambda _: False
    points: int = 0
    connections: int = 0
    journal: list[Any] = field(default_factory=list)
    sessions: dict[str, dict[int, Any]] = field(default_factory=dict)
    executed: Counter[str] = field(default_factory=Counter)
    followers: dict[ServerConnection, str] = field(default_factory=dict)
    refuse: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None
    statuses: list[HTTPStatus] = field(default_factory=list)
    url: str = ""
    silent: set[str] = field(default_factory=set)
    """Requests of these types get no answer."""
    ahead: timedelta | None = None
    """How far the server's clock is ahead of ours; None: it stands still."""

    def now(self) -> str:
        return "2026-11-21T00:00:00Z" if self.ahead is None else (datetime.now(UTC) + self.ahead).isoformat()

    def point(self, socket: ServerConnection) -> None:
        self.points += 1
        if self.cut_at(self.points):
            socket.transport.abort()
            raise Cut

    async def __call__(self, socket: ServerConnection) -> None:
        self.connections += 1
        session = ""
        try:
            async for text in socket:
                frame = json.loads(text)
                self.point(socket)
                if frame["type"] == "auth":
                    session = await self.auth(socket, frame)
                elif frame["type"] not in self.silent:
                    await self.handle(socket, session, frame)
        except (Cut, ConnectionClosed):
            pass
        finally:
            self.followers.pop(socket, None)

    async def auth(self, socket: ServerConnection, frame: dict[str, Any]) -> str:
        if frame.get("token") == "bad":
            await socket.close(4001)
            raise Cut
        resume = frame.get("resume", {})
        resumed = resume.get("session") in self.sessions and resume.get("secret") == "hush"
        session = resume["session"] if resumed else f"session-{self.connections}"
        self.sessions.setdefault(session, {})
        result = {"session": session, "secret": "hush", "practitioner": {"id": session}, "resumed": resumed}
        await self.say(socket, id=1, type="result", result=result | {"heartbeat_s": 25, "limits": {}})
        if STREAM in resume.get("offsets", {}) and resumed:
            self.followers[socket] = session
            for offset in range(resume["offsets"][STREAM] + 1, len(self.journal) + 1):
                await self.say(socket, **self.event(offset))
        return session

    async def handle(self, socket: ServerConnection, session: str, frame: dict[str, Any]) -> None:
        self.arrived.set()
        if self.hold is not None and frame["type"] == "space.send":
            await self.hold.wait()
        known, type_ = self.sessions.get(session, {}), frame["type"]
        if self.refuse.get(type_):
            await self.say(socket, id=frame["id"], type="error", error=self.refuse[type_].pop(0))
            return
        first = frame["id"] not in known
        if first:
            known[frame["id"]] = self.execute(frame)
        self.point(socket)
        await self.say(socket, id=frame["id"], type="result", result=known[frame["id"]])
        if first and type_ == "space.join":
            self.followers[socket] = session
            offset = len(self.journal)
            if "after" in frame:
                for missed in range(frame["after"] + 1, offset + 1):
                    await self.say(socket, **self.event(missed))
            else:
                await self.say(
                    socket, type="snapshot", stream=STREAM, offset=offset, state={"said": offset}, reason="joined"
                )
            await self.say(socket, type="event", stream=STREAM, event="presence", joined=[{"id": session}], left=[])
        elif first and type_ == "space.leave":
            self.followers.pop(socket, None)
        elif first and type_ == "space.send":
            for follower in list(self.followers):
                await self.say(follower, **self.event(len(self.journal)), strict=follower is socket)

    def execute(self, frame: dict[str, Any]) -> Any:
        match frame["type"]:
            case "ping":
                return {"pong": True, "server_time": self.now()}
            case "state.history":
                first = frame.get("before", "5")
                return {"states": [{"id": str(n)} for n in range(int(first) - 1, 0, -1)][: frame["limit"]]}
            case "ritual.run" | "state.get" | "state.transform" | "state.reflection" as type_:
                return {"did": type_} | {k: v for k, v in frame.items() if k not in ("id", "type")}
            case "space.ritual.begin" | "space.ritual.abort" | "space.ritual.get" as type_:
                self.executed[type_] += 1
                return {"did": type_} | {k: v for k, v in frame.items() if k not in ("id", "type")}
            case "space.send":
                self.executed[str(frame["body"])] += 1
                self.journal.append(frame["body"])
                return {"offset": len(self.journal)}
            case "history":
                last = min(frame["after"] + 2, len(self.journal))
                events = [{"offset": n, "body": self.journal[n - 1]} for n in range(frame["after"] + 1, last + 1)]
                return {"events": events, "more": last < len(self.journal)}
            case "space.join":
                return {"space": SPACE, "offset": len(self.journal)}
            case _:
                return {"id": SPACE}

    def event(self, offset: int) -> dict[str, Any]:
        who = {"id": "someone", "name": "Ana"}
        at = "2026-11-21T00:00:00Z"
        event = {"type": "event", "stream": STREAM, "offset": offset, "at": at, "event": "message"}
        return event | {"from": who, "body": self.journal[offset - 1]}

    async def say(self, socket: ServerConnection, *, strict: bool = True, **message: Any) -> None:
        """Send. What fails on somebody else's socket is not the sender's affair (``strict=False``)."""
        try:
            self.point(socket)
            await socket.send(json.dumps(message))
            self.point(socket)
        except (Cut, ConnectionClosed):
            if strict:
                raise

    async def push(self, body: Any) -> None:
        self.journal.append(body)
        for follower in list(self.followers):
            await self.say(follower, **self.event(len(self.journal)), strict=False)

    def drop_all(self) -> None:
        for follower in list(self.followers):
            follower.transport.abort()

    def answer_http(self, _: ServerConnection, __: Request) -> Response | None:
        return Response(status := self.statuses.pop(0), status.phrase, _headers()) if self.statuses else None


def _headers() -> Headers:
    return Headers({"Retry-After": "0"})


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[Fake]:
    server: Server
    async with serve(fake, "127.0.0.1", 0, process_request=fake.answer_http, close_timeout=0.2) as server:
        fake.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield fake


async def collect(stream: Any, until: Any) -> list[tuple[int, Any]]:
    """Numbered events up to the one whose body is ``until``, as (offset, body)."""
    events = []
    async for event in stream:
        if event.offset is not None:
            events.append((event.offset, event.body))
        if event.body == until:
            return events
    raise AssertionError("the stream ended")


async def talk(fake: Fake) -> None:
    """The scenario: create, join, three messages of which two at once, read them, leave."""
    async with Client(fake.url, guest="Ana", backoff=QUICK) as client:
        await client.create_space("Circle", purpose="breath", slug="circle")
        async with client.join("circle") as stream:
            assert stream.space == SPACE
            start = stream.offset
            offsets = [await stream.send("a"), *await asyncio.gather(stream.send("b"), stream.send("c"))]
            bodies = [fake.journal[offset - 1] for offset in offsets]
            assert bodies == ["a", "b", "c"]
            await stream.send("end")
            events = await collect(stream, "end")
            assert start is not None
            assert events == [(n, body) for n, body in enumerate(fake.journal, 1) if n > start]
    assert fake.executed == Counter({"a": 1, "b": 1, "c": 1, "end": 1})


async def run(fake: Fake, scenario: Callable[[Fake], Awaitable[None]] = talk) -> Fake:
    async with asyncio.timeout(20), serving(fake):
        await scenario(fake)
    return fake


async def test_a_cut_at_any_point_costs_nothing_and_doubles_nothing() -> None:
    points = (await run(Fake())).points
    assert points > 30
    for cut in range(1, points + 1):
        fake = await run(Fake(cut_at=cut.__eq__))
        assert fake.connections >= 1 + (cut < points - 2), f"the cut at {cut} was not noticed"


@pytest.mark.parametrize("seed", range(8))
async def test_neither_do_cuts_again_and_again(seed: int) -> None:
    chance = random.Random(seed)
    fake = await run(Fake(cut_at=lambda _: chance.random() < 0.07))
    assert fake.connections > 1


async def test_events_of_others_come_once_and_in_order_over_reconnects() -> None:
    async def scenario(fake: Fake) -> None:
        states: list[str] = []
        async with Client(fake.url, guest="Ana", backoff=QUICK, on_state=states.append) as client:
            async with client.join("circle") as stream:
                reading = asyncio.ensure_future(collect(stream, 199))
                for n in range(200):
                    await fake.push(n)
                    if n % 20 == 10:
                        fake.drop_all()
                    await asyncio.sleep(0)
                assert await reading == [(n + 1, n) for n in range(200)]
            assert states[:3] == ["connected", "reconnecting", "connected"]
        assert states[-1] == "stopped"

    await run(Fake(), scenario)


async def test_a_consumer_that_does_not_read_stops_the_reading_and_loses_nothing() -> None:
    async def scenario(fake: Fake) -> None:
        async with (
            Client(fake.url, guest="Ana", backoff=QUICK) as client,
            client.join("circle", queue_events=8) as stream,
        ):
            text = "x" * 50_000
            pushing = asyncio.ensure_future(_push_many(fake, text, 400))
            done, _ = await asyncio.wait((pushing,), timeout=0.5)
            assert not done, "20 MB went somewhere"
            assert stream._inbox.full
            assert [offset for offset, _ in await collect(stream, "end")] == list(range(1, 402))
            await pushing

    await run(Fake(), scenario)


async def _push_many(fake: Fake, text: str, count: int) -> None:
    for n in range(count):
        await fake.push(f"{n} {text}")
    await fake.push("end")


async def test_a_full_queue_does_not_keep_a_reply_from_coming() -> None:
    async def scenario(fake: Fake) -> None:
        async with (
            Client(fake.url, guest="Ana", backoff=QUICK) as client,
            client.join("circle", queue_events=4) as stream,
        ):
            for n in range(20):
                await stream.send(n)
            await stream.send("end")
            assert len(await collect(stream, "end")) == 21

    await run(Fake(), scenario)


async def test_retryable_errors_are_retried_and_others_raised() -> None:
    async def scenario(fake: Fake) -> None:
        busy = {"code": "storage_unavailable", "message": "busy", "retryable": True}
        fake.refuse["space.send"] = [busy, busy]
        fake.refuse["space.create"] = [{"code": "conflict", "message": "taken", "retryable": False}]
        async with Client(fake.url, guest="Ana", backoff=QUICK) as client, client.join("circle") as stream:
            assert await stream.send("a") == 1
            with pytest.raises(Conflict, match="taken"):
                await client.create_space("Circle", purpose="breath")

    await run(Fake(), scenario)


async def test_a_request_may_time_out_and_a_pulse_is_lost_with_its_connection() -> None:
    async def scenario(fake: Fake) -> None:
        async with Client(fake.url, guest="Ana", backoff=QUICK) as client, client.join("circle") as stream:
            assert await stream.pulse(1.0)
            fake.hold = asyncio.Event()
            with pytest.raises(TimeoutError):
                await stream.send("late", timeout_s=0.05)
            fake.drop_all()
            await _state(client, "reconnecting")
            assert not await stream.pulse(1.0)
            fake.hold.set()
            await _state(client, "connected")

    await run(Fake(), scenario)


async def _state(client: Client, wanted: str) -> None:
    reached = asyncio.Event()
    client.on_state = lambda state: reached.set() if state == wanted else None
    if client.state != wanted:
        await reached.wait()


async def test_a_lost_session_says_that_an_outcome_is_unknown_and_takes_up_the_stream() -> None:
    async def scenario(fake: Fake) -> None:
        async with Client(fake.url, guest="Ana", backoff=QUICK) as client, client.join("circle") as stream:
            fake.hold = asyncio.Event()
            fake.arrived.clear()
            sending = asyncio.ensure_future(stream.send("a"))
            await fake.arrived.wait()
            fake.sessions.clear()
            fake.drop_all()
            with pytest.raises(OutcomeUnknown):
                await sending
            fake.hold.set()
            fake.hold = None
            await stream.send("end")
            assert (await collect(stream, "end"))[-1][1] == "end"

    await run(Fake(), scenario)


async def test_history_comes_page_by_page_and_a_join_may_replay() -> None:
    async def scenario(fake: Fake) -> None:
        fake.journal = ["a", "b", "c", "d", "end"]
        async with Client(fake.url, guest="Ana", backoff=QUICK) as client:
            assert [event["body"] async for event in client.history(STREAM, limit=2)] == fake.journal
            async with client.join("circle", after=3) as stream:
                assert stream.state is None
                assert await collect(stream, "end") == [(4, "d"), (5, "end")]

    await run(Fake(), scenario)


async def test_a_space_is_joined_once_a_client() -> None:
    async def scenario(fake: Fake) -> None:
        async with Client(fake.url, guest="Ana", backoff=QUICK) as client, client.join("circle") as stream:
            with pytest.raises(Conflict):
                await client.join("circle").__aenter__()
            await stream.send("end")
            assert await collect(stream, "end") == [(1, "end")]

    await run(Fake(), scenario)


async def test_a_refused_credential_raises_and_ends_every_stream() -> None:
    async def scenario(fake: Fake) -> None:
        with pytest.raises(Unauthenticated):
            await Client(fake.url, token="bad", backoff=QUICK).__aenter__()

    await run(Fake(), scenario)


async def test_an_upgrade_refused_for_now_is_tried_again() -> None:
    fake = Fake(statuses=[HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS])
    await run(fake)
    assert fake.connections == 1


async def test_a_server_that_is_not_there_is_given_up_on() -> None:
    async with serving(Fake()) as fake:
        url = fake.url
    with pytest.raises(ConnectionLost, match="no connection for"):
        await Client(url, guest="Ana", give_up_after_s=0.05, backoff=QUICK).__aenter__()


async def test_a_wrong_option_raises_and_does_not_wait_for_ever() -> None:
    with pytest.raises(Exception, match="ftp"):
        await Client("ftp://127.0.0.1:1/x", guest="Ana").__aenter__()


async def test_latency_and_the_servers_clock_are_measured() -> None:
    async def scenario(fake: Fake) -> None:
        async with Client(fake.url, guest="Ana", backoff=QUICK) as client:
            await client.request("ping")
            assert client.latency_ms is not None
            assert 0 < client.latency_ms < 5000
            server_time = client.server_time()
            assert server_time is not None
            assert client.clock_offset_s is not None
            assert server_time.isoformat().startswith("2026-11-21T00:00:0")

    await run(Fake(), scenario)


async def test_clients_meet_at_a_time_of_the_servers_whatever_their_own_clock_says() -> None:
    async def scenario(fake: Fake) -> None:
        fake.ahead = timedelta(hours=3)
        due = datetime.now(UTC) + fake.ahead + timedelta(seconds=0.3)
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(Client(fake.url, guest=str(n), backoff=QUICK)) for n in range(12)
            ]
            met = []

            async def meet(client: Client) -> None:
                await client.until(due if client is clients[0] else due.isoformat())
                met.append(datetime.now(UTC) + timedelta(hours=3))

            await asyncio.gather(*map(meet, clients))
            error_s = [client.latency_ms / 2000 for client in clients if client.latency_ms is not None]
            assert min(met) >= due - timedelta(seconds=max(error_s))
            assert await clients[0].until(due) > 0

    await run(Fake(), scenario)


async def test_a_meeting_that_is_over_is_noticed_at_once_also_without_an_answer_to_a_ping() -> None:
    async def scenario(fake: Fake) -> None:
        fake.silent = {"ping"}
        async with Client(fake.url, guest="Ana", backoff=QUICK) as client:
            assert await client.until(datetime.now(UTC) - timedelta(seconds=5)) >= 5
            assert await client.until(datetime.now(UTC) + timedelta(seconds=0.05)) >= 0
            assert client.clock_offset_s is None

    await run(Fake(), scenario)


async def test_rituals_and_ones_own_state_are_asked_in_the_protocols_words() -> None:
    async def scenario(fake: Fake) -> None:
        async with Client(fake.url, token="good", backoff=QUICK) as client:
            asked = await client.run_ritual("dance", intention="joy", parameters={"n": 1})
            assert asked == {"did": "ritual.run", "ritual": "dance", "intention": "joy", "parameters": {"n": 1}}
            assert await client.archetypal_state() == {"did": "state.get"}
            changed = await client.transform("symbol", name="spiral")
            assert (changed["transformation_type"], changed["parameters"]) == ("symbol", {"name": "spiral"})
            assert [state["id"] async for state in client.state_history(page=2)] == ["4", "3", "2", "1"]
            assert await client.reflect() == {"did": "state.reflection"}
            assert (await client.reflect("s"))["session_id"] == "s"

    await run(Fake(), scenario)


async def test_a_group_ritual_is_begun_once_over_cuts() -> None:
    async def scenario(fake: Fake) -> None:
        async with Client(fake.url, token="good", backoff=QUICK) as client, client.join("circle") as stream:
            begun = await stream.begin_ritual("dance", intention="joy", starts_in_s=2, opening_s=0)
            assert begun["space"] == SPACE
            assert (begun["starts_in_s"], begun["opening_s"], begun["ritual"]) == (2, 0, "dance")
            assert "at" not in begun
            assert (await stream.ritual())["did"] == "space.ritual.get"
            assert "ritual_run" not in await stream.abort_ritual()
            assert (await stream.abort_ritual("r"))["ritual_run"] == "r"
        assert fake.executed["space.ritual.begin"] == 1
        assert fake.executed["space.ritual.abort"] == 2

    points = (await run(Fake(), scenario)).points
    for cut in range(1, points + 1):
        await run(Fake(cut_at=cut.__eq__), scenario)
