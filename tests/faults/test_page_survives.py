"""Two pages of a real browser converse while everything under them is killed or cut, one thing after another.

Nothing is missed, nothing is doubled, the order is the same for both, and each page says that it was away and is back.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from browsing import Chromium, Tab
from harness import RunningServer
from proxy import Proxy

from server.client import Client, register

TALKING = (Path(__file__).parent / "talking.js").read_text()
PACE_MS = 20
READY_AGAIN = (
    """([was]) => log.states.slice(was).some(([state]) => state === "reconnecting") && client.state === "ready" """
)
GO_ON = """([was, more]) => log.acknowledged.length >= was + more"""


class Talker:
    """One page that talks, behind a proxy of its own."""

    def __init__(self, tab: Tab, proxy: Proxy, token: str, space: str) -> None:
        self.tab, self.proxy = tab, proxy
        self.arguments = {"token": token, "space": space, "pace": PACE_MS}
        self.practitioner = ""

    async def talk(self) -> None:
        """Begin, or go on after a reload."""
        self.practitioner = await self.tab.page.evaluate(TALKING, self.arguments)

    async def says_more(self, messages: int = 15) -> None:
        """Until so many more messages of this page were acknowledged."""
        was = await self.tab.page.evaluate("log.acknowledged.length")
        await self.tab.wait(GO_ON, [was, messages])

    async def states(self) -> int:
        """How many changes of its state the page has seen."""
        return int(await self.tab.page.evaluate("log.states.length"))

    async def came_back(self, since: int) -> None:
        """Until it was away, since then, and is there again."""
        await self.tab.wait(READY_AGAIN, [since])


@pytest.mark.timeout(300)
async def test_two_pages_converse_while_everything_under_them_is_killed_or_cut() -> None:
    async with RunningServer() as server, Chromium() as chromium:
        target = ("127.0.0.1", server.port)
        async with Proxy(target) as to_ana, Proxy(target) as to_bo:
            talkers = await _two(server, chromium, [to_ana, to_bo])
            ana, bo = talkers
            await _all_say_more(talkers)
            for shard in ("space/0", "practitioner/0"):
                await server.kill(shard)
                await _all_say_more(talkers)
            await _gateway_dies(server, talkers)
            await _network_goes(bo)
            await _network_changes(ana)
            await _tab_is_reloaded(bo)
            await _all_say_more(talkers)
            await _everything_was_seen(server, talkers)
        assert await server.stop() == 0


async def _two(server: RunningServer, chromium: Chromium, proxies: list[Proxy]) -> list[Talker]:
    tokens = [
        (await register(server.url, f"{name}@example.org", "correct horse battery", spiritual_name=name))["token"]
        for name in ("ana", "bo")
    ]
    async with Client(server.url, token=tokens[0]) as client:
        space = await client.create_space("Page", purpose="talk", access_level="open")
    talkers = []
    for token, proxy in zip(tokens, proxies, strict=True):
        # A page of the server's origin with nothing in it: what is tested is the client alone.
        tab = await chromium.tab(f"http://127.0.0.1:{proxy.port}/robots.txt")
        talkers.append(Talker(tab, proxy, token, space["id"]))
    for talker in talkers:
        await talker.talk()
    return talkers


async def _all_say_more(talkers: list[Talker]) -> None:
    await asyncio.gather(*(talker.says_more() for talker in talkers))


async def _gateway_dies(server: RunningServer, talkers: list[Talker]) -> None:
    since = [await talker.states() for talker in talkers]
    await server.kill("gateway/0")
    for talker, was in zip(talkers, since, strict=True):
        await talker.came_back(was)
        assert (await talker.tab.page.evaluate("log.states.at(-1)")) == ["ready", True], "resumed"
    await _all_say_more(talkers)


async def _network_goes(talker: Talker) -> None:
    """The server cannot be reached for a while; the browser knows, and says when it is over."""
    since = await talker.states()
    await talker.tab.context.set_offline(True)
    talker.proxy.vanish()
    await talker.tab.wait('client.state === "reconnecting"')
    talker.proxy.come_back()
    await talker.tab.context.set_offline(False)
    await talker.came_back(since)
    await talker.says_more()


async def _network_changes(talker: Talker) -> None:
    """The old connection hangs half open, as after a change of networks: the client does not wait for it to time out."""
    since = await talker.states()
    talker.proxy.swallow()
    await talker.tab.context.set_offline(True)
    await talker.tab.context.set_offline(False)
    await talker.came_back(since)
    await talker.says_more()


async def _tab_is_reloaded(talker: Talker) -> None:
    await talker.tab.page.reload()
    await talker.talk()
    assert await talker.tab.page.evaluate("log.states.at(-1)") == ["ready", True], (
        "the session is resumed after a reload"
    )
    await talker.says_more()


async def _everything_was_seen(server: RunningServer, talkers: list[Talker]) -> None:
    """Both logs against each other and against what is stored."""
    stored = await _stored(server, talkers)
    for talker in talkers:
        log = await talker.tab.page.evaluate("log")
        assert log["failed"] == []
        assert log["events"] == stored
        mine = [
            (body["n"], offset)
            for offset, kind, who, body in stored
            if kind == "message" and who == talker.practitioner
        ]
        said = [n for n, _ in mine]
        assert said == sorted(set(said)), "in order, none twice"
        assert set(map(tuple, log["acknowledged"])) <= set(mine), (
            "what was acknowledged is there, where it was said to be"
        )
        assert len(mine) - len(log["acknowledged"]) <= 1, "but for the one whose answer the reload did not wait for"
        assert talker.tab.errors == [] or all(
            "net::ERR" in error or "WebSocket" in error for error in talker.tab.errors
        )


async def _stored(server: RunningServer, talkers: list[Talker]) -> list[list[Any]]:
    for talker in talkers:
        await talker.tab.page.evaluate("window.quiet = true")
        await talker.tab.wait("window.silent")
    async with Client(server.url, token=talkers[0].arguments["token"]) as client:
        stream = f"space:{talkers[0].arguments['space']}"
        events = [
            [event["offset"], event["event"], (event.get("from") or {}).get("id"), event.get("body")]
            async for event in client.history(stream)
        ]
    for talker in talkers:
        await talker.tab.wait("(head) => log.events.at(-1)[0] >= head", events[-1][0])
    return events
