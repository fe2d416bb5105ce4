"""The OpenAPI document against a real server: every route is in it, every example does what it says, and requests made of it
at random, right and wrong, are answered as it says.

One server and one run of the examples for the module.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import jsonschema
import orjson
import pytest
import pytest_asyncio
from browsing import Chromium, Tab
from examples import RECORDED, Played, Player, declared, document
from harness import RunningServer
from openapi_spec_validator import validate
from playwright.async_api import expect

from server.http import app, documents, pages
from server.http.contract import NDJSON, STATUS
from server.settings import Settings
from server.ws.protocol import UUID
from tests.fuzz.http import fuzz, known_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(480)]

EXAMPLES = [example.name for operation in declared() for example in operation.examples]
WITHOUT_EXAMPLE = {"/eustress/archives/{space}/{id}/{file}"}  # there is none before retention wrote one
FOR_BROWSERS = {"GET /docs", "GET /docs/ws", "GET /redoc", "GET /docs/assets/{name}"} | {
    f"{route.method} {route.path.replace(':.+', '')}" for route in pages.routes()
}
expect.set_options(timeout=60_000)  # others may be at work on the machine
FUZZ_SEED = 4
FUZZ_EXAMPLES = 3
"""Of each operation and phase: the long run is ``python -m tests.fuzz.http``."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with Chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(server: RunningServer) -> dict[str, Played]:
    """Every example, sent once."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        player = Player(http, (server.data_dir / "admin.token").read_text().strip())
        return {each.example.name: each async for each in player.play(declared())}


def strict(components: dict[str, Any]) -> dict[str, Any]:
    """The schemas as answers have to keep them: no field that is not documented."""
    closed = {}
    for name, schema in components["schemas"].items():
        open_ = "properties" in schema and name != "Problem"
        closed[name] = schema | {"additionalProperties": False} if open_ else schema
    return components | {"schemas": closed}


def check(schema: dict[str, Any], value: Any, components: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema | {"components": components})
    wrong = [f"{'.'.join(map(str, each.absolute_path))}: {each.message[:300]}" for each in validator.iter_errors(value)]
    assert wrong == []


def shape(value: Any) -> Any:
    """What of an answer is the same from run to run."""
    if isinstance(value, dict):
        return {"an id" if UUID.fullmatch(name) else name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


async def test_the_document_is_valid() -> None:
    validate(document())


async def test_every_route_is_documented_and_every_documented_one_is_routed() -> None:
    gateway: Any = SimpleNamespace(settings=Settings(_env_file=None))
    routes = app.build(gateway).router.routes()
    routed = {f"{r.method} {r.resource.canonical}" for r in routes if r.resource is not None and r.method != "HEAD"}
    documented = {f"{method.upper()} {path}" for path, methods in document()["paths"].items() for method in methods}
    assert documented == routed - FOR_BROWSERS - {f"GET {path}" for path in app.SOCKETS}


async def test_every_operation_is_said_in_words_and_has_an_example() -> None:
    for operation in declared():
        assert operation.summary, operation.path
        assert operation.examples or operation.path in WITHOUT_EXAMPLE, operation.path
        assert operation.tag in documents.TAGS, operation.tag
        assert set(operation.errors) <= set(STATUS), operation.path


async def test_the_names_of_operations_and_of_examples_are_each_ones_own() -> None:
    names = [operation["operationId"] for methods in document()["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert len(EXAMPLES) == len(set(EXAMPLES))


async def test_the_recorded_answers_are_those_of_the_examples() -> None:
    assert list(documents.recorded()) == EXAMPLES, f"python tests/integration/examples.py writes {RECORDED.name} anew"


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_is_answered_as_documented(played: dict[str, Played], name: str) -> None:
    each, made = played[name], document()
    described = made["paths"][each.operation.path][each.operation.method.lower()]
    response = each.response
    assert response.status_code in (each.operation.status, *each.operation.more_replies), response.text
    documented = described["responses"][str(response.status_code)]
    assert {header.lower() for header in documented["headers"]} <= set(response.headers)
    content = documented.get("content", {})
    if not content:
        assert response.content == b""
        return
    media = response.headers["Content-Type"].partition(";")[0]
    assert media in content
    if "schema" in content[media] and each.answer is not None:
        check(content[media]["schema"], each.answer, strict(made["components"]))
    if each.example.body is not None:
        media, body = each.operation.body_media, each.sent.body
        schema = described["requestBody"]["content"][media]["schema"]
        for value in map(orjson.loads, body.splitlines()) if media == NDJSON else (body,):
            check(schema, value, made["components"])


@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_answer_that_the_document_shows_is_like_the_real_one(played: dict[str, Played], name: str) -> None:
    shown = documents.recorded()[name]
    assert shown.status == played[name].response.status_code
    if shown.answer is not None:
        assert shape(shown.answer) == shape(played[name].answer)


async def test_the_served_document_has_this_servers_limits(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        answer = await http.get("/openapi.json")
        again = await http.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert (again.status_code, again.content) == (304, b"")
    served = answer.json()
    validate(served)
    assert "x-maximum-setting" not in answer.text
    (limit,) = [p for p in served["paths"]["/api/rituals/catalog"]["get"]["parameters"] if p["name"] == "limit"]
    assert limit["schema"]["maximum"] == Settings(_env_file=None).history_page
    fewer = documents.document_of(declared(), Settings(_env_file=None, history_page=7, request_body_bytes=5_000))
    (limit,) = [p for p in fewer["paths"]["/api/rituals/catalog"]["get"]["parameters"] if p["name"] == "limit"]
    assert (limit["schema"]["maximum"], limit["schema"]["default"]) == (7, 7)
    assert "5000" in fewer["paths"]["/api/rituals/execute"]["post"]["requestBody"]["description"]


async def test_the_readers_load_nothing_from_elsewhere(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        for page in ("/docs", "/redoc"):
            answer = await http.get(page)
            assert answer.status_code == 200
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            for wanted in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
                assert wanted.startswith("/"), wanted
                assert (await http.get(wanted)).status_code == 200, wanted
        assert (await http.get("/docs/assets/core.py")).status_code == 404
        assert b"cdn.redoc" not in (await http.get("/docs/assets/redoc.standalone.js")).content


async def test_swagger_ui_tries_a_request_with_a_token_and_asks_nobody_else(
    server: RunningServer, chromium: Chromium, played: dict[str, Played]
) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        token = await Player(http, "").somebody("Reader")
    tab, asked = await opened(chromium, f"{server.url}/docs")
    page = tab.page
    await page.click("button.authorize")
    await page.locator(".modal-ux input").first.fill(token)
    await page.locator(".modal-ux button.authorize").first.click()
    await page.locator(".modal-ux .close-modal").click()
    operation = page.locator("#operations-State-state_current")
    await operation.locator(".opblock-summary-control").click()
    await operation.locator("button.execute").click()
    await expect(operation.locator(".live-responses-table tbody .response-col_status")).to_have_text(re.compile("^200"))
    await expect(operation.locator(".live-responses-table")).to_contain_text("archetypal_state")
    assert tab.errors == []
    assert elsewhere(asked, server.url) == []


async def test_redoc_shows_every_operation_and_asks_nobody_else(server: RunningServer, chromium: Chromium) -> None:
    tab, asked = await opened(chromium, f"{server.url}/redoc")
    for operation in declared():
        await expect(tab.page.locator("h2", has_text=operation.summary).first).to_be_attached()
    await tab.page.locator("input[placeholder^=Search]").press_sequentially("oracle")
    await expect(tab.page.locator("[data-role='search:results'] li").first).to_be_visible()
    assert tab.errors == []
    assert elsewhere(asked, server.url) == []


async def opened(chromium: Chromium, url: str) -> tuple[Tab, list[str]]:
    """A tab with the page, and every address that it asks, from the first on."""
    tab, asked = await chromium.tab("about:blank"), []
    tab.page.on("request", lambda request: asked.append(request.url))
    await tab.page.goto(url)
    return tab, asked


def elsewhere(asked: list[str], url: str) -> list[str]:
    return [each for each in asked if not each.startswith((f"{url}/", f"blob:{url}/", "data:"))]


async def test_requests_made_of_the_document_are_answered_as_it_says(
    server: RunningServer, played: dict[str, Played]
) -> None:
    known = await known_of(server.url, (server.data_dir / "admin.token").read_text().strip())
    found = await asyncio.to_thread(fuzz, server.url, known, FUZZ_SEED, FUZZ_EXAMPLES)
    assert found.failures == {}
    assert found.requests > 500
