"""A client, a model of the server, and the wire between them: what may happen, one step at a time.

The model is the protocol's text as code: ids remembered by session, replies before pushes, a dense journal, resume by
offsets. Explored states are kept pickled, so that equal ones are visited once.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from server.client_events import Backoff, Delivered, Failed, HangUp, Opened, Phase, Resolved, Send
from server.client_state import ClientState

STREAM = "space:s"
OUTSIDER = "outside"


def half() -> float:
    return 0.5


@dataclass
class Server:
    """Remembers by session what it answered; ``subscribed`` is the one connection's."""

    retried_join_subscribes: bool
    overlap: int = 0
    """Replays begin this many events too early: the client has to drop what it has seen."""
    journal: list[str] = field(default_factory=list)
    sessions: dict[str, dict[int, Any]] = field(default_factory=dict)
    session: str = ""
    subscribed: bool = False
    executed: Counter[str] = field(default_factory=Counter)
    refusals: int = 0

    def handle(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        if frame["type"] == "auth":
            return self.auth(frame)
        known = self.sessions[self.session]
        if frame["id"] in known:
            out = [{"id": frame["id"], "type": "result", "result": known[frame["id"]]}]
            return out + (
                self.subscribe(frame) if frame["type"] == "space.join" and self.retried_join_subscribes else []
            )
        if self.refusals:
            self.refusals -= 1
            return [
                {
                    "id": frame["id"],
                    "type": "error",
                    "error": {"code": "actor_unavailable", "message": "", "retryable": True},
                }
            ]
        return self.join(frame) if frame["type"] == "space.join" else self.send(frame)

    def auth(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        resume = frame.get("resume") or {}
        resumed = resume.get("session") in self.sessions
        self.session = resume["session"] if resumed else f"S{len(self.executed)}{len(self.journal)}"
        self.sessions.setdefault(self.session, {})
        result = {"session": self.session, "practitioner": {"id": "me"}, "resumed": resumed}
        out: list[dict[str, Any]] = [{"id": 1, "type": "result", "result": result}]
        if resumed and STREAM in resume["offsets"]:
            self.subscribed = True
            out += [
                self.event(o)
                for o in range(max(1, resume["offsets"][STREAM] + 1 - self.overlap), len(self.journal) + 1)
            ]
        return out

    def join(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        first = "join" not in self.journal
        if first:
            self.journal.append("join")
        result = self.sessions[self.session][frame["id"]] = {"space": "s", "offset": len(self.journal)}
        return [{"id": frame["id"], "type": "result", "result": result}, *self.subscribe(frame)]

    def subscribe(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        self.subscribed = True
        if "after" in frame:
            return [self.event(o) for o in range(frame["after"] + 1, len(self.journal) + 1)]
        return [{"type": "snapshot", "stream": STREAM, "offset": len(self.journal), "state": list(self.journal)}]

    def send(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        self.executed[frame["body"]] += 1
        self.journal.append(frame["body"])
        result = self.sessions[self.session][frame["id"]] = {"offset": len(self.journal)}
        pushes = [self.event(len(self.journal))] if self.subscribed else []
        return [{"id": frame["id"], "type": "result", "result": result}, *pushes]

    def event(self, offset: int) -> dict[str, Any]:
        return {
            "type": "event",
            "stream": STREAM,
            "offset": offset,
            "event": "message",
            "body": self.journal[offset - 1],
        }


@dataclass
class World:
    """A client, a server, and the wire between them."""

    server: Server
    script: list[tuple[str, dict[str, Any]]]
    cuts: int
    outside: int = 0
    forgets: int = 0
    client: ClientState = field(
        default_factory=lambda: ClientState({"guest": "Ana"}, jitter=half, backoff=Backoff(base_s=0))
    )
    to_server: list[str] = field(default_factory=list)
    to_client: list[dict[str, Any]] = field(default_factory=list)
    handles: dict[int, str] = field(default_factory=dict)
    outcomes: dict[int, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    offset: int = 0
    followed: bool = False

    def actions(self) -> list[str]:
        up = self.client.phase in (Phase.AUTHENTICATING, Phase.CONNECTED)
        return [
            name
            for name, enabled in (
                ("submit", bool(self.script)),
                ("connect", self.client.phase is Phase.WAITING),
                ("to_server", bool(self.to_server)),
                ("to_client", bool(self.to_client)),
                ("outsider", self.outside > 0),
                ("forget", self.forgets > 0 and bool(self.server.sessions)),
                ("cut", self.cuts > 0 and up),
            )
            if enabled
        ]

    def do(self, action: str) -> None:
        getattr(self, action)()
        self.perform()

    def submit(self) -> None:
        type_, fields = self.script.pop(0)
        self.handles[self.client.submit(type_, fields, 0.0)] = fields.get("body", "join")

    def connect(self) -> None:
        self.client.connected(0.0)

    def cut(self) -> None:
        self.cuts -= 1
        self.close()

    def close(self) -> None:
        self.to_server, self.to_client, self.server.subscribed = [], [], False
        self.client.lost(0.0, 1006)

    def outsider(self) -> None:
        self.outside -= 1
        self.server.journal.append(OUTSIDER)
        if self.server.subscribed:
            self.to_client.append(self.server.event(len(self.server.journal)))

    def forget(self) -> None:
        """The server forgets the session while the client is away (or on the next cut)."""
        self.forgets -= 1
        self.server.sessions.pop(self.server.session, None)
        if self.client.phase in (Phase.AUTHENTICATING, Phase.CONNECTED):
            self.close()

    def perform(self) -> None:
        for output in self.client.take():
            match output:
                case Send(frame):
                    self.to_server.append(frame)
                case Resolved(handle, result):
                    assert handle not in self.outcomes, "two outcomes"
                    self.outcomes[handle] = result
                case Failed(handle, error):
                    assert handle not in self.outcomes, "two outcomes"
                    self.outcomes[handle] = error.code
                case Opened():
                    self.followed = True
                case Delivered(event):
                    self.deliver(event.event, event.offset, event.body)
                case HangUp(why):
                    raise AssertionError(f"hung up: {why}")

    def deliver(self, kind: str, offset: int | None, body: Any) -> None:
        assert self.followed
        assert offset is not None
        if kind == "snapshot":
            assert offset >= self.offset
            self.seen, self.offset = list(body), offset
        else:
            assert offset == self.offset + 1, "not the next event"
            self.seen, self.offset = [*self.seen, body], offset

    def settled(self) -> bool:
        return not self.script and not self.to_server and not self.to_client and self.client.phase is Phase.CONNECTED


def _to_server(world: World) -> None:
    world.to_client += world.server.handle(json.loads(world.to_server.pop(0)))


def _to_client(world: World) -> None:
    world.client.received(json.dumps(world.to_client.pop(0)), 0.0)


def step(world: World, action: str) -> None:
    if action == "to_server":
        _to_server(world)
        world.perform()
    elif action == "to_client":
        _to_client(world)
        world.perform()
    else:
        world.do(action)


def explore(
    world: World,
    check: Callable[[World], None],
    took: Callable[[int, str, World], int] = lambda parent, action, successor: 0,
) -> tuple[int, int]:
    """Visit every reachable state; ``check`` the settled ones. How many states there were, and how many settled.

    ``took`` hears of every step, from a state as it numbered it before (the first is 0), and numbers the one after.
    """
    start = pickle.dumps(world)
    seen, stack, settled = {start}, [(0, start)], 0
    while stack:
        number, state = stack.pop()
        world = pickle.loads(state)
        if world.settled():
            settled += 1
            check(world)
        for action in world.actions():
            successor = pickle.loads(state)
            step(successor, action)
            after = took(number, action, successor)
            key = pickle.dumps(successor)
            if key not in seen:
                seen.add(key)
                stack.append((after, key))
    return len(seen), settled


SCRIPT = [
    ("space.join", {"space": "s"}),
    ("space.send", {"space": "s", "body": "a"}),
    ("space.send", {"space": "s", "body": "b"}),
]
