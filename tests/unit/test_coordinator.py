"""Who is silent, and who only seems so."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
import pytest

from actors.runtime import coordinator
from actors.runtime.coordinator import PROBE_S, SILENCE_S, START_S, Do, Watch, Watcher
from actors.runtime.placement import Gone, NoAnswer, Restarting

HERE, ELSEWHERE = "node 1", "node 2"


class Actors:
    """One target whose answers are given; remembers whom it was told to kill. An answer takes ``takes_s``."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answer: Any = {"pid": os.getpid(), "started": psutil.Process().create_time(), "node": ELSEWHERE}
        self.takes_s = 0.0
        self.killed: list[str] = []
        self.restart = True
        self.waited_s: dict[int, float] = {}
        """By process, how long its thread has waited for a processor."""

    def clock(self) -> float:
        return self.now

    async def call(self, name: str, method: str, *args: Any, timeout_s: float = 1.0) -> Any:
        self.now += self.takes_s + (timeout_s if isinstance(self.answer, NoAnswer) else 0.0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def waits(self, pid: int) -> dict[int, float]:
        return {pid: self.waited_s[pid]} if pid in self.waited_s else {}

    async def kill(self, name: str, *, restart: bool) -> None:
        assert restart is self.restart
        self.killed.append(name)


@pytest.fixture
def actors() -> Actors:
    return Actors()


@pytest.fixture
def watcher(actors: Actors) -> Watcher:
    return Watcher(actors, HERE, actors.clock, waits=actors.waits)


async def rounds(watcher: Watcher, actors: Actors, number: int, apart_s: float = PROBE_S) -> None:
    """So many rounds, a second between them. One without an answer takes a second."""
    for _ in range(number):
        await watcher.probe_all(["space/0"])
        actors.now += apart_s


async def test_who_answers_is_left_alone(watcher: Watcher, actors: Actors) -> None:
    await rounds(watcher, actors, 60)
    assert actors.killed == []
    assert watcher.status == {"space/0": actors.answer}


async def test_who_is_silent_is_killed_once_and_then_has_time_to_start(watcher: Watcher, actors: Actors) -> None:
    await rounds(watcher, actors, 1)
    actors.answer = NoAnswer("silence")
    await rounds(watcher, actors, 1)
    assert actors.killed == []
    asked_at = actors.now - 2 * PROBE_S
    await rounds(watcher, actors, 1)
    assert actors.killed == ["space/0"]
    assert actors.now - PROBE_S - asked_at == SILENCE_S
    await rounds(watcher, actors, int(START_S / (2 * PROBE_S)))
    assert len(actors.killed) == watcher.takeovers["space"] == 1
    await rounds(watcher, actors, 1)
    assert len(actors.killed) == watcher.takeovers["space"] == 2


async def test_who_is_silent_on_this_node_is_killed_by_its_pid(
    watcher: Watcher, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(coordinator.os, "kill", lambda pid, number: sent.append((pid, number)))
    actors.answer |= {"node": HERE}
    await rounds(watcher, actors, 1)
    actors.answer = NoAnswer("silence")
    await rounds(watcher, actors, 4)
    assert sent == [(os.getpid(), signal.SIGKILL)]
    assert actors.killed == []


async def test_a_pid_that_is_another_processs_by_now_is_left_alone(
    watcher: Watcher, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(coordinator.os, "kill", lambda pid, number: sent.append((pid, number)))
    actors.answer |= {"node": HERE, "started": 1.0}
    await rounds(watcher, actors, 1)
    actors.answer = NoAnswer("silence")
    await rounds(watcher, actors, 4)
    assert (sent, actors.killed) == ([], [])


@pytest.mark.parametrize(("node", "waiting"), [(HERE, 1), (ELSEWHERE, os.getpid())])
async def test_who_gets_no_processor_is_not_silent_until_it_lasts_as_long_as_a_start(
    watcher: Watcher, actors: Actors, node: str, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target on this node, or the watcher itself: nine tenths of the time since the first probe without an answer."""
    sent: list[int] = []
    monkeypatch.setattr(coordinator.os, "kill", lambda pid, _: sent.append(pid))
    monkeypatch.setattr(coordinator, "_runs", lambda _: True)
    actors.answer |= {"node": node, "pid": 1}
    actors.waited_s = {waiting: 1_000.0}
    await rounds(watcher, actors, 1)
    actors.answer = NoAnswer("silence")
    asked_at = actors.now
    while (sent, actors.killed) == ([], []):
        actors.waited_s[waiting] += 0.9 * 2 * PROBE_S
        await rounds(watcher, actors, 1)
    assert START_S < actors.now - asked_at <= START_S + SILENCE_S + 2 * PROBE_S
    assert (sent, actors.killed) == (([1], []) if node == HERE else ([], ["space/0"]))


async def test_what_any_thread_waits_now_and_then_is_no_excuse(watcher: Watcher, actors: Actors) -> None:
    await rounds(watcher, actors, 1)
    actors.answer = NoAnswer("silence")
    for n in range(2):
        actors.waited_s = {os.getpid(): 0.3 * n}
        await rounds(watcher, actors, 1)
    assert actors.killed == ["space/0"]


async def test_what_it_waited_before_it_answered_last_is_no_excuse(watcher: Watcher, actors: Actors) -> None:
    for waited_s in (0.0, 2.0, 4.0):
        actors.waited_s = {os.getpid(): waited_s}
        actors.answer = NoAnswer("silence")
        await rounds(watcher, actors, 1)
    actors.answer = {"pid": 1, "started": 1.0, "node": ELSEWHERE}
    await rounds(watcher, actors, 1)
    actors.answer = NoAnswer("silence")
    await rounds(watcher, actors, 2)
    assert actors.killed == ["space/0"]


async def test_a_watcher_that_comes_late_counts_no_silence_of_whom_it_did_not_ask(
    watcher: Watcher, actors: Actors
) -> None:
    """Its rounds are 2.9 s apart: on a busy machine other work holds it up."""
    await rounds(watcher, actors, 2, apart_s=2.9)
    actors.answer = NoAnswer("silence")
    await rounds(watcher, actors, 1, apart_s=2.9)
    assert actors.killed == []
    await rounds(watcher, actors, 1)
    assert actors.killed == ["space/0"]


async def test_who_is_restarting_has_time_to_start(watcher: Watcher, actors: Actors) -> None:
    await rounds(watcher, actors, 1)
    actors.answer = Restarting("soon")
    await rounds(watcher, actors, 1)
    actors.answer = NoAnswer("silence")
    await rounds(watcher, actors, int(START_S / (2 * PROBE_S)) - 1)
    assert actors.killed == []


async def test_a_restart_that_never_ends_is_tried_again(watcher: Watcher, actors: Actors) -> None:
    await rounds(watcher, actors, 1)
    actors.answer = NoAnswer("silence")
    await rounds(watcher, actors, 2 + 2 * (int(START_S / (2 * PROBE_S)) + 1))
    assert len(actors.killed) == 3


async def test_who_is_gone_is_forgotten(watcher: Watcher, actors: Actors) -> None:
    await rounds(watcher, actors, 1)
    actors.answer = Gone("for good")
    await rounds(watcher, actors, 10)
    assert watcher.status == {}
    assert actors.killed == []


@pytest.mark.parametrize("while_asking", [True, False])
async def test_a_watcher_that_was_stopped_itself_kills_nobody_for_it(
    watcher: Watcher, actors: Actors, while_asking: bool
) -> None:
    """A minute passes while it is stopped; the one answer that it missed is no minute of silence."""
    await rounds(watcher, actors, 2)
    if while_asking:
        actors.takes_s = 60.0
    else:
        actors.now += 60.0
    actors.answer = NoAnswer("the time was up when it woke")
    await rounds(watcher, actors, 1)
    actors.takes_s = 0.0
    assert actors.killed == []
    await rounds(watcher, actors, 1)
    assert actors.killed == ["space/0"]


DEVICE = "audio/default"


@pytest.fixture
def bound(actors: Actors) -> Watcher:
    """Of a device, which may not be everywhere: nobody but who needs it starts it anew."""
    actors.restart = False
    return Watcher(actors, HERE, actors.clock, lambda kind: kind == "audio", actors.waits)


async def test_who_may_not_be_everywhere_is_ended_at_once_where_its_node_is_lost(
    bound: Watcher, actors: Actors
) -> None:
    await bound.probe_all([DEVICE, "space/0"])
    await bound.end_stranded({HERE, ELSEWHERE})
    assert actors.killed == []
    await bound.end_stranded({HERE})
    assert actors.killed == [DEVICE]
    assert list(bound.status) == ["space/0"], "Ray starts it on another node"
    await bound.end_stranded({HERE})
    assert actors.killed == [DEVICE], "once"


@pytest.mark.parametrize("answer", [Restarting("for ever"), NoAnswer("it waits for its node")])
async def test_who_waits_for_a_node_that_nobody_knew_is_ended_after_a_while(
    bound: Watcher, actors: Actors, answer: Exception
) -> None:
    actors.answer = answer
    while actors.now <= START_S + 2:
        await bound.probe_all([DEVICE])
        actors.now += 1.0
    assert actors.killed == [DEVICE]


def test_patience_begins_with_that_of_a_start() -> None:
    watch, rounds = Watch(), int(START_S / (2 * PROBE_S))
    watch.asks(100.0)
    said = [watch.missed(100.0 + PROBE_S + n * 2 * PROBE_S, {}) for n in range(rounds + 1)]
    assert said == [Do.NOTHING] * rounds + [Do.KILL]
