"""``EustressIngest`` for engines without asyncio: the same, in a thread of its own.

    with EustressIngestThread("http://127.0.0.1:8080", token, "quantum_mechanics", spool="spool") as lake:
        lake.put_entity({"id": "atom_1", "class_type": "Atom"})

May be called from any thread; each call blocks until it is done, a put for as long as writing to the spool takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from server.client_eustress import EustressIngest

Answer = TypeVar("Answer")


class EustressIngestThread:
    """Takes what ``EustressIngest`` takes, and raises what that raises. ``ingest`` has the figures."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._arguments, self._options = arguments, options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="eustress ingest", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.ingest = self._call(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call(self.ingest.__aexit__(kind, error, trace))
        finally:
            self._end()

    async def _open(self) -> EustressIngest:
        return await EustressIngest(*self._arguments, **self._options).__aenter__()

    def _call(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def put_entity(self, entity: Mapping[str, Any]) -> int:
        """An entity came or changed."""
        return self._call(self.ingest.put_entity(entity))

    def connect(self, source_id: str, target_id: str, connection_type: str = "hierarchy", **fields: Any) -> int:
        """A connection came or changed: ``strength``, ``label``."""
        return self._call(self.ingest.connect(source_id, target_id, connection_type, **fields))

    def set_parameter(self, entity_id: str, name: str, value: Any) -> int:
        """One parameter of an entity changed."""
        return self._call(self.ingest.set_parameter(entity_id, name, value))

    def remove_parameter(self, entity_id: str, name: str) -> int:
        """One parameter of an entity is gone."""
        return self._call(self.ingest.remove_parameter(entity_id, name))

    def remove_entity(self, entity_id: str) -> int:
        """An entity is gone."""
        return self._call(self.ingest.remove_entity(entity_id))

    def remove_connection(self, source_id: str, target_id: str, connection_type: str = "hierarchy") -> int:
        """A connection is gone."""
        return self._call(self.ingest.remove_connection(source_id, target_id, connection_type))

    def flush(self, timeout_s: float | None = None) -> int:
        """Wait until all that was put is committed."""
        return self._call(self.ingest.flush(timeout_s))

    def snapshot(self, timeout_s: float | None = None) -> str:
        """A snapshot with all that was put before; its id."""
        return self._call(self.ingest.snapshot(timeout_s))
