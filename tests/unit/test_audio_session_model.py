"""An audio session against a model of its own: a stopwatch. Whatever is done in whatever order, at whatever time."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from driving import Driver, account
from hypothesis import given
from hypothesis import strategies as st

from actors.audio.values import VOICES_MAX
from actors.audio_session import commands as c
from actors.audio_session import showing
from actors.audio_session.entity import AudioSessionKind
from actors.audio_session.replies import AudioSession
from actors.audio_session.state import END, LEAD_S
from actors.runtime.entity import AlarmFired, Tick
from actors.runtime.errors import Conflict, Invalid
from storage.tables import TABLES

OWNER = account(1)


def made() -> Driver:
    driver = Driver(AudioSessionKind())
    driver.do(c.CreateSession(duration=10, intention="peace"), OWNER)
    return driver


def seen(driver: Driver) -> AudioSession:
    found: AudioSession = driver.reply(c.GetSession(), OWNER)
    return found


class Model:
    """The session as a person would keep it with a stopwatch: what was heard, and since when it sounds."""

    def __init__(self, duration: float) -> None:
        self.status, self.heard, self.duration, self.now = "created", 0.0, duration, 0.0
        self.since: float | None = None

    def at(self) -> float:
        ran = 0.0 if self.since is None else max(0.0, self.now - self.since)
        return min(self.heard + ran, self.duration)

    def settle(self) -> None:
        over = None if self.since is None else self.since + self.duration - self.heard
        if self.status == "running" and over is not None and self.now > over - 1e-7:  # sums of tenths are not exact
            self.status, self.heard, self.since = "completed", self.duration, None

    def start(self) -> bool:
        if self.status != "running":
            self.heard = self.heard if self.status == "paused" else 0.0
            self.status, self.since = "running", self.now + LEAD_S
        return True

    def pause(self) -> bool:
        if self.status != "running":
            return False
        self.status, self.heard, self.since = "paused", self.at(), None
        return True

    def stop(self) -> bool:
        if self.status in ("created", "running", "paused"):
            self.status, self.heard, self.since = "stopped", self.at(), None
        return True

    def lengthen(self, duration: float) -> bool:
        if self.status in ("running", "paused") and duration <= self.at():
            return False
        self.duration = duration
        return True


ACTS = {
    "start": (c.Start(), Model.start),
    "pause": (c.Pause(), Model.pause),
    "stop": (c.Stop(), Model.stop),
    "put running": (c.UpdateSession(status="running"), Model.start),
    "put paused": (c.UpdateSession(status="paused"), lambda m: m.status == "paused" or m.pause()),
    "short": (c.UpdateSession(duration=4), lambda m: m.lengthen(4)),
    "long": (c.UpdateSession(duration=12), lambda m: m.lengthen(12)),
    "quiet": (c.UpdateSession(volume=0.1), lambda m: True),
    "higher": (c.UpdateSession(audio_frequency=528.0), lambda m: True),
}
SIGNALS = {"alarm": AlarmFired(name=END), "tick": Tick()}


def act(driver: Driver, model: Model, name: str) -> None:
    model.settle()
    if name in SIGNALS:
        driver.do(SIGNALS[name])
        return
    command, does = ACTS[name]
    try:
        driver.do(command, OWNER)
        done = True
    except (Conflict, Invalid):
        done = False
    assert does(model) is done, name


def wait(driver: Driver, model: Model, seconds: float) -> None:
    driver.wait(seconds)
    model.now += seconds


def agree(driver: Driver, model: Model) -> None:
    """What is told is what the stopwatch says: live, after a crash, and of the row."""
    model.settle()
    now = seen(driver)
    assert (now.status, now.duration) == (model.status, model.duration)
    assert now.timeline.at(driver.now, now.duration) == pytest.approx(model.at(), abs=1e-5)
    assert (now.elapsed_time - model.at()) < 1e-4
    assert model.at() - now.elapsed_time < 1 + 1e-4
    assert driver.replayed() == driver.state
    assert driver.kind.decode_state(1, driver.kind.encode_state(driver.state)) == driver.state
    row = dict.fromkeys(TABLES["audio_sessions"].columns) | msgspec.json.decode(
        msgspec.json.encode(driver.row("audio_sessions"))
    )
    row |= {name: value for name, value in driver.row("audio_sessions").items() if name.endswith("_at")}
    assert showing.of_row(row, driver.now) == now
    runs = driver.state.session.status == "running"
    assert (END in driver.kind.agenda(driver.state).alarms) is runs
    assert (driver.state.session.timeline.anchor_at is not None) is runs
    assert len(now.recipe.voices) <= VOICES_MAX


@given(st.lists(st.sampled_from([*ACTS, *SIGNALS, 0.1, 0.35, 3.7, 11.0]), max_size=25))
def test_whatever_happens_it_is_where_a_stopwatch_says(steps: list[Any]) -> None:
    driver, model = made(), Model(10)
    for step in steps:
        if isinstance(step, float):
            wait(driver, model, step)
        else:
            act(driver, model, step)
        agree(driver, model)


def test_every_three_acts_after_each_other_at_every_distance() -> None:
    for names in itertools.product(["start", "pause", "stop", "quiet", "short", "alarm"], repeat=3):
        for pauses in itertools.product([0.2, 5.0], repeat=3):
            driver, model = made(), Model(10)
            for name, pause in zip(names, pauses, strict=True):
                act(driver, model, name)
                wait(driver, model, pause)
            agree(driver, model)
