"""Queries and rows of what is read of the Eustress lake. Types only: the documents show them, the handlers are beside."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.eustress import values
from actors.runtime.codec import Uuid
from server.http.contract import UuidText
from server.http.eustress_bodies import SpaceName

LIMIT: Final = 100
MOST: Final = 10_000
SPACES: Final = 64
"""Of one request."""

Limit = Annotated[int, Meta(ge=1, le=MOST, description="how many at most; a page also ends after some 8 MiB")]
Cursor = Annotated[str, Meta(max_length=2_000, description="out of the `Link` header of the page before")]
Time = Annotated[datetime, Meta(tz=True)]

_NUMBER: Final = r"[-+]?[0-9.]{1,400}(?:[eE][-+]?[0-9]{1,3})?"
Space = Annotated[list[SpaceName], Meta(max_length=SPACES, description="of which space; repeat it for several")]
_Parent = Annotated[values.EntityId | UnsetType, Meta(description="children of this entity")]
_Depth = Annotated[int, Meta(ge=0, le=2**31 - 1, description="how deep in the tree; roots are 0")]


class Paged(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    limit: Limit = LIMIT
    after: Cursor | UnsetType = UNSET


class When(Paged, frozen=True, kw_only=True):
    """Which scene: the live one, or the one that a snapshot shows, or as it was at a time."""

    at: Annotated[Time | UnsetType, Meta(description="as it was then")] = UNSET
    snapshot: Annotated[UuidText | UnsetType, Meta(description="as this snapshot shows it")] = UNSET
    partial: Annotated[
        bool, Meta(description="with `at`: where retention removed some of it, what is left; else that is `not_found`")
    ] = False


class Range(When, frozen=True, kw_only=True):
    """The same, or each snapshot of a time range."""

    from_: Annotated[Time | UnsetType, Meta(description="as each snapshot since then shows it, oldest first")] = (
        msgspec.field(default=UNSET, name="from")
    )
    to: Annotated[Time | UnsetType, Meta(description="as each snapshot until then shows it")] = UNSET


class EntitiesQuery(Range, frozen=True, kw_only=True):
    """Which entities."""

    space: Space = []
    flux: Annotated[
        Annotated[str, Meta(pattern=r"^[1-9](,[1-9]){0,8}$(?!\n)")] | UnsetType,
        Meta(description="at one of these flux positions, such as `3,6,9`"),
    ] = UNSET
    depth: _Depth | UnsetType = UNSET
    parent: _Parent = UNSET
    type: Annotated[values.Text | UnsetType, Meta(description="of this `class_type`")] = UNSET
    tag: Annotated[values.Text | UnsetType, Meta(description="with this tag")] = UNSET
    ids: Annotated[
        Annotated[list[values.EntityId], Meta(max_length=1_000)] | UnsetType,
        Meta(description="one of these; repeat it for several"),
    ] = UNSET
    box: Annotated[
        Annotated[str, Meta(pattern=rf"^{_NUMBER}(,{_NUMBER}){{5}}$(?!\n)")] | UnsetType,
        Meta(description="within `x1,y1,z1,x2,y2,z2`, faces included"),
    ] = UNSET
    near: Annotated[
        Annotated[str, Meta(pattern=rf"^{_NUMBER}(,{_NUMBER}){{2}}$(?!\n)")] | UnsetType,
        Meta(description="the nearest to `x,y,z` first"),
    ] = UNSET
    radius: Annotated[
        Annotated[float, Meta(ge=0, le=values.REAL_MAX)] | UnsetType,
        Meta(description="with `near`: how far at most; without it the nearest, however far"),
    ] = UNSET
    every: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType,
        Meta(description="about one in so many, always the same ones: for a picture of a large scene"),
    ] = UNSET


class ConnectionsQuery(When, frozen=True, kw_only=True):
    """Which connections."""

    space: Space = []
    type: Annotated[values.Text | UnsetType, Meta(description="of this `connection_type`")] = UNSET
    entity: Annotated[values.EntityId | UnsetType, Meta(description="with this entity at an end")] = UNSET


class HierarchyQuery(Range, frozen=True, kw_only=True):
    """Which part of the tree."""

    parent: _Parent = UNSET
    depth: _Depth | UnsetType = UNSET


class ChangesQuery(Paged, frozen=True, kw_only=True):
    """Since when."""

    after: Annotated[
        Annotated[str, Meta(max_length=2_000)] | UnsetType,
        Meta(description="a version of the space, or out of the `Link` header of the page before"),
    ] = UNSET


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one version of the space changed of one thing, as a line of an ingest stream has it."""

    version: int
    at: Any
    entity: values.SceneEntity | UnsetType = UNSET
    flux_position: Annotated[int | UnsetType, Meta(description="of the entity")] = UNSET
    parent_id: str | UnsetType | None = UNSET
    depth: int | UnsetType = UNSET
    connection: values.SceneConnection | UnsetType = UNSET
    remove_connection: values.ConnectionKey | UnsetType = UNSET
    remove_entity: str | UnsetType = UNSET


class EntityRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as a moment shows it. ``position`` is what was received; the table of the seed's SQL has REALs."""

    id: str
    space_name: str
    snapshot_id: Annotated[Uuid | None, Meta(description="null: no snapshot was asked for")]
    timestamp: Annotated[datetime, Meta(description="the snapshot's; without one, since when it is as it is")]
    version: Annotated[int, Meta(description="of the space, that made it so")]
    flux_position: int
    position: tuple[float, float, float]
    parent_id: str | None
    depth: int
    entity_data: values.SceneEntity
    distance: Annotated[float | UnsetType, Meta(description="with `near`")] = UNSET


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as a moment shows it. ``in_tree``: it makes its source its target's parent."""

    space_name: str
    source_id: str
    target_id: str
    connection_type: str
    strength: float
    label: str | None
    in_tree: bool
    version: int
    timestamp: datetime


class HierarchyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the tree, as the seed's table has it."""

    space_name: str
    snapshot_id: Uuid | None
    entity_id: str
    parent_id: str | None
    depth: int
    timestamp: datetime
