"""The lake's page at ``/eustress`` in a real Chromium, against a whole server: what an engine sends is seen, live and as it was.

One server and one browser for the module. Waits are on what is on the screen.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from browsing import PATIENCE_MS, Chromium, Tab, violations
from harness import RunningServer
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

expect.set_options(timeout=PATIENCE_MS)
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
NOTED = ("Failed to load resource", "WebSocket connection to")
"""What the browser itself logs of a refusal or a cut line."""
DRAWN = """() => {
  const canvas = document.querySelector("canvas.stage");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let opaque = 0;
  for (let at = 3; at < data.length; at += 4) opaque += data[at] > 200;
  return opaque > 300;
}"""


class Engine:
    """A service token, and what is sent with it."""

    def __init__(self, server: RunningServer, token: str) -> None:
        self.server, self.token = server, token
        self._http = httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    async def send(self, space: str, **items: Any) -> dict[str, Any]:
        answer = await self._http.post("/eustress/ingest/batch", json={"space_name": space, **items})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def scene(self, space: str) -> None:
        """An atom with a ring of eight, one of which has a child; and two that see each other."""
        ring = [(f"electron_{n}", [10 * math.cos(n * 0.785), n - 4, 10 * math.sin(n * 0.785)]) for n in range(8)]
        entities = [entity("atom", [0, 0, 0], name="Atom"), *(entity(id_, place) for id_, place in ring)]
        pairs = [("atom", id_) for id_, _ in ring] + [("electron_0", "spin")]
        tree = [{"source_id": a, "target_id": b, "connection_type": "hierarchy"} for a, b in pairs]
        sees = {"source_id": "electron_1", "target_id": "electron_5", "connection_type": "sees", "strength": 0.5}
        await self.send(space, entities=[*entities, entity("spin", [12, 0, 3])], connections=[*tree, sees])

    async def close(self) -> None:
        await self._http.aclose()


def entity(id_: str, position: list[float], **more: Any) -> dict[str, Any]:
    return {"id": id_, "name": id_.replace("_", " "), "class_type": "Particle", "position": position} | more


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with Chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Engine]:
    async with RunningServer() as server:
        admin = {"Authorization": f"Bearer {admin_token(server)}"}
        async with httpx.AsyncClient(base_url=server.url, headers=admin) as http:
            made = await http.post("/api/admin/tokens", json={"service": "eustress"})
        made.raise_for_status()
        engine = Engine(server, made.json()["token"])
        yield engine
        await engine.close()


def admin_token(server: RunningServer) -> str:
    return (server.data_dir / "admin.token").read_text().strip()


async def looking(chromium: Chromium, engine: Engine, token: str, space: str = "", **profile: Any) -> Tab:
    """A tab that is signed in, at the lake or at a space."""
    tab = await chromium.tab(f"{engine.server.url}/eustress{space and f'#/space/{space}'}", **(DESK | profile))
    await tab.page.get_by_label("Token").fill(token)
    await tab.page.get_by_role("button", name="Look").click()
    await expect(tab.page.locator("#state")).to_have_text("watching")
    return tab


def faults(tab: Tab) -> list[str]:
    return [each for each in tab.errors if not each.startswith(NOTED)]


async def test_an_empty_lake_says_how_to_send_the_first_entity(chromium: Chromium, engine: Engine) -> None:
    tab = await chromium.tab(f"{engine.server.url}/eustress", **DESK)
    await expect(tab.page.locator("#state")).to_have_text("signed out")
    assert await violations(tab.page) == []
    await tab.page.get_by_label("Token").fill("0" * 64)
    await tab.page.get_by_label("Token").press("Enter")
    await expect(tab.page.get_by_role("alert")).to_be_visible()
    assert await tab.page.evaluate("sessionStorage.length") == 0
    await tab.page.get_by_label("Token").fill(engine.token)
    await tab.page.get_by_label("Token").press("Enter")
    await expect(tab.page.get_by_label("A command that sends an entity")).to_contain_text("photon_1")
    assert await violations(tab.page) == []
    await tab.page.reload()
    await expect(tab.page.locator("#state")).to_have_text("watching")
    assert await tab.page.evaluate("localStorage.length") == 0
    await engine.scene("first light")
    await expect(tab.page.get_by_role("link", name="first light")).to_be_visible()
    await tab.page.get_by_role("button", name="Sign out").click()
    await expect(tab.page.get_by_label("Token")).to_be_focused()
    assert await tab.page.evaluate("sessionStorage.length") == 0
    assert faults(tab) == []


async def test_spaces_stand_in_a_table_that_can_be_sorted(chromium: Chromium, engine: Engine) -> None:
    await engine.scene("atoms")
    await engine.send("beads", entities=[entity("bead", [1, 0, 0])])
    page = (tab := await looking(chromium, engine, engine.token)).page
    row = page.locator("tr[data-space=atoms]")
    await expect(row.locator("td").nth(1)).to_have_text("10")
    await expect(row).to_contain_text("has all four")
    await expect(page.locator("tr[data-space=beads]")).to_contain_text("lacks connections, hierarchy")
    names = "() => [...document.querySelectorAll('tr[data-space]')].map((row) => row.dataset.space)"
    await page.get_by_role("button", name="space", exact=True).focus()
    await page.keyboard.press("Enter")
    shown = await page.evaluate(names)
    assert shown == sorted(shown)
    await expect(page.get_by_role("columnheader", name="space", exact=True)).to_have_attribute("aria-sort", "ascending")
    await expect(row.locator(".spark .number")).to_have_text(re.compile(r"/s"))
    assert await violations(page) == []
    await page.context.set_offline(True)
    await expect(page.locator("#stale")).to_contain_text("What you see is from")
    await page.context.set_offline(False)
    await expect(page.locator("#stale")).to_be_hidden()
    assert faults(tab) == []


async def test_a_scene_is_drawn_and_told_and_what_changes_is_seen(chromium: Chromium, engine: Engine) -> None:
    await engine.scene("live")
    page = (tab := await looking(chromium, engine, engine.token, "live")).page
    await expect(page.locator("#live")).to_have_text("live")
    await expect(page.locator("#scene-words")).to_have_text("10 entities.")
    await page.wait_for_function(DRAWN)
    await page.get_by_role("button", name="Atom").click()
    details = page.locator(".details")
    await expect(details).to_contain_text("children (8)")
    await details.get_by_role("button", name="electron 0", exact=True).click()
    await expect(details.get_by_role("heading")).to_have_text("electron 0")
    await expect(details).to_contain_text("children (1)")
    await page.get_by_label("Find an entity").fill("electron 1")
    await page.get_by_label("List of entities").get_by_role("button", name="electron 1").click()
    await expect(details).to_contain_text("sees, strength 0.50")
    await engine.send("live", entities=[entity("electron_1", [7, 8, 9.5])])
    await expect(details).to_contain_text("7, 8, 9.5")
    under = {"source_id": "electron_1", "target_id": "quark", "connection_type": "hierarchy"}
    await engine.send("live", entities=[entity("quark", [3, 3, 3])], connections=[under])
    await expect(details).to_contain_text("children (1)")
    await expect(page.locator("#scene-words")).to_have_text("11 entities.")
    await engine.send("live", removed_entities=["quark"])
    await expect(details).to_contain_text("children (0)")
    await expect(page.locator("#scene-words")).to_have_text("10 entities.")
    assert await violations(page) == []
    assert faults(tab) == []
    await moves_by_keys(page)


async def moves_by_keys(page: Page) -> None:
    """Each key draws another picture, and the last the first one again."""
    canvas = page.locator("canvas.stage")
    await canvas.focus()
    pictures = []
    for key in ("0", "ArrowLeft", "ArrowUp", "Shift+ArrowRight", "+", "0"):
        await page.keyboard.press(key)
        await page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        pictures.append(await canvas.evaluate("(canvas) => canvas.toDataURL()"))
    assert len(set(pictures)) == 5
    assert pictures[0] == pictures[-1]
    await page.get_by_role("button", name="From above").click()
    await expect(page.get_by_role("button", name="From above")).to_have_attribute("aria-pressed", "true")


async def test_the_past_is_shown_and_made_into_an_epoch(chromium: Chromium, engine: Engine, tmp_path: Path) -> None:
    await engine.scene("past")
    page = (tab := await looking(chromium, engine, engine.token, "past")).page
    await page.get_by_role("button", name="Take a snapshot").click()
    await expect(page.locator(".note.well")).to_be_visible()
    await expect(page.locator(".tick")).to_have_count(1)
    await engine.send("past", entities=[entity("later", [1, 1, 1])])
    await expect(page.locator("#scene-words")).to_have_text("11 entities.")
    await page.locator(".tick").focus()
    await expect(page.locator(".told")).to_contain_text("by hand, 10 entities")
    await page.keyboard.press("Enter")
    await expect(page.locator("#scene-words")).to_contain_text("10 entities. As it was at")
    await expect(page.get_by_label("List of entities").get_by_role("button", name="later")).to_have_count(0)
    await engine.send("past", entities=[entity("latest", [2, 2, 2])])  # not while the past is shown
    await page.get_by_role("button", name="Back to live").click()
    await expect(page.locator("#scene-words")).to_have_text("12 entities.")
    slider = page.get_by_label("Moment that is shown")
    await slider.focus()
    await page.keyboard.press("Home")
    await expect(page.locator("#scene-words")).to_contain_text("As it was at")
    await page.get_by_role("button", name="Make an epoch of this range").click()
    await expect(page.locator(".note.well", has_text="10 samples")).to_be_visible()
    await expect(page.locator(".bar")).to_have_count(1)
    async with page.expect_download() as saving:
        await page.get_by_role("button", name="NDJSON: entities").click()
    await (await saving.value).save_as(tmp_path / "epoch.ndjson")
    assert len((tmp_path / "epoch.ndjson").read_text().splitlines()) == 10
    assert await violations(page) == []
    assert faults(tab) == []


async def test_an_operator_sees_the_same_without_a_line_and_changes_nothing(chromium: Chromium, engine: Engine) -> None:
    await engine.scene("watched")
    tab = await looking(chromium, engine, admin_token(engine.server), "watched", **PHONE)
    page = tab.page
    await expect(page.locator("#live")).to_have_text("live, asked every 2 s")
    await engine.send("watched", entities=[entity("later", [1, 1, 1])])
    await expect(page.locator("#scene-words")).to_have_text("11 entities.")
    await page.get_by_role("button", name="Take a snapshot").click()
    await expect(page.locator(".note.wrong", has_text="token")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    assert await violations(page) == []
    assert faults(tab) == []
