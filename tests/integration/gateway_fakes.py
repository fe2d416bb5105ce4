"""A gateway with real sockets over a fake shard: enough of a space and a practitioner to follow, say and miss something.

The fake answers in the next turn of the loop, in order, like a link. What it must not do by itself (refuse, wait, drop,
skip) the tests set on it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import msgspec
import websockets

from actors.eustress import commands as e
from actors.practitioner import commands as p
from actors.ritual import commands as r
from actors.ritual.values import Brief, run_id_of
from actors.runtime.entity import LATEST, Address
from actors.runtime.errors import NotFound, SanghaError
from actors.runtime.ports import StoreDown
from actors.runtime.wire import (
    Answer,
    Ask,
    Dropped,
    Following,
    History,
    Page,
    Paged,
    Pushed,
    Refused,
    Unfollow,
)
from actors.space import commands as s
from server import tokens
from server.gateway import Gateway
from server.settings import Settings

ALICE = "11111111-1111-4111-8111-111111111111"
BOB = "22222222-2222-4222-8222-222222222222"
HALL = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
ROOM = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
SECRET = b"cluster secret"


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


@dataclass
class FakeStream:
    """One entity: its numbered frames and its followers (sessions by practitioner)."""

    kind: str
    id: str
    frames: list[bytes] = field(default_factory=list)
    followers: dict[str, str] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    gone: bool = False
    operations: dict[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.id}"

    def event(self, event: str, body: Any, sender: str | None = None) -> tuple[int, bytes]:
        offset = len(self.frames) + 1
        frame = {"type": "event", "stream": self.name, "offset": offset, "at": "2026-01-01T00:00:00Z", "event": event}
        frame |= {"from": {"id": sender, "name": None}, "body": body}
        self.frames.append(dumps(frame))
        return offset, self.frames[-1]

    def snapshot(self) -> bytes:
        return dumps({"stream": self.name, "offset": len(self.frames), "state": {"events": len(self.frames)}})


@dataclass
class FakeRun:
    """A ritual's run: how it ended, or who waits for that."""

    outcome: Any = None
    waiting: list[Callable[[Any], None]] = field(default_factory=list)

    def ask(self, on_outcome: Callable[[Any], None]) -> None:
        self.waiting.append(on_outcome)
        if self.outcome is not None:
            self.end(self.outcome)

    def end(self, outcome: Any) -> None:
        """With a result, or with an error."""
        self.outcome = outcome
        waiting, self.waiting = self.waiting, []
        for on_outcome in waiting:
            on_outcome(outcome)


class FakeShards:
    """Router, link and shards in one."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], FakeStream] = {}
        self.asked: list[Any] = []
        self.unfollowed: list[Unfollow] = []
        self.on_message: Callable[[str, Any], None] = lambda kind, message: None
        self.refuse: Callable[[Any], SanghaError | None] = lambda message: None
        self.held: list[Callable[[], None]] | None = None
        self.page_events = 1_000
        self.lake: Callable[[Any], Any] | None = None
        """What a Eustress space replies to a command, where a test wants it otherwise."""
        self.briefs: dict[str, Brief] = {}
        self.runs: dict[str, FakeRun] = {}
        self.forgotten: set[str] = set()
        self._cid = 0

    # The router and the link

    def link(self, address: Address) -> _Link:
        return _Link(self, address.kind)

    def hold(self) -> None:
        """Answer nothing until ``release``."""
        self.held = []

    def release(self) -> None:
        held, self.held = self.held or [], None
        for answer in held:
            answer()

    def take(self, kind: str, make: Callable[[int], Any], on_answer: Callable[[Any], None]) -> None:
        self._cid += 1
        message = make(self._cid)
        self.asked.append(message)
        asyncio.get_running_loop().call_soon(self._now_or_later, kind, message, on_answer)

    def _now_or_later(self, kind: str, message: Any, on_answer: Callable[[Any], None]) -> None:
        if self.held is not None:
            self.held.append(partial(self._now_or_later, kind, message, on_answer))
            return
        self._work(kind, message, on_answer)

    def _work(self, kind: str, message: Any, on_answer: Callable[[Any], None]) -> None:
        failure = self.refuse(message)
        if failure is not None:
            on_answer(Refused(message.cid, failure.code, failure.message))
            return
        if kind == "ritual":
            self._ritual(message, on_answer)
            return
        stream = self.streams.get((kind, message.entity))
        if stream is None and kind == "space" and self._is_create(message):
            stream = self.streams[kind, message.entity] = FakeStream(kind, message.entity)
        if stream is None and (kind == "practitioner" or (kind == "eustress" and isinstance(message, Ask))):
            stream = self.streams[kind, message.entity] = FakeStream(kind, message.entity)
        if stream is None or stream.gone:
            on_answer(Refused(message.cid, "not_found", "there is none"))
        elif isinstance(message, Page):
            self._page(stream, message, on_answer)
        elif isinstance(message, History):
            frames = [json.loads(f) for f in stream.frames[message.after : message.after + message.limit]]
            on_answer(Answer(message.cid, dumps({"events": frames, "more": False})))
        else:
            self._command(stream, message, on_answer)

    def _ritual(self, ask: Ask, on_answer: Callable[[Any], None]) -> None:
        assert isinstance(r.codec.decode(ask.command), r.GetBrief)
        brief = self.briefs.get(ask.entity)
        if brief is None:
            on_answer(Refused(ask.cid, "not_found", "there is no such ritual"))
        else:
            on_answer(Answer(ask.cid, msgspec.json.encode(brief)))

    def _run(self, ask: Ask, command: Any, on_answer: Callable[[Any], None]) -> None:
        """A run stays parked until the test ends it; its id is the operation's."""
        if isinstance(command, p.RunRitual):
            assert ask.operation is not None
            id_ = run_id_of(ask.operation)
            run = FakeRun(NotFound("forgotten")) if id_ in self.forgotten else self.runs.setdefault(id_, FakeRun())
        else:
            run = self.runs.get(command.run) or FakeRun(NotFound("forgotten"))

        def ended(outcome: Any) -> None:
            refused = isinstance(outcome, SanghaError)
            on_answer(Refused(ask.cid, outcome.code, outcome.message) if refused else Answer(ask.cid, dumps(outcome)))

        run.ask(ended)

    @staticmethod
    def _is_create(message: Any) -> bool:
        return isinstance(message, Ask) and isinstance(s.codec.decode(message.command), s.CreateSpace)

    def _page(self, stream: FakeStream, page: Page, on_answer: Callable[[Any], None]) -> None:
        head = len(stream.frames)
        if page.after > head:
            on_answer(Paged(page.cid, (), head, True, stream.snapshot()))
            return
        frames, size = [], 0
        for frame in stream.frames[page.after :]:
            if len(frames) >= self.page_events or (frames and size + len(frame) > page.max_bytes):
                break
            frames.append(frame)
            size += len(frame)
        through = page.after + len(frames)
        on_answer(Paged(page.cid, frames, through, through == head))

    def _command(self, stream: FakeStream, ask: Ask, on_answer: Callable[[Any], None]) -> None:
        codec: Any = {"space": s.codec, "eustress": e.codec}.get(stream.kind, p.codec)
        command = codec.decode(ask.command)
        if isinstance(command, (p.RunRitual, p.AwaitRun)):
            self._run(ask, command, on_answer)
            return
        if ask.operation is not None and ask.operation in stream.operations:
            on_answer(Answer(ask.cid, stream.operations[ask.operation]))
        else:
            try:
                reply, after = self._decide(stream, command, ask)
            except SanghaError as refused:
                errors = tuple((each.path, each.message) for each in refused.errors)
                on_answer(Refused(ask.cid, refused.code, refused.message, errors))
                return
            if ask.operation is not None:
                stream.operations[ask.operation] = dumps(reply)
            on_answer(Answer(ask.cid, dumps(reply)))
            after()
        if isinstance(command, (s.Join, p.Enter, e.Subscribe)):
            assert ask.caller is not None
            assert ask.caller.session is not None
            stream.followers[ask.caller.session] = ask.caller.practitioner
            snapshot = stream.snapshot() if ask.snapshot else None
            self.on_message(stream.kind, Following(stream.id, ask.caller.session, len(stream.frames), snapshot))
            if stream.kind == "space":
                self.unnumbered(
                    stream, {"event": "presence", "joined": [], "left": [], "full": True}, to=ask.caller.session
                )

    def _decide(self, stream: FakeStream, command: Any, ask: Ask) -> tuple[Any, Callable[[], None]]:  # noqa: C901 - a table
        nothing: Callable[[], None] = lambda: None  # noqa: E731
        who = ask.caller.practitioner if ask.caller else None
        if stream.kind == "eustress" and self.lake is not None:
            return msgspec.to_builtins(self.lake(command)), nothing
        match command:
            case s.SendMessage(body=body):
                offset = len(stream.frames) + 1
                return {"offset": offset}, lambda: self.say(stream, json.loads(body), who)
            case s.Join() | e.Subscribe():
                return {"space": stream.id, "offset": len(stream.frames)}, nothing
            case e.Ingest(items=items):
                ingested = {"success": True, "message": "", "version": len(stream.frames) + 1}
                return ingested, lambda: self.say(stream, json.loads(items), who)
            case s.Leave():
                return {"space": stream.id}, lambda: self.drop(stream, who)
            case s.CreateSpace():
                return {"id": stream.id, **msgspec.to_builtins(command)}, nothing
            case p.Register():
                stream.profile = msgspec.to_builtins(command) | {"created_at": "2026-01-01T00:00:00Z"}
                return self._profile(stream), nothing
            case p.GetAccount() if "password_hash" not in stream.profile:
                raise NotFound("there is no such practitioner")
            case p.GetAccount():
                return {"id": stream.id, "password_hash": stream.profile["password_hash"]}, nothing
            case p.OpenSession():
                self.opened = command
                return {
                    "session": command.id,
                    "expires_at": command.expires_at.isoformat().replace("+00:00", "Z"),
                }, nothing
            case p.TransformState() | p.GetState() | p.Reflect():
                return {"asked": msgspec.to_builtins(command)}, nothing
            case s.BeginRitual(brief=s.NO_BRIEF):
                raise NotFound("there is no such ritual")
            case s.BeginRitual() | s.AbortRitual() | s.GetRitual():
                return {"ritual_run": ask.operation, "asked": msgspec.to_builtins(command)}, nothing
            case p.UpdateProfile() | p.Enter() | p.GetProfile():
                return self._profile(stream), nothing
            case p.PutArchetypalState(state=state):
                return msgspec.to_builtins(state), nothing
            case p.CloseSession(id=session):
                return {"sessions": [session]}, lambda: self.push(stream, "session_closed", {"sessions": [session]})
            case _:
                return {"id": stream.id}, nothing

    @staticmethod
    def _profile(stream: FakeStream) -> dict[str, Any]:
        profile = {"id": stream.id, "email": "a@b.c", "privacy_level": "community", "spiritual_name": "Ariadne"}
        profile |= {k: v for k, v in stream.profile.items() if k != "password_hash"}
        return profile

    # What tests do to the shards

    def space(self, id_: str = HALL) -> FakeStream:
        return self.streams.setdefault(("space", id_), FakeStream("space", id_))

    def say(self, stream: FakeStream, body: Any, sender: str | None = None) -> int:
        return self.push(stream, "message", body, sender)

    def push(self, stream: FakeStream, event: str, body: Any, sender: str | None = None) -> int:
        offset, frame = stream.event(event, body, sender)
        self.on_message(stream.kind, Pushed(stream.id, offset, frame))
        return offset

    def unnumbered(
        self, stream: FakeStream, fields: dict[str, Any], *, lane: int = 0, key: str = "", to: str | None = None
    ) -> None:
        frame = dumps({"type": "event", "stream": stream.name, **fields})
        self.on_message(stream.kind, Pushed(stream.id, 0, frame, lane, key, to))

    def latest(self, stream: FakeStream, fields: dict[str, Any]) -> None:
        self.unnumbered(stream, {"event": "coherence", **fields}, lane=LATEST, key="coherence")

    def drop(self, stream: FakeStream, practitioner: str | None) -> None:
        for session in [each for each, who in stream.followers.items() if practitioner in (None, who)]:
            del stream.followers[session]
        self.push(stream, "left", {}, practitioner)
        self.on_message(stream.kind, Dropped(stream.id, practitioner))


class _Link:
    def __init__(self, shards: FakeShards, kind: str) -> None:
        self._shards = shards
        self._kind = kind

    def ask(self, make: Callable[[int], Any], on_answer: Callable[[Any], None]) -> None:
        self._shards.take(self._kind, make, on_answer)

    def once(self, cid: int) -> str:
        return f"link:{cid}"

    def send(self, message: Unfollow) -> None:
        self._shards.unfollowed.append(message)
        stream = self._shards.streams.get((self._kind, message.entity))
        if stream is not None:
            stream.followers.pop(message.session, None)


@dataclass
class Login:
    id: str
    practitioner_id: str
    expires_at: datetime
    service: str | None = None
    name: str | None = None


class FakeQueries:
    """Logins, names and counts in dicts."""

    def __init__(self) -> None:
        self.logins: dict[bytes, Login] = {}
        self.spent: set[bytes] = set()
        self.sharing: set[frozenset[str]] = set()
        self.spaces_of: dict[str, tuple[str, ...]] = {}
        self.names: dict[tuple[str, str], str] = {}
        self.counts: dict[str, int] = {}
        self.lake: set[str] = set()
        self.rituals: dict[str, str] = {}
        self.runs: dict[tuple[str, str], dict[str, Any]] = {}
        self.looking: asyncio.Event | None = None
        self.down = False
        self.resolving: asyncio.Event | None = None

    def login(self, token: str, practitioner: str, *, life_s: float = 3600, service: str | None = None) -> Login:
        expires_at = datetime.now(UTC) + timedelta(seconds=life_s)
        login = Login(str(uuid5(NAMESPACE_OID, token)), practitioner, expires_at, service)
        self.logins[tokens.hashed(token)] = login
        return login

    def _check(self) -> None:
        if self.down:
            raise StoreDown("down")

    async def auth_session(self, token_hash: bytes) -> Login | None:
        self._check()
        return self.logins.get(token_hash)

    async def spaces(
        self, viewer: str, limit: int, before: str | None, q: str | None, joined: bool
    ) -> list[dict[str, Any]]:
        self._check()
        if joined:
            return []
        return [{"id": HALL, "name": "Hall", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}]

    async def resolve(self, scope: str, name: str) -> str | None:
        self._check()
        if self.resolving is not None:
            await self.resolving.wait()
        return self.names.get((scope, name))

    async def count_spaces(self, facilitator_id: str) -> int:
        self._check()
        return self.counts.get(facilitator_id, 0)

    async def ritual_by_name(self, viewer: str | None, name: str) -> list[dict[str, Any]]:
        self._check()
        if self.looking is not None:
            await self.looking.wait()
        return [{"id": id_, "author_id": None} for id_, known in self.rituals.items() if known == name]

    async def run(self, practitioner: str, session_id: str) -> dict[str, Any] | None:
        self._check()
        return self.runs.get((practitioner, session_id))

    async def states(self, practitioner: str, limit: int, before: str | None = None) -> list[dict[str, Any]]:
        self._check()
        return [{"practitioner": practitioner, "limit": limit, "before": before}]

    async def service_tokens(self, accounts: list[str]) -> list[dict[str, Any]]:
        self._check()
        found = [login for login in self.logins.values() if login.practitioner_id in accounts]
        return [{"id": login.id, "service": login.service, "name": login.name} for login in found]

    async def eustress_room(self, name: str) -> tuple[bool, int]:
        self._check()
        return name in self.lake, len(self.lake)

    async def was_login(self, token_hash: bytes) -> bool:
        self._check()
        return token_hash in self.spent

    async def share_a_space(self, one: str, other: str) -> bool:
        self._check()
        return frozenset((one, other)) in self.sharing

    async def logins_of(self, practitioner: str) -> list[Login]:
        return [login for login in self.logins.values() if login.practitioner_id == practitioner]

    async def memberships(self, practitioner: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        self._check()
        return [{"space_id": space} for space in self.spaces_of.get(practitioner, ()) if after is None or space > after]

    async def audio_session_ids(self, owner: str, limit: int, *, gone: bool = False) -> list[str]:
        self._check()
        return []

    async def audio_voices(self, practitioner: str, *, gone: bool = False) -> list[dict[str, Any]]:
        self._check()
        return []

    async def has_wheel(self, practitioner: str) -> bool:
        self._check()
        return False

    async def unpublished(self, author: str, limit: int) -> list[str]:
        self._check()
        return []

    async def healthy(self) -> bool:
        return not self.down


@dataclass
class World:
    gateway: Gateway
    shards: FakeShards
    queries: FakeQueries
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def socket(self, path: str = "/ws", **options: Any) -> AsyncIterator[Client]:
        url = f"ws://127.0.0.1:{self.port}{path}"
        async with websockets.connect(url, compression=None, ping_interval=None, **options) as socket:
            yield Client(socket)

    @asynccontextmanager
    async def guest(self, name: str = "Guest", **options: Any) -> AsyncIterator[Client]:
        async with self.socket(**options) as client:
            await client.auth(guest=name)
            yield client


class Client:
    """A socket that speaks JSON."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.next_id = 1
        self.hello: dict[str, Any] = {}

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        return frame

    async def receive_event(self, event: str) -> dict[str, Any]:
        while True:
            frame = await self.receive()
            if frame.get("event") == event:
                return frame

    async def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        """The next frame must be the reply."""
        self.next_id += 1
        await self.send(id=self.next_id, type=type_, **fields)
        frame = await self.receive()
        assert frame.get("id") == self.next_id, frame
        return frame

    async def auth(self, **fields: Any) -> dict[str, Any]:
        await self.send(id=1, type="auth", **fields)
        frame = await self.receive()
        assert frame["type"] == "result", frame
        self.hello = frame["result"]
        return self.hello

    async def join(self, space: str = HALL, **fields: Any) -> list[dict[str, Any]]:
        """The frames of a join up to the full presence."""
        frames = [await self.ask("space.join", space=space, **fields)]
        assert frames[0]["type"] == "result", frames
        while not frames[-1].get("full"):
            frames.append(await self.receive())
        return frames

    async def closed(self) -> int:
        """The close code, once everything before it is read."""
        async with asyncio.timeout(10):
            with suppress(websockets.ConnectionClosed):
                while True:
                    await self.socket.recv()
        assert self.socket.close_code is not None
        code: int = self.socket.close_code  # 1006 where there was no close frame
        return code


@asynccontextmanager
async def world(*, tls_file: Path | None = None, **settings: Any) -> AsyncIterator[World]:
    shards, queries = FakeShards(), FakeQueries()
    options = {"port": 0, "guests": True, "auth_timeout_s": 5.0} | settings
    gateway = Gateway(Settings(_env_file=None, **options), shards, queries, SECRET, tls_file=tls_file)
    shards.on_message = gateway.on_message
    port = await gateway.start()
    try:
        yield World(gateway, shards, queries, port)
    finally:
        await gateway.stop()
