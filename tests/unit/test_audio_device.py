"""The sound device as an entity: who plays what until when, what there is no room for, and that no tone is ever stuck."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from driving import BEGIN, Driver, account, assert_replays, guest, record, uuid
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.audio import commands as c
from actors.audio.conduct import (
    KEPT,
    NOT_THE_OPERATOR,
    OPENING,
    OWNER_VOICES_MAX,
    PARTIALS_MAX,
    SAMPLED_MAX,
    START_LEAD,
)
from actors.audio.entity import END, TABLE, AudioKind
from actors.audio.events import VoiceBegan, VoicesEnded
from actors.audio.recipe import Binaural, Bowl, Chord, Recipe, Sine
from actors.audio.replies import DeviceState, Obeyed, Stopping
from actors.audio.state import DONE_MAX, ORDERS_MAX, partials
from actors.audio.timeline import Timeline
from actors.audio.values import VOICES_MAX
from actors.runtime.entity import AlarmFired, Context, Decision, Delete
from actors.runtime.errors import BadRequest, Forbidden, Full, Invalid, SanghaError

ALICE, BOB = account(1), account(2)
HISTORY = Path(__file__).parent / "histories" / "audio.json"
TONE = Recipe(voices=(Sine(frequency=432),), duration_s=10)
BOWLS = Recipe(voices=tuple(Bowl(frequency=100 + n) for n in range(16)), duration_s=10)


def device() -> Driver:
    """One that is open."""
    driver = Driver(AudioKind(), "default")
    driver.do(c.Report(present=True, status="plays", latency_s=0.1))
    return driver


def play(n: int = 1, recipe: Recipe = TONE, **more: Any) -> c.Play:
    return c.Play(voice=uuid(n), recipe=recipe, **more)


def named(driver: Driver, *numbers: int) -> tuple[c.Named, ...]:
    """Voices as they sound now."""
    return tuple(c.Named(uuid(n), driver.state.voices[uuid(n)].timeline) for n in numbers)


def seen(driver: Driver, caller: Any = ALICE) -> DeviceState:
    found: DeviceState = driver.reply(c.GetDevice(), caller)
    return found


def refuses(driver: Driver, error: type[SanghaError], command: Any, caller: Any = ALICE) -> str:
    before = driver.state
    with pytest.raises(error) as refused:
        driver.do(command, caller)
    assert driver.state is before
    return refused.value.message


def alarm(driver: Driver) -> datetime | None:
    found: datetime | None = driver.kind.agenda(driver.state).alarms.get(END)
    return found


def test_what_is_played_begins_a_little_later_and_has_an_owner_and_an_end() -> None:
    driver = device()
    (voice,) = driver.reply(play(), ALICE).voices
    assert voice.owner == ALICE.practitioner
    assert voice.timeline == Timeline(anchor_at=BEGIN + START_LEAD)
    assert voice.ends_at == alarm(driver) == BEGIN + START_LEAD + timedelta(seconds=10)


def test_what_is_played_on_a_device_that_has_to_be_opened_begins_later_still() -> None:
    driver = device()
    driver.do(c.Report(present=True, status="is there"))
    (voice,) = driver.reply(play(), ALICE).voices
    assert voice.timeline == Timeline(anchor_at=BEGIN + START_LEAD + OPENING)


def test_at_its_end_it_is_gone_also_before_the_alarm() -> None:
    driver = device()
    driver.do(play(), ALICE)
    driver.wait(10.5)
    assert seen(driver).voices == ()
    assert list(driver.do(AlarmFired(name=END)).events) == [VoicesEnded(voices=(uuid(1),))]
    assert driver.state.voices == {}
    assert alarm(driver) is None


def test_an_alarm_that_is_early_or_comes_twice_changes_nothing() -> None:
    driver = device()
    driver.do(play(), ALICE)
    driver.wait(10.4)
    assert not driver.do(AlarmFired(name=END)).events
    driver.wait(0.1)
    assert driver.do(AlarmFired(name=END)).events
    assert not driver.do(AlarmFired(name=END)).events


def test_two_sessions_on_one_device_mix_and_each_stops_its_own() -> None:
    driver = device()
    for n, owner in ((1, ALICE), (2, BOB)):
        driver.do(play(n, session=uuid(n), owner=owner.practitioner))
    assert [voice.id for voice in seen(driver).voices] == [uuid(1)]
    assert seen(driver).others == 1
    refuses(driver, Forbidden, c.Stop(voice=uuid(2)))
    refuses(driver, Forbidden, play(2))
    driver.do(c.Stop(voice=uuid(1), owner=ALICE.practitioner))
    assert list(driver.state.voices) == [uuid(2)]
    driver.do(c.Stop(voice=uuid(2), owner=BOB.practitioner))
    assert not driver.state.voices


def test_a_sessions_voice_is_named_and_sounds_until_its_session_was_stopped() -> None:
    driver = device()
    driver.do(play(1), ALICE)
    for n, owner in ((2, ALICE), (3, BOB)):
        driver.do(play(n, session=uuid(n), owner=owner.practitioner, order=1))
    for stop in (c.Stop(), c.Stop(voice=uuid(2))):
        answer: Stopping = driver.reply(stop, ALICE)
        assert [(voice.id, voice.session) for voice in answer.sessions] == [(uuid(2), uuid(2))]
        assert [voice.id for voice in answer.device.voices] == [uuid(2)], "what is no session's ended at once"
    refuses(driver, Forbidden, c.EndVoices(voices=named(driver, 2, 3)))
    then = named(driver, 2)
    driver.wait(1)
    driver.do(play(2, session=uuid(2), owner=ALICE.practitioner, order=2))
    assert driver.reply(c.EndVoices(voices=then), ALICE).voices, "it began anew since"
    gone = (c.Named(uuid(9), Timeline()),)
    assert driver.reply(c.EndVoices(voices=named(driver, 2) + gone), ALICE).voices == ()
    assert list(driver.state.voices) == [uuid(3)]


def test_who_may_stops_what_everyone_plays() -> None:
    driver = device()
    driver.do(play(1), ALICE)
    driver.do(play(2, session=uuid(2), owner=ALICE.practitioner))
    answer: Stopping = driver.reply(c.Stop(everyone=True), BOB)
    assert [(voice.owner, voice.id) for voice in answer.sessions] == [(ALICE.practitioner, uuid(2))]
    assert [voice.id for voice in answer.device.voices] == [uuid(2)]
    driver.do(c.EndVoices(voices=named(driver, 2), everyone=True), BOB)
    assert not driver.state.voices


def test_an_order_that_is_late_changes_nothing() -> None:
    driver = device()
    first, longer = play(1, session=uuid(1), owner=uuid(5), order=2), Recipe(voices=TONE.voices, duration_s=20)
    assert driver.reply(first) == Obeyed()
    for late in (
        play(1, longer, session=uuid(1), owner=uuid(5), order=2),
        c.Stop(voice=uuid(1), owner=uuid(5), order=1),
    ):
        assert not driver.do(late).events
    assert driver.do(c.Stop(voice=uuid(1), owner=uuid(5), order=4)).events
    assert not driver.do(play(1, session=uuid(1), owner=uuid(5), order=3)).events, "also of a voice that is gone"
    driver.do(play(1, session=uuid(1), owner=uuid(5), order=5))
    assert list(driver.state.voices) == [uuid(1)]
    for n in range(2, ORDERS_MAX + 2):
        driver.do(c.Stop(voice=uuid(n), owner=uuid(5), order=1))
    assert len(driver.state.orders) == ORDERS_MAX
    assert uuid(1) not in driver.state.orders, "the one that nobody renewed for longest"


def test_an_order_that_cannot_be_is_answered_in_words_and_the_old_sound_ends() -> None:
    driver = device()
    for n in range(4):
        driver.do(play(n, BOWLS if n else TONE, owner=account(n).practitioner, order=1))
    driver.do(play(7, Recipe(voices=BOWLS.voices[:15], duration_s=10)), BOB)
    refused: Obeyed = driver.reply(play(0, BOWLS, owner=account(0).practitioner, order=2))
    assert refused.code == "full"
    assert str(PARTIALS_MAX) in (refused.refused or "")
    assert uuid(0) not in driver.state.voices
    anothers: Obeyed = driver.reply(play(1, owner=uuid(99), order=2))
    assert (anothers.code, uuid(1) in driver.state.voices) == ("forbidden", True)


def test_a_voice_is_its_callers_and_an_effects_has_to_say_whose() -> None:
    refuses(device(), BadRequest, play(), None)
    refuses(device(), BadRequest, c.Stop(voice=uuid(1)), None)
    refuses(device(), BadRequest, c.Stop(owner=uuid(1)), None)
    for wrong in (play(owner=BOB.practitioner), c.Stop(owner=BOB.practitioner), play(order=1)):
        refuses(device(), Forbidden, wrong)


def test_guests_do_not_make_the_servers_machine_sound() -> None:
    for command in (play(), c.Stop(), c.EndVoices(voices=()), c.PlaySamples(voice=uuid(1), samples=b"\0\0")):
        refuses(device(), Forbidden, command, guest(3))


def test_what_stops_twice_or_never_was_is_no_error() -> None:
    driver = device()
    assert not driver.do(c.Stop(voice=uuid(7)), ALICE).events
    assert not driver.do(c.Stop(), ALICE).events


def test_a_voice_played_again_is_another_in_its_place() -> None:
    driver = device()
    driver.do(play(), ALICE)
    driver.do(play(recipe=BOWLS), ALICE)
    assert [voice.recipe for voice in driver.state.voices.values()] == [BOWLS]


def test_what_is_over_already_does_not_begin_and_ends_what_was_in_its_place() -> None:
    driver = device()
    driver.do(play(), ALICE)
    over = Timeline(position_s=3, anchor_at=BEGIN - timedelta(seconds=7))
    assert driver.reply(play(timeline=over), ALICE).voices == ()
    assert not driver.do(play(2, timeline=over), ALICE).events


@pytest.mark.parametrize(
    "timeline",
    [
        Timeline(),
        Timeline(anchor_at=BEGIN.replace(tzinfo=None)),
        Timeline(anchor_at=BEGIN + timedelta(days=1, seconds=1)),
    ],
)
def test_what_would_never_end_or_begins_in_days_is_refused(timeline: Timeline) -> None:
    assert refuses(device(), Invalid, play(timeline=timeline)).startswith("timeline.anchor_at")


def test_there_is_room_for_so_many_voices_and_so_many_of_one() -> None:
    driver = device()
    for n in range(OWNER_VOICES_MAX):
        driver.do(play(n), ALICE)
    assert "of yours" in refuses(driver, Full, play(99))
    driver.do(play(3), ALICE)
    for n in range(OWNER_VOICES_MAX, VOICES_MAX):
        driver.do(play(n), account(n))
    assert refuses(driver, Full, play(999), BOB) == "64 voices sound on this device already"


def test_what_costs_more_than_can_be_rendered_is_refused() -> None:
    driver = device()
    for n in range(4):
        driver.do(play(n, BOWLS), account(n))
    assert str(PARTIALS_MAX) in refuses(driver, Full, play(9), BOB)
    driver.wait(11)
    driver.do(play(9), BOB)
    assert list(driver.state.voices) == [uuid(9)], "those that are over give room before their alarm"


def test_samples_are_bounded_and_few_at_once() -> None:
    driver = device()
    for n in range(SAMPLED_MAX):
        driver.do(c.PlaySamples(voice=uuid(n), samples=b"\1\0" * 100), account(n))
    assert "samples" in refuses(driver, Full, c.PlaySamples(voice=uuid(9), samples=b"\1\0"))
    assert refuses(device(), Invalid, c.PlaySamples(voice=uuid(9), samples=b"\1\0\2")) == "samples: of 2 bytes each"
    odd = c.PlaySamples(voice=uuid(9), samples=b"\0\0" * 3, channels=2)
    assert refuses(device(), Invalid, odd) == "samples: of 4 bytes each"
    refuses(device(), Invalid, c.PlaySamples(voice=uuid(9), samples=b"\0\0" * (c.SAMPLES_MAX + 1)))
    driver = device()
    driver.do(c.PlaySamples(voice=uuid(1), samples=b"\0\0\1\0" * c.SAMPLES_MAX, channels=2), ALICE)
    assert driver.state.next_end == BEGIN + START_LEAD + timedelta(seconds=10)
    with pytest.raises(Invalid):
        c.codec.decode(c.encode(c.PlaySamples(voice=uuid(9), samples=b"\0\0" * (2 * c.SAMPLES_MAX + 1), channels=2)))


def test_who_looks_gets_no_sound_back_but_where_in_it_we_are() -> None:
    driver = device()
    driver.do(c.PlaySamples(voice=uuid(1), samples=b"\1\0" * 100_000), ALICE)
    driver.do(play(2, BOWLS, timeline=Timeline(position_s=2, anchor_at=BEGIN)), ALICE)
    driver.wait(1.5)
    assert len(msgspec.json.encode(seen(driver))) < 1_000
    assert [(voice.position_s, voice.sampled) for voice in seen(driver).voices] == [(1.0, True), (3.5, False)]


def decided(
    driver: Driver, command: Any, caller: Any = None, *, operation: str | None = None, seq: int = 1
) -> Decision:
    """By an operation, of an entity that has had so many events; taken as a shard would."""
    context = Context(
        entity_id=driver.id,
        now=driver.now,
        next_offset=1,
        caller=caller,
        operation=operation,
        seq=seq,
        live=driver.live,
    )
    decision: Decision = driver.kind.decide(driver.state, command, context)
    for event in decision.events:
        driver._take(event)
    return decision


def test_the_journal_forgets_what_sounds_no_more() -> None:
    driver = device()
    samples = c.PlaySamples(voice=uuid(1), samples=b"\1\0")
    assert not decided(driver, samples, ALICE).forget
    for ends in (samples, c.Stop()):
        decision = decided(driver, ends, ALICE)
        assert decision.forget
        assert decision.revises, "also what was published of it"
    decided(driver, samples, ALICE)
    driver.wait(1)
    assert decided(driver, AlarmFired(name=END)).forget
    assert decided(driver, play(), ALICE, seq=KEPT - 1).forget, "and now and then in any case"


def test_what_was_done_is_known_when_the_journal_has_forgotten_it() -> None:
    driver = device()
    plays = c.PlaySamples(voice=uuid(1), samples=b"\1\0")
    decided(driver, plays, ALICE, operation="alice:k-1")
    driver.wait(1)
    decided(driver, AlarmFired(name=END))
    assert not decided(driver, plays, ALICE, operation="alice:k-1").events
    decided(driver, plays, ALICE, operation="alice:k-2")
    decided(driver, play(2, session=uuid(2)), ALICE, operation="alice:k-3")
    decided(driver, c.Stop(), ALICE, operation="alice:k-4")
    decided(driver, plays, ALICE, operation="alice:k-5")
    again = decided(driver, c.Stop(), ALICE, operation="alice:k-4")
    assert not again.events
    assert [voice.id for voice in again.reply.sessions] == [uuid(2)], "who asks again may have failed at stopping it"
    decided(driver, c.EndVoices(voices=named(driver, 2)), ALICE, operation="alice:k-4:end")
    decided(driver, play(2, session=uuid(2)), ALICE)
    assert decided(driver, c.Stop(), ALICE, operation="alice:k-4").reply.sessions == (), "it began since"
    assert "alice" not in msgspec.json.encode(driver.state.done).decode()
    for n in range(DONE_MAX):
        decided(driver, plays, ALICE, operation=f"alice:k-more{n}")
    assert len(driver.state.done) == DONE_MAX
    decided(driver, plays, ALICE, operation="link:7")
    assert len(driver.state.done) == DONE_MAX, "the runtime itself counts a link's"


def test_what_changed_nothing_changes_nothing_when_it_comes_again() -> None:
    driver = device()
    at_once = decided(driver, c.Stop(), ALICE, operation="alice:k-1")
    assert not at_once.forget
    same = c.SetVolume(volume=driver.state.volume, operator=True)
    decided(driver, same, ALICE, operation="alice:k-2")
    decided(driver, c.SetVolume(volume=0.1, operator=True), ALICE)
    decided(driver, play(), ALICE)
    for command, key in ((c.Stop(), "alice:k-1"), (same, "alice:k-2")):
        assert not decided(driver, command, ALICE, operation=key).events
    assert driver.state.volume == 0.1
    assert driver.state.voices


def test_a_sessions_orders_need_no_mark() -> None:
    driver = device()
    decided(driver, play(session=uuid(1), owner=uuid(5), order=1), operation="effect:audio_session:1:device-1")
    assert driver.state.done == ()


def test_an_order_that_was_refused_is_refused_when_it_comes_again() -> None:
    driver = device()
    for n in range(OWNER_VOICES_MAX):
        driver.do(play(n), ALICE)
    order = play(99, timeline=Timeline(anchor_at=BEGIN), session=uuid(99), owner=ALICE.practitioner, order=1)
    for _ in range(2):
        assert driver.reply(order).code == "full"
    driver.wait(60)
    assert driver.reply(order) == Obeyed(), "it would be over"


def test_an_account_that_ends_leaves_no_voice_and_no_row() -> None:
    driver = device()
    driver.do(play(1), ALICE)
    driver.do(play(2, session=uuid(2), owner=ALICE.practitioner))
    driver.do(play(3), BOB)
    assert [row.values["practitioner_id"] for row in driver.rows] == [uuid(1), uuid(1), uuid(2)]
    assert driver.row(TABLE) | {"id": uuid(3), "device": "default", "session_id": None} == driver.row(TABLE)
    refuses(driver, Forbidden, c.Erase(owner=ALICE.practitioner))
    decision = driver.do(c.Erase(owner=ALICE.practitioner))
    assert decision.forget
    assert list(driver.state.voices) == [uuid(3)]
    assert driver.rows[-2:] == [Delete(table=TABLE, id=uuid(1)), Delete(table=TABLE, id=uuid(2))]
    assert not driver.do(c.Erase(owner=ALICE.practitioner)).events


def test_what_the_player_reports_is_shown_and_not_kept() -> None:
    driver = Driver(AudioKind(), "default")
    assert not seen(driver).present
    assert seen(driver).status == "a sound device is looked for"
    report = c.Report(
        present=True,
        status="plays",
        latency_s=0.1,
        frequencies=(432.0,),
        amplitudes=(0.5,),
        position=1.5e9,
        drift_s=0.01,
    )
    assert not driver.do(report).events
    assert (seen(driver).present, seen(driver).status, seen(driver).latency_s) == (True, "plays", 0.1)
    assert (seen(driver).device, seen(driver).frequencies) == ("default", (432.0,))
    assert (seen(driver).position, seen(driver).drift_s) == (1.5e9, 0.01)
    refuses(driver, Forbidden, report)
    driver.live = None
    assert not seen(driver).present


def test_the_volume_is_the_operators_and_is_kept() -> None:
    driver = device()
    assert refuses(driver, Forbidden, c.SetVolume(volume=0.3)) == NOT_THE_OPERATOR
    refuses(driver, Forbidden, c.SetVolume(volume=0.3, operator=True), None)
    assert driver.reply(c.SetVolume(volume=0.3, operator=True), ALICE).volume == 0.3
    assert not driver.do(c.SetVolume(volume=0.3, operator=True), ALICE).events


def test_partials_are_those_that_sound_at_once() -> None:
    later = Recipe(voices=(Bowl(frequency=200, ends_s=5), Bowl(frequency=300, begins_s=5)), duration_s=10)
    assert partials(later) == 11
    layers = Recipe(
        voices=(Chord(frequencies=(1, 2, 3)), Binaural(carrier=100, beat=4), Sine(frequency=5)), duration_s=1
    )
    assert partials(layers) == 6
    assert partials(Recipe(voices=(Bowl(frequency=200, harmonics=False),), duration_s=1)) == 2
    assert partials(None) == 1


@pytest.mark.parametrize("frequency", [0, -1, 1e9, float("nan"), float("inf")])
def test_a_frequency_that_is_none_never_gets_here(frequency: float) -> None:
    with pytest.raises(Invalid):
        c.codec.decode(c.encode(play(recipe=Recipe(voices=(Sine(frequency=frequency),), duration_s=10))))


@given(st.integers(2, 20), st.floats(0, 1e9))
def test_durations_and_levels_out_of_bounds_never_get_here(voices: int, more: float) -> None:
    for bad in (
        Recipe(voices=(Sine(frequency=1),), duration_s=86_400 + 1 + more),
        Recipe(voices=(Sine(frequency=1, level=0.81 + more),), duration_s=1),
        Recipe(voices=(Sine(frequency=1),) * (VOICES_MAX * voices), duration_s=1),
    ):
        with pytest.raises(Invalid):
            c.codec.decode(c.encode(play(recipe=bad)))


class Devices(RuleBasedStateMachine):
    """Whatever is played, stopped and missed: a voice sounds from its start to its end, unless it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = device()
        self.model: dict[str, tuple[str, datetime]] = {}

    def _drop_the_over(self) -> None:
        self.model = {id_: kept for id_, kept in self.model.items() if kept[1] > self.driver.now}

    @rule(n=st.integers(0, 5), who=st.sampled_from([ALICE, BOB]), duration=st.integers(1, 20))
    def plays(self, n: int, who: Any, duration: int) -> None:
        id_ = uuid(n)
        known = self.driver.state.voices.get(id_)
        recipe = Recipe(voices=(Sine(frequency=432),), duration_s=duration)
        try:
            self.driver.do(c.Play(voice=id_, recipe=recipe), who)
        except Forbidden:
            assert known is not None
            assert known.owner != who.practitioner
        else:
            self.model[id_] = who.practitioner, self.driver.now + START_LEAD + timedelta(seconds=duration)

    @rule(n=st.one_of(st.none(), st.integers(0, 5)), who=st.sampled_from([ALICE, BOB]))
    def stops(self, n: int | None, who: Any) -> None:
        id_ = None if n is None else uuid(n)
        try:
            self.driver.do(c.Stop(voice=id_), who)
        except Forbidden:
            return
        own = who.practitioner
        self.model = {key: kept for key, kept in self.model.items() if kept[0] != own or id_ not in (None, key)}

    @rule(seconds=st.integers(0, 8))
    def waits(self, seconds: int) -> None:
        self.driver.wait(seconds)

    @rule()
    def alarms(self) -> None:
        self.driver.do(AlarmFired(name=END))

    @invariant()
    def what_sounds_is_what_should(self) -> None:
        self._drop_the_over()
        sounding = {
            id_: (kept.owner, kept.ends_at)
            for id_, kept in self.driver.state.voices.items()
            if kept.ends_at > self.driver.now
        }
        assert sounding == self.model
        due = alarm(self.driver)
        assert (due is None) == (not self.driver.state.voices)
        assert due is None or all(due <= kept.ends_at for kept in self.driver.state.voices.values())
        assert self.driver.replayed() == self.driver.state


TestDevices = Devices.TestCase


def whole_life() -> Driver:
    """A device to which everything happens. ``histories/audio.json`` is the first version's record."""
    driver = device()
    driver.do(play(1), ALICE)
    driver.do(play(2, BOWLS, session=uuid(50), owner=BOB.practitioner))
    driver.do(c.PlaySamples(voice=uuid(3), samples=b"\1\0\2\0"), ALICE)
    driver.do(c.SetVolume(volume=0.25, operator=True), BOB)
    driver.do(c.Stop(), ALICE)
    driver.do(play(4, timeline=Timeline(position_s=2.5, anchor_at=BEGIN + timedelta(seconds=1))), ALICE)
    driver.do(c.Stop(voice=uuid(2), owner=BOB.practitioner, order=1))
    return driver


def test_the_recorded_history_has_every_event() -> None:
    written = {event["type"] for event in msgspec.json.decode(msgspec.json.encode(record(whole_life())))["events"]}
    assert written == {"voice_began", "voices_ended", "volume_set", "ordered"}
    assert any(isinstance(event, VoiceBegan) and event.voice.samples for _, event in whole_life().history)


def test_the_recorded_history_replays() -> None:
    assert_replays(AudioKind(), HISTORY.read_bytes())
