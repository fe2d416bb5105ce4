"""What a gateway counts: requests over HTTP and sockets by how they ended, how long they took, how sockets end. Pure.

One request is one count and one histogram's observation when it is answered; what is delivered is counted by ``StreamTable``
where it is written, once for all sockets. Labels come from the code (routes as declared, types of requests, codes): a client
can make none.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from actors.runtime.measures import SECONDS, Histograms
from actors.runtime.trace import Span
from server.ws import protocol

METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Others are counted as ``other``: a client may name a method as it likes."""
OTHER: Final = "other"
WAYS: Final = ("entity", "connection", "parameter", "batch", "stream", "socket")
"""In which items of a Eustress scene come: a request for one, or for many."""

NAMES: Final = {type_: name for name, type_ in protocol.REQUESTS.items()}
"""Types of socket requests as clients name them."""


class _Told(msgspec.Struct, frozen=True):
    accepted: int = 0
    warning_count: int = 0


_told: Final = msgspec.json.Decoder(_Told).decode

Asked = tuple[type, float, Span | None]
"""A request of a socket that is under way: its type, when it came (monotonic seconds), its span."""


class GatewayMeasures:
    """See the module."""

    __slots__ = (
        "auths", "closes", "http", "http_s", "item_warnings", "items", "messages", "opened", "received", "received_bytes",
        "refused", "request_s", "resumed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.http: Counter[tuple[str, str, int]] = Counter()
        """By method, route and status."""
        self.http_s: Histograms[tuple[str, str]] = Histograms(SECONDS)
        self.request_s: Histograms[type] = Histograms(SECONDS)
        """Socket requests that were answered, by type."""
        self.refused: Counter[tuple[type | None, str]] = Counter()
        """Of those the ones that failed, by type and the error's code; and those refused before they were taken (None)."""
        self.auths: Counter[str] = Counter()
        """First frames, by ``ok`` or the error's code."""
        self.messages = [0, 0]
        """Messages that were said in spaces: by practitioners, by guests."""
        self.closes: Counter[int] = Counter()
        """Sockets that the gateway closed, by code."""
        self.items: Counter[str] = Counter(dict.fromkeys(WAYS, 0))
        """Items of Eustress scenes that were acknowledged, by one of ``WAYS``."""
        self.item_warnings = 0
        self.opened = self.resumed = 0
        self.received = self.received_bytes = 0

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered."""
        method = method if method in METHODS else OTHER
        self.http[method, route, status] += 1
        self.http_s[method, route].observe(seconds)

    def ingested(self, way: str, answer: bytes) -> None:
        """Items of a Eustress scene were acknowledged. ``answer``: JSON of ``Ingested`` or ``StreamCursor``."""
        told = _told(answer)
        self.items[way] += told.accepted
        self.item_warnings += told.warning_count

    def answered(self, asked: Asked, outcome: str, now: float, *, guest: bool) -> None:
        """A socket's request has its reply."""
        type_, came, span = asked
        self.request_s[type_].observe(now - came)
        if outcome != "ok":
            self.refused[type_, outcome] += 1
        elif type_ is protocol.SpaceSend:
            self.messages[guest] += 1
        if span is not None:
            span.end(outcome)
