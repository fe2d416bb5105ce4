"""The serial adapter against a box at the other end of a pseudo-terminal, and the desk over HTTP through a gateway."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from gateway_fakes import ALICE, World, world

from actors.hardware import values as v
from actors.hardware.adapters import HardwareFailure, Simulator
from actors.hardware.serial_port import LINE_MAX, SerialPort
from actors.hardware.worker import HardwareHandler
from actors.runtime.errors import SanghaError
from actors.runtime.wire import Answer, Refused
from server.hardware_host import adapter_of
from server.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ON = v.Output(name="crystal_grid", on=True, frequency_hz=528.0)
PREFIX = "/api/v1/hardware"


class Box:
    """A microcontroller: reads lines, answers with what the test says (None: nothing)."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        self.lines: list[bytes] = []
        self.answers: Callable[[bytes], bytes | None] = lambda _: b"OK\n"
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        rest = b""
        while self._wake[0] not in select.select([self.master, self._wake[0]], [], [])[0]:
            *lines, rest = (rest + os.read(self.master, 4_096)).split(b"\n")
            for line in lines:
                self.lines.append(line)
                if (answer := self.answers(line)) is not None:
                    os.write(self.master, answer)

    def unplug(self) -> None:
        """Both ends go; whoever still has the port open sees that it is gone."""
        if self._thread.is_alive():
            os.write(self._wake[1], b"x")
            self._thread.join()
            for end in (self.slave, self.master, *self._wake):
                os.close(end)


@pytest.fixture
def box() -> Iterator[Box]:
    found = Box()
    yield found
    found.unplug()


async def fails(port: SerialPort, output: v.Output = ON) -> str:
    with pytest.raises(HardwareFailure) as failure:
        await port.set(output, NOW)
    return str(failure.value)


async def test_a_box_is_told_line_by_line(box: Box) -> None:
    port = SerialPort(box.path)
    assert (port.simulated, port.present) == (False, False)
    await port.set(ON, NOW)
    await port.set(v.Output(name="amplifier"), NOW)
    assert box.lines == [b"SET crystal_grid 1 0.500 528.00 0", b"SET amplifier 0 0.500 - 0"]
    assert (port.present, port.status) == (True, f"at {box.path}")
    await port.close()


async def test_what_a_box_refuses_is_said_in_its_words_made_fit_to_be_shown(box: Box) -> None:
    box.answers = lambda _: b"ERR too \x07 hot\n"
    port = SerialPort(box.path)
    assert await fails(port) == "it refused: too ? hot"
    assert port.present
    box.answers = lambda _: b"ERR\n"
    assert await fails(port) == "it refused: it did not say why"
    await port.close()


async def test_a_box_that_is_silent_or_babbles_is_not_waited_for(box: Box) -> None:
    port = SerialPort(box.path, timeout_s=0.1)
    box.answers = lambda _: None
    assert await fails(port) == f"nothing answered at {box.path} within 0.1 s"
    assert not port.present
    box.answers = lambda _: b"x" * (LINE_MAX + 1)
    assert "nothing answered" in await fails(port)
    box.answers = lambda _: b"OK\n"
    await port.set(ON, NOW)  # and it is found again, without what was left of before
    assert port.present
    await port.close()


async def test_a_port_that_is_not_there_or_goes_away_is_told(box: Box) -> None:
    assert "/dev/no-such-port" in await fails(SerialPort("/dev/no-such-port"))
    port = SerialPort(box.path, timeout_s=0.1)
    await port.set(ON, NOW)
    box.unplug()
    assert box.path in await fails(port)
    assert not port.present
    await port.close()


def test_the_setting_names_the_adapter() -> None:
    assert isinstance(adapter_of(Settings(_env_file=None)), Simulator)
    assert isinstance(adapter_of(Settings(_env_file=None, hardware_port="/dev/ttyUSB0")), SerialPort)


# Over HTTP


class Desk:
    """The way from a gateway to a desk in this process."""

    def __init__(self, here: World, handler: HardwareHandler) -> None:
        self.handler = handler
        link = here.shards.link
        here.shards.link = lambda to: self if to.kind == "hardware" else link(to)  # type: ignore

    def once(self, cid: int) -> str:
        return f"link:{cid}"

    def ask(self, make: Callable[[int], Any], on_answer: Callable[[Any], None]) -> None:
        task = asyncio.ensure_future(self.handler(make(1)))

        def answered(done: asyncio.Task[bytes]) -> None:
            failure = done.exception()
            if isinstance(failure, SanghaError):
                on_answer(Refused(1, failure.code, failure.message))
            else:
                on_answer(Answer(1, done.result()))

        task.add_done_callback(answered)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with world() as here:
        here.queries.login("alice", ALICE)
        handler = HardwareHandler(Simulator(), level=2, amplifier_connected=False)
        Desk(here, handler)
        headers = {"Authorization": "Bearer alice"}
        async with httpx.AsyncClient(base_url=here.http + PREFIX, headers=headers) as client:
            yield client
        await handler.close()


async def test_the_desk_is_served_and_says_that_it_is_simulated(http: httpx.AsyncClient) -> None:
    body = (await http.get("/status")).json()
    assert (body["simulated"], body["level"], body["amplifier"]["connected"]) == (True, 2, False)
    assert (await http.post("/level", json={"level": 4})).json() == {"level": 4, "simulated": True}
    assert (await http.get("/level")).json() == {"level": 4, "simulated": True}
    body = (await http.post("/crystal-grid", json={"on": True, "frequency_hz": 528, "duration_s": 60})).json()
    assert (body["crystal_grid"]["on"], body["crystal_grid"]["frequency_hz"], body["simulated"]) == (True, 528, True)
    assert (await http.post("/bass-shaker", json={"on": True})).json()["bass_shaker"]["ends_at"] is not None
    body = (await http.post("/off")).json()
    assert (body["crystal_grid"]["on"], body["bass_shaker"]["on"]) == (False, False)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/level", {"level": 9}, 422, "invalid"),
        ("/level", {}, 422, "invalid"),
        ("/amplifier", {"on": True}, 409, "conflict"),
        ("/amplifier", {"intensity": 2}, 422, "invalid"),
        ("/bass-shaker", {"frequency_hz": 1e9}, 422, "invalid"),
        ("/crystal-grid", {"duration_s": 1e9}, 422, "invalid"),
    ],
)
async def test_what_cannot_be_is_refused(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await http.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_without_a_login_nothing_is_switched(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", "/status"), ("POST", "/off"), ("POST", "/level"), ("POST", "/bass-shaker")):
        answer = await http.request(method, path, headers={"Authorization": ""}, json={})
        assert answer.status_code == 401
