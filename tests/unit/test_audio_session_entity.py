"""An audio session: what it is, how it changes, its device's orders, who may. (Its course: ``test_audio_session_model``.)"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from driving import BEGIN, Driver, account, assert_replays, guest, record, uuid
from sessions import HALL, OTHER, OWNER, ROOM, end_alarm, made, refuses, seen

from actors.audio.presets import Defaults
from actors.audio.recipe import Bowl, Pulse, Sine
from actors.audio.timeline import Timeline
from actors.audio.values import DURATION_MAX_S
from actors.audio_session import commands as c
from actors.audio_session import events as e
from actors.audio_session import showing
from actors.audio_session.entity import AudioSessionKind
from actors.audio_session.replies import AudioSession
from actors.audio_session.state import END, GUEST, LEAD_S, SHARED_LEAD_S
from actors.runtime.entity import AlarmFired, Attached, Delete, EffectDone, Tick
from actors.runtime.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unauthenticated
from storage.tables import TABLES

HISTORY = Path(__file__).parent / "histories" / "audio_session.json"


# --- what it is ------------------------------------------------------------------------------------------------------


def test_a_session_is_created_as_it_was_asked_for() -> None:
    driver = made(metadata={"a": [1, None]}, name="Morning", frequencies=(136.1, 7.83), published=True)
    now = seen(driver)
    assert (now.id, now.owner, now.status, now.intention, now.name) == (
        driver.id,
        uuid(1),
        "created",
        "peace",
        "Morning",
    )
    assert (now.metadata, now.frequencies, now.audio_frequency) == ({"a": [1, None]}, (136.1, 7.83), 136.1)
    assert (now.created_at, now.updated_at, now.started_at, now.stopped_at) == (BEGIN, None, None, None)
    assert (now.start_time, now.elapsed_time, now.published, now.device) == (BEGIN.timestamp(), 0, True, None)
    bowl, pulse = now.recipe.voices
    assert isinstance(bowl, Bowl)
    assert isinstance(pulse, Pulse)
    assert "7.83 Hz" in now.notes[0]
    refuses(driver, Conflict, c.CreateSession())
    assert driver.row("audio_sessions").keys() == TABLES["audio_sessions"].columns


def test_settings_decide_what_nobody_said() -> None:
    kind = AudioSessionKind(Defaults(bowl_harmonics=False, bowl_envelopes=False, blessing=(100.0, 200.0)))
    (bowl,) = seen(made(kind)).recipe.voices
    assert isinstance(bowl, Bowl)
    assert (bowl.frequency, bowl.harmonics, bowl.envelopes) == (432.0, False, False)
    assert seen(made(kind, audio_type="chord")).frequencies == (100.0, 200.0)
    (sine,) = seen(made(kind, prayer_bowl_mode=False)).recipe.voices
    assert isinstance(sine, Sine)


def test_no_volume_is_above_the_servers() -> None:
    kind = AudioSessionKind(Defaults(max_volume=0.5))
    driver = made(kind, volume=0.5)
    assert refuses(driver, Invalid, c.UpdateSession(volume=0.51)).errors[0].path == "volume"
    with pytest.raises(Invalid, match=r"at most 0\.5"):
        made(kind, volume=0.51)
    with pytest.raises(Invalid, match="volume"):
        c.codec.decode(msgspec.msgpack.encode({"type": "create", "volume": 0.81}))


@pytest.mark.parametrize("n", range(1, 33))
def test_any_number_of_frequencies_at_the_greatest_volume_can_be_read_again(n: int) -> None:
    driver = made(audio_type="chord", frequencies=(440.0,) * n, volume=0.8)
    assert driver.replayed() == driver.state


def test_a_session_that_is_louder_than_the_server_became_is_softer() -> None:
    driver = made(volume=0.8, audio_type="chord", device="default")
    driver.do(c.Start(), OWNER)
    driver.kind = AudioSessionKind(Defaults(max_volume=0.2))
    for now in (seen(driver), driver.kind.snapshot(driver.state, driver.context()), driver.reply(c.Listen(), OWNER)):
        assert now.volume == 0.2
        assert sum(voice.level for voice in now.recipe.voices) == pytest.approx(0.2)
    row = dict.fromkeys(TABLES["audio_sessions"].columns) | msgspec.to_builtins(
        driver.row("audio_sessions"), builtin_types=(datetime,)
    )
    assert showing.of_row(row, driver.now, 0.2) == seen(driver)
    for command in (c.Pause(), c.UpdateSession(duration=20), c.Start(), c.Stop(), c.Start()):
        driver.wait(1)
        assert driver.reply(command, OWNER).volume == 0.2
    assert driver.row("audio_sessions")["volume"] == 0.2
    assert driver.replayed() == driver.state


def test_the_sky_of_its_creation_is_in_the_metadata_and_not_in_what_a_retry_repeats() -> None:
    kind, sky = AudioSessionKind(), {"moon": "full"}
    assert seen(made(sky=sky, metadata={"a": 1})).metadata == {"sky": sky, "a": 1}
    assert seen(made(sky=sky, metadata={"sky": "mine"})).metadata == {"sky": "mine"}
    assert seen(made()).metadata == {}
    first, again = (c.CreateSession(name="x", sky=each) for each in (sky, {"moon": "new"}))
    assert kind.request(first, c.encode(first)) == kind.request(again, c.encode(again))


def test_what_cannot_be_says_which_field() -> None:
    for fields in ({"frequencies": (5.0,)}, {"audio_frequency": 5.0}):
        with pytest.raises(Invalid) as refused:
            made(audio_type="binaural", **fields)
        assert refused.value.errors[0].path == next(iter(fields))
    for field, value in {
        "duration": 0,
        "audio_frequency": float("nan"),
        "frequencies": [0],
        "beat_frequency": -1,
    }.items():
        with pytest.raises(Invalid, match=field):
            c.codec.decode(msgspec.msgpack.encode({"type": "create", field: value}))
    for duration in (DURATION_MAX_S + 1, 31_536_000):
        with pytest.raises(Invalid, match="duration"):
            c.codec.decode(msgspec.msgpack.encode({"type": "create", "duration": duration}))
    with pytest.raises(TooLarge):
        made(metadata={"x": "y" * 20_000})
    refuses(made(), TooLarge, c.UpdateSession(metadata={"x": "y" * 20_000}))


# --- time ------------------------------------------------------------------------------------------------------------


def test_it_begins_a_little_ahead_and_later_where_a_space_listens() -> None:
    driver = made()
    begun = driver.reply(c.Start(), OWNER)
    assert begun.timeline == Timeline(anchor_at=BEGIN + timedelta(seconds=LEAD_S))
    assert begun.started_at == begun.timeline.anchor_at
    assert begun.start_time == begun.started_at.timestamp()
    driver.wait(2)
    assert driver.reply(c.Start(), OWNER).timeline == begun.timeline
    assert len(driver.history) == 2
    shared = made(space=HALL)
    assert shared.reply(c.Start(), OWNER).timeline.anchor_at == BEGIN + timedelta(seconds=SHARED_LEAD_S)


def test_it_completes_at_its_end_whenever_the_alarm_comes() -> None:
    driver = made()
    driver.do(c.Start(), OWNER)
    end = BEGIN + timedelta(seconds=10 + LEAD_S)
    assert end_alarm(driver) == end
    driver.wait(9.9)
    early = driver.do(AlarmFired(name=END))
    assert not early.events
    assert early.tick_after_s == pytest.approx(0.4)
    driver.wait(5)
    assert (seen(driver).status, seen(driver).stopped_at, seen(driver).elapsed_time) == ("completed", end, 10)
    assert len(driver.do(AlarmFired(name=END)).events) == 1
    assert driver.do(AlarmFired(name=END)).events == []
    assert end_alarm(driver) is None
    assert driver.state.session.stopped_at == end
    assert driver.frames[-1][1].body.status == "completed"


def test_what_is_done_after_its_end_writes_down_that_it_ended() -> None:
    driver = made()
    driver.do(c.Start(), OWNER)
    driver.wait(60)
    assert "completed" in refuses(driver, Conflict, c.Pause()).message
    again = driver.do(c.Start(), OWNER)
    assert [driver.kind.event_type(event) for event in again.events] == ["completed", "started"]
    assert again.reply.timeline == Timeline(anchor_at=driver.now + timedelta(seconds=LEAD_S))


def test_a_status_that_nobody_gives_is_refused() -> None:
    driver = made()
    driver.do(c.Start(), OWNER)
    for status in ("created", "completed"):
        assert refuses(driver, Invalid, c.UpdateSession(status=status)).errors[0].path == "status"
    assert driver.do(c.UpdateSession(status="running"), OWNER).events == []
    driver.wait(60)
    completed = driver.reply(c.UpdateSession(status="stopped"), OWNER)
    assert (completed.status, completed) == ("completed", driver.reply(c.Stop(), OWNER))


# --- who may ---------------------------------------------------------------------------------------------------------


def test_it_is_not_there_for_others() -> None:
    driver = made()
    looks = (c.GetSession(), c.GetSession(as_member=HALL), c.Listen(), c.Listen(as_member=HALL))
    for command in (*looks, c.Start(), c.Stop(), c.Delete(), c.Share(space=None)):
        assert refuses(driver, NotFound, command, OTHER).message == "Session not found"
    assert isinstance(driver.reply(c.GetSession()), AudioSession)
    for nobodys in (c.Start(), c.Listen(), c.UpdateSession(), c.Share(space=None)):
        refuses(driver, Unauthenticated, nobodys, None)
    refuses(Driver(AudioSessionKind()), Unauthenticated, c.CreateSession(), None)
    refuses(Driver(AudioSessionKind()), NotFound, c.GetSession())


def test_members_of_its_space_see_and_hear_it_and_change_nothing() -> None:
    driver = made()
    shared = driver.reply(c.Share(space=HALL), OWNER)
    assert (shared.space, driver.do(c.Share(space=HALL), OWNER).events) == (HALL, [])
    assert driver.reply(c.GetSession(as_member=HALL), OTHER).id == driver.id
    heard = driver.do(c.Listen(as_member=HALL), OTHER)
    assert heard.subscribe
    for command in (
        c.Listen(as_member=ROOM),
        c.GetSession(as_member=ROOM),
    ):  # a space that it was shared with, when they looked
        refuses(driver, NotFound, command, OTHER)
    refuses(driver, NotFound, c.Stop(), OTHER)
    refuses(driver, NotFound, c.GetSession(), OTHER)
    with pytest.raises(NotFound):
        driver.kind.may_read(driver.state, driver.context(OTHER))
    driver.attach(OTHER)
    driver.attach(OWNER)
    driver.kind.may_read(driver.state, driver.context(OTHER))
    ended = driver.do(c.Share(space=None), OWNER)
    assert ended.unsubscribe == [OTHER.practitioner]
    with pytest.raises(NotFound):
        driver.kind.may_read(driver.state, driver.context(OTHER))
    driver.kind.may_read(driver.state, driver.context(OWNER))


def test_whoever_is_let_in_while_the_sharing_ends_hears_no_more() -> None:
    driver = made(space=HALL)
    assert driver.attach(OTHER).unsubscribe == ()
    driver.do(c.Listen(as_member=HALL), account(3))  # decided before the sharing ends, and a follower only after it
    assert driver.do(c.Share(space=None), OWNER).unsubscribe == [OTHER.practitioner]
    assert driver.attach(OWNER).unsubscribe == ()
    late = driver.attach(account(3), "another-gateway")
    assert late.unsubscribe == [uuid(3)]
    driver.do(c.Delete(), OWNER)
    assert driver.attach(OTHER).unsubscribe == "all"  # who comes back with their gateway


def test_the_servers_device_is_not_for_guests() -> None:
    with pytest.raises(Forbidden, match="not for guests"):
        made(caller=guest(3), device="default")


def test_a_guests_session_ends_with_the_guest() -> None:
    who = guest(3, ends_in_s=50)
    driver = made(caller=who)
    assert driver.kind.agenda(driver.state).alarms == {GUEST: BEGIN + timedelta(seconds=50)}
    driver.do(c.Start(), who)
    assert set(driver.kind.agenda(driver.state).alarms) == {GUEST, END}
    assert driver.do(AlarmFired(name=GUEST)).events == ()
    driver.wait(50)
    driver.do(AlarmFired(name=GUEST))
    assert driver.state.session is None
    assert driver.rows[-1] == Delete(table="audio_sessions", id=driver.id)
    assert driver.kind.agenda(driver.state).alarms == {}


def test_deleted_it_is_no_more_and_its_id_is_never_used_again() -> None:
    driver = made()
    gone = driver.do(c.Delete(), OWNER)
    assert (gone.unsubscribe, gone.revises, gone.forget > 0) == ("all", True, True)
    assert gone.reply == {"status": "deleted"}
    assert driver.frames[-1][1].event == "deleted"
    refuses(driver, NotFound, c.GetSession())
    refuses(driver, NotFound, c.Delete())
    refuses(driver, Conflict, c.CreateSession())
    assert driver.reply(c.Delete()) == {"status": "deleted"}
    assert driver.kind.snapshot(driver.state, driver.context()) is None
    assert b"peace" not in driver.kind.encode_state(driver.state)
    for signal in (
        AlarmFired(name=END),
        AlarmFired(name=GUEST),
        Tick(),
        Attached(sessions=[]),
        EffectDone(id="device-1"),
    ):
        assert not driver.do(signal).events


# --- what followers see ----------------------------------------------------------------------------------------------


def test_every_change_is_pushed_whole() -> None:
    driver = made()
    driver.do(c.Listen(), OWNER)
    for command in (c.Start(), c.UpdateSession(volume=0.1), c.Pause(), c.Share(space=HALL), c.Stop()):
        driver.wait(1)
        reply = driver.reply(command, OWNER)
        _, pushed = driver.frames[-1]
        assert (pushed.event, pushed.body) == ("changed", reply)
        assert driver.kind.snapshot(driver.state, driver.context()) == reply
    driver.do(c.Start(), OWNER)
    before = len(driver.frames)
    driver.do(EffectDone(id="device-9"))
    assert len(driver.frames) == before


def test_a_retry_is_known_by_all_of_the_command() -> None:
    kind = AudioSessionKind()
    data = c.encode(c.Start())
    assert (kind.request(c.Start(), data), kind.subscribes(c.Listen()), kind.subscribes(c.Start())) == (
        data,
        True,
        False,
    )
    assert (kind.awaits(c.Start(), None, ""), kind.claims(c.Start()), kind.sealed) == (None, (), True)


def whole_life() -> Driver:
    """A session to which everything happens. ``histories/audio_session.json`` is the first version's record."""
    driver = made(metadata={"n": 1}, frequencies=(7.83, 528.0), device="default")
    for step in (c.Start(), c.UpdateSession(volume=0.2), c.Pause(), c.Share(space=HALL), c.Start(), c.Stop()):
        driver.wait(1)
        driver.do(step, OWNER)
        if driver.state.order is not None:
            driver.do(EffectDone(id=driver.state.order.effect, reply=b"{}"))
    driver.do(c.Start(), OWNER)
    driver.wait(20)
    driver.do(AlarmFired(name=END))
    driver.do(c.Delete(), OWNER)
    return driver


def test_the_recorded_history_has_every_event() -> None:
    written = {event["type"] for event in msgspec.json.decode(msgspec.json.encode(record(whole_life())))["events"]}
    assert written == {kind.__struct_config__.tag for kind in e.SessionEvent.__args__}


def test_what_the_first_version_wrote_reads_the_same() -> None:
    assert_replays(AudioSessionKind(), HISTORY.read_bytes())
