"""The documented conversation, had with a real server: every answer and push is compared with the example, or recorded anew.

Ids, times, hashes, tokens and durations are others each time: an example's id stands for a real one from where it is first seen.
Run (``python tests/integration/conversation.py``), it has the conversation and writes what the server said into
``server/ws/examples.json``. A new step there needs its ``by`` and ``request`` (or ``http``), and of each push that is to follow
``to`` and ``push``: ``{"message": NAME}``. The ids in it are those that stand in earlier steps.
"""

from __future__ import annotations

import asyncio
import math
import re
import sys
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

sys.path.append(str(Path(__file__).parents[1] / "faults"))

from harness import RunningServer

from server.ws import examples
from server.ws.examples import Step, Told, message_of

ENVIRONMENT = {"SANGHA_RITUAL_FUEL": str(10**11), "SANGHA_PLAYOUTS": "1"}
"""For the ritual that is slow enough to be ended while it runs; for the session that nobody can hear beside another."""
HEARD_S = 60.0
RETRY_S = 0.25

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
HASH = re.compile(r"[0-9a-f]{64}")
NOBODYS = re.compile(r"[a-z]+-[0-9a-f]{32}@sangha\.invalid")
"""The address of an account that nobody logs in to: made of the cluster's secret."""
OPAQUE = frozenset({"session", "secret", "token"})
"""Fields with text that means something to the server alone."""
MEASURED = frozenset(
    {
        *("fuel", "duration_ms", "duration_s", "retry_after_ms", "start_time", "elapsed_time"),
        *("frequencies", "amplitudes", "bands", "position_s"),
    }
)


class Different(AssertionError):
    """What the server said is not what the example says."""


class Names:
    """Which real id or token an example's stands for."""

    def __init__(self) -> None:
        self.real: dict[str, str] = {}
        self.shown: dict[str, str] = {}

    def know(self, shown: str, real: str) -> None:
        if self.real.setdefault(shown, real) != real or self.shown.setdefault(real, shown) != shown:
            raise Different(f"{real} is not {shown}")

    def copy(self) -> Names:
        copied = Names()
        copied.real, copied.shown = dict(self.real), dict(self.shown)
        return copied

    def to_real(self, value: Any) -> Any:
        """A request as it is sent."""
        return _translated(value, self.real)

    def to_shown(self, shown: Any, real: Any) -> Any:
        """A frame as it is to be shown: with the ids of the example that there was, and otherwise its own."""
        self._meet(shown, real)
        for name in (*UUID.findall(orjson.dumps(real).decode()), *_opaque(real)):
            if name not in self.shown:
                self.know(name, name)
        return _translated(real, self.shown)

    def _meet(self, shown: Any, real: Any, key: str = "") -> None:
        """Learn what can be learned, however much else has changed."""
        if isinstance(shown, dict) and isinstance(real, dict):
            for name in shown.keys() & real.keys():
                self._meet(shown[name], real[name], name)
        elif isinstance(shown, list) and isinstance(real, list):
            for one, other in zip(shown, real, strict=False):
                self._meet(one, other, key)
        elif isinstance(shown, str) and isinstance(real, str):
            with suppress(Different):
                _compare_text(shown, real, self, key)


def _opaque(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [each for key, each in value.items() if key in OPAQUE and isinstance(each, str)]
        return own + [found for each in value.values() for found in _opaque(each)]
    return [found for each in value for found in _opaque(each)] if isinstance(value, list) else []


def _translated(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {_translated(key, names): _translated(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_translated(each, names) for each in value]
    if isinstance(value, str):
        return names.get(value) or UUID.sub(lambda id_: names.get(id_[0], id_[0]), value)
    return value


def compare(shown: Any, real: Any, names: Names, key: str = "") -> None:
    """Raises Different; learns which id stands for which."""
    if isinstance(shown, dict) and isinstance(real, dict):
        real = {names.shown.get(name, name): each for name, each in real.items()}
        if shown.keys() != real.keys():
            raise Different(f"{key}: {sorted(real)} is not {sorted(shown)}")
        for name, each in shown.items():
            compare(each, real[name], names, name)
    elif isinstance(shown, list) and isinstance(real, list) and (key in MEASURED or len(shown) == len(real)):
        for one, other in zip(shown, real, strict=False):
            compare(one, other, names, key)
    elif isinstance(shown, str) and isinstance(real, str):
        _compare_text(shown, real, names, key)
    elif isinstance(shown, float | int) and isinstance(real, float | int) and type(shown) is not bool:
        if key not in MEASURED and not math.isclose(shown, real, abs_tol=1e-9):
            raise Different(f"{key}: {real} is not {shown}")
    elif shown != real:
        raise Different(f"{key}: {real!r} is not {shown!r}")


def _compare_text(shown: str, real: str, names: Names, key: str) -> None:
    if key in OPAQUE:
        names.know(shown, real)
    elif not any(form.fullmatch(shown) and form.fullmatch(real) for form in (TIME, HASH, NOBODYS)):
        ids, others = UUID.findall(shown), UUID.findall(real)
        if len(ids) != len(others) or UUID.sub("", shown) != UUID.sub("", real):
            raise Different(f"{key}: {real!r} is not {shown!r}")
        for id_, other in zip(ids, others, strict=True):
            names.know(id_, other)


class Line:
    """One socket: answers by id, and the pushes that nobody has looked for yet."""

    def __init__(self, socket: ClientConnection, frames: list[tuple[str, Any]]) -> None:
        self._socket = socket
        self._frames = frames
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._asked: dict[int, str] = {}
        self.pushes: list[Any] = []
        self.news = asyncio.Condition()
        self.closed: int | None = None
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                data = await self._socket.recv()
                if isinstance(data, bytes):
                    continue  # sound
                frame = orjson.loads(data)
                self._frames.append((message_of(frame, self._asked.get(frame.get("id"), "")), frame))
                if "id" in frame:
                    self._answers[frame["id"]].set_result(frame)
                    continue
                async with self.news:
                    self.pushes.append(frame)
                    self.news.notify_all()
        except ConnectionClosed as closed:
            self.closed = closed.rcvd.code if closed.rcvd else None

    async def ask(self, request: dict[str, Any]) -> Any:
        answer = self._answers[request["id"]] = asyncio.get_running_loop().create_future()
        self._asked[request["id"]] = request["type"]
        await self._socket.send(orjson.dumps(request).decode())
        async with asyncio.timeout(HEARD_S):
            return await answer

    async def gone(self) -> None:
        """Until the server has closed it."""
        async with asyncio.timeout(HEARD_S):
            await self._reader

    async def end(self) -> None:
        await self._socket.close()
        await self._reader


class Conversation:
    """With one server. ``frames`` has every frame that it sent, with the name of its message."""

    def __init__(self, server: RunningServer, *, record: bool = False) -> None:
        self.server, self.record = server, record
        self.names = Names()
        self.lines: dict[str, Line] = {}
        self.tokens: dict[str, str] = {}
        self.frames: list[tuple[str, Any]] = []
        self._ids: dict[str, int] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        client = httpx.AsyncClient(base_url=self.server.url, timeout=60)
        self._http = await self._stack.enter_async_context(client)
        self.tokens["operator"] = (self.server.data_dir / "admin.token").read_text().strip()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self.lines.values():
            await line.end()
        await self._stack.aclose()

    async def have(self, step: Step) -> Step:
        """One step. Returns it as it was this time. Raises Different."""
        if step.does == "disconnect":
            await self.lines.pop(step.by).end()
        elif step.does == "drain":
            assert await self.server.stop() == 0
        elif step.http is not None:
            step.answer = self._settled(step.answer, await self._over_http(step), step)
        elif step.request is not None:
            step.answer = self._settled(step.answer, await self._over_socket(step), step)
        for told in step.pushes:
            await self._hear(told)
        return step

    def _settled(self, shown: Any, real: Any, step: Step) -> Any:
        if self.record:
            return self.names.to_shown(shown, real)
        try:
            compare(shown, real, self.names)
        except Different as different:
            raise Different(f"{step.request or step.http}: {different} in {real}") from None
        return shown

    async def _over_http(self, step: Step) -> Any:
        asked = step.http
        assert asked is not None
        token = asked.token or self.tokens.get(step.by)
        headers = {"Authorization": f"Bearer {self.names.to_real(token)}"} if token else {}
        path, body = self.names.to_real(asked.path), self.names.to_real(asked.body)
        url = path if path.startswith("/eustress/") else f"/api{path}"
        answer = await self._http.request(asked.method, url, headers=headers, json=body)
        assert answer.is_success, answer.text
        shown = ("id",) if path.startswith("/v1/sessions/") and asked.method == "POST" else ("token",)
        said = {name: each for name, each in (answer.json() if answer.content else {}).items() if name in shown}
        if path == "/users/register":
            self.tokens[step.by] = said["token"]
        return said

    async def _over_socket(self, step: Step) -> Any:
        if step.by not in self.lines:
            socket = await connect(self.server.url.replace("http", "ws") + "/ws")
            self.lines[step.by] = Line(socket, self.frames)
        assert step.request is not None
        if self.record:
            self._ids[step.by] = self._ids.get(step.by, 0) + 1
            step.request = {"id": self._ids[step.by], **{k: v for k, v in step.request.items() if k != "id"}}
        request = self.names.to_real(step.request)
        if "at" in request:
            request["at"] = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        return await self._answered(self.lines[step.by], request)

    @staticmethod
    async def _answered(line: Line, request: dict[str, Any]) -> Any:
        """The answer; what a busy machine puts off is asked again, with the same id."""
        async with asyncio.timeout(HEARD_S):
            while (answer := await line.ask(request)).get("error", {}).get("retryable"):  # noqa: ASYNC110 - of no event
                await asyncio.sleep(RETRY_S)
        return answer

    async def _hear(self, told: Told) -> None:
        line = self.lines[told.to]
        try:
            async with asyncio.timeout(HEARD_S), line.news:
                await line.news.wait_for(lambda: self._found(line, told))
        except TimeoutError:
            raise Different(f"{told.to} was not told {told.push}, but {line.pushes}") from None

    def _found(self, line: Line, told: Told) -> bool:
        for n, push in enumerate(line.pushes):
            if self._fits(push, told):
                del line.pushes[n]
                return True
        return False

    def _fits(self, push: Any, told: Told) -> bool:
        if self.record:
            wanted = told.push.get("message") if "type" not in told.push else message_of(told.push)
            if message_of(push) == wanted:
                told.push = self.names.to_shown(told.push, push)
            return message_of(push) == wanted
        names = self.names.copy()
        try:
            compare(told.push, push, names)
        except Different:
            return False
        self.names = names
        return True


async def recorded() -> list[Step]:
    """The conversation as it was just now."""
    server = RunningServer(**ENVIRONMENT)
    async with server, Conversation(server, record=True) as conversation:
        return [await conversation.have(step) for step in examples.conversation()]


if __name__ == "__main__":
    steps = asyncio.run(recorded())
    examples.FILE.write_bytes(orjson.dumps(msgspec.to_builtins(steps), option=orjson.OPT_INDENT_2) + b"\n")
