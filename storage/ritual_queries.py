"""What a gateway reads of rituals, states, runs and insights: newest first, paged, unsealed.

Always: whose rows they are is part of the query, so nobody reads another's. Ids come as text, times as datetimes, numerics
as floats, JSON decoded. ``before`` is the id of the last row of the page before. Every method
raises StoreDown, BadValue for an id that is not one, CannotUnseal where a row was sealed with a key that we do not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg

from actors.practitioner.archetypal_state import NAMES, STRENGTHS
from storage.pool import BadValue, LazyConnection
from storage.rows import UNSEALED, opened, opened_json
from storage.seal import Seal
from storage.statements import statement

ORDERS: Final = ("newest", "rating", "use")
CANDIDATES: Final = 20
"""Of one name: a built-in one or one's own comes first, and two of others' are too many already."""


class RitualQueries:
    """The part of ``storage.queries.Queries`` that reads the tables of rituals."""

    def __init__(self, reader: LazyConnection, seal: Seal | None) -> None:
        self._reader = reader
        self._unseal: Seal = seal or UNSEALED

    async def catalog(
        self,
        viewer: str | None,
        limit: int,
        before: str | None = None,
        tradition: str | None = None,
        difficulty: str | None = None,
        q: str | None = None,
        mine: bool = False,
        order: str = "newest",
    ) -> list[dict[str, Any]]:
        """Rituals that the viewer may run, without their modules: the public ones and their own; only those where ``mine``.

        Withdrawn ones are in nobody's. ``q`` is a text somewhere in name, description or intent. ``order`` is one of
        ``ORDERS``, ``before`` belongs to the same one; a ritual that is used or rated between two pages may be seen twice or
        not at all.
        """
        if order not in ORDERS:
            raise BadValue(f"no order {order!r}: one of {', '.join(ORDERS)}")
        pattern = None if not q else f"%{literal(q)}%"
        rows = await self._reader.fetch(
            statement("queries/catalog"), viewer, limit, before, tradition, difficulty, pattern, mine, order
        )
        return [_plain(row) for row in rows]

    async def ritual_by_name(self, viewer: str | None, name: str) -> list[dict[str, Any]]:
        """``{id, author_id, builtin, is_public}`` of what the name may mean to the viewer: built-in ones, then their own,
        newest first, then others' public ones; at most ``CANDIDATES``."""
        rows = await self._reader.fetch(statement("queries/ritual_by_name"), viewer, name, CANDIDATES)
        return [_plain(row) for row in rows]

    async def count_rituals(self, author: str) -> int:
        """How many rituals they uploaded and did not withdraw."""
        row = await self._reader.fetchrow(statement("queries/count_rituals"), author)
        return 0 if row is None else int(row["count"])

    async def states(self, practitioner: str, limit: int, before: str | int | None = None) -> list[dict[str, Any]]:
        """``{id, version, state, state_hash, prev_hash, origin, session_id, created_at}``, the highest version first.

        ``before`` may be a state's id or its version.
        """
        number = isinstance(before, int) or (before is not None and before.isascii() and before.isdigit())
        version, state_id = (int(before or 0), None) if number else (None, before)
        rows = await self._reader.fetch(statement("queries/states"), practitioner, limit, version, state_id)
        states = [self._opened(row, "archetypal_states") for row in rows]
        return [state | {"state": _in_order(state.pop("state_data"))} for state in states]

    async def runs(
        self, practitioner: str, limit: int, before: str | None = None, ritual: str | None = None
    ) -> list[dict[str, Any]]:
        """Runs with their notes and ratings, and ``ritual_name``; also those under way and those that failed."""
        rows = await self._reader.fetch(statement("queries/runs"), practitioner, limit, before, ritual)
        return [self._opened(row, "ritual_sessions") for row in rows]

    async def run(self, practitioner: str, session_id: str) -> dict[str, Any] | None:
        """One run as ``runs`` has it, with ``result``, ``pre_state`` and ``post_state`` (None: there is none)."""
        row = await self._reader.fetchrow(statement("queries/run"), practitioner, session_id)
        if row is None:
            return None
        run = self._opened(row, "ritual_sessions")
        for name in ("pre_state", "post_state"):
            run[name] = opened_json(run[name], "archetypal_states", "state_data", str(run[f"{name}_id"]), self._unseal)
        return run

    async def newest_run(self, practitioner: str, ritual: str) -> str | None:
        """The id of the run of the ritual that they completed last."""
        row = await self._reader.fetchrow(statement("queries/newest_run"), practitioner, ritual)
        return None if row is None else str(row["id"])

    async def insights(
        self, practitioner: str, session: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """What the oracle told them; of one run only where ``session`` is given."""
        rows = await self._reader.fetch(statement("queries/insights"), practitioner, limit, before, session)
        return [self._opened(row, "oracle_insights") for row in rows]

    def _opened(self, row: asyncpg.Record, table: str) -> dict[str, Any]:
        return opened(_plain(row), table, self._unseal)


def literal(text: str) -> str:
    """The text as a LIKE pattern that matches itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _plain(row: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in dict(row).items()}


def _in_order(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state's parts as they are told everywhere else: jsonb orders them by length."""
    return {part: state[part] for part in (*STRENGTHS, *NAMES) if part in state}
