"""``/api/state``: a practitioner's archetypal state, its history, and what the oracle says to it."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.practitioner import commands as p
from actors.practitioner.archetypal_state import ENTRIES_MAX, NAME_MAX
from actors.practitioner.changes import CHANGES
from actors.runtime.codec import from_wire
from server import shapes
from server.http import replies
from server.http.api import Example, Operation, body_of, query_of, routes_of
from server.http.context import gateway_of, json_response
from server.http.contract import ENTITY, STORAGE, UUID_PATH, UuidText
from server.http.paging import Page, Rows, id_in, limit_of, page_of, rows_response
from server.http.rituals import caller_of, change_of
from server.http.runs import ask_practitioner, parameters_of
from server.rituals import read, run_to_reflect

TAG: Final = "State"


class TransformBody(msgspec.Struct, frozen=True, kw_only=True):
    """One change; what ``parameters`` are depends on its type, and the practitioner's actor says what is wrong with them."""

    transformation_type: Literal[
        "archetype_activation",
        "energy_adjustment",
        "integration",
        "symbol",
        "transformation_open",
        "transformation_close",
    ]
    parameters: dict[str, Any] | None = None


Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX, pattern=r"^[^\x00]+$")]
Strengths = Annotated[dict[Name, Annotated[float, Meta(ge=0, le=1)]], Meta(max_length=ENTRIES_MAX)]
Names = Annotated[tuple[Name, ...], Meta(max_length=ENTRIES_MAX)]


class StateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An archetypal state, with the bounds that ``archetypal_state.parse`` holds; what is not given is empty."""

    archetypes: Strengths = {}
    energies: Strengths = {}
    integrations: Names = ()
    symbols: Names = ()
    transformations: Names = ()


def _change_shown(name: str) -> type[msgspec.Struct]:
    parameters, _ = CHANGES[name]
    title = "".join(word.capitalize() for word in name.split("_"))
    return msgspec.defstruct(
        f"{title}Body",
        [("parameters", parameters)],
        tag_field="transformation_type",
        tag=name,
        kw_only=True,
        namespace={"__doc__": parameters.__doc__},
        module=__name__,
    )


_SHOWN: Final = tuple(_change_shown(name) for name in CHANGES)


VersionOrId = Annotated[
    str,
    Meta(
        pattern=rf"^([0-9]{{1,9}}|{UUID_PATH})$(?!\n)",
        description="the id, or the version, of the last one of the page before",
    ),
]


class HistoryQuery(Rows, frozen=True, kw_only=True):
    """Which versions."""

    before: VersionOrId | UnsetType = UNSET


class ReflectionBody(msgspec.Struct, frozen=True, kw_only=True):
    """Into what."""

    session_id: Annotated[str | None, Meta(description="the id of a run; without one it is the state as it is")] = None


class InsightsQuery(Page, frozen=True, kw_only=True):
    """Which insights."""

    session_id: Annotated[UuidText | UnsetType, Meta(description="only into this run")] = UNSET


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def current(request: web.Request) -> web.Response:
    """The state now, and its place in the chain."""
    caller = await caller_of(request)
    return json_response(await ask_practitioner(request, caller, p.GetState()))


async def transform(request: web.Request) -> web.Response:
    """One change of the state by the practitioner's own hand; the state as it is now."""
    caller, body = await caller_of(request), await body_of(request, TransformBody)
    parameters = parameters_of(body, "parameters")
    fields = {"transformation_type": body.transformation_type, "parameters": parameters}
    command = from_wire(p.TransformState, fields)
    return json_response(await ask_practitioner(request, caller, command, change_of(request, caller)))


async def history(request: web.Request) -> web.Response:
    """The chain of states, newest first; ``before`` is an id or a version."""
    caller, query = await caller_of(request), query_of(request, HistoryQuery)
    states = gateway_of(request).queries.states(caller.practitioner, limit_of(request, query), id_in(query.before))
    return rows_response(await read(states))


async def reflection(request: web.Request) -> web.Response:
    """The oracle's insight: into a run (``session_id``), else into the state as it is."""
    caller = await caller_of(request)
    body = await body_of(request, ReflectionBody) if request.can_read_body else ReflectionBody()
    asked = body.session_id
    run = None if asked is None else await run_to_reflect(gateway_of(request), caller.practitioner, asked)
    return json_response(await ask_practitioner(request, caller, p.Reflect(run=run), change_of(request, caller)))


async def insights(request: web.Request) -> web.Response:
    """What the oracle told the practitioner, newest first; of one run where ``session_id`` says so."""
    caller, query = await caller_of(request), query_of(request, InsightsQuery)
    limit, before = page_of(request, query)
    rows = gateway_of(request).queries.insights(caller.practitioner, id_in(query.session_id), limit, before)
    return rows_response(await read(rows))


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/api/state/current",
        handler=current,
        summary="The state now",
        tag=TAG,
        reply=shapes.State,
        errors=ENTITY,
        examples=(Example(name="current"),),
    ),
    Operation(
        method="POST",
        path="/api/state/transform",
        handler=transform,
        summary="One change by one's own hand",
        tag=TAG,
        body=TransformBody,
        body_shown=functools.reduce(operator.or_, _SHOWN),
        reply=shapes.TransformedState,
        errors=(*ENTITY, "conflict"),
        examples=(
            Example(
                name="transform",
                body={
                    "transformation_type": "archetype_activation",
                    "parameters": {"archetype": "Sage", "strength": 0.6},
                },
            ),
            Example(
                name="transform_energy",
                body={"transformation_type": "energy_adjustment", "parameters": {"energy": "air", "change": -0.1}},
            ),
            Example(name="transform_symbol", body={"transformation_type": "symbol", "parameters": {"symbol": "owl"}}),
            Example(
                name="transform_integration",
                body={"transformation_type": "integration", "parameters": {"integration": "anger"}},
            ),
            Example(
                name="transform_open",
                body={"transformation_type": "transformation_open", "parameters": {"transformation": "winter"}},
            ),
            Example(
                name="transform_close",
                body={"transformation_type": "transformation_close", "parameters": {"transformation": "winter"}},
            ),
        ),
    ),
    Operation(
        method="GET",
        path="/api/state/history",
        handler=history,
        summary="The chain of states",
        description="The newest first; each version's hash is over the one before and its own state.",
        tag=TAG,
        query=HistoryQuery,
        reply=list[shapes.StateVersion],
        errors=STORAGE,
        examples=(Example(name="history", query={"limit": "2"}),),
    ),
    Operation(
        method="POST",
        path="/api/state/reflection",
        handler=reflection,
        summary="Ask the oracle",
        description="About the state as it is, or about a run. It says which model spoke and how sure it is.",
        tag=TAG,
        body=ReflectionBody,
        body_optional=True,
        reply=shapes.Insight,
        errors=(*ENTITY, "not_found", "conflict", "rate_limited"),
        examples=(Example(name="reflection", body={"session_id": "{execute.session_id}"}),),
    ),
    Operation(
        method="GET",
        path="/api/state/insights",
        handler=insights,
        summary="What the oracle said",
        description="The newest first.",
        tag=TAG,
        query=InsightsQuery,
        reply=list[replies.InsightRow],
        errors=STORAGE,
        examples=(Example(name="insights", query={"limit": "1"}),),
    ),
)
