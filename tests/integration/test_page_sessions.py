"""Who is at the page: signed in, signed out, somebody else; told in words, in every tab that it concerns."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from browsing import Chromium
from harness import RunningServer
from people import PASSWORD, People, entering, said, say
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

DOOR = "Practise together"
NO_STORAGE = """for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("forbidden", "SecurityError"); } });"""


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


async def heading(page: Page, words: str) -> None:
    """Until that is the page's heading."""
    await expect(page.get_by_role("heading", level=1)).to_have_text(words)


async def enter_as_guest(page: Page, name: str) -> None:
    await page.get_by_role("button", name="Guest").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name="Enter as a guest").click()


async def test_a_wrong_password_is_told_in_words(people: People) -> None:
    page = await people.page(path="/enter")
    await page.get_by_label("Email").fill("nobody@example.org")
    await page.get_by_label("Password").fill("not the password")
    await page.locator("form").get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("The email or the password is wrong.")


async def test_signing_out_everywhere_ends_the_other_page_and_a_deleted_account_is_gone(people: People) -> None:
    token = await people.account("Ana")
    email = people.email
    here, there = await people.page(token, path="/account"), await people.page(token, path="/spaces")
    async with here.expect_download() as download:
        await here.get_by_role("button", name="Export everything").click()
    assert email in (await (await download.value).path()).read_text()
    await here.get_by_role("button", name="Sign out everywhere").click()
    await here.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    for page in (here, there):
        await expect(page.get_by_role("heading", level=1)).to_have_text("Practise together")
    await here.get_by_label("Email").fill(email)
    await here.get_by_label("Password").fill(PASSWORD)
    await here.locator("form").get_by_role("button", name="Sign in").click()
    await here.get_by_role("link", name="Account").click()
    await here.get_by_role("button", name="Delete the account").click()
    await here.get_by_label("Your password").fill("not the password")
    await here.get_by_role("button", name="Delete it for good").click()
    await expect(here.get_by_role("alert")).to_be_visible()
    await here.get_by_label("Your password").fill(PASSWORD)
    await here.get_by_role("button", name="Delete it for good").click()
    await expect(here.get_by_role("heading", level=1)).to_have_text("Practise together")
    await expect(here.get_by_role("status").filter(has_text="The account is deleted.")).to_be_visible()


async def test_two_tabs_of_one_account_are_the_same_person(people: People) -> None:
    token = await people.account("Ana")
    path = await people.space(token)
    one = await people.page(token, path=path)
    two = await people.duplicate(one, path)
    await say(one, "from the one")
    await say(two, "from the other")
    for page in (one, two):
        for text in ("from the one", "from the other"):
            await expect(said(page, text).locator(".mark-stored")).to_have_count(1)
    await expect(one.get_by_label("Who is here").locator("[data-person]")).to_have_count(1)


async def test_leaving_in_one_tab_is_leaving_in_the_other(people: People) -> None:
    path = await people.space(await people.account("Ana"))
    token = await people.account("Bo")
    one, two = await people.page(token, path=path), await people.page(token, path=path)
    await one.get_by_role("button", name="Leave").click()
    await one.get_by_role("dialog").get_by_role("button", name="Leave").click()
    await expect(two.get_by_text("You have left this space.")).to_be_visible()
    await two.get_by_role("link", name="To the spaces").click()
    await two.get_by_role("link", name="Evening circle").first.click()
    await say(two, "back again")
    await expect(said(two, "back again").locator(".mark-stored")).to_have_count(1)


async def test_a_guest_whose_session_another_tab_took_is_somebody_new_and_knows_it(people: People) -> None:
    path = await people.space(await people.account("Ana"))
    one = await people.page(path=path)
    await enter_as_guest(one, "Gus")
    await heading(one, "Evening circle")
    two = await people.duplicate(one, path)
    await expect(one.get_by_label("Who is here").locator("[data-person]")).to_have_count(2)
    await say(one, "from the one")
    await expect(said(one, "from the one").locator(".mark-stored")).to_have_count(1)
    await expect(said(two, "from the one")).to_contain_text("Gus")


async def test_signing_out_in_one_tab_leads_the_other_to_the_door_whatever_was_open_there(people: People) -> None:
    token = await people.account("Ana")
    path = await people.space(token)
    one, two = await people.page(token, path=path), await people.page(token, path="/account")
    await one.get_by_role("button", name="Manage").click()
    await two.get_by_role("button", name="Sign out", exact=True).click()
    await heading(two, DOOR)
    await heading(one, DOOR)
    await expect(one.get_by_role("dialog")).to_have_count(0)
    await expect(one.get_by_text("You have been signed out.")).to_be_visible()


async def test_a_tab_stays_whose_it_is_when_somebody_else_stays_signed_in_on_the_device(people: People) -> None:
    await people.account("Bo")
    bo = people.email
    hers = await people.page(await people.account("Ana"), path="/account")
    his = await people.beside(hers, "/enter")
    await his.get_by_label("Email").fill(bo)
    await his.get_by_label("Password").fill(PASSWORD)
    await his.get_by_label("Stay signed in").check()
    await his.locator("form").get_by_role("button", name="Sign in").click()
    await heading(his, "Spaces")
    await hers.reload()
    await expect(hers.get_by_label("Name", exact=True)).to_have_value("Ana")
    await hers.get_by_role("button", name="Sign out", exact=True).click()
    await heading(hers, DOOR)
    later = await people.beside(his, "/account")
    await expect(later.get_by_label("Name", exact=True)).to_have_value("Bo")


async def test_one_can_sign_out_without_a_line(people: People) -> None:
    page = await people.page(await people.account("Ana"), path="/account")
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await heading(page, DOOR)
    assert await page.evaluate("sessionStorage.getItem('sangha.token')") is None


async def test_a_view_that_cannot_be_reached_says_so_and_opens_when_the_line_is_back(people: People) -> None:
    page = await people.page(await people.account("Ana"), path="/spaces")
    await page.clock.install()
    await page.context.set_offline(True)
    await page.get_by_role("link", name="Account").click()
    await expect(page.get_by_text("Opening…")).to_be_visible()
    await page.clock.fast_forward(30_000)
    await expect(page.get_by_role("alert")).to_have_text("The server cannot be reached.")
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Try again").click()
    await heading(page, "Account")


async def test_where_storage_is_forbidden_the_page_works_all_the_same(people: People) -> None:
    page = await people.page(path="/enter", script=NO_STORAGE)
    await page.get_by_role("button", name="Colours").click()
    assert await page.evaluate("document.documentElement.dataset.theme") == "light"
    await enter_as_guest(page, "Gus")
    await heading(page, "Spaces")


async def test_a_state_may_name_what_every_object_has(people: People) -> None:
    token = await people.account("Ana", {"archetypes": {"constructor": 0.75, "__proto__": 0.25}, "symbols": []})
    page = await people.page(token, path="/state")
    newest = page.locator(".timeline-item").first
    for change in ("constructor 0.75 +0.75", "__proto__ 0.25 +0.25"):
        await expect(newest).to_contain_text(change)
