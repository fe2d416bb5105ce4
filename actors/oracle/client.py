"""Asks an OpenAI-compatible endpoint for one insight or one text, or says in a short phrase why there is none.

However the other side behaves, ``consult`` and ``write`` end within its time: one deadline over everything, at most so many
bytes of an answer, no redirects, retries only of what may be gone in a moment. A model that keeps failing is left alone for a
while (``breaker``), and nothing is sent that the day's budget does not cover (``spending``). The key stands in one header and
nowhere else: errors are phrases of our own and carry no cause.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar

import httpx

from actors.oracle import answer, breaker, completion
from actors.oracle.answer import Parts
from actors.oracle.breaker import Breaker
from actors.oracle.completion import Completion, Failure
from actors.oracle.spending import CannotCount, Ledger, OverBudget
from actors.runtime.entity import Struct

log = logging.getLogger(__name__)

T = TypeVar("T")

OPENROUTER: Final = "https://openrouter.ai/api/v1"
REFERER: Final = "https://control-engine.sacred.dev"
"""OpenRouter's name for this application; the Control Engine's own."""
JSON: Final = "application/json"
RESPONSE_MAX: Final = 2**20
"""Bytes. 1,000 tokens with their probabilities are some 300 KiB."""
ATTEMPTS: Final = 3
AT_ONCE: Final = 4
TURN_SHARE: Final = 0.5
"""Of a consultation's time, spent at most on waiting for a turn: in less than the rest the model would be blamed unfairly."""
_KEY: Final = re.compile(r"[\x21-\x7e]+")


class Endpoint(Struct, frozen=True, kw_only=True):
    """Which model to ask, and how."""

    url: str = OPENROUTER
    model: str
    api_key: str | None = None
    timeout_s: float = 20.0
    """Of one consultation, retries and waiting for a turn included."""
    max_tokens: int = completion.MAX_TOKENS
    schema: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Endpoint({self.model})"


class Consulted(Struct, frozen=True, kw_only=True):
    """A model's insight, and what it cost."""

    parts: Parts
    tokens: int
    confidence: float | None


class Wrote(Struct, frozen=True, kw_only=True):
    """A text was told to its end. ``finish`` is the endpoint's word for why; None where it said nothing."""

    tokens: int
    finish: str | None


class Clocks(Struct, frozen=True, kw_only=True):
    """Time and chance, as a test may replace them."""

    monotonic: Callable[[], float] = time.monotonic
    utc: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class Client:
    """One endpoint. ``consult`` may run several times at once; more than ``AT_ONCE`` take turns."""

    def __init__(
        self,
        endpoint: Endpoint,
        ledger: Ledger,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self._endpoint, self._ledger, self._clocks = endpoint, ledger, clocks or Clocks()
        self._breaker = Breaker()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._schema: Mapping[str, Any] | None = endpoint.schema
        url = httpx.URL(endpoint.url.rstrip("/") + "/chat/completions")
        # A password in the URL goes into a header: httpx logs URLs.
        self._url = url.copy_with(userinfo=b"")
        self._http = httpx.AsyncClient(
            auth=httpx.BasicAuth(url.username, url.password) if url.userinfo else None,
            timeout=endpoint.timeout_s,
            follow_redirects=False,
            transport=transport,
        )

    @property
    def breaker(self) -> Breaker:
        """As it is now."""
        return self._breaker

    async def close(self) -> None:
        """Drop the connections."""
        await self._http.aclose()

    async def consult(self, messages: list[dict[str, str]]) -> Consulted:
        """One insight. Raises Failure, within the endpoint's time."""
        return await self._in_time(lambda: self._attempt(messages))

    async def write(self, messages: list[dict[str, str]], max_tokens: int, tell: Callable[[str], bool]) -> Wrote:
        """A free text, told piece by piece; ``tell`` says whether more is wanted. Raises Failure, also after some of it was
        told: then it is cut off there."""
        return await self._in_time(lambda: self._dictation(messages, max_tokens, tell))

    async def _in_time(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """One deadline over all of it, waiting for a turn included."""
        deadline = asyncio.get_running_loop().time() + self._endpoint.timeout_s
        try:
            async with asyncio.timeout(self._endpoint.timeout_s * TURN_SHARE):
                await self._turns.acquire()
        except TimeoutError:
            raise Failure("too many ask at once") from None
        try:
            async with asyncio.timeout_at(deadline):
                return await self._guarded(attempt)
        except TimeoutError:
            raise Failure("it gave no answer in time") from None
        finally:
            self._turns.release()

    async def _guarded(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Behind the breaker. Whatever ends this, the breaker hears of it."""
        before, now = self._breaker, self._clocks.monotonic()
        admitted = breaker.admit(before, now)
        if admitted is None:
            raise Failure("it failed several times and is left alone for a minute")
        probe, self._breaker = admitted.probing, admitted
        try:
            done = await self._attempts(attempt)
        except (OverBudget, CannotCount) as refusal:
            self._breaker = breaker.given_up(self._breaker, probe=probe)
            if isinstance(refusal, CannotCount):
                log.error("the oracle's spending: %s", refusal)  # noqa: TRY400 (a full disk needs no traceback)
                raise Failure("what it costs cannot be recorded") from None
            raise Failure("the day's budget of tokens is used up") from None
        except BaseException:
            # Also cancelled: that is the deadline. A worker that is stopped waits for its consultations and cancels none.
            self._breaker = breaker.failed(self._breaker, self._clocks.monotonic(), probe=probe)
            raise
        self._breaker = breaker.succeeded(self._breaker)
        return done

    async def _attempts(self, once: Callable[[], Awaitable[T]]) -> T:
        deadline = self._clocks.monotonic() + self._endpoint.timeout_s
        attempt = 1
        while True:
            try:
                return await once()
            except _Plainly:
                self._schema = None  # for good: it will not learn it while we run
            except Failure as failure:
                wait = completion.wait_s(attempt, failure, self._clocks.chance())
                if not failure.retryable or attempt == ATTEMPTS or self._clocks.monotonic() + wait >= deadline:
                    raise
                attempt += 1
                await self._clocks.sleep(wait)

    async def _attempt(self, messages: list[dict[str, str]]) -> Consulted:
        """One request, paid for before it is sent."""
        body = completion.body(self._endpoint.model, messages, self._schema, self._endpoint.max_tokens)
        asked, day = completion.estimate(body), self._clocks.utc().date()
        reserved = asked + self._endpoint.max_tokens
        self._ledger.reserve(reserved, day)
        said = await self._send(body, reserved, day)
        tokens = said.tokens or asked + completion.estimate(said.text.encode("utf-8", "replace"))
        self._ledger.correct(reserved, tokens, day)
        try:
            return Consulted(parts=answer.parse(said.text), tokens=tokens, confidence=said.confidence)
        except answer.NotAnInsight as wrong:
            raise Failure(f"its answer was not usable: {wrong}") from None

    async def _dictation(self, messages: list[dict[str, str]], max_tokens: int, tell: Callable[[str], bool]) -> Wrote:
        """One request for a free text, paid for before it is sent. What was told is never asked for again."""
        body = completion.streamed_body(self._endpoint.model, messages, max_tokens)
        asked, day = completion.estimate(body), self._clocks.utc().date()
        reserved = asked + max_tokens
        self._ledger.reserve(reserved, day)
        dictation = Dictation(tell)
        try:
            await self._listen(body, dictation, reserved, day)
        except Failure as failure:
            if dictation.size:
                raise Failure(failure.reason) from None
            raise
        if not dictation.size:
            raise Failure("its answer was empty")
        tokens = dictation.tokens or asked + dictation.size // 3 + 1
        self._ledger.correct(reserved, tokens, day)
        return Wrote(tokens=tokens, finish=dictation.finish)

    async def _listen(self, body: bytes, dictation: Dictation, reserved: int, day: date) -> None:
        async with self._answer_to(body, reserved, day, accept="text/event-stream") as response:
            if "event-stream" not in response.headers.get("content-type", ""):
                said = completion.read(await _body(response))  # an endpoint that tells no stream tells it at once
                dictation.take(completion.Delta(text=said.text, tokens=said.tokens, finish="stop"))
                return
            found, size = completion.EventData(), 0
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > RESPONSE_MAX:
                    raise Failure("its answer was too long")
                if dictation.hear(found.feed(chunk)):
                    return
        if dictation.finish is None:
            raise Failure("the connection ended before its answer did", retryable=True)

    async def _send(self, body: bytes, reserved: int, day: date) -> Completion:
        """The response."""
        async with self._answer_to(body, reserved, day) as response:
            return completion.read(await _body(response))

    @asynccontextmanager
    async def _answer_to(
        self, body: bytes, reserved: int, day: date, accept: str = JSON
    ) -> AsyncIterator[httpx.Response]:
        """A response with status 200. Where it is certain that no model worked for it, nothing was spent; else all that was
        reserved. Raises Failure."""
        headers = self._headers() | {"Accept": accept}
        try:
            async with self._http.stream("POST", self._url, content=body, headers=headers) as response:
                if response.status_code != 200:
                    self._ledger.correct(reserved, 0, day)
                    await self._refuse(response, structured=accept == JSON)
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            self._ledger.correct(reserved, 0, day)
            raise Failure("it could not be reached", retryable=True) from None
        except httpx.TimeoutException:
            raise Failure("it gave no answer in time", retryable=True) from None
        except httpx.TransportError:
            raise Failure("the connection ended before its answer did", retryable=True) from None

    async def _refuse(self, response: httpx.Response, *, structured: bool) -> None:
        if (
            structured
            and self._schema is not None
            and completion.unsupported(response.status_code, await _body(response, any_type=True))
        ):
            raise _Plainly
        raise completion.refused(response.status_code, response.headers, self._clocks.utc())

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept-Encoding": "identity",  # a compressed answer could be of any size
            "Content-Type": "application/json",
            "HTTP-Referer": REFERER,
        }
        if (key := self._endpoint.api_key) is not None:
            if not _KEY.fullmatch(key):  # httpx would show the header in its error
                raise Failure("its key has characters that no header may have")
            headers["Authorization"] = f"Bearer {key}"
        return headers


class Dictation:
    """A text as it comes. Events are taken until one says that it is over, or until no more is wanted."""

    def __init__(self, tell: Callable[[str], bool]) -> None:
        self._tell = tell
        self.size = 0
        """Bytes that were told."""
        self.tokens: int | None = None
        self.finish: str | None = None

    def hear(self, events: list[bytes]) -> bool:
        """Whether it is over. Raises Failure."""
        return any(data == completion.DONE or not self.take(completion.read_delta(data)) for data in events)

    def take(self, delta: completion.Delta) -> bool:
        """Whether more is wanted. (What it used up comes after its end.)"""
        self.tokens = delta.tokens or self.tokens
        self.finish = delta.finish or self.finish
        self.size += len(delta.text.encode("utf-8", "replace"))
        if delta.text and not self._tell(delta.text):
            self.finish = "length"
            return False
        return True


class _Plainly(Exception):
    """The endpoint knows no structured output."""


async def _body(response: httpx.Response, *, any_type: bool = False) -> bytes:
    """At most ``RESPONSE_MAX`` bytes of JSON. Raises Failure."""
    if not any_type and "json" not in response.headers.get("content-type", ""):
        raise Failure("its answer was not JSON")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Failure("its answer was compressed, which was not asked for")
    found = bytearray()
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) > RESPONSE_MAX:
            raise Failure("its answer was too long")
    return bytes(found)
