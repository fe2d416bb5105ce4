"""``/api/v1/hardware``: the desk beside the sound. One a server, shared by all who may come in; ``simulated`` says that there is
no hardware behind it.

A switch says how something is to be, so that it may be repeated; an ``Idempotency-Key`` changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from actors.hardware import values as v
from actors.runtime.entity import Address
from server.http.api import Example, Operation, body_of, command_of, routes_of
from server.http.context import ask, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY, body_like
from server.http.rituals import caller_of

TAG: Final = "Vajra hardware"
PREFIX: Final = "/api/v1/hardware"
ADDRESS: Final = Address("hardware", "desk")
LevelBody: Final = body_like(v.SetLevel, "LevelBody", doc="A number that is kept; nothing follows from it.")
AmplifierBody: Final = body_like(v.SetAmplifier, "AmplifierBody", doc="What is given changes.")
CrystalGridBody: Final = body_like(v.SetCrystalGrid, "CrystalGridBody", doc="What is given changes.")
BassShakerBody: Final = body_like(v.SetBassShaker, "BassShakerBody", doc="What is given changes.")


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """The level alone."""

    level: v.Level
    simulated: bool


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def _asked(request: web.Request, command: v.AnyCommand) -> v.Hardware:
    caller = await caller_of(request)
    operation = operation_of(caller.practitioner, idempotency_key(request))  # the worker answers a repetition alike
    answer = await ask(request, ADDRESS, v.encode(command), caller, operation)
    return v.hardware_codec.decode(v.hardware_codec.format, answer)


def _shown(value: Any) -> web.Response:
    return json_response(msgspec.json.encode(value))


async def status(request: web.Request) -> web.Response:
    """All of it."""
    return _shown(await _asked(request, v.GetHardware()))


async def level(request: web.Request) -> web.Response:
    """The level."""
    found = await _asked(request, v.GetHardware())
    return _shown(Level(level=found.level, simulated=found.simulated))


async def set_level(request: web.Request) -> web.Response:
    """Another level."""
    await caller_of(request)
    found = await _asked(request, command_of(v.SetLevel, await body_of(request, LevelBody)))
    return _shown(Level(level=found.level, simulated=found.simulated))


async def amplifier(request: web.Request) -> web.Response:
    """Switch it."""
    return await _switched(request, v.SetAmplifier, AmplifierBody)


async def crystal_grid(request: web.Request) -> web.Response:
    """Switch it."""
    return await _switched(request, v.SetCrystalGrid, CrystalGridBody)


async def bass_shaker(request: web.Request) -> web.Response:
    """Switch it."""
    return await _switched(request, v.SetBassShaker, BassShakerBody)


async def _switched(request: web.Request, command: Any, body: Any) -> web.Response:
    await caller_of(request)
    return _shown(await _asked(request, command_of(command, await body_of(request, body))))


async def all_off(request: web.Request) -> web.Response:
    """Everything at once."""
    return _shown(await _asked(request, v.AllOff()))


_DESK: Final[dict[str, Any]] = {"tag": TAG, "reply": v.Hardware, "errors": ENTITY}
_FOR_SO_LONG: Final = "Switched on, or changed while it is on, it is on for `duration_s`, and off after that."
OPERATIONS: Final = (
    Operation(
        method="GET",
        path=f"{PREFIX}/status",
        handler=status,
        summary="The hardware as it is",
        description="`simulated` is true where nothing is behind it. After a restart everything is off.",
        examples=(Example(name="hardware"),),
        **_DESK,
    ),
    Operation(
        method="GET",
        path=f"{PREFIX}/level",
        handler=level,
        summary="The level of equipment",
        tag=TAG,
        reply=Level,
        errors=ENTITY,
        examples=(Example(name="hardware_level"),),
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/level",
        handler=set_level,
        summary="Say which level of equipment there is",
        description="1 to 5, as the setting HARDWARE_LEVEL; a number that is kept until a restart. Nothing follows from it.",
        tag=TAG,
        body=LevelBody,
        reply=Level,
        errors=ENTITY,
        examples=(Example(name="set_hardware_level", body={"level": 3}),),
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/amplifier",
        handler=amplifier,
        summary="Switch the amplifier",
        description=f"`conflict` where none is connected (the setting AMPLIFIER_CONNECTED). {_FOR_SO_LONG}",
        body=AmplifierBody,
        examples=(Example(name="amplifier", body={"intensity": 0.4}),),
        **_DESK | {"errors": (*ENTITY, "conflict")},
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/crystal-grid",
        handler=crystal_grid,
        summary="Switch the crystal grid",
        description=_FOR_SO_LONG,
        body=CrystalGridBody,
        examples=(Example(name="crystal_grid", body={"on": True, "frequency_hz": 528, "duration_s": 60}),),
        **_DESK,
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/bass-shaker",
        handler=bass_shaker,
        summary="Switch the bass shaker",
        description=_FOR_SO_LONG,
        body=BassShakerBody,
        examples=(Example(name="bass_shaker", body={"on": True, "frequency_hz": 40, "intensity": 0.3}),),
        **_DESK,
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/off",
        handler=all_off,
        summary="Switch everything off",
        examples=(Example(name="hardware_off"),),
        **_DESK,
    ),
)
