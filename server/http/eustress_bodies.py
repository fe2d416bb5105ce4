"""Bodies and queries of ``/eustress/ingest``: as the document shows them, and as little of them as is looked at here."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from actors.eustress import values
from server.http.contract import body_like

SpaceName = Annotated[values.SpaceName, Meta(description="the engine's own name of the space")]
Sequence = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at of every body."""

    space_name: SpaceName


class EntityEnvelope(Envelope, frozen=True, kw_only=True):
    """An entity."""

    entity: Raw


class ConnectionEnvelope(Envelope, frozen=True, kw_only=True):
    """A connection."""

    connection: Raw


class BatchEnvelope(Envelope, frozen=True, kw_only=True):
    """A batch, and its number among those of its source."""

    source: values.StreamName | UnsetType = UNSET
    sequence: Sequence | UnsetType = UNSET


class EntityBody(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as it is now: one that is there is replaced as a whole."""

    space_name: SpaceName
    entity: values.SceneEntity


class ConnectionBody(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as it is now. Of type ``hierarchy``: the source is the target's parent."""

    space_name: SpaceName
    connection: values.SceneConnection


ParameterBody: Final = body_like(
    values.ParameterUpdate, "ParameterBody", more=[("space_name", SpaceName)], doc="One parameter of an entity."
)
_NUMBERED: Final = [
    ("space_name", SpaceName),
    (
        "source",
        Annotated[
            values.StreamName | UnsetType, Meta(description="who counts ``sequence``; a retry has the same number")
        ],
        UNSET,
    ),
    ("sequence", Sequence | UnsetType, UNSET),
]
BatchBody: Final = body_like(
    values.Items,
    "BatchBody",
    without=("placements",),
    more=_NUMBERED,
    doc="Items, applied in the order of these fields. With a ``source`` and a ``sequence`` it happens once.",
)


class BatchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How."""

    report: Annotated[
        Literal["items"] | UnsetType,
        Meta(description="``items``: what is wrong is left out, and ``refused`` says what and why"),
    ] = UNSET


class EntityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entity."""

    space: SpaceName
    id: values.EntityId


class ConnectionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which connection."""

    space: SpaceName
    source_id: values.EntityId
    target_id: values.EntityId
    connection_type: Annotated[str, Meta(min_length=1, max_length=200)]
