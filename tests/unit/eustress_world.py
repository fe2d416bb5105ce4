"""A Eustress space without a shard: what it journals and what storage would keep of its rows; and a model of it that recomputes
everything from scratch."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from driving import BEGIN

from actors.eustress import commands as c
from actors.eustress.entity import EustressKind
from actors.eustress.flux import flux_position
from actors.eustress.scene import CONNECTIONS, ENTITIES, HIERARCHY, Scene
from actors.eustress.state import EustressState
from actors.eustress.values import PolicyPatch, SceneLimits
from actors.runtime.entity import AlarmFired, Begin, Context, Decision, EffectDone, End, Trim, Upsert

WIDTH = {ENTITIES: 2, CONNECTIONS: 4}
LIVE = 2**63 - 1


def as_jsonb(text: bytes) -> bytes:
    """As Postgres prints it: keys by length and then by bytes, spaces behind commas and colons."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ordered(value[key]) for key in sorted(value, key=lambda k: (len(k.encode()), k.encode()))}
        return [ordered(item) for item in value] if isinstance(value, list) else value

    return msgspec.json.format(msgspec.json.encode(ordered(msgspec.json.decode(text))), indent=0)


class Space:
    """A space, its journal, and its rows as storage keeps them: by table and key, each with what an End sets."""

    def __init__(self, limits: SceneLimits | None = None, name: str = "quantum", **policy: Any) -> None:
        self.kind = EustressKind(limits or SceneLimits())
        self.now = BEGIN
        self.state: EustressState = self.kind.initial(name)
        self.offset = 0
        self.journal: list[tuple[Any, bytes]] = []
        self.frames: list[Any] = []
        self.versions: dict[tuple[str, tuple[Any, ...]], list[dict[str, Any]]] = {}
        self.rows: list[Any] = []
        self.upserts: dict[tuple[str, str], dict[str, Any]] = {}
        if policy:
            self.do(c.SetPolicy(patch=PolicyPatch(**policy)))

    @property
    def scene(self) -> Scene:
        return self.state.scene

    def context(self, operation: str | None = None) -> Context:
        return Context(
            entity_id=self.state.header.space,
            now=self.now,
            next_offset=self.offset + 1,
            operation=operation,
            seq=self.state.header.version,
        )

    def do(self, command: Any, operation: str | None = None) -> Decision:
        """Decide and take what came of it. ``rows`` are those of this command."""
        decision = self.kind.decide(self.state, command, self.context(operation))
        msgspec.json.encode(decision.reply)
        self.rows = []
        for event in decision.events:
            self.state = self.kind.evolve(self.state, event, self.now)
            data = self.kind.encode_event(event)
            self.journal.append((self.now, data))
            published = self.kind.publish(event)
            again = self.kind.publish(self.kind.decode_event(self.kind.format, data))
            assert msgspec.json.encode(published) == msgspec.json.encode(again)
            if published is not None:
                self.offset += 1
                self.frames.append(msgspec.json.decode(msgspec.json.encode(published)))
            self.rows += self.kind.rows(event, self.state, self.now)
        for row in self.rows:
            self._keep(row)
        return decision

    def reply(self, command: Any, operation: str | None = None) -> Any:
        return self.do(command, operation).reply

    def batch(self, *, what: Any = "batch", per_item: bool = False, operation: str | None = None, **items: Any) -> Any:
        text = msgspec.json.encode(items)
        return self.reply(c.Ingest(items=text, what=what, per_item=per_item), operation)

    def lines(self, first: int, *lines: Any, stream: str = "s") -> Any:
        text = b"\n".join(msgspec.json.encode(line) for line in lines)
        return self.reply(c.IngestLines(stream=stream, first=first, lines=text))

    def policy(self, **patch: Any) -> Any:
        return self.reply(c.SetPolicy(patch=PolicyPatch(**patch)))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def fire(self) -> str:
        """The alarm that is due next, when it is due."""
        due, name = min((due, name) for name, due in self.kind.agenda(self.state).alarms.items())
        self.now = max(self.now, due)
        self.do(AlarmFired(name=name))
        return name

    def answer(self, reply: Any = None, error: str | None = None) -> Any:
        """The first effect is done. Returns its command."""
        effect = next(iter(self.kind.agenda(self.state).effects.values()))
        self.do(EffectDone(id=effect.id, reply=None if reply is None else msgspec.json.encode(reply), error=error))
        return effect

    def begun(self, table: str = ENTITIES) -> list[Any]:
        return [row for row in self.rows if isinstance(row, Begin) and row.table == table]

    def ended(self, table: str = ENTITIES) -> list[Any]:
        return [row for row in self.rows if isinstance(row, End) and row.table == table]

    def upserted(self, table: str) -> list[dict[str, Any]]:
        return [row for (kind, _), row in self.upserts.items() if kind == table]

    def reloaded(self) -> EustressState:
        """As a shard brings it to life again: the journal's fold, then the live rows of storage."""
        kind = self.kind
        state = kind.initial(self.state.header.space)
        half = len(self.journal) // 2
        for count, (at, data) in enumerate(self.journal):
            if count == half:
                state = kind.decode_state(kind.format, kind.encode_state(state))
            state = kind.evolve(state, kind.decode_event(kind.format, data), at)
        for table in kind.versioned:
            live = list(self.live(table).values())
            for start in range(0, len(live), 3):
                state = kind.restored(state, table, live[start : start + 3])
            state = kind.restored(state, table, [])
        return state

    def live(self, table: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """The rows that hold, as ``restored`` gets them."""
        found = {}
        for (kind, key), versions in self.versions.items():
            if kind == table and versions and versions[-1]["until"] == LIVE:
                values = versions[-1]["values"]
                if kind == ENTITIES and values[-1] is not None:
                    values = (*values[:-1], as_jsonb(values[-1]))
                found[key] = values
        return found

    def at_version(self, version: int) -> tuple[dict[str, Any], dict[Any, Any]]:
        """What rows of storage show at a version: entities (parent, depth, entity_data) and connections (strength)."""
        shown: dict[str, dict[Any, Any]] = {ENTITIES: {}, CONNECTIONS: {}}
        for (table, key), versions in self.versions.items():
            for row in versions:
                values = row["values"]
                if (
                    values[WIDTH[table]] <= version < row["until"]
                    and values[-2 if table == CONNECTIONS else -1] is not None
                ):
                    shown[table][key[1:]] = values
        entities = {key[0]: (v[8], v[9], msgspec.json.decode(v[11])) for key, v in shown[ENTITIES].items()}
        return entities, {key: (v[7], v[8]) for key, v in shown[CONNECTIONS].items()}

    def _keep(self, row: Any) -> None:
        if isinstance(row, Begin):
            key = row.values[: WIDTH[row.table]]
            versions = self.versions.setdefault((row.table, key), [])
            assert not versions or versions[-1]["until"] != LIVE, "two rows of one thing hold at once"
            versions.append({"values": row.values, "until": LIVE})
        elif isinstance(row, End):
            versions = self.versions.get((row.table, row.key), [])
            found = bool(versions) and versions[-1]["until"] == LIVE
            assert found or not row.sure
            if found:
                assert versions[-1]["values"][WIDTH[row.table]] == row.since
                versions[-1]["until"] = row.until
        elif isinstance(row, Upsert):
            self.upserts.setdefault((row.table, row.values["id"]), {}).update(row.values)
        else:
            assert isinstance(row, Trim)


def entity(id_: str, x: float = 0.0, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "position": [x, 0.0, 0.0], **fields}


def edge(source: str, target: str, type_: str = HIERARCHY, **fields: Any) -> dict[str, Any]:
    return {"source_id": source, "target_id": target, "connection_type": type_, **fields}


def contents(scene: Scene) -> dict[str, Any]:
    """All that a scene knows, in a form that can be compared."""
    return {
        "nodes": {
            id_: (n.id, n.data, n.flux, n.since, n.trains, n.parent, n.depth, scene.place(n))
            for id_, n in scene.nodes.items()
        },
        "links": {
            key: (link.made, link.since, link.strength, link.label, link.in_tree) for key, link in scene.links.items()
        },
        "gone": scene.gone,
        "gone_links": scene.gone_links,
        "children": index(scene.children, scene.nodes),
        "others": index(scene.others, {end for key in scene.links for end in key[:2]}),
        "waiting": index(scene.waiting, {key[1] for key in scene.links}),
        "counts": (scene.sacred, scene.flux_sum, scene.bytes, scene.unresolved, scene.depth, +scene.depths),
        "metadata": scene.metadata(),
    }


def index(found: Any, ids: Any) -> dict[str, set[Any]]:
    return {id_: set(found.of(id_)) for id_ in ids if found.of(id_)}


DEFAULTS: dict[str, Any] = {
    "name": "", "class_type": "", "rotation": [0.0, 0.0, 0.0, 1.0], "scale": [1.0, 1.0, 1.0], "tags": [], "parameters": {},
}  # fmt: skip


class Model:
    """The rules of a lenient scene, done the slow way: after each item all that waits is tried, and all is counted anew."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.links: dict[Any, dict[str, Any]] = {}
        self.words: dict[str, bool] = {}
        self.version = 0

    def put(self, said: dict[str, Any]) -> None:
        id_ = said["id"]
        if "consent" in said:
            self.words[id_] = said["consent"]
        before = self.entities.get(id_, {})
        made_for = before.get("creator") == {"source_type": "sangha:parameter"}
        entity = DEFAULTS | {"position": [0.0, 0.0, 0.0]} | said
        if made_for:
            entity["parameters"] = before["parameters"] | entity["parameters"]
        if id_ in self.words:
            entity["consent"] = self.words[id_]
        self.entities[id_] = entity
        self._retry()

    def set(self, said: dict[str, Any]) -> None:
        id_, name = said["entity_id"], said["parameter_name"]
        if id_ not in self.entities:
            if said.get("remove"):
                return
            self.put({"id": id_, "creator": {"source_type": "sangha:parameter"}})
        parameters = dict(self.entities[id_]["parameters"])
        if said.get("remove"):
            parameters.pop(name, None)
        else:
            parameters[name] = said["value"]
        self.entities[id_] = self.entities[id_] | {"parameters": parameters}

    def connect(self, said: dict[str, Any]) -> None:
        key = said["source_id"], said["target_id"], said["connection_type"]
        link = self.links.setdefault(key, {"made": self.version, "in_tree": False})
        link |= {"strength": said.get("strength", 1.0)}
        self._retry()

    def disconnect(self, said: dict[str, Any]) -> None:
        self.links.pop((said["source_id"], said["target_id"], said["connection_type"]), None)
        self._retry()

    def remove(self, id_: str) -> None:
        if self.entities.pop(id_, None) is not None:
            self.links = {key: link for key, link in self.links.items() if id_ not in key[:2]}
            self._retry()

    def place(self, said: dict[str, Any]) -> None:
        ids = [ancestor["id"] for ancestor in said["ancestors"]]
        for ancestor in said["ancestors"]:
            if ancestor["id"] not in self.entities:
                self.put(dict(ancestor))
        for source, target in zip(ids, [*ids[1:], said["entity_id"]], strict=True):
            parent = self.parent(target)
            if parent == source:
                continue
            if parent is not None:
                del self.links[parent, target, HIERARCHY]
            key = source, target, HIERARCHY
            link = self.links.setdefault(key, {"made": self.version, "in_tree": False, "strength": 1.0})
            link["in_tree"] = self._fits(key)
            self._retry()

    def parent(self, id_: str) -> str | None:
        found = [key[0] for key, link in self.links.items() if key[1] == id_ and link["in_tree"]]
        assert len(found) <= 1
        return found[0] if found else None

    def depth(self, id_: str) -> int:
        parent, depth = self.parent(id_), 0
        while parent is not None:
            parent, depth = self.parent(parent), depth + 1
        return depth

    def _retry(self) -> None:
        waiting = [
            (link["made"], key) for key, link in self.links.items() if key[2] == HIERARCHY and not link["in_tree"]
        ]
        for _, key in sorted(waiting):
            self.links[key]["in_tree"] = self._fits(key)

    def _fits(self, key: Any) -> bool:
        source, target, _ = key
        if source not in self.entities or target not in self.entities or self.parent(target) is not None:
            return False
        above: str | None = source
        while above is not None:
            if above == target:
                return False
            above = self.parent(above)
        return True

    def shown(self) -> tuple[dict[str, Any], dict[Any, Any]]:
        """As ``Space.at_version`` shows it."""
        entities = {id_: (self.parent(id_), self.depth(id_), entity) for id_, entity in self.entities.items()}
        return entities, {key: (link["in_tree"], link["strength"]) for key, link in self.links.items()}

    def check(self, space: Space) -> None:
        """Everything that the scene knows, computed from scratch."""
        scene, header = space.scene, space.state.header
        assert space.at_version(header.version) == self.shown()
        assert {id_: (n.parent, n.depth) for id_, n in scene.nodes.items()} == {
            id_: (self.parent(id_), self.depth(id_)) for id_ in self.entities
        }
        for id_, node in scene.nodes.items():
            assert msgspec.json.decode(node.data) == self.entities[id_]
            assert node.trains == self.entities[id_].get("consent")
        assert {key: (v.made, v.in_tree, v.strength) for key, v in scene.links.items()} == {
            key: (v["made"], v["in_tree"], v["strength"]) for key, v in self.links.items()
        }
        places = [entity["position"] for entity in self.entities.values()]
        flux = [flux_position(*place) for place in places]
        depths = [self.depth(id_) for id_ in self.entities]
        found = scene.metadata()
        axes = list(zip(*places, strict=True)) or [(0.0,)] * 3
        assert found.entity_count == len(places)
        assert found.connection_count == len(self.links)
        assert found.hierarchy_depth == max(depths, default=0)
        assert found.sacred_entity_count == sum(position in (3, 6, 9) for position in flux)
        assert found.avg_flux_position == (sum(flux) / len(flux) if flux else 0)
        assert found.spatial_bounds == (tuple(min(axis) for axis in axes), tuple(max(axis) for axis in axes))
        parts = [
            bool(places),
            bool(self.links),
            max(depths, default=0) > 0,
            any(position in (3, 6, 9) for position in flux),
        ]
        assert found.quality_score == sum(parts) / 4
        assert scene.unresolved == sum(
            not link["in_tree"] and (key[2] == HIERARCHY or key[0] not in self.entities or key[1] not in self.entities)
            for key, link in self.links.items()
        )
        assert scene.bytes == sum(len(node.data) for node in scene.nodes.values())
