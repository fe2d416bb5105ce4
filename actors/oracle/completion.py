"""The chat-completion protocol as values: the request's body, what a response says, what may be tried again. Pure.

Nothing that a response says is repeated in an error or a log: a provider may echo the key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from actors.runtime.entity import Struct

TEMPERATURE: Final = 0.8
MAX_TOKENS: Final = 1_000
BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 8.0
RETRIED: Final = frozenset({429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses that may be gone in a moment; the last are those of proxies and of an overloaded provider."""
TOKENS_SANE: Final = 10_000_000
"""A usage beyond this is a lie."""
_UNSUPPORTED: Final = (b"response_format", b"json_schema", b"schema", b"structured", b"logprobs", b"grammar")


class Failure(Exception):
    """A consultation failed. ``reason`` is a short phrase that may be shown; ``retryable`` within the same consultation."""

    def __init__(self, reason: str, *, retryable: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.retryable, self.retry_after_s = reason, retryable, retry_after_s


class Completion(Struct, frozen=True, kw_only=True):
    """What a model said. ``tokens`` is None where the response does not say it credibly."""

    text: str
    tokens: int | None = None
    confidence: float | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None


class _Response(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    usage: Any = None
    error: Any = None


def body(model: str, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any] | None, max_tokens: int) -> bytes:
    """The request. With a schema also token probabilities are asked for: an endpoint that knows one may know both."""
    asked: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "temperature": TEMPERATURE,
        "max_tokens": max_tokens,
    }
    if schema is not None:
        asked["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "insight", "strict": True, "schema": schema},
        }
        # One alternative a token, and not none: llama.cpp gives twenty where it is not told, and none at 0.
        asked |= {"logprobs": True, "top_logprobs": 1}
    return msgspec.json.encode(asked)


def streamed_body(model: str, messages: Sequence[Mapping[str, str]], max_tokens: int) -> bytes:
    """The request for a free text, told as it comes; what it used up comes last, from an endpoint that knows that."""
    asked = {
        "model": model,
        "messages": messages,
        "temperature": TEMPERATURE,
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return msgspec.json.encode(asked)


class Delta(Struct, frozen=True, kw_only=True):
    """What an event of a stream says. ``finish``: why the text is at its end, where it is."""

    text: str = ""
    tokens: int | None = None
    finish: str | None = None


class _Part(msgspec.Struct, gc=False, frozen=True):
    content: str | None = None


class _Told(msgspec.Struct, gc=False):
    delta: _Part = _Part()
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Told] = []
    usage: Any = None
    error: Any = None


DONE: Final = b"[DONE]"


def read_delta(data: bytes) -> Delta:
    """An event's data as a delta. Raises Failure."""
    try:
        chunk = msgspec.json.decode(data, type=_Chunk)
    except (msgspec.DecodeError, RecursionError):
        raise Failure("its answer was not a chat completion") from None
    if chunk.error is not None:
        raise refused(_code(chunk.error), {}, None)
    tokens = _tokens(chunk.usage)
    if not chunk.choices:
        return Delta(tokens=tokens)
    told = chunk.choices[0]
    return Delta(text=told.delta.content or "", tokens=tokens, finish=told.finish_reason)


class EventData:
    """Cuts server-sent events out of what arrives: the data of each. Comments and other fields are passed over."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the lines that are whole now. (Chat completions put each event's data on one line.)"""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


def estimate(data: bytes) -> int:
    """Tokens of a text, rather too many: some three bytes each."""
    return len(data) // 3 + 1


def read(data: bytes) -> Completion:
    """What a response with status 200 says. Raises Failure."""
    try:
        response = msgspec.json.decode(data, type=_Response)
    except (msgspec.DecodeError, RecursionError):
        raise Failure("its answer was not a chat completion") from None
    if response.error is not None:  # OpenRouter says 200 and means its provider's status
        raise refused(_code(response.error), {}, None)
    if not response.choices or not response.choices[0].message.content:
        raise Failure("its answer was empty")
    choice = response.choices[0]
    return Completion(
        text=choice.message.content or "", tokens=_tokens(response.usage), confidence=_confidence(choice.logprobs)
    )


def refused(status: int, headers: Mapping[str, str], now: datetime | None) -> Failure:
    """The failure that a status means. ``now`` (UTC) is needed for a Retry-After that is a date."""
    return Failure(
        f"it answered {status}",
        retryable=status in RETRIED,
        retry_after_s=retry_after_s(headers.get("retry-after"), now),
    )


def retry_after_s(value: str | None, now: datetime | None) -> float | None:
    """Seconds to wait by a Retry-After header: a number or a date. None where it says nothing usable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until(value, now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def wait_s(attempt: int, failure: Failure, chance: float) -> float:
    """How long to wait after the n-th attempt (from 1): exponential with full jitter (``chance`` in [0, 1)), and never
    shorter than the other side asked for."""
    backoff = min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** (attempt - 1)) * chance
    return max(backoff, failure.retry_after_s or 0.0)


def unsupported(status: int, said: bytes) -> bool:
    """Whether a refusal is about the structured output, so that asking plainly may help."""
    return status in (400, 422) and any(word in said.lower() for word in _UNSUPPORTED)


def _until(value: str, now: datetime | None) -> float:
    try:
        then = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return math.nan
    if now is None:
        return math.nan
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    return (aware - now).total_seconds()


def _code(error: object) -> int:
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else 502


def _tokens(usage: object) -> int | None:
    if not isinstance(usage, Mapping):
        return None
    prompt, completed = _whole(usage.get("prompt_tokens")), _whole(usage.get("completion_tokens"))
    total = _whole(usage.get("total_tokens")) or (prompt + completed if prompt and completed else 0)
    return total if 0 < total <= TOKENS_SANE else None


def _whole(value: object) -> int:
    """A whole number, 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _confidence(logprobs: object) -> float | None:
    """The geometric mean of the tokens' probabilities, exp(mean log p). None without usable log-probabilities."""
    tokens = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(tokens, list) or not tokens:
        return None
    found = [p for token in tokens if (p := _logprob(token)) is not None]
    return round(math.exp(math.fsum(found) / len(found)), 4) if len(found) == len(tokens) else None


def _logprob(token: object) -> float | None:
    found = token.get("logprob") if isinstance(token, Mapping) else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) and found <= 0 else None
