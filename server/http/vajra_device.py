"""``/api/v1/audio``: the server's sound device. What sounds on it, how loud, what is measured there.

A practitioner plays one sound at a time this way (another takes its place with a crossfade) beside those of their sessions. Where
there is no device it is played all the same, in time, and ``device.status`` says why nothing is heard.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.audio import commands as c
from actors.audio.portaudio import DEFAULT, NoSound
from actors.audio.replies import DeviceState
from actors.audio.values import LIST_MAX_S, SAMPLE_RATE, DeviceName, Level
from actors.runtime.codec import Uuid, invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Conflict
from actors.runtime.link import ONCE
from server.audio_devices import KIND, check_device, devices_of
from server.http.api import Example, Operation, body_of, query_of, routes_of
from server.http.context import ask, auth_session, gateway_of, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY, at_most

TAG: Final = "Vajra audio"
BASE: Final = "/api/v1/audio"
_VOICES: Final = uuid.UUID("0f6b7a53-55c5-5a0e-8f4e-6e1cf6a0c7d1")
_FULL: Final = 32_767
JSON: Final = "application/json"

Named = Annotated[DeviceName, Meta(description="as `devices` lists it, or its index there")]
Samples = Annotated[
    list[Any],
    Meta(
        min_length=1,
        max_length=c.SAMPLES_MAX,
        description=f"in -1..1 at {SAMPLE_RATE} a second, or pairs of left and right: {LIST_MAX_S} s at most",
    ),
]


class DeviceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which device."""

    device: Named = DEFAULT


class PlayBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to sound: samples, or without them what the caller generated last."""

    audio_data: Samples | UnsetType = UNSET
    hardware_level: Annotated[int, Meta(ge=0, le=5, description="changes nothing of the sound")] | UnsetType = UNSET
    device: Named = DEFAULT


class StopBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to end: all of the caller's on a device, or one voice of it."""

    voice: Uuid | UnsetType = UNSET
    device: Named = DEFAULT


class VolumeBody(msgspec.Struct, frozen=True, kw_only=True):
    """How loud a device is."""

    volume: Annotated[Level, at_most("max_volume")]
    device: Named = DEFAULT


class Playing(msgspec.Struct, frozen=True, kw_only=True):
    """It plays. ``success`` where no samples were sent."""

    status: Literal["playing", "success"]
    voice: Uuid
    device: DeviceState


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """It fades out. ``success`` for the published client, which takes any other word for a failure."""

    status: Literal["stopped", "success"]
    device: DeviceState


class Loudness(msgspec.Struct, frozen=True, kw_only=True):
    """As it is now."""

    status: Literal["success"] = "success"
    volume: float
    device: DeviceState


class Peaks(msgspec.Struct, frozen=True, kw_only=True):
    """What is heard, measured from what was handed to the hardware: nothing where nothing sounds."""

    frequencies: Annotated[tuple[float, ...], Meta(description="Hz, the loudest first")]
    amplitudes: Annotated[tuple[float, ...], Meta(description="linear peak values, of each frequency")]


class Frequencies(msgspec.Struct, frozen=True, kw_only=True):
    """What is heard."""

    frequencies: Annotated[tuple[float, ...], Meta(description="Hz, measured, the loudest first")]


class AudioStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The seed's status, and the device."""

    is_playing: Annotated[bool, Meta(description="whether anything sounds, or would if there were a device")]
    current_session: Annotated[Uuid | None, Meta(description="the caller's session that sounds there")]
    spectrum: Peaks
    frequencies: tuple[float, ...]
    device: DeviceState


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A device of this machine."""

    index: int
    name: str
    host_api: str
    channels: int
    sample_rate: float
    latency_s: float
    default: bool


class DeviceList(msgspec.Struct, frozen=True, kw_only=True):
    """What plays on the gateway's machine."""

    devices: list[DeviceRow]
    status: Annotated[str, Meta(description="in words: why there is none")]


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def _practitioner(request: web.Request) -> str:
    return str((await auth_session(request)).practitioner_id)


async def _asked(request: web.Request, practitioner: str, device: str, command: c.AnyCommand) -> DeviceState:
    """What the device's entity answers. Raises what it refuses with, and NotFound."""
    caller = Caller(practitioner)
    name = await check_device(gateway_of(request), device)
    reads = isinstance(command, c.GetDevice)
    operation = None if reads else operation_of(caller.practitioner, idempotency_key(request)) or ONCE
    answer = await ask(request, Address(KIND, name), c.encode(command), caller, operation)
    return msgspec.json.decode(answer, type=DeviceState)


def _answer(value: msgspec.Struct) -> web.Response:
    return json_response(msgspec.json.encode(value))


async def play(request: web.Request) -> web.Response:
    """It sounds."""
    practitioner = await _practitioner(request)
    body = await body_of(request, PlayBody)
    known, voice = devices_of(gateway_of(request)), str(uuid.uuid5(_VOICES, practitioner))
    known.plays.take(practitioner)
    if isinstance(body.audio_data, UnsetType):
        recipe = known.last(practitioner)
        if recipe is None:
            raise Conflict("nothing was generated yet: POST /api/v1/audio/generate, or send audio_data")
        command: c.AnyCommand = c.Play(voice=voice, recipe=recipe)
    else:
        samples = await asyncio.to_thread(_samples, body.audio_data)
        command = c.PlaySamples(voice=voice, samples=samples)
    device = await _asked(request, practitioner, body.device, command)
    return _answer(
        Playing(status="playing" if isinstance(command, c.PlaySamples) else "success", voice=voice, device=device)
    )


def _samples(given: list[Any]) -> bytes:
    """16 bit, little-endian, mono. Raises Invalid."""
    wrong = invalid("audio_data", "must be numbers, or pairs of numbers")
    # Before numpy: of one long text in the list it would make 441,000 texts as long.
    if not all(type(each) in (int, float) or (type(each) is list and len(each) == 2) for each in given):
        raise wrong
    if any(type(each) not in (int, float) for pair in given if type(pair) is list for each in pair):
        raise wrong
    try:
        found = np.asarray(given, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise wrong from None
    if found.shape[1:] not in ((), (2,)) or not found.size:
        raise wrong
    mono = found if found.ndim == 1 else found.mean(axis=1)
    outside = np.flatnonzero(~(np.abs(found).reshape(len(found), -1).max(axis=1) <= 1))
    if len(outside):
        raise invalid(f"audio_data.{outside[0]}", "must be from -1 to 1")
    return np.round(mono * _FULL).astype("<i2").tobytes()


async def stop(request: web.Request) -> web.Response:
    """What the caller plays fades out."""
    practitioner = await _practitioner(request)
    body = await body_of(request, StopBody) if request.can_read_body else StopBody()
    voice = None if isinstance(body.voice, UnsetType) else body.voice
    device = await _asked(request, practitioner, body.device, c.Stop(voice=voice))
    return _answer(Stopped(status="success" if _is_published(request) else "stopped", device=device))


def _is_published(request: web.Request) -> bool:
    """Whether it is how the published client stops: it announces JSON and sends none. The seed's announces nothing."""
    return request.content_type == JSON and not request.body_exists


async def volume(request: web.Request) -> web.Response:
    """As it is now."""
    practitioner = await _practitioner(request)
    body = await body_of(request, VolumeBody)
    device = await _asked(request, practitioner, body.device, c.SetVolume(volume=body.volume))
    return _answer(Loudness(volume=device.volume, device=device))


async def _seen(request: web.Request) -> DeviceState:
    practitioner = await _practitioner(request)
    return await _asked(request, practitioner, query_of(request, DeviceQuery).device, c.GetDevice())


async def status(request: web.Request) -> web.Response:
    """The device, and what the caller plays on it."""
    device = await _seen(request)
    session = next((each.session for each in device.voices if each.session is not None), None)
    peaks = Peaks(frequencies=device.frequencies, amplitudes=device.amplitudes)
    playing = bool(device.voices) or device.others > 0
    return _answer(
        AudioStatus(
            is_playing=playing,
            current_session=session,
            spectrum=peaks,
            frequencies=device.frequencies,
            device=device,
        )
    )


async def spectrum(request: web.Request) -> web.Response:
    """What is heard now."""
    device = await _seen(request)
    return _answer(Peaks(frequencies=device.frequencies, amplitudes=device.amplitudes))


async def frequencies(request: web.Request) -> web.Response:
    """What is heard now."""
    return _answer(Frequencies(frequencies=(await _seen(request)).frequencies))


async def device_list(request: web.Request) -> web.Response:
    """What plays on this machine."""
    await auth_session(request)
    try:
        found, words = await devices_of(gateway_of(request)).listed(), "there is no sound device"
    except NoSound as why:
        found, words = [], str(why)
    said = f"{len(found)} found" if found else words
    return json_response(orjson.dumps({"devices": msgspec.to_builtins(found), "status": said}))


_TONE: Final = {"audio_data": [0.0, 0.05, 0.1, 0.05, 0.0]}
_NONE: Final = "not_found"
OPERATIONS: Final = (
    Operation(
        method="POST",
        path=f"{BASE}/play",
        handler=play,
        summary="Play on the server's sound device",
        description="`audio_data`, or without it what the caller generated last (as long as this gateway runs). A sound of the"
        " caller's that was begun this way is replaced. Without a device it plays in time, unheard: see `device.status`.",
        tag=TAG,
        body=PlayBody,
        reply=Playing,
        errors=(*ENTITY, _NONE, "conflict", "full", "rate_limited"),
        examples=(Example(name="audio_play", body=_TONE),),
    ),
    Operation(
        method="POST",
        path=f"{BASE}/stop",
        handler=stop,
        summary="Stop what one plays",
        description="All of the caller's on that device, their sessions' too; or one voice. `status` is `success` where a request"
        " of the type `application/json` has no body, as Vajra.Stream's own client sends it.",
        tag=TAG,
        body=StopBody,
        reply=Stopped,
        errors=(*ENTITY, _NONE, "conflict", "forbidden"),
        examples=(Example(name="audio_stop", body={}),),
    ),
    Operation(
        method="PUT",
        path=f"{BASE}/volume",
        handler=volume,
        summary="How loud the device is",
        tag=TAG,
        body=VolumeBody,
        reply=Loudness,
        errors=(*ENTITY, _NONE, "conflict"),
        examples=(Example(name="audio_volume", body={"volume": 0.8}),),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/status",
        handler=status,
        summary="What sounds on the device",
        tag=TAG,
        query=DeviceQuery,
        reply=AudioStatus,
        errors=(*ENTITY, _NONE),
        examples=(Example(name="audio_status"),),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/spectrum",
        handler=spectrum,
        summary="The spectrum of what sounds on the device",
        tag=TAG,
        query=DeviceQuery,
        reply=Peaks,
        errors=(*ENTITY, _NONE),
        examples=(Example(name="audio_spectrum"),),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/frequencies",
        handler=frequencies,
        summary="The frequencies of what sounds on the device",
        tag=TAG,
        query=DeviceQuery,
        reply=Frequencies,
        errors=(*ENTITY, _NONE),
        examples=(Example(name="audio_frequencies"),),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/devices",
        handler=device_list,
        summary="Sound devices of the server's machine",
        tag=TAG,
        reply=DeviceList,
        errors=(),
        examples=(Example(name="audio_devices"),),
    ),
)
