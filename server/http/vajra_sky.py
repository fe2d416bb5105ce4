"""The sky of a moment in few words, for what begins under it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from actors.runtime.errors import SanghaError
from server.http.vajra_astrology import SKY
from server.sky import readings


async def sky_of(request: web.Request) -> dict[str, Any]:
    """The Moon's phase and where the bodies are now, to the second, by the names of ``GET /api/v1/astrology/current``, as JSON
    values. Where the desk cannot tell, ``missing`` says why."""
    at, desk = datetime.now(UTC).replace(microsecond=0), request.app[SKY]
    said: dict[str, Any] = {"at": msgspec.to_builtins(at)}
    try:
        found, phase = await desk.ask(readings.positions, at), await desk.ask(readings.moon_phase, at)
    except SanghaError as failure:
        return said | {"missing": str(failure)}
    said["moon_phase"] = {name: getattr(phase, name) for name in ("phase", "phase_name", "illumination")}
    said["planetary_positions"] = {
        each.body: {"longitude": each.longitude, "shown": each.shown, "retrograde": each.retrograde} for each in found
    }
    return said
