from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from driving import BEGIN, Driver, account, follower, uuid
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.entity import DURABLE, LATEST, Push, Tick
from actors.space import commands as c
from actors.space import presence as p
from actors.space.coherence import coherence
from actors.space.entity import SpaceKind, SpaceLimits

A, B, PRIVATE = account(1), account(2), account(3, None)


def space(*members: Any, limit: int = 12) -> Driver:
    driver = Driver(SpaceKind(SpaceLimits(presence_grace_s=30, participant_grace_s=600)))
    driver.do(c.CreateSpace(name="n", purpose="p", access_level="open", participant_limit=limit), A)
    for member in members:
        driver.do(c.Join(), member)
        driver.attach(member)
    return driver


def settled(*members: Any) -> Driver:
    driver = space(*members)
    driver.wait(0.25)
    driver.do(Tick())
    driver.pushes.clear()
    return driver


def told(push: Push) -> tuple[list[str], list[str]]:
    return [who["id"] for who in push.fields["joined"]], [who["id"] for who in push.fields["left"]]


def test_a_storm_of_arrivals_is_one_push() -> None:
    driver = space(*(account(n) for n in range(1, 1001)), limit=1000)
    assert driver.pushes == []
    driver.wait(0.25)
    driver.do(Tick())
    (push,) = driver.pushes
    assert push.lane == DURABLE
    assert told(push) == ([uuid(n) for n in range(1, 1001)], [])


def test_arriving_asks_for_a_tick() -> None:
    driver = space(A)
    assert driver.attach(A).tick_after_s == 0.25


def test_a_short_absence_is_not_told() -> None:
    driver = settled(A, B)
    assert driver.detach(B).tick_after_s == 30
    driver.wait(29.9)
    again = driver.do(Tick())
    assert driver.pushes == []
    assert again.tick_after_s == pytest.approx(0.1)
    driver.attach(B)
    driver.wait(30)
    driver.do(Tick())
    assert driver.pushes == []


def test_an_absence_as_long_as_the_grace_is_told_once() -> None:
    driver = settled(A, B)
    driver.detach(B)
    driver.wait(30)
    assert driver.do(Tick()).tick_after_s is None
    driver.do(Tick())
    assert [told(push) for push in driver.pushes] == [([], [B.practitioner])]


def test_present_until_the_last_session_is_gone() -> None:
    driver = settled(A, B)
    driver.attach(B, "second")
    driver.detach(B)
    driver.wait(60)
    assert driver.do(Tick()).tick_after_s is None
    assert driver.pushes == []
    driver.detach(B, "second")
    driver.wait(30)
    driver.do(Tick())
    assert told(driver.pushes[-1]) == ([], [B.practitioner])


def test_who_leaves_is_gone_with_the_next_tick() -> None:
    driver = settled(A, B)
    assert driver.do(c.Leave(), B).tick_after_s == 0.25
    driver.detach(B)
    driver.wait(0.25)
    driver.do(Tick())
    assert told(driver.pushes[-1]) == ([], [B.practitioner])


def test_who_shows_nothing_is_never_listed() -> None:
    driver = space(A, PRIVATE)
    driver.wait(0.25)
    driver.do(Tick())
    assert [told(push) for push in driver.pushes] == [([A.practitioner], [])]
    (greeting,) = driver.kind.greeting(driver.state, driver.context())
    assert told(greeting) == ([A.practitioner], [])
    snapshot = driver.reply(c.GetSpace(), A)
    assert snapshot["present"] == [A.practitioner]
    assert snapshot["participants"] == [{"id": A.practitioner, "name": A.name}, {"id": uuid(3), "name": None}]


def test_who_turns_private_disappears() -> None:
    driver = settled(A, B)
    driver.attach(account(2, None))
    driver.wait(0.25)
    driver.do(Tick())
    assert told(driver.pushes[-1]) == ([], [B.practitioner])


def test_the_greeting_is_everyone_also_within_the_grace() -> None:
    driver = settled(A, B)
    driver.detach(B)
    driver.wait(10)
    (greeting,) = driver.kind.greeting(driver.state, driver.context())
    assert greeting.fields["full"] is True
    assert sorted(told(greeting)[0]) == [A.practitioner, B.practitioner]


def test_a_fresh_live_part_greets_with_whoever_is_connected() -> None:
    driver = settled(A, B)
    driver.live = None
    (greeting,) = driver.kind.greeting(driver.state, driver.context())
    assert told(greeting) == ([A.practitioner, B.practitioner], [])


def test_whoever_was_greeted_with_is_told_to_have_left_even_before_the_first_tick() -> None:
    driver = settled(A)
    driver.do(c.Join(), B)
    driver.attach(B)
    driver.do(c.Leave(), B)
    driver.detach(B)
    driver.wait(0.25)
    driver.do(Tick())
    assert told(driver.pushes[-1]) == ([], [B.practitioner])


def test_sessions_of_strangers_are_made_to_follow_no_more() -> None:
    assert settled(A).attach(B).unsubscribe == (B.practitioner,)


STEP = st.tuples(st.sampled_from(["attach", "detach", "join", "leave", "tick"]), st.integers(1, 4), st.floats(0, 40))


@given(st.lists(STEP, min_size=20, max_size=60))
def test_greeting_and_pushes_together_always_give_who_is_present(steps: list[tuple[str, int, float]]) -> None:
    """A follower from the beginning knows after each tick exactly what a newcomer is greeted with."""
    driver = space()
    known: dict[str, str] = {}
    for what, n, seconds in [*steps, ("tick", 1, 0.0)]:
        caller = account(n)
        driver.wait(seconds)
        driver.pushes.clear()
        match what:
            case "join":
                driver.do(c.Join(), caller)
            case "leave":
                driver.do(c.Leave(), caller)
            case "tick":
                driver.do(Tick())
            case _ if caller.practitioner in driver.state.participants:
                getattr(driver, what)(caller)
        for push in driver.pushes:
            for who in push.fields["left"]:
                known.pop(who["id"], None)
            known |= {who["id"]: who["name"] for who in push.fields["joined"]}
        if what == "tick":
            (greeting,) = driver.kind.greeting(driver.state, driver.context())
            assert {who["id"]: who["name"] for who in greeting.fields["joined"]} == known


# Pulses


def pulse(driver: Driver, caller: Any, phase: float) -> Any:
    return driver.reply(c.Pulse(phase_rad=phase), caller)["phase_coherence"]


def test_a_pulse_answers_with_the_agreement_of_all() -> None:
    driver = settled(A, B)
    assert pulse(driver, A, 0.0) is None
    assert pulse(driver, B, math.pi / 2) == pytest.approx(0.7071, abs=1e-4)
    assert pulse(driver, B, math.tau) == pytest.approx(1.0)


def test_coherence_is_told_at_most_every_quarter_of_a_second() -> None:
    driver = settled(A, B)
    for _ in range(100):
        driver.wait(0.01)
        assert driver.do(c.Pulse(phase_rad=1.0), A).tick_after_s == 0.25
        driver.do(Tick())
    assert 4 <= len(driver.pushes) <= 5
    assert {push.lane for push in driver.pushes} == {LATEST}
    assert driver.pushes[0].fields == {"phase_coherence": None, "unbiased": None, "n": 1, "phases": {uuid(1): 1.0}}


def test_ten_seconds_of_silence_forget_a_phase_and_that_is_told() -> None:
    driver = settled(A, B)
    pulse(driver, A, 0.0)
    driver.wait(0.25)
    assert driver.do(Tick()).tick_after_s == pytest.approx(9.75)
    driver.wait(9.74)
    driver.do(Tick())
    assert driver.reply(c.GetSpace(), A)["phase_coherence"]["n"] == 1
    driver.wait(0.01)
    assert driver.reply(c.GetSpace(), A)["phase_coherence"]["n"] == 0
    assert driver.do(Tick()).tick_after_s is None
    assert driver.pushes[-1].fields["n"] == 0


def test_who_leaves_takes_their_phase_along() -> None:
    driver = settled(A, B)
    pulse(driver, A, 0.0)
    pulse(driver, B, 0.0)
    driver.do(c.Leave(), B)
    assert driver.reply(c.GetSpace(), A)["phase_coherence"] == {"r": None, "unbiased": None, "n": 1}


def test_the_phase_of_who_shows_nothing_counts_but_is_not_told() -> None:
    driver = settled(A, PRIVATE)
    pulse(driver, A, 0.0)
    assert pulse(driver, PRIVATE, 0.0) == pytest.approx(1.0)
    driver.wait(0.25)
    driver.do(Tick())
    assert driver.pushes[-1].fields["n"] == 2
    assert driver.pushes[-1].fields["phases"] == {A.practitioner: 0.0}


@pytest.mark.parametrize(("n", "listed"), [(100, True), (101, False)])
def test_phases_are_listed_up_to_a_hundred(n: int, *, listed: bool) -> None:
    driver = space(*(account(k) for k in range(1, n + 1)), limit=200)
    for k in range(1, n + 1):
        pulse(driver, account(k), 1.0)
    driver.wait(0.25)
    driver.do(Tick())
    assert ("phases" in driver.pushes[-1].fields) is listed
    assert driver.pushes[-1].fields["n"] == n


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_phase_is_taken_modulo_a_turn(phase: float) -> None:
    assert 0 <= p.normalise(phase) < math.tau


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 6.28), st.floats(0, 6)), min_size=10, max_size=80))
def test_the_running_sums_agree_with_the_phases_that_count(beats: list[tuple[int, float, float]]) -> None:
    pulses, now, members = p.Pulses(), BEGIN, {str(n) for n in range(10)}
    for who, phase, seconds in beats:
        now += timedelta(seconds=seconds)
        pulses = p.beat(p.heard(pulses, now, members), str(who), phase, now, shown=True)
        exact = coherence([b.phase_rad for b in pulses.beats.values()])
        assert p.agreement(pulses).r == (None if exact.r is None else pytest.approx(exact.r, abs=1e-9))
        assert all(now - b.at < p.PULSE_LIFE for b in pulses.beats.values())


def test_a_session_that_is_not_a_participants_is_not_present() -> None:
    assert p.connected({"s": follower(A)}, {}) == {}
