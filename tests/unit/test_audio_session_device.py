"""What an audio session tells its sound device, and what the device answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sessions import OWNER, made, order, seen

from actors.audio import commands as audio
from actors.audio.replies import Obeyed
from actors.audio_session import commands as c
from actors.audio_session.state import DEVICE_LEAD_S, END, ORDER
from actors.runtime.entity import Agenda, AlarmFired, EffectDone, Tick


def test_the_device_is_told_one_thing_at_a_time_and_at_last_what_is_so() -> None:
    driver = made(hardware_enabled=True, device="default")
    assert (seen(driver).device, seen(made(hardware_enabled=True)).device) == ("default", None)
    assert driver.kind.agenda(driver.state).effects == {}
    begun = driver.reply(c.Start(), OWNER)
    first, play = order(driver)
    assert play == audio.Play(
        voice=driver.id,
        recipe=begun.recipe,
        timeline=begun.timeline,
        session=driver.id,
        owner=OWNER.practitioner,
        order=1,
    )
    driver.wait(3)
    louder = driver.reply(c.UpdateSession(volume=0.1), OWNER)
    assert order(driver) == (first, play)
    driver.do(EffectDone(id=first, reply=b"{}"))
    second, again = order(driver)
    assert (again.recipe, again.order) == (louder.recipe, 2)
    driver.do(c.Pause(), OWNER)  # at once, whatever is on its way
    third, stop = order(driver)
    assert stop == audio.Stop(voice=driver.id, owner=OWNER.practitioner, order=3)
    assert driver.do(EffectDone(id=second, reply=b"{}")).events == []
    driver.do(c.Start(), OWNER)
    assert order(driver) == (third, stop)
    driver.do(c.Pause(), OWNER)
    driver.do(EffectDone(id=third, reply=b"{}"))
    assert driver.kind.agenda(driver.state).effects == {}
    second = third
    assert driver.do(EffectDone(id=second, reply=b"{}")).events == []
    assert driver.replayed() == driver.state


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": "full"}, "it has no room for one more voice"),
        ({"error": "too_strange"}, "too strange"),
        (
            {"reply": msgspec.json.encode(Obeyed(refused="64 voices sound on it already", code="full"))},
            "64 voices sound on it already",
        ),
    ],
)
def test_a_device_that_refuses_is_said_and_pushed_and_the_session_goes_on(answer: dict[str, Any], words: str) -> None:
    driver = made(device="default")
    driver.do(c.Start(), OWNER)
    id_, _ = order(driver)
    driver.wait(2)
    driver.do(EffectDone(id=id_, **answer))
    assert seen(driver).device_error == words
    assert seen(driver).notes[-1] == f"the sound device default does not play it: {words}"
    assert (driver.row("audio_sessions")["device_error"], seen(driver).status) == (words, "running")
    assert (driver.frames[-1][1].event, driver.frames[-1][1].body) == ("changed", seen(driver))
    driver.do(c.UpdateSession(name="x"), OWNER)
    assert driver.frames[-1][1].body == seen(driver)
    assert driver.kind.agenda(driver.state).effects == {}  # what was refused is not asked again
    driver.do(c.Stop(), OWNER)
    id_, _ = order(driver)
    driver.do(EffectDone(id=id_, reply=b"{}"))
    assert (seen(driver).notes, seen(driver).device_error) == ((), None)
    assert driver.frames[-1][1].body.device_error is None
    assert driver.replayed() == driver.state


def test_an_order_is_not_repeated_for_longer_than_it_matters() -> None:
    driver = made(device="default")
    driver.do(c.Start(), OWNER)
    begun, _ = order(driver)
    driver.wait(20)
    driver.do(AlarmFired(name=END))  # the device was away all the time, and has nothing to be told any more
    assert driver.kind.agenda(driver.state) == Agenda()
    driver.do(c.Start(), OWNER)
    driver.do(c.UpdateSession(duration=30), OWNER)
    driver.do(EffectDone(id=order(driver)[0], reply=b"{}"))
    driver.do(EffectDone(id=order(driver)[0], reply=b"{}"))
    end = driver.now + timedelta(seconds=30 + DEVICE_LEAD_S)
    driver.wait(5)
    driver.do(c.Stop(), OWNER)
    id_, _ = order(driver)
    assert driver.kind.agenda(driver.state).alarms == {ORDER: end}  # until then the voice may sound
    driver.now = end - timedelta(seconds=1)
    early = driver.do(AlarmFired(name=ORDER))
    assert (early.events, early.tick_after_s) == ([], 1)
    driver.wait(1)
    driver.do(Tick())
    assert driver.kind.agenda(driver.state) == Agenda()
    assert driver.do(EffectDone(id=id_, reply=b"{}")).events == []
    assert begun != id_
    assert driver.replayed() == driver.state


def test_what_is_to_be_silent_is_told_so_after_the_session_is_gone_too() -> None:
    driver = made(device="default")
    driver.do(c.Start(), OWNER)
    driver.do(c.Delete(), OWNER)
    assert isinstance(order(driver)[1], audio.Stop)
    driver.wait(60)
    driver.do(AlarmFired(name=ORDER))
    assert driver.kind.agenda(driver.state) == Agenda()


def test_a_session_on_a_device_begins_when_that_can_be_open() -> None:
    driver = made(device="default")
    assert driver.reply(c.Start(), OWNER).timeline.anchor_at == driver.now + timedelta(seconds=DEVICE_LEAD_S)


def test_a_session_that_is_shorter_than_what_the_device_knows_of_it_silences_the_device() -> None:
    driver = made(device="default", duration=100)
    driver.do(c.Start(), OWNER)
    driver.do(EffectDone(id=order(driver)[0], reply=b"{}"))
    driver.do(c.UpdateSession(duration=10), OWNER)
    driver.wait(10 + DEVICE_LEAD_S)
    driver.do(AlarmFired(name=END))
    assert isinstance(order(driver)[1], audio.Stop)


@pytest.mark.parametrize("last", [c.Stop(), c.Delete(), c.Pause()])
def test_no_tone_outlives_what_ended_it(last: Any) -> None:
    driver = made(device="default")
    driver.do(c.Start(), OWNER)
    driver.do(EffectDone(id=order(driver)[0], reply=b"{}"))
    driver.wait(1)
    driver.do(last, OWNER)
    id_, command = order(driver)
    assert isinstance(command, audio.Stop)
    driver.do(EffectDone(id=id_, reply=b"{}"))
    assert driver.kind.agenda(driver.state).effects == {}


@pytest.mark.parametrize("answered", [True, False])
def test_a_checkpoint_from_before_knows_until_when_its_device_sounds(answered: bool) -> None:
    driver = made(device="default")
    driver.do(c.Start(), OWNER)
    if answered:
        driver.do(EffectDone(id=order(driver)[0], reply=b"{}"))
    end = driver.now + timedelta(seconds=10 + DEVICE_LEAD_S)
    driver.state = msgspec.structs.replace(driver.state, sounds_until=None)
    driver.wait(1)
    driver.do(c.Stop(), OWNER)
    assert isinstance(order(driver)[1], audio.Stop)
    assert driver.kind.agenda(driver.state).alarms == {ORDER: end}
