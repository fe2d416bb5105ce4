"""OpenTelemetry traces, where ``traces_url`` is set: what a request passed through, from the socket to the commit.

The one file that knows OpenTelemetry, and loads it only where traces are on: the packages are optional (``sangha[traces]``).
Spans are sent in batches by a thread of the SDK's; what it cannot send it drops, and nothing waits for it. A client that comes
with a sampled ``traceparent`` gets no more than ``traces_ratio`` of its requests traced either.

    POST /api/…  or  space.send          the gateway, from the request to its answer; below the client's traceparent
      └─ ask space                       the link, there and back
           └─ decide space               the shard's decision
                └─ gate space            from the decision to the release
                     ├─ commit space     one a batch: below its first traced command, linked to the others
                     └─ effect sandbox   what the command owes to others
                          └─ work        in the sandbox or the oracle; in an entity: decide …
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from server.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanContext

NEEDED: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
TRACES_PATH: Final = "/v1/traces"
SEND_EVERY_MS: Final = 1_000
FLUSH_MS: Final = 2_000
"""A collector that is away must not hold up a drain."""


def missing() -> str | None:
    """What is to be installed before traces can be on; None where nothing is."""
    for name in NEEDED:
        try:
            if find_spec(name) is None:
                break
        except ModuleNotFoundError:
            break
    else:
        return None
    return "SANGHA_TRACES_URL needs OpenTelemetry's packages: pip install 'sangha[traces]'"


def endpoint(url: str) -> str:
    """Where spans are posted: OTLP's own path, unless the url has one."""
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + TRACES_PATH


def build_tracer(settings: Settings, process: str) -> OtlpTracer | None:
    """The tracer of a process; None where traces are off."""
    return None if settings.traces_url is None else OtlpTracer(settings.traces_url, settings.traces_ratio, process)


class OtlpSpan:
    """A span that is sampled."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any) -> None:
        context: SpanContext = span.get_span_context()
        self._span = span
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def end(self, outcome: str = "ok") -> None:
        """It is over."""
        if outcome != "ok":
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, outcome)
        self._span.set_attribute("sangha.outcome", outcome)
        self._span.end()


class OtlpTracer:
    """Implements ``actors.runtime.trace.Tracer``."""

    def __init__(self, url: str, ratio: float, process: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        # A parent in this process is none of the SDK's: parents come as text, so all are remote, a stranger's or our own.
        by_ratio = TraceIdRatioBased(ratio)
        resource = Resource({"service.name": "sangha", "service.instance.id": process})
        sampler = ParentBased(root=by_ratio, remote_parent_sampled=by_ratio)
        self._provider: TracerProvider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint(url), timeout=FLUSH_MS / 1000)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_MS))
        self._tracer = self._provider.get_tracer("sangha")

    def start(
        self, name: str, parent: str | None, links: Iterable[str] = (), **attributes: str | int
    ) -> OtlpSpan | None:
        """A span below ``parent``. None where the trace is not sampled."""
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, set_span_in_context

        above = context_of(parent)
        context = Context() if above is None else set_span_in_context(NonRecordingSpan(above), Context())
        linked = [Link(found) for link in links if (found := context_of(link)) is not None]
        span = self._tracer.start_span(name, context, links=linked, attributes=attributes)
        return OtlpSpan(span) if span.is_recording() else None

    def close(self) -> None:
        """Send what waits, within ``FLUSH_MS``."""
        self._provider.force_flush(FLUSH_MS)


def context_of(traceparent: str | None) -> SpanContext | None:
    """W3C's ``version-trace-span-flags``; None where it is none, or is broken: then a trace begins here."""
    from opentelemetry.trace import SpanContext, TraceFlags

    parts = (traceparent or "").split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2] or parts[0] == "ff":
        return None
    try:
        trace_id, span_id, flags = (int(part, 16) for part in parts[1:4])
    except ValueError:
        return None
    found = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return found if found.is_valid else None
