"""A scene with changes over it: what is read is the scene where nothing is changed, what is changed is copied first.

It keeps the tree a tree and every index and count true; which of the changes may be is the draft's business. A command costs
what it changes. Two things would not, done plainly:

- Whether a connection closes a circle: the walk goes up from the source and down from the target at once, and ends with the
  shorter one. To build a tree, in whatever order, so takes n log n steps.
- Depths: what is hung somewhere has its depth at once; where it brings a subtree, that is looked at when all is done, once, and
  only as far down as depths differ.

A small command may still change very much (a root of a million goes) or ask for very much looking (a thousand times the place
is free that a hundred thousand connections wait for). The process of a space does nothing else meanwhile and is taken for dead
after three seconds, and the commit has its time too: so what one command may come to is bounded, and TooMuch refuses the whole
of it, in the midst of an item too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, Generic, TypeVar

from actors.eustress.scene import HIERARCHY, Delta, Index, Key, Link, LinkChange, Node, NodeChange, Place, Scene
from actors.runtime.errors import TooLarge

K = TypeVar("K")

CHANGES_MAX: Final = 50_000
"""Entities and connections that one command changes, all that it moves included: a second of this process."""
REWRITTEN_BYTES: Final = 64 * 2**20
"""Of entities as JSON that one command writes anew; of what it moves too, for a depth stands in the same row."""
STEPS_MAX: Final = 2_000_000
"""Of walks through the tree and tries of what waits, of one command."""
TRY_STEPS: Final = 10
"""What one of those that wait costs to look at, in steps of a walk."""


class TooMuch(TooLarge):
    """The whole command is refused, and its draft of no more use."""


class Keys(Generic[K]):
    """An index with changes over it."""

    __slots__ = ("_added", "_base", "_removed")

    def __init__(self, base: Index[K]) -> None:
        self._base = base
        self._added: dict[str, dict[K, None]] = {}
        self._removed: dict[str, set[K]] = {}

    def __bool__(self) -> bool:
        """False: there is none for sure."""
        return bool(self._base) or bool(self._added)

    def of(self, id_: str) -> Iterator[K]:
        """One after the other; not to be read on after a change."""
        base, removed = self._base.of(id_), self._removed.get(id_)
        return chain((k for k in base if k not in removed) if removed else base, self._added.get(id_, ()))

    def has(self, id_: str) -> bool:
        """Whether there is any."""
        return next(self.of(id_), None) is not None

    def add(self, id_: str, key: K) -> None:
        """A key that is not there."""
        removed = self._removed.get(id_)
        if removed and key in removed:
            removed.discard(key)
        else:
            self._added.setdefault(id_, {})[key] = None

    def discard(self, id_: str, key: K) -> None:
        """A key that is there."""
        added = self._added.get(id_)
        if added and key in added:
            del added[key]
        else:
            self._removed.setdefault(id_, set()).add(key)


class Overlay:
    """See the module. ``version`` is the one that the changes will make."""

    def __init__(self, scene: Scene, version: int) -> None:
        self.scene, self.version = scene, version
        self.nodes: dict[str, Node | None] = {}
        self.links: dict[Key, Link | None] = {}
        self.places: dict[str, Place] = {}
        self.children, self.others, self.waiting = Keys(scene.children), Keys(scene.others), Keys(scene.waiting)
        self.bytes, self.unresolved = scene.bytes, scene.unresolved
        self.node_count, self.link_count = len(scene.nodes), len(scene.links)
        self._rewritten = self._steps = 0
        self._words: dict[str, bool | None] = {}  # of consent, on what was removed here
        self._stale: dict[str, None] = {}  # whose depth, and what is below, is not yet right

    # -- reading ------------------------------------------------------------------------------------------------------

    def node(self, id_: str) -> Node | None:
        """The entity as it is here; not to be changed."""
        return self.nodes[id_] if id_ in self.nodes else self.scene.nodes.get(id_)

    def link(self, key: Key) -> Link | None:
        """The connection as it is here; not to be changed."""
        return self.links[key] if key in self.links else self.scene.links.get(key)

    def word(self, id_: str) -> bool | None:
        """The last word of consent on an entity, also on one that is gone."""
        node = self.node(id_)
        if node is not None:
            return node.trains
        if id_ in self._words:
            return self._words[id_]
        gone = self.scene.gone.get(id_)
        return None if gone is None else gone.trains

    def root(self, id_: str) -> str:
        """The root of the tree that an entity is in."""
        node, steps = self.node(id_), 0
        while node is not None and node.parent is not None:
            id_, steps = node.parent, steps + 1
            node = self.node(id_)
        self.walked(steps)
        return id_

    def obstacle(self, source: str, target: str) -> str | None:
        """Why the source cannot be the target's parent; both are there."""
        child = self.node(target)
        if child is not None and child.parent is not None:
            return f"{child.parent!r} is the parent of {target!r}"
        if source == target or self._is_above(target, source):
            return f"{target!r} is above {source!r}: it would close a circle"
        return None

    def _is_above(self, high: str, low: str) -> bool:
        up: str | None = low
        level, below = [high], iter(())  # type: tuple[list[str], Iterator[str]]
        while up is not None:
            self.walked(2)
            node = self.node(up)
            up = node.parent if node is not None else None
            if up == high:
                return True
            down = next(below, None)
            while down is None:
                if not level:
                    return False  # all that is below was seen
                below = self.children.of(level.pop())
                down = next(below, None)
            if down == low:
                return True
            level.append(down)
        return False

    def walked(self, steps: int) -> None:
        """Raises TooMuch."""
        self._steps += steps
        if self._steps > STEPS_MAX:
            raise TooMuch(
                "the tree would have to be searched too long for all of this at once; send it in smaller parts"
            )

    # -- changing -----------------------------------------------------------------------------------------------------

    def _changes(self, rewritten: int = 0) -> None:
        """One thing more is another than it was. Raises TooMuch."""
        self._rewritten += rewritten
        if len(self.nodes) + len(self.links) > CHANGES_MAX:
            raise TooMuch(
                f"more than {CHANGES_MAX} entities and connections would change at once, with all that moves; send it in"
                " smaller parts"
            )
        if self._rewritten > REWRITTEN_BYTES:
            raise TooMuch(
                f"more than {REWRITTEN_BYTES} bytes of entities would be written at once, with all that moves; send it in"
                " smaller parts"
            )

    def own(self, id_: str) -> Node:
        """The entity, to be changed. It is there."""
        node = self.nodes.get(id_)
        if node is None:
            old = self.scene.nodes[id_]
            node = self.nodes[id_] = Node(
                old.id, old.data, old.flux, self.version, old.trains, old.parent, old.depth, old.slot
            )
            self._changes(len(old.data))
        return node

    def enter(self, node: Node, place: Place) -> list[Key]:
        """An entity that was not there, alone. Returns the connections that waited for it and may be in the tree now."""
        id_ = node.id
        self.nodes[id_], self.places[id_] = node, place
        self._changes(len(node.data))
        self.node_count += 1
        self.bytes += len(node.data)
        hierarchy = []
        for key in self.others.of(id_) if self.others else ():
            if key[2] == HIERARCHY:
                hierarchy.append(key)
            elif self.node(key[1] if key[0] == id_ else key[0]) is not None:
                self.unresolved -= 1
        return hierarchy

    def leave(self, id_: str) -> None:
        """An entity goes; it has no connection any more."""
        node = self.node(id_)
        if node is None:
            return
        self._words[id_] = node.trains
        self.nodes[id_] = None
        self._changes()
        self.places.pop(id_, None)
        self._stale.pop(id_, None)
        self.node_count -= 1
        self.bytes -= len(node.data)

    def say(self, key: Key, link: Link | None) -> None:
        """What a connection is here, where its place in the tree stays as it is."""
        self.links[key] = link
        self._changes()

    def connect(self, key: Key, link: Link) -> None:
        """A connection that was not there."""
        self.say(key, link)
        self.link_count += 1
        if link.in_tree:
            self._hang(key[0], key[1])
        else:
            self._wait(key)

    def disconnect(self, key: Key) -> None:
        """A connection that was there, while its ends still are as they were."""
        link = self.link(key)
        self.say(key, None)
        self.link_count -= 1
        if link is not None and link.in_tree:
            self._unhang(key[0], key[1])
        else:
            self._wait_no_more(key)

    def attach(self, key: Key) -> None:
        """A connection that waited is in the tree now: nothing was in its way."""
        link = self.link(key)
        if link is not None:
            self._wait_no_more(key)
            self.say(key, Link(link.made, self.version, link.strength, link.label, in_tree=True))
            self._hang(key[0], key[1])

    def _wait(self, key: Key) -> None:
        source, target, type_ = key
        self.others.add(source, key)
        if source != target:
            self.others.add(target, key)
        if type_ == HIERARCHY:
            self.waiting.add(target, key)
        self.unresolved += self._is_unresolved(key)

    def _wait_no_more(self, key: Key) -> None:
        source, target, type_ = key
        self.others.discard(source, key)
        if source != target:
            self.others.discard(target, key)
        if type_ == HIERARCHY:
            self.waiting.discard(target, key)
        self.unresolved -= self._is_unresolved(key)

    def _is_unresolved(self, key: Key) -> bool:
        return key[2] == HIERARCHY or self.node(key[0]) is None or self.node(key[1]) is None

    def _hang(self, source: str, target: str) -> None:
        above, child = self.node(source), self.own(target)
        assert above is not None, "nothing was in the way"
        child.parent = above.id
        self.children.add(source, child.id)
        if self._stale or self.children.has(target):
            self._stale[target] = None
        else:
            child.depth = above.depth + 1

    def _unhang(self, source: str, target: str) -> None:
        child = self.own(target)
        child.parent = None
        self.children.discard(source, target)
        if self.children.has(target):
            self._stale[target] = None
        else:
            child.depth = 0
            self._stale.pop(target, None)

    # -- the outcome --------------------------------------------------------------------------------------------------

    def settle_depths(self) -> None:
        """Make depths right again, in what has moved and below it."""
        known: dict[str, int] = {}
        for moved in self._stale:
            level = [(moved, self._depth(moved, known))]
            while level:
                id_, depth = level.pop()
                node = self.node(id_)
                if node is None or node.depth == depth:
                    continue  # and so it is below; but for what has moved itself
                self.walked(1)
                self.own(id_).depth = depth
                level += [(child, depth + 1) for child in self.children.of(id_)]
        self._stale = {}

    def _depth(self, id_: str, known: dict[str, int]) -> int:
        """Counted from the root, or from what was counted before. Where nothing else has moved, what is above is right."""
        node = self.node(id_)
        above = node.parent if node is not None else None
        if above is not None and len(self._stale) == 1:
            parent = self.node(above)
            return 0 if parent is None else parent.depth + 1
        path = [id_]
        while above is not None and above not in known:
            path.append(above)
            node = self.node(above)
            above = node.parent if node is not None else None
        self.walked(len(path))
        depth = -1 if above is None else known[above]
        for passed in reversed(path):
            depth += 1
            known[passed] = depth
        return depth

    def delta(self) -> Delta:
        """What differs from the scene; empty where nothing does. Depths are settled."""
        links = (_link_change(self.scene, key, link) for key, link in self.links.items())
        nodes = (self._node_change(id_, node) for id_, node in self.nodes.items())
        changed = [change for change in nodes if change is not None]
        return Delta(
            version=self.version,
            nodes=changed,
            links=[change for change in links if change is not None],
            bytes=self.bytes,
            unresolved=self.unresolved,
            seen=sum(change.before is None for change in changed),
        )

    def _node_change(self, id_: str, node: Node | None) -> NodeChange | None:
        old = self.scene.nodes.get(id_)
        if old is None:
            gone, word = self.scene.gone.get(id_), self._words.get(id_)
            before = None if gone is None else gone.since
            if node is not None:
                return NodeChange(id_, node, self.places[id_], before, False)
            # It came and went in one version: nothing is left of it but what was said of its consent.
            is_news = word is not None and (gone is None or gone.trains != word)
            return NodeChange(id_, None, None, before, False, word) if is_news else None
        if node is None:
            return NodeChange(id_, None, None, old.since, True, self._words[id_])
        if (
            old.data == node.data
            and old.parent == node.parent
            and old.depth == node.depth
            and old.trains == node.trains
        ):
            return None
        return NodeChange(id_, node, self.places.get(id_), old.since, True)


def _link_change(scene: Scene, key: Key, link: Link | None) -> LinkChange | None:
    old = scene.links.get(key)
    if old is None:
        if link is None:
            return None
        gone = scene.gone_links.get(key)
        return LinkChange(key, link, None if gone is None else gone.since, False)
    if link is None:
        return LinkChange(key, None, old.since, True)
    if old.made == link.made and _said(old) == _said(link):
        return None
    return LinkChange(key, link, old.since, True)


def _said(link: Link) -> tuple[float, str | None, bool]:
    return link.strength, link.label, link.in_tree
