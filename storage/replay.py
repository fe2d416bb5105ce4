"""Whether recorded runs of rituals give the same again, bit for bit.

A practitioner's journal is folded from its beginning. Where a run began the agenda has the very request that the sandbox got;
it is run again, on the module whose hash was recorded, and the practitioner decides its outcome again. The event that this
makes has to be the one in the journal (``duration_ms`` apart), and the row of ``ritual_sessions`` has to say the same. Of a
failed run only the code is compared, for a deadline may have struck elsewhere; one that used no fuel never reached the ritual.

Not from the rows: jsonb keeps neither the order of keys nor the text of numbers, and a ritual may look at both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import asyncpg
import msgspec

from actors.practitioner import events as e
from actors.practitioner.entity import PractitionerKind
from actors.practitioner.runs import effect_id
from actors.practitioner.state import PractitionerState
from actors.practitioner.transformation import TransformationResult
from actors.ritual import values
from actors.ritual.values import RunOutcome, RunRequest, outcome_codec
from actors.runtime.codec import FormatTooNew
from actors.runtime.entity import Context, EffectDone
from actors.runtime.errors import RitualRejected
from storage.ledger import BATCH, PREFETCH, Grouped, Progress, is_leaving, snapshot
from storage.pool import BadValue
from storage.rows import UNSEALED, opened
from storage.seal import CannotUnseal, Seal
from storage.statements import statement

REPEATABLE: Final = ("ritual_failed", "ritual_rejected")
Ended = e.RunCompleted | e.RunFailed


class Sandbox(Protocol):
    """``actors.ritual.sandbox.Sandbox``, as far as it is needed."""

    def has(self, module_hash: str) -> bool:
        """Whether the module is loaded."""

    def load(self, module_hash: str, data: bytes) -> None:
        """Raises RitualRejected."""

    def run(self, request: RunRequest) -> RunOutcome:
        """Run it once."""

    def close(self) -> None:
        """No more runs."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is not what was recorded. ``session`` None: the practitioner's journal could not be followed."""

    practitioner: str
    session: str | None
    what: str


class Replayed(msgspec.Struct, kw_only=True):
    """What was looked at. ``skipped`` runs failed before or beside their ritual, or were begun under a journal since cut."""

    runs: int = 0
    skipped: int = 0
    differences: int = 0


async def replay(
    dsn: str,
    *,
    seal: Seal | None,
    sandboxes: Callable[[int | None], Sandbox],
    found: Callable[[Difference], None],
    progress: Progress,
    practitioner: str | None = None,
    session: str | None = None,
) -> Replayed:
    """Run every ended run again, or one practitioner's, or one.

    ``sandboxes`` makes a sandbox whose runs may use so much fuel (None: as configured).

    Raises StoreDown, UnusableDatabase, BadValue (no such run).
    """
    async with snapshot(dsn, "sangha replay") as connection:
        if session is not None:
            practitioner = await connection.fetchval(statement("ledger/runner"), session)
            if practitioner is None:
                raise BadValue(f"there is no run {session}")
        total = await connection.fetchval(statement("ledger/count_runs"), session, practitioner)
        work = _Replay(connection, seal or UNSEALED, sandboxes, found, session)
        ids = await connection.cursor(statement("ledger/practitioners"), practitioner)
        try:
            progress(0, total)
            while batch := await ids.fetch(BATCH):
                await work.batch(sorted(row["id"] for row in batch), lambda done: progress(done, total))
        finally:
            work.close()
        return work.report


def difference(recorded: Ended, again: Ended) -> str | None:
    """What is not the same; None where all is."""
    if isinstance(recorded, e.RunFailed) or isinstance(again, e.RunFailed):
        same = isinstance(recorded, e.RunFailed) and isinstance(again, e.RunFailed) and recorded.code == again.code
        return None if same else f"it was {_end(recorded)} and is {_end(again)}"
    parts = [name for name in e.RunCompleted.__struct_fields__ if name != "result"]
    names = [name for name in parts if getattr(recorded, name) != getattr(again, name)]
    names += _result_differences(recorded.result, again.result)
    return f"other {', '.join(names)}" if names else None


def _end(ended: Ended) -> str:
    return f"{ended.code} ({ended.message})" if isinstance(ended, e.RunFailed) else "completed"


def _result_differences(recorded: TransformationResult, again: TransformationResult) -> list[str]:
    encode = msgspec.json.encode
    return [
        name
        for name in TransformationResult.__struct_fields__
        if name != "duration_ms" and encode(getattr(recorded, name)) != encode(getattr(again, name))
    ]


class _Replay:
    """Follows journals and runs again what they tell."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        seal: Seal,
        sandboxes: Callable[[int | None], Sandbox],
        found: Callable[[Difference], None],
        session: str | None,
    ) -> None:
        self._connection = connection
        self._seal = seal
        self._sandboxes = sandboxes
        self._sandbox = sandboxes(None)
        self._found = found
        self._session = session
        self._kind = PractitionerKind()
        self._different: list[Difference] = []
        self.report = Replayed()

    def close(self) -> None:
        """Let the sandbox go."""
        self._sandbox.close()

    async def batch(self, ids: Sequence[str], progress: Callable[[int], None]) -> None:
        """``ids`` in the order of their characters."""
        rows = Grouped(self._connection.cursor(statement("ledger/journal"), list(ids), prefetch=PREFETCH))
        for id_ in ids:
            try:
                await self._follow(id_, rows)
            except (CannotUnseal, msgspec.MsgspecError, FormatTooNew) as error:
                self._differs(id_, None, f"the journal cannot be read: {error}")
            while await rows.next(id_) is not None:
                pass
            await self._tell(id_)
            progress(self.report.runs + self.report.skipped)

    async def _follow(self, id_: str, rows: Grouped) -> None:
        state = self._kind.initial(id_)
        due = 1
        while (row := await rows.next(id_)) is not None:
            if row["seq"] != due:
                self._differs(id_, None, f"event {due} of the journal is missing: what follows cannot be repeated")
                return
            due += 1
            event = self._kind.decode_event(row["format"], self._seal.unseal(row["data"], "journal", id_, row["seq"]))
            if isinstance(event, e.RunCompleted | e.RunFailed) and state.run is not None:
                await self._ended(state, state.run, event, Context(entity_id=id_, now=row["at"], next_offset=0))
            state = self._kind.evolve(state, event, row["at"])

    async def _ended(self, state: PractitionerState, run: e.Run, recorded: Ended, context: Context) -> None:
        if self._session not in (None, run.id):
            return
        what = await self._row_difference(run.id, recorded)
        if isinstance(recorded, e.RunFailed) and (recorded.code not in REPEATABLE or not recorded.fuel):
            self.report.skipped += 1
        else:
            self.report.runs += 1
            what = what or await self._run_difference(state, run, recorded, context)
        if what is not None:
            self._differs(state.id, run.id, what)

    def _differs(self, practitioner: str, session: str | None, what: str) -> None:
        self._different.append(Difference(practitioner=practitioner, session=session, what=what))

    async def _tell(self, practitioner: str) -> None:
        """What is not the same; of an account that is being deleted nothing, for it is not whole."""
        different, self._different = self._different, []
        if different and not await is_leaving(self._connection, self._seal, practitioner):
            self.report.differences += len(different)
            for each in different:
                self._found(each)

    async def _run_difference(
        self, state: PractitionerState, run: e.Run, recorded: Ended, context: Context
    ) -> str | None:
        effect = self._kind.agenda(state).effects[effect_id(run)]
        request = values.codec.decode(effect.command)
        if not isinstance(request, RunRequest):
            raise TypeError("a run asks its sandbox for something else")

        async def again(sandbox: Sandbox) -> str | None:
            if not sandbox.has(request.module_hash):
                module = await self._connection.fetchval(statement("ledger/module"), run.ritual)
                if module is None:
                    return "its ritual's module is not there"
                await asyncio.to_thread(sandbox.load, request.module_hash, module)
            outcome = await asyncio.to_thread(sandbox.run, request)
            done = EffectDone(id=effect.id, reply=outcome_codec.encode(outcome))
            (ended,) = self._kind.decide(state, done, context).events
            return difference(recorded, ended)

        try:
            what = await again(self._sandbox)
            return what if what is None else await self._with_fuel(again, recorded)
        except RitualRejected as refusal:
            return refusal.message

    async def _with_fuel(self, again: Callable[[Sandbox], Awaitable[str | None]], recorded: Ended) -> str | None:
        """As under the limit of the time: it took more than is allowed by now, or ended where it was used up."""
        enough = recorded.fuel if isinstance(recorded, e.RunFailed) else 2 * recorded.result.fuel
        sandbox = self._sandboxes(max(1, enough))
        try:
            return await again(sandbox)
        finally:
            sandbox.close()

    async def _row_difference(self, session: str, recorded: Ended) -> str | None:
        row = await self._connection.fetchrow(statement("ledger/run"), session)
        if row is None:
            return "it has no row in ritual_sessions"
        try:
            found = opened(row, "ritual_sessions", self._seal)
        except (CannotUnseal, ValueError) as error:
            return f"its row cannot be opened: {error}"
        if isinstance(recorded, e.RunFailed):
            said = (found["status"], found["error_code"], found["fuel"])
            return None if said == ("failed", recorded.code, recorded.fuel) else f"its row says {said}"
        if (found["status"], found["fuel"]) != ("completed", recorded.result.fuel):
            return f"its row says {found['status']} with {found['fuel']} of fuel"
        result = msgspec.json.decode(msgspec.json.encode(recorded.result))
        return None if found["result"] == result else "its row has another result"
