"""``/api/v1/audio``: the server's sound device. What sounds on it, how loud, what is measured there.

A practitioner plays one sound at a time this way (another takes its place with a crossfade) beside those of their sessions. Where
there is no device it is played all the same, in time, and ``device.status`` says why nothing is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.audio import commands as c
from actors.audio.conduct import END_STEP, NOT_THE_OPERATOR
from actors.audio.portaudio import DEFAULT, Device, NoSound
from actors.audio.replies import DeviceState, PlayingVoice, Stopping
from actors.audio.values import LIST_MAX_S, SAMPLE_RATE, DeviceName, Level
from actors.audio_session import commands as session
from actors.runtime.codec import Uuid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Conflict, Forbidden, NotFound, Unauthenticated
from actors.runtime.link import ONCE
from server.audio_devices import KIND, check_device, devices_of, elsewhere, name_of, seen_asleep
from server.audio_sessions import KIND as SESSION
from server.http.api import Example, Operation, body_from, body_of, query_of, routes_of
from server.http.context import (
    ask,
    auth_session,
    gateway_of,
    has_admin_token,
    idempotency_key,
    json_response,
    operation_of,
)
from server.http.contract import ENTITY, JSON, at_most
from server.http.samples import BODY_BYTES, read_samples
from server.local_user import ID as LOCAL
from server.service import OPERATOR

TAG: Final = "Vajra audio"
BASE: Final = "/api/v1/audio"
_VOICES: Final = uuid.UUID("0f6b7a53-55c5-5a0e-8f4e-6e1cf6a0c7d1")

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
    everyone: Annotated[bool, Meta(description="whoever plays it: the local user's right, or the admin token's")] = (
        False
    )
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


class DeviceList(msgspec.Struct, frozen=True, kw_only=True):
    """What plays on the gateway's machine."""

    devices: list[Device]
    status: Annotated[str, Meta(description="in words: why there is none")]
    elsewhere: Annotated[
        list[str],
        Meta(description="`ADDRESS/default` of each other node of the cluster: whether it has sound its status says"),
    ] = []


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def _practitioner(request: web.Request) -> str:
    return str((await auth_session(request)).practitioner_id)


async def _caller(request: web.Request) -> Caller:
    """A practitioner, or whoever has the admin token. Raises Unauthenticated."""
    return Caller(OPERATOR if has_admin_token(request) else await _practitioner(request))


def _check_operator(caller: Caller) -> None:
    """Whoever has the admin token, or the local user. Raises Forbidden."""
    if caller.practitioner not in (OPERATOR, LOCAL):
        raise Forbidden(NOT_THE_OPERATOR)


async def _asked(request: web.Request, caller: Caller, device: str, command: c.AnyCommand, step: str = "") -> bytes:
    """What the device's entity (by its one name) answers. ``step``: of a request that asks it several things. Raises what it
    refuses with."""
    operation = operation_of(caller.practitioner, idempotency_key(request))
    operation = ONCE if operation is None else operation + step
    return await ask(request, Address(KIND, device), c.encode(command), caller, operation)


def _state(answer: bytes) -> DeviceState:
    return msgspec.json.decode(answer, type=DeviceState)


def _answer(value: msgspec.Struct) -> web.Response:
    return json_response(msgspec.json.encode(value))


async def play(request: web.Request) -> web.Response:
    """It sounds."""
    caller = Caller(await _practitioner(request))
    gateway = gateway_of(request)
    known = devices_of(gateway)
    known.plays.take(caller.practitioner)
    samples, fields = await read_samples(request, known.places, caller.practitioner)
    body = body_from(request, fields, PlayBody)
    name = await check_device(gateway, body.device, caller.practitioner)
    voice = str(uuid.uuid5(_VOICES, f"{caller.practitioner}/{name}"))
    if samples is not None:
        command: c.AnyCommand = c.PlaySamples(voice=voice, samples=samples.data, channels=samples.channels)
    elif recipe := known.last(caller.practitioner):
        command = c.Play(voice=voice, recipe=recipe)
    else:
        raise Conflict("nothing was generated yet: POST /api/v1/audio/generate, or send audio_data")
    device = _state(await _asked(request, caller, name, command))
    return _answer(Playing(status="success" if samples is None else "playing", voice=voice, device=device))


async def stop(request: web.Request) -> web.Response:
    """What the caller plays fades out, or what everyone plays; sessions are stopped as sessions."""
    caller = await _caller(request)
    body = await body_of(request, StopBody) if request.can_read_body else StopBody()
    if body.everyone:
        _check_operator(caller)
    elif caller.practitioner == OPERATOR:
        raise Unauthenticated("to stop one's own takes a login; the admin token stops everyone's")
    voice = None if isinstance(body.voice, UnsetType) else body.voice
    name = await name_of(gateway_of(request), body.device)
    if (asleep := await seen_asleep(gateway_of(request), name)) is not None:
        return _answer(Stopped(status="success" if _is_published(request) else "stopped", device=asleep))
    answer = await _asked(request, caller, name, c.Stop(voice=voice, everyone=body.everyone))
    stopping = msgspec.json.decode(answer, type=Stopping)
    device = stopping.device
    if stopping.sessions:
        await asyncio.gather(*(_session_stopped(request, caller, each) for each in stopping.sessions))
        voices = tuple(c.Named(each.id, each.timeline) for each in stopping.sessions)
        ends = c.EndVoices(voices=voices, everyone=body.everyone)
        device = _state(await _asked(request, caller, name, ends, END_STEP))
    return _answer(Stopped(status="success" if _is_published(request) else "stopped", device=device))


async def _session_stopped(request: web.Request, caller: Caller, voice: PlayingVoice) -> None:
    """As its owner would. One that is no more does not run either."""
    operation = operation_of(caller.practitioner, idempotency_key(request)) or ONCE
    address = Address(SESSION, voice.session or voice.id)
    with contextlib.suppress(NotFound):
        await ask(request, address, session.encode(session.Stop()), Caller(voice.owner), operation)


def _is_published(request: web.Request) -> bool:
    """Whether it is how the published client stops: it announces JSON and sends none. The seed's announces nothing."""
    return request.content_type == JSON and not request.body_exists


async def volume(request: web.Request) -> web.Response:
    """As it is now."""
    caller = await _caller(request)
    _check_operator(caller)
    body = await body_of(request, VolumeBody)
    name = await name_of(gateway_of(request), body.device)
    device = _state(await _asked(request, caller, name, c.SetVolume(volume=body.volume, operator=True)))
    return _answer(Loudness(volume=body.volume, device=device))


async def _seen(request: web.Request) -> DeviceState:
    """A look starts no actor, but the default device's."""
    caller = Caller(await _practitioner(request))
    gateway = gateway_of(request)
    name = await name_of(gateway, query_of(request, DeviceQuery).device)
    asleep = await seen_asleep(gateway, name)
    if asleep is not None:
        return asleep
    return _state(await ask(request, Address(KIND, name), c.encode(c.GetDevice()), caller))


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
    gateway = gateway_of(request)
    try:
        found, words = await devices_of(gateway).listed(), "there is no sound device"
    except NoSound as why:
        found, words = [], str(why)
    said = f"{len(found)} found" if found else words
    return _answer(DeviceList(devices=found, status=said, elsewhere=await elsewhere(gateway)))


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
        body_bytes=BODY_BYTES,
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
        body_optional=True,
        reply=Stopped,
        errors=(*ENTITY, _NONE, "conflict", "forbidden"),
        examples=(Example(name="audio_stop", body={}),),
    ),
    Operation(
        method="PUT",
        path=f"{BASE}/volume",
        handler=volume,
        summary="How loud the device is",
        description="Of all that sounds on it, so this is its operator's: with the admin token, or of the local user where there"
        " is one. A practitioner's own sound has a `volume` of its own.",
        tag=TAG,
        access="admin",
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
        errors=("actor_unavailable",),
        examples=(Example(name="audio_devices"),),
    ),
)
