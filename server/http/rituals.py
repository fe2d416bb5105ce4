"""``/api/rituals``: the catalog, details and modules, and what an author does: upload, publish, edit, withdraw.

A module comes into the catalog only after a sandbox has inspected, compiled and once run it. An upload with an
``Idempotency-Key`` can be retried: the ritual's id comes from the key, so it is the same ritual again.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.ritual import commands as c
from actors.ritual import values
from actors.runtime.codec import invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import FieldError, Full, NotFound, RitualRejected, Unauthenticated
from server.http import replies
from server.http.api import Example, Operation, body_from, command_of, query_of, routes_of
from server.http.context import (
    ask,
    auth_session,
    command_from,
    gateway_of,
    idempotency_key,
    is_local,
    json_body,
    json_response,
    once,
    operation_of,
)
from server.http.contract import ENTITY, STORAGE, body_like
from server.http.paging import Filter, Page, page_of, rows_response, text_in
from server.http.uploads import BODY_BYTES, UPLOADS, read_upload
from server.rituals import ANYONE, read, ritual_id

TAG: Final = "Rituals"
ORDERS: Final = {"newest": "newest", "rating": "rating", "usage": "use"}
"""``sort`` of the catalog, and what storage calls it."""


class CatalogQuery(Page, frozen=True, kw_only=True):
    """Which rituals."""

    tradition: Annotated[Filter | UnsetType, Meta(description="exactly this one")] = UNSET
    difficulty: c.Difficulty | UnsetType = UNSET
    q: Annotated[Filter | UnsetType, Meta(description="a text somewhere in name, description or intent")] = UNSET
    mine: Annotated[bool, Meta(description="only one's own")] = False
    sort: Annotated[Literal["newest", "rating", "usage"], Meta(description="what comes first")] = "newest"


_CHECKED: Final = ("module", "module_hash", "abi")
"""Fields of an upload that the check of the module fills in."""
_MODULE: Final[Any] = (
    Annotated[str, Meta(description="base64", extra_json_schema={"contentEncoding": "base64"})]
    | Annotated[
        list[Annotated[int, Meta(ge=0, le=255)]],
        Meta(description="bytes", min_length=c.MODULE_BYTES_MIN, max_length=values.MODULE_BYTES_MAX),
    ]
)
_FILE: Final[Any] = Annotated[
    str, Meta(description="a file", extra_json_schema={"contentMediaType": "application/wasm"})
]
UploadBody: Final = body_like(
    c.Upload, "UploadBody", without=_CHECKED, more=[("wasm_module", _MODULE)], doc="A ritual."
)
UploadForm: Final = body_like(
    c.Upload,
    "UploadForm",
    without=_CHECKED,
    more=[("wasm_module", _FILE)],
    doc="A ritual; `required_archetypes`, `energy_requirements` and `is_public` are JSON texts.",
)
EditBody: Final = body_like(c.Edit, "EditBody")


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def caller_of(request: web.Request) -> Caller:
    """Whose login the request comes with. Raises Unauthenticated, StorageUnavailable."""
    session = await auth_session(request)
    return Caller(str(session.practitioner_id))


async def viewer_of(request: web.Request) -> Caller:
    """The same; without a login it is anyone, who sees what is public."""
    return await caller_of(request) if "Authorization" in request.headers or is_local(request) else ANYONE


def address_of(request: web.Request) -> Address:
    """The ritual that the path names. Raises NotFound."""
    given = request.match_info["id"]
    found = ritual_id(given)
    if found is None:
        raise NotFound(f"there is no ritual {given[:64]!r}")
    return Address("ritual", found)


def change_of(request: web.Request, caller: Caller) -> str:
    """The operation id of a request that changes something."""
    return operation_of(caller.practitioner, idempotency_key(request)) or once(caller.practitioner)


# --- what is there ---------------------------------------------------------------------------------------------------


async def catalog(request: web.Request) -> web.Response:
    """Rituals that the caller may see: public ones and their own."""
    caller, query = await viewer_of(request), query_of(request, CatalogQuery)
    if query.mine and caller is ANYONE:
        raise Unauthenticated("your own rituals need a login")
    limit, before = page_of(request, query)
    rows = gateway_of(request).queries.catalog(
        caller.practitioner or None,
        limit,
        before,
        tradition=text_in(query.tradition),
        difficulty=text_in(query.difficulty),
        q=text_in(query.q),
        mine=query.mine,
        order=ORDERS[query.sort],
    )
    return rows_response(await read(rows))


async def details(request: web.Request) -> web.Response:
    """All of a ritual but its module."""
    caller = await viewer_of(request)
    return json_response(await ask(request, address_of(request), c.encode(c.GetDetails()), caller))


async def module(request: web.Request) -> web.Response:
    """The module's bytes; their hash is the entity tag."""
    caller, address = await viewer_of(request), address_of(request)
    brief = orjson.loads(await ask(request, address, c.encode(c.GetBrief()), caller))
    headers = {
        "ETag": f'"{brief["module_hash"]}"',
        "Cache-Control": "private, no-cache",  # it may be withdrawn
        "Content-Disposition": f'attachment; filename="{address.id}.wasm"',
        "X-Content-Type-Options": "nosniff",
    }
    if any(tag.value in ("*", brief["module_hash"]) for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    reply = orjson.loads(await ask(request, address, c.encode(c.GetModule()), caller))
    return web.Response(body=base64.b64decode(reply["module"]), headers=headers, content_type="application/wasm")


# --- what an author does ---------------------------------------------------------------------------------------------


async def upload(request: web.Request) -> web.Response:
    """201 with the ritual and what the check found; a module that is not acceptable is refused with every reason."""
    caller = await caller_of(request)
    operation = change_of(request, caller)
    address = Address("ritual", str(uuid.uuid5(values.NAMESPACE, f"ritual:{operation}")))
    with request.app[UPLOADS].place(caller.practitioner):
        data, fields = await read_upload(request)
        draft = _draft(data, fields)
        await _room_for_one_more(request, caller, address)
        command, report = await _checked(request, address, draft)
        reply = orjson.loads(await ask(request, address, c.encode(command), caller, operation))
    return json_response(orjson.dumps(reply | _found(report)), status=201)


def _draft(data: bytes, fields: dict[str, Any]) -> c.Upload:
    """The command as far as the request tells it: what is wrong with a field is said before a sandbox is asked."""
    known = {"module": data, "module_hash": hashlib.sha256(data).hexdigest(), "abi": "codex"}
    return command_from(c.Upload, fields | known)


async def _room_for_one_more(request: web.Request, caller: Caller, address: Address) -> None:
    """Raises Full. At the limit only what was uploaded by this very operation may be asked again."""
    gateway = gateway_of(request)
    most = gateway.settings.uploaded_rituals
    if gateway.settings.lab or await read(gateway.queries.count_rituals(caller.practitioner)) < most:
        return
    try:
        await ask(request, address, c.encode(c.GetDetails()), caller)
    except NotFound:
        raise Full(f"at most {most} rituals of one practitioner; withdraw one") from None


async def _checked(request: web.Request, address: Address, draft: c.Upload) -> tuple[c.Upload, values.CheckReport]:
    """The command as a sandbox completes it. Raises RitualRejected."""
    check = values.CheckRequest(
        module=draft.module,
        required_archetypes=draft.required_archetypes,
        energy_requirements=draft.energy_requirements,
    )
    command = values.encode(check)
    operation = (
        f"check:{hashlib.sha256(command).hexdigest()}"  # who tries again after a timeout joins what is under way
    )
    reply = await ask(request, Address("sandbox", address.id), command, operation=operation)
    report = values.report_codec.decode(values.report_codec.format, reply)
    if not report.accepted or report.abi is None:
        problems = report.problems or ("the module is not acceptable",)
        errors = tuple(FieldError(path="wasm_module", message=problem) for problem in problems)
        raise RitualRejected("; ".join(problems), errors)
    return msgspec.structs.replace(draft, module_hash=report.module_hash, abi=report.abi), report


def _found(report: values.CheckReport) -> dict[str, Any]:
    """What an author wants to know of the check; nothing of it depends on the clock, so a retry says the same."""
    found = {"module_hash": report.module_hash, "notes": report.notes, "imports": report.imports}
    dry_run: dict[str, Any] | None = None
    if report.dry_run is not None:
        dry_run = msgspec.to_builtins(report.dry_run)
        del dry_run["duration_us"]
    return found | {"exports": report.exports, "dry_run": dry_run}


async def edit(request: web.Request) -> web.Response:
    """Changes what is given (``is_public`` publishes); the ritual as it is now."""
    caller, body = await caller_of(request), await json_body(request)
    if "wasm_module" in body:
        raise invalid("wasm_module", "a ritual's module never changes; upload another ritual")
    command = command_of(c.Edit, body_from(request, body, EditBody))
    reply = await ask(request, address_of(request), c.encode(command), caller, change_of(request, caller))
    return json_response(reply)


async def withdraw(request: web.Request) -> web.Response:
    """204: nobody finds or runs it any more."""
    caller = await caller_of(request)
    await ask(request, address_of(request), c.encode(c.Withdraw()), caller, change_of(request, caller))
    return web.Response(status=204)


_EXAMPLE: Final[dict[str, Any]] = {
    "name": "Stillness",
    "description": "It leaves everything as it is.",
    "intent": "to be with what is",
}
_EXAMPLE_MODULE: Final = (
    "AGFzbQEAAAABCgJgAn9/AGAAAX8CFAEFY29kZXgKYWRkX3N5bWJvbAAAAwIBAQUEAQEBBAcbAgZtZW1vcnkCAA5leGVjdXRlX3JpdHVhbAAB"
    "CgwBCgBBAEEJEABBAAsLDwEAQQALCXN0aWxsbmVzcwANBG5hbWUBBgEAA2FkZA=="
)
"""A codex module: a memory, and ``execute_ritual``, which adds the symbol "stillness"."""
_MODULE_ID: Final = {"id": "{upload.id}"}
OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/api/rituals/catalog",
        handler=catalog,
        summary="Rituals that one may run",
        description="The public ones, and with a login one's own.",
        tag=TAG,
        access="viewer",
        query=CatalogQuery,
        reply=list[replies.CatalogEntry],
        errors=STORAGE,
        examples=(Example(name="catalog", query={"q": "void", "sort": "rating", "limit": "5"}),),
    ),
    Operation(
        method="POST",
        path="/api/rituals/upload",
        handler=upload,
        summary="Upload a ritual",
        description="A WebAssembly module and what is said of it, as JSON or as a form. The module is inspected, compiled and"
        " once run in a sandbox before the ritual is there. Private, unless `is_public`.",
        tag=TAG,
        body_shown=UploadBody,
        form_shown=UploadForm,
        body_bytes=BODY_BYTES,
        reply=replies.Uploaded,
        status=201,
        errors=(*ENTITY, "conflict", "full", "rate_limited", "ritual_rejected"),
        examples=(
            Example(name="upload", body=_EXAMPLE | {"wasm_module": _EXAMPLE_MODULE, "module_language": "wat"}),
            Example(
                name="upload_form", form=_EXAMPLE | {"wasm_module": f"base64:{_EXAMPLE_MODULE}"}, note="As a form."
            ),
        ),
    ),
    Operation(
        method="GET",
        path="/api/rituals/{id}/details",
        handler=details,
        summary="All of a ritual but its module",
        tag=TAG,
        access="viewer",
        reply=replies.RitualDetails,
        errors=(*ENTITY, "not_found"),
        examples=(Example(name="details", path=_MODULE_ID),),
    ),
    Operation(
        method="GET",
        path="/api/rituals/{id}/module",
        handler=module,
        summary="A ritual's module",
        description="With `If-None-Match` and the entity tag, 304 while it is the same.",
        tag=TAG,
        access="viewer",
        media="application/wasm",
        reply_headers={"ETag": "the module's SHA-256, hex"},
        more_replies={304: None},
        errors=(*ENTITY, "not_found"),
        examples=(Example(name="module", path=_MODULE_ID),),
    ),
    Operation(
        method="PATCH",
        path="/api/rituals/{id}",
        handler=edit,
        summary="Edit or publish a ritual",
        description="Its author changes what is said of it; `is_public` publishes it. The module never changes.",
        tag=TAG,
        body=EditBody,
        reply=replies.RitualDetails,
        errors=(*ENTITY, "not_found", "forbidden", "conflict"),
        examples=(Example(name="publish", path=_MODULE_ID, body={"is_public": True, "tradition": "zen"}),),
    ),
    Operation(
        method="DELETE",
        path="/api/rituals/{id}",
        handler=withdraw,
        summary="Withdraw a ritual for good",
        description="Nobody finds or runs it any more; recorded runs of it can still be replayed.",
        tag=TAG,
        status=204,
        errors=(*ENTITY, "not_found", "forbidden", "conflict"),
        examples=(Example(name="withdraw", path={"id": "{upload_form.id}"}),),
    ),
)
