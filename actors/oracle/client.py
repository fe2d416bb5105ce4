"""Asks an OpenAI-compatible endpoint for one insight, or says in a short phrase why there is none.

However the other side behaves, ``consult`` ends within its time: one deadline over everything, at most so many bytes of
an answer, no redirects, retries only of what may be gone in a moment. A model that keeps failing is left alone for a while
(``breaker``), and nothing is sent that the day's budget does not cover (``spending``). The key stands in one header and
nowhere else: errors are phrases of our own and carry no cause.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import httpx

from actors.oracle import answer, breaker, completion
from actors.oracle.answer import Parts
from actors.oracle.breaker import Breaker
from actors.oracle.completion import Completion, Failure
from actors.oracle.spending import CannotCount, Ledger, OverBudget
from actors.runtime.entity import Struct

log = logging.getLogger(__name__)

OPENROUTER: Final = "https://openrouter.ai/api/v1"
REFERER: Final = "https://control-engine.sacred.dev"
"""OpenRouter's name for this application; the Control Engine's own."""
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
        deadline = asyncio.get_running_loop().time() + self._endpoint.timeout_s
        try:
            async with asyncio.timeout(self._endpoint.timeout_s * TURN_SHARE):
                await self._turns.acquire()
        except TimeoutError:
            raise Failure("too many ask at once") from None
        try:
            async with asyncio.timeout_at(deadline):
                return await self._guarded(messages)
        except TimeoutError:
            raise Failure("it gave no answer in time") from None
        finally:
            self._turns.release()

    async def _guarded(self, messages: list[dict[str, str]]) -> Consulted:
        """Behind the breaker. Whatever ends this, the breaker hears of it."""
        before, now = self._breaker, self._clocks.monotonic()
        admitted = breaker.admit(before, now)
        if admitted is None:
            raise Failure("it failed several times and is left alone for a minute")
        probe, self._breaker = admitted.probing, admitted
        try:
            consulted = await self._attempts(messages)
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
        return consulted

    async def _attempts(self, messages: list[dict[str, str]]) -> Consulted:
        deadline = self._clocks.monotonic() + self._endpoint.timeout_s
        attempt = 1
        while True:
            try:
                return await self._attempt(messages)
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

    async def _send(self, body: bytes, reserved: int, day: date) -> Completion:
        """The response. Where it is certain that no model worked for it, nothing was spent; else all that was reserved."""
        try:
            async with self._http.stream("POST", self._url, content=body, headers=self._headers()) as response:
                if response.status_code == 200:
                    return completion.read(await _body(response))
                self._ledger.correct(reserved, 0, day)
                await self._refuse(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            self._ledger.correct(reserved, 0, day)
            raise Failure("it could not be reached", retryable=True) from None
        except httpx.TimeoutException:
            raise Failure("it gave no answer in time", retryable=True) from None
        except httpx.TransportError:
            raise Failure("the connection ended before its answer did", retryable=True) from None
        raise AssertionError("unreachable: a refusal raises")

    async def _refuse(self, response: httpx.Response) -> None:
        if self._schema is not None and completion.unsupported(
            response.status_code, await _body(response, any_type=True)
        ):
            raise _Plainly
        raise completion.refused(response.status_code, response.headers, self._clocks.utc())

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressed answer could be of any size
            "Content-Type": "application/json",
            "HTTP-Referer": REFERER,
        }
        if (key := self._endpoint.api_key) is not None:
            if not _KEY.fullmatch(key):  # httpx would show the header in its error
                raise Failure("its key has characters that no header may have")
            headers["Authorization"] = f"Bearer {key}"
        return headers


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
