"""Drives an entity kind as a shard would, without one: decides, folds, and checks on the way what must always hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import settings

from actors.runtime.entity import Attached, Caller, Context, Decision, Detached, Subscriber

settings.register_profile("unhurried", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("unhurried")

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def uuid(n: int) -> str:
    return f"00000000-0000-4000-8000-{n:012d}"


def account(n: int, name: str | None = "") -> Caller:
    return Caller(uuid(n), f"name {n}" if name == "" else name, session=f"session-{n}")


def guest(n: int, ends_in_s: float = 3600) -> Caller:
    return Caller(uuid(n), f"guest {n}", True, f"session-{n}", (BEGIN + timedelta(seconds=ends_in_s)).timestamp())


def follower(caller: Caller, session: str | None = None) -> Subscriber:
    return Subscriber(session or caller.session or "", caller.practitioner, caller.name)


class Driver:
    """One entity. ``history`` has its events as journaled, ``frames`` its numbered pushes, ``rows`` its tables."""

    def __init__(self, kind: Any, entity_id: str = uuid(999)) -> None:
        self.kind, self.id, self.now = kind, entity_id, BEGIN
        self.state = kind.initial(entity_id)
        self.live: Any = None
        self.offset = 0
        self.present: dict[str, Subscriber] = {}
        self.history: list[tuple[datetime, Any]] = []
        self.frames: list[tuple[int, Any]] = []
        self.rows: list[Any] = []
        self.pushes: list[Any] = []

    def context(self, caller: Caller | None = None) -> Context:
        return Context(
            entity_id=self.id,
            now=self.now,
            next_offset=self.offset + 1,
            caller=caller,
            present=self.present,
            live=self.live,
        )

    def do(self, command: Any, caller: Caller | None = None) -> Decision:
        """Decide and take what came of it. An error is raised and changes nothing."""
        decision = self.kind.decide(self.state, command, self.context(caller))
        msgspec.json.encode(decision.reply)
        for event in decision.events:
            self._take(event)
        self.live = self.live if decision.live is None else decision.live
        for push in decision.pushes:
            msgspec.json.encode(push.fields)
        self.pushes += decision.pushes
        return decision

    def reply(self, command: Any, caller: Caller | None = None) -> Any:
        return self.do(command, caller).reply

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def attach(self, caller: Caller, session: str | None = None) -> Decision:
        who = follower(caller, session)
        self.present = {**self.present, who.session: who}
        return self.do(Attached(sessions=[who]))

    def detach(self, caller: Caller, session: str | None = None) -> Decision:
        who = follower(caller, session)
        self.present = {key: s for key, s in self.present.items() if key != who.session}
        return self.do(Detached(sessions=[who]))

    def replayed(self) -> Any:
        """The state as recovery makes it: decoded events, folded."""
        state = self.kind.initial(self.id)
        for at, event in self.history:
            again = self.kind.decode_event(self.kind.format, self.kind.encode_event(event))
            assert again == event
            state = self.kind.evolve(state, again, at)
        return state

    def row(self, table: str) -> dict[str, Any]:
        return [row for row in self.rows if getattr(row, "table", None) == table][-1].values

    def _take(self, event: Any) -> None:
        self.state = self.kind.evolve(self.state, event, self.now)
        self.history.append((self.now, event))
        published = self.kind.publish(event)
        if published is not None:
            self.offset += 1
            msgspec.json.encode(published.body)
            self.frames.append((self.offset, published))
        self.rows += self.kind.rows(event, self.state, self.now)


# Recorded histories: what a version once wrote, every later one must read to the same state and the same pushes.


def record(driver: Driver) -> dict[str, Any]:
    """The history of an entity as JSON values, with what it led to."""
    kind = driver.kind
    return {
        "entity": driver.id,
        "format": kind.format,
        "events": [
            {"at": at, "type": kind.event_type(event), "data": msgspec.Raw(kind.encode_event(event))}
            for at, event in driver.history
        ],
        "frames": [_frame(offset, published) for offset, published in driver.frames],
        "state": msgspec.Raw(kind.encode_state(driver.state)),
    }


class RecordedEvent(msgspec.Struct):
    at: datetime
    type: str
    data: msgspec.Raw


class Recorded(msgspec.Struct):
    entity: str
    format: int
    events: list[RecordedEvent]
    frames: list[Any]
    state: msgspec.Raw


def assert_replays(kind: Any, text: bytes) -> None:
    """Today's code reads a recorded history and finds what was recorded with it."""
    recorded = msgspec.json.decode(msgspec.json.format(text, indent=-1), type=Recorded)
    state, frames = kind.initial(recorded.entity), []
    for row in recorded.events:
        event = kind.decode_event(recorded.format, bytes(row.data))
        assert kind.event_type(event) == row.type
        state = kind.evolve(state, event, row.at)
        if (published := kind.publish(event)) is not None:
            frames.append(msgspec.json.decode(msgspec.json.encode(_frame(len(frames) + 1, published))))
    assert state == kind.decode_state(recorded.format, bytes(recorded.state))
    assert frames == recorded.frames


def _frame(offset: int, published: Any) -> list[Any]:
    return [offset, published.event, published.sender, published.body]
