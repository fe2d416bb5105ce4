"""JSON Schemas of the native dialect's frames, from the types that validate them and the domain's commands behind those.

A request's frame has the bounds of the command that it becomes (``server.ws.commands``) and of the settings; an answer's or a
push's has those of its type (``server.ws.results``, ``server.ws.pushes``), and all of its fields are always there but those that
may be ``UNSET``. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from inspect import cleandoc
from typing import Annotated, Any, Final

import msgspec
from msgspec import NODEFAULT, UNSET, Meta, structs

from actors.practitioner.changes import CHANGES
from actors.ritual.values import PARAMETERS_BYTES
from actors.runtime.errors import CODES
from server import shapes
from server.settings import Settings
from server.ws import protocol, pushes
from server.ws.commands import COMMANDS
from server.ws.results import RESULTS

Schema = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
REQUESTS: Final = protocol.REQUESTS
_PYTHONS_END: Final = json.dumps(r"$(?!\n)")[1:-1]
"""Elsewhere ``$`` does not match before a final newline."""
_NULL: Final = {"type": "null"}
_OBJECT: Final = Annotated[dict[str, Any], Meta(description=f"at most {PARAMETERS_BYTES} bytes of JSON")]


def ref(name: str) -> Schema:
    """A reference to one of the schemas."""
    return {"$ref": REF.format(name=name)}


def request_type(name: str) -> type[msgspec.Struct]:
    """The type of a request's frame, with the domain's types for the domain's fields."""
    request = REQUESTS[name]
    command = {field.name: field for field in structs.fields(COMMANDS[request])} if request in COMMANDS else {}
    as_json: frozenset[str] = getattr(COMMANDS.get(request), "json_fields", frozenset())
    fields = [_merged(field, command.get(field.name), field.name in as_json) for field in structs.fields(request)]
    return msgspec.defstruct(
        request.__name__, fields, tag_field="type", tag=name, kw_only=True, namespace={"__doc__": request.__doc__}
    )


def _merged(field: structs.FieldInfo, domain: structs.FieldInfo | None, as_json: bool) -> tuple[str, Any, Any]:
    if domain is None or field.type is protocol.RitualName:
        return field.name, field.type, _default(field)
    type_, default = domain.type, _default(domain) if not field.required else NODEFAULT
    if as_json:
        type_ = _OBJECT if field.name == "parameters" else shapes.Json
        default = msgspec.json.decode(default) if isinstance(default, bytes) else default
    if isinstance(default, dict | list):
        return field.name, type_, msgspec.field(default_factory=type(default))
    return field.name, type_ | msgspec.UnsetType if default is UNSET else type_, default


def _default(field: structs.FieldInfo) -> Any:
    return field.default if field.default_factory is NODEFAULT else msgspec.field(default_factory=field.default_factory)


def requests(settings: Settings) -> dict[str, Schema]:
    """The schemas of all requests' frames, by component, and of what is in them."""
    parameters = {type_ for type_, _ in CHANGES.values()}
    components = _components([*map(request_type, REQUESTS), *parameters])
    for name, request in REQUESTS.items():
        component = components[request.__name__]
        component["properties"] = (
            {"id": {}, "type": {"const": name}} | component["properties"] | {"type": {"const": name}}
        )
        component["required"] = ["id", *(each for each in component["required"] if each != "id")]
        for field, bounds in _bounds(settings).items():
            if field in component["properties"]:
                component["properties"][field] |= bounds
    components["StateTransform"]["allOf"] = [
        {
            "if": {"properties": {"transformation_type": {"const": change}}},
            "then": {"properties": {"parameters": ref(type_.__name__)}},
        }
        for change, (type_, _) in CHANGES.items()
    ]
    return components


def _bounds(settings: Settings) -> dict[str, Schema]:
    """Bounds of fields that are settings."""
    return {
        "limit": {"minimum": 1, "maximum": settings.history_page},
        "participant_limit": {} if settings.lab else {"maximum": settings.participant_limit_max},
        "body": {"description": f"any JSON, at most {settings.message_bytes} bytes"},
        "shared_state": {"description": f"any JSON, at most {settings.shared_state_bytes} bytes"},
        "ritual_schedule": {"description": f"any JSON, at most {settings.shared_state_bytes} bytes"},
    }


def outgoing() -> dict[str, Schema]:
    """The schemas of everything in results and pushes, by component."""
    bodies = [type_ for events in pushes.EVENTS.values() for type_ in events.values() if isinstance(type_, type)]
    types = [
        *RESULTS.values(),
        *bodies,
        *(type_ for live in pushes.UNNUMBERED.values() for type_ in live.values()),
        *pushes.SNAPSHOTS.values(),
        pushes.Unfollowed,
        pushes.Bye,
    ]
    components = _components([*types, shapes.Account, shapes.Guest, shapes.Person])
    for component in components.values():
        _always_there(component)
    return components


def _without_discriminators(value: Any) -> Any:
    """OpenAPI's: AsyncAPI spells a discriminator as a string, and the types of a union name their tags by themselves."""
    if isinstance(value, dict):
        mapped = isinstance(value.get("discriminator"), dict) and "mapping" in value["discriminator"]
        return {k: _without_discriminators(v) for k, v in value.items() if not (mapped and k == "discriminator")}
    return [_without_discriminators(each) for each in value] if isinstance(value, list) else value


def _components(types: Iterable[Any]) -> dict[str, Schema]:
    _, components = msgspec.json.schema_components(dict.fromkeys(types), ref_template=REF)
    components = _without_discriminators(components)
    for component in components.values():
        component.pop("title", None)
        if "description" in component:
            component["description"] = cleandoc(component["description"])
    plain: dict[str, Schema] = json.loads(json.dumps(components).replace(_PYTHONS_END, "$").replace("``", "`"))
    return plain


def _always_there(component: Schema) -> None:
    """A field with a default is sent all the same."""
    properties = component.get("properties", {})
    defaults = [name for name, schema in properties.items() if "default" in schema]
    component["required"] = [name for name in properties if name in (*component.get("required", ()), *defaults)]
    for name in defaults:
        del properties[name]["default"]


# --- frames ----------------------------------------------------------------------------------------------------------


def _frame(type_: str, **properties: Schema) -> Schema:
    fields = {"type": {"const": type_}} | properties
    return {"type": "object", "properties": fields, "required": list(fields)}


def result_frame(name: str) -> Schema:
    """The answer to a request."""
    return _frame("result", id=ref("RequestId"), result=ref(RESULTS[name].__name__))


def error_frame() -> Schema:
    """The error that stands for an answer."""
    frame = _frame("error", id=ref("RequestId"), error=ref("Error"))
    frame["required"].remove("id")
    return frame


def event_frame(kind: str, event: str) -> Schema:
    """A numbered push."""
    body = pushes.EVENTS[kind][event]
    known = ref(body.__name__) if isinstance(body, type) else of(body)
    sender = {"anyOf": [ref("Person"), _NULL], "description": "null: not a practitioner but time, or the server"}
    return _frame(
        "event", stream=stream(kind), offset={"type": "integer", "minimum": 1},
        at={"type": "string", "format": "date-time"}, event={"const": event}, **{"from": sender}, body=known,
    )  # fmt: skip


def of(type_: Any) -> Schema:
    """The schema of a type that is no component."""
    return dict(msgspec.json.schema(type_))


def live_frame(kind: str, event: str, components: Mapping[str, Schema]) -> Schema:
    """An unnumbered push: its fields stand in the frame."""
    fields = components[pushes.UNNUMBERED[kind][event].__name__]
    frame = _frame("event", stream=stream(kind), event={"const": event})
    frame["properties"] |= fields["properties"]
    frame["required"] += fields["required"]
    return frame | {"description": fields["description"]}


def left_frame() -> Schema:
    """A stream that the session does not follow any more."""
    either = {"anyOf": [stream(kind) for kind in pushes.EVENTS]}
    return _frame("event", stream=either, event={"const": "left"}, body=ref("Unfollowed"))


def snapshot_frame(kind: str) -> Schema:
    """The whole of a stream."""
    return _frame(
        "snapshot", stream=stream(kind), offset={"type": "integer", "minimum": 0},
        state=ref(pushes.SNAPSHOTS[kind].__name__), reason={"enum": ["joined", "gap"]},
    )  # fmt: skip


def stream(kind: str) -> Schema:
    """A stream's name."""
    return {"type": "string", "pattern": f"^{kind}:{protocol.STREAM_IDS[kind]}$"}


def shared() -> dict[str, Schema]:
    """The schemas that frames share."""
    field_error = {"path": {"type": "string"}, "message": {"type": "string"}}
    return {
        "RequestId": {"type": "integer", "minimum": 1, "maximum": protocol.MAX_ID, "description": "the request's"},
        "FieldError": {"type": "object", "properties": field_error, "required": [*field_error]},
        "Error": {
            "type": "object",
            "description": "Nothing was changed, unless the code is `timeout`: then the same id asks what became of it.",
            "properties": {
                "code": {"enum": [*CODES]},
                "message": {"type": "string"},
                "retryable": {"type": "boolean"},
                "errors": {"type": "array", "items": ref("FieldError"), "description": "which fields were wrong"},
                "retry_after_s": {"type": "number"},
            },
            "required": ["code", "message", "retryable"],
        },
    }
