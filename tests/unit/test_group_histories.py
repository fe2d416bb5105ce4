"""Group rituals under random scripts, and the recorded history of one of each kind."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from driving import account, assert_replays, guest, record
from group_driving import BRIEF, DONE, INSIGHT, A, B, C, Circle
from hypothesis import given
from hypothesis import strategies as st

from actors.ritual.values import Contribution
from actors.runtime.entity import AlarmFired
from actors.runtime.errors import SanghaError
from actors.space import commands as c
from actors.space import group as g
from actors.space import group_events as e
from actors.space.entity import SpaceKind

HISTORY = Path(__file__).parent / "histories" / "space_group.json"
EVENTS = {msgspec.inspect.type_info(event).tag for event in e.GroupEvent.__args__}
FAILED = Contribution(status="failed", code="ritual_failed", message="it needs Light")

CALLERS = st.integers(1, 4).map(lambda n: guest(n) if n == 4 else account(n))
STEPS = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from([{}, {"starts_in_s": 0}, {"opening_s": 0, "integration_s": 0}])),
    st.tuples(st.just("begin"), st.sampled_from([{"at": 30}, {"at": 90}, {"at": 100}, {"at": 5_000}])),
    st.tuples(st.sampled_from(["join", "leave", "attach", "detach"]), CALLERS),
    st.tuples(st.sampled_from(["abort", "abort", "unschedule", "restart"]), st.none()),
    st.tuples(st.sampled_from(["tick", "alarms"]), st.sampled_from([0, 0.25, 3, 10, 60])),
    st.tuples(st.just("answer"), st.tuples(st.integers(0, 5), st.sampled_from(["done", "failed", "error", "junk"]))),
    st.tuples(st.just("answer"), st.tuples(st.integers(0, 5), st.just("done"))),
)


def step(circle: Circle, what: str, argument: Any) -> None:
    match what:
        case "begin":
            at = {"at": circle.now + timedelta(seconds=argument["at"])} if "at" in argument else {}
            circle.do(c.BeginRitual(brief=BRIEF, **argument | at), A)
        case "join" | "leave":
            circle.do(c.Join() if what == "join" else c.Leave(), argument)
        case "attach" | "detach":
            getattr(circle, what)(argument)
        case "abort":
            circle.do(c.AbortRitual(), A)
        case "unschedule":
            circle.do(c.AbortRitual(ritual_run=next(iter(circle.state.scheduled), None)), A)
        case "restart":
            circle.restart()
        case "tick":
            circle.tick(argument)
        case "alarms":
            alarms_after(circle, argument)
        case "answer":
            answer(circle, *argument)


def alarms_after(circle: Circle, seconds: float) -> None:
    circle.wait(seconds)
    for name, due in list(circle.kind.agenda(circle.state).alarms.items()):
        if due <= circle.now and circle.kind.agenda(circle.state).alarms.get(name) == due:
            circle.do(AlarmFired(name=name))
            assert circle.kind.agenda(circle.state).alarms.get(name) != due


def answer(circle: Circle, n: int, how: str) -> None:
    effects = list(circle.kind.agenda(circle.state).effects)
    if effects:
        effect = effects[n % len(effects)]
        ok = INSIGHT if effect.startswith("oracle") else DONE
        reply = {"done": ok, "failed": FAILED if ok is DONE else ok}.get(how, [])
        circle.done(effect, reply, error="not_found" if how == "error" else None)


def assert_sound(circle: Circle) -> None:
    state = circle.state
    assert state.effects == g.owed(state.group, state.unsettled, state.id)
    assert circle.kind.agenda(state).effects.keys() == state.effects.keys()
    closed = circle.told.count("ritual_closed")
    assert circle.told.count("ritual_gathering") == closed + (state.group is not None)
    if state.group is not None:
        called = [p for p in state.group.parts.values() if p.status in ("called", "transformed", "failed")]
        assert len(called) == state.group.called
        assert sum(p.status != "called" for p in called) == state.group.settled <= state.group.called
        assert (state.group.due_at is None) == (state.group.stage in ("active", "aborting"))


@given(st.lists(STEPS, min_size=10, max_size=50))
def test_whatever_happens_the_state_is_the_fold_and_knows_what_it_owes(steps: list[tuple[str, Any]]) -> None:
    circle = Circle(2)
    for what, argument in steps:
        before = circle.state
        try:
            step(circle, what, argument)
        except SanghaError:
            assert circle.state is before
        assert_sound(circle)
    state, kind = circle.state, circle.kind
    assert circle.replayed() == state
    assert kind.decode_state(kind.format, kind.encode_state(state)) == state
    assert [offset for offset, _ in circle.frames] == list(range(1, circle.offset + 1))


def whole_life() -> Circle:
    """A space in which group rituals end in every way. ``histories/space_group.json`` is the record of the first version's."""
    circle = Circle(3)
    circle.enter(guest(4))
    circle.detach(C)
    circle.wait(60)
    circle.begin(at=circle.now + timedelta(days=1))
    circle.do(c.AbortRitual(ritual_run=next(iter(circle.state.scheduled))), A)
    circle.begin(at=circle.now + timedelta(seconds=65), intention="peace", parameters=b'{"depth":2}')
    circle.alarm("ritual-scheduled")
    circle.wait(58)
    circle.restart()
    circle.attach(A)
    circle.attach(B)
    circle.alarm()
    circle.alarm()
    circle.alarm()
    circle.do(c.Join(), account(5))
    first, second = circle.owed("transform")
    circle.done(first, msgspec.structs.replace(DONE, oracle_consent=True))
    circle.done(second, FAILED)
    circle.alarm()
    circle.done(circle.owed("oracle")[0], INSIGHT)
    for effect in circle.owed("settle"):
        circle.done(effect, {})
    circle.begin(at=circle.now + timedelta(seconds=70))
    circle.active()
    circle.do(c.AbortRitual(), A)
    circle.alarm("ritual-scheduled")
    for effect in circle.owed("transform"):
        circle.done(effect, error="not_found")
    circle.begin()
    circle.tick(10)
    circle.do(c.Leave(), B)
    return circle


def test_the_recorded_history_replays() -> None:
    assert_replays(SpaceKind(), HISTORY.read_bytes())


def test_the_recorded_history_has_every_event() -> None:
    recorded = {event["type"] for event in msgspec.json.decode(HISTORY.read_bytes())["events"]}
    assert recorded >= EVENTS
    assert recorded == {
        event["type"] for event in msgspec.json.decode(msgspec.json.encode(record(whole_life())))["events"]
    }
