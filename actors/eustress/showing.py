"""A space as it is shown: to who asks, to followers, and as rows of its tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from msgspec import UNSET, structs

from actors.eustress import events as e
from actors.eustress.replies import Epoch, SpaceState
from actors.eustress.scene import CONNECTIONS, ENTITIES, Delta, Scene
from actors.eustress.state import EustressState
from actors.runtime.entity import Begin, End, Published, Row, Trim, Upsert
from actors.runtime.errors import NotFound

_IDS: Final = UUID("6f0f8b5e-3d5b-5f0c-9f8e-2b7a4c1d9e63")
"""The namespace of ids that follow from what they are of, so that whoever decides again comes to the same."""


def id_of(space: str, what: str, which: object) -> str:
    """The id of a space's snapshot, epoch or archive."""
    return str(uuid5(_IDS, f"{space}:{what}:{which}"))


def not_there(space: str) -> NotFound:
    """Nothing was ever written to it."""
    return NotFound(f"there is no space {space!r}")


def space_state(state: EustressState) -> SpaceState:
    """The space as it is now. Raises NotFound."""
    header, scene = state.header, state.scene
    if header.created_at is None or header.changed_at is None:
        raise not_there(header.space)
    return SpaceState(
        space_name=header.space,
        version=header.version,
        created_at=header.created_at,
        changed_at=header.changed_at,
        metadata=scene.metadata(),
        unresolved=scene.unresolved,
        scene_bytes=scene.bytes,
        entities_seen=header.seen,
        changes=header.changes,
        snapshots=header.snapshots,
        last_snapshot=header.last_snapshot,
        horizon=header.removed_before,
        policy=header.policy,
    )


def published(event: e.EustressEvent) -> Published | None:
    """What followers are told; of a change only where there was one, whole where it is short."""
    match event:
        case e.Changed(updates=updates) if updates:
            body: dict[str, Any] = {"version": event.version, "counts": event.counts}
            return Published(event="changed", body=body if event.items is UNSET else body | {"items": event.items})
        case e.SnapshotTaken():
            body = {"snapshot_id": event.id, "version": event.version, "reason": event.reason}
            return Published(event="snapshot_taken", body=body)
        case e.PolicySet():
            return Published(event="policy", body=event.policy)
        case e.EpochCreated() | e.EpochConsolidated():
            return Published(event="epoch", body=event.epoch)
    return None


def rows(event: e.EustressEvent, state: EustressState) -> Iterable[Row]:
    """What an event, which led to ``state``, makes of the tables."""
    space, at = state.header.space, state.header.at
    assert at is not None, "there was an event"
    made: list[Row] = []
    match event:
        case e.Changed():
            if event.delta is not UNSET:
                _scene_rows(made, state.scene, event.delta, space, at)
        case e.SnapshotTaken():
            made.append(_marker(event, state.scene, space, at))
        case e.EpochCreated():
            made.append(_epoch(event.epoch, space, at))
        case e.EpochConsolidated():
            made.append(_epoch(event.epoch, space, at))
            into = {"consolidated_into": event.epoch.id}
            made += [Upsert(table="eustress_epochs", values={"id": id_} | into) for id_ in event.replaced]
        case e.WasArchived() if event.archived.files:
            made.append(_archive(event, space, at))
        case e.Trimmed():
            made += _trims(event, state, space)
    made.append(Upsert(table="eustress_spaces", values=_space(state, whole=state.header.version == 1)))
    if isinstance(event, e.PolicySet):
        made.append(_policy(state))
    return made


def _policy(state: EustressState) -> Upsert:
    values = {"id": state.header.space, "policy": structs.asdict(state.header.policy)}
    return Upsert(table="eustress_spaces", values=values)


def _space(state: EustressState, *, whole: bool) -> dict[str, Any]:
    header, scene = state.header, state.scene
    values: dict[str, Any] = {
        "id": header.space,
        "changed_at": header.changed_at,
        "version": header.version,
        "entity_count": len(scene.nodes),
        "connection_count": len(scene.links),
        "sacred_count": scene.sacred,
        "hierarchy_depth": scene.depth,
        "scene_bytes": scene.bytes,
        "entities_seen": header.seen,
        "changes": header.changes,
        "unresolved": scene.unresolved,
        "snapshots": header.snapshots,
        "last_snapshot": header.last_snapshot,
        "horizon": header.removed_before,
    }
    if whole:
        values |= {"created_at": header.created_at, "policy": structs.asdict(header.policy)}
    return values


def _scene_rows(made: list[Row], scene: Scene, delta: Delta, space: str, at: datetime) -> None:
    """A row that ends and one that begins for each thing that changed; the scene is as it is after."""
    version = delta.version
    for change in delta.nodes:
        id_, node = change.id, change.node
        if change.before is not None:
            key = (space, id_)
            made.append(End(table=ENTITIES, key=key, since=change.before, until=version, at=at, sure=change.sure))
        if node is None:
            values: tuple[Any, ...] = (space, id_, version, at, *(None,) * 6, change.trains, None)
        else:
            place = scene.place(node)
            values = space, id_, version, at, node.flux, *place, node.parent, node.depth, node.trains, node.data
        made.append(Begin(table=ENTITIES, values=values))
    for link_change in delta.links:
        key3, link = link_change.key, link_change.link
        if link_change.before is not None:
            made.append(
                End(
                    table=CONNECTIONS,
                    key=(space, *key3),
                    since=link_change.before,
                    until=version,
                    at=at,
                    sure=link_change.sure,
                )
            )
        said = (version, False, None, None) if link is None else (link.made, link.in_tree, link.strength, link.label)
        made.append(Begin(table=CONNECTIONS, values=(space, *key3, version, at, *said)))


def _marker(event: e.SnapshotTaken, scene: Scene, space: str, at: datetime) -> Upsert:
    values: dict[str, Any] = {
        "id": event.id,
        "space_name": space,
        "version": event.version,
        "timestamp": at,
        "reason": event.reason,
        "metadata": structs.asdict(scene.metadata()),
        "created_at": at,
    }
    return Upsert(table="eustress_markers", values=values)


def _epoch(epoch: Epoch, space: str, at: datetime) -> Upsert:
    values = structs.asdict(epoch) | {"stats": structs.asdict(epoch.stats), "created_at": at}
    return Upsert(table="eustress_epochs", values=values)


def _archive(event: e.WasArchived, space: str, at: datetime) -> Upsert:
    archived = event.archived
    values: dict[str, Any] = {
        "id": event.id,
        "space_name": space,
        "from_version": archived.from_version,
        "to_version": archived.to_version,
        "from_time": archived.from_time,
        "to_time": archived.to_time,
        "files": [structs.asdict(file) for file in archived.files],
        "created_at": at,
    }
    return Upsert(table="eustress_archives", values=values)


def _trims(event: e.Trimmed, state: EustressState, space: str) -> list[Row]:
    trimming, horizon = state.header.trimming, state.header.horizon
    assert trimming is not None, "there is no step without a round"
    return [
        Trim(table=table, entity_id=space, before=trimming.before, limit=event.limit, after=horizon)
        for table in event.tables
    ]
