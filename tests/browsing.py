"""A real Chromium, headless, through Playwright: Debian's binary, never one that is downloaded.

async with Chromium() as chromium:
    tab = await chromium.tab(f"{url}/")          # a profile of its own: storage, cookies, cache
    await tab.paste("…")                          # as into the console
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import axe_playwright_python
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS = 60_000
"""For each step, on a machine that may be busy."""
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"


async def violations(page: Page) -> list[Any]:
    """What axe-core finds wrong with what is on the screen: rules, each with the elements that break it."""
    if not await page.evaluate("!!window.axe"):
        await page.evaluate(f"{AXE.read_text()};0")
    found: list[Any] = await page.evaluate(
        "async () => (await axe.run(document)).violations.map((v) => [v.id, v.nodes.map((n) => n.html.slice(0, 200))])"
    )
    return found


class Tab:
    """One page in a profile of its own. ``page`` is Playwright's; here is what our tests ask of it over and over."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console: list[str] = []
        """What the page logged, a line each."""
        self.errors: list[str] = []
        """What nobody caught, and what the console calls an error."""
        page.on("console", self._logged)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @property
    def context(self) -> BrowserContext:
        """Its profile: ``set_offline``, cookies, new tabs beside it."""
        return self.page.context

    def _logged(self, message: ConsoleMessage) -> None:
        self.console.append(message.text)
        if message.type == "error":
            self.errors.append(message.text)

    async def paste(self, script: str) -> Any:
        """Evaluate a script as the console does, top-level ``await`` included; its value."""
        console = await self.context.new_cdp_session(self.page)
        done = await console.send(
            "Runtime.evaluate",
            {"expression": script, "replMode": True, "awaitPromise": True, "returnByValue": True},
        )
        await console.detach()
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def logged(self, lines: int) -> list[str]:
        """The console, once it has that many lines."""
        while len(self.console) < lines:
            await self.page.wait_for_event("console", lambda _: len(self.console) >= lines)
        return self.console

    async def wait(self, condition: str, argument: Any = None) -> Any:
        """Until a JavaScript expression (or function of the argument) is true in the page; its value."""
        # As a function always: an expression would be eval'ed in the page, which its Content-Security-Policy forbids.
        function = condition if "=>" in condition else f"() => ({condition})"
        return await (await self.page.wait_for_function(function, arg=argument)).json_value()


class Chromium:
    """One browser for a test, or for several. ``flags``: beside those that every one has. ``environment``: of a sound card to be
    heard on; without one it is mute."""

    def __init__(self, *flags: str, environment: dict[str, str] | None = None) -> None:
        self._flags = (*FLAGS, *flags)
        self._loud: dict[str, Any] = {}
        if environment is not None:
            self._loud = {"env": os.environ | environment, "ignore_default_args": ["--mute-audio"]}

    async def __aenter__(self) -> Self:
        self._playwright = await async_playwright().start()
        try:
            self.browser: Browser = await self._playwright.chromium.launch(
                executable_path=CHROMIUM, args=self._flags, **self._loud
            )
        except BaseException:
            await self._playwright.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.browser.close()
        await self._playwright.stop()

    async def tab(self, url: str, **profile: Any) -> Tab:
        """A tab in a new profile that shows a page; ``profile`` is Playwright's (``viewport``, ``color_scheme`` …)."""
        context = await self.browser.new_context(**profile)
        context.set_default_timeout(PATIENCE_MS)
        tab = Tab(await context.new_page())
        await tab.page.goto(url)
        return tab
