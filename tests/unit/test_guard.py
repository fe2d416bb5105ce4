"""Seats: who is let in, who has to go, and when."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.http.guard import KEEPALIVE_GRACE_S, RATE, Guard, Limits, Phase, Progress, Seat

LIMITS = Limits(connections=4, per_address=2, header_timeout_s=10, body_timeout_s=20, keepalive_s=75)


class Wire:
    def __init__(self) -> None:
        self.ended = False
        self.waits: Progress | None = None

    def cut(self) -> None:
        self.ended = True

    def progress(self) -> Progress | None:
        return self.waits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Some:
    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock = Clock()
        self.guard = Guard(limits, self.clock)
        self.wires: dict[Seat, Wire] = {}

    def come(self, address: str = "a", phase: Phase = Phase.HEAD, *, exempt: bool = False) -> Seat | None:
        wire = Wire()
        seat = self.guard.admit(address, wire, exempt=exempt)
        if seat is not None:
            self.wires[seat] = wire
            self.guard.move(seat, phase)
        return seat

    def here(self, address: str = "a", phase: Phase = Phase.HEAD, *, exempt: bool = False) -> Seat:
        seat = self.come(address, phase, exempt=exempt)
        assert seat is not None
        return seat

    def after(self, seconds: float) -> None:
        self.clock.now += seconds
        while self.guard.sweep():
            pass

    def ended(self, seat: Seat) -> bool:
        return self.wires[seat].ended


def test_an_address_has_so_many_seats_and_gets_them_back() -> None:
    some = Some()
    first, _ = some.here(), some.here()
    assert some.come() is None
    assert some.come("b") is not None
    some.guard.leave(first)
    some.guard.leave(first)
    assert some.come() is not None
    assert some.come() is None
    assert some.guard.refused == 2


def test_a_trusted_proxy_has_as_many_as_there_are() -> None:
    some = Some()
    for _ in range(3):
        some.here(exempt=True)
    assert some.come() is not None


def test_a_limit_that_is_lifted_holds_nobody_back() -> None:
    some = Some(LIMITS._replace(per_address=None))
    assert all(some.come() for _ in range(4))


def test_when_all_seats_are_taken_the_slowest_head_goes_then_the_longest_idle_then_nobody() -> None:
    some = Some()
    idle, socket = some.here("a", Phase.IDLE), some.here("b", Phase.SOCKET)
    slow, busy = some.here("c"), some.here("d", Phase.BUSY)
    newer = some.here("e", Phase.BUSY)
    assert some.ended(slow)
    assert not some.ended(newer)
    some.here("f", Phase.BUSY)
    assert some.ended(idle)
    assert some.come("g") is None
    assert not any(map(some.ended, (socket, busy, newer)))
    assert len(some.guard) == 4


def test_a_head_has_its_time_from_the_first_byte() -> None:
    some = Some()
    slow = some.here()
    some.after(9.9)
    assert not some.ended(slow)
    some.after(0.1)
    assert some.ended(slow)
    again = some.here("a", Phase.IDLE)
    some.after(60)
    some.guard.move(again, Phase.HEAD)
    some.after(9)
    assert not some.ended(again)
    some.after(1)
    assert some.ended(again)


def test_who_is_served_or_has_a_socket_may_stay() -> None:
    some = Some()
    seats = [some.here("a", Phase.BUSY), some.here("b", Phase.SOCKET)]
    some.after(10_000)
    assert not any(map(some.ended, seats))


def test_an_idle_connection_goes_unless_its_last_answer_is_on_its_way() -> None:
    some = Some()
    idle, taking = some.here("a", Phase.IDLE), some.here("b", Phase.IDLE)
    some.wires[taking].waits = Progress("take", 0)
    some.after(LIMITS.keepalive_s + KEEPALIVE_GRACE_S)
    assert (some.ended(idle), some.ended(taking)) == (True, False)
    some.after(1)
    some.after(LIMITS.body_timeout_s)
    assert some.ended(taking)


def test_a_body_that_makes_progress_may_take_as_long_as_it_takes() -> None:
    some = Some()
    seat = some.here("a", Phase.BUSY)
    received = 0
    for _ in range(600):
        some.wires[seat].waits = Progress("send", received)
        some.after(1)
        received += RATE
    assert not some.ended(seat)
    for _ in range(42):
        some.wires[seat].waits = Progress("send", received)
        some.after(1)
        received += RATE // 2
    assert some.ended(seat)


def test_what_is_waited_for_changes_and_the_time_begins_anew() -> None:
    some = Some()
    seat = some.here("a", Phase.BUSY)
    for what in ("send", None, "send", "take"):
        some.wires[seat].waits = None if what is None else Progress(what, 0)
        some.after(1)
        some.after(LIMITS.body_timeout_s - 1)
    assert not some.ended(seat)


@settings(max_examples=50, stateful_step_count=40)
class Seats(RuleBasedStateMachine):
    """Whatever comes, goes and waits: the counts are those of who is there, and never exceed the limits."""

    def __init__(self) -> None:
        super().__init__()
        self.some = Some()

    @property
    def present(self) -> list[Seat]:
        return [seat for seat in self.some.wires if seat.phase is not None]

    @rule(address=st.sampled_from("abcdef"), exempt=st.booleans(), phase=st.sampled_from(Phase))
    def come(self, address: str, exempt: bool, phase: Phase) -> None:
        self.some.come(address, phase, exempt=exempt)

    @precondition(lambda self: self.present)
    @rule(data=st.data(), phase=st.sampled_from([*Phase, None]))
    def go_on(self, data: st.DataObject, phase: Phase | None) -> None:
        seat = data.draw(st.sampled_from(self.present))
        self.some.guard.leave(seat) if phase is None else self.some.guard.move(seat, phase)

    @rule(seconds=st.sampled_from([0.5, 5, 50]))
    def wait(self, seconds: float) -> None:
        self.some.after(seconds)

    @invariant()
    def the_counts_are_right(self) -> None:
        present, guard = self.present, self.some.guard
        assert len(guard) == len(present) <= LIMITS.connections
        for phase in Phase:
            assert guard.count(phase) == sum(seat.phase is phase for seat in present)
        for address in "abcdef":
            counted = sum(seat.address == address and seat.counted for seat in present)
            assert guard._by_address[address] == counted <= 2


TestSeats = Seats.TestCase
