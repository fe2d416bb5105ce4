from __future__ import annotations

import pytest

from actors.runtime.errors import Full
from server.limits import ENTRIES, GuestSpaces, RateLimit, Slugs, TooSoon


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_so_many_a_minute_for_each_key_and_the_wait_is_told() -> None:
    clock = Clock()
    limit = RateLimit(2, clock)
    limit.take("a")
    clock.now = 10
    limit.take("a")
    limit.take("b")
    with pytest.raises(TooSoon) as refused:
        limit.take("a")
    assert refused.value.retry_after_s == 50
    clock.now = 60
    limit.take("a")


def test_a_rate_limit_remembers_a_bounded_number_of_keys() -> None:
    limit = RateLimit(1, Clock())
    for n in range(ENTRIES + 5):
        limit.take(str(n))
    assert len(limit._times) == ENTRIES


def test_guests_spaces_are_counted_by_guest_and_address_for_a_day() -> None:
    clock = Clock()
    spaces = GuestSpaces(2, 3, clock)
    spaces.claim("g", "addr", "s1")
    spaces.claim("g", "addr", "s1")
    spaces.claim("g", "addr", "s2")
    with pytest.raises(Full):
        spaces.claim("g", "addr", "s3")
    spaces.claim("h", "addr", "s4")
    with pytest.raises(Full):
        spaces.claim("h", "addr", "s5")
    spaces.give_back("s4")
    spaces.claim("h", "addr", "s5")
    clock.now = 86_401
    spaces.claim("g", "addr", "s6")


def test_lifted_limits_count_nothing() -> None:
    spaces = GuestSpaces(0, 0, Clock(), lifted=True)
    spaces.claim("g", "addr", "s")


def test_a_slug_is_believed_for_a_while() -> None:
    clock = Clock()
    slugs = Slugs(clock)
    slugs.put("hall", "id")
    assert slugs.get("hall") == "id"
    assert slugs.get("attic") is None
    clock.now = Slugs.TTL_S + 1
    assert slugs.get("hall") is None
    for n in range(ENTRIES + 5):
        slugs.put(str(n), "id")
    assert len(slugs._known) == ENTRIES
