"""What a client with a service token (or of the local user) asks of the Eustress lake over its session."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from server.client_stream import SceneStream


class SceneRequests(ABC):
    """The requests of Eustress spaces. A practitioner's own login is answered Forbidden."""

    @abstractmethod
    async def request(self, type_: str, /, *, timeout_s: float | None = None, **fields: Any) -> Any:
        """Any request of the protocol; its result."""

    @abstractmethod
    def eustress_subscribe(
        self, space: str, *, after: int | None = None, queue_events: int | None = None
    ) -> SceneStream:
        """An ``async with`` for watching a Eustress space, by name. ``after`` replays from that offset instead of a snapshot.

        Its events are ``changed``, ``snapshot_taken``, ``policy`` and ``epoch``, and ``snapshot`` where it starts over.
        """

    async def eustress_unsubscribe(self, space: str) -> None:
        """Watch it no longer; the end of ``async with`` does that by itself."""
        await self.request("eustress.unsubscribe", space=space)

    async def eustress_ingest(
        self,
        space: str,
        *,
        entities: Sequence[Mapping[str, Any]] = (),
        connections: Sequence[Mapping[str, Any]] = (),
        parameters: Sequence[Mapping[str, Any]] = (),
        removed_connections: Sequence[Mapping[str, Any]] = (),
        removed_entities: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Changes of a scene, all or none: ``{version, accepted, snapshot_id, warnings, …}`` once they are committed.

        Raises OutcomeUnknown where the session went meanwhile (it does not where it is resumed), TooLarge where the batch is
        larger than a frame: more at once goes over HTTP.
        """
        fields = {
            "entities": entities,
            "connections": connections,
            "parameters": parameters,
            "removed_connections": removed_connections,
            "removed_entities": removed_entities,
        }
        given = {name: list(items) for name, items in fields.items() if items}
        ingested: dict[str, Any] = await self.request("eustress.ingest", timeout_s=timeout_s, space=space, **given)
        return ingested
