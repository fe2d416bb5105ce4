"""What a command would make of a scene: its items applied one after the other beside the scene, which stays as it is.

Each item does all that it says and answers whether that changed anything, or raises and does nothing (but for a placement).
In a space that orders leniently what refers to something missing waits for it, with a warning; in a strict one it is refused.

What waits: a connection of which an end is not there, and one of type hierarchy whose target has a parent or is above its
source. It is tried again when an end comes and when a place in the tree is given up, the one that was made first first.
"""

from __future__ import annotations

from collections.abc import Iterable
from sys import intern
from typing import Final

from msgspec import UNSET, structs

from actors.eustress import stored
from actors.eustress.flux import flux_position
from actors.eustress.overlay import TRY_STEPS, Overlay
from actors.eustress.scene import HIERARCHY, Delta, Key, Link, Node, Scene
from actors.eustress.values import (
    Ancestor,
    ConnectionKey,
    ParameterUpdate,
    Placement,
    SceneConnection,
    SceneEntity,
    SceneLimits,
)
from actors.runtime.codec import has_nul, invalid
from actors.runtime.errors import Full

MADE_FOR: Final = {"source_type": "sangha:parameter"}
"""The creator of an entity that a parameter made: the entity itself replaces it, and keeps the parameters it does not name."""
_MADE_FOR_TEXT: Final = b'"creator":{"source_type":"sangha:parameter"}'
PARAMETERS_MAX: Final = 1_000
VALUE_DEPTH: Final = stored.DEPTH_MAX - 2
NUL: Final = "contains U+0000, which cannot be stored"


class Draft:
    """See the module. ``version`` is the one that the change would make; ``limits`` with the policy's own bound.

    Whatever is done to it may raise TooMuch; then all of it is off."""

    def __init__(self, scene: Scene, version: int, limits: SceneLimits, *, strict: bool) -> None:
        self.warned: list[str] = []
        """What the items had to be warned of; whoever applies them takes it away and says of which item."""
        self._over = Overlay(scene, version)
        self._version, self._limits, self._strict = version, limits, strict
        self._open: dict[str, stored.Stored] = {}  # whose parameters change: encoded once, when all is done
        self._grown: dict[str, int] = {}  # how much longer their text is going to be, about

    def finish(self) -> Delta:
        """All that differs from the scene. Nothing may be applied after."""
        for id_ in list(self._open):
            self._close(id_)
        self._over.settle_depths()
        return self._over.delta()

    # -- entities -----------------------------------------------------------------------------------------------------

    def put(self, entity: SceneEntity) -> bool:
        """An entity as a whole. Raises Invalid, Full."""
        over, id_ = self._over, entity.id
        if id_ in self._open:
            self._close(id_)
        old = over.node(id_)
        word = over.word(id_) if entity.consent is UNSET else entity.consent
        if entity.consent is UNSET and word is not None:
            entity = structs.replace(entity, consent=word)
        if old is not None and _MADE_FOR_TEXT in old.data and entity.creator != MADE_FOR:
            entity = self._adopting(stored.decode(old.data), entity)
        data = self._text(entity)
        if old is not None and old.data == data:
            return False
        self._check_room(len(data) - (len(old.data) if old is not None else 0), new=old is None)
        flux = flux_position(*entity.position)
        if old is None:
            node = Node(id_, data, flux, self._version, word)
            self._resume(over.enter(node, entity.position))
        else:
            over.bytes += len(data) - len(old.data)
            node = over.own(id_)
            node.data, node.flux, node.trains = data, flux, word
            over.places[id_] = entity.position
        return True

    def remove(self, id_: str) -> bool:
        """An entity, with its connections; what it is the parent of is a root then, or finds another. Raises Invalid."""
        over = self._over
        node = over.node(id_)
        if node is None:
            return self._missing("", f"there is no entity {id_!r}")
        if id_ in self._open:
            self._close(id_)
        children = list(over.children.of(id_))
        places = [*children, over.root(id_)] if over.waiting else []
        keys = [*over.others.of(id_), *((id_, child, HIERARCHY) for child in children)]
        if node.parent is not None:
            keys.append((node.parent, id_, HIERARCHY))
        for key in keys:
            over.disconnect(key)
        over.leave(id_)
        self._vacant(places)
        return True

    def set(self, update: ParameterUpdate) -> bool:
        """One parameter of an entity. Raises Invalid, Full."""
        id_, name = update.entity_id, update.parameter_name
        value = b"" if update.remove else stored.encode(update.value)
        _check_parameter(name, value)
        if self._over.node(id_) is None:
            if self._strict or update.remove:
                return self._missing("entity_id", f"there is no entity {id_!r}")
            self.put(SceneEntity(id=id_, parameters={name: update.value}, creator=MADE_FOR))
            self.warned.append(f"there is no entity {id_!r}: it was made for this parameter")
            return True
        parameters = self._opened(id_).parameters
        there = name in parameters
        before = stored.encode(parameters[name]) if there else b""
        if update.remove and not there:
            return self._missing("parameter_name", f"entity {id_!r} has no parameter {name!r}")
        if not update.remove and there and before == value:
            return False
        if not there and len(parameters) >= PARAMETERS_MAX:
            raise invalid("parameter_name", f"entity {id_!r} has {PARAMETERS_MAX} parameters, which is the most")
        self._grow(id_, len(value) - len(before) + (0 if there else len(stored.encode(name)) + 2))
        if update.remove:
            del parameters[name]
        else:
            parameters[name] = update.value
        return True

    def place(self, placement: Placement) -> bool:
        """An entity below all of its ancestors, the root first. Raises Invalid, Full, and may then be half done."""
        ids = [ancestor.id for ancestor in placement.ancestors]
        if len({*ids, placement.entity_id}) <= len(ids):
            raise invalid("ancestors", "an entity is its own ancestor")
        made = [self._ancestor(ancestor) for ancestor in placement.ancestors]
        moved = [self._move(*edge) for edge in zip(ids, [*ids[1:], placement.entity_id], strict=True)]
        return any(made) or any(moved)

    def _ancestor(self, ancestor: Ancestor) -> bool:
        if self._over.node(ancestor.id) is not None:
            return False
        return self.put(SceneEntity(id=ancestor.id, name=ancestor.name, class_type=ancestor.class_type))

    def _move(self, source: str, target: str) -> bool:
        """The source becomes the target's parent, in place of any other."""
        over = self._over
        node = over.node(target)
        parent = None if node is None else node.parent
        if parent == source and node is not None:
            return False
        places = []
        if parent is not None:
            places = self._places(parent, target)
            over.disconnect((parent, target, HIERARCHY))
        key = self._key(source, target, HIERARCHY)
        if over.link(key) is None:
            self.connect(SceneConnection(source_id=source, target_id=target, connection_type=HIERARCHY))
        else:
            self._resume([key])
        self._vacant(places)
        return True

    def _adopting(self, made: stored.Stored, entity: SceneEntity) -> SceneEntity:
        """With the parameters of one that a parameter made; other text of an entity may look like that of such a creator."""
        if made.creator != MADE_FOR:
            return entity
        return structs.replace(entity, parameters=made.parameters | entity.parameters)

    def _text(self, entity: SceneEntity) -> bytes:
        """The entity as it is kept. Raises Invalid where it cannot be."""
        if not any(entity.rotation):
            raise invalid("rotation", "a quaternion of length zero is no rotation")
        if len(entity.parameters) > PARAMETERS_MAX:
            raise invalid("parameters", f"more than {PARAMETERS_MAX} with those that came before the entity")
        data = stored.text(entity)
        if len(data) > stored.ENTITY_BYTES:
            raise invalid("", f"{len(data)} bytes of JSON, {stored.ENTITY_BYTES} are allowed in one entity")
        if stored.too_deep(data):
            raise invalid("", f"nested deeper than {stored.DEPTH_MAX}")
        if b"\\u0000" in data and has_nul(data):
            raise invalid("", NUL)
        return data

    def _opened(self, id_: str) -> stored.Stored:
        entity = self._open.get(id_)
        if entity is None:
            node = self._over.node(id_)
            assert node is not None, "looked for before"
            entity = self._open[id_] = stored.decode(node.data)
            self._grown[id_] = 0
        return entity

    def _grow(self, id_: str, by: int) -> None:
        node = self._over.node(id_)
        size = (0 if node is None else len(node.data)) + self._grown[id_] + by
        if size > stored.ENTITY_BYTES:
            raise invalid("value", f"entity {id_!r} would have more than {stored.ENTITY_BYTES} bytes of JSON")
        self._check_room(by)
        self._grown[id_] += by
        self._over.bytes += by

    def _close(self, id_: str) -> None:
        """The entity's text, now that its parameters are what they are."""
        over, entity, grown = self._over, self._open.pop(id_), self._grown.pop(id_)
        node, data = over.node(id_), stored.text(entity)
        assert node is not None, "it was closed before it went"
        over.bytes += len(data) - len(node.data) - grown
        if data != node.data:
            over.own(id_).data = data

    def _check_room(self, by: int, *, new: bool = False) -> None:
        """Raises Full."""
        over, limits = self._over, self._limits
        if new and over.node_count >= limits.max_entities:
            raise Full(f"the space has {over.node_count} entities, and may have {limits.max_entities}")
        if by > 0 and over.bytes + by > limits.scene_bytes:
            raise Full(f"the scene would be of {over.bytes + by} bytes of JSON, and may be of {limits.scene_bytes}")

    # -- connections --------------------------------------------------------------------------------------------------

    def connect(self, connection: SceneConnection) -> bool:
        """A connection, or other words on one that is there. Raises Invalid, Full."""
        over = self._over
        key = self._key(connection.source_id, connection.target_id, connection.connection_type)
        if key[0] == key[1] and key[2] == HIERARCHY:
            raise invalid("target_id", f"{key[0]!r} cannot be its own parent")
        _check_words(connection)
        strength = 1.0 if connection.strength == 1.0 else connection.strength
        old = over.link(key)
        if old is not None:
            if (old.strength, old.label) == (strength, connection.label):
                return False
            over.say(key, Link(old.made, self._version, strength, connection.label, old.in_tree))
            return True
        obstacle = self._obstacle(key)
        if obstacle is not None and self._strict:
            raise invalid(*obstacle)
        self._check_links(waits=obstacle is not None)
        if obstacle is not None:
            self.warned.append(f"{obstacle[1]}; the connection waits")
        in_tree = obstacle is None and key[2] == HIERARCHY
        over.connect(key, Link(self._version, self._version, strength, connection.label, in_tree))
        return True

    def disconnect(self, which: ConnectionKey) -> bool:
        """A connection goes. Raises Invalid."""
        key = which.source_id, which.target_id, which.connection_type
        link = self._over.link(key)
        if link is None:
            return self._missing("", f"there is no connection {key[0]!r} to {key[1]!r} of type {key[2]!r}")
        places = self._places(key[0], key[1]) if link.in_tree else []
        self._over.disconnect(key)
        self._vacant(places)
        return True

    def _key(self, source: str, target: str, type_: str) -> Key:
        """With the very texts that the entities have: each is in memory once."""
        above, below = self._over.node(source), self._over.node(target)
        return source if above is None else above.id, target if below is None else below.id, intern(type_)

    def _obstacle(self, key: Key) -> tuple[str, str] | None:
        """Which field, and why, where a connection would have to wait."""
        source, target, type_ = key
        for field, id_ in (("source_id", source), ("target_id", target)):
            if self._over.node(id_) is None:
                return field, f"there is no entity {id_!r}"
        if type_ != HIERARCHY:
            return None
        obstacle = self._over.obstacle(source, target)
        return None if obstacle is None else ("target_id", obstacle)

    def _check_links(self, *, waits: bool) -> None:
        """Raises Full."""
        over, limits = self._over, self._limits
        if over.link_count >= limits.max_connections:
            raise Full(f"the space has {over.link_count} connections, and may have {limits.max_connections}")
        if waits and over.unresolved >= limits.waiting:
            raise Full(f"{over.unresolved} connections wait already, and {limits.waiting} may")

    def _places(self, source: str, target: str) -> list[str]:
        """Whose places in the tree may be free once the source is not the target's parent: that of the target, and that of the
        root, above which something that now is below the target could not be."""
        return [target, self._over.root(source)] if self._over.waiting else []

    def _vacant(self, places: Iterable[str]) -> None:
        over = self._over
        free = [id_ for id_ in places if (node := over.node(id_)) is not None and node.parent is None]
        self._resume(key for id_ in free for key in over.waiting.of(id_))

    def _resume(self, keys: Iterable[Key]) -> None:
        """Try what waited, the one that was made first first."""
        made = []
        for key in set(keys):
            self._over.walked(TRY_STEPS)
            if (link := self._over.link(key)) is not None:
                made.append((link.made, key))
        for _, key in sorted(made):
            if self._obstacle(key) is None:
                self._over.attach(key)

    def _missing(self, field: str, message: str) -> bool:
        """What is to go is not there: refused, or nothing but a warning."""
        if self._strict:
            raise invalid(field, message)
        self.warned.append(message)
        return False


def _check_words(connection: SceneConnection) -> None:
    if "\0" in connection.connection_type or "\0" in (connection.label or ""):
        raise invalid("label" if connection.label and "\0" in connection.label else "connection_type", NUL)


def _check_parameter(name: str, value: bytes) -> None:
    if "\0" in name:
        raise invalid("parameter_name", NUL)
    if stored.too_deep(value, VALUE_DEPTH):
        raise invalid("value", f"nested deeper than {VALUE_DEPTH}")
    if b"\\u0000" in value and has_nul(value):
        raise invalid("value", NUL)
