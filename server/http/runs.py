"""``/api/rituals/execute``, ``/rate`` and ``/sessions``: a practitioner's runs, and what they say of them.

A run is answered when it has ended. With an ``Idempotency-Key`` it happens once however often it is asked for; a retry that
comes after the practitioner has forgotten the result gets it from the recorded run.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
from aiohttp import web

from actors.practitioner import commands as p
from actors.ritual.values import PARAMETERS_BYTES, run_id_of
from actors.runtime.codec import from_wire, invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Conflict, FieldError, NotFound, SanghaError, TooLarge
from server.http.context import ask, command_from, gateway_of, idempotency_key, json_body, json_response
from server.http.paging import page_of, rows_response, uuid_in
from server.http.rituals import address_of, caller_of, change_of
from server.rituals import COMPLETED, brief_of, read, recorded_result, recorded_run, resolve_ritual, ritual_id


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return [
        web.post("/api/rituals/execute", execute),
        web.get("/api/rituals/sessions", sessions),
        web.get("/api/rituals/sessions/{id}", session),
        web.patch("/api/rituals/sessions/{id}", annotate),
        web.put("/api/rituals/{id}/rate", rate),
    ]


def given(body: dict[str, Any], *names: str) -> tuple[str, Any]:
    """The first of the names that has a value, and the value; the first name and None where none has."""
    for name in names:
        if body.get(name) is not None:
            return name, body[name]
    return names[0], None


def parameters_of(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """A JSON object of bounded size. Raises Invalid, TooLarge."""
    name, value = given(body, *names)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(name, "must be an object")
    size = len(orjson.dumps(value))
    if size > PARAMETERS_BYTES:
        message = f"{size} bytes of JSON, {PARAMETERS_BYTES} are allowed"
        raise TooLarge(f"{name}: {message}", (FieldError(path=name, message=message),))
    return value


async def execute(request: web.Request) -> web.Response:
    """The TransformationResult of one run on the caller's own state, as it is (``practitioner_state`` counts nothing)."""
    caller, body = await caller_of(request), await json_body(request)
    name, ritual = given(body, "ritual_id", "ritual_name")
    if not isinstance(ritual, str) or not ritual:
        raise invalid(name, "is required" if ritual is None else "must be a text")
    if name == "ritual_id" and ritual_id(ritual) is None:
        raise invalid(name, "must be an id (a UUID)")
    fields = {
        "intention": "" if body.get("intention") is None else body["intention"],
        "parameters": parameters_of(body, "parameters", "ritual_parameters"),
    }
    return await _outcome(request, caller, ritual, fields)


async def _outcome(request: web.Request, caller: Caller, ritual: str, fields: dict[str, Any]) -> web.Response:
    """The result of the run. A retry gets it also where the ritual cannot be had any more (withdrawn, renamed)."""
    gateway, operation = gateway_of(request), change_of(request, caller)
    may_be_a_retry = idempotency_key(request) is not None
    try:
        brief = await brief_of(gateway, caller, await resolve_ritual(gateway, caller, ritual))
        instead: SanghaError | None = None
    except SanghaError as failure:
        if failure.retryable or not may_be_a_retry:
            raise
        instead = failure
    try:
        if instead is not None:
            return json_response(await _ask_own(request, caller, p.AwaitRun(run=run_id_of(operation)), None))
        command = from_wire(p.RunRitual, fields | {"brief": msgspec.to_builtins(brief), "ritual": ritual})
        return json_response(await _ask_own(request, caller, command, operation))
    except NotFound as unknown:
        result = await recorded_result(gateway, caller.practitioner, operation) if may_be_a_retry else None
        if result is None:
            raise (instead or unknown) from None
        return rows_response(result)


async def sessions(request: web.Request) -> web.Response:
    """The caller's runs, newest first."""
    caller, (limit, before) = await caller_of(request), page_of(request)
    ritual = uuid_in(request, "ritual")
    return rows_response(await read(gateway_of(request).queries.runs(caller.practitioner, limit, before, ritual)))


async def session(request: web.Request) -> web.Response:
    """One run of the caller's."""
    caller = await caller_of(request)
    return rows_response(await run_of(request, caller, request.match_info["id"]))


async def run_of(request: web.Request, caller: Caller, id_: str) -> Any:
    """A run of the caller's, from storage. Raises NotFound."""
    return await recorded_run(gateway_of(request), caller.practitioner, id_)


async def annotate(request: web.Request) -> web.Response:
    """Notes on a run, and a rating of its ritual."""
    caller, body = await caller_of(request), await json_body(request)
    run = await run_of(request, caller, request.match_info["id"])
    if "effectiveness_rating" in body and run["status"] != COMPLETED:
        raise Conflict(f"this run is {run['status']}; what was completed can be rated")
    return json_response(await _annotate(request, caller, run, body))


async def rate(request: web.Request) -> web.Response:
    """Rates the caller's newest completed run of the ritual, and with it the ritual."""
    caller, body, ritual = await caller_of(request), await json_body(request), address_of(request)
    if "rating" not in body:
        raise invalid("rating", "is required")
    if type(body["rating"]) is not int or not 1 <= body["rating"] <= 10:
        raise invalid("rating", "must be a whole number from 1 to 10")
    fields = {"effectiveness_rating": body["rating"]}
    if body.get("notes") is not None:
        fields["subjective_experience"] = body["notes"]
    _note({"id": ritual.id, "ritual_id": ritual.id}, fields)  # what is wrong with it is said before storage is asked
    newest = await read(gateway_of(request).queries.newest_run(caller.practitioner, ritual.id))
    if newest is None:
        raise Conflict("run it first: what is rated is a completed run")
    return json_response(
        await _annotate(request, caller, {"id": newest, "ritual_id": ritual.id}, fields | {"newest": True})
    )


def _note(run: Any, fields: dict[str, Any]) -> p.AnnotateRun:
    return command_from(p.AnnotateRun, fields | {"run": str(run["id"]), "ritual": str(run["ritual_id"])})


async def _annotate(request: web.Request, caller: Caller, run: Any, fields: dict[str, Any]) -> bytes:
    return await _ask_own(request, caller, _note(run, fields), change_of(request, caller))


async def _ask_own(
    request: web.Request, caller: Caller, command: p.PractitionerCommand, operation: str | None
) -> bytes:
    return await ask(request, Address("practitioner", caller.practitioner), p.encode(command), caller, operation)
