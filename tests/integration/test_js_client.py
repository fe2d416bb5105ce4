"""The JavaScript client in a real browser and in Node: the README's example, and what needs a page around it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from browsing import Chromium, Tab
from gateway_fakes import ALICE, HALL, FakeStream, World, world
from harness import RunningServer
from readme import ROOT, blocks_of

SECTION = "The JavaScript client"
NODE_S = 60.0
CAVE = 'Höhle: "3"'

OPEN = """async (options) => {
  const { Client } = await import("/static/sangha.js");
  window.states = [];
  window.client = new Client({ backoff: { baseS: 0.05, capS: 0.2 }, ...options });
  client.addEventListener("state", ({ detail }) => states.push(detail.error?.code ?? detail.state));
  await client.open();
  return client.practitioner.id;
}"""
JOIN = """async ([id, after]) => {
  window.space = await client.join(id, { after });
  window.heard = [];
  space.addEventListener("event", ({ detail }) => heard.push([detail.offset, detail.body]));
  return space.offset;
}"""


def example(server: str) -> str:
    """The README's example as it stands there, but for the port."""
    (block,) = blocks_of(SECTION, "js")
    return block.text.replace("http://127.0.0.1:8080", server)


def expected() -> list[str]:
    (block,) = blocks_of(SECTION, "text")
    return block.text.splitlines()


@pytest_asyncio.fixture
async def chromium() -> AsyncIterator[Chromium]:
    async with Chromium() as browser:
        yield browser


async def blank(chromium: Chromium, there: World) -> Tab:
    """A page of the server's origin with nothing in it."""
    return await chromium.tab(f"{there.http}/robots.txt")


async def test_the_readmes_example_runs_in_a_browser_and_in_node(chromium: Chromium, tmp_path: Path) -> None:
    async with RunningServer() as server:
        tab = await chromium.tab(f"{server.url}/robots.txt")
        await tab.paste(example(server.url))
        assert await tab.logged(len(expected())) == expected()
        assert await _in_node(example(server.url), tmp_path) == expected()
        assert await server.stop() == 0


async def _in_node(script: str, directory: Path) -> list[str]:
    """What a module prints. Node 20 has no WebSocket: it gets that of ``ws``."""
    modules = Path(os.environ.get("NODE_PATH") or Path(sys.prefix) / "node" / "node_modules")
    await asyncio.to_thread(shutil.copytree, ROOT / "server" / "web", directory / "web")
    socket = f'globalThis.WebSocket ??= (await import("{(modules / "ws" / "wrapper.mjs").as_uri()}")).WebSocket;\n'
    (directory / "web" / "package.json").write_text('{"type": "module"}')
    (directory / "web" / "example.mjs").write_text(socket + script.replace("/static/", "./"))
    node = await asyncio.create_subprocess_exec("node", directory / "web" / "example.mjs", stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(NODE_S):
        said, wrong = await node.communicate()
    assert node.returncode == 0, wrong.decode()
    return said.decode().splitlines()


async def test_a_tab_that_takes_the_session_over_does_not_fight_with_the_one_that_had_it(chromium: Chromium) -> None:
    async with world() as there:
        first = await blank(chromium, there)
        token = "a token"
        there.queries.login(token, ALICE)
        await first.page.evaluate(OPEN, {"token": token, "remember": True})
        memory = await first.page.evaluate("({ ...sessionStorage })")
        second = await blank(chromium, there)  # a duplicated tab has a copy of the storage
        await second.page.evaluate("(memory) => Object.assign(sessionStorage, memory)", memory)
        await second.page.evaluate(OPEN, {"token": token, "remember": True})
        await first.wait('states.join() === "ready,reconnecting,ready"')
        assert await second.page.evaluate("states") == ["ready"]
        assert await first.page.evaluate('client.request("ping").then(({ pong }) => pong)')


async def test_a_revoked_login_ends_the_client_and_is_not_tried_again(chromium: Chromium) -> None:
    async with world() as there:
        tab = await blank(chromium, there)
        failed = await tab.page.evaluate(f"({OPEN})({{ token: 'nobody' }}).catch(({{ code }}) => code)")
        assert failed == "unauthenticated"
        assert await tab.page.evaluate("[client.state, ...states]") == ["closed", "unauthenticated"]


async def test_a_reload_goes_on_where_the_page_was(chromium: Chromium) -> None:
    async with world() as there:
        tab = await blank(chromium, there)
        me = await tab.page.evaluate(OPEN, {"guest": "Ana", "remember": True})
        there.shards.space()
        await tab.page.evaluate(JOIN, [HALL, None])
        there.shards.say(there.shards.space(), "before")
        await tab.wait("heard.length === 1")
        await tab.page.reload()
        offset = there.shards.say(there.shards.space(), "meanwhile")
        assert await tab.page.evaluate(OPEN, {"guest": "Ana", "remember": True}) == me
        await tab.page.evaluate(JOIN, [HALL, await tab.page.evaluate(f'client.rememberedOffset("{HALL}")')])
        await tab.wait("heard.length === 1")
        assert await tab.page.evaluate("heard") == [[offset, "meanwhile"]]


async def test_a_page_that_reads_too_slowly_loses_its_iterator_not_its_space(chromium: Chromium) -> None:
    async with world() as there:
        tab = await blank(chromium, there)
        await tab.page.evaluate(OPEN, {"guest": "Ana"})
        there.shards.space()
        await tab.page.evaluate(JOIN, [HALL, None])
        await tab.page.evaluate("() => { window.slow = space.events({ limit: 2 }); slow.next(); }")
        for n in range(5):
            there.shards.say(there.shards.space(), n)
        await tab.wait("heard.length === 5")
        assert await tab.page.evaluate("slow.next().catch(({ code }) => code)") == "overflow"


async def test_a_page_watches_a_eustress_space_and_goes_on_after_a_cut(chromium: Chromium) -> None:
    async with world(local_user=True) as there:
        there.queries.lake.add(CAVE)
        cave = there.shards.streams["eustress", CAVE] = FakeStream("eustress", CAVE)
        there.shards.say(cave, "before")
        tab = await blank(chromium, there)
        await tab.page.evaluate(OPEN, {"local": True, "remember": True})
        begins = await tab.page.evaluate(
            """async (name) => {
              window.scene = await client.eustressSubscribe(name);
              window.heard = [];
              scene.addEventListener("event", ({ detail }) => heard.push([detail.offset, detail.body]));
              return [scene.id, scene.state, scene === (await client.eustressSubscribe(name))];
            }""",
            CAVE,
        )
        assert begins == [CAVE, {"events": 1}, True]
        assert (await tab.page.evaluate("scene.ingest({ entities: [{ id: 'a' }] })"))["version"] == 2
        await tab.wait("heard.length === 1")
        (connection,) = there.gateway._connections
        connection.transport.abort()
        there.shards.say(cave, "meanwhile")
        await tab.wait("heard.length === 2")
        assert await tab.page.evaluate("heard") == [[2, {"entities": [{"id": "a"}]}], [3, "meanwhile"]]
        assert await tab.page.evaluate("client.history(scene.stream).then(({ events }) => events.length)") == 3
        left = "new Promise((done) => scene.addEventListener('left', ({ detail }) => done(detail.reason)))"
        assert await tab.page.evaluate(f"[{left}, scene.unsubscribe()][0]") == "left"
        assert await tab.page.evaluate("client.request('ping').then(({ pong }) => pong)")
        assert cave.followers == {}


async def test_requests_beyond_any_reason_are_refused_at_once(chromium: Chromium) -> None:
    async with world() as there:
        tab = await blank(chromium, there)
        await tab.page.evaluate(OPEN, {"guest": "Ana"})
        there.shards.hold()
        codes = await tab.page.evaluate(
            """async (space) => {
              const send = () => client.request("space.send", { space, body: 1 }).catch(({ code }) => code);
              const all = Array.from({ length: 4200 }, send);
              client.close();
              const codes = await Promise.all(all);
              return [...new Set(codes)];
            }""",
            HALL,
        )
        assert codes == ["connection_lost", "overflow"]


async def test_a_request_over_http_is_retried_with_its_key(chromium: Chromium) -> None:
    async with world() as there:
        tab = await blank(chromium, there)
        keys: list[str] = []

        async def refuse_once(route, request) -> None:  # type: ignore[no-untyped-def]
            keys.append(request.headers["idempotency-key"])
            if len(keys) == 1:
                await route.abort()
            elif len(keys) == 2:
                body = json.dumps({"code": "draining", "detail": "away", "retryable": True})
                await route.fulfill(status=503, headers={"Retry-After": "0"}, body=body)
            else:
                await route.fulfill(status=200, body='{"done": true}')

        await tab.page.route("**/api/thing", refuse_once)
        done = await tab.page.evaluate(
            """async () => {
              const { Client } = await import("/static/sangha.js");
              return await new Client().http("POST", "/api/thing", { body: {} });
            }"""
        )
        assert done == {"done": True}
        assert len(keys) == 3
        assert len(set(keys)) == 1
