"""The OpenAPI 3.1 document, made of the operations' declarations, the settings and recorded answers.

Nothing of an operation is written here: paths, types, bounds, errors and examples are ``server.http.contract``'s values, limits
are the settings of the server that serves the document. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from actors.runtime.errors import CODES
from server.http.contract import (
    JSON,
    KEY_PATTERN,
    MAXIMUM_SETTING,
    MISDIRECTED,
    REQUEST_ID_PATTERN,
    STATUS,
    WITH_RETRY_AFTER,
    Example,
    FieldProblem,
    Operation,
    Problem,
    UuidText,
    problem_of,
)
from server.settings import Settings

Schema = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
PROBLEM: Final = "application/problem+json"
FORM: Final = "multipart/form-data"
UNSUPPORTED: Final = 415
"""A body in an encoding that is not read: ``bad_request``."""
_PYTHONS_END: Final = r"$(?!\n)"
"""Elsewhere ``$`` does not match before a final newline."""
_ID: Final = f"`{REQUEST_ID_PATTERN.replace(_PYTHONS_END, '$')}`"
_EMPTY: Final = {"const": "", "description": "as if it were not there"}
REASONS: Final = {
    200: "What was asked for.",
    201: "It was made.",
    202: "It is under way.",
    204: "Done; there is nothing more to say.",
    304: "It is the same still.",
    400: "Not a request that this server knows, or an Idempotency-Key that is none.",
    401: "No credential, or one that counts no longer.",
    403: "Not for this caller, or from a foreign Origin.",
    404: "There is none that the caller may know of.",
    409: "It cannot be so now.",
    413: "Too large.",
    415: "A body may be plain, gzip or deflate.",
    421: "The Host is not this server's.",
    422: "A value is out of its bounds; `errors` says which.",
    429: "Too many; `Retry-After` says when again.",
    500: "A failure of the server's; `detail` has the reference that its log has too.",
    503: "Not now; `Retry-After` says when again.",
    504: "No answer in time: the outcome is unknown, the same request with the same key asks again.",
}
SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token that register and login answer with."},
    "admin": {"type": "http", "scheme": "bearer", "description": "The admin token: a file in the data directory."},
    "service": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the service: `sangha token --service eustress` makes one. The local user needs none.",
    },
}
HEADERS: Final = {
    "RequestId": {"description": "The request's id; the log has it too.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "Authenticate": {"description": "How to say who one is.", "schema": {"type": "string"}},
}


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An example as it was sent to a real server, and the answer."""

    status: int
    path: dict[str, str] = {}
    query: dict[str, str] = {}
    body: Any = None
    answer: Any = None


def document(
    operations: Iterable[Operation],
    settings: Settings,
    *,
    version: str,
    description: str,
    tags: Mapping[str, str],
    recorded: Mapping[str, Recorded],
) -> Schema:
    """The whole document, as JSON values. ``recorded`` is by the names of examples, ``tags`` has their descriptions."""
    operations = tuple(operations)
    schemas = _Schemas(operations, settings)
    paths: dict[str, Schema] = {}
    for operation in operations:
        described = _operation(operation, schemas, settings, recorded)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    used = {operation.tag for operation in operations}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sangha", "version": version, "description": description},
        "servers": [{"url": url} for url in settings.public_urls] or [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in tags.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": SECURITY,
            "headers": HEADERS,
            "responses": schemas.refusals,
        },
    }


class _Schemas:
    """The schemas of all types. ``of`` has them by type; what is named is in ``components``."""

    def __init__(self, operations: Iterable[Operation], settings: Settings) -> None:
        self._settings = settings
        types = [Problem, FieldProblem, *dict.fromkeys(_bodies_and_replies(operations))]
        schemas, components = msgspec.json.schema_components(types, ref_template=REF)
        self._by_type = {id(type_): self.bound(schema) for type_, schema in zip(types, schemas, strict=True)}
        self._types = types  # an id belongs to a type as long as it lives
        self.components = {name: self.bound(schema) for name, schema in sorted(components.items())}
        self.refusals: dict[str, Schema] = {}

    def of(self, type_: Any) -> Schema:
        """Of a body or a reply."""
        if isinstance(type_, tuple):
            return {"anyOf": [self.of(each) for each in type_]}
        return next(self._by_type[id(known)] for known in self._types if known is type_ or known == type_)

    def fields(self, type_: Any) -> tuple[dict[str, Schema], frozenset[str]]:
        """Of a query: its parameters, and which must be there."""
        (_,), components = msgspec.json.schema_components([type_], ref_template=REF)
        found = self.bound(components[type_.__name__])
        return found["properties"], frozenset(found.get("required", ()))

    def one(self, type_: Any) -> Schema:
        """Of a simple value."""
        found: Schema = self.bound(msgspec.json.schema(type_))
        return found

    def refusal(self, status: int, codes: list[str]) -> str:
        """The name of the response of a status with one of these codes, which is in ``refusals`` from then on."""
        name = "_".join((str(status), *codes))
        narrowed = {"status": {"const": status}, "code": {"enum": codes}}
        schema = {"allOf": [self.of(Problem), {"properties": narrowed}]}
        examples = {code: {"value": _shown(status, code)} for code in codes}
        content = {PROBLEM: {"schema": schema, "examples": examples}}
        self.refusals[name] = {"description": REASONS[status], "headers": _headers(status), "content": content}
        return name

    def bound(self, schema: Any) -> Any:
        """The schema with settings' values in the place of their names, and patterns as ECMAScript has them."""
        if isinstance(schema, list | tuple):
            return [self.bound(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        schema = {name: self.bound(value) for name, value in schema.items()}
        if (setting := schema.pop(MAXIMUM_SETTING, None)) is not None:
            schema["maximum"] = getattr(self._settings, setting)
            if "default" in schema:
                schema["default"] = min(schema["default"], schema["maximum"])
        if isinstance(schema.get("pattern"), str):
            schema["pattern"] = schema["pattern"].replace(_PYTHONS_END, "$")
        return schema


def _bodies_and_replies(operations: Iterable[Operation]) -> Iterable[Any]:
    for operation in operations:
        shown = (operation.body_shown if operation.body_shown is not None else operation.body, operation.form_shown)
        for type_ in (*shown, operation.reply, *operation.more_replies.values()):
            yield from type_ if isinstance(type_, tuple) else () if type_ is None else (type_,)


# --- one operation ---------------------------------------------------------------------------------------------------


def _operation(operation: Operation, schemas: _Schemas, settings: Settings, recorded: Mapping[str, Recorded]) -> Schema:
    described: Schema = {
        "operationId": f"{operation.handler.__module__.rpartition('.')[2]}_{operation.handler.__name__}",
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": _security(operation),
        "parameters": _parameters(operation, schemas, recorded),
        "responses": _responses(operation, schemas, settings, recorded),
    }
    if operation.description:
        described["description"] = operation.description
    if (body := _request_body(operation, schemas, settings, recorded)) is not None:
        described["requestBody"] = body
    return described


def _security(operation: Operation) -> list[Schema]:
    return {
        "anyone": [],
        "viewer": [{}, {"bearer": []}],
        "practitioner": [{"bearer": []}],
        "admin": [{"admin": []}],
        "admin_or_local": [{"admin": []}, {}],
        "engine": [{"service": []}, {}],
        "engine_or_admin": [{"service": []}, {"admin": []}, {}],
    }[operation.access]


def _parameters(operation: Operation, schemas: _Schemas, recorded: Mapping[str, Recorded]) -> list[Schema]:
    found: list[Schema] = []
    for name in _names(operation.path):
        schema = schemas.one(operation.params.get(name, UuidText))
        examples = _sent(operation, recorded, "path", name)
        found.append({"name": name, "in": "path", "required": True} | _described(schema, examples))
    if operation.query is not None:
        properties, required = schemas.fields(operation.query)
        for name, schema in properties.items():
            examples = _sent(operation, recorded, "query", name)
            typed = {key: _typed(value, schema) for key, value in examples.items()}
            parameter: Schema = {"name": name, "in": "query"} | _described(schema, typed)
            found.append(parameter | ({"required": True} if name in required else _may_be_empty(parameter["schema"])))
    if operation.mutates:
        found.append(_header("Idempotency-Key", KEY_PATTERN, "A retry with the same key is the same request."))
    found.append(
        _header("X-Request-ID", None, f"The client's own id of the request; one that is not {_ID} is replaced.")
    )
    return found


def _may_be_empty(schema: Schema) -> Schema:
    """A text of the query that may be left empty, where its own bounds would not say so."""
    bounded = not schema.keys().isdisjoint(("enum", "pattern", "format", "minLength"))
    is_text = schema.get("type", "string") == "string"
    return {"schema": {"anyOf": [schema, _EMPTY]}} if bounded and is_text else {}


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _described(schema: Schema, examples: Mapping[str, Any]) -> Schema:
    """A parameter's schema; what is said of it stands beside it."""
    schema = dict(schema)
    description = schema.pop("description", None)
    said = {"schema": schema} | ({"description": description} if description else {})
    return said | ({"examples": {name: {"value": value} for name, value in examples.items()}} if examples else {})


def _typed(value: str, schema: Schema) -> Any:
    match schema.get("type"):
        case "integer":
            return int(value)
        case "number":
            return float(value)
        case "boolean":
            return value in ("true", "1")
        case "array":
            return [value]
    return value


def _header(name: str, pattern: str | None, description: str) -> Schema:
    schema = {"type": "string"} | ({"pattern": pattern.replace(_PYTHONS_END, "$")} if pattern else {})
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _sent(operation: Operation, recorded: Mapping[str, Recorded], where: str, name: str) -> dict[str, str]:
    """What the examples have for a parameter of the path or of the query, by the example's name."""
    found = {each.name: getattr(recorded[each.name], where) for each in operation.examples if each.name in recorded}
    return {example: values[name] for example, values in found.items() if name in values}


def _request_body(
    operation: Operation, schemas: _Schemas, settings: Settings, recorded: Mapping[str, Recorded]
) -> Schema | None:
    shown = operation.body_shown if operation.body_shown is not None else operation.body
    if shown is None:
        return None
    plain = [each for each in operation.examples if each.form is None]
    content = {operation.body_media: {"schema": schemas.of(shown)} | _examples(plain, recorded, lambda each: each.body)}
    if operation.form_shown is not None:
        forms = [each for each in operation.examples if each.form is not None]
        content[FORM] = {"schema": schemas.of(operation.form_shown)} | _examples(
            forms, recorded, lambda each: each.body
        )
    most = settings.request_body_bytes if operation.body_bytes is None else operation.body_bytes
    bound = f"At most {most} bytes." if most else "Of any length."
    return {"required": not operation.body_optional, "description": bound, "content": content}


def _examples(examples: Iterable[Example], recorded: Mapping[str, Recorded], take: Callable[[Recorded], Any]) -> Schema:
    found = {
        example.name: ({"summary": example.note} if example.note else {}) | {"value": value}
        for example in examples
        if example.name in recorded and (value := take(recorded[example.name])) is not None
    }
    return {"examples": found} if found else {}


# --- answers ---------------------------------------------------------------------------------------------------------


def _responses(
    operation: Operation, schemas: _Schemas, settings: Settings, recorded: Mapping[str, Recorded]
) -> dict[str, Schema]:
    replies = {operation.status: operation.reply} | dict(operation.more_replies)
    found = {str(status): _reply(operation, status, type_, schemas, recorded) for status, type_ in replies.items()}
    for status, codes in sorted(_by_status(operation).items()):
        found[str(status)] = {"$ref": f"#/components/responses/{schemas.refusal(status, codes)}"}
    return found


def _reply(
    operation: Operation, status: int, type_: Any, schemas: _Schemas, recorded: Mapping[str, Recorded]
) -> Schema:
    names = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in operation.reply_headers.items()
    }
    response: Schema = {"description": REASONS[status], "headers": names | _headers(status)}
    examples = [each for each in operation.examples if each.name in recorded and recorded[each.name].status == status]
    if type_ is not None:
        shown = _examples(examples, recorded, lambda each: each.answer)
        response["content"] = {operation.media: {"schema": schemas.of(type_)} | shown}
        if status == operation.status:
            response["content"] |= {media: {} for media in operation.more_media}
    elif operation.media != JSON and status == operation.status:
        response["content"] = {media: {} for media in (operation.media, *operation.more_media)}
    return response


def _by_status(operation: Operation) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in STATUS:  # in its order
        if code in operation.codes():
            found.setdefault(STATUS[code], []).append(code)
    if not operation.exempt:
        found[MISDIRECTED] = ["bad_request"]
    if operation.body is not None or operation.body_shown is not None:
        found[UNSUPPORTED] = ["bad_request"]
    return found


def _shown(status: int, code: str) -> Schema:
    """What a problem with the code looks like."""
    return problem_of(status, code, REASONS[status].rstrip("."), CODES[code].retryable)


def _headers(status: int) -> dict[str, Schema]:
    names = {"X-Request-ID": "RequestId"}
    if status in WITH_RETRY_AFTER:
        names["Retry-After"] = "RetryAfter"
    if status == 401:
        names["WWW-Authenticate"] = "Authenticate"
    return {name: {"$ref": f"#/components/headers/{component}"} for name, component in names.items()}
