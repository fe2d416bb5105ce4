from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from driving import Driver, account, assert_replays, guest, record, uuid
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.entity import AlarmFired, EffectDone, Tick
from actors.runtime.errors import Full, SanghaError
from actors.space import commands as c
from actors.space.entity import SpaceKind

HISTORY = Path(__file__).parent / "histories" / "space.json"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text('aé\\"\n', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=5,
).map(msgspec.json.encode)

COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.just(c.Join()),
    st.just(c.Join()),
    st.just(c.Leave()),
    st.builds(c.SendMessage, body=JSON),
    st.builds(c.Pulse, phase_rad=st.floats(-10, 10)),
    st.builds(c.Invite, practitioner=st.integers(0, 5).map(uuid)),
    st.builds(
        c.UpdateSpace,
        participant_limit=st.just(msgspec.UNSET) | st.integers(1, 5),
        access_level=st.just(msgspec.UNSET) | st.sampled_from(["open", "invite", "private"]),
        shared_state=st.just(msgspec.UNSET) | JSON,
        ritual_schedule=st.just(msgspec.UNSET) | JSON,
        tradition=st.sampled_from([msgspec.UNSET, None, "zen"]),
    ),
    st.just(c.GetSpace()),
)
CALLERS = st.integers(0, 5).map(lambda n: guest(n) if n == 5 else account(n, None if n == 4 else f"name {n}"))
SIGNALS = st.sampled_from(["attach", "detach", "tick", "sweep", "rest", "delivered", "failed"])
STEP = st.tuples(st.booleans().flatmap(lambda signal: SIGNALS if signal else COMMANDS), CALLERS, st.floats(0, 400))
CREATE = st.builds(
    c.CreateSpace,
    name=st.just("Circle"),
    purpose=st.just("to sit"),
    slug=st.sampled_from([None, "circle"]),
    participant_limit=st.integers(1, 4),
    access_level=st.just("open"),
    ritual_schedule=JSON,
)


def step(driver: Driver, what: Any, caller: Any) -> None:
    match what:
        case "attach" | "detach":
            getattr(driver, what)(caller)
        case "tick":
            driver.do(Tick())
        case "sweep":
            driver.do(AlarmFired(name="sweep"))
        case "rest":
            driver.live, driver.present = None, {}
        case "delivered" | "failed":
            for effect in list(driver.state.outbox):
                driver.do(EffectDone(id=effect, error="not_found" if what == "failed" else None))
        case _:
            driver.do(what, caller)


def run(create: c.CreateSpace, steps: list[Any], creator: Any) -> Driver:
    driver = Driver(SpaceKind())
    driver.do(create, creator)
    for what, caller, seconds in steps:
        driver.wait(seconds)
        before = driver.state
        try:
            step(driver, what, caller)
        except Full:
            assert len(driver.state.participants) >= driver.state.participant_limit
            assert driver.state is before
        except SanghaError:
            assert driver.state is before
        assert_sound(driver)
    return driver


def assert_sound(driver: Driver) -> None:
    state = driver.state
    assert len(state.participants) <= state.participant_limit
    assert (state.sweep_at is not None) == bool(state.participants)
    assert state.sweep_at is None or state.away.keys() <= state.participants.keys()
    assert set(state.outbox) == set(driver.kind.agenda(state).effects)
    assert driver.row("collective_spaces")["current_participants"] == len(state.participants)


@given(
    create=CREATE,
    steps=st.lists(STEP, min_size=25, max_size=60),
    creator=st.sampled_from([account(0), guest(5)]),
    close=st.booleans(),
)
def test_the_state_is_the_fold_of_its_events_and_the_row_agrees(
    create: c.CreateSpace, steps: list[Any], creator: Any, *, close: bool
) -> None:
    driver = run(create, steps, creator)
    if close:
        driver.do(c.Close(), creator)
    assert driver.replayed() == driver.state
    kind, state, row = driver.kind, driver.state, driver.row("collective_spaces")
    assert kind.decode_state(kind.format, kind.encode_state(state)) == state
    assert [offset for offset, _ in driver.frames] == list(range(1, driver.offset + 1))
    for column in ("name", "purpose", "slug", "tradition", "participant_limit", "access_level", "shared_state"):
        assert row[column] == getattr(state, column)
    assert (row["closed_at"] is not None) is close
    assert row["ritual_schedule"] == (None if bytes(state.ritual_schedule) == b"null" else state.ritual_schedule)
    assert row["facilitator_id"] == state.facilitator


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=20, max_size=100))
def test_no_sequence_of_joins_and_leaves_overshoots_the_limit(limit: int, steps: list[tuple[bool, int]]) -> None:
    driver = Driver(SpaceKind())
    driver.do(c.CreateSpace(name="n", purpose="p", access_level="open", participant_limit=limit), account(0))
    inside: set[int] = set()
    for joins, n in steps:
        full = joins and n not in inside and len(inside) == limit
        try:
            driver.do(c.Join() if joins else c.Leave(), account(n))
        except Full:
            assert full
        else:
            assert not full
            (inside.add if joins else inside.discard)(n)
        assert set(driver.state.participants) == {uuid(k) for k in inside}
        assert driver.row("collective_spaces")["current_participants"] == len(inside) <= limit


def test_the_recorded_history_replays() -> None:
    assert_replays(SpaceKind(), HISTORY.read_bytes())


def test_the_recorded_history_has_every_event() -> None:
    recorded = {event["type"] for event in msgspec.json.decode(HISTORY.read_bytes())["events"]}
    assert recorded == {
        event["type"] for event in msgspec.json.decode(msgspec.json.encode(record(whole_life())))["events"]
    }
    assert len(recorded) == 12


def whole_life() -> Driver:
    """A space to which everything happens once. ``histories/space.json`` is the record of the first version's."""
    a, b, d = account(1), account(2), account(4)
    driver = Driver(SpaceKind())
    driver.do(
        c.CreateSpace(
            name="Circle", purpose="to sit", slug="circle", tradition="zen", ritual_schedule=b'{"every":"day"}'
        ),
        a,
    )
    driver.do(c.Join(), a)
    driver.attach(a)
    for who in (b, d):
        driver.do(c.Invite(practitioner=who.practitioner), a)
    driver.do(EffectDone(id="invite-3", reply=b"{}"))
    driver.do(EffectDone(id="invite-4", error="not_found"))
    driver.wait(10)
    driver.do(c.Join(), b)
    driver.attach(b)
    driver.do(c.SendMessage(body=b'{"text":"om \\u00e9 \\\\","n":[1,2.5,null]}'), b)
    driver.do(c.UpdateSpace(name="Ring", tradition=None, shared_state=b'{"bell":true}', participant_limit=3), a)
    driver.do(c.Join(), account(2, None))
    driver.detach(b)
    driver.wait(590)
    driver.do(AlarmFired(name="sweep"))
    driver.wait(5)
    driver.attach(b)
    driver.detach(b)
    driver.wait(600)
    driver.do(AlarmFired(name="sweep"))
    driver.do(c.Leave(), a)
    driver.do(c.Close(), a)
    return driver
