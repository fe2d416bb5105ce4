"""The documented examples: one conversation, as a server really had it, with every request and every push of the protocol.

``examples.json`` has its steps in order: who asked, what, the answer, and the pushes that followed and to whom. The document
shows them; a test has the conversation again with a real server and compares (``tests/integration/conversation.py``, which
records it anew when it is run). Ids, times, hashes and tokens differ from one conversation to the next; nothing else does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

FILE: Final = Path(__file__).with_name("examples.json")


class Told(msgspec.Struct, kw_only=True):
    """A push, and who got it."""

    to: str
    push: dict[str, Any]


class Http(msgspec.Struct, kw_only=True):
    """A request over HTTP: what the conversation needs and the socket does not offer."""

    method: str
    path: str
    """Below ``/api``, but for those of the lake."""
    body: Any = None
    token: str | None = None
    """Another login's than the one that the socket came with."""


class Step(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request, or the end of a socket."""

    by: str
    note: str = ""
    request: dict[str, Any] | None = None
    http: Http | None = None
    does: str = ""
    """``disconnect``: the socket is closed by its client; ``drain``: the server goes away."""
    answer: Any = None
    pushes: list[Told] = []


@cache
def conversation() -> tuple[Step, ...]:
    """Every step."""
    return msgspec.convert(orjson.loads(FILE.read_bytes()), tuple[Step, ...])


def message_of(frame: Mapping[str, Any], request: str = "") -> str:
    """The name under which the document describes an outgoing frame; ``request`` is the type of what a result answers."""
    match frame:
        case {"type": "result"}:
            return f"{request}.result"
        case {"type": "snapshot", "stream": stream}:
            return f"snapshot.{stream.partition(':')[0]}"
        case {"type": "event", "event": event, "offset": _, "stream": stream}:
            return f"{stream.partition(':')[0]}.{event}"
        case {"type": "event", "event": event}:
            return f"live.{event}"
        case _:
            return str(frame["type"])


def by_message() -> dict[str, list[dict[str, Any]]]:
    """The examples of each message, as AsyncAPI has them."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, note, payload in _messages():
        example = {"name": f"{name}-{len(found[name]) + 1}", "payload": payload}
        found[name].append(example | ({"summary": note} if note else {}))
    return dict(found)


def _messages() -> Iterator[tuple[str, str, Any]]:
    for step in conversation():
        if step.request is not None:
            if step.answer["type"] == "result":
                yield step.request["type"], step.note, step.request
            yield message_of(step.answer, step.request["type"]), step.note, step.answer
        for told in step.pushes:
            yield message_of(told.push), "", told.push
