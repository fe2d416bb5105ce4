"""Sounds over HTTP without shards: samples, streamed files, spectra, presets; what is refused; a client that leaves."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from gateway_fakes import ALICE, BOB, World, until, world

from actors.audio.presets import Sound, made
from actors.audio.render import frames_of, render
from server.audio_devices import devices_of
from server.http import vajra_rendering
from server.http.vajra_rendering import places_of
from server.limits import TooSoon

AUDIO = "/api/v1/audio"


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as here:
        here.queries.login("t", ALICE)
        yield here


@pytest.fixture
async def http(w: World) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer t"}
    async with httpx.AsyncClient(base_url=w.http, headers=headers, timeout=20) as client:
        yield client


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    assert answer.json()["detail"]
    return answer.status_code, answer.json()["errors"][0]["path"]


async def test_a_short_sound_is_a_list_of_its_samples(http: httpx.AsyncClient) -> None:
    body = {"type": "solfeggio", "frequency": 528, "duration": 0.5, "intention": "peace"}
    answer = (await http.post(f"{AUDIO}/generate", json=body)).json()
    assert (answer["status"], answer["sample_rate"], answer["channels"]) == ("success", 44_100, 1)
    expected = render(made(Sound(audio_type="solfeggio", duration_s=0.5)).recipe, 0, 22_050)[:, 0]
    assert np.asarray(answer["audio_data"], dtype=np.float32).tolist() == expected.tolist()
    assert answer["samples"] == len(answer["audio_data"])


async def test_a_binaural_sound_is_a_list_of_pairs(http: httpx.AsyncClient) -> None:
    body = {"type": "binaural", "base_frequency": 300, "beat_frequency": 10, "duration": 0.1, "frequency": 99}
    answer = (await http.post(f"{AUDIO}/generate", json=body)).json()
    assert answer["frequencies"] == [300.0]
    assert np.asarray(answer["audio_data"]).shape == (4_410, 2)
    assert answer["channels"] == 2


async def test_a_long_sound_says_where_it_is_streamed_from(http: httpx.AsyncClient) -> None:
    answer = (await http.post(f"{AUDIO}/generate", json={})).json()
    assert answer["status"] == "success"
    assert answer["audio_data"] is None
    assert answer["samples"] == 300 * 44_100
    async with http.stream("GET", answer["url"]) as wav:
        assert wav.headers["Content-Length"] == str(44 + 4 * answer["samples"])
        assert wav.headers["Content-Type"] == "audio/wav"


async def test_what_was_generated_last_is_what_would_be_played(w: World, http: httpx.AsyncClient) -> None:
    for hz in (300.0, 528.0):
        await http.post(f"{AUDIO}/generate", json={"type": "solfeggio", "frequency": hz})
    assert devices_of(w.gateway).last(ALICE) == made(Sound(audio_type="solfeggio", frequency=528.0)).recipe


async def test_the_url_of_a_sound_is_that_sound(http: httpx.AsyncClient) -> None:
    body = {"type": "chord", "frequencies": [7.83, 136.1, 528], "volume": 0.7, "duration": 0.2, "pure_sine": True}
    answer = (await http.post(f"{AUDIO}/generate", json=body)).json()
    assert "7.83 Hz is below 20 Hz" in answer["notes"][0]
    samples, _ = soundfile.read(io.BytesIO((await http.get(answer["url"])).content), dtype="float32")
    assert np.abs(samples[:, 0] - np.asarray(answer["audio_data"])).max() < 1e-4


@pytest.mark.parametrize(
    ("format_", "media", "rate", "off_by"),
    [
        ("wav", "audio/wav", 44_100, 1e-4),
        ("flac", "audio/flac", 44_100, 1e-4),
        ("ogg", "audio/ogg", 44_100, 0.05),
        ("opus", "audio/ogg; codecs=opus", 48_000, 0.05),
    ],
)
async def test_a_sound_is_a_file_of_each_format(
    http: httpx.AsyncClient, format_: str, media: str, rate: int, off_by: float
) -> None:
    query = {"type": "pure_sine", "frequency": 528, "duration": 1.5, "format": format_}
    answer = await http.get(f"{AUDIO}/render", params=query)
    assert answer.headers["Content-Type"] == media
    assert answer.headers["Content-Disposition"] == f'inline; filename="pure_sine-528Hz.{format_}"'
    samples, found = soundfile.read(io.BytesIO(answer.content), dtype="float32")
    recipe = made(Sound(audio_type="pure_sine", frequency=528.0, duration_s=1.5)).recipe
    expected = render(recipe, 0, frames_of(recipe, rate), rate)
    assert found == rate
    assert np.abs(samples[: len(expected)] - expected).max() < off_by
    assert np.abs(samples[len(expected) :]).max(initial=0) < 5e-3


async def test_a_spectrum_is_measured_where_it_was_asked_for(http: httpx.AsyncClient) -> None:
    query: dict[str, Any] = {"type": "chord", "frequency": 528, "volume": 0.4, "duration": 4, "position": 2}
    found = (await http.get(f"{AUDIO}/render/spectrum", params=query)).json()
    assert found["frequencies"] == [pytest.approx(528, abs=0.01)]
    assert found["amplitudes"] == [pytest.approx(0.4, abs=1e-4)]
    assert len(found["bands"]) == 64
    silent = await http.get(f"{AUDIO}/render/spectrum", params=query | {"position": 5})
    assert refused(silent) == (422, "position")


async def test_presets_and_ranges_are_the_published_clients_and_can_be_generated(http: httpx.AsyncClient) -> None:
    answer = (await http.get(f"{AUDIO}/presets")).json()
    assert answer["status"] == "success"
    assert answer["count"] == len(answer["presets"]) > 0
    for preset in answer["presets"].values():
        made_ = await http.post(f"{AUDIO}/generate", json=preset | {"duration": 0.01})
        assert made_.json()["frequencies"] == [preset["frequency"]]
    ranges = (await http.get(f"{AUDIO}/frequencies/range")).json()
    assert ranges["status"] == "success"
    assert ranges["ranges"]["blessing"]["frequencies"] == [7.83, 136.1, 528, 639, 741]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"frequency": 0}, "frequency"),
        ({"frequency": -1}, "frequency"),
        ({"frequency": 1e9}, "frequency"),
        ({"duration": 365 * 86_400}, "duration"),
        ({"duration": 0}, "duration"),
        ({"volume": 0.81}, "volume"),
        ({"volume": -0.1}, "volume"),
        ({"frequencies": [432.0] * 10_000}, "frequencies"),
        ({"frequencies": [432.0, 0]}, "frequencies[1]"),
        ({"type": "noise"}, "type"),
        ({"type": "binaural", "frequency": 10}, "frequency"),
        ({"beat_frequency": 0}, "beat_frequency"),
        ({"harmonic_strength": 1.5}, "harmonic_strength"),
        ({"intention": "x" * 2_001}, "intention"),
    ],
)
async def test_what_cannot_sound_is_refused_at_its_field(http: httpx.AsyncClient, body: Any, path: str) -> None:
    assert refused(await http.post(f"{AUDIO}/generate", json=body)) == (422, path)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("frequency=nan", "frequency"),
        ("frequency=1e400", "frequency"),
        ("volume=nan", "volume"),
        ("duration=inf", "duration"),
        ("format=mp3", "format"),
        ("frequency=1&frequency=2", "frequency"),
        ("frequencies=-1", "frequencies[0]"),
    ],
)
async def test_what_cannot_be_rendered_is_refused_at_its_field(http: httpx.AsyncClient, query: str, path: str) -> None:
    assert refused(await http.get(f"{AUDIO}/render?{query}")) == (422, path)


async def test_not_a_number_is_no_json(http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{AUDIO}/generate", content=b'{"frequency": NaN}')
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_the_servers_own_ceiling_counts() -> None:
    async with world(max_volume=0.3) as w, httpx.AsyncClient(base_url=w.http) as http:
        w.queries.login("t", ALICE)
        http.headers["Authorization"] = "Bearer t"
        answer = await http.post(f"{AUDIO}/generate", json={"volume": 0.4})
        assert answer.json()["errors"] == [{"path": "volume", "message": "at most 0.3"}]


async def test_who_has_no_login_hears_nothing(w: World) -> None:
    async with httpx.AsyncClient(base_url=w.http) as http:
        assert [(await http.get(f"{AUDIO}/{path}")).status_code for path in ("render", "presets")] == [401, 401]


async def test_a_client_that_leaves_ends_the_rendering_and_gives_its_place_back() -> None:
    async with world(audio_renders=1) as w, httpx.AsyncClient(base_url=w.http) as http:
        w.queries.login("t", ALICE)
        http.headers["Authorization"] = "Bearer t"
        places = places_of(w.gateway).files
        day = {"type": "chord", "duration": 86_400}
        async with http.stream("GET", f"{AUDIO}/render", params=day) as answer:
            first = await anext(answer.aiter_raw())
            assert first[:4] == b"RF64"
            assert places.taken == 1
            full = await http.get(f"{AUDIO}/render", params=day)
            assert (full.status_code, full.headers["Retry-After"]) == (429, "5")
            assert (await http.get(f"{AUDIO}/presets")).status_code == 200
        await until(lambda: places.taken == 0)


async def test_one_practitioner_has_a_share_of_the_places_and_short_work_has_its_own() -> None:
    day = {"type": "chord", "duration": 86_400}
    async with world() as w, httpx.AsyncClient(base_url=w.http) as http, AsyncExitStack() as open_:
        w.queries.login("t", ALICE)
        w.queries.login("u", BOB)
        http.headers["Authorization"] = "Bearer t"
        for _ in range(vajra_rendering.EACH):
            answer = await open_.enter_async_context(http.stream("GET", f"{AUDIO}/render", params=day))
            assert answer.status_code == 200
        more = await http.get(f"{AUDIO}/render", params=day)
        assert (more.status_code, more.json()["code"]) == (429, "rate_limited")
        assert "of yours" in more.json()["detail"]
        theirs = await open_.enter_async_context(
            http.stream("GET", f"{AUDIO}/render", params=day, headers={"Authorization": "Bearer u"})
        )
        assert theirs.status_code == 200, "others have theirs"
        short = await http.post(f"{AUDIO}/generate", json={"duration": 0.1})
        assert short.status_code == 200, "and a list of samples waits for no download"
        assert (await http.get(f"{AUDIO}/render/spectrum")).status_code == 200
        assert places_of(w.gateway).short.taken == 0
        assert places_of(w.gateway).files.taken == vajra_rendering.EACH + 1


async def test_a_load_test_has_all_places() -> None:
    async with world(lab=True) as w:
        places = places_of(w.gateway).files
        async with AsyncExitStack() as taken:
            for _ in range(32):
                await taken.enter_async_context(places.one(ALICE))
            with pytest.raises(TooSoon, match="no more may be"):
                await taken.enter_async_context(places.one(ALICE))
        assert places.taken == 0


async def test_a_part_of_a_wav_can_be_asked_for(http: httpx.AsyncClient) -> None:
    query = {"type": "pure_sine", "frequency": 528, "duration": 1.5}
    whole = await http.get(f"{AUDIO}/render", params=query)
    assert whole.headers["Accept-Ranges"] == "bytes"
    size, tag = len(whole.content), whole.headers["ETag"]
    for asked, start, stop in (
        ("bytes=0-9", 0, 10), ("bytes=40-100000", 40, 100_001), ("bytes=200000-", 200_000, size), ("bytes=-7", size - 7, size),
        (f"bytes=9-{10**12}", 9, size),
    ):  # fmt: skip
        part = await http.get(f"{AUDIO}/render", params=query, headers={"Range": asked, "If-Range": tag})
        assert (part.status_code, part.headers["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/{size}")
        assert part.content == whole.content[start:stop]
    for asked in (f"bytes={size}-", "bytes=-0"):
        beyond = await http.get(f"{AUDIO}/render", params=query, headers={"Range": asked})
        assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}"), asked
    assert beyond.json()["detail"].startswith(f"the file has {size} bytes")
    for other in ({"Range": "bytes=0-1,5-6"}, {"Range": "lines=1-2"}, {"Range": "bytes=0-1", "If-Range": '"old"'}):
        answer = await http.get(f"{AUDIO}/render", params=query, headers=other)
        assert (answer.status_code, len(answer.content)) == (200, size)
    assert (await http.get(f"{AUDIO}/render", params=query, headers={"If-None-Match": tag})).status_code == 304


async def test_of_a_format_without_a_known_length_there_are_no_parts(http: httpx.AsyncClient) -> None:
    query = {"type": "pure_sine", "duration": 0.1, "format": "flac"}
    answer = await http.get(f"{AUDIO}/render", params=query, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["Accept-Ranges"]) == (200, "none")
    assert soundfile.info(io.BytesIO(answer.content)).frames == 4_410


async def test_what_fails_midway_is_cut_off_and_not_ended(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(recipe: Any, format_: Any) -> Any:
        yield b"RIFF"
        raise RuntimeError("no more")

    monkeypatch.setattr(vajra_rendering, "encoded", broken)
    async with httpx.AsyncClient(base_url=w.http, headers={"Authorization": "Bearer t"}) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"{AUDIO}/render?format=flac&duration=1")
    await until(lambda: places_of(w.gateway).files.taken == 0)


async def test_a_client_that_takes_nothing_is_cut_off(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vajra_rendering, "STALL_S", 0.05)
    host, port = w.http.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1_024)
    writer.write(
        f"GET {AUDIO}/render?duration=86400 HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer t\r\n\r\n".encode()
    )
    await reader.readexactly(100)
    await until(lambda: places_of(w.gateway).files.taken == 0)
    writer.close()


def crossing() -> dict[str, Any]:
    """A preset that becomes another, and a beat beneath."""
    return {
        "duration": 0.4,
        "volume": 0.8,
        "layers": [
            {"type": "pure_sine", "frequency": 440, "ends": 0.3, "fade_out": 0.2},
            {"type": "chord", "frequencies": [264, 330.5], "begins": 0.1, "fade_in": 0.2},
            {"type": "binaural", "frequency": 200, "beat_frequency": 6, "volume": 0.25},
        ],
    }


async def test_one_request_layers_sounds_and_its_url_is_the_same_sound(http: httpx.AsyncClient) -> None:
    answer = (await http.post(f"{AUDIO}/generate", json=crossing())).json()
    assert answer["frequencies"] == [440, 264, 330.5, 200]
    assert answer["channels"] == 2
    assert "add up to 1.25" in answer["notes"][-1]
    given = await http.get(answer["url"])
    assert 'filename="layers-440Hz.wav"' in given.headers["Content-Disposition"]
    samples, _ = soundfile.read(io.BytesIO(given.content), dtype="float32")
    assert np.abs(samples - np.asarray(answer["audio_data"])).max() < 1e-4
    query = answer["url"].partition("?")[2].replace("format=wav", "position=0.35")
    assert 331 in map(round, (await http.get(f"{AUDIO}/render/spectrum?{query}")).json()["frequencies"])


async def test_the_longest_layers_fit_an_address(http: httpx.AsyncClient) -> None:
    layer = {
        "type": "prayer_bowl", "frequencies": [12345.678901234567 - n for n in range(8)], "frequency": 12345.678901234567,
        "beat_frequency": 12.345678901234567, "volume": 0.12345678901234567, "pure_sine": True, "prayer_bowl_mode": False,
        "harmonic_strength": 0.12345678901234567, "modulation_depth": 0.12345678901234567, "begins": 12345.678901234567,
        "ends": 23456.789012345678, "fade_in": 123.45678901234567, "fade_out": 123.45678901234567,
    }  # fmt: skip
    body = {"duration": 86_000, "layers": [layer] * 8}
    answer = (await http.post(f"{AUDIO}/generate", json=body)).json()
    async with http.stream("GET", answer["files"]["opus"]) as given:
        assert given.status_code == 200


@pytest.mark.parametrize(
    ("layers", "path"),
    [
        ([{"frequency": 0}], "layers[0].frequency"),
        ([{}, {"type": "noise"}], "layers[1].type"),
        ([{}, {"begins": 400}], "layers[1].begins"),
        ([{"type": "binaural", "frequency": 10}], "layers[0].frequency"),
        ([{"volume": 2}], "layers[0].volume"),
        ([{}] * 9, "layers"),
        ("bowl", "layers"),
    ],
)
async def test_a_layer_that_cannot_sound_is_refused_at_its_field(
    http: httpx.AsyncClient, layers: Any, path: str
) -> None:
    assert refused(await http.post(f"{AUDIO}/generate", json={"layers": layers})) == (422, path)
    text = json.dumps(layers)
    assert refused(await http.get(f"{AUDIO}/render", params={"layers": text})) == (422, path)


async def test_layers_that_are_no_json_are_refused(http: httpx.AsyncClient) -> None:
    assert refused(await http.get(f"{AUDIO}/render?layers=%5B")) == (422, "layers")
    assert refused(await http.get(f"{AUDIO}/render", params={"layers": "[" * 2_000})) == (422, "layers")


async def test_a_list_that_nobody_takes_gives_its_place_back(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vajra_rendering, "STALL_S", 0.2)
    host, port = w.http.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1_024)
    body = b'{"type": "binaural", "duration": 10}'  # some 15 MB: more than the kernel keeps for a client
    head = f"POST {AUDIO}/generate HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer t\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    places = places_of(w.gateway).short
    await until(lambda: places.taken == 1)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await until(lambda: places.taken == 0)
    writer.close()
