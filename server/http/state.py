"""``/api/state``: a practitioner's archetypal state, its history, and what the oracle says to it."""

from __future__ import annotations

from aiohttp import web

from actors.practitioner import commands as p
from actors.runtime.codec import from_wire, invalid
from actors.runtime.entity import Address, Caller
from server.http.context import ask, gateway_of, json_body, json_response
from server.http.paging import is_number, limit_of, page_of, rows_response, uuid_in
from server.http.rituals import caller_of, change_of
from server.http.runs import given, parameters_of
from server.rituals import read, run_to_reflect


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return [
        web.get("/api/state/current", current),
        web.post("/api/state/transform", transform),
        web.get("/api/state/history", history),
        web.post("/api/state/reflection", reflection),
        web.get("/api/state/insights", insights),
    ]


async def current(request: web.Request) -> web.Response:
    """The state now, and its place in the chain."""
    caller = await caller_of(request)
    return json_response(await _ask_own(request, caller, p.GetState()))


async def transform(request: web.Request) -> web.Response:
    """One change of the state by the practitioner's own hand; the state as it is now."""
    caller, body = await caller_of(request), await json_body(request)
    if "transformation_type" not in body:
        raise invalid("transformation_type", "is required")
    fields = {
        "transformation_type": body["transformation_type"],
        "parameters": parameters_of(body, "parameters"),
    }
    command = from_wire(p.TransformState, fields)
    return json_response(await _ask_own(request, caller, command, change_of(request, caller)))


async def history(request: web.Request) -> web.Response:
    """The chain of states, newest first; ``before`` is an id or a version."""
    caller, limit = await caller_of(request), limit_of(request)
    version = request.query.get("before", "")
    before = version if is_number(version) else uuid_in(request, "before")
    return rows_response(await read(gateway_of(request).queries.states(caller.practitioner, limit, before)))


async def reflection(request: web.Request) -> web.Response:
    """The oracle's insight: into a run (``session_id``), else into the state as it is."""
    caller, body = await caller_of(request), await json_body(request) if request.can_read_body else {}
    _, session_id = given(body, "session_id")
    if session_id is not None and not isinstance(session_id, str):
        raise invalid("session_id", "must be an id (a UUID)")
    run = None if session_id is None else await run_to_reflect(gateway_of(request), caller.practitioner, session_id)
    return json_response(await _ask_own(request, caller, p.Reflect(run=run), change_of(request, caller)))


async def insights(request: web.Request) -> web.Response:
    """What the oracle told the practitioner, newest first; of one run where ``session_id`` says so."""
    caller, (limit, before) = await caller_of(request), page_of(request)
    session_id = uuid_in(request, "session_id")
    return rows_response(
        await read(gateway_of(request).queries.insights(caller.practitioner, session_id, limit, before))
    )


async def _ask_own(
    request: web.Request, caller: Caller, command: p.PractitionerCommand, operation: str | None = None
) -> bytes:
    return await ask(request, Address("practitioner", caller.practitioner), p.encode(command), caller, operation)
