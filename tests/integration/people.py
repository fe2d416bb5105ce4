"""People in a real Chromium at a whole server's page: each a tab in a profile of their own, signed in or not."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from browsing import PATIENCE_MS, Chromium, Tab
from harness import RunningServer
from playwright.async_api import Locator, Page, expect

from server.client import Client, put_archetypal_state, register

DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
PASSWORD = "a long enough password"
STATE = {"archetypes": {"Light": 0.75, "Shadow": 0.25}, "energies": {"fire": 0.5, "water": 0.25}, "symbols": ["key"]}

expect.set_options(timeout=PATIENCE_MS)
_numbers = itertools.count(1)


class People:
    """Opens pages for people who are signed in already, or not."""

    def __init__(self, server: RunningServer, chromium: Chromium, stack: AsyncExitStack) -> None:
        self.server, self._chromium, self._stack = server, chromium, stack
        self._tabs: list[Tab] = []
        self.dialogs: list[str] = []
        self.email = ""
        """Of the newest account."""

    async def page(
        self, token: str | None = None, *, path: str = "/", script: str | None = None, **options: Any
    ) -> Page:
        """A page in a new profile, signed in where there is a token; the script runs before the page's own."""
        tab = await self._chromium.tab(self.blank, **({"reduced_motion": "reduce"} | DESK | options))
        self._stack.push_async_callback(tab.context.close)
        if token is not None:
            await tab.page.evaluate("(token) => sessionStorage.setItem('sangha.token', token)", token)
        if script is not None:
            await tab.context.add_init_script(script)
        return await self._opened(tab, path)

    async def duplicate(self, page: Page, path: str) -> Page:
        """A second tab of the same profile, with a copy of the first one's sessionStorage, as browsers make it."""
        return await self.beside(page, path, await page.evaluate("({...sessionStorage})"))

    async def beside(self, page: Page, path: str, kept: dict[str, str] | None = None) -> Page:
        """A new tab of the same profile: it has the localStorage, and a sessionStorage of its own."""
        tab = Tab(await page.context.new_page())
        await tab.page.goto(self.blank)
        await tab.page.evaluate("(kept) => Object.assign(sessionStorage, kept)", kept or {})
        return await self._opened(tab, path)

    async def _opened(self, tab: Tab, path: str) -> Page:
        self._tabs.append(tab)
        tab.page.on("dialog", lambda dialog: self.dialogs.append(dialog.message))
        await tab.page.goto(f"{self.server.url}/#{path}")
        await tab.page.locator("h1:focus").wait_for()
        return tab.page

    @property
    def blank(self) -> str:
        """A page of the server's origin with nothing in it."""
        return f"{self.server.url}/robots.txt"

    def faults(self) -> list[str]:
        """What no page should have logged. A refusal over HTTP and a cut line are noted by the browser itself."""
        noted = ("Failed to load resource", "WebSocket connection to")
        return [*self.dialogs, *(each for tab in self._tabs for each in tab.errors if not each.startswith(noted))]

    async def account(self, name: str, state: dict[str, Any] = STATE) -> str:
        """A token of somebody new who has a state."""
        self.email = f"p{next(_numbers)}@example.org"
        made = await register(self.server.url, self.email, PASSWORD, spiritual_name=name, privacy_level="community")
        token: str = made["token"]
        await put_archetypal_state(self.server.url, token, state)
        return token

    async def space(self, token: str, name: str = "Evening circle", **fields: Any) -> str:
        """The path of a new space."""
        async with Client(self.server.url, token=token) as client:
            made = await client.create_space(name, **({"purpose": "to sit", "access_level": "open"} | fields))
        return f"/space/{made['id']}"


@asynccontextmanager
async def entering(server: RunningServer, chromium: Chromium) -> AsyncIterator[People]:
    """People for one test; no page of theirs may have logged a fault at its end."""
    async with AsyncExitStack() as stack:
        people = People(server, chromium, stack)
        yield people
        assert people.faults() == []


async def wider_than_the_screen(page: Page) -> bool:
    """Whether anything makes the page scroll sideways."""
    return bool(
        await page.evaluate("""() => [document.documentElement, document.querySelector("main")]
        .some((element) => element.scrollWidth > element.clientWidth)""")
    )


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Your message").fill(text)
    await page.get_by_role("button", name="Send").click()


def said(page: Page, text: str) -> Locator:
    return page.get_by_role("log").locator(".said", has_text=text)
