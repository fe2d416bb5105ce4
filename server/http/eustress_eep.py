"""``POST /eustress/ingest/eep``: what Eustress's own webhook (``WebhookExportTarget``) sends of an entity with ``ai=true``.

What it means is said in ``actors.eustress.eep``. Its ``export_id`` makes it happen once, so the sender may repeat it as it likes.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.eustress import commands as c
from actors.eustress import values
from actors.eustress.eep import items_of
from actors.eustress.replies import Ingested
from server.http.api import Example, Operation, routes_of
from server.http.context import operation_of
from server.http.contract import ENTITY
from server.http.eustress_ingest import MENDED, TAG, ingested, text_of
from server.service import engine_of

Anything = Annotated[
    dict[str, Any], Meta(description='of each name any JSON, or a value with its type: `{"Float": 1.0}`')
]
Id = values.EntityId | int
Class = Annotated[str, Meta(max_length=200)]


class EepSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Where. ``name`` is our ``space_name``; ``id`` where it has none."""

    id: Annotated[str, Meta(min_length=1, max_length=200)] | int | UnsetType | None = UNSET
    name: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")] | UnsetType | None = UNSET
    settings: Any = UNSET


class EepTransform(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the space."""

    position: values.Vector3 | UnsetType = UNSET
    rotation: values.Quaternion | UnsetType = UNSET
    scale: values.Vector3 | UnsetType = UNSET


class EepEntity(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """The entity. ``class`` is our ``class_type``."""

    id: Id
    name: values.Text | UnsetType | None = UNSET
    class_: Class | UnsetType | None = UNSET
    transform: EepTransform | UnsetType | None = UNSET
    properties: Anything | UnsetType | None = UNSET
    tags: Annotated[list[values.Tag], Meta(max_length=1_000)] | UnsetType | None = UNSET
    attributes: Anything | UnsetType | None = UNSET
    parameters: Annotated[
        Annotated[dict[values.ParameterName, Any], Meta(max_length=1_000)] | UnsetType | None,
        Meta(description="by domain, each by key"),
    ] = UNSET
    child_count: Annotated[Any, Meta(description="not kept: connections say it")] = UNSET


class EepAncestor(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One above the entity, root first."""

    id: Id
    name: values.Text | UnsetType | None = UNSET
    class_: Class | UnsetType | None = UNSET
    depth: int | UnsetType = UNSET


class EepConsent(msgspec.Struct, frozen=True, kw_only=True):
    """May it train? ``ai_training: false`` keeps the entity out of every epoch."""

    ai_training: bool | UnsetType | None = UNSET
    consented_at: str | UnsetType | None = UNSET
    consented_by: str | UnsetType | None = UNSET


class EepBody(msgspec.Struct, frozen=True, kw_only=True):
    """An export of one entity, by the Eustress export protocol."""

    protocol_version: Literal["eep_v1"]
    export_id: Annotated[str, Meta(min_length=1, max_length=200, description="a retry has the same")]
    timestamp: Any = UNSET
    space: EepSpace
    entity: EepEntity
    hierarchy: list[EepAncestor] | UnsetType | None = UNSET
    creator: dict[str, Any] | UnsetType | None = UNSET
    consent: EepConsent | UnsetType | None = UNSET


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def eep_webhook(request: web.Request) -> web.Response:
    """The entity, and where it stands in the tree."""
    caller = await engine_of(request)
    webhook = items_of(await text_of(request))
    command = c.Ingest(items=webhook.items, what="entity")
    operation = operation_of(caller.practitioner, f"eep-{webhook.export_id}")
    named = ("entities.0", "entity")
    return await ingested(request, caller, webhook.space_name, command, named=named, operation=operation)


_LAMP: Final[dict[str, Any]] = {
    "protocol_version": "eep_v1",
    "export_id": "0b3e7a52-6a1c-4f0e-9d43-1f0c8e5b7a90",
    "timestamp": "2026-01-01T12:00:00Z",
    "space": {"id": "7", "name": "workshop", "settings": {}},
    "entity": {
        "id": "lamp_1",
        "name": "Lamp",
        "class": "Part",
        "transform": {"position": [1.0, 2.0, 3.0], "rotation": [0.0, 0.0, 0.0, 1.0], "scale": [1.0, 1.0, 1.0]},
        "properties": {"Brightness": {"Float": 0.8}, "Color": {"Vector3": [1.0, 0.9, 0.7]}},
        "tags": ["light"],
        "attributes": {},
        "parameters": {"physics": {"mass": 0.5}},
        "child_count": 0,
    },
    "hierarchy": [{"id": "workbench", "name": "Workbench", "class": "Model", "depth": 0}],
    "creator": {"source_type": "user", "id": "u1", "name": "Ada"},
    "consent": {"ai_training": True, "consented_at": "2026-01-01T11:00:00Z", "consented_by": "u1"},
}
OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/eustress/ingest/eep",
        handler=eep_webhook,
        summary="Eustress's own webhook",
        description="What its `WebhookExportTarget` posts: `class` is `class_type`, the hierarchy becomes connections, missing"
        " ancestors are made. The `export_id` is the idempotency key.",
        tag=TAG,
        access="engine",
        body_shown=EepBody,
        reply=Ingested,
        errors=(*ENTITY, *MENDED),
        examples=(Example(name="ingest_eep", body=_LAMP),),
    ),
)
