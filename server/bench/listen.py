"""Listening: frames that come late or not at all, and what they cost the server, of many listeners to some sessions.

*Late* is how long after it was due a frame came; it is due ``AHEAD_MS`` before it sounds, so one that is later than that is too
late to be heard. Lost are gaps in the sequence numbers; a listener who hears nothing at all is an error. CPU is in cores: of the
gateways, of the shards, and of the rest with PostgreSQL; ``gateway_ms_a_listener`` is milliseconds of CPU a second for each.

The listeners are processes of their own (``ears``), and say how busy they were: a full one measures itself. Each session is an
account's of its own. ``beside``: then once more, beside the load of ``sangha bench fanout``, which this process makes.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from importlib.util import find_spec
from ssl import SSLContext
from typing import Any, Final, NamedTuple

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray
from rich.console import Console

from server.bench import fanout, show
from server.bench.accounts import tokens_of_new_accounts
from server.bench.processes import cpu_s
from server.client import http_url, ws_url
from server.client_events import ClientError
from server.sound.frames import AHEAD_MS, CODECS

DURATION_S: Final = 3_600
SETTLE_S: Final = 3.0
"""Until the session's lead is over and everybody hears it."""
EARS_A_PROCESS: Final = 1_000
"""Their frames of PCM take a third of a core."""
TOLD_S: Final = 90.0


class Load(NamedTuple):
    """The fan-out that is made beside the listening, as ``fanout.run`` has it."""

    rooms: int = 50
    members: int = 12
    rate_per_s: float = 1.0


class Heard(NamedTuple):
    """What all processes counted, for how long, and how busy the busiest was."""

    late_s: NDArray[np.float32]
    lost: int
    bytes: int
    silent: int
    cores: float
    seconds: float


class Ears:
    """One process of listeners."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def order(self, **fields: Any) -> dict[str, Any]:
        """Tell it something; its answer. Raises ClientError."""
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            raise ClientError("the listeners' process has no pipes")
        to.write(orjson.dumps(fields) + b"\n")
        async with asyncio.timeout(TOLD_S):
            line = await back.readline()
        answer: dict[str, Any] = orjson.loads(line) if line else {"error": "the listeners' process ended"}
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer

    async def tell(self) -> tuple[dict[str, Any], bytes]:
        """What it counted, and how late each frame was."""
        counted = await self.order(tell=True)
        if self._process.stdout is None:
            raise ClientError("the listeners' process has no pipes")
        return counted, await self._process.stdout.readexactly(counted["frames"] * np.dtype(np.float32).itemsize)

    async def close(self) -> None:
        """It ends, and all its sockets."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class Studio:
    """Sessions that run, each of an account of its own."""

    def __init__(self, url: str, ssl: SSLContext | bool) -> None:
        self._http = httpx.AsyncClient(base_url=http_url(url), verify=ssl, timeout=60)
        self._url, self._ssl = url, ssl
        self.tokens: dict[str, str] = {}
        """The owner's, by session."""

    async def make(self, sessions: int) -> None:
        """So many, with a singing bowl each: eleven modes."""
        fields = {"audio_type": "prayer_bowl", "audio_frequency": 136.1, "duration": DURATION_S}
        for token in await tokens_of_new_accounts(http_url(self._url), sessions, verify=self._ssl):
            made = await self._post("/api/v1/sessions/", token, fields | {"name": f"bench {uuid.uuid4().hex[:6]}"})
            self.tokens[str(made["id"])] = token

    async def start(self) -> dict[str, float]:
        """All run; when the position 0 of each sounds, in epoch seconds."""
        anchors = {}
        for session, token in self.tokens.items():
            started = await self._post(f"/api/v1/sessions/{session}/start", token, None)
            anchors[session] = datetime.fromisoformat(started["timeline"]["anchor_at"]).timestamp()
        return anchors

    async def close(self) -> None:
        """Leave nothing that sounds."""
        for session, token in self.tokens.items():
            await self._http.delete(f"/api/v1/sessions/{session}", headers=_bearer(token))
        await self._http.aclose()

    async def _post(self, path: str, token: str, body: Any) -> Any:
        answer = await self._http.post(path, json=body, headers=_bearer(token))
        if not answer.is_success:
            raise ClientError(f"{path}: {answer.json().get('detail', answer.text)}")
        return answer.json()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Meter:
    """CPU of the server's processes by role, since it was made."""

    def __init__(self, pids: Sequence[int], topology: Mapping[str, Any]) -> None:
        self._roles = {
            "server": list(pids),
            "gateways": [each["pid"] for each in topology["gateways"]],
            "shards": [each["pid"] for each in topology["shards"]],
        }
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {role: cpu_s(pids) for role, pids in self._roles.items()}

    def cores(self, seconds: float) -> dict[str, float]:
        """Of each role, and of what is none of them."""
        now = self._now()
        spent = {role: (now[role] - self._before[role]) / seconds for role in now}
        rest = spent["server"] - spent["gateways"] - spent["shards"]
        return {"gateways": spent["gateways"], "shards": spent["shards"], "rest": max(rest, 0.0)}


def figures_of(heard: Heard) -> dict[str, Any]:
    """What came: frames, loss, how late. Raises ClientError where someone heard nothing."""
    frames = len(heard.late_s)
    if heard.silent or not frames:
        raise ClientError(f"{heard.silent} listeners heard nothing")
    late_ms = heard.late_s * 1000
    p50, p99 = np.percentile(late_ms, (50, 99))
    return {
        "frames": frames,
        "frames_per_s": round(frames / heard.seconds),
        "mbit_per_s": round(heard.bytes * 8 / heard.seconds / 1e6, 1),
        "lost_percent": round(100 * heard.lost / (frames + heard.lost), 4),
        "too_late_percent": round(100 * float(np.mean(late_ms > AHEAD_MS)), 4),
        "late_ms_p50": round(float(p50), 2),
        "late_ms_p99": round(float(p99), 2),
        "late_ms_max": round(float(late_ms.max()), 2),
        "generator_cores": round(heard.cores, 3),
    }


async def run(
    url: str,
    *,
    pids: Sequence[int],
    status: Callable[[], Awaitable[Mapping[str, Any]]],
    listeners: int = 100,
    sessions: int = 1,
    codec: str = "pcm",
    seconds: float = 10.0,
    processes: int | None = None,
    beside: Load | None = None,
    ssl: SSLContext | bool = True,
    console: Console | None = None,
) -> dict[str, Any]:
    """``listeners`` sockets, spread over ``sessions`` that run at once. Prints a table, returns it. Raises ClientError.

    ``pids`` are the roots of the server's process trees, ``status`` answers its topology. Times need the server's clock to be
    this machine's. ``processes``: of listeners; by itself one for each thousand.
    """
    if codec not in CODECS:
        raise ClientError(f"--codec is one of {', '.join(CODECS)}")
    if find_spec("picows") is None:
        raise ClientError("this bench needs picows: pip install 'sangha[dev]'")
    if sessions > listeners:
        raise ClientError("more sessions than listeners: nobody would hear them")
    async with AsyncExitStack() as stack:
        studio = Studio(url, ssl)
        stack.push_async_callback(studio.close)
        await studio.make(sessions)
        wanted = processes or -(-listeners // EARS_A_PROCESS)
        ears = [await _process(stack) for _ in range(wanted)]
        await _enter(ears, ws_url(url), codec, studio.tokens, listeners)
        anchors = await studio.start()
        await asyncio.sleep(SETTLE_S)
        topology = await status()
        figures = {"listeners": listeners, "sessions": sessions}
        figures |= await _measured(ears, anchors, Meter(pids, topology), seconds, listeners)
        if beside is not None:
            began, load = asyncio.Event(), beside._asdict()
            talk = asyncio.create_task(fanout.run(url, pids=pids, **load, seconds=seconds, began=began))
            await _first(began, talk)
            among = await _measured(ears, anchors, Meter(pids, topology), seconds, listeners)
            figures |= {f"beside_{name}": value for name, value in among.items()}
            figures |= {f"fanout_{name}": value for name, value in (await talk).items()}
    show(console, f"listening, {codec}", figures)
    return figures


async def _process(stack: AsyncExitStack) -> Ears:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.bench.ears", stdin=pipe, stdout=pipe, limit=1 << 20
    )
    ears = Ears(process)
    stack.push_async_callback(ears.close)
    return ears


async def _enter(ears: Sequence[Ears], url: str, codec: str, tokens: Mapping[str, str], listeners: int) -> None:
    """Listeners, spread over the processes."""
    edges = [listeners * n // len(ears) for n in range(len(ears) + 1)]
    orders = [
        each.order(url=url, codec=codec, tokens=dict(tokens), first=first, listeners=end - first)
        for each, first, end in zip(ears, edges, edges[1:], strict=False)
    ]
    await asyncio.gather(*orders)


async def _first(began: asyncio.Event, talk: asyncio.Task[dict[str, Any]]) -> None:
    """The load is made; or its error."""
    waiting = asyncio.create_task(began.wait())
    await asyncio.wait((waiting, talk), return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        await talk


async def _measured(
    ears: Sequence[Ears], anchors: Mapping[str, float], meter: Meter, seconds: float, listeners: int
) -> dict[str, Any]:
    """What is heard from now on for so long, and what it takes."""
    start = time.perf_counter()
    await asyncio.gather(*(each.order(count=anchors) for each in ears))
    await asyncio.sleep(seconds)
    cores = meter.cores(time.perf_counter() - start)
    told = await asyncio.gather(*(each.tell() for each in ears))
    counts = [counted for counted, _ in told]
    late = np.concatenate([np.frombuffer(raw, dtype=np.float32) for _, raw in told])
    totals = {name: sum(counted[name] for counted in counts) for name in ("lost", "bytes", "silent")}
    most = {name: max(counted[name] for counted in counts) for name in ("cores", "seconds")}
    heard = Heard(late, **totals, **most)
    return {
        **figures_of(heard),
        **{f"{role}_cores": round(spent, 3) for role, spent in cores.items()},
        "gateway_ms_a_listener": round(1000 * cores["gateways"] / listeners, 3),
    }
