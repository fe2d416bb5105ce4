"""The live scene of a space: what holds now, in memory, with what is needed to change it at the cost of the change alone.

Mutable, and changed by ``apply`` (what a draft came to), ``restored`` (rows of storage) and ``forget`` only. What always holds:
a node's parent is the source of the one hierarchy connection to it that is in the tree; depths are those of that tree; every
count is that of the nodes and links that are there.

``links`` has every connection. Those in the tree are found by parent and children; all others by ``others`` (either end), and
those of them that would be in the tree by ``waiting`` (their target) too. So a scene that is one tree has no index beside it.

Memory: a live entity of 350 bytes of JSON with its connection in a tree takes 1.0 kB (tracemalloc,
100,000 of them); a million are 1.0 GB and restored in 5 s. What was removed and is still remembered takes some 250 bytes.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from math import nan
from sys import intern
from typing import Any, Final, Generic, TypeVar

import msgspec
import numpy as np

from actors.eustress import stored
from actors.eustress.flux import SACRED
from actors.eustress.values import SnapshotMetadata

ENTITIES: Final = "eustress_entity_versions"
CONNECTIONS: Final = "eustress_connection_versions"
HIERARCHY: Final = "hierarchy"
FEW: Final = 16
"""So many keys of one end are a tuple; more are a set, which takes several times the room."""

Key = tuple[str, str, str]
"""(source, target, type) of a connection."""
Place = tuple[float, float, float]
K = TypeVar("K")


class Node(msgspec.Struct, gc=False):
    """An entity. ``since``: the version from which on it is so; ``slot``: of its coordinates; ``trains``: the word of consent."""

    id: str
    data: bytes
    flux: int
    since: int
    trains: bool | None = None
    parent: str | None = None
    depth: int = 0
    slot: int = -1


class Link(msgspec.Struct, gc=False):
    """A connection. ``made``: the version that made it, which orders those that want the same place in the tree."""

    made: int
    since: int
    strength: float = 1.0
    label: str | None = None
    in_tree: bool = False


class Gone(msgspec.Struct, frozen=True, gc=False):
    """What was removed, in version ``since``, and the last word of consent on it."""

    since: int
    at: datetime
    trains: bool | None = None


class NodeChange(msgspec.Struct, gc=False):
    """An entity's end state; None where it is removed. ``before``: since when the row that ends with this held, None where
    there is none; ``sure``: that row is no tombstone. ``place`` is given where it is new, ``trains`` of what is removed."""

    id: str
    node: Node | None
    place: Place | None
    before: int | None
    sure: bool
    trains: bool | None = None


class LinkChange(msgspec.Struct, gc=False):
    """The same of a connection."""

    key: Key
    link: Link | None
    before: int | None
    sure: bool


class Delta(msgspec.Struct, gc=False):
    """All that one version changes. ``seen``: ids that were never there before."""

    version: int
    nodes: Sequence[NodeChange] = ()
    links: Sequence[LinkChange] = ()
    bytes: int = 0
    unresolved: int = 0
    seen: int = 0


class Index(Generic[K]):
    """Keys by an id. Few of one id are a tuple, more a set."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[str, tuple[K, ...] | set[K]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def of(self, id_: str) -> Collection[K]:
        """Not to be changed, nor read while the index changes."""
        return self._of.get(id_, ())

    def add(self, id_: str, key: K) -> None:
        """A key that is not there yet."""
        keys = self._of.get(id_)
        if keys is None:
            self._of[id_] = (key,)
        elif type(keys) is set:
            keys.add(key)
        else:
            self._of[id_] = (*keys, key) if len(keys) < FEW else {*keys, key}

    def discard(self, id_: str, key: K) -> None:
        """A key that may be there."""
        keys = self._of.get(id_)
        if keys is None:
            return
        if type(keys) is set:
            keys.discard(key)
        else:
            keys = self._of[id_] = tuple(k for k in keys if k != key)
        if not keys:
            del self._of[id_]


class Scene:
    """See the module."""

    __slots__ = (
        "_ahead", "_bounds", "_deepest", "_free", "bytes", "children", "depths", "flux_sum", "gone", "gone_links",
        "links", "nodes", "others", "sacred", "unresolved", "waiting", "x", "y", "z",
    )  # fmt: skip

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.links: dict[Key, Link] = {}
        self.gone: dict[str, Gone] = {}
        self.gone_links: dict[Key, Gone] = {}
        self.children: Index[str] = Index()
        self.others: Index[Key] = Index()
        self.waiting: Index[Key] = Index()
        self.x, self.y, self.z = array("d"), array("d"), array("d")
        self._free: list[int] = []
        self.depths: Counter[int] = Counter()
        self.sacred = self.flux_sum = self.bytes = self.unresolved = self._deepest = 0
        self._bounds: tuple[Place, Place] | None = None  # None: not known
        self._ahead: dict[str, str] = {}  # while rows are restored: parents that are still to come

    # -- what there is ------------------------------------------------------------------------------------------------

    def place(self, node: Node) -> Place:
        """Where a node is."""
        slot = node.slot
        return self.x[slot], self.y[slot], self.z[slot]

    @property
    def depth(self) -> int:
        """The greatest depth; 0 of no tree."""
        while self._deepest and not self.depths[self._deepest]:
            self._deepest -= 1
        return self._deepest

    def quality(self) -> float:
        """A quarter each for entities, connections, a hierarchy and sacred entities (the seed's score)."""
        return (bool(self.nodes) + bool(self.links) + bool(self.depth) + bool(self.sacred)) / 4

    def metadata(self) -> SnapshotMetadata:
        """As the seed has it."""
        count = len(self.nodes)
        return SnapshotMetadata(
            entity_count=count,
            connection_count=len(self.links),
            hierarchy_depth=self.depth,
            sacred_entity_count=self.sacred,
            avg_flux_position=self.flux_sum / count if count else 0.0,
            spatial_bounds=self.bounds(),
            quality_score=self.quality(),
        )

    def bounds(self) -> tuple[Place, Place]:
        """The least and the greatest coordinates. Looked for only when what was on the bounds has moved or gone."""
        if not self.nodes:
            return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        if self._bounds is None:
            columns = [np.frombuffer(column) for column in (self.x, self.y, self.z)]
            least = [float(np.fmin.reduce(column)) for column in columns]
            most = [float(np.fmax.reduce(column)) for column in columns]
            self._bounds = (least[0], least[1], least[2]), (most[0], most[1], most[2])
        return self._bounds

    # -- what changes it ----------------------------------------------------------------------------------------------

    def apply(self, delta: Delta, at: datetime) -> None:
        """Become what a draft of this very scene came to. Links go while their ends are as they were, and come last."""
        for change in delta.links:
            link = self.links.get(change.key)
            if link is not None:
                self._unindex(change.key, link)
        for entity in delta.nodes:
            self._replace(entity, delta.version, at)
        for change in delta.links:
            if change.link is None:
                if self.links.pop(change.key, None) is not None:
                    self.gone_links[change.key] = Gone(delta.version, at)
            else:
                self.links[change.key] = change.link
                self.gone_links.pop(change.key, None)
                self._index(change.key, change.link)
        self.bytes, self.unresolved = delta.bytes, delta.unresolved

    def forget(self, before: datetime) -> None:
        """What was removed before a time, and storage has no row of any more. A refusal to train is remembered: storage keeps it
        while a snapshot shows what it is about, and its row would stand in the way of a new one."""
        self.gone = {id_: found for id_, found in self.gone.items() if found.at >= before or found.trains is False}
        self.gone_links = {key: found for key, found in self.gone_links.items() if found.at >= before}

    def restored(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Live rows of storage, entities first; none: the table is at its end."""
        if table == ENTITIES:
            self._restore_nodes(rows)
            if not rows and self._ahead:
                raise ValueError(f"{len(self._ahead)} parents are not there, such as {next(iter(self._ahead))!r}")
        else:
            self._restore_links(rows)

    def _replace(self, change: NodeChange, version: int, at: datetime) -> None:
        old, new = self.nodes.get(change.id), change.node
        if new is None:
            self.nodes.pop(change.id, None)
            self.gone[change.id] = Gone(version, at, change.trains)
        else:
            if old is None:
                self.gone.pop(change.id, None)
            self.nodes[change.id] = new
        old_parent, parent = old.parent if old else None, new.parent if new else None
        if old_parent != parent:
            if old_parent is not None:
                self.children.discard(old_parent, change.id)
            if parent is not None:
                self.children.add(parent, change.id)
        self._count(old, new)
        self._move(old, new, change.place)

    def _count(self, old: Node | None, new: Node | None) -> None:
        if old is not None:
            self.flux_sum -= old.flux
            self.sacred -= old.flux in SACRED
            self.depths[old.depth] -= 1
            if not self.depths[old.depth]:
                del self.depths[old.depth]
        if new is not None:
            self.flux_sum += new.flux
            self.sacred += new.flux in SACRED
            self.depths[new.depth] += 1
            if new.depth > self._deepest:
                self._deepest = new.depth

    def _move(self, old: Node | None, new: Node | None, place: Place | None) -> None:
        """Coordinates by slot; the bounds grow at once, and are looked for anew where they may have shrunk."""
        if new is None:
            if old is not None:
                self._shrink(old)
                self.x[old.slot] = self.y[old.slot] = self.z[old.slot] = nan  # nobody is here, and fmin does not see it
                self._free.append(old.slot)
        elif old is not None and (place is None or place == self.place(old)):
            new.slot = old.slot
        elif place is not None:
            if old is not None:
                self._shrink(old)
            self._enter(new, place, old)

    def _enter(self, new: Node, place: Place, old: Node | None) -> None:
        x, y, z = place
        slot = old.slot if old is not None else self._free.pop() if self._free else -1
        if slot < 0:
            slot = len(self.x)
            self.x.append(x)
            self.y.append(y)
            self.z.append(z)
        else:
            self.x[slot], self.y[slot], self.z[slot] = x, y, z
        new.slot = slot
        if self._bounds is not None:
            (a, b, c), (d, e, f) = self._bounds
            if x < a or y < b or z < c or x > d or y > e or z > f:
                self._bounds = (min(a, x), min(b, y), min(c, z)), (max(d, x), max(e, y), max(f, z))

    def _shrink(self, old: Node) -> None:
        if self._bounds is not None:
            (x, y, z), (least, most) = self.place(old), self._bounds
            if x in (least[0], most[0]) or y in (least[1], most[1]) or z in (least[2], most[2]):
                self._bounds = None

    def _index(self, key: Key, link: Link) -> None:
        if not link.in_tree:
            source, target, type_ = key
            self.others.add(source, key)
            if target != source:
                self.others.add(target, key)
            if type_ == HIERARCHY:
                self.waiting.add(target, key)

    def _unindex(self, key: Key, link: Link) -> None:
        if not link.in_tree:
            self.others.discard(key[0], key)
            self.others.discard(key[1], key)
            if key[2] == HIERARCHY:
                self.waiting.discard(key[1], key)

    # -- from storage -------------------------------------------------------------------------------------------------

    def _restore_nodes(self, rows: Sequence[tuple[Any, ...]]) -> None:
        nodes, ahead, since, slot = self.nodes, self._ahead, 0, len(self.x)
        for _, id_, began, at, flux, x, y, z, parent, depth, trains, data in rows:
            since = since if since == began else began  # one object for all of a version
            if data is None:
                self.gone[id_] = Gone(since, at, trains)
                continue
            if data.startswith(b'{"id": '):  # as jsonb prints it
                data = stored.normal(data)
            if ahead:
                id_ = ahead.pop(id_, id_)  # each id is in memory once
            if parent is not None:
                above = nodes.get(parent)
                parent = ahead.setdefault(parent, parent) if above is None else above.id
                self.children.add(parent, id_)
            nodes[id_] = Node(id_, data, flux, since, trains, parent, depth, slot)
            slot += 1
            self.bytes += len(data)
            self.x.append(x)
            self.y.append(y)
            self.z.append(z)
        live = [row for row in rows if row[11] is not None]
        self.depths.update([row[9] for row in live])
        self._deepest = max(self._deepest, max(self.depths, default=0))
        fluxes = [row[4] for row in live]
        self.flux_sum += sum(fluxes)
        self.sacred += sum(flux in SACRED for flux in fluxes)

    def _restore_links(self, rows: Iterable[tuple[Any, ...]]) -> None:
        nodes, version, types = self.nodes, 0, dict[str, str]()
        for _, source, target, type_, since, at, made, in_tree, strength, label in rows:
            version = version if version == since else since
            above, below = nodes.get(source), nodes.get(target)
            key = (
                source if above is None else above.id,
                target if below is None else below.id,
                types.get(type_) or types.setdefault(type_, intern(type_)),
            )
            if strength is None:
                self.gone_links[key] = Gone(version, at)
                continue
            link = Link(
                version if made == version else made, version, 1.0 if strength == 1.0 else strength, label, in_tree
            )
            self.links[key] = link
            if not in_tree:
                self._index(key, link)
                self.unresolved += type_ == HIERARCHY or above is None or below is None
