"""The asking end of a link as a state machine: what is unanswered, what goes out again, what is to be dropped.

    DOWN ──connected(epoch)──▶ UP        follows go out first, then every unanswered message, in the order asked
    UP   ──lost──▶ DOWN                  nothing is forgotten: the shard knows the operation ids
    UP   ──answered(cid)──▶ UP           once; a second answer to the same cid is dropped
    any  ──expired(now)──▶ same          asks past their deadline end as ``timeout``

A connection is known by its *generation*; what arrives of an older one is dropped. A shard whose epoch is lower than one
seen before is a stopped owner that woke up: refused. Pure; ``link.py`` has the sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

M = TypeVar("M")
R = TypeVar("R")


class StaleShard(Exception):
    """The peer's epoch is lower than one that was seen: it is no longer the owner."""


class LinkState(Generic[M, R]):
    """``M`` is a message that is asked, ``R`` what its answer is handed to."""

    __slots__ = ("_limit", "_next_cid", "_pending", "epoch", "generation", "up")

    def __init__(self, limit: int) -> None:
        """``limit``: most unanswered messages; they are memory, and a shard would refuse more anyway."""
        self._limit = limit
        self._next_cid = 1
        self._pending: dict[int, tuple[M, R, float]] = {}
        self.up = False
        self.epoch = 0
        self.generation = 0

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        """No further ask is taken until one is answered."""
        return len(self._pending) >= self._limit

    def ask(self, make: Callable[[int], M], on_answer: R, deadline: float) -> M:
        """Remember a message until it is answered. The caller sends it if the link is up, else ``connected`` will."""
        cid = self._next_cid
        self._next_cid += 1
        message = make(cid)
        self._pending[cid] = (message, on_answer, deadline)
        return message

    def connected(self, epoch: int) -> tuple[int, list[M]]:
        """The peer proved itself: the new generation and what must be sent (again), in order."""
        if epoch < self.epoch:
            raise StaleShard(f"epoch {epoch} after {self.epoch}")
        self.epoch = epoch
        self.generation += 1
        self.up = True
        return self.generation, [message for message, _, _ in self._pending.values()]

    def lost(self, generation: int) -> bool:
        """The connection ended. False where it was an older one, which changes nothing."""
        if generation != self.generation or not self.up:
            return False
        self.up = False
        return True

    def current(self, generation: int) -> bool:
        """Whether what arrives of this generation counts."""
        return self.up and generation == self.generation

    def answered(self, cid: int) -> R | None:
        """Whom to tell; None where nobody waits any more."""
        entry = self._pending.pop(cid, None)
        return entry[1] if entry else None

    def expired(self, now: float) -> Iterator[tuple[int, R]]:
        """Take out what is past its deadline."""
        for cid in [cid for cid, (_, _, deadline) in self._pending.items() if deadline <= now]:
            yield cid, self._pending.pop(cid)[1]
