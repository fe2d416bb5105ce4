"""A collector of traces on loopback: takes what OpenTelemetry's exporter posts, and keeps the spans to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Received:
    """A span as it came."""

    process: str
    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass
class Collector:
    """See the module."""

    spans: list[Received] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        for each in told.resource_spans:
            process = next(a.value.string_value for a in each.resource.attributes if a.key == "service.instance.id")
            self.spans += [_received(process, span) for scope in each.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    def of(self, trace: str) -> dict[str, Received]:
        """The spans of a trace by name; of several with a name, the last that came."""
        return {span.name: span for span in self.spans if span.trace == trace}

    def lineage(self, trace: str, name: str) -> list[str]:
        """``process name`` of a span and all above it, outermost first."""
        by_id = {span.id: span for span in self.spans if span.trace == trace}
        found, span = [], self.of(trace).get(name)
        while span is not None:
            found.append(f"{span.process} {span.name}")
            span = by_id.get(span.parent)
        return found[::-1]


def _received(process: str, span: Any) -> Received:
    return Received(
        process=process,
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        attributes={a.key: a.value.string_value or a.value.int_value for a in span.attributes},
    )
