"""The output gate: nothing leaves that reveals an uncommitted change, and what leaves does so in the order decided.

Every handled command enters the gate as an *entry* (opaque here: its outputs, its journal rows, itself to be decided
again). An entry that changes its entity joins the open batch. An entry that changes nothing (a read, an error, an
unnumbered push) of an entity with uncommitted changes waits behind the newest batch that holds one; of a clean entity it
may leave at once. One batch flies (is being committed) while the next fills: that is all of group commit.

    IDLE ──takeoff──▶ FLYING ──committed──▶ IDLE          entries leave, in order
                        ├─────failed─────▶ IDLE           all entries come back, flying ones first, to be decided again
                        └─────doubtful───▶ DOUBTFUL ──committed or failed──▶ IDLE   (once storage has told which it was)

``failed`` gives the filling batch back too: it was decided on top of what did not happen. While DOUBTFUL nothing takes off.
An illegal call raises and changes nothing. The shell that commits is ``shard.py``; ``tests/unit/test_gate.py`` walks every
interleaving of a few commands, commits and losses.
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

E = TypeVar("E")


class Phase(Enum):
    """Where the gate is with the batch in front."""

    IDLE = "idle"
    FLYING = "flying"
    DOUBTFUL = "doubtful"


class IllegalMove(Exception):
    """The shell called what the phase does not allow."""


class _Batch(Generic[E]):
    """Entries in the order decided, and the entities that they change."""

    __slots__ = ("changed", "entries")

    def __init__(self) -> None:
        self.entries: list[E] = []
        self.changed: set[str] = set()


class Gate(Generic[E]):
    """See the module. ``E`` is what the shell puts in and gets back."""

    __slots__ = ("_dirty", "_filling", "_flying", "phase")

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self._filling: _Batch[E] = _Batch()
        self._flying: _Batch[E] = _Batch()
        self._dirty: dict[str, _Batch[E]] = {}

    def enter(self, entity: str, entry: E, *, changes: bool) -> bool:
        """Take an entry in. True: it is held until its batch is committed. False: it may leave now."""
        if changes:
            batch = self._filling
            batch.changed.add(entity)
            self._dirty[entity] = batch
        else:
            held_by = self._dirty.get(entity)
            if held_by is None:
                return False
            batch = held_by
        batch.entries.append(entry)
        return True

    def is_dirty(self, entity: str) -> bool:
        """Whether the entity has a change that is not known to be committed."""
        return entity in self._dirty

    @property
    def filling(self) -> int:
        """Entries that wait for the next take-off."""
        return len(self._filling.entries)

    def takeoff(self) -> list[E]:
        """The filling batch flies: its entries, to be committed. Empty where there is nothing or the gate is not idle."""
        if self.phase is not Phase.IDLE or not self._filling.entries:
            return []
        self.phase = Phase.FLYING
        self._flying, self._filling = self._filling, _Batch()
        return list(self._flying.entries)

    def committed(self) -> list[E]:
        """The flying batch is durable: its entries leave now, in this order (also those that joined it in flight)."""
        self._require(Phase.FLYING, Phase.DOUBTFUL)
        batch, self._flying = self._flying, _Batch()
        for entity in batch.changed:
            if self._dirty.get(entity) is batch:
                del self._dirty[entity]
        self.phase = Phase.IDLE
        return batch.entries

    def doubtful(self) -> None:
        """The commit's outcome is unknown: nothing leaves and nothing takes off until it is known."""
        self._require(Phase.FLYING)
        self.phase = Phase.DOUBTFUL

    def failed(self) -> tuple[list[E], list[E]]:
        """What flew and what was filling, both to be decided again on what is really committed. The gate is empty then."""
        self._require(Phase.FLYING, Phase.DOUBTFUL)
        flown, filled = self._flying.entries, self._filling.entries
        self._flying, self._filling, self._dirty = _Batch(), _Batch(), {}
        self.phase = Phase.IDLE
        return flown, filled

    def _require(self, *phases: Phase) -> None:
        if self.phase not in phases:
            raise IllegalMove(f"not while {self.phase.value}")
