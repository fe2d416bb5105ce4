"""The page at ``/`` in a real Chromium, against a whole server: what people do with it, by mouse, by keyboard, on a phone.

One server and one browser for the module; every person is a browser context of their own. Waits are on what is on the screen.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import wasmtime
from browsing import Chromium, violations
from harness import RunningServer
from people import DESK, PASSWORD, PHONE, People, entering, said, say, wider_than_the_screen
from playwright.async_api import Locator, Page, WebSocketRoute, expect

from server.client import Client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with Chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def people(server: RunningServer, chromium: Chromium) -> AsyncIterator[People]:
    async with entering(server, chromium) as people:
        yield people


async def test_somebody_signs_up_makes_a_space_and_is_alone_in_it(people: People) -> None:
    page = await people.page()
    await page.get_by_role("button", name="New here").click()
    await page.get_by_label("Name", exact=True).fill("Ana")
    await page.get_by_label("Email").fill("ana@example.org")
    await page.get_by_label("Password").fill("short")
    await page.get_by_role("button", name="Create the account").click()
    await expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create the account").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Spaces")
    await page.get_by_role("link", name="New space").click()
    await page.get_by_label("Name", exact=True).fill("Morning circle")
    await page.get_by_label("Address").fill("morning")
    await page.get_by_role("button", name="Open the space").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Morning circle")
    await expect(page.get_by_label("Who is here").locator("[data-person]")).to_have_count(1)
    assert await page.title() == "Morning circle · Sangha"
    assert await page.evaluate("localStorage.getItem('sangha.token')") is None
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Morning circle")
    await page.get_by_role("link", name="Account").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Practise together")
    assert await page.evaluate("sessionStorage.getItem('sangha.token')") is None


async def test_a_link_to_a_space_leads_there_once_one_has_entered(people: People) -> None:
    path = await people.space(await people.account("Ana"))
    page = await people.page(path=path)
    await page.get_by_role("button", name="Guest").click()
    await page.get_by_label("Name", exact=True).fill("Cleo")
    await page.get_by_role("button", name="Enter as a guest").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Evening circle")
    await expect(page.get_by_label("Who is here")).to_contain_text("Cleo")


async def test_two_pages_talk_and_each_message_is_marked_as_stored(people: People) -> None:
    ana, bo = await people.account("Ana"), await people.account("Bo")
    path = await people.space(ana)
    hers, his = await people.page(ana, path=path), await people.page(bo, path=path)
    await say(hers, "good evening")
    await expect(said(his, "good evening")).to_contain_text("Ana")
    await expect(said(hers, "good evening").locator(".mark-stored")).to_have_count(1)
    await expect(said(hers, "good evening")).to_have_count(1)
    await his.get_by_role("link", name="Rituals").click()
    await expect(his.get_by_role("heading", level=1)).to_have_text("Rituals")
    await say(hers, "are you still there?")
    await expect(his.locator(".nav-room .unread")).to_contain_text("1")
    await his.get_by_role("link", name="Evening circle").click()
    await expect(his.locator(".log-unread")).to_have_text("New")
    await expect(said(his, "are you still there?")).to_be_visible()


class Line:
    """What lies between a page's sockets and the server."""

    def __init__(self) -> None:
        self.whole = True
        self._open: list[tuple[WebSocketRoute, WebSocketRoute]] = []

    async def carry(self, page: WebSocketRoute) -> None:
        """A new socket: it goes through, or ends at once where the line is cut."""
        if self.whole:
            self._open.append((page, page.connect_to_server()))
        else:
            await page.close(code=1011)

    async def cut(self) -> None:
        """Every socket ends, and no other comes through until the line is ``whole`` again."""
        self.whole = False
        for page, server in self._open:
            await server.close()
            await page.close(code=1011)
        self._open.clear()


async def test_what_is_said_without_a_line_waits_and_what_was_missed_is_told(people: People) -> None:
    ana, bo = await people.account("Ana"), await people.account("Bo")
    path = await people.space(ana)
    page = await people.page(ana, path=path)
    line = Line()
    await page.route_web_socket("**/ws", line.carry)
    await page.reload()
    await expect(page.locator(".badge [role=status]")).to_have_text("Connected")
    async with Client(people.server.url, token=bo) as client, client.join(path.removeprefix("/space/")) as space:
        await space.send({"text": "before"})
        await expect(said(page, "before")).to_be_visible()
        await line.cut()
        await expect(page.locator(".badge")).to_have_attribute("data-state", "reconnecting")
        await say(page, "into the dark")
        await expect(said(page, "into the dark").locator(".mark-sending")).to_be_visible()
        await space.send({"text": "while you were away"})
        line.whole = True
        await expect(said(page, "while you were away")).to_be_visible()
        await expect(page.locator(".log-missed")).to_contain_text("While you were away")
        await expect(page.locator(".badge")).to_contain_text("while you were away")
        await expect(said(page, "into the dark").locator(".mark-stored")).to_be_visible()
        await expect(said(page, "into the dark")).to_have_count(1)


async def test_the_ring_and_the_coherence_move_with_those_who_share_a_breath(people: People) -> None:
    ana, bo = await people.account("Ana"), await people.account("Bo")
    path = await people.space(ana)
    page = await people.page(ana, path=path)
    await expect(page.get_by_role("img", name="Nobody shares a breath")).to_be_visible()
    await page.get_by_role("button", name="Tap my own").click()
    orb = page.get_by_role("button", name="Tap when an in-breath begins")
    await expect(orb).to_be_focused()
    await page.keyboard.press("Space")
    async with Client(people.server.url, token=bo) as client, client.join(path.removeprefix("/space/")) as space:
        await space.pulse(3.0)
        await expect(page.locator(".ring-dot")).to_have_count(2)
        first = await page.locator(".ring-dot:not(.ring-me)").get_attribute("data-phase")
        await space.pulse(3.5)
        await expect(page.locator(".ring-dot:not(.ring-me)")).not_to_have_attribute("data-phase", str(first))
        await expect(page.locator(".ring-number")).to_have_text(re.compile(r"0\.\d\d|1\.00"))
        await expect(page.locator(".series-words")).to_contain_text("by chance")
        await expect(page.locator(".people [data-breathing=true]")).to_have_count(2)


async def test_a_run_shows_the_state_before_and_after(people: People) -> None:
    page = await people.page(await people.account("Ana"), path="/rituals")
    await page.get_by_label("Search").fill("shadow")
    await page.get_by_role("link", name="Shadow integration").click()
    await page.get_by_label("Intention").fill("to own both")
    await page.get_by_role("button", name="Begin").click()
    result = page.get_by_role("region", name="What it did")
    await expect(result.locator(".levels li", has_text="Light")).to_contain_text("from 0.75 → to 0.63 −0.13")
    await expect(result.get_by_role("img")).to_have_attribute("aria-label", re.compile("Light from 0.75 to 0.63"))
    await result.get_by_role("link", name="Rate it").click()
    await page.get_by_role("radio", name="8", exact=True).check()
    await page.get_by_label("What you felt").fill("lighter")
    await page.get_by_role("button", name="Keep them").click()
    await expect(page.locator(".toast")).to_have_text("Kept.")
    await page.get_by_role("button", name="Ask the oracle").click()
    await expect(page.locator(".oracle-words")).to_be_visible()
    await page.get_by_role("link", name="My state", exact=True).last.click()
    await expect(page.locator(".timeline-item")).to_have_count(2)
    await expect(page.locator(".timeline-item").first).to_contain_text("Light 0.63 −0.13")


async def test_a_group_ritual_goes_from_the_countdown_to_the_summary_in_two_pages(people: People) -> None:
    ana, bo = await people.account("Ana"), await people.account("Bo")
    path = await people.space(ana)
    hers, his = await people.page(ana, path=path), await people.page(bo, path=path, **PHONE)
    await expect(hers.get_by_label("Who is here").locator("[data-person]")).to_have_count(2)
    await hers.get_by_role("button", name="Begin a ritual").click()
    await hers.get_by_label("Ritual", exact=True).select_option(label="Shadow integration")
    await hers.get_by_label("Intention").fill("to come closer")
    await hers.get_by_label("It opens in").select_option("10")
    await hers.get_by_label("Opening").fill("1")
    await hers.get_by_label("Integration").fill("1")
    await hers.get_by_role("button", name="Call everyone").click()
    for page in (hers, his):
        await expect(page.locator(".rite-steps [aria-current]")).to_have_text("Gathering")
        await expect(page.get_by_role("timer")).to_have_text(re.compile(r"0:\d\d"))
    await expect(hers.get_by_role("button", name="End the ritual")).to_be_visible()
    await expect(his.get_by_role("button", name="End the ritual")).to_have_count(0)
    for page, other in ((hers, "Bo"), (his, "Ana")):
        summary = page.locator(".rite-summary")
        await expect(summary).to_contain_text("2 of 2")
        await expect(summary.locator(".rite-facts")).to_contain_text(other)
        await expect(summary.locator(".oracle-words").first).to_be_visible()
        await expect(summary.locator(".rite-own .levels li", has_text="Light")).to_contain_text("0.63")
    assert await wider_than_the_screen(his) is False


HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "\u202eright to left\u202c \u2066isolated",
    "x" * 10_000,
    "👩‍👩‍👧‍👦" * 300,
    "Z\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309" * 50,
    "&lt;b&gt; ${1+1} {{2}} javascript:alert(1)",
)


async def test_hostile_names_and_messages_are_text_and_break_no_layout(people: People) -> None:
    token = await people.account("<b onclick=alert(1)>\u202eEve</b>" + "W" * 60)
    path = await people.space(token, "<i>Space</i>" + "M" * 80, purpose="<script>alert(1)</script>" + "p" * 1900)
    page = await people.page(await people.account("Bo"), path=path, **PHONE)
    async with Client(people.server.url, token=token) as client, client.join(path.removeprefix("/space/")) as space:
        for text in HOSTILE:
            await space.send({"text": text})
        await space.send({"no": ["text", {"<b>": "</script>"}]})
    await expect(page.locator(".said")).to_have_count(len(HOSTILE) + 1)
    await page.get_by_role("button", name="Show all").first.click()
    assert (await page.locator(".said-text").all_text_contents())[:3] == list(HOSTILE[:3])
    assert await page.locator("main img, main script, main b, main i:not([class])").count() == 0
    assert await wider_than_the_screen(page) is False
    await page.get_by_role("button", name="Circle", exact=True).click()
    assert await wider_than_the_screen(page) is False


async def press_until(page: Page, key: str, wanted: Locator, most: int = 60) -> None:
    """Keep pressing until that has the focus."""
    for _ in range(most):
        await page.keyboard.press(key)
        if await wanted.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"{wanted} cannot be reached with {key}")


async def test_the_whole_way_can_be_gone_with_the_keyboard(people: People) -> None:
    path = await people.space(await people.account("Ana"), "By keyboard")
    page = await people.page()
    await press_until(page, "Tab", page.get_by_role("button", name="Guest"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await page.keyboard.type("Keya")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Spaces")
    await press_until(page, "Tab", page.get_by_role("link", name="By keyboard"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert path in page.url
    await press_until(page, "Tab", page.get_by_label("Your message"))
    await page.keyboard.type("typed only")
    await page.keyboard.press("Enter")
    await expect(said(page, "typed only").locator(".mark-stored")).to_be_visible()
    await press_until(page, "Tab", page.get_by_role("button", name="Tap my own"))
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Tap when an in-breath begins")).to_be_focused()
    await press_until(page, "Shift+Tab", page.get_by_role("button", name="Leave"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="Leave")).to_be_focused()


VIEWS = ("/spaces", "/spaces/new", "/rituals", "/rituals/upload", "/state", "/account", "/nowhere")


@pytest.mark.parametrize(("scheme", "screen"), [("light", DESK), ("dark", PHONE)], ids=["desk light", "phone dark"])
async def test_no_view_has_a_barrier_or_scrolls_sideways(people: People, scheme: str, screen: dict[str, Any]) -> None:
    token = await people.account("Ana")
    path = await people.space(token)
    wrong: dict[str, Any] = {}

    async def look(page: Page, view: str) -> None:
        if found := await violations(page):
            wrong[view] = found
        if await wider_than_the_screen(page):
            wrong[f"{view} is too wide"] = True

    await look(await people.page(path="/enter", color_scheme=scheme, **screen), "/enter")
    page = await people.page(token, path=path, color_scheme=scheme, **screen)
    await say(page, "hello")
    await expect(said(page, "hello").locator(".mark-stored")).to_be_visible()
    await look(page, "talk")
    if screen is PHONE:
        await page.get_by_role("button", name="Circle", exact=True).click()
    await page.get_by_role("button", name="Tap my own").click()
    await look(page, "circle")
    for view in VIEWS:
        await page.goto(f"{people.server.url}/#{view}")
        await page.locator("h1:focus").wait_for()
        await look(page, view)
    assert wrong == {}


async def test_colours_follow_the_system_until_somebody_chooses(people: People) -> None:
    page = await people.page(path="/enter", color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = await page.evaluate(paper)
    await page.get_by_role("button", name="Colours").click()
    light = await page.evaluate(paper)
    assert dark != light
    await page.reload()
    assert await page.evaluate(paper) == light


MODULE = """(module (memory (export "memory") 1 1) (func (export "execute_ritual") (result i32) (i32.const 0)))"""


async def test_a_module_is_refused_with_its_reasons_and_a_good_one_is_in_the_catalog(
    people: People, tmp_path: Path
) -> None:
    page = await people.page(await people.account("Ana"), path="/rituals/upload")
    empty, good = tmp_path / "empty.wasm", tmp_path / "good.wasm"
    empty.write_bytes(bytes(wasmtime.wat2wasm("(module)")))
    good.write_bytes(bytes(wasmtime.wat2wasm(MODULE)))
    await page.get_by_label("Module").set_input_files(empty)
    for label in ("Name", "Intent", "Description"):
        await page.get_by_label(label, exact=True).fill("Sitting still")
    await page.get_by_role("button", name="Check and upload").click()
    reasons = page.locator(".note.wrong", has_text="Not taken in")
    await expect(reasons.get_by_role("listitem").first).to_be_visible()
    await expect(reasons).to_be_focused()
    await page.get_by_label("Module").set_input_files(good)
    await page.get_by_role("button", name="Check and upload").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sitting still")
    await page.get_by_role("link", name="All rituals").click()
    await page.get_by_label("Whose").select_option("true")
    await expect(page.locator(".ritual-card")).to_have_count(1)
    await expect(page.locator(".ritual-card")).to_contain_text("only yours")


async def test_a_view_that_is_left_leaves_nothing_behind(people: People) -> None:
    token = await people.account("Ana")
    path = await people.space(token)
    page = await people.page(token, path=path)
    devtools = await page.context.new_cdp_session(page)

    async def nodes() -> int:
        await devtools.send("HeapProfiler.collectGarbage")
        return int((await devtools.send("Memory.getDOMCounters"))["nodes"])

    async def around(times: int) -> None:
        for view in (*VIEWS[:2], path) * times:
            await page.goto(f"{people.server.url}/#{view}")
            await page.locator("h1:focus").wait_for()

    await around(2)
    before = await nodes()
    await around(6)
    assert await nodes() < 1.5 * before
