"""``/api/rituals/execute``, ``/rate`` and ``/sessions``: a practitioner's runs, and what they say of them.

A run is answered when it has ended. With an ``Idempotency-Key`` it happens once however often it is asked for; a retry that
comes after the practitioner has forgotten the result gets it from the recorded run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.practitioner import commands as p
from actors.practitioner.transformation import TransformationResult
from actors.ritual.values import PARAMETERS_BYTES, run_id_of
from actors.runtime.codec import from_wire, invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Conflict, FieldError, NotFound, SanghaError, TooLarge
from server import shapes
from server.http import replies
from server.http.api import Example, Operation, body_of, given_in, query_of, routes_of
from server.http.context import ask, command_from, gateway_of, idempotency_key, json_response
from server.http.contract import ENTITY, STORAGE, UuidText
from server.http.paging import Page, id_in, page_of, rows_response
from server.http.rituals import address_of, caller_of, change_of
from server.rituals import COMPLETED, brief_of, read, recorded_result, recorded_run, resolve_ritual

TAG: Final = "Runs"
Parameters = Annotated[
    dict[str, Any],
    Meta(description=f"what the ritual is given beside the state; at most {PARAMETERS_BYTES} bytes of JSON"),
]
Intention = Annotated[p.Intention | None, Meta(description="why; the oracle sees it too")]
RitualText = Annotated[str, Meta(min_length=1)]


class ExecuteBody(msgspec.Struct, frozen=True, kw_only=True):
    """Which ritual, by id or by name, and with what. Of two names of one thing the first that has a value counts."""

    ritual_id: UuidText | None = None
    ritual_name: RitualText | None = None
    intention: Intention = None
    parameters: Parameters | None = None
    ritual_parameters: Parameters | None = None


class AnnotateBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is given changes; null takes a text back."""

    subjective_experience: p.LongText | UnsetType | None = UNSET
    integration_notes: p.LongText | UnsetType | None = UNSET
    effectiveness_rating: p.Rating | UnsetType = UNSET


class RateBody(msgspec.Struct, frozen=True, kw_only=True):
    """A rating of a ritual, which its newest completed run of the caller's keeps."""

    rating: p.Rating
    notes: Annotated[p.LongText | None, Meta(description="kept as the run's subjective_experience")] = None


class SessionsQuery(Page, frozen=True, kw_only=True):
    """Which runs."""

    ritual: Annotated[UuidText | UnsetType, Meta(description="only of this ritual")] = UNSET


def one_of(names: Iterable[str]) -> dict[str, Any]:
    """In a body's schema: one of these has a value."""
    return {
        "anyOf": [
            {"title": f"with {name}", "required": [name], "properties": {name: {"not": {"type": "null"}}}}
            for name in names
        ]
    }


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


def given(body: msgspec.Struct, *names: str) -> tuple[str, Any]:
    """The first of the names that has a value, and the value; the first name and None where none has."""
    for name in names:
        if (value := getattr(body, name)) not in (None, UNSET):
            return name, value
    return names[0], None


def parameters_of(body: msgspec.Struct, *names: str) -> dict[str, Any]:
    """A JSON object of bounded size. Raises TooLarge."""
    name, value = given(body, *names)
    if value is None:
        return {}
    size = len(orjson.dumps(value))
    if size > PARAMETERS_BYTES:
        message = f"{size} bytes of JSON, {PARAMETERS_BYTES} are allowed"
        raise TooLarge(f"{name}: {message}", (FieldError(path=name, message=message),))
    found: dict[str, Any] = value
    return found


async def execute(request: web.Request) -> web.Response:
    """The TransformationResult of one run on the caller's own state, as it is (``practitioner_state`` counts nothing)."""
    caller, body = await caller_of(request), await body_of(request, ExecuteBody)
    name, ritual = given(body, "ritual_id", "ritual_name")
    if ritual is None:
        raise invalid(name, "is required")
    fields = {
        "intention": body.intention or "",
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
            return json_response(await ask_practitioner(request, caller, p.AwaitRun(run=run_id_of(operation))))
        command = from_wire(p.RunRitual, fields | {"brief": msgspec.to_builtins(brief), "ritual": ritual})
        return json_response(await ask_practitioner(request, caller, command, operation))
    except NotFound as unknown:
        result = await recorded_result(gateway, caller.practitioner, operation) if may_be_a_retry else None
        if result is None:
            raise (instead or unknown) from None
        return rows_response(result)


async def sessions(request: web.Request) -> web.Response:
    """The caller's runs, newest first."""
    caller, query = await caller_of(request), query_of(request, SessionsQuery)
    limit, before = page_of(request, query)
    rows = gateway_of(request).queries.runs(caller.practitioner, limit, before, id_in(query.ritual))
    return rows_response(await read(rows))


async def session(request: web.Request) -> web.Response:
    """One run of the caller's."""
    caller = await caller_of(request)
    return rows_response(await run_of(request, caller, request.match_info["id"]))


async def run_of(request: web.Request, caller: Caller, id_: str) -> Any:
    """A run of the caller's, from storage. Raises NotFound."""
    return await recorded_run(gateway_of(request), caller.practitioner, id_)


async def annotate(request: web.Request) -> web.Response:
    """Notes on a run, and a rating of its ritual."""
    caller, body = await caller_of(request), await body_of(request, AnnotateBody)
    run = await run_of(request, caller, request.match_info["id"])
    if body.effectiveness_rating is not UNSET and run["status"] != COMPLETED:
        raise Conflict(f"this run is {run['status']}; what was completed can be rated")
    return json_response(await _annotate(request, caller, run, given_in(body)))


async def rate(request: web.Request) -> web.Response:
    """Rates the caller's newest completed run of the ritual, and with it the ritual."""
    caller, body, ritual = await caller_of(request), await body_of(request, RateBody), address_of(request)
    fields: dict[str, Any] = {"effectiveness_rating": body.rating}
    if body.notes is not None:
        fields["subjective_experience"] = body.notes
    newest = await read(gateway_of(request).queries.newest_run(caller.practitioner, ritual.id))
    if newest is None:
        raise Conflict("run it first: what is rated is a completed run")
    return json_response(
        await _annotate(request, caller, {"id": newest, "ritual_id": ritual.id}, fields | {"newest": True})
    )


def _note(run: Any, fields: dict[str, Any]) -> p.AnnotateRun:
    return command_from(p.AnnotateRun, fields | {"run": str(run["id"]), "ritual": str(run["ritual_id"])})


async def _annotate(request: web.Request, caller: Caller, run: Any, fields: dict[str, Any]) -> bytes:
    return await ask_practitioner(request, caller, _note(run, fields), change_of(request, caller))


async def ask_practitioner(
    request: web.Request, caller: Caller, command: p.PractitionerCommand, operation: str | None = None
) -> bytes:
    """The answer of the caller's own entity. Raises whatever it refuses with."""
    return await ask(request, Address("practitioner", caller.practitioner), p.encode(command), caller, operation)


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/api/rituals/execute",
        handler=execute,
        summary="Run a ritual on one's state",
        description="Answered when the run has ended: with its result, or with why it failed, and then nothing was changed."
        " The live state counts; a `practitioner_state` that is sent along is ignored.",
        tag=TAG,
        body=ExecuteBody,
        body_shown=Annotated[ExecuteBody, Meta(extra_json_schema=one_of(("ritual_id", "ritual_name")))],
        reply=TransformationResult,
        errors=(*ENTITY, "not_found", "conflict", "rate_limited", "ritual_failed", "ritual_rejected"),
        examples=(Example(name="execute", body={"ritual_id": "{upload.id}", "intention": "to be with what is"}),),
    ),
    Operation(
        method="GET",
        path="/api/rituals/sessions",
        handler=sessions,
        summary="One's own runs",
        description="The newest first; those of group rituals too, and those that failed.",
        tag=TAG,
        query=SessionsQuery,
        reply=list[replies.Run],
        errors=STORAGE,
        examples=(Example(name="sessions", query={"ritual": "{execute.ritual_id}", "limit": "5"}),),
    ),
    Operation(
        method="GET",
        path="/api/rituals/sessions/{id}",
        handler=session,
        summary="One run, with its result and the states before and after",
        tag=TAG,
        reply=replies.WholeRun,
        errors=(*STORAGE, "not_found"),
        examples=(Example(name="session", path={"id": "{execute.session_id}"}),),
    ),
    Operation(
        method="PATCH",
        path="/api/rituals/sessions/{id}",
        handler=annotate,
        summary="Notes on a run, and a rating of its ritual",
        tag=TAG,
        body=AnnotateBody,
        reply=shapes.Annotation,
        errors=(*ENTITY, "not_found", "conflict"),
        examples=(
            Example(
                name="annotate",
                path={"id": "{execute.session_id}"},
                body={"subjective_experience": "warm", "integration_notes": "walk daily", "effectiveness_rating": 8},
            ),
        ),
    ),
    Operation(
        method="PUT",
        path="/api/rituals/{id}/rate",
        handler=rate,
        summary="Rate a ritual that one ran",
        description="The newest completed run keeps it; a ritual's rating is the mean of each practitioner's newest.",
        tag=TAG,
        body=RateBody,
        reply=shapes.Annotation,
        errors=(*ENTITY, "not_found", "conflict"),
        examples=(Example(name="rate", path={"id": "{execute.ritual_id}"}, body={"rating": 9, "notes": "it holds"}),),
    ),
)
