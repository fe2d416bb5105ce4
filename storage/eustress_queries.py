"""What a gateway reads of the lake: scenes as they are or were, snapshots, changes, epochs, archives.

A scene at a *moment* is what its rows show at one version of its space; the live scene is the moment that never ends. Always:
only committed rows, and all that one ``reading`` answers is of one instant. Texts of JSON stay texts, coordinates are the
doubles that were received. Nothing is written. Everything raises StoreDown (ReadTooLong: after a minute), BadValue for an id
that is none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from actors.eustress.values import EpochStats
from storage.read_pool import ReadPool, View, weight

ALWAYS: Final = 2**63 - 1
"""``until`` of a row that holds still, and the version of the live scene."""
NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
PAGE_BYTES: Final = 8 << 20
"""A page ends after so many bytes, whatever its limit: an entity may be as large as a request."""

Row = Mapping[str, Any]
"""asyncpg's Record, read by name."""
Box = tuple[float, float, float, float, float, float]
"""The least x, y, z and the greatest."""


class Moment(NamedTuple):
    """A space at a version, which was the newest at the time ``at``. ``snapshot``: the marker that says so."""

    space: str
    version: int = ALWAYS
    at: datetime = NEVER
    snapshot: Marker | None = None


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as storage has it."""

    id: str
    space_name: str
    version: int
    timestamp: datetime
    reason: str
    metadata: str

    @property
    def moment(self) -> Moment:
        """What it shows."""
        return Moment(self.space_name, self.version, self.timestamp, self)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entities; None: whichever. ``every``: one in so many, always the same ones."""

    flux: tuple[int, ...] | None = None
    depth: int | None = None
    parent: str | None = None
    class_type: str | None = None
    tag: str | None = None
    ids: tuple[str, ...] | None = None
    every: int | None = None
    box: Box | None = None
    with_data: bool = True


class Near(msgspec.Struct, frozen=True, kw_only=True):
    """From where distances are measured, and how far at most."""

    center: tuple[float, float, float]
    radius: float | None = None


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What an epoch has."""

    sample_count: int
    stats: EpochStats


class Page(NamedTuple):
    """Rows, whether there are more, and about how many bytes these are."""

    rows: list[Row]
    more: bool
    size: int


class EustressReading:
    """The lake at one instant."""

    def __init__(self, view: View) -> None:
        self._view = view

    # --- moments -----------------------------------------------------------------------------------------------------

    async def snapshot(self, id_: str) -> Marker | None:
        """The snapshot of that id."""
        row = await self._view.row("eustress/snapshot", id_)
        return None if row is None else Marker(**row)

    async def snapshots(
        self,
        space: str,
        limit: int,
        *,
        before: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
    ) -> list[Marker]:
        """Snapshots of a space between two times, both included, newest first; those before the snapshot ``before``."""
        rows = await self._view.rows("eustress/snapshots", space, from_, to, before, limit)
        return [Marker(**row) for row in rows]

    async def snapshots_onward(
        self,
        space: str,
        limit: int,
        *,
        first: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
    ) -> list[Marker]:
        """The same, oldest first; from the snapshot ``first`` on, itself included."""
        rows = await self._view.rows("eustress/snapshots_onward", space, from_, to, first, limit)
        return [Marker(**row) for row in rows]

    async def moment(self, space: str, at: datetime) -> tuple[Moment, datetime | None] | None:
        """The space at a time, and its horizon: of earlier times not everything is known any more. None: no such space."""
        row = await self._view.row("eustress/moment", space, at)
        return None if row is None else (Moment(space, row["version"], at), row["horizon"])

    # --- what a moment shows -----------------------------------------------------------------------------------------

    async def entities(
        self, moment: Moment, wanted: Wanted, limit: int, after: str | None = None, room: int = PAGE_BYTES
    ) -> Page:
        """``id, since, at, flux_position, x, y, z, parent_id, depth, data`` by id, of those after ``after``."""
        args = _of_entities(moment, wanted, limit + 1, after)
        return await self._page("eustress/entities", args, limit, room, "data")

    async def near(
        self,
        moment: Moment,
        wanted: Wanted,
        near: Near,
        limit: int,
        after: tuple[float, str] | None = None,
        room: int = PAGE_BYTES,
    ) -> Page:
        """The same with ``distance``, the nearest first, of those after a distance and id; exact, in doubles.

        Without a radius two statements: one finds how far the ``limit`` nearest can be, with the index.
        """
        beyond, last = after or (None, None)
        args = (*_of_entities(moment, wanted, limit + 1, last), *near.center, near.radius, beyond)
        radius = near.radius
        if radius is None:
            row = await self._view.row("eustress/entities_near_bound", *args)
            radius = None if row is None else row["distance"]
        if radius is not None:
            box = _within(wanted.box, _around(near.center, radius))
            narrowed = msgspec.structs.replace(wanted, box=box)
            args = (*_of_entities(moment, narrowed, limit + 1, last), *near.center, radius, beyond)
        return await self._page("eustress/entities_near", args, limit, room, "data")

    async def connections(
        self,
        moment: Moment,
        limit: int,
        *,
        connection_type: str | None = None,
        entity: str | None = None,
        after: tuple[str, str, str] | None = None,
        room: int = PAGE_BYTES,
    ) -> Page:
        """``source_id, target_id, connection_type, strength, label, in_tree, since, at`` by key; of one entity's, maybe."""
        name, space, version, at = "eustress/connections", moment.space, moment.version, moment.at
        args: tuple[Any, ...] = (space, version, at, limit + 1, connection_type, *(after or (None, None, None)))
        if entity is not None:
            name, args = "eustress/connections_of", (*args, entity)
        return await self._page(name, args, limit, room, "label")

    async def changes(
        self, space: str, after: tuple[int, int, str, str, str], limit: int, room: int = PAGE_BYTES
    ) -> Page:
        """What rows tell of changes after a place in their order: ``since, at, rank, a, b, c, flux_position, parent_id,
        depth, data, strength, label``. Ranks: 0 entity ``a``, 1 connection ``a, b, c``, 2 one that went, 3 entity that went.
        """
        version, *place = after
        return await self._page("eustress/changes", (space, version, limit + 1, *place), limit, room, "data")

    async def _page(self, name: str, args: Sequence[Any], limit: int, room: int, data: str) -> Page:
        """At least one row, where there is one."""
        found: list[Row] = []
        size = 0
        async for rows in self._view.chunks(name, *args, data=data):
            for row in rows:
                if len(found) == limit or (found and size >= room):
                    return Page(found, True, size)
                found.append(row)
                size += weight([row], data)
        return Page(found, False, size)

    # --- a whole scene, by and by ------------------------------------------------------------------------------------

    def scene_entities(self, moment: Moment) -> AsyncIterator[list[Row]]:
        """``id, data``, by id."""
        return self._view.chunks("eustress/scene_entities", *moment[:3], data="data")

    def scene_connections(self, moment: Moment) -> AsyncIterator[list[Row]]:
        """``source_id, target_id, connection_type, strength, label``, by key."""
        return self._view.chunks("eustress/scene_connections", *moment[:3], data="label")

    def scene_tree(self, moment: Moment, *, roots: bool | None = None) -> AsyncIterator[list[Row]]:
        """``id, parent_id, depth``, by id: of roots, of what has a parent, or of all."""
        return self._view.chunks("eustress/scene_tree", *moment[:3], roots)

    def scene_children(self, moment: Moment) -> AsyncIterator[list[Row]]:
        """``parent_id, id``, by both."""
        return self._view.chunks("eustress/scene_children", *moment[:3])

    def scene_parameters(self, moment: Moment) -> AsyncIterator[list[Row]]:
        """``id, data``: the parameters of each entity, by id."""
        return self._view.chunks("eustress/scene_parameters", *moment[:3], data="data")

    # --- spaces, epochs, archives ------------------------------------------------------------------------------------

    async def spaces(self, limit: int, after: str | None = None) -> list[Row]:
        """Rows of ``eustress_spaces``, by name."""
        return await self._view.rows("eustress/spaces", None, after, limit)

    async def space(self, name: str) -> Row | None:
        """The row of one."""
        return await self._view.row("eustress/spaces", name, None, 1)

    async def stats(self) -> Row | None:
        """The seed's figures of the whole lake."""
        return await self._view.row("eustress/stats")

    async def epochs(self, space: str | None, limit: int, before: str | None = None) -> list[Row]:
        """Epochs, newest first."""
        return await self._view.rows("eustress/epochs", space, before, limit)

    async def epoch(self, id_: str) -> Row | None:
        """One."""
        return await self._view.row("eustress/epoch", id_)

    async def epoch_snapshots(self, space: str, from_: datetime, to: datetime, limit: int) -> list[tuple[str, int]]:
        """Ids and versions of the snapshots between two times, both included, oldest first."""
        rows = await self._view.rows("eustress/epoch_snapshots", space, from_, to, limit)
        return [(row["id"], row["version"]) for row in rows]

    async def epoch_stats(self, space: str, versions: Sequence[int]) -> Counted:
        """What an epoch of the snapshots at these versions has."""
        row = await self._view.row("eustress/epoch_stats", space, sorted(set(versions)))
        counted = dict(row or {})
        return Counted(sample_count=counted.pop("sample_count"), stats=EpochStats(**counted))

    async def archives(self, space: str, limit: int) -> list[Row]:
        """What retention archived of a space, newest first."""
        return await self._view.rows("eustress/archives", space, limit)

    async def archive(self, space: str, id_: str) -> Row | None:
        """One."""
        return await self._view.row("eustress/archive", space, id_)


class EustressQueries:
    """A gateway's reader of the lake."""

    def __init__(self, dsn: str, *, application_name: str = "sangha lake reader") -> None:
        self._pool = ReadPool(dsn, application_name=application_name)

    @asynccontextmanager
    async def reading(self, *, long: bool = False) -> AsyncIterator[EustressReading]:
        """The lake as it is when the block begins. ``long``: for what streams, or counts over much."""
        async with self._pool.view(long=long) as view:
            yield EustressReading(view)

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()


def _of_entities(moment: Moment, wanted: Wanted, limit: int, after: str | None) -> tuple[Any, ...]:
    filters = (wanted.flux, wanted.depth, wanted.parent, wanted.class_type, wanted.tag, wanted.ids, wanted.every)
    return (*moment[:3], wanted.with_data, after, limit, *filters, *(wanted.box or (None,) * 6))


def _around(center: tuple[float, float, float], radius: float) -> Box:
    """A box that has the whole ball in it. Sums are rounded, so a little more."""
    x, y, z = (radius + (abs(each) + radius) * 1e-15 + 1e-149 for each in center)
    a, b, c = center
    return a - x, b - y, c - z, a + x, b + y, c + z


def _within(one: Box | None, other: Box) -> Box:
    """What both have."""
    if one is None:
        return other
    low = [max(pair) for pair in zip(one[:3], other[:3], strict=True)]
    high = [min(pair) for pair in zip(one[3:], other[3:], strict=True)]
    return low[0], low[1], low[2], high[0], high[1], high[2]
