"""Pictures over real HTTP, of a gateway without storage: formats, caching, what is refused, and not too many at once."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
import pytest_asyncio
from gateway_fakes import until, world
from PIL import Image

from actors.runtime.errors import RateLimited
from actors.visuals.pictures import KINDS, ColorField, FlowerOfLife, pixels_of
from server import pictures
from server.limits import TooSoon

PATH = "/api/v1/visuals"
HERE = "127.0.0.1"


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with world() as there, httpx.AsyncClient(base_url=there.http) as client:
        yield client


async def test_each_kind_is_listed_with_its_bounds_and_an_example_that_works(http: httpx.AsyncClient) -> None:
    listed = (await http.get(PATH)).json()
    assert listed["status"] == "success"
    assert [each["kind"] for each in listed["visuals"]] == list(KINDS)
    flower = listed["visuals"][0]
    assert flower["parameters"]["rings"]["default"] == 2
    assert flower["parameters"]["size"] == {
        "description": "pixels a side", "type": "integer", "minimum": 16, "maximum": 2048, "default": 512,
    }  # fmt: skip
    for each in listed["visuals"]:
        assert each["example"].startswith(each["url"])
        answer = await http.get(each["example"])
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] in ("image/svg+xml", "image/png")


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_an_svg_and_a_png_of_each(http: httpx.AsyncClient, kind: str) -> None:
    drawn = await http.get(f"{PATH}/{kind}", params={"size": 48})
    assert drawn.headers["Content-Type"] == "image/svg+xml"
    assert ElementTree.fromstring(drawn.text).get("width") == "48"
    coded = await http.get(f"{PATH}/{kind}", params={"size": 48, "format": "png"})
    assert coded.headers["Content-Type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(coded.content))), pixels_of(KINDS[kind](size=48)))


async def test_a_transparent_png_has_alpha(http: httpx.AsyncClient) -> None:
    answer = await http.get(
        f"{PATH}/sri_yantra", params={"size": 32, "format": "png", "paper": "none", "ink": "#112233"}
    )
    assert Image.open(io.BytesIO(answer.content)).mode == "RGBA"


async def test_what_one_has_is_not_sent_again_and_another_address_is_another_picture(http: httpx.AsyncClient) -> None:
    first = await http.get(f"{PATH}/flower_of_life?size=32")
    assert first.headers["Cache-Control"] == "public, max-age=86400"
    again = await http.get(f"{PATH}/flower_of_life?size=32", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    other = await http.get(f"{PATH}/flower_of_life?size=33", headers={"If-None-Match": first.headers["ETag"]})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("flower_of_life?size=2049", "size"), ("flower_of_life?size=15", "size"), ("flower_of_life?size=many", "size"),
        ("flower_of_life?rings=9", "rings"), ("flower_of_life?rings=-1", "rings"), ("flower_of_life?format=gif", "format"),
        ("flower_of_life?ink=red", "ink"), ("sri_yantra?paper=%22/%3E%3Cscript%3E", "paper"), ("sri_yantra?ink=none", "ink"),
        ("metatrons_cube?stroke=nan", "stroke"), ("metatrons_cube?stroke=1", "stroke"), ("cymatics?frequency=0", "frequency"),
        ("cymatics?frequency=-1", "frequency"), ("cymatics?frequency=1e9", "frequency"), ("cymatics?frequency=nan", "frequency"),
        ("cymatics?fundamental=inf", "fundamental"), ("cymatics?plate=round", "plate"), ("spectrogram?seconds=61", "seconds"),
        ("spectrogram?start=-1", "start"), ("spectrogram?low=1000&high=1500", "high"), ("spectrogram?audio_type=x", "audio_type"),
        ("spectrogram?audio_type=binaural&frequency=10", "frequency"), ("color_field?seed=-1", "seed"),
        ("color_field?palette=beige", "palette"), ("color_field?seed=1&seed=2", "seed"),
        ("spectrogram?seconds=60" + "&frequencies=99" * 9, "seconds"),
    ],
)  # fmt: skip
async def test_what_cannot_be_drawn_is_refused_by_name(http: httpx.AsyncClient, path: str, field: str) -> None:
    answer = await http.get(f"{PATH}/{path}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [wrong["path"].strip(".$") for wrong in answer.json()["errors"]] == [field]


async def test_there_is_no_other_kind(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"{PATH}/mandala")).status_code == 404


async def test_the_same_picture_is_drawn_once_for_all_who_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(pictures, "encoded", lambda picture: drawn.append(picture) or b"picture")
    studio = pictures.Studio()
    found = await asyncio.gather(*(studio.made(ColorField(seed=seed % 2), HERE) for seed in range(10)))
    assert {each.body for each in found} == {b"picture"}
    assert len(drawn) == 2
    await studio.made(ColorField(seed=1), HERE)
    assert len(drawn) == 2, "it is kept"


async def test_too_many_at_once_are_asked_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WAITING_MAX", 3)
    monkeypatch.setattr(pictures, "encoded", lambda _: b"picture")
    studio = pictures.Studio()
    found = await asyncio.gather(*(studio.made(ColorField(seed=n), HERE) for n in range(5)), return_exceptions=True)
    refused = [each for each in found if isinstance(each, RateLimited)]
    assert len(refused) == 2
    assert refused[0].retry_after_s == pictures.RETRY_S
    assert (await studio.made(ColorField(seed=9), HERE)).body == b"picture", "there is room again"


async def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(pictures, "KEPT_BYTES", 250)
    monkeypatch.setattr(pictures, "encoded", lambda picture: drawn.append(picture.rings) or bytes(100))
    studio = pictures.Studio()
    for rings in (1, 2, 1, 3, 1, 2):  # 2 was asked for longest ago when 3 came
        await studio.made(FlowerOfLife(rings=rings), HERE)
    assert drawn == [1, 2, 3, 2]


async def test_a_failure_is_not_kept_and_all_who_wait_hear_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(pictures, "encoded", fails)
    studio = pictures.Studio()
    found = await asyncio.gather(
        studio.made(ColorField(), HERE), studio.made(ColorField(), HERE), return_exceptions=True
    )
    assert [type(each) for each in found] == [MemoryError, MemoryError]
    monkeypatch.setattr(pictures, "encoded", lambda _: b"picture")
    assert (await studio.made(ColorField(), HERE)).body == b"picture"


async def test_what_nobody_waits_for_any_more_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, go = [], threading.Event()

    def slowly(picture: ColorField) -> bytes:
        drawn.append(picture.seed)
        go.wait(10)
        return b"picture"

    monkeypatch.setattr(pictures, "encoded", slowly)
    studio = pictures.Studio()
    first, second, left, shared, also = (
        asyncio.create_task(studio.made(ColorField(seed=n), HERE)) for n in (1, 2, 3, 4, 4)
    )
    await until(lambda: len(drawn) == 2)
    for gone in (second, left, shared):
        gone.cancel()
    await asyncio.wait((second, left, shared))
    go.set()
    assert (await first).body == (await also).body == b"picture"
    assert sorted(drawn) == [1, 2, 4], "3 is nobody's, 4 is still somebody's, and what was begun is done"
    assert (await studio.made(ColorField(seed=3), HERE)).body == b"picture", "it can be asked for again"


async def test_one_address_keeps_no_other_from_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "encoded", lambda _: b"picture")
    studio = pictures.Studio()
    found = await asyncio.gather(
        *(studio.made(ColorField(seed=n), HERE) for n in range(10)), studio.made(ColorField(seed=99), "10.0.0.1"),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(each) for each in found] == [pictures.Ready] * 8 + [TooSoon] * 2 + [pictures.Ready]
    lifted = pictures.Studio(lifted=True)
    await asyncio.gather(*(lifted.made(ColorField(seed=n), HERE) for n in range(pictures.WAITING_MAX)))


async def test_an_address_has_a_rate_of_drawings_and_what_is_kept_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "encoded", lambda _: b"picture")
    now = [0.0]
    studio = pictures.Studio(lambda: now[0])
    for n in range(pictures.PER_MINUTE):
        await studio.made(ColorField(seed=n), HERE)
    with pytest.raises(TooSoon):
        await studio.made(ColorField(seed=1_000), HERE)
    await studio.made(ColorField(seed=0), HERE)
    await studio.made(ColorField(seed=1_000), "10.0.0.1")
    now[0] = 60.0
    await studio.made(ColorField(seed=1_001), HERE)
