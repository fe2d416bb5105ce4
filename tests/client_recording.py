"""What the Python client's state machine was told and what it said, recorded so that the JavaScript one can be held to it.

A recording is a tree: ``nodes[n]`` is ``[parent, steps]``, a step ``[what, …arguments]`` and after each ``take`` what it gave and
how the machine stands. ``tests/integration/client_replay.mjs`` replays every path from the root to a leaf.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from client_world import half

from server.client_events import Backoff, Delivered, Ended, Failed, HangUp, Opened, Output, Phase, Resolved, Send, Tuned
from server.client_state import FOLLOWS, ClientState

Step = list[Any]
Node = tuple[int, list[Step]]

JOINS = frozenset(FOLLOWS.values())
TRACE: list[Step] = []
"""Not in the machine itself: a machine that is told the same is the same, recorded or not."""


class Recorded(ClientState):
    """Notes in TRACE what it is told and what it gives."""

    def submit(self, type_: str, fields: Mapping[str, Any], now: float, *, lossy: bool = False) -> int:
        handle = super().submit(type_, fields, now, lossy=lossy)
        TRACE.append(["submit", type_, dict(fields), now, lossy, handle])
        return handle

    def forget(self, handle: int, now: float) -> None:
        TRACE.append(["forget", handle, now])
        super().forget(handle, now)

    def connected(self, now: float) -> None:
        TRACE.append(["connected", now])
        super().connected(now)

    def received(self, frame: str | bytes, now: float) -> None:
        TRACE.append(["received", str(frame), now])
        super().received(frame, now)

    def lost(self, now: float, code: int | None = None, **_: Any) -> None:
        TRACE.append(["lost", now, code])
        super().lost(now, code)

    def wake(self, now: float) -> None:
        TRACE.append(["wake", now])
        super().wake(now)

    def take(self) -> list[Output]:
        outputs = super().take()
        stands = {
            "phase": self.phase.value,
            "nextWake": self.next_wake(),
            "reconnectAt": self.reconnect_at,
            "offsets": dict(self.offsets),
            "asked": self.asked,
        }
        TRACE.append(["take", [plain(output) for output in outputs], stands])
        return outputs


def recorded() -> Recorded:
    """A machine without chance that notes what happens to it."""
    return Recorded({"guest": "Ana"}, jitter=half, backoff=Backoff(base_s=0))


def drained() -> list[Step]:
    """What was noted since the last time."""
    steps, TRACE[:] = list(TRACE), []
    return steps


def plain(output: Output) -> dict[str, Any]:
    """An output as both languages can write it: errors by their codes."""
    match output:
        case Send(frame):
            return {"kind": "send", "frame": json.loads(frame)}
        case Tuned(stream, result):
            return {"kind": "tuned", "stream": stream, "result": result}
        case Opened(handle, stream):
            return {"kind": "opened", "handle": handle, "stream": stream}
        case Resolved(handle, result):
            return {"kind": "resolved", "handle": handle, "result": result}
        case Failed(handle, error):
            return {"kind": "failed", "handle": handle, "error": error.code}
        case Ended(stream, error):
            return {"kind": "ended", "stream": stream, "error": error.code}
        case HangUp():
            return {"kind": "hangUp"}
        case Delivered(event):
            return {
                "kind": "delivered",
                "stream": event.stream,
                "event": event.event,
                "offset": event.offset,
                "body": event.body,
            }


class Walk:
    """A random history of one client: requests, clocks, replies that fit or do not, closes of every code."""

    TYPES = (
        "space.send",
        "space.pulse",
        "space.join",
        "space.get",
        "ping",
        "ritual.run",
        "eustress.subscribe",
        "eustress.ingest",
    )
    CODES = (None, 1001, 1006, 1006, 1006, 4008, 4008, 4029)
    FATAL = (1009, 4000, 4001, 4003)

    def __init__(self, seed: int, give_up_after_s: float | None) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.client = Recorded({"token": "T"}, jitter=half, give_up_after_s=give_up_after_s)
        self.handles = [0]
        self.heads: dict[str, int] = {}

    def run(self, steps: int) -> list[Step]:
        """The history."""
        drained()
        for _ in range(steps):
            self.now = round(self.now + self.chance.choice((0.0, 0.01, 0.3, 2.0)), 3)
            self.step()
            self.client.take()
        return drained()

    def step(self) -> None:
        pick, phase = self.chance.random(), self.client.phase
        if phase is Phase.WAITING and pick < 0.6:
            self.now = max(self.now, self.client.reconnect_at)
            self.client.connected(self.now)
        elif phase is Phase.CLOSING:
            self.client.lost(self.now)
        elif phase is Phase.AUTHENTICATING and pick < 0.7:
            self.receive(self.auth_reply())
        elif pick < 0.3:
            self.submit()
        elif pick < 0.38 and (due := self.client.next_wake()) is not None:
            self.now = max(self.now, due)
            self.client.wake(self.now)
        elif pick < 0.42:
            self.client.forget(self.chance.choice(self.handles), self.now)
        elif pick < 0.48:
            self.client.lost(self.now, self.chance.choice(self.CODES))
        elif pick < 0.482:
            self.client.lost(self.now, self.chance.choice(self.FATAL))
        else:
            self.receive(self.push() if pick < 0.7 else self.reply())

    def submit(self) -> None:
        type_ = self.chance.choice(self.TYPES)
        fields: dict[str, Any] = {"space": self.chance.choice(("s", "t", 'é:"s') if type_[0] == "e" else "st")}
        if type_ in JOINS and self.chance.random() < 0.3:
            fields["after"] = self.chance.randrange(4)
        self.handles.append(self.client.submit(type_, fields, self.now, lossy=type_ == "space.pulse"))

    def receive(self, frame: dict[str, Any]) -> None:
        self.client.received(json.dumps(frame), self.now)

    def auth_reply(self) -> dict[str, Any]:
        if self.chance.random() < 0.1:
            code = self.chance.choice(("draining", "not_found", "storage_unavailable", "rate_limited"))
            return self.error(1, code)
        result = {
            "session": f"S{self.chance.randrange(3)}",
            "practitioner": {"id": "me"},
            "resumed": self.chance.random() < 0.7,
            "heartbeat_s": 20,
            "limits": {"unanswered_requests": self.chance.choice((2, 256)), "frame_bytes": 4096},
        }
        return {"id": 1, "type": "result", "result": result}

    def error(self, number: int | None, code: str) -> dict[str, Any]:
        retryable = code in ("draining", "storage_unavailable", "rate_limited", "timeout", "actor_unavailable")
        error: dict[str, Any] = {"code": code, "message": "", "retryable": retryable}
        if self.chance.random() < 0.3:
            error["retry_after_s"] = self.chance.choice((0.5, 3, 100))
        return {"type": "error", "error": error} | ({} if number is None else {"id": number})

    def reply(self) -> dict[str, Any]:
        number = self.chance.choice([*self.client._by_id, 3]) if self.client._by_id else 7
        request = self.client._by_id.get(number)
        if self.chance.random() < 0.25:
            code = self.chance.choice(("conflict", "actor_unavailable", "timeout", "rate_limited", "not_found"))
            return self.error(self.chance.choice((number, number, number, None)), code)
        result: dict[str, Any] = {"offset": 1}
        if request is not None and request.type in JOINS:
            result = {
                "space": self.chance.choice((request.fields["space"], {"id": request.fields["space"]})),
                "offset": 1,
            }
        if request is not None and request.type == "ping":
            result = {"pong": True, "server_time": "2026-01-01T00:00:00.000000Z"}
        return {"id": number, "type": "result", "result": result}

    def push(self) -> dict[str, Any]:
        stream = self.chance.choice(("space:s", "space:s", "space:t", "practitioner:me", 'eustress:é:"s', "eustress:s"))
        head = self.heads.get(stream) or self.client.offsets.get(stream) or 0
        pick = self.chance.random()
        if pick < 0.15:
            self.heads[stream] = head + self.chance.randrange(2)
            return {
                "type": "snapshot",
                "stream": stream,
                "offset": self.heads[stream],
                "state": [head],
                "reason": "joined",
            }
        if pick < 0.2:
            return {"type": "event", "stream": stream, "event": "presence", "joined": [], "left": []}
        if pick < 0.23:
            return {"type": "event", "stream": stream, "event": "left", "body": {"reason": "forbidden"}}
        if pick < 0.26:
            return {"type": "bye", "code": "draining", "retry_after_ms": 700}
        if pick < 0.28:
            return {"type": "something newer"}
        offset = max(0, head + self.chance.choice((1, 1, 1, 1, 1, 0, -1, 2)))
        self.heads[stream] = offset
        return {"type": "event", "stream": stream, "event": "message", "offset": offset, "body": offset}
