"""Which shard hosts an entity: the pure half of placement.

An id's *slot* is a stable hash, 0 … 4095 (blake2b; Python's own hash differs from process to process). ``shared:N`` gives
each of N shards a range of slots, so that a shard polls its alarms by range; ``own`` gives every entity a shard to itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

SLOTS: Final = 4096


def slot_of(entity_id: str) -> int:
    """The slot of an id."""
    return int.from_bytes(blake2b(entity_id.encode(), digest_size=8).digest(), "big") % SLOTS


class Layout(msgspec.Struct, frozen=True):
    """How a kind's entities are spread. ``shards`` 0 is ``own``."""

    text: str
    shards: int

    @classmethod
    def parse(cls, text: str) -> Layout:
        """From a setting: ``own`` or ``shared:N``."""
        if text == "own":
            return cls(text, 0)
        word, _, count = text.partition(":")
        if word != "shared" or not count.isdigit() or not 1 <= int(count) <= SLOTS:
            raise ValueError(f"{text!r} is neither 'own' nor 'shared:N'")
        return cls(text, int(count))

    @property
    def own(self) -> bool:
        """Whether every entity has a shard to itself."""
        return self.shards == 0

    def shard_of(self, entity_id: str) -> str:
        """The name of the shard that hosts an entity."""
        if self.own:
            return blake2b(entity_id.encode(), digest_size=12).hexdigest()
        return str(slot_of(entity_id) * self.shards // SLOTS)

    def slots_of(self, shard: str, entity_id: str | None = None) -> Sequence[tuple[int, int]]:
        """The slot ranges [from, to) of a shard; an ``own`` shard needs its entity's id."""
        if self.own:
            assert entity_id is not None
            slot = slot_of(entity_id)
            return [(slot, slot + 1)]
        index = int(shard)
        return [(-(-index * SLOTS // self.shards), -(-(index + 1) * SLOTS // self.shards))]
