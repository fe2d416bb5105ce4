"""``/docs/ws`` in a real browser: all of the document is there to read, on a phone too, and nothing is logged as an error."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from browsing import Chromium, Tab, violations
from gateway_fakes import World, world

from server import asyncapi
from server.settings import Settings

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

MESSAGES = asyncapi.document(Settings(_env_file=None), "1")["components"]["messages"]
SHOWN = [name for name in MESSAGES if not name.endswith(".result") and name != "error"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def w() -> AsyncIterator[World]:
    async with world() as here:
        yield here


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with Chromium() as browser:
        yield browser


async def opened(w: World, chromium: Chromium, width: int) -> Tab:
    tab = await chromium.tab(f"http://127.0.0.1:{w.port}/docs/ws", viewport={"width": width, "height": 800})
    await tab.page.wait_for_selector(".message")
    return tab


@pytest.mark.parametrize("width", [360, 1280])
async def test_every_message_is_shown_with_its_example_and_the_page_is_as_wide_as_the_screen(
    w: World, chromium: Chromium, width: int
) -> None:
    tab = await opened(w, chromium, width)
    shown = await tab.page.evaluate("[...document.querySelectorAll('.message')].map((each) => each.id)")
    assert sorted(shown) == sorted(SHOWN)
    without = (
        "[...document.querySelectorAll('.message')].filter((each) => !each.querySelector('pre')).map((each) => each.id)"
    )
    assert await tab.page.evaluate(without) == []
    assert await tab.page.evaluate("document.documentElement.scrollWidth") == width
    assert await violations(tab.page) == []
    assert tab.errors == []


async def test_a_request_says_its_bounds_and_what_must_be_given(w: World, chromium: Chromium) -> None:
    tab = await opened(w, chromium, 1280)
    said = await tab.page.inner_text("[id='space.create']")
    for words in ("name *", "1 to 100 characters", "1 to 10000", '"invite" or "open" or "private"', "Evening circle"):
        assert words in said
    assert "object of" not in said


async def test_typing_finds_a_message(w: World, chromium: Chromium) -> None:
    tab = await opened(w, chromium, 1280)
    await tab.page.get_by_role("searchbox", name="Find a message").fill("pulse")
    links = tab.page.get_by_role("navigation").get_by_role("link")
    names = [await link.inner_text() for link in await links.all() if await link.is_visible()]
    assert [name for name in names if "." in name] == ["space.pulse"]
    await tab.page.get_by_role("link", name="space.pulse", exact=True).first.press("Enter")
    await tab.wait("location.hash === '#space.pulse'")
    assert tab.errors == []
