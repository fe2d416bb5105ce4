"""A real Chromium, headless, driven over its DevTools protocol: a page, its console, snippets evaluated as if pasted there."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import signal
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip
STARTED_S = 60.0
ANSWER_S = 60.0


class Page:
    """One page of one browser with a profile of its own. ``console`` has what the page logged, as text."""

    def __init__(self) -> None:
        self.console: list[str] = []
        self._profile = tempfile.mkdtemp(prefix="sgb-")
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._heard = asyncio.Condition()
        self._events: set[str] = set()
        self._session: str | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            CHROMIUM, *FLAGS, f"--user-data-dir={self._profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        async with asyncio.timeout(STARTED_S):
            self._socket: ClientConnection = await connect(await self._address(), max_size=None, compression=None)
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._drain())]
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self.call("Page.enable")
        await self.call("Runtime.enable")
        return self

    async def _address(self) -> str:
        assert self._process.stderr is not None
        said = b""
        while line := await self._process.stderr.readline():
            said += line
            if found := re.search(rb"DevTools listening on (\S+)", line):
                return found[1].decode()
        raise AssertionError(f"Chromium did not start:\n{said.decode(errors='replace')}")

    async def _drain(self) -> None:
        assert self._process.stderr is not None
        while await self._process.stderr.read(65536):
            pass

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._waiting.pop(message["id"]).set_result(message)
                continue
            async with self._heard:
                self._events.add(message["method"])
                if message["method"] == "Runtime.consoleAPICalled":
                    self.console.append(" ".join(str(a.get("value")) for a in message["params"]["args"]))
                self._heard.notify_all()

    async def call(self, method: str, **params: Any) -> Any:
        """One command of the protocol; its result."""
        number = next(self._ids)
        answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        await self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        async with asyncio.timeout(ANSWER_S):
            answer = await answered
        assert "error" not in answer, answer
        return answer["result"]

    async def go(self, url: str) -> None:
        """Show a page, and wait until it is loaded."""
        self._events.discard("Page.loadEventFired")
        shown = await self.call("Page.navigate", url=url)
        assert "errorText" not in shown, shown
        async with asyncio.timeout(ANSWER_S), self._heard:
            await self._heard.wait_for(lambda: "Page.loadEventFired" in self._events)

    async def paste(self, script: str) -> Any:
        """Evaluate a script as the console does, top-level ``await`` included; its value."""
        done = await self.call(
            "Runtime.evaluate", expression=script, replMode=True, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def logged(self, lines: int) -> list[str]:
        """The console, once it has that many lines."""
        async with asyncio.timeout(ANSWER_S), self._heard:
            await self._heard.wait_for(lambda: len(self.console) >= lines)
        return self.console

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._process._transport.close()  # type: ignore[attr-defined]  # or its pipe is closed by the collector
        with suppress(OSError):
            shutil.rmtree(self._profile)
