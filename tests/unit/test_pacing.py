"""The pacer: no wait under little load, a short bounded one under much."""

from actors.runtime.pacing import LONGEST_S, QUIET_PER_S, Pacer


def loaded(per_s: float, seconds: float = 2.0, every_s: float = 0.002) -> tuple[Pacer, float]:
    pacer, now = Pacer(0.0), 0.0
    for _ in range(int(seconds / every_s)):
        now += every_s
        pacer.took_off(now, round(per_s * every_s))
    return pacer, now


def test_little_load_never_waits() -> None:
    pacer, now = loaded(500)
    assert pacer.per_s < QUIET_PER_S
    assert pacer.wait(now) == 0.0


def test_much_load_waits_but_never_longer_than_the_bound() -> None:
    pacer, now = loaded(50_000)
    assert 0.9 * LONGEST_S < pacer.wait(now) <= LONGEST_S


def test_the_wait_counts_from_the_last_take_off() -> None:
    pacer, now = loaded(50_000)
    assert pacer.wait(now + LONGEST_S) == 0.0


def test_the_estimate_forgets_a_load_that_ended() -> None:
    pacer, now = loaded(50_000)
    pacer.took_off(now + 1.5, 1)
    assert pacer.wait(now + 1.5) == 0.0


def test_a_first_burst_is_not_taken_for_a_load() -> None:
    pacer = Pacer(0.0)
    pacer.took_off(1e-4, 3)
    assert pacer.wait(2e-4) < LONGEST_S
