"""Texts on request: a prayer, a dedication, a teaching, a guided meditation. A language model writes them where one is configured
and answers; else one of our own stands there, and says that no model spoke.

A link carries one answer to each ask, so a text is read as it is written: ``Write`` begins it, each ``ReadOn`` waits for what
there is beyond what the asker has. Both may be repeated. Nothing but the intention that was sent with the request is told to
the model, so nobody's consent is asked beyond that. What nobody reads any more is given up after ``UNREAD_S``; what was written
is kept for ``KEPT_S`` for a retry.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from importlib.resources import files
from typing import Final

from actors.oracle import answer
from actors.oracle.client import Client
from actors.oracle.completion import Failure
from actors.oracle.prompt import parts
from actors.oracle.values import Ending, GiveUp, Piece, ReadOn, TextKind, Write
from actors.prayer.collection import fitting
from actors.runtime.errors import ActorUnavailable, Conflict, NotFound, RateLimited

log = logging.getLogger(__name__)

MODEL: Final = "written-v1"
"""As whose a text of our own goes: no model's."""
NO_MODEL: Final = "No language model is configured; this text was written for Sangha"
TEXT_MAX: Final = 16_000
"""Characters of a text: some four times what its tokens are."""
WAIT_S: Final = 10.0
"""An ask waits so long for more; a link gives it some 45 s."""
UNREAD_S: Final = 30.0
KEPT_S: Final = 120.0
AT_ONCE: Final = 256
"""Texts in memory, 16 KiB each."""
PARTS: Final = parts(files(__package__).joinpath("writing.md").read_text("utf-8"))


def messages(kind: TextKind, intention: str) -> list[dict[str, str]]:
    """The chat that asks for a text. What the asker wrote stands inside JSON text, where no quotation mark of theirs ends it."""
    told = PARTS["none"].template
    if intention.strip():
        told = PARTS["intention"].substitute(intention=json.dumps(intention, ensure_ascii=False))
    return [
        {"role": "system", "content": PARTS["system"].template},
        {"role": "user", "content": PARTS[kind].substitute(intention=told)},
    ]


class Writing:
    """One text. ``more`` is set anew whenever there is more of it."""

    def __init__(self, owner: str, asked: Write, now: float) -> None:
        self.owner, self.asked, self.read_at = owner, asked, now
        self.text = ""
        self.ending: Ending | None = None
        self.ended_at: float | None = None
        self.task: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    def tell(self, piece: str) -> bool:
        """More of it. Whether it may go on."""
        piece = answer.plain(piece)
        if not self.text:
            piece = piece.lstrip()
        self.text += piece[: TEXT_MAX - len(self.text)]
        self._wake()
        return len(self.text) < TEXT_MAX

    def end(self, ending: Ending, now: float) -> None:
        """It is whole, or cut off."""
        self.ending, self.ended_at = ending, now
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    async def beyond(self, after: int) -> Piece:
        """What comes after so many characters, at once where there is some."""
        if len(self.text) <= after and self.ending is None:
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._more.wait()
            except TimeoutError:
                pass
        return Piece(id=self.asked.id, text=self.text[after:], ending=self.ending)


class Writings:
    """All texts of an oracle. ``answers`` counts who spoke: ``model``, ``written``, or ``fallback``."""

    def __init__(self, client: Client | None, model: str, answers: Counter[str], spent: Callable[[int], None]) -> None:
        self._client, self._model, self._answers, self._spent = client, model, answers, spent
        self._writings: dict[str, Writing] = {}

    def begin(self, owner: str, asked: Write) -> Piece:
        """It is being written. Raises Conflict, RateLimited, ActorUnavailable."""
        self._forget()
        known = self._writings.get(asked.id)
        if known is not None:
            if (known.owner, known.asked) != (owner, asked):
                raise Conflict("this id was used for another text")
            return Piece(id=asked.id)
        if any(each.owner == owner and each.ending is None for each in self._writings.values()):
            raise RateLimited("a text of yours is being written; one at a time")
        if len(self._writings) >= AT_ONCE:
            raise ActorUnavailable("too many texts are being written; try again")
        writing = self._writings[asked.id] = Writing(owner, asked, self._now())
        writing.task = asyncio.get_running_loop().create_task(self._write(writing))
        return Piece(id=asked.id)

    async def read_on(self, owner: str, asked: ReadOn) -> Piece:
        """What there is beyond. Raises NotFound."""
        writing = self._of(owner, asked.id)
        writing.read_at = self._now() + WAIT_S
        return await writing.beyond(max(0, asked.after))

    def give_up(self, owner: str, asked: GiveUp) -> None:
        """It ends where it is; what it has cost is spent."""
        writing = self._writings.get(asked.id)
        if writing is not None and writing.owner == owner and writing.ending is None and writing.task is not None:
            writing.task.cancel()

    async def close(self) -> None:
        """Give all of them up."""
        tasks = [each.task for each in self._writings.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, owner: str, id_: str) -> Writing:
        found = self._writings.get(id_)
        if found is None or found.owner != owner:
            raise NotFound("there is no such text, or it is forgotten; ask for it again")
        return found

    def _forget(self) -> None:
        now = self._now()
        for id_, each in list(self._writings.items()):
            if each.ended_at is not None and now - each.ended_at > KEPT_S:
                del self._writings[id_]
            elif each.ending is None and now - each.read_at > UNREAD_S and each.task is not None:
                each.task.cancel()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _write(self, writing: Writing) -> None:
        try:
            ending = await self._written(writing)
        except asyncio.CancelledError:
            writing.end(self._cut_off("it was given up"), self._now())
            raise
        except Exception:
            log.exception("a text could not be written")
            ending = self._fallback(writing, "something went wrong here")
        writing.end(ending, self._now())

    async def _written(self, writing: Writing) -> Ending:
        asked = writing.asked
        if self._client is None:
            self._answers["written"] += 1
            return _ours(writing, NO_MODEL)
        try:
            wrote = await self._client.write(messages(asked.kind, asked.intention), asked.max_tokens, writing.tell)
        except Failure as failure:
            log.warning("the language model %s: %s", self._model, failure.reason)
            return self._fallback(writing, failure.reason)
        self._answers["model"] += 1
        self._spent(wrote.tokens)
        cut = wrote.finish == "length"
        notice = "The text reached its greatest length" if cut else None
        return Ending(model=self._model, source="model", complete=not cut, notice=notice, tokens=wrote.tokens)

    def _fallback(self, writing: Writing, reason: str) -> Ending:
        """Where nothing was told yet a text of our own; else it is cut off there."""
        self._answers["fallback"] += 1
        if writing.text:
            return self._cut_off(reason)
        return _ours(writing, f"The language model is unavailable: {reason}; this text was written for Sangha")

    def _cut_off(self, reason: str) -> Ending:
        return Ending(model=self._model, source="model", complete=False, notice=f"The text is cut off: {reason}")


def _ours(writing: Writing, notice: str) -> Ending:
    """One of our own texts, that fits the intention; which of several equals, the request's id says."""
    turn = int.from_bytes(blake2b(writing.asked.id.encode(), digest_size=4).digest())
    text = fitting(writing.asked.kind, writing.asked.intention, turn)
    writing.tell(text.text)
    return Ending(model=MODEL, source="written", notice=notice, title=text.title, text_id=text.id)
