"""The page's files over real HTTP: types, entity tags, gzip, and nothing that is not one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from gateway_fakes import world

from server.http import pages

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with world() as there, httpx.AsyncClient(base_url=there.http) as client:
        yield client


async def test_a_browser_gets_the_page_and_a_program_the_json(http: httpx.AsyncClient) -> None:
    page = await http.get("/", headers=BROWSER)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert "Accept" in page.headers["Vary"]
    assert (await http.get("/")).json()["name"] == "sangha"
    assert (await http.get("/operator", headers=BROWSER)).status_code == 200
    assert (await http.get("/eustress", headers=BROWSER)).status_code == 200
    assert (await http.get("/audio", headers=BROWSER)).status_code == 200


async def test_what_the_browser_has_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/static/sangha.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = await http.get("/static/sangha.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert (await http.get("/static/sangha.js", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_text_comes_packed_where_that_is_understood(http: httpx.AsyncClient) -> None:
    plain = await http.get("/static/client/state.js", headers={"Accept-Encoding": "identity"})
    packed = await http.get("/static/client/state.js", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.text == plain.text
    assert packed.headers["ETag"] != plain.headers["ETag"]


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.woff2", "font/woff2"),
        ("deep/er/a.css", "text/css; charset=utf-8"),
    ],
)
async def test_each_type_is_named(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, media: str
) -> None:
    monkeypatch.setattr(pages, "WEB", tmp_path)
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"what is in it")
    answer = await http.get(f"/static/{name}")
    assert (answer.headers["Content-Type"], answer.content) == (media, b"what is in it")


async def test_a_file_that_changed_is_read_again(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "WEB", tmp_path)
    (tmp_path / "changing.js").write_text("one")
    tag = (await http.get("/static/changing.js")).headers["ETag"]
    (tmp_path / "changing.js").write_text("two and more")
    answer = await http.get("/static/changing.js", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.text) == (200, "two and more")


@pytest.mark.parametrize(
    "path",
    [
        "/static/", "/static/client", "/static/client/", "/static/nothing.js", "/static/../http/pages.py",
        "/static/%2e%2e/http/pages.py", "/static/..%2fsettings.py", "/static/client/..%2f..%2fsettings.js", "/static//etc/passwd",
        "/static/%2fetc%2fhosts.txt", "/static/.hidden.js", "/static/client\\state.js", "/static/%00.js", "/static/linked.js",
        "/static/" + "a" * 300 + ".js", "/static/unknown.type", "/static/%ff.js",
    ],
)  # fmt: skip
async def test_nothing_else_is_served(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    web, outside = tmp_path / "web", tmp_path / "settings.js"
    (web / "client").mkdir(parents=True)
    for file in (web / "client" / "state.js", web / ".hidden.js", web / "unknown.type", outside):
        file.write_text("secret")
    (web / "linked.js").symlink_to(outside)
    monkeypatch.setattr(pages, "WEB", web)
    answer = await http.request("GET", httpx.URL(f"{http.base_url}").copy_with(raw_path=path.encode()))
    assert answer.status_code in (400, 404)
    assert "secret" not in answer.text


async def test_crawlers_and_tabs_find_what_they_look_for(http: httpx.AsyncClient) -> None:
    assert "Disallow" in (await http.get("/robots.txt")).text
    assert (await http.get("/favicon.ico")).headers["Content-Type"] == "image/svg+xml"
