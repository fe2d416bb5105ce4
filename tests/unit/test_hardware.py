"""The hardware's desk: what is switched on ends, what fails says so, what simulates says that it does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.hardware import values as v
from actors.hardware import worker
from actors.hardware.adapters import HardwareFailure, Simulator
from actors.hardware.serial_port import line_of
from actors.hardware.worker import HardwareHandler
from actors.runtime.codec import from_wire
from actors.runtime.errors import ActorUnavailable, Conflict, Invalid
from actors.runtime.wire import Ask

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Box:
    """Hardware that remembers how it is, and fails when a test says so."""

    name, simulated, present, status = "serial", False, True, "at /dev/box"

    def __init__(self) -> None:
        self.told: list[v.Output] = []
        self.failing: set[str] = set()
        self.changed = asyncio.Event()
        self.closed = False

    async def set(self, output: v.Output, now: datetime) -> None:
        self.changed.set()
        if output.name in self.failing:
            raise HardwareFailure("nothing answered")
        self.told.append(output)

    async def close(self) -> None:
        self.closed = True


class World:
    def __init__(self, adapter: Any = None, **more: Any) -> None:
        self.now = BEGIN
        self.box = adapter or Box()
        options: dict[str, Any] = {"level": 2, "amplifier_connected": True, "now": lambda: self.now} | more
        self.desk = HardwareHandler(self.box, **options)

    async def do(self, command: v.AnyCommand) -> v.Hardware:
        answer = await self.desk(Ask(1, "desk", v.encode(command)))
        return v.hardware_codec.decode(1, answer)

    async def later(self, seconds: float) -> v.Hardware:
        self.now += timedelta(seconds=seconds)
        await self.desk.end_what_is_over()
        return await self.do(v.GetHardware())


async def test_everything_is_off_at_the_beginning_and_the_simulator_says_that_it_is_one() -> None:
    shown = await World(Simulator(), amplifier_connected=False, level=4).do(v.GetHardware())
    assert (shown.simulated, shown.adapter, shown.present, shown.level) == (True, "simulator", False, 4)
    assert "no hardware" in shown.status
    assert [output.on for output in (shown.amplifier, shown.crystal_grid, shown.bass_shaker)] == [False] * 3
    assert (shown.amplifier.connected, shown.crystal_grid.connected) == (False, None)


async def test_what_is_switched_on_has_an_end_and_is_off_after_it() -> None:
    w = World()
    shown = await w.do(v.SetCrystalGrid(on=True, frequency_hz=528, duration_s=60))
    assert (shown.crystal_grid.on, shown.crystal_grid.ends_at) == (True, BEGIN + timedelta(seconds=60))
    await w.do(v.SetBassShaker(on=True))
    assert (await w.later(59)).crystal_grid.on
    shown = await w.later(1)
    assert (shown.crystal_grid.on, shown.crystal_grid.ends_at, shown.bass_shaker.on) == (False, None, True)
    assert not (await w.later(v.DURATION_S)).bass_shaker.on
    assert [(o.name, o.on) for o in w.box.told] == [
        ("crystal_grid", True),
        ("bass_shaker", True),
        ("crystal_grid", False),
        ("bass_shaker", False),
    ]


async def test_the_end_comes_by_itself() -> None:
    w = World(now=lambda: datetime.now(UTC))
    await w.desk._tell([v.Output(name="bass_shaker", on=True, ends_at=datetime.now(UTC) + timedelta(seconds=0.02))])
    w.box.changed.clear()
    async with asyncio.timeout(10):
        await w.box.changed.wait()
    assert w.box.told[-1] == v.Output(name="bass_shaker")
    await w.desk.close()


async def test_a_change_while_it_is_on_is_told_and_moves_the_end() -> None:
    w = World()
    await w.do(v.SetAmplifier(on=True, duration_s=10))
    w.now += timedelta(seconds=9)
    shown = await w.do(v.SetAmplifier(intensity=0.25, duration_s=10))
    assert (shown.amplifier.on, shown.amplifier.intensity) == (True, 0.25)
    assert (await w.later(9)).amplifier.on
    assert not (await w.later(1)).amplifier.on
    assert (await w.do(v.SetAmplifier(intensity=1))).amplifier.ends_at is None  # off stays off


async def test_an_amplifier_that_is_not_connected_is_not_switched_on() -> None:
    w = World(amplifier_connected=False)
    with pytest.raises(Conflict, match="AMPLIFIER_CONNECTED"):
        await w.do(v.SetAmplifier(on=True))
    assert w.box.told == []
    assert (await w.do(v.SetAmplifier(intensity=0.1))).amplifier.intensity == 0.1


async def test_hardware_that_does_not_answer_leaves_the_desk_as_it_was_and_shows_why() -> None:
    w = World()
    w.box.failing = {"crystal_grid"}
    with pytest.raises(ActorUnavailable, match="crystal_grid: nothing answered"):
        await w.do(v.SetCrystalGrid(on=True))
    shown = await w.do(v.GetHardware())
    assert (shown.crystal_grid.on, shown.crystal_grid.error) == (False, "nothing answered")
    w.box.failing = set()
    assert (await w.do(v.SetCrystalGrid(on=True))).crystal_grid.error is None


async def test_an_output_that_cannot_be_switched_off_is_tried_again_until_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "AGAIN_S", 0.01)
    w = World()
    await w.do(v.SetBassShaker(on=True, duration_s=5))
    w.box.failing = {"bass_shaker"}
    shown = await w.later(5)
    assert (shown.bass_shaker.on, shown.bass_shaker.error) == (True, "nothing answered")
    for _ in range(2):
        w.box.changed.clear()
        await w.box.changed.wait()
    w.box.failing = set()
    w.box.changed.clear()
    await w.box.changed.wait()
    assert not (await w.do(v.GetHardware())).bass_shaker.on


async def test_all_off_tries_all_of_them_also_where_one_fails() -> None:
    w = World()
    for command in (v.SetAmplifier(on=True), v.SetCrystalGrid(on=True), v.SetBassShaker(on=True)):
        await w.do(command)
    w.box.failing = {"crystal_grid"}
    with pytest.raises(ActorUnavailable):
        await w.do(v.AllOff())
    shown = await w.do(v.GetHardware())
    assert (shown.amplifier.on, shown.crystal_grid.on, shown.bass_shaker.on) == (False, True, False)
    w.box.failing = set()
    await w.desk.close()
    assert (w.box.told[-1], w.box.closed) == (v.Output(name="crystal_grid", frequency_hz=136.1), True)


async def test_a_level_is_kept_and_tells_the_hardware_nothing() -> None:
    w = World()
    assert (await w.do(v.SetLevel(level=5))).level == 5
    assert (await w.do(v.GetHardware())).level == 5
    assert w.box.told == []


@pytest.mark.parametrize(
    ("command", "fields", "path"),
    [
        (v.SetLevel, {"level": 0}, "level"),
        (v.SetLevel, {"level": 6}, "level"),
        (v.SetLevel, {}, "level"),
        (v.SetAmplifier, {"intensity": 1.1}, "intensity"),
        (v.SetAmplifier, {"intensity": float("nan")}, "intensity"),
        (v.SetCrystalGrid, {"frequency_hz": 0}, "frequency_hz"),
        (v.SetCrystalGrid, {"frequency_hz": 1e9}, "frequency_hz"),
        (v.SetBassShaker, {"frequency_hz": 440}, "frequency_hz"),
        (v.SetBassShaker, {"duration_s": 0}, "duration_s"),
        (v.SetBassShaker, {"duration_s": 31_536_000}, "duration_s"),
        (v.SetBassShaker, {"on": "yes"}, "on"),
    ],
)
def test_what_is_out_of_bounds_is_invalid_with_its_path(command: Any, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_wire(command, fields)
    assert refused.value.errors[0].path == path


def test_a_line_says_for_how_long_so_that_the_hardware_can_end_it_alone() -> None:
    on = v.Output(name="bass_shaker", on=True, intensity=0.3, frequency_hz=40, ends_at=BEGIN + timedelta(seconds=59.2))
    assert line_of(on, BEGIN) == b"SET bass_shaker 1 0.300 40.00 60\n"
    assert line_of(v.Output(name="amplifier"), BEGIN) == b"SET amplifier 0 0.500 - 0\n"
