from __future__ import annotations

from actors.oracle.breaker import FAILURES, OPEN_S, Breaker, admit, failed, given_up, succeeded


def opened(at: float = 100.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker = failed(breaker, at, probe=False)
    return breaker


def test_four_failures_leave_it_closed_and_the_fifth_opens_it() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker = failed(breaker, 1.0, probe=False)
    assert admit(breaker, 1.0) is breaker
    assert breaker.state(1.0) == "closed"
    breaker = failed(breaker, 1.0, probe=False)
    assert breaker.state(1.0) == "open"
    assert admit(breaker, 1.0) is None


def test_a_success_forgets_earlier_failures() -> None:
    breaker = succeeded(failed(Breaker(), 1.0, probe=False))
    assert breaker == Breaker()


def test_after_a_minute_one_probe_goes_through() -> None:
    breaker = opened(100.0)
    assert admit(breaker, 100.0 + OPEN_S - 0.01) is None
    assert breaker.state(100.0 + OPEN_S) == "half-open"
    probing = admit(breaker, 100.0 + OPEN_S)
    assert probing is not None
    assert probing.probing
    assert probing.state(100.0 + OPEN_S) == "half-open"
    assert admit(probing, 200.0) is None


def test_a_probe_closes_it_or_opens_it_anew() -> None:
    probing = admit(opened(100.0), 160.0)
    assert probing is not None
    assert succeeded(probing).state(161.0) == "closed"
    again = failed(probing, 170.0, probe=True)
    assert admit(again, 170.0 + OPEN_S - 0.01) is None
    assert admit(again, 170.0 + OPEN_S) is not None


def test_a_probe_that_is_given_up_lets_the_next_one_go() -> None:
    probing = admit(opened(100.0), 160.0)
    assert probing is not None
    assert admit(given_up(probing, probe=True), 160.0) is not None
    assert given_up(Breaker(failures=3), probe=False) == Breaker(failures=3)


def test_a_late_failure_does_not_keep_it_open_longer() -> None:
    breaker = opened(100.0)
    assert failed(breaker, 150.0, probe=False) == breaker
