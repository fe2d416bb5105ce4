"""Many who listen, in a process of their own (``python -m server.bench.ears``), so that a bench measures the server, not itself.

It is told what to do by lines of JSON on its standard input, and answers each on its standard output:

    {"url", "codec", "tokens": {session: token}, "first", "listeners"}   enter              → {"entered": n}
    {"count": {session: epoch seconds at which its position 0 sounds}}   begin to count     → {"counting": n}
    {"tell": true}                                                       end of the count   → what was counted, then raw bytes

What was counted is ``frames``, ``lost``, ``bytes``, ``silent`` (who heard nothing), ``seconds``, ``cores``; the raw bytes are a
float32 a frame: how many seconds after it was due it came. A frame is due ``AHEAD_MS`` before it sounds. An error is
{"error": words}, and the last.

Of a frame no more is read than its number and its position. Listener *n* listens to session *n* modulo their number.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from array import array
from collections.abc import Mapping
from typing import Any, Final

import orjson
import picows

from actors.runtime.errors import SanghaError
from server.bench.connections import allow_files, source_address
from server.client_events import ClientError
from server.sound.frames import AHEAD_MS, CODECS

try:
    from uvloop import run
except ImportError:
    from asyncio import run

AT_ONCE: Final = 64
"""Who enters at the same time."""
ENTRANCE_S: Final = 60
_PLACE: Final = struct.Struct(">8xIQ")
"""Of a frame's header: its number and its position in samples."""
_READ: Final = 1 << 20


class Tally:
    """What all listeners of this process heard while ``on``."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.on = False
        self.late = array("f")
        self.lost = self.bytes = 0
        self._cpu_s = self._began = 0.0

    def begin(self) -> None:
        """From nothing."""
        self.late = array("f")
        self.lost = self.bytes = 0
        self._cpu_s, self._began = time.process_time(), time.perf_counter()
        self.on = True

    def end(self, silent: int) -> dict[str, Any]:
        """What was counted."""
        self.on = False
        seconds = time.perf_counter() - self._began
        cores = (time.process_time() - self._cpu_s) / seconds
        return {
            "frames": len(self.late), "lost": self.lost, "bytes": self.bytes, "silent": silent, "seconds": seconds,
            "cores": cores,
        }  # fmt: skip


class Ear(picows.WSListener):  # type: ignore[misc]  # picows comes without types
    """One socket that listens to one session."""

    def __init__(self, tally: Tally, token: str, session: str, codec: str) -> None:
        self.session, self.ready = session, asyncio.get_running_loop().create_future()
        self._tally, self._token, self._codec = tally, token, codec
        self._due_at_0 = 0.0
        self._seq: int | None = None
        self._transport: Any = None

    @property
    def silent(self) -> bool:
        """Whether nothing was heard since ``count``."""
        return self._seq is None

    def count(self, sounds_at: float) -> None:
        """Count from now on. ``sounds_at``: when position 0 sounds, in epoch seconds."""
        self._due_at_0, self._seq = sounds_at - AHEAD_MS / 1000, None

    def on_ws_connected(self, transport: Any) -> None:
        """Say who comes."""
        self._transport = transport
        self._say({"id": 1, "type": "auth", "token": self._token})

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Sound is counted; the rest is what the entrance takes."""
        if frame.msg_type == picows.WSMsgType.BINARY:
            if self._tally.on:
                self.heard(frame.get_payload_as_memoryview(), time.time())
        elif frame.msg_type == picows.WSMsgType.TEXT and not self.ready.done():
            self._enter(orjson.loads(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: Any) -> None:
        """The end of it."""
        if not self.ready.done():
            self.ready.set_exception(ClientError("a listener was disconnected while entering"))

    def heard(self, data: bytes | memoryview, now_s: float) -> None:
        """One frame."""
        seq, position = _PLACE.unpack_from(data)
        tally, before = self._tally, self._seq
        if before is not None and seq > before + 1:
            tally.lost += seq - before - 1
        self._seq = seq
        tally.bytes += len(data)
        tally.late.append(now_s - self._due_at_0 - position / tally.rate)

    def _enter(self, reply: dict[str, Any]) -> None:
        if reply["type"] == "error":
            self.ready.set_exception(ClientError(f"a listener was refused: {reply['error']['message']}"))
        elif reply.get("id") == 1:
            self._say({"id": 2, "type": "audio.listen", "session": self.session, "codec": self._codec})
        elif reply.get("id") == 2:
            self.ready.set_result(None)

    def _say(self, message: dict[str, Any]) -> None:
        self._transport.send(picows.WSMsgType.TEXT, orjson.dumps(message))


async def enter(brief: Mapping[str, Any], tally: Tally) -> list[Ear]:
    """All listeners of this process, once they hear. Raises ClientError."""
    gate, tokens = asyncio.Semaphore(AT_ONCE), brief["tokens"]
    sessions = list(tokens)

    async def one(number: int) -> Ear:
        session = sessions[number % len(sessions)]
        ear = Ear(tally, tokens[session], session, brief["codec"])
        source = source_address(brief["url"], number)
        options: dict[str, Any] = {} if source is None else {"local_addr": (source, 0)}
        async with gate, asyncio.timeout(ENTRANCE_S):
            await picows.ws_connect(lambda: ear, brief["url"], proxy=None, **options)
            await ear.ready
        return ear

    allow_files(brief["listeners"])
    first = brief["first"]
    return list(await asyncio.gather(*map(one, range(first, first + brief["listeners"]))))


async def obey(orders: asyncio.StreamReader) -> None:
    """See the module; until nothing more is ordered."""
    ears: list[Ear] = []
    tally = Tally(1)
    while line := await orders.readline():
        order = orjson.loads(line)
        if "url" in order:
            tally = Tally(CODECS[order["codec"]].rate)  # the bench has looked that there is such a one
            ears = await enter(order, tally)
            _answer({"entered": len(ears)})
        elif "count" in order:
            for ear in ears:
                ear.count(order["count"][ear.session])
            tally.begin()
            _answer({"counting": len(ears)})
        else:
            counted = tally.end(sum(ear.silent for ear in ears))
            _answer(counted, tally.late.tobytes())


def _answer(fields: Mapping[str, Any], raw: bytes = b"") -> None:
    sys.stdout.buffer.write(orjson.dumps(dict(fields)) + b"\n" + raw)
    sys.stdout.buffer.flush()


async def _main() -> None:
    orders = asyncio.StreamReader(limit=_READ)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin.buffer)
    try:
        await obey(orders)
    except (SanghaError, OSError, TimeoutError) as why:
        _answer({"error": str(why) or type(why).__name__})


if __name__ == "__main__":
    run(_main())
