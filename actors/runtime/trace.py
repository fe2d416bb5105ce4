"""What accompanies a request from process to process: its id, for log lines, and the span that it belongs to, for traces.

The id crosses links in ``Ask.request_id``, the span's W3C ``traceparent`` in ``Ask.trace``. Where traces are off there is no
tracer and every ``traceparent`` is None: that test is all that they cost. Pure; ``server/tracing.py`` has the tracer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Protocol, TypeVar

R = TypeVar("R")

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


class Span(Protocol):
    """Something that takes time."""

    @property
    def traceparent(self) -> str:
        """Its place in the trace, as W3C writes it: what its children name as their parent."""

    def end(self, outcome: str = "ok") -> None:
        """It is over; ``outcome`` is ``ok`` or the code of an error."""


class Tracer(Protocol):
    """Makes spans."""

    def start(self, name: str, parent: str | None, links: Iterable[str] = (), **attributes: str | int) -> Span | None:
        """A span below ``parent`` (None: a trace of its own). None where the trace is not sampled."""


def end(span: Span | None, outcome: str = "ok") -> None:
    """End a span, if there is one."""
    if span is not None:
        span.end(outcome)


def followed(
    tracer: Tracer | None, name: str, parent: str | None, on_answer: Callable[[R], None]
) -> tuple[str | None, Callable[[R], None]]:
    """The ``Ask.trace`` of a question, and ``on_answer`` as one that ends the question's span too."""
    if tracer is None or parent is None:
        return None, on_answer
    span = tracer.start(name, parent)
    if span is None:
        return None, on_answer

    def answered(answer: R) -> None:
        span.end(getattr(answer, "code", "ok"))
        on_answer(answer)

    return span.traceparent, answered
