"""A sandbox's worker: brief rituals beside spinning ones, modules fetched once, poison runs ended at the second death."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import guests
import pytest
import sandbox_child

from actors.ritual import worker
from actors.ritual.engine import SandboxLimits
from actors.ritual.run_marks import LEDGER, MAGIC, RunMarks
from actors.ritual.sandbox import Sandbox
from actors.ritual.values import CheckReport, CheckRequest, RunOutcome, RunRequest, encode, outcome_codec, report_codec
from actors.ritual.worker import GAVE_UP, SandboxHandler
from actors.runtime.errors import ActorUnavailable, NotFound
from actors.runtime.wire import Ask

MODULES = {"good": guests.GOOD, "spin": sandbox_child.SPINNING}


class Catalog:
    """Gives modules when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, ritual: str) -> bytes | None:
        self.asked.append(ritual)
        await self.go.wait()
        if ritual == "away":
            raise ActorUnavailable("away")
        return MODULES.get(ritual)


class Announcing(Sandbox):
    """Says when a run begins on a thread."""

    def __init__(self, limits: SandboxLimits) -> None:
        super().__init__(limits)
        self.loop, self.begun = asyncio.get_running_loop(), asyncio.Queue[str]()

    def run(self, request: RunRequest) -> RunOutcome:
        self.loop.call_soon_threadsafe(self.begun.put_nowait, request.run)
        return super().run(request)


@pytest.fixture
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture
async def handler(tmp_path: Path, catalog: Catalog) -> AsyncIterator[SandboxHandler]:
    handler = SandboxHandler(Sandbox(SandboxLimits(fuel=10**15, deadline_s=60)), catalog, tmp_path / "marks")
    yield handler
    handler.close()


async def run(handler: SandboxHandler, ritual: str = "good", **more: Any) -> RunOutcome:
    request = guests.request(MODULES.get(ritual, guests.GOOD), ritual=ritual, **more)
    return outcome_codec.decode(1, await handler(Ask(1, ritual, encode(request), None, "effect:1")))


async def test_a_module_is_fetched_once_for_all_who_wait_for_it(handler: SandboxHandler, catalog: Catalog) -> None:
    catalog.go.clear()
    runs = [asyncio.create_task(run(handler, run=f"run {number}")) for number in range(5)]
    await asyncio.sleep(0)
    catalog.go.set()
    assert [outcome.code for outcome in await asyncio.gather(*runs)] == [None] * 5
    assert catalog.asked == ["good"]
    assert handler.stats() == {"runs": 5, "brief": 5, "failures": 0, "fuel": 5 * 35, "checks": 0, "modules": 1}


async def test_a_ritual_runs_though_another_with_the_same_module_is_gone(
    handler: SandboxHandler, catalog: Catalog
) -> None:
    catalog.go.clear()
    gone, good = (asyncio.create_task(run(handler, ritual)) for ritual in ("gone", "good"))
    await asyncio.sleep(0)
    catalog.go.set()
    ended = await asyncio.gather(gone, good, return_exceptions=True)
    assert isinstance(ended[0], NotFound)
    assert isinstance(ended[1], RunOutcome)
    assert ended[1].code is None


async def test_a_ritual_that_is_gone_or_cannot_be_had_now_is_an_error_of_the_ask(handler: SandboxHandler) -> None:
    with pytest.raises(NotFound):
        await run(handler, "none")
    with pytest.raises(ActorUnavailable):
        await run(handler, "away")


async def test_other_bytes_than_the_recorded_hash_are_never_run(handler: SandboxHandler) -> None:
    request = RunRequest(run="r", ritual="good", module_hash="0" * 64, state=guests.STATE)
    outcome = outcome_codec.decode(1, await handler(Ask(1, "good", encode(request))))
    assert outcome.code == "ritual_rejected"
    assert "hash" in outcome.message


async def test_brief_rituals_go_on_beside_more_spinning_ones_than_there_are_threads(
    tmp_path: Path, catalog: Catalog
) -> None:
    sandbox = Announcing(SandboxLimits(fuel=10**15, deadline_s=60))
    handler = SandboxHandler(sandbox, catalog, tmp_path / "marks")
    spinning = [asyncio.create_task(run(handler, "spin", run=f"spin {number}")) for number in range(6)]
    begun = {await sandbox.begun.get() for _ in range(4)}
    for _ in range(200):
        assert (await run(handler)).code is None
    assert not any(task.done() for task in spinning)
    await asyncio.get_running_loop().run_in_executor(None, handler.close)
    ended = await asyncio.gather(*spinning, return_exceptions=True)
    codes = {f"spin {number}": getattr(one, "code", None) for number, one in enumerate(ended)}
    assert codes == {name: "ritual_failed" if name in begun else "draining" for name in codes}


async def test_a_check_answers_a_report(handler: SandboxHandler) -> None:
    reply = await handler(Ask(1, "upload", encode(CheckRequest(module=guests.GOOD, required_archetypes=("Wanderer",)))))
    report = report_codec.decode(1, reply)
    assert report.accepted
    assert report.dry_run is not None
    assert report.dry_run.state is not None
    assert report.dry_run.state.archetypes["Wanderer"] == 0.5


async def test_checks_that_wait_are_few(handler: SandboxHandler) -> None:
    ask = Ask(1, "upload", encode(CheckRequest(module=guests.GOOD)))
    ended = await asyncio.gather(*(handler(ask) for _ in range(worker.CHECKS_MAX + 1)), return_exceptions=True)
    assert [type(one) for one in ended] == [bytes] * worker.CHECKS_MAX + [ActorUnavailable]
    assert report_codec.decode(1, await handler(ask)).accepted


async def test_a_run_that_kills_its_sandbox_twice_is_not_run_a_third_time(tmp_path: Path, catalog: Catalog) -> None:
    marks = tmp_path / "marks"
    for _ in range(2):
        child = await asyncio.create_subprocess_exec(
            sys.executable, sandbox_child.__file__, "spin", str(marks), stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"running\n"
        child.send_signal(signal.SIGKILL)
        await child.wait()
    handler = SandboxHandler(Sandbox(SandboxLimits()), catalog, marks)
    outcome = await run(handler, "spin")
    other = await run(handler, "good", run="another run")
    handler.close()
    assert (outcome.code, outcome.message) == ("ritual_failed", GAVE_UP)
    assert other.code is None


class Suspected:
    """A sandbox whose runs end when told to."""

    modules = 1

    def __init__(self) -> None:
        self.under_way: set[str] = set()
        self.most = 0
        self.begun = asyncio.Queue[str]()
        self.go = threading.Event()
        self.loop = asyncio.get_running_loop()

    def has(self, _: str) -> bool:
        return True

    def run_briefly(self, _: RunRequest) -> RunOutcome:
        raise AssertionError("a suspect is not run on the loop")

    def run(self, request: RunRequest) -> RunOutcome:
        self.under_way.add(request.run)
        self.most = max(self.most, len(self.under_way))
        self.loop.call_soon_threadsafe(self.begun.put_nowait, request.run)
        assert self.go.wait(20)
        self.under_way.discard(request.run)
        return RunOutcome(state=request.state)

    def check(self, _: CheckRequest) -> CheckReport:
        raise AssertionError("nobody asks")

    def close(self) -> None:
        self.go.set()


async def test_those_who_were_there_at_a_death_run_one_at_a_time_and_are_forgiven(
    tmp_path: Path, catalog: Catalog
) -> None:
    before = RunMarks(tmp_path / "marks", worker.THREADS + 3)
    before.begin(0, "poison")
    before.begin(3, "neighbour")
    before.close()
    sandbox: Any = Suspected()
    handler = SandboxHandler(sandbox, catalog, tmp_path / "marks")
    tasks = [asyncio.create_task(run(handler, run=name)) for name in ("poison", "neighbour")]
    first = await sandbox.begun.get()
    sandbox.go.set()
    outcomes = await asyncio.gather(*tasks)
    assert first == "poison"
    assert sandbox.most == 1
    assert [outcome.code for outcome in outcomes] == [None, None]
    assert handler._marks.deaths("neighbour") == 0
    handler.close()


def reopened(path: Path, work: Callable[[RunMarks], None] = lambda _: None) -> RunMarks:
    marks = RunMarks(path, 4)
    work(marks)
    marks.close()
    return RunMarks(path, 4)


def test_what_was_under_way_counts_one_death_and_what_had_ended_none(tmp_path: Path) -> None:
    def work(marks: RunMarks) -> None:
        marks.begin(0, "died")
        marks.begin(1, "ended")
        marks.end(1)

    marks = reopened(tmp_path / "marks", work)
    assert (marks.deaths("died"), marks.deaths("ended")) == (1, 0)
    again = reopened(tmp_path / "marks", lambda marks: marks.begin(2, "died"))
    assert again.deaths("died") == 2
    again.forget("died")
    assert reopened(tmp_path / "marks").deaths("died") == 0


def test_the_ledger_keeps_the_newest(tmp_path: Path) -> None:
    for number in range(LEDGER + 2):
        marks = reopened(tmp_path / "marks", lambda marks, number=number: marks.begin(0, f"run {number}"))  # type: ignore[misc]
    assert marks.deaths("run 1") == 0
    assert marks.deaths(f"run {LEDGER + 1}") == 1


@pytest.mark.parametrize("damage", [b"", b"x", MAGIC, MAGIC + b"\xff" * 100, b"\xff" * 20_000])
def test_a_damaged_file_begins_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "marks").write_bytes(damage)
    assert reopened(tmp_path / "marks", lambda marks: marks.begin(0, "run")).deaths("run") == 1
