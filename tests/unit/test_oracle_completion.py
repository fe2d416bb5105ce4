from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from typing import Any

import pytest

from actors.oracle import completion
from actors.oracle.completion import Failure, read
from actors.oracle.spending import Spending

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def said(content: object = "hello", *, usage: object = None, logprobs: object = None, **more: object) -> bytes:
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": content}, "logprobs": logprobs}
    return json.dumps({"choices": [choice], "usage": usage, **more}).encode()


def test_the_request_is_the_seeds_and_asks_for_structure() -> None:
    messages = [{"role": "user", "content": "?"}]
    asked = json.loads(completion.body("m", messages, {"type": "object"}, 1000))
    assert asked["model"] == "m"
    assert asked["messages"] == messages
    assert asked["temperature"] == 0.8
    assert asked["max_tokens"] == 1000
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert asked["logprobs"] is True
    plain = json.loads(completion.body("m", messages, None, 1000))
    assert set(plain) == {"model", "messages", "temperature", "max_tokens"}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"total_tokens": 109}, 109),
        ({"prompt_tokens": 41, "completion_tokens": 68}, 109),
        (None, None),
        ([], None),
        ({"total_tokens": -5}, None),
        ({"total_tokens": True}, None),
        ({"total_tokens": "many"}, None),
        ({"total_tokens": 10**18}, None),
        ({"total_tokens": 0}, None),
        ({"prompt_tokens": 41}, None),
    ],
)
def test_usage_counts_where_it_is_credible(usage: object, tokens: int | None) -> None:
    assert read(said(usage=usage)).tokens == tokens


@pytest.mark.parametrize(
    ("logprobs", "confidence"),
    [
        ({"content": [{"logprob": math.log(0.5)}, {"logprob": math.log(0.125)}]}, 0.25),
        ({"content": [{"logprob": 0}]}, 1.0),
        ({"content": [{"logprob": -1e30}]}, 0.0),
        (None, None),
        ({"content": []}, None),
        ({"content": [{"logprob": 0.5}]}, None),
        ({"content": [{"logprob": -0.5}, {}]}, None),
        ({"content": [{"logprob": "-1"}]}, None),
        ("sure", None),
    ],
)
def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities_or_nothing(
    logprobs: object, confidence: float | None
) -> None:
    assert read(said(logprobs=logprobs)).confidence == confidence


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        said()[:30],
        b"[" * 100_000,
        b"{}",
        b'{"choices": []}',
        b'{"choices": {}}',
        said(None),
        said(""),
        said(["a", "b"]),
        b"\xff\xfe",
    ],
)
def test_what_is_no_completion_fails_for_good(data: bytes) -> None:
    with pytest.raises(Failure) as failure:
        read(data)
    assert not failure.value.retryable


@pytest.mark.parametrize(
    ("error", "retryable"),
    [({"code": 429, "message": "x"}, True), ({"code": 401}, False), ({"code": "x"}, True), ("x", True)],
)
def test_an_error_with_status_200_is_its_providers_status(error: object, retryable: bool) -> None:
    with pytest.raises(Failure) as failure:
        read(json.dumps({"error": error}).encode())
    assert failure.value.retryable is retryable


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Fri, 01 May 2026 12:00:07 GMT", 7.0),
        ("Fri, 01 May 2026 11:00:00 GMT", 0.0),
        ("Fri, 99 May 99999 12:00:07 +9999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert completion.retry_after_s(value, NOW) == seconds


def test_waits_grow_with_jitter_and_are_never_shorter_than_asked_for() -> None:
    failure = Failure("it answered 503", retryable=True)
    assert [completion.wait_s(attempt, failure, 1.0) for attempt in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 8.0]
    assert completion.wait_s(3, failure, 0.0) == 0.0
    assert completion.wait_s(1, Failure("it answered 429", retry_after_s=4.0), 1.0) == 4.0


@pytest.mark.parametrize(
    ("status", "retryable"), [(429, True), (500, True), (503, True), (400, False), (401, False), (302, False)]
)
def test_only_what_may_be_gone_in_a_moment_is_tried_again(status: int, retryable: bool) -> None:
    assert completion.refused(status, {}, NOW).retryable is retryable


def test_a_refusal_of_structure_is_told_from_others() -> None:
    assert completion.unsupported(400, b'{"error":"Response_Format is not supported"}')
    assert completion.unsupported(422, b"unknown field logprobs")
    assert not completion.unsupported(400, b"model not found")
    assert not completion.unsupported(500, b"response_format")


def test_spending_begins_anew_each_day() -> None:
    spent = Spending(day=date(2026, 5, 1), tokens=70)
    assert spent.on(date(2026, 5, 1)).plus(30).tokens == 100
    assert spent.on(date(2026, 5, 2)) == Spending(day=date(2026, 5, 2), tokens=0)
    assert spent.plus(-100).tokens == 0
