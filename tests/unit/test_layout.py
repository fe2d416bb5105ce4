"""Which shard hosts an entity: slots are split without a gap or an overlap, whatever the layout."""

from __future__ import annotations

import pytest

from actors.runtime.layout import SLOTS, Layout, slot_of


@pytest.mark.parametrize("shards", [*range(1, 65), 100, 1000, 4095, 4096])
def test_ranges_cover_each_slot_once_and_agree_with_the_hash(shards: int) -> None:
    layout = Layout.parse(f"shared:{shards}")
    owner = {slot: shard for shard in range(shards) for a, b in layout.slots_of(str(shard)) for slot in range(a, b)}
    assert sum(b - a for shard in range(shards) for a, b in layout.slots_of(str(shard))) == SLOTS
    assert sorted(owner) == list(range(SLOTS))
    for n in range(500):
        assert int(layout.shard_of(f"entity {n}")) == owner[slot_of(f"entity {n}")]


def test_the_hash_never_changes() -> None:
    assert slot_of("a") == 559


def test_own_gives_each_entity_its_shard_and_its_slot() -> None:
    layout = Layout.parse("own")
    assert layout.own
    assert len({layout.shard_of(f"entity {n}") for n in range(1000)}) == 1000
    assert layout.slots_of(layout.shard_of("a"), "a") == [(slot_of("a"), slot_of("a") + 1)]


@pytest.mark.parametrize("text", ["", "shared", "shared:", "shared:0", "shared:-1", "shared:4097", "shared:x", "owned"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Layout.parse(text)
