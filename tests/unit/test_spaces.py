"""What HTTP and WebSocket share about spaces: names that are looked up once, room for one more, pages of a list."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Full, Invalid, NotFound
from actors.runtime.wire import Answer, Refused
from actors.space import commands as c
from server.limits import Slugs
from server.spaces import known_space, room_for_one_more, space_of, spaces_for

HALL, NEW = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
ANN = Caller("00000000-0000-4000-8000-000000000001", "Ann")


class Gateway:
    """As much of one as spaces need."""

    def __init__(self, *, created: int = 0, lab: bool = False) -> None:
        self.settings = SimpleNamespace(created_spaces=2, history_page=500, lab=lab)
        self.slugs = Slugs(lambda: 0.0)
        self.queries = self
        self.created = created
        self.asked: list[Any] = []
        self.there = {HALL}

    async def resolve(self, scope: str, name: str) -> str | None:
        self.asked.append((scope, name))
        return HALL if name == "hall" else None

    async def count_spaces(self, practitioner: str) -> int:
        assert practitioner == ANN.practitioner
        return self.created

    async def spaces(self, *page: Any) -> list[Any]:
        return list(page)

    async def ask(self, address: Address, command: bytes, caller: Caller, operation: None = None) -> Any:
        assert (address.kind, c.codec.decode(command), caller) == ("space", c.GetSpace(), ANN)
        return Answer(0, b"{}") if address.id in self.there else Refused(0, "not_found", "no", [], None)


async def test_a_slug_is_looked_up_once_and_an_id_never() -> None:
    gateway: Any = Gateway()
    assert await space_of(gateway, HALL) == HALL
    assert known_space(gateway, "hall") is None
    assert [await space_of(gateway, "hall") for _ in range(2)] == [HALL, HALL]
    assert known_space(gateway, "hall") == HALL
    assert gateway.asked == [("space.slug", "hall")]


@pytest.mark.parametrize("name", ["nowhere", "No Slug", "", "x" * 64, "a'; DROP TABLE claims", "é", HALL.upper()])
async def test_what_names_no_space_is_not_there_and_nonsense_is_not_looked_up(name: str) -> None:
    gateway: Any = Gateway()
    with pytest.raises(NotFound) as refused:
        await space_of(gateway, name)
    assert gateway.asked == ([("space.slug", "nowhere")] if name == "nowhere" else [])
    assert len(refused.value.message) < 100


@pytest.mark.parametrize(("created", "lab", "fits"), [(1, False, True), (2, False, False), (99, True, True)])
async def test_there_is_room_below_the_limit(created: int, lab: bool, fits: bool) -> None:
    gateway: Any = Gateway(created=created, lab=lab)
    if fits:
        await room_for_one_more(gateway, ANN, NEW)
    else:
        with pytest.raises(Full, match="at most 2"):
            await room_for_one_more(gateway, ANN, NEW)


async def test_at_the_limit_a_retry_finds_what_it_created() -> None:
    await room_for_one_more(Gateway(created=2), ANN, HALL)  # type: ignore[arg-type]


async def test_a_page_is_within_the_limit_and_after_an_id() -> None:
    gateway: Any = Gateway()
    assert await spaces_for(gateway, "viewer", 500, HALL, "q") == ["viewer", 500, HALL, "q", False]
    assert await spaces_for(gateway, "viewer", 1, None, None) == ["viewer", 1, None, None, False]
    assert await spaces_for(gateway, "viewer", 1, None, None, joined=True) == ["viewer", 1, None, None, True]
    for limit, before in ((0, None), (501, None), (1, "hall"), (1, f"{HALL}\n")):
        with pytest.raises(Invalid):
            await spaces_for(gateway, "viewer", limit, before, None)
