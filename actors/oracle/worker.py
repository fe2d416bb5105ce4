"""The oracle behind its link: each consultation is answered, by the language model where that may and can be, else by rules.

Nothing leaves the server without consent. A model that is configured and does not answer is said in the insight's
``notice``, and rules answer in its place.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from actors.oracle import answer, completion, prompt, rules
from actors.oracle.client import OPENROUTER, Client, Clocks, Consulted, Endpoint
from actors.oracle.completion import Failure
from actors.oracle.spending import Ledger
from actors.oracle.values import Consult, GiveUp, Insight, ReadOn, Write, codec, insight_codec, piece_codec
from actors.oracle.writing import Writings
from actors.runtime.wire import Ask

log = logging.getLogger(__name__)

MODEL_MAX: Final = 100
"""Characters of a model's name: the seed's VARCHAR(100)."""
NO_CONSENT: Final = (
    "Rules answered: without oracle_consent in your profile nothing of your state is sent to a language model"
)
NO_CONSENT_OF_ALL: Final = (
    "Rules answered: not everyone who took part gave oracle_consent, so nothing was sent to a language model"
)


class OracleHandler:
    """What ``actors.runtime.worker.Worker`` calls. Without a key and without a url there is no model, and rules are all.

    The file at ``spend_path`` keeps the day's tokens; one process uses it.
    """

    def __init__(
        self,
        *,
        spend_path: Path,
        model: str,
        api_key: str | None = None,
        url: str | None = None,
        timeout_s: float = 20.0,
        tokens_per_day: int = 200_000,
        max_tokens: int = completion.MAX_TOKENS,
        schema: Mapping[str, Any] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self._model = model
        self.answers: Counter[str] = Counter()
        """By who spoke: ``rules``, ``model``, ``written`` (a text of ours), or ``fallback``: ours, the model did not answer."""
        self.tokens = 0
        self._client: Client | None = None
        if api_key or url:
            endpoint = Endpoint(
                url=url or OPENROUTER,
                model=model,
                api_key=api_key or None,
                timeout_s=timeout_s,
                max_tokens=max_tokens,
                schema=schema or answer.schema(),
            )
            self._client = Client(endpoint, Ledger(spend_path, tokens_per_day), transport=transport, clocks=clocks)
        self.writings = Writings(self._client, model[:MODEL_MAX], self.answers, self._spent)

    async def __call__(self, ask: Ask) -> bytes:
        """The insight, or what there is of a text, as JSON. Raises BadRequest, Invalid where it is neither asked for."""
        command, owner = codec.decode(ask.command), ask.caller.practitioner if ask.caller is not None else ""
        match command:
            case Consult():
                return insight_codec.encode(await self.answer(command))
            case Write():
                return piece_codec.encode(self.writings.begin(owner, command))
            case ReadOn():
                return piece_codec.encode(await self.writings.read_on(owner, command))
            case GiveUp():
                self.writings.give_up(owner, command)
                return b"{}"

    async def answer(self, consult: Consult) -> Insight:
        """Always an insight, within the model's time."""
        if self._client is None:
            self.answers["rules"] += 1
            return rules.answer(consult)
        if not consult.consent:
            self.answers["rules"] += 1
            return rules.answer(consult, NO_CONSENT if consult.collective is None else NO_CONSENT_OF_ALL)
        try:
            consulted = await self._client.consult(prompt.messages(consult))
        except Failure as failure:
            self.answers["fallback"] += 1
            log.warning("the oracle's model %s: %s", self._model, failure.reason)
            return rules.answer(consult, f"Oracle consultation unavailable: {failure.reason}; rules answered instead")
        self.answers["model"] += 1
        self.tokens += consulted.tokens
        return self._insight(consult, consulted)

    async def close(self) -> None:
        """Give texts up, drop the model's connections."""
        await self.writings.close()
        if self._client is not None:
            await self._client.close()

    def _spent(self, tokens: int) -> None:
        self.tokens += tokens

    def _insight(self, consult: Consult, consulted: Consulted) -> Insight:
        parts = consulted.parts
        return Insight(
            insight_type=rules.insight_type(consult, parts.cautions),
            interpretation=parts.interpretation,
            symbolic_analysis=parts.symbolic_analysis,
            integration_guidance=parts.integration_guidance,
            emergent_symbols=parts.emergent_symbols,
            next_rituals=parts.next_rituals,
            cautions=parts.cautions,
            oracle_model=self._model[:MODEL_MAX],
            confidence_score=consulted.confidence,
            tokens=consulted.tokens,
        )
