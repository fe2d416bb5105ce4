"""The EEP webhook's payload (``eep_v1``, as the Eustress MCP's ``WebhookExportTarget`` posts it) as items of a batch. Pure.

``class`` is our ``class_type``; parameters stay grouped by their domain. A value is raw JSON or externally tagged
(``{"Float": 1.0}``), and the tag goes. ``hierarchy`` is what is above the entity, in whatever order: its depths order it. What
the payload says of the consent beside ``ai_training`` is kept with the creator; ``child_count``, the time and the space's
settings are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta

from actors.eustress import stored
from actors.eustress.reading import decoded
from actors.eustress.values import Ancestor, Items, Placement, SceneEntity, SpaceName
from actors.runtime.codec import invalid
from actors.runtime.entity import Struct

PROTOCOL: Final = "eep_v1"
DEPTH_MAX: Final = 2 * stored.DEPTH_MAX
"""Of the payload: each value may be wrapped."""
TAGS: Final = frozenset(
    "Array Bool Boolean BrickColor CFrame Color Color3 ColorSequence Double Entity EntityRef Enum Float Int Integer Json"  # noqa: SIM905 - a name a line would be forty lines
    " List Map Null Number NumberRange NumberSequence Object Quat Quaternion Rect Ref String Text Transform UDim UDim2"
    " UInt Unsigned Vec2 Vec3 Vec4 Vector2 Vector3 Vector4".split()
)
"""Names of types that a value may be wrapped in. An object of one key that is no such name is an object."""

T = TypeVar("T")

Id = Annotated[str, Meta(min_length=1, max_length=200)] | int


class _Space(Struct, frozen=True, kw_only=True):
    id: Id | None = None
    name: str | None = None


class _Transform(Struct, frozen=True, kw_only=True):
    position: Any = (0.0, 0.0, 0.0)
    rotation: Any = (0.0, 0.0, 0.0, 1.0)
    scale: Any = (1.0, 1.0, 1.0)


class _Entity(Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    id: Id
    name: str | None = None
    class_: str | None = None
    transform: _Transform | None = None
    properties: dict[str, Any] | None = None
    tags: list[str] | None = None
    attributes: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None


class _Above(Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    id: Id
    name: str | None = None
    class_: str | None = None
    depth: int = 0


class _Consent(Struct, frozen=True, kw_only=True):
    ai_training: bool | None = None
    consented_at: str | None = None
    consented_by: str | None = None


class _Payload(Struct, frozen=True, kw_only=True):
    protocol_version: str
    export_id: Annotated[str, Meta(min_length=1, max_length=200)]
    space: _Space
    entity: _Entity
    hierarchy: list[_Above] | None = None
    creator: dict[str, Any] | None = None
    consent: _Consent | None = None


class _Named(Struct, frozen=True, kw_only=True):
    name: SpaceName


class Webhook(Struct, frozen=True, kw_only=True):
    """An export: ``items`` is the JSON text of a batch, for the space of that name; ``export_id`` makes it happen once."""

    space_name: str
    export_id: str
    items: bytes


_decode: Final = msgspec.json.Decoder(_Payload).decode
_scene_entity: Final = msgspec.json.Decoder(SceneEntity).decode
_ancestor: Final = msgspec.json.Decoder(Ancestor).decode
_space_name: Final = msgspec.json.Decoder(_Named).decode


def items_of(payload: bytes) -> Webhook:
    """What a payload says. Raises Invalid, with paths in the payload."""
    if stored.too_deep(payload, DEPTH_MAX):
        raise invalid("", f"nested deeper than {DEPTH_MAX}")
    said = decoded(_decode, payload)
    if said.protocol_version != PROTOCOL:
        raise invalid("protocol_version", f"must be {PROTOCOL!r}")
    name = said.space.name or str(said.space.id or "")
    entity = _entity(said)
    above = sorted((a for a in said.hierarchy or () if str(a.id) != entity.id), key=lambda found: found.depth)
    named = [{"id": str(a.id), "name": a.name or "", "class_type": a.class_ or ""} for a in above]
    ancestors = [_converted(_ancestor, ancestor, "hierarchy") for ancestor in named]
    items = Items(
        entities=[entity],
        placements=[Placement(entity_id=entity.id, ancestors=ancestors)] if ancestors else [],
    )
    return Webhook(
        space_name=_named(name),
        export_id=said.export_id,
        items=msgspec.json.encode(items),
    )


def plain(value: Any) -> Any:
    """A JSON value without its tags."""
    if isinstance(value, Mapping):
        if len(value) == 1:
            [(tag, inner)] = value.items()
            if tag in TAGS:
                return plain(inner)
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def _entity(said: _Payload) -> SceneEntity:
    entity, transform, consent = said.entity, said.entity.transform or _Transform(), said.consent or _Consent()
    given = {
        "id": str(entity.id),
        "name": entity.name or "",
        "class_type": entity.class_ or "",
        "position": _vector(transform.position, "xyz"),
        "rotation": _vector(transform.rotation, "xyzw"),
        "scale": _vector(transform.scale, "xyz"),
        "tags": entity.tags or [],
        "parameters": plain(entity.parameters or {}),
        "properties": UNSET if entity.properties is None else plain(entity.properties),
        "attributes": UNSET if entity.attributes is None else plain(entity.attributes),
        "creator": _creator(said.creator, consent),
        "consent": UNSET if consent.ai_training is None else consent.ai_training,
    }
    known = {key: value for key, value in given.items() if value is not UNSET}
    return _converted(_scene_entity, known, "entity")


def _creator(creator: Mapping[str, Any] | None, consent: _Consent) -> Any:
    said = {"consented_at": consent.consented_at, "consented_by": consent.consented_by}
    known = {key: value for key, value in said.items() if value is not None}
    return UNSET if creator is None and not known else {**(creator or {}), **known}


def _named(space: str) -> str:
    return _converted(_space_name, {"name": space}, "space").name


def _vector(value: Any, axes: str) -> Any:
    """Three or four numbers, in a list or by axis."""
    value = plain(value)
    if isinstance(value, Mapping) and set(value) == set(axes):
        return [value[axis] for axis in axes]
    return value


def _converted(decode: Callable[[Any], T], value: Any, path: str) -> T:
    return decoded(decode, msgspec.json.encode(value), path)
