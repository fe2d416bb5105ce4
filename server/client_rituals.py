"""What a client with an account asks about its own archetypal state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Any


class RitualRequests(ABC):
    """The requests about rituals and one's own state, in terms of ``request``; all raise what it raises.

    A guest has no state: the server answers Forbidden.
    """

    @abstractmethod
    async def request(self, type_: str, /, *, timeout_s: float | None = None, **fields: Any) -> Any:
        """Any request of the protocol; its result."""

    async def run_ritual(
        self,
        ritual: str,
        *,
        intention: str = "",
        parameters: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Run a ritual, by id or name, on one's state: the TransformationResult once it has ended.

        Raises RitualFailed, RitualRejected, Conflict while another one is under way; then the state is as it was.
        """
        result: dict[str, Any] = await self.request(
            "ritual.run", timeout_s=timeout_s, ritual=ritual, intention=intention, parameters=dict(parameters or {})
        )
        return result

    async def archetypal_state(self) -> dict[str, Any]:
        """``{archetypal_state, state_id, state_hash, version, under_way}``."""
        state: dict[str, Any] = await self.request("state.get")
        return state

    async def transform(self, transformation_type: str, **parameters: Any) -> dict[str, Any]:
        """Change the state by one's own hand: ``transform("archetype_activation", archetype="Sage", strength=0.6)``."""
        changed: dict[str, Any] = await self.request(
            "state.transform", transformation_type=transformation_type, parameters=parameters
        )
        return changed

    async def state_history(self, *, page: int = 100) -> AsyncIterator[dict[str, Any]]:
        """Every version of the state, newest first, page by page."""
        before: dict[str, Any] = {}
        while True:
            states = (await self.request("state.history", limit=page, **before))["states"]
            for state in states:
                yield state
            if len(states) < page:
                return
            before = {"before": states[-1]["id"]}

    async def reflect(self, session_id: str | None = None, *, timeout_s: float | None = None) -> dict[str, Any]:
        """What the oracle says of the state, or of a run of one's own."""
        run = {} if session_id is None else {"session_id": session_id}
        insight: dict[str, Any] = await self.request("state.reflection", timeout_s=timeout_s, **run)
        return insight
