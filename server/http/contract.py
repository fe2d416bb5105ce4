"""What an HTTP operation is, as a value: path, who may ask, types, errors, examples. The router, the checks and the OpenAPI
document are all made of it, so none can say what the others do not.

A type is a ``msgspec.Struct`` whose annotations carry every bound that a stranger can run into. A bound that is a setting
stands there by the setting's name (``at_most``). Pure: the handler is only carried along.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Handler = Callable[[Any], Awaitable[Any]]
"""From a request to a response; ``api`` knows them by aiohttp's names."""
Access = Literal["anyone", "viewer", "practitioner", "admin", "admin_or_local", "engine", "engine_or_admin"]
"""``viewer``: with a login more is seen, without one what is public. ``practitioner``: a login is needed.
``admin_or_local``: from the machine itself nothing is needed, from elsewhere the admin token. ``engine``: a token of the service,
or the local user; ``engine_or_admin``: or the admin token."""
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
"""A JSON text a line."""
MAXIMUM_SETTING: Final = "x-maximum-setting"
"""In a field's JSON schema: the setting that is its greatest value. Never served: the document has the value."""
KEY_PATTERN: Final = r"^[\x21-\x7e]{1,200}$(?!\n)"
"""Of an Idempotency-Key."""
REQUEST_ID_PATTERN: Final = r"^[A-Za-z0-9._:/+=-]{1,64}$(?!\n)"
"""Of an X-Request-ID; another is replaced."""

STATUS: Final = {
    "bad_request": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "full": 409,
    "too_large": 413,
    "invalid": 422,
    "ritual_failed": 422,
    "ritual_rejected": 422,
    "rate_limited": 429,
    "internal": 500,
    "storage_unavailable": 503,
    "actor_unavailable": 503,
    "draining": 503,
    "timeout": 504,
}
"""The one map from error codes to HTTP statuses."""
MISDIRECTED: Final = 421
"""A Host that is not ours: ``bad_request``."""
WITH_RETRY_AFTER: Final = frozenset({429, 503})

STORAGE: Final = ("storage_unavailable",)
"""What reading rows may end with."""
ENTITY: Final = ("storage_unavailable", "actor_unavailable", "timeout")
"""What asking an entity may end with."""

UUID_PATH: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
UuidText = Annotated[
    str,
    # (?!\n): Python's $ also matches before a final newline.
    Meta(pattern=rf"^{UUID_PATH}$(?!\n)", description="a UUID, in either case"),
]


def at_most(setting: str, **bounds: Any) -> Meta:
    """The bound of a number whose greatest value is a setting."""
    return Meta(extra_json_schema={MAXIMUM_SETTING: setting}, **bounds)


class FieldProblem(msgspec.Struct, frozen=True):
    """One field that was wrong."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error, as RFC 9457 has it. An error changed nothing, unless it is a ``timeout``."""

    type: Annotated[str, Meta(description="`urn:sangha:error:` and the code")]
    title: str
    status: int
    detail: Annotated[str, Meta(description="what was wrong, for people")]
    error: Annotated[str, Meta(description="a copy of `detail`, under the name that older clients read")]
    code: Annotated[str, Meta(description="what was wrong, for programs; the same list as over the WebSocket")]
    retryable: Annotated[bool, Meta(description="whether the same request, with the same key, may succeed later")]
    errors: Annotated[list[FieldProblem] | UnsetType, Meta(description="which fields were wrong")] = UNSET


def problem_of(status: int, code: str, detail: str, retryable: bool) -> dict[str, Any]:
    """A ``Problem`` as JSON values."""
    return {
        "type": f"urn:sangha:error:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
        "error": detail,
        "code": code,
        "retryable": retryable,
    }


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A request that works, as the document shows it and a test sends it.

    ``{name.field}`` in it is a field of the answer of the earlier example called ``name``.
    """

    name: str
    path: dict[str, str] = {}
    query: dict[str, str] = {}
    body: Any = None
    form: dict[str, str] | None = None
    """In place of a body: the parts of a form. What begins with ``base64:`` is a file."""
    note: str = ""
    alone: bool = False
    """Sent by a practitioner made for it: it ends a login, or an account."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One request that the server answers."""

    method: Method
    path: str
    """With parameters in braces, as aiohttp and OpenAPI both write them."""
    handler: Handler
    summary: str
    tag: str
    description: str = ""
    access: Access = "practitioner"
    params: Mapping[str, Any] = {}
    """Types of the path's parameters that are no UUIDs."""
    body: Any = None
    """The type of the JSON body, or None where there is none."""
    body_optional: bool = False
    body_shown: Any = None
    """What the document shows as the body, where not ``body`` alone validates it."""
    form_shown: Any = None
    """The same as a multipart form."""
    body_bytes: int | None = None
    """The body's own bound, where it is not the setting ``request_body_bytes``; 0: none."""
    body_media: str = JSON
    """Of NDJSON the body's type is a line's, and an example's body is the text."""
    query: Any = None
    """The type of the query's parameters, or None."""
    reply: Any = None
    """The type of the JSON answer (of NDJSON, of a line); None is an empty 204, or what ``media`` says."""
    status: int = 200
    more_replies: Mapping[int, Any] = {}
    """Other statuses that are no errors, and their types; a tuple: one of them."""
    media: str = JSON
    more_media: tuple[str, ...] = ()
    """What the answer may be instead."""
    reply_headers: Mapping[str, str] = {}
    """Names of headers of the answer, and what they say."""
    errors: tuple[str, ...] = ()
    """Codes of ``STATUS`` that this operation answers with, beyond those that ``access`` and a body imply."""
    exempt: bool = False
    """Answered whatever the Host, the Origin and the server's state."""
    examples: tuple[Example, ...] = ()

    @property
    def mutates(self) -> bool:
        """Whether it may change something, and so takes an Idempotency-Key."""
        return self.method != "GET"

    def codes(self) -> frozenset[str]:
        """Every error code that it may answer with."""
        found = {"internal", *self.errors}
        if not self.exempt:
            found |= {"forbidden", "draining", "bad_request"}
        if self.access != "anyone":
            found |= {"unauthenticated"} | (set() if self.access.startswith("admin") else {"storage_unavailable"})
        if self.mutates:
            found |= {"bad_request"}
        if self.body is not None or self.body_shown is not None:
            found |= {"bad_request", "invalid", "too_large"}
        if self.query is not None:
            found |= {"invalid"}
        return frozenset(found)


def body_like(
    command: type[msgspec.Struct],
    name: str,
    *,
    without: Iterable[str] = (),
    types: Mapping[str, Any] | None = None,
    more: Iterable[tuple[Any, ...]] = (),
    doc: str | None = None,
) -> Any:
    """The type of a request's body made of a command's: the same fields and bounds, untagged.

    ``types`` replaces those of some fields (JSON that the command has as text is a value here), ``more`` are further fields
    with their defaults. A field that the command has a default for may be left out.
    """
    types, without = types or {}, frozenset(without)
    fields: list[Any] = [
        _like(field, types.get(field.name)) for field in msgspec.structs.fields(command) if field.name not in without
    ]
    namespace = {"__doc__": doc or command.__doc__}
    return msgspec.defstruct(name, [*fields, *more], kw_only=True, frozen=True, namespace=namespace, module=__name__)


def _like(field: msgspec.structs.FieldInfo, type_: Any) -> tuple[str, Any, Any] | tuple[str, Any]:
    if field.required:
        return field.name, type_ or field.type
    if type_ is not None:
        return field.name, type_ | UnsetType, UNSET
    if field.default is msgspec.NODEFAULT:
        return field.name, field.type, msgspec.field(default_factory=field.default_factory)
    return field.name, field.type, field.default
