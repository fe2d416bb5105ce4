"""The output gate, walked through everything that can happen on two entities."""

from __future__ import annotations

import pytest

from actors.runtime.gate import Gate, IllegalMove, Phase

MOVES = ("change a", "read a", "change b", "read b", "takeoff", "committed", "failed", "doubtful")
DEPTH = 7
"""Eight moves at each of seven steps: every interleaving of up to seven entries, commits, aborts and losses."""


class Model:
    """What the gate must do, said naively: a list of entries, each with the batch that it waits for."""

    def __init__(self) -> None:
        self.gate: Gate[tuple[int, str, bool]] = Gate()
        self.batch = 0  # the number of the batch that fills
        self.flying: int | None = None
        self.held: list[tuple[tuple[int, str, bool], int]] = []
        self.next_id = 0
        self.gone: list[tuple[int, str, bool]] = []

    def dirty(self, entity: str) -> bool:
        return any(entry[1] == entity and entry[2] for entry, _ in self.held)

    def play(self, move: str) -> bool:
        """Do it to both and compare. False where it was illegal."""
        if move.startswith(("change", "read")):
            self._enter(move[-1], changes=move.startswith("change"))
            return True
        return {"takeoff": self._takeoff, "committed": self._land, "failed": self._fail, "doubtful": self._doubt}[
            move
        ]()

    def _enter(self, entity: str, *, changes: bool) -> None:
        entry = (self.next_id, entity, changes)
        self.next_id += 1
        newest = [batch for held, batch in self.held if held[1] == entity and held[2]]
        is_held = self.gate.enter(entity, entry, changes=changes)
        assert is_held == (changes or bool(newest)), "a read leaves at once exactly where its entity is clean"
        if is_held:
            self.held.append((entry, self.batch if changes else newest[-1]))
        else:
            self.gone.append(entry)

    def _takeoff(self) -> bool:
        mine = [entry for entry, batch in self.held if batch == self.batch]
        legal = self.flying is None and bool(mine)
        assert self.gate.takeoff() == (mine if legal else [])
        if legal:
            self.flying = self.batch
            self.batch += 1
        return legal

    def _illegal(self, call: object) -> bool:
        before = (self.gate.phase, self.gate.filling, self.gate.is_dirty("a"), self.gate.is_dirty("b"))
        with pytest.raises(IllegalMove):
            call()  # type: ignore[operator]
        assert before == (self.gate.phase, self.gate.filling, self.gate.is_dirty("a"), self.gate.is_dirty("b"))
        return False

    def _land(self) -> bool:
        if self.flying is None:
            return self._illegal(self.gate.committed)
        left = self.gate.committed()
        assert left == [entry for entry, batch in self.held if batch == self.flying]
        self.held = [(entry, batch) for entry, batch in self.held if batch != self.flying]
        self.gone += left
        self.flying = None
        return True

    def _fail(self) -> bool:
        if self.flying is None:
            return self._illegal(self.gate.failed)
        flown, filled = self.gate.failed()
        assert flown == [entry for entry, batch in self.held if batch == self.flying]
        assert filled == [entry for entry, batch in self.held if batch == self.batch]
        self.held, self.flying = [], None
        self.gone += flown + filled
        return True

    def _doubt(self) -> bool:
        if self.gate.phase is not Phase.FLYING:
            return self._illegal(self.gate.doubtful)
        self.gate.doubtful()
        return True

    def check(self) -> None:
        for entity in "ab":
            assert self.gate.is_dirty(entity) == self.dirty(entity)
            order = [entry[0] for entry in self.gone if entry[1] == entity]
            assert order == sorted(order), "what concerns one entity leaves in the order decided"
        assert len(set(self.gone)) == len(self.gone), "each leaves or comes back once"
        assert len(self.gone) + len(self.held) == self.next_id, "and none is lost"
        assert self.gate.filling == sum(batch == self.batch for _, batch in self.held)


def test_every_interleaving_of_entries_commits_aborts_and_losses_on_two_entities() -> None:
    walked = 0
    paths: list[tuple[str, ...]] = [()]
    for _ in range(DEPTH):
        longer = []
        for path in paths:
            for move in MOVES:
                model = Model()
                for earlier in path:
                    model.play(earlier)
                legal = model.play(move)
                model.check()
                walked += 1
                if legal:
                    longer.append((*path, move))
        # Paths that differ only by the names of the entities are walked once.
        paths = [path for path in longer if next((move[-1] for move in path if " " in move), "a") == "a"]
    assert walked == 71_400


def test_nothing_takes_off_while_in_doubt() -> None:
    gate: Gate[str] = Gate()
    gate.enter("a", "first", changes=True)
    gate.takeoff()
    gate.doubtful()
    gate.enter("b", "second", changes=True)
    assert gate.takeoff() == []
    assert gate.committed() == ["first"]
    assert gate.takeoff() == ["second"]


def test_a_read_of_a_flying_entity_leaves_with_that_batch_and_not_with_the_next() -> None:
    gate: Gate[str] = Gate()
    gate.enter("a", "change", changes=True)
    gate.takeoff()
    assert gate.enter("a", "read", changes=False)
    assert gate.committed() == ["change", "read"]
    assert not gate.is_dirty("a")
