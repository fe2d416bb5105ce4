"""Traces: off unless there is a url, below the caller's span, no more of them than the ratio says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server import tracing
from server.settings import Settings
from server.tracing import OtlpTracer, build_tracer, context_of, endpoint

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def tracer() -> Iterator[OtlpTracer]:
    tracer = OtlpTracer("http://127.0.0.1:9", 1.0, "gateway/0")
    yield tracer
    _discard(tracer)


def _discard(tracer: OtlpTracer) -> None:
    """End its thread, and send nothing."""
    processor = tracer._provider._active_span_processor._span_processors[0]._batch_processor  # type: ignore[attr-defined]
    processor._queue.clear()
    tracer._provider.shutdown()


def test_without_a_url_there_is_no_tracer() -> None:
    assert build_tracer(Settings(_env_file=None), "gateway/0") is None


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://traces.example.org/otlp/v1/traces", "https://traces.example.org/otlp/v1/traces"),
    ],
)
def test_spans_are_posted_to_otlps_path_unless_the_url_has_one(url: str, where: str) -> None:
    assert endpoint(url) == where


def test_the_url_must_be_one() -> None:
    with pytest.raises(ValueError, match="http"):
        Settings(_env_file=None, traces_url="localhost:4318")


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracing.missing() is None
    monkeypatch.setattr(tracing, "find_spec", lambda _: None)
    assert "pip install 'sangha[traces]'" in (tracing.missing() or "")


def test_a_span_stands_below_its_parent_in_its_trace(tracer: OtlpTracer) -> None:
    span = tracer.start("request", PARENT)
    assert span is not None
    version, trace, id_, flags = span.traceparent.split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert id_ != "b7ad6b7169203331"
    span.end("full")


@pytest.mark.parametrize(
    "given", [None, "", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", f"ff{PARENT[2:]}", PARENT[:40]]
)
def test_a_parent_that_is_none_begins_a_trace_of_its_own(tracer: OtlpTracer, given: str | None) -> None:
    assert context_of(given) is None
    span = tracer.start("request", given)
    assert span is not None
    assert TRACE not in span.traceparent
    span.end()


def test_who_is_not_sampled_by_the_caller_has_no_span(tracer: OtlpTracer) -> None:
    assert tracer.start("request", PARENT[:-2] + "00") is None


def test_a_caller_gets_no_more_traced_than_the_ratio_says() -> None:
    tracer = OtlpTracer("http://127.0.0.1:9", 0.0, "gateway/0")
    assert tracer.start("request", PARENT) is None
    assert tracer.start("request", None) is None
    _discard(tracer)
