"""The prayer wheel over time: what it counts is what a wheel would have turned, however it is asked, stopped and woken."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from driving import BEGIN, Driver, account, assert_replays, record, uuid
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.prayer import commands as c
from actors.prayer import events as e
from actors.prayer import showing
from actors.prayer.collection import BY_ID, COLLECTION, DEFAULT_DEDICATION, fitting, of_kind
from actors.prayer.entity import KEPT, PrayerWheelKind
from actors.prayer.spin import ROTATION, Spin, mrpm
from actors.prayer.values import ACCUMULATIONS_MAX, BEADS, BY_HAND_MAX, DEFAULT_MANTRA, MANTRAS_MAX, count_of, key_of
from actors.runtime.codec import from_wire
from actors.runtime.entity import EVERYTHING, NOTHING_OWED, AlarmFired, Delete, Purge, Tick
from actors.runtime.errors import Conflict, Forbidden, Full, Invalid, NotFound, SanghaError
from storage.tables import TABLES

HISTORY = Path(__file__).parent / "histories" / "prayer_wheel.json"
ME = account(7)
TARA = "Om Tare Tuttare Ture Soha"


def wheel() -> Driver:
    return Driver(PrayerWheelKind(), ME.practitioner)


def rotate(driver: Driver, rotations: int = 1, **more: Any) -> Any:
    return driver.reply(c.Rotate(rotations=rotations, **more), ME)


def spin(driver: Driver, rate: float = 60.0, until_s: float | None = None, **more: Any) -> Any:
    until = None if until_s is None else driver.now + timedelta(seconds=until_s)
    return driver.reply(c.Spin(rate_rpm=rate, until=until, **more), ME)


def seen(driver: Driver) -> Any:
    return driver.reply(c.GetWheel(), ME)


def refuses(driver: Driver, error: type[SanghaError], command: Any, caller: Any = ME) -> SanghaError:
    before = driver.state
    with pytest.raises(error) as refused:
        driver.do(command, caller)
    assert driver.state is before
    return refused.value


def end_alarm(driver: Driver) -> Any:
    return driver.kind.agenda(driver.state).alarms.get("end")


# By hand


def test_rotations_by_hand_are_told_in_malas_of_108() -> None:
    driver = wheel()
    assert rotate(driver, 107).count == count_of(107)
    shown = rotate(driver, 110)
    assert (shown.count.rotations, shown.count.malas, shown.count.beads) == (217, 2, 1)
    assert (BEADS, count_of(108).malas, count_of(108).beads) == (108, 1, 0)


def test_each_mantra_has_its_own_accumulation_whatever_its_writing() -> None:
    driver = wheel()
    rotate(driver, 5, intention="for my mother")
    rotate(driver, 7, mantra="  om  MANI padme hum ")
    rotate(driver, 3, mantra=TARA)
    shown = seen(driver)
    assert [(a.mantra, a.count.rotations, a.intention) for a in shown.accumulations] == [
        (DEFAULT_MANTRA, 12, "for my mother"),
        (TARA, 3, ""),
    ]
    assert [(m.mantra, m.count.rotations) for m in shown.mantras] == [(DEFAULT_MANTRA, 12), (TARA, 3)]


def test_an_intention_changes_where_one_is_given_and_stays_where_none_is() -> None:
    driver = wheel()
    rotate(driver, intention="first")
    assert rotate(driver).accumulations[0].intention == "first"
    assert rotate(driver, intention="second").accumulations[0].intention == "second"
    assert rotate(driver, intention="").accumulations[0].intention == ""
    assert driver.row("prayer_accumulations")["rotations"] == 4


def test_the_answer_to_a_change_has_what_it_concerns_and_not_all_that_there_is() -> None:
    driver = wheel()
    for n in range(MANTRAS_MAX):
        rotate(driver, mantra=f"mantra {n} " + "\N{DEVANAGARI OM}" * 150, intention="\N{DEVANAGARI OM}" * 2_000)
    assert len(msgspec.json.encode(seen(driver))) > 500_000
    one = next(iter(driver.state.open.values()))
    for command in (c.Rotate(mantra=one.mantra), c.Spin(mantra=one.mantra), c.Stop(), c.Stop()):
        assert len(msgspec.json.encode(driver.reply(command, ME))) < 10_000
    shown = driver.reply(c.Rotate(mantra=one.mantra), ME)
    assert [each.id for each in shown.accumulations] == [one.id]
    assert [(each.mantra, each.count.rotations) for each in shown.mantras] == [(one.mantra, 3)]
    assert shown.count.rotations == MANTRAS_MAX + 2
    spin(driver, mantra=one.mantra)
    other = next(reversed(driver.state.open.values()))
    assert [each.id for each in rotate(driver, mantra=other.mantra).accumulations] == [one.id, other.id], (
        "what spins too"
    )


def test_old_events_go_and_the_recent_stay_for_who_asks_again() -> None:
    driver = wheel()
    rotate(driver)
    for before, forgotten in (
        (KEPT - 1, 0),
        (2 * KEPT - 2, 0),
        (2 * KEPT - 1, KEPT),
        (2 * KEPT, 0),
        (3 * KEPT - 1, KEPT),
    ):
        context = msgspec.structs.replace(driver.context(ME), seq=before)
        assert driver.kind.decide(driver.state, c.Rotate(), context).forget == forgotten, before
        assert driver.kind.decide(driver.state, c.GetWheel(), context).forget == 0


@pytest.mark.parametrize(
    ("command", "fields", "path"),
    [
        (c.Rotate, {"rotations": 0}, "rotations"),
        (c.Rotate, {"rotations": -1}, "rotations"),
        (c.Rotate, {"rotations": BY_HAND_MAX + 1}, "rotations"),
        (c.Rotate, {"rotations": 1.5}, "rotations"),
        (c.Rotate, {"mantra": ""}, "mantra"),
        (c.Rotate, {"mantra": "   "}, "mantra"),
        (c.Rotate, {"mantra": "om\nmani"}, "mantra"),
        (c.Rotate, {"mantra": "x" * 201}, "mantra"),
        (c.Rotate, {"intention": "x" * 2_001}, "intention"),
        (c.Rotate, {"intention": "a\0"}, "intention"),
        (c.Spin, {"rate_rpm": 0}, "rate_rpm"),
        (c.Spin, {"rate_rpm": -3}, "rate_rpm"),
        (c.Spin, {"rate_rpm": 1e9}, "rate_rpm"),
        (c.Spin, {"rate_rpm": float("nan")}, "rate_rpm"),
        (c.Dedicate, {"accumulation": "1", "text": "t"}, "accumulation"),
        (c.Dedicate, {"accumulation": uuid(1), "text": " "}, "text"),
        (c.Dedicate, {"accumulation": uuid(1), "text": "x" * 4_001}, "text"),
    ],
)
def test_what_is_out_of_bounds_is_invalid_with_its_path(command: Any, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_wire(command, fields)
    assert refused.value.errors[0].path == path


def test_a_wheel_is_its_practitioners_alone() -> None:
    driver = wheel()
    rotate(driver)
    for command in (c.Rotate(), c.Spin(), c.Stop(), c.GetWheel(), c.Dedicate(accumulation=uuid(1), text="t")):
        refuses(driver, Forbidden, command, account(8))
        refuses(driver, Forbidden, command, None)
    refuses(driver, Forbidden, c.Erase(), ME)


def test_a_wheel_that_nobody_turned_is_shown_and_changes_nothing() -> None:
    driver = wheel()
    decision = driver.do(c.GetWheel(), ME)
    assert (decision.events, decision.reply.count.rotations, decision.reply.spinning) == ((), 0, None)
    assert driver.do(c.Stop(), ME).events == []
    assert driver.kind.agenda(driver.state) is NOTHING_OWED


def test_a_wheel_holds_so_many_mantras_and_accumulations() -> None:
    driver = wheel()
    for n in range(MANTRAS_MAX):
        rotate(driver, mantra=f"mantra {n}")
    refuses(driver, Full, c.Rotate(mantra="one more"))
    rotate(driver, mantra="MANTRA 5")
    driver.state = msgspec.structs.replace(driver.state, begun=ACCUMULATIONS_MAX)
    rotate(driver, mantra="mantra 5")
    first = next(iter(driver.state.open))
    driver.do(c.Dedicate(accumulation=first, text="t"), ME)
    refuses(driver, Full, c.Rotate(mantra="mantra 0"))


# By itself


def test_while_it_spins_nothing_happens_and_the_count_follows_from_the_time() -> None:
    driver = wheel()
    spin(driver, 30.0, intention="peace")
    events, rows = len(driver.history), len(driver.rows)
    driver.wait(119)
    shown = seen(driver)
    assert (shown.count.rotations, shown.spinning.rotations, shown.accumulations[0].count.rotations) == (59, 59, 59)
    assert (shown.mantras[0].count.rotations, shown.spinning.rate_rpm, shown.spinning.ends_at) == (59, 30.0, None)
    driver.wait(1)
    assert seen(driver).count.rotations == 60
    assert (len(driver.history), len(driver.rows)) == (events, rows)
    assert end_alarm(driver) is None


def test_a_spin_ends_by_its_alarm_at_its_own_end_however_late_the_alarm_comes() -> None:
    driver = wheel()
    spin(driver, 60.0, until_s=10)
    assert end_alarm(driver) == BEGIN + timedelta(seconds=10)
    driver.wait(3_600)
    assert (seen(driver).count.rotations, seen(driver).spinning) == (10, None)
    (ended,) = driver.do(AlarmFired(name="end")).events
    assert (ended.rotations, ended.reason, ended.ended_at) == (10, "done", BEGIN + timedelta(seconds=10))
    assert driver.row("prayer_wheels")["rotations"] == 10
    assert driver.row("prayer_wheels")["spinning"] is None
    assert driver.kind.agenda(driver.state) is NOTHING_OWED
    assert driver.do(AlarmFired(name="end")).events == ()
    assert driver.replayed() == driver.state


def test_an_alarm_from_before_a_change_ends_nothing() -> None:
    driver = wheel()
    spin(driver, until_s=10)
    driver.wait(9.5)
    spin(driver, until_s=100)
    assert driver.do(AlarmFired(name="end")).events == ()
    assert seen(driver).spinning is not None
    assert end_alarm(driver) == driver.now + timedelta(seconds=100)


def test_the_databases_clock_may_be_a_little_ahead_of_ours() -> None:
    driver = wheel()
    spin(driver, 60, until_s=10)
    driver.wait(9.9)
    (ended,) = driver.do(AlarmFired(name="end")).events
    assert ended.rotations == 10


def test_what_is_asked_after_the_end_and_before_the_alarm_counts_to_the_end() -> None:
    for command in (c.Rotate(), c.Stop(), c.Spin(mantra=TARA)):
        driver = wheel()
        spin(driver, 60.0, until_s=10)
        driver.wait(50)
        assert driver.do(command, ME).events[0].reason == "done"
        assert driver.state.mantras[key_of(DEFAULT_MANTRA)].rotations == 10 + (type(command) is c.Rotate)


def test_a_stop_counts_whole_rotations_and_the_wheel_stays_where_it_stands() -> None:
    driver = wheel()
    spin(driver, 60.0)
    driver.wait(2.75)
    assert driver.reply(c.Stop(), ME).count.rotations == 2
    spin(driver, 60.0, mantra=TARA)
    driver.wait(0.25)
    assert seen(driver).count.rotations == 3


def test_by_hand_while_it_spins_adds_to_it() -> None:
    driver = wheel()
    spin(driver, 60.0)
    driver.wait(5)
    assert rotate(driver, 10).count.rotations == 15
    driver.wait(5)
    assert driver.reply(c.Stop(), ME).count.rotations == 20


def test_until_lies_ahead_within_a_year_and_has_a_zone() -> None:
    driver = wheel()
    for until in (driver.now, driver.now - timedelta(days=1), driver.now + timedelta(days=400)):
        assert refuses(driver, Invalid, c.Spin(until=until)).errors[0].path == "until"
    assert refuses(driver, Invalid, c.Spin(until=driver.now.replace(tzinfo=None, year=2027))).errors[0].path == "until"


def test_a_spin_may_be_for_so_long() -> None:
    driver = wheel()
    driver.do(c.Spin(duration_s=90.5), ME)
    assert end_alarm(driver) == BEGIN + timedelta(seconds=90.5)
    both = c.Spin(duration_s=1, until=driver.now + timedelta(seconds=1))
    assert refuses(driver, Invalid, both).errors[0].path == "duration_s"


@given(
    rate=st.floats(0.1, 600),
    cuts=st.lists(st.integers(0, 10**9), max_size=8),
    rest=st.integers(0, 10**12),
)
def test_a_spin_that_is_cut_turns_as_far_as_one_that_is_not(rate: float, cuts: list[int], rest: int) -> None:
    """In microseconds, against exact fractions: nothing is lost or won by stopping."""
    now, angle, turned = BEGIN, 0, 0
    for micros in (*cuts, rest):
        part = Spin(accumulation=uuid(1), rate_mrpm=mrpm(rate), began_at=now, angle=angle)
        now += timedelta(microseconds=micros)
        more, angle = part.turned(now)
        turned += more
    exact = Fraction(sum(cuts) + rest, 60_000_000) * Fraction(mrpm(rate), 1_000)
    assert turned == exact.numerator // exact.denominator
    assert 0 <= angle < ROTATION


def test_before_its_beginning_a_spin_has_turned_nothing() -> None:
    early = Spin(accumulation=uuid(1), rate_mrpm=60_000, began_at=BEGIN + timedelta(seconds=5))
    assert early.turned(BEGIN) == (0, 0)  # a clock that was set back


# Dedication


def test_a_dedication_closes_the_accumulation_for_good() -> None:
    driver = wheel()
    id_ = rotate(driver, 120).accumulations[0].id
    driver.wait(60)
    closed = driver.reply(c.Dedicate(accumulation=id_, text="To all.", source="merit-to-all"), ME)
    assert (closed.count, closed.dedication, closed.dedication_id) == (count_of(120), "To all.", "merit-to-all")
    assert closed.dedicated_at == driver.now
    assert driver.row("prayer_accumulations")["dedication"] == "To all."
    shown = seen(driver)
    assert (shown.accumulations, shown.dedicated, shown.count.rotations) == ((), 1, 120)
    refuses(driver, NotFound, c.Dedicate(accumulation=id_, text="again"))
    assert rotate(driver).accumulations[0].id != id_
    assert driver.replayed() == driver.state


def test_an_accumulation_may_be_named_by_its_mantra() -> None:
    driver = wheel()
    rotate(driver, 5)
    rotate(driver, 6, mantra=TARA)
    assert driver.reply(c.Dedicate(mantra="om tare  tuttare ture soha", text="t"), ME).count.rotations == 6
    refuses(driver, NotFound, c.Dedicate(mantra=TARA, text="t"))
    refuses(driver, Invalid, c.Dedicate(text="t"))
    refuses(driver, Invalid, c.Dedicate(mantra=TARA, accumulation=uuid(1), text="t"))


def test_dedicating_what_spins_counts_and_ends_the_spin() -> None:
    driver = wheel()
    id_ = spin(driver, 60.0).accumulations[0].id
    refuses(driver, Conflict, c.Dedicate(accumulation=id_, text="nothing yet"))
    driver.wait(30)
    closed = driver.reply(c.Dedicate(accumulation=id_, text="t"), ME)
    assert (closed.count.rotations, seen(driver).spinning) == (30, None)


def test_dedicating_one_mantra_leaves_another_spinning() -> None:
    driver = wheel()
    id_ = rotate(driver, 9).accumulations[0].id
    spin(driver, 60.0, mantra=TARA)
    driver.do(c.Dedicate(accumulation=id_, text="t"), ME)
    driver.wait(4)
    assert seen(driver).spinning.rotations == 4


# The end of an account


def test_an_erasure_takes_everything_in_steps_and_the_wheel_never_comes_back() -> None:
    driver = wheel()
    spin(driver)
    driver.state = msgspec.structs.replace(driver.state, begun=2 * showing.STEP_ROWS + 1)
    assert driver.do(c.Erase()).tick_after_s is not None
    assert "erase" in driver.kind.agenda(driver.state).alarms
    refuses(driver, NotFound, c.GetWheel())
    steps = [driver.do(Tick()) for _ in range(3)]
    assert [type(d.events[0]) for d in steps] == [e.Purged, e.Purged, e.Erased]
    assert (steps[-1].forget, steps[-1].revises) == (EVERYTHING, True)
    assert [row for row in driver.rows if isinstance(row, Purge | Delete)] == [
        Purge(table="prayer_accumulations", practitioner=ME.practitioner, limit=showing.STEP_ROWS),
        Purge(table="prayer_accumulations", practitioner=ME.practitioner, limit=showing.STEP_ROWS),
        Delete(table="prayer_wheels", id=ME.practitioner),
    ]
    assert driver.do(Tick()).events == ()
    assert driver.do(c.Erase()).events == ()
    assert driver.kind.agenda(driver.state) is NOTHING_OWED
    refuses(driver, NotFound, c.Rotate())


def test_erasing_a_wheel_that_nobody_turned_leaves_nothing() -> None:
    assert wheel().do(c.Erase()).events == ()


# As a whole


class Wheel(RuleBasedStateMachine):
    """Against a wheel that is simulated rotation by rotation in exact fractions."""

    @initialize()
    def begin(self) -> None:
        self.driver = wheel()
        self.turned = Fraction(0)
        self.hand = 0
        self.rate: Fraction | None = None
        self.left: Fraction | None = None

    @rule(ms=st.integers(0, 600_000))
    def wait(self, ms: int) -> None:
        if self.rate is not None:
            span = Fraction(ms, 1000) if self.left is None else min(Fraction(ms, 1000), self.left)
            self.turned += span * self.rate / 60
            if self.left is not None:
                self.left -= span
                self.rate = self.rate if self.left else None
        self.driver.now += timedelta(milliseconds=ms)

    @rule(n=st.integers(1, BY_HAND_MAX), mantra=st.sampled_from([DEFAULT_MANTRA, TARA]))
    def by_hand(self, n: int, mantra: str) -> None:
        rotate(self.driver, n, mantra=mantra)
        self.hand += n

    @rule(
        rate=st.integers(1, 6_000),
        until_s=st.none() | st.integers(1, 900),
        mantra=st.sampled_from([DEFAULT_MANTRA, TARA]),
    )
    def spin(self, rate: int, until_s: int | None, mantra: str) -> None:
        spin(self.driver, rate / 10, until_s, mantra=mantra)
        self.rate, self.left = Fraction(rate, 10), None if until_s is None else Fraction(until_s)

    @rule()
    def stop(self) -> None:
        self.driver.do(c.Stop(), ME)
        self.rate = self.left = None

    @rule()
    def alarm(self) -> None:
        alarm = end_alarm(self.driver)
        if alarm is not None and alarm <= self.driver.now:
            self.driver.do(AlarmFired(name="end"))

    @rule()
    def dedicate(self) -> None:
        for each in seen(self.driver).accumulations:
            if each.count.rotations:
                if self.driver.state.spin is not None and self.driver.state.spin.accumulation == each.id:
                    self.rate = self.left = None
                self.driver.do(c.Dedicate(accumulation=each.id, text="t"), ME)
                return

    @invariant()
    def counts_what_it_turned(self) -> None:
        if not hasattr(self, "driver"):
            return
        shown = seen(self.driver)
        assert shown.count.rotations == self.hand + self.turned.numerator // self.turned.denominator
        assert shown.count.rotations == sum(mantra.count.rotations for mantra in shown.mantras)
        assert self.driver.replayed() == self.driver.state


TestWheel = Wheel.TestCase


def test_every_row_has_columns_of_its_table() -> None:
    driver = wheel()
    id_ = rotate(driver, intention="i").accumulations[0].id
    rotate(driver, intention="j")
    spin(driver, until_s=10)
    driver.wait(10)
    driver.do(AlarmFired(name="end"))
    driver.do(c.Dedicate(accumulation=id_, text="t"), ME)
    for row in driver.rows:
        assert row.values.keys() <= TABLES[row.table].columns
    assert driver.replayed() == driver.state


# What was once written


def _history() -> Driver:
    driver = wheel()
    id_ = rotate(driver, 216, intention="for the river").accumulations[0].id
    driver.wait(5)
    spin(driver, 33.3, until_s=60, intention="for the sea")
    driver.wait(30)
    spin(driver, 12.5, mantra=TARA)
    driver.wait(7.25)
    driver.do(c.Stop(), ME)
    driver.do(c.Dedicate(accumulation=id_, text="To all beings.", source="merit-to-all"), ME)
    spin(driver, 60, until_s=3)
    driver.wait(4)
    driver.do(AlarmFired(name="end"))
    return driver


def test_a_recorded_history_is_read_as_it_was_meant() -> None:
    text = HISTORY.read_bytes()
    assert_replays(PrayerWheelKind(), text)
    assert msgspec.json.decode(msgspec.json.encode(record(_history()))) == msgspec.json.decode(text)


# The collection


def test_the_collection_is_whole_and_our_own() -> None:
    assert len(BY_ID) == len(COLLECTION)
    assert {each.kind for each in COLLECTION} == {"prayer", "dedication", "teaching", "meditation"}
    assert BY_ID[DEFAULT_DEDICATION].kind == "dedication"
    for each in COLLECTION:
        assert len(each.text) >= 100
        assert each.themes


def test_a_text_is_found_that_fits_an_intention() -> None:
    assert fitting("prayer", "for my courage before the operation").id == "for-courage"
    assert fitting("meditation", "loneliness").id == "kindness-in-circles"
    first, second = (fitting("prayer", "xyzzy", turn) for turn in (0, 1))
    assert (first, second) == of_kind("prayer")[:2]
    assert fitting("prayer", "xyzzy", len(of_kind("prayer"))) == first
