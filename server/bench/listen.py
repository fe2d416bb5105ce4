"""Listening: frames that come late or not at all, and what they cost the server, of many listeners to a few sessions.

All listeners are sockets of one account, which the sessions are of. Jitter is how much later than the earliest, relative to its
own position, a frame came: a metronome's would be 0. *Margin* is how long before it sounds the frame was there, which is what a
listener needs: below 0 it was too late. Lost are gaps in the sequence numbers; a listener who hears nothing at all is an error.
CPU is of all of the server's processes with PostgreSQL, in cores; ``generator_cores`` says how busy this process was, since a
full one measures itself.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from ssl import SSLContext
from typing import Any, Final

import httpx
import orjson
from rich.console import Console

from server.bench import show
from server.bench.connections import allow_files, source_address
from server.bench.processes import cpu_s
from server.client import http_url, register, ws_url
from server.client_events import ClientError
from server.sound.frames import CODECS, Name, unpack

try:
    import picows
except ImportError as missing:
    raise ClientError("this bench needs picows: pip install 'sangha[dev]'") from missing

PASSWORD: Final = "correct horse battery staple"
DURATION_S: Final = 3_600
SETTLE_S: Final = 3.0
"""Until the session's lead is over and everybody hears it."""
AT_ONCE: Final = 64


class Listener(picows.WSListener):  # type: ignore[misc]  # picows comes without types
    """A client that listens and counts."""

    def __init__(self, token: str, session: str, codec: Name) -> None:
        self.token, self.session, self.codec = token, session, codec
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on = False
        self.anchor_s = 0.0
        self.arrivals: list[tuple[float, float]] = []
        """When a frame came, and how long before it sounds."""
        self.lost = self.bytes = 0
        self._seq: int | None = None
        self._transport: Any = None

    def on_ws_connected(self, transport: Any) -> None:
        """Say who comes."""
        self._transport = transport
        self._say({"id": 1, "type": "auth", "token": self.token})

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Sound is counted; the rest is what the entrance takes."""
        if frame.msg_type == picows.WSMsgType.BINARY:
            if self.on:
                self._heard(frame.get_payload_as_bytes(), time.time())
        elif frame.msg_type == picows.WSMsgType.TEXT and not self.ready.done():
            self._enter(orjson.loads(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: Any) -> None:
        """The end of it."""
        if not self.ready.done():
            self.ready.set_exception(ClientError("a listener was disconnected while entering"))

    def _heard(self, data: bytes, now_s: float) -> None:
        sound = unpack(data)
        if self._seq is not None:
            self.lost += max(0, sound.seq - self._seq - 1)
        self._seq = sound.seq
        self.bytes += len(data)
        self.arrivals.append((now_s, self.anchor_s + sound.position_s - now_s))

    def _enter(self, reply: dict[str, Any]) -> None:
        if reply["type"] == "error":
            self.ready.set_exception(ClientError(f"a listener was refused: {reply['error']['message']}"))
        elif reply.get("id") == 1:
            self._say({"id": 2, "type": "audio.listen", "session": self.session, "codec": self.codec})
        elif reply.get("id") == 2:
            self.ready.set_result(None)

    def _say(self, message: dict[str, Any]) -> None:
        self._transport.send(picows.WSMsgType.TEXT, orjson.dumps(message))

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.disconnect()


class Studio:
    """An account and its sessions."""

    def __init__(self, url: str, ssl: SSLContext | bool) -> None:
        self._http = httpx.AsyncClient(base_url=http_url(url), verify=ssl, timeout=60)
        self._url, self._ssl = url, ssl
        self.token = ""

    async def open(self) -> None:
        """A new account."""
        tag = uuid.uuid4().hex[:12]
        account = await register(http_url(self._url), f"bench-{tag}@example.org", PASSWORD, verify=self._ssl)
        self.token = account["token"]
        self._http.headers["Authorization"] = f"Bearer {self.token}"

    async def session(self) -> str:
        """A new one, with a singing bowl: eleven modes."""
        fields = {"audio_type": "prayer_bowl", "audio_frequency": 136.1, "duration": DURATION_S}
        return str((await self._post("/api/v1/sessions/", fields))["id"])

    async def start(self, session: str) -> float:
        """It runs; when its position 0 sounds, in epoch seconds."""
        started = await self._post(f"/api/v1/sessions/{session}/start", None)
        return datetime.fromisoformat(started["timeline"]["anchor_at"]).timestamp()

    async def close(self, sessions: Sequence[str]) -> None:
        """Leave nothing that sounds."""
        for session in sessions:
            await self._http.delete(f"/api/v1/sessions/{session}")
        await self._http.aclose()

    async def _post(self, path: str, body: Any) -> Any:
        answer = await self._http.post(path, json=body)
        if not answer.is_success:
            raise ClientError(f"{path}: {answer.json().get('detail', answer.text)}")
        return answer.json()


def figures_of(listeners: Sequence[Listener], seconds: float) -> dict[str, Any]:
    """What came: frames, loss, margin before they sound, jitter."""
    margins = sorted(margin for each in listeners for _, margin in each.arrivals)
    frames, lost = len(margins), sum(each.lost for each in listeners)
    if silent := sum(not each.arrivals for each in listeners):
        raise ClientError(f"{silent} of {len(listeners)} listeners heard nothing")
    best = margins[-1]
    late = sum(margin < 0 for margin in margins)
    return {
        "frames": frames,
        "frames_per_s": round(frames / seconds),
        "mbit_per_s": round(sum(each.bytes for each in listeners) * 8 / seconds / 1e6, 1),
        "lost_percent": round(100 * lost / (frames + lost), 3),
        "too_late_percent": round(100 * late / frames, 3),
        "margin_ms_p50": round(margins[frames // 2] * 1000, 1),
        "margin_ms_p1": round(margins[frames // 100] * 1000, 1),
        "jitter_ms_p50": round((best - margins[frames // 2]) * 1000, 1),
        "jitter_ms_p99": round((best - margins[frames // 100]) * 1000, 1),
    }


async def run(
    url: str,
    *,
    pids: Sequence[int],
    listeners: int = 100,
    sessions: int = 1,
    codec: str = "pcm",
    seconds: float = 10.0,
    ssl: SSLContext | bool = True,
    console: Console | None = None,
) -> dict[str, Any]:
    """``listeners`` sockets, spread over ``sessions`` that run at once. Prints a table, returns it. Raises ClientError.

    ``pids`` are the roots of the server's process trees. Margins need the server's clock to be this machine's.
    """
    name = next((known for known in CODECS if known == codec), None)
    if name is None:
        raise ClientError(f"--codec is one of {', '.join(CODECS)}")
    allow_files(listeners)
    studio = Studio(url, ssl)
    await studio.open()
    ids = [await studio.session() for _ in range(sessions)]
    everyone: list[Listener] = []
    try:
        everyone += await _enter_all(ws_url(url), studio, ids, listeners, name)
        anchors = {id_: await studio.start(id_) for id_ in ids}
        for each in everyone:
            each.anchor_s = anchors[each.session]
        await asyncio.sleep(SETTLE_S)
        for each in everyone:
            each.on = True
        cpu, own, began = cpu_s(pids), time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        for each in everyone:
            each.on = False
        elapsed = time.perf_counter() - began
        cores = {
            "server_cores": round((cpu_s(pids) - cpu) / elapsed, 3),
            "generator_cores": round((time.process_time() - own) / elapsed, 3),
        }
    finally:
        for each in everyone:
            each.close()
        await studio.close(ids)
    figures = {"listeners": len(everyone), "sessions": sessions, **figures_of(everyone, elapsed), **cores}
    show(console, f"listening, {codec}", figures)
    return figures


async def _enter_all(url: str, studio: Studio, sessions: Sequence[str], listeners: int, codec: Name) -> list[Listener]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def enter(number: int) -> Listener:
        listener = Listener(studio.token, sessions[number % len(sessions)], codec)
        source = source_address(url, number)
        options: dict[str, Any] = {} if source is None else {"local_addr": (source, 0)}
        async with gate:
            await picows.ws_connect(lambda: listener, url, proxy=None, **options)
            async with asyncio.timeout(60):
                await listener.ready
        return listener

    return list(await asyncio.gather(*map(enter, range(listeners))))
