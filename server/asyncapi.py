"""The AsyncAPI 3 document of the native dialect, made of the types that validate, the settings, and the examples. Pure.

One message a request, a result, an event; one operation a request (with its reply) and a kind of push, for each channel.
Operations are the server's: it *receives* requests and *sends* pushes.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any, Final

from actors.runtime.errors import CODES
from server.http.contract import STATUS
from server.settings import Settings
from server.ws import closing, examples, schemas
from server.ws.protocol import REQUESTS
from server.ws.pushes import EVENTS, SNAPSHOTS, UNNUMBERED
from server.ws.results import RESULTS

Object = dict[str, Any]

VERSION: Final = "3.0.0"
CHANNELS: Final = {"ws": "/ws", "collective": "/ws/collective"}
LIMITS: Final = (
    "requests_per_s",
    "requests_burst",
    "unanswered_requests",
    "malformed_per_minute",
    "auth_timeout_s",
    "heartbeat_s",
    "session_life_s",
    "sockets_per_address",
    "sockets_per_practitioner",
    "joined_spaces",
    "created_spaces",
    "guest_created_spaces",
    "participant_limit_max",
    "message_bytes",
    "shared_state_bytes",
    "frame_bytes",
    "json_depth",
    "history_page",
    "outbox_bytes",
)
"""Settings that a client can run into."""
_INTRODUCTION: Final = """\
Both sides send JSON text frames. A request has an `id`, an integer that counts upward, and gets exactly one `result` or
`error` with that `id`. The first request is `auth`. Repeating an `id` is a retry: it returns the first result and does nothing
more, also after a resume on another gateway. For one command the sender gets the reply before the pushes that it caused; order
holds within a stream, not between streams. A client ignores fields and events that it does not know."""
_SOUND: Final = """\
To whoever listens to it. Its sound comes as binary frames of 20 ms: a header of 24 bytes, big-endian (`SA`, version u8 = 1, codec
u8 (0 pcm, 1 opus), stream u32, seq u32, position u64 in samples, samples u16, channels u8, flags u8 (1: not the continuation of
the frame before; 2: it fades out, and nothing follows until the session goes on)), then the payload: interleaved little-endian
16-bit samples, or one Opus packet."""
_FOLLOWED: Final = {
    "space": (
        "Pushes of a space",
        "To whoever joined it. Those with an `offset` are stored and have no gap, also after a resume; the others are of now.",
    ),
    "practitioner": (
        "Pushes of one's own stream",
        "To every session of a practitioner with an account, from `auth` on.",
    ),
    "eustress": (
        "Pushes of a Eustress space",
        "To whoever subscribed to it. All are numbered and stored, and have no gap, also after a resume.",
    ),
    "audio_session": (
        "Pushes of an audio session",
        _SOUND,
    ),
}
"""By kind of stream: a heading, and what is to be said of all its pushes."""
_EXAMPLES_SHOWN: Final = 3


def document(settings: Settings, version: str) -> Object:
    """The whole document of a server."""
    return {
        "asyncapi": VERSION,
        "info": {"title": "Sangha", "version": version, "description": _INTRODUCTION},
        "defaultContentType": "application/json",
        "servers": {f"this{n or ''}": _server(url) for n, url in enumerate(_urls(settings))},
        "channels": {name: _channel(address) for name, address in CHANNELS.items()},
        "operations": {name: each for channel in CHANNELS for name, each in _operations(channel).items()},
        "components": _components(settings),
        "x-limits": _limits(settings),
        "x-error-codes": error_codes(),
        "x-close-codes": {str(code): meaning for code, meaning in closing.MEANING.items()},
    }


def _urls(settings: Settings) -> tuple[str, ...]:
    """How the server is reached: as its settings name it, else where it listens."""
    return settings.public_urls or (f"http{'s' if settings.tls_certificate else ''}://{settings.host}:{settings.port}",)


def _server(url: str) -> Object:
    scheme, _, host = url.partition("://")
    return {
        "host": host,
        "protocol": {"https": "wss"}.get(scheme, "ws"),
        "description": "Send `Authorization: Bearer` with the upgrade, or the token in `auth`; a guest needs neither.",
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
    }


def _channel(address: str) -> Object:
    headers = {
        "type": "object",
        "properties": {
            "Authorization": {"type": "string", "pattern": "^Bearer ", "description": "a login's token"},
            "Origin": {"type": "string", "description": "of a browser's page: the server's own, or an allowed one"},
        },
    }
    return {
        "address": address,
        "description": "The native dialect. (`/ws/collective` is the Control Engine's path to the same.)",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in message_names()},
        "bindings": {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}},
    }


# --- operations ------------------------------------------------------------------------------------------------------


def _operations(channel: str) -> Object:
    prefix = "" if channel == "ws" else f"{channel}."
    found = {f"{prefix}{name}": _receive(channel, name) for name in REQUESTS}
    for kind, (title, summary) in _FOLLOWED.items():
        found[f"{prefix}follow.{kind}"] = _send(channel, title, summary, _pushes(kind))
    found[f"{prefix}bye"] = _send(channel, "Goodbye", "The server goes away.", ["bye"])
    return found


def _receive(channel: str, request: str) -> Object:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": _said(REQUESTS[request]),
        "messages": [_of(channel, request)],
        "reply": {
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [_of(channel, f"{request}.result"), _of(channel, "error")],
        },
    }


def _send(channel: str, title: str, summary: str, messages: list[str]) -> Object:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "title": title,
        "summary": summary,
        "messages": [_of(channel, name) for name in messages],
    }


def _of(channel: str, message: str) -> Object:
    return {"$ref": f"#/channels/{channel}/messages/{message}"}


def _pushes(kind: str) -> list[str]:
    live = [f"live.{event}" for event in UNNUMBERED.get(kind, ())]
    return [f"snapshot.{kind}", *(f"{kind}.{event}" for event in EVENTS[kind]), *live, "live.left"]


def message_names() -> list[str]:
    """Every message."""
    asked = [each for name in REQUESTS for each in (name, f"{name}.result")]
    return [*asked, "error", *dict.fromkeys(name for kind in EVENTS for name in _pushes(kind)), "bye"]


# --- messages and schemas --------------------------------------------------------------------------------------------


def _components(settings: Settings) -> Object:
    asked, told = schemas.requests(settings), schemas.outgoing()
    described = {**_requests(asked), **_results(told), **_told(told)}
    shown = examples.by_message()
    return {
        "messages": {
            name: _message(name, *described[name], shown.get(name, [])[:_EXAMPLES_SHOWN]) for name in message_names()
        },
        "schemas": {**schemas.shared(), **asked, **told},
        "correlationIds": {"id": {"location": "$message.payload#/id", "description": "a reply has its request's"}},
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "a login's token"}},
    }


def _message(name: str, summary: str, payload: Object, shown: list[Object]) -> Object:
    message: Object = {"name": name, "title": name, "summary": summary, "payload": payload}
    if name in REQUESTS or name.endswith(".result") or name == "error":
        message["correlationId"] = {"$ref": "#/components/correlationIds/id"}
    return message | ({"examples": shown} if shown else {})


def _requests(asked: Mapping[str, Object]) -> dict[str, tuple[str, Object]]:
    return {name: (_said(type_), schemas.ref(type_.__name__)) for name, type_ in REQUESTS.items()}


def _results(told: Mapping[str, Object]) -> dict[str, tuple[str, Object]]:
    return {
        f"{name}.result": (told[type_.__name__].get("description", ""), schemas.result_frame(name))
        for name, type_ in RESULTS.items()
    }


def _told(told: Mapping[str, Object]) -> dict[str, tuple[str, Object]]:
    found = {
        f"{kind}.{event}": (_described(told, body), schemas.event_frame(kind, event))
        for kind, events in EVENTS.items()
        for event, body in events.items()
    }
    found |= {
        f"live.{event}": (_described(told, type_), schemas.live_frame(kind, event, told))
        for kind, live in UNNUMBERED.items()
        for event, type_ in live.items()
    }
    found |= {
        f"snapshot.{kind}": ("The whole state, after joining, or in place of a replay.", schemas.snapshot_frame(kind))
        for kind in SNAPSHOTS
    }
    found["live.left"] = (told["Unfollowed"]["description"], schemas.left_frame())
    found["bye"] = (told["Bye"]["description"], schemas.ref("Bye"))
    found["error"] = ("In place of a result; without an `id` where none could be read.", schemas.error_frame())
    return found


def _described(told: Mapping[str, Object], body: Any) -> str:
    known = told.get(getattr(body, "__name__", ""))
    return str((known or schemas.of(body)).get("description", ""))


def _said(type_: type) -> str:
    return cleandoc(type_.__doc__ or "").replace("``", "`")


# --- what else a client has to know ----------------------------------------------------------------------------------


def _limits(settings: Settings) -> Object:
    fields = type(settings).model_fields
    return {name: {"value": getattr(settings, name), "description": fields[name].description} for name in LIMITS}


def error_codes() -> Object:
    """Every code, with its HTTP status."""
    return {
        code: {"status": STATUS[code], "retryable": kind.retryable, "description": kind.__doc__}
        for code, kind in CODES.items()
    }
