"""What a client follows: a space that it is in, or a Eustress space, with its state, its pushes, what can be asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from actors.runtime.errors import SanghaError
from server.client_events import Event
from server.client_inbox import Inbox

if TYPE_CHECKING:
    from server.client import Client

LEAVE_TIMEOUT_S: Final = 2.0
"""How long the end of a ``join`` waits for the server to take note; a server that is away takes note by its own alarm."""


class Followed:
    """A stream that we follow: its state, and its pushes as an async iterator.

    ``state`` is the snapshot from which the stream begins (None where ``after`` asked for a replay), renewed where the
    iterator gives a "snapshot" event. Iterating ends with the error that ended the stream, or quietly after leaving.
    """

    kind: ClassVar[str]
    leaves: ClassVar[str]
    """The request that ends it."""

    def __init__(self, client: Client, space: str, *, after: int | None, inbox: Inbox, leave: bool = True) -> None:
        self.space = space
        """Its id, once followed; what was asked for before."""
        self.state: Any = None
        self.offset: int | None = after
        """The offset of what the iterator gave last."""
        self._client, self._inbox, self._leave = client, inbox, leave

    @property
    def ended(self) -> bool:
        """Nothing more will come: it was left, or an error ended it (which iterating raises)."""
        return self._inbox.ended

    async def __aenter__(self) -> Self:
        replay = self.offset is not None
        try:
            self.space = await self._client.follow(self.space, self._inbox, after=self.offset, kind=self.kind)
            while not replay and self.offset is None and (event := await self._inbox.next()) is not None:
                self._take(event)
        except BaseException:
            self._client.unfollow(self._inbox)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.unfollow(self._inbox)
        if self._leave and self._client.state != "stopped":
            with suppress(SanghaError, TimeoutError):  # not a member any more, or nobody to tell: left either way
                await self._client.request(self.leaves, timeout_s=LEAVE_TIMEOUT_S, space=self.space)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._inbox.next()) is not None:
            self._take(event)
            yield event

    def _take(self, event: Event) -> None:
        if event.event == "snapshot":
            self.state = event.body
        if event.offset is not None:
            self.offset = event.offset


class Stream(Followed):
    """A space that we are in."""

    kind, leaves = "space", "space.leave"

    async def send(self, body: Any, *, timeout_s: float | None = None) -> int:
        """Say something to everyone in the space; its offset, once it is durable."""
        result = await self._client.request("space.send", timeout_s=timeout_s, space=self.space, body=body)
        return int(result["offset"])

    async def begin_ritual(
        self,
        ritual: str,
        *,
        intention: str = "",
        parameters: Mapping[str, Any] | None = None,
        starts_in_s: float | None = None,
        at: datetime | None = None,
        opening_s: float | None = None,
        integration_s: float | None = None,
    ) -> dict[str, Any]:
        """Begin a group ritual (a ritual's id or name), which opens ``starts_in_s`` from now (the server's default: 10) or at a
        time: what is planned, with its ``ritual_run`` and ``starts_at``. The facilitator's. What happens comes as events."""
        times = {"starts_in_s": starts_in_s, "at": at, "opening_s": opening_s, "integration_s": integration_s}
        fields: dict[str, Any] = {name: value for name, value in times.items() if value is not None}
        begun: dict[str, Any] = await self._client.request(
            "space.ritual.begin",
            space=self.space,
            ritual=ritual,
            intention=intention,
            parameters=dict(parameters or {}),
            **fields,
        )
        return begun

    async def abort_ritual(self, ritual_run: str | None = None) -> Any:
        """End the group ritual, or take back the scheduled one that is named. The facilitator's."""
        named: dict[str, Any] = {} if ritual_run is None else {"ritual_run": ritual_run}
        return await self._client.request("space.ritual.abort", space=self.space, **named)

    async def ritual(self) -> dict[str, Any]:
        """``{current, last, scheduled}`` of the space's group rituals."""
        known: dict[str, Any] = await self._client.request("space.ritual.get", space=self.space)
        return known

    async def pulse(self, phase_rad: float) -> bool:
        """Tell one's phase. False where it was lost on the way: a stale phase is not sent again."""
        return await self._client.pulse(self.space, phase_rad)


class SceneStream(Followed):
    """A Eustress space that we watch. ``state`` has its figures."""

    kind, leaves = "eustress", "eustress.unsubscribe"

    async def ingest(self, **items: Any) -> dict[str, Any]:
        """Changes of its scene; see ``Client.eustress_ingest``."""
        return await self._client.eustress_ingest(self.space, **items)
