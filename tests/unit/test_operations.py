"""What an entity remembers of operations: against a plain dictionary of everything that was ever done."""

from __future__ import annotations

from itertools import product

import pytest

from actors.runtime import operations
from actors.runtime.operations import OperationMemory, Verdict, split
from actors.runtime.ports import FoundOperations, RememberedOperation

RELOAD = ("reload", b"")
ALPHABET = [
    ("s:1", b"x"),
    ("s:2", b"x"),
    ("s:2", b"y"),
    ("s:3", b"x"),
    ("p:k-1", b"x"),
    ("effect:a:b:7", b"x"),
    RELOAD,
]


class Journal:
    """All that was done, and a memory that remembers only so much of it."""

    def __init__(self, checkpoint_at: int, window: int) -> None:
        self.done: list[tuple[str, bytes]] = []
        self.memory = OperationMemory(whole=True)
        self.checkpoint_at, self.window = checkpoint_at, window

    def reload(self) -> None:
        """As from a checkpoint that has all but the last ``checkpoint_at`` events."""
        cut = max(0, len(self.done) - self.checkpoint_at)
        sessions: dict[str, tuple[int, int]] = {}
        for operation, _ in self.done[:cut]:
            parts = split(operation)
            if parts is not None:
                sessions[parts[0]] = (max(parts[1], sessions.get(parts[0], (0, 0))[0]), 0)
        self.memory = OperationMemory(sessions, whole=cut == 0)
        for operation, digest in self.done[cut:]:
            self.memory.record(operation, digest, operation.encode(), 0)

    def find(self, asked: list[str]) -> FoundOperations:
        recent = self.done[-self.window :]
        sessions = {parts[0] for parts in map(split, asked) if parts is not None}
        oldest: dict[str, int] = {}
        for operation, _ in recent:
            parts = split(operation)
            if parts is not None and parts[0] in sessions:
                oldest[parts[0]] = min(parts[1], oldest.get(*parts))
        return FoundOperations(
            operations=[
                RememberedOperation(operation_id=o, request_digest=d, reply=o.encode()) for o, d in recent if o in asked
            ],
            oldest=oldest,
            whole=len(recent) == len(self.done),
        )

    def overtaken(self, operation: str) -> bool:
        """Whether a request that was never done comes after a higher one that was: no session sends such."""
        parts = split(operation)
        done = [split(known) for known, _ in self.done]
        return parts is not None and parts not in done and any(o and o[0] == parts[0] and o > parts for o in done)

    def play(self, operation: str, digest: bytes) -> None:
        if self.overtaken(operation):
            return
        verdict, reply = self.memory.judge(operation, digest)
        if verdict is Verdict.UNSURE:
            self.memory.learn([operation], self.find([operation]))
            verdict, reply = self.memory.judge(operation, digest)
            assert verdict is not Verdict.UNSURE, "one look-up decides"
        before = dict(self.done).get(operation)
        if verdict is Verdict.NEW:
            in_reach = operation in dict(self.done[-self.window :])
            assert not in_reach, f"{operation} was done twice"
            assert before is None or split(operation) is None, "a socket's request is never done twice"
            self.done.append((operation, digest))
            self.memory.record(operation, digest, operation.encode(), 0)
        elif verdict is Verdict.DONE:
            assert before == digest
            assert reply == operation.encode()
        else:
            assert before != digest or operation not in dict(self.done[-self.window :])


@pytest.mark.parametrize(("checkpoint_at", "window"), [(0, 1), (0, 2), (1, 2), (0, 9)])
def test_every_sequence_of_six_operations_and_reloads(checkpoint_at: int, window: int) -> None:
    walked = 0
    for steps in product(ALPHABET, repeat=5):
        journal = Journal(checkpoint_at, window)
        for step in (*steps, ("s:2", b"x")):
            if step is RELOAD:
                journal.reload()
            else:
                journal.play(*step)
        walked += 1
    assert walked == len(ALPHABET) ** 5


def test_only_session_and_number_is_a_counter() -> None:
    assert split("s:7") == ("s", 7)
    assert [split(text) for text in ("p:k-7", "effect:space:u:7", "7", ":7", "s:", "s:٣", "s:-1")] == [None] * 7


def test_memory_is_bounded_and_what_fell_out_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "REMEMBERED", 3)
    memory = OperationMemory(whole=True)
    for n in range(1, 6):
        memory.record(f"s:{n}", b"x", b"r", 0)
    assert memory.judge("s:1", b"x")[0] is Verdict.UNSURE
    assert [each for each in ("s:1", "s:3", "s:6", "t:1", "p:k-1") if memory.is_unsure(each)] == ["s:1", "p:k-1"]
    assert memory.judge("s:3", b"x") == (Verdict.DONE, b"r")
    assert memory.judge("s:6", b"x")[0] is Verdict.NEW
    found = [RememberedOperation(operation_id=f"s:{n}", request_digest=b"x", reply=b"r") for n in (1, 2)]
    memory.learn(["s:1", "s:2"], FoundOperations(operations=found, oldest={"s": 1}, whole=True))
    assert memory.judge("s:1", b"x") == (Verdict.DONE, b"r")
    memory.record("s:6", b"x", b"r", 0)
    assert len(memory._done) == 3


def test_large_replies_fall_out_by_their_bytes_and_the_newest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "REMEMBERED_BYTES", 100)
    memory = OperationMemory(whole=True)
    for n in range(1, 5):
        memory.record(f"p:k-{n}", b"x", b"r" * 40, 0)
    assert [memory.judge(f"p:k-{n}", b"x")[0] for n in (1, 2, 3, 4)] == [Verdict.UNSURE] * 2 + [Verdict.DONE] * 2
    memory.record("p:k-5", b"x", b"r" * 1_000, 0)
    assert memory.judge("p:k-5", b"x") == (Verdict.DONE, b"r" * 1_000)
    assert len(memory._done) == 1
    memory.record("p:k-6", b"x", b"", 0)
    assert list(memory._done) == ["p:k-6"]
    assert memory._bytes == 0


def test_what_was_looked_up_counts_and_is_answered_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "REMEMBERED_BYTES", 100)
    memory = OperationMemory()
    found = [RememberedOperation(operation_id=f"p:k-{n}", request_digest=b"x", reply=b"r" * 80) for n in (1, 2)]
    memory.learn(["p:k-1", "p:k-2"], FoundOperations(operations=found, oldest={}, whole=True))
    assert [memory.judge(f"p:k-{n}", b"x")[0] for n in (1, 2)] == [Verdict.DONE] * 2
    memory.record("p:k-3", b"x", b"r", 0)
    assert memory._bytes == 81


def test_memory_is_doubtful_once_it_lets_go_of_what_may_not_be_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "REMEMBERED", 2)
    memory = OperationMemory(whole=True)
    for n in (1, 2):
        memory.record(f"p:k-{n}", b"x", b"r", 0)
    memory.settled()
    for n in (3, 4):
        memory.record(f"p:k-{n}", b"x", b"r", 0)
        assert not memory.doubtful
    memory.record("p:k-5", b"x", b"r", 0)
    assert memory.doubtful
    memory.settled()
    assert not memory.doubtful


def test_a_checkpoint_keeps_the_counters_of_sessions_that_can_still_resume() -> None:
    memory = OperationMemory({"old": (4, 0)}, whole=False)
    memory.record("new:9", b"x", b"r", operations.SESSION_LIFE_S)
    assert memory.current_sessions(operations.SESSION_LIFE_S + 1) == {"new": (9, operations.SESSION_LIFE_S)}
