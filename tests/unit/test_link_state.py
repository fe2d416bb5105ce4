"""The asking end of a link, walked through every order of asks, connects, losses, answers and deadlines."""

from __future__ import annotations

import pytest

from actors.runtime.link_state import LinkState, StaleShard

MOVES = (
    "ask",
    "connect",
    "connect newer",
    "connect older",
    "lose",
    "lose old",
    "answer first",
    "answer last",
    "expire",
)
DEPTH = 6


class Model:
    def __init__(self) -> None:
        self.link: LinkState[int, int] = LinkState(3)
        self.waiting: list[tuple[int, float]] = []
        self.told: list[int] = []
        self.asked = 0
        self.now = 0.0
        self.epoch = 0
        self.generations: list[int] = []
        self.up = False

    def play(self, move: str) -> None:
        self.now += 1
        if move.startswith("connect"):
            self._connect(self.epoch + {"connect newer": 1, "connect older": -1}.get(move, 0))
        elif move.startswith("answer"):
            self._answer(0 if move == "answer first" else -1)
        elif move.startswith("lose"):
            self._lose(old=move == "lose old")
        elif move == "ask":
            self._ask()
        else:
            self._expire()

    def _ask(self) -> None:
        assert self.link.full == (len(self.waiting) == 3)
        if not self.link.full:
            self.asked += 1
            assert self.link.ask(lambda cid: cid, self.asked, self.now + 2.5) == self.asked
            self.waiting.append((self.asked, self.now + 2.5))

    def _connect(self, epoch: int) -> None:
        if epoch < self.epoch:
            before = (self.link.up, self.link.epoch, self.link.generation)
            with pytest.raises(StaleShard):
                self.link.connected(epoch)
            assert before == (self.link.up, self.link.epoch, self.link.generation)
            return
        generation, again = self.link.connected(epoch)
        assert again == [cid for cid, _ in self.waiting], "all that is unanswered, in the order asked"
        assert generation not in self.generations
        self.generations.append(generation)
        self.epoch, self.up = epoch, True

    def _lose(self, *, old: bool) -> None:
        if not self.generations:
            assert not self.link.lost(0)
            return
        generation = self.generations[-1] - old
        assert self.link.lost(generation) == (self.up and not old)
        self.up = self.up and old

    def _answer(self, index: int) -> None:
        if self.waiting:
            cid, _ = self.waiting.pop(index)
            assert self.link.answered(cid) == cid
            assert self.link.answered(cid) is None, "the second answer is dropped"
            self.told.append(cid)

    def _expire(self) -> None:
        late = [cid for cid, deadline in self.waiting if deadline <= self.now]
        assert list(self.link.expired(self.now)) == [(cid, cid) for cid in late]
        self.waiting = [(cid, deadline) for cid, deadline in self.waiting if deadline > self.now]
        self.told += late

    def check(self) -> None:
        assert len(self.link) == len(self.waiting)
        assert self.link.up == self.up
        assert len(set(self.told)) == len(self.told)
        assert len(self.told) + len(self.waiting) == self.asked
        for generation in self.generations:
            assert self.link.current(generation) == (self.up and generation == self.generations[-1])


def test_every_order_of_asks_connects_losses_and_answers() -> None:
    walked = 0

    def walk(path: tuple[str, ...]) -> None:
        nonlocal walked
        model = Model()
        for move in path:
            model.play(move)
        model.check()
        walked += 1
        if len(path) < DEPTH:
            for move in MOVES:
                walk((*path, move))

    walk(())
    assert walked == sum(len(MOVES) ** n for n in range(DEPTH + 1))
