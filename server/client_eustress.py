"""The ingest client for engines: every change is on disk before anything else, and in the lake exactly once after all.

    async with EustressIngest("http://127.0.0.1:8080", token, "quantum_mechanics", spool="spool") as lake:
        await lake.put_entity({"id": "atom_1", "class_type": "Atom", "position": [0, 0, 0]})
        await lake.put_entity({"id": "electron_1", "class_type": "Particle", "position": [1.0, 2.0, 3.0]})
        await lake.connect("atom_1", "electron_1", "hierarchy", strength=0.9)
        await lake.flush()              # it is committed

A ``put`` returns when its line is in the spool (``server.client_spool``): from then on it outlives the engine, and with
``fsync="always"`` the machine. Whatever is in the spool is sent by a task of its own, in order, as numbered lines of one stream
of the space. The server keeps the number of the last line that it committed, so after any failure sending goes on behind it:
nothing twice, nothing left out. What it committed leaves the disk.

Nothing is sent that a power failure here could take back: else the numbers of what comes later would be taken already.

While the server is away lines wait in the spool. A line that the server will never take stops the sending (``flush`` says why,
puts go on to the disk), or is set aside in ``refused.ndjson``, as ``refused`` says; so does a server that knows less of the
stream than it once committed (it was restored from a backup), as ``behind`` says.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Literal, Self

from actors.runtime.errors import SanghaError
from server import client_eustress_lines as lines
from server.client_events import Backoff, ClientError
from server.client_lake import Lake, LinesRefused, passes, quoted
from server.client_spool import SEGMENT_BYTES, Spool, SpoolFull

log = logging.getLogger(__name__)

SPOOL_BYTES: Final = 2**30
BLOCK_BYTES: Final = 128 * 1024
REQUEST_BYTES: Final = 4 * 2**20
"""Of one request. A proxy that hands on no answer before it has the whole request holds back so much and no more."""
MOST_LINES: Final = 100_000
GROWTH: Final = 8
"""After a failure fewer lines are sent at once, so that a line that cannot be taken is soon alone, and then more again."""
DRAIN_S: Final = 5.0
BACKOFF: Final = Backoff(base_s=0.25, cap_s=15.0)


class ServerBehind(ClientError):
    """The server has fewer lines of the stream than it once committed, and the spool has let go of those between."""

    code = "server_behind"


class ServerAhead(ClientError):
    """The server has more lines of the stream than the spool: another copy of the spool sent them."""

    code = "server_ahead"


class EustressIngest:
    """An engine's way into one space. See the module for its use; all times are in seconds.

    ``spool`` is a directory of this client alone. ``fsync``: "always" (a put has survived a power failure when it returns) or
    how often the disk is told to keep what was put. ``spool_bytes`` bounds the spool; beyond it a put raises SpoolFull or, with
    ``when_full="wait"``, waits for the server. ``on_progress`` is called with this client when its figures change, and
    ``on_warning`` with what the server says of a line that it took; neither may block. Leaving the block waits ``drain_s`` for
    the rest to be committed; what is not stays in the spool for the next time.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        space: str,
        *,
        spool: Path | str,
        fsync: Literal["always"] | float = 1.0,
        spool_bytes: int = SPOOL_BYTES,
        when_full: Literal["raise", "wait"] = "raise",
        refused: Literal["stop", "set_aside"] = "stop",
        behind: Literal["stop", "go_on"] = "stop",
        ssl: SSLContext | bool = True,
        drain_s: float = DRAIN_S,
        backoff: Backoff = BACKOFF,
        on_progress: Callable[[EustressIngest], None] | None = None,
        on_warning: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.space = space
        self.spool = Spool(spool, space, segment_bytes=min(SEGMENT_BYTES, max(1, spool_bytes // 4)))
        self.committed = self.sent = 0
        """Numbers of lines, over the life of the spool."""
        self.refused = 0
        """Lines that were set aside since this client was made."""
        self.warnings = 0
        self.error: SanghaError | None = None
        """Why nothing is sent any more."""
        self.trouble: SanghaError | None = None
        """Why nothing is sent just now."""
        self._lake = Lake(url, token, ssl=ssl)
        self._fsync, self._spool_bytes, self._when_full = fsync, spool_bytes, when_full
        self._when_refused, self._when_behind, self._drain_s, self._backoff = refused, behind, drain_s, backoff
        self._on_progress, self._on_warning = on_progress, on_warning
        self._burst = MOST_LINES
        self._warned = 0  # before this request, whose count is its own
        self._moved = asyncio.Event()
        self._syncing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    # Its life

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.spool.open)
        self.committed = self.sent = self.spool.first - 1
        self.error = self.trouble = None
        await self._lake.__aenter__()
        self._tasks = [asyncio.create_task(self._send_all())]
        if self._fsync != "always":
            self._tasks.append(asyncio.create_task(self._sync_often(self._fsync)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with suppress(TimeoutError):
                await self.flush(timeout_s=self._drain_s if kind is None else 0.0)
        except SanghaError:
            if kind is None:
                raise
        finally:
            await self._close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lake.__aexit__(None, None, None)
        async with self._syncing:
            await asyncio.to_thread(self.spool.close)

    # What an engine says

    async def put_entity(self, entity: Mapping[str, Any]) -> int:
        """An entity came or changed: the whole of it, as in the seed. Answers the number of its line, as all of these do.

        Raises Invalid, TooLarge for what the lake cannot hold; SpoolFull; OSError where the disk does not take it.
        """
        return await self.put_line(lines.entity(entity))

    async def connect(
        self,
        source_id: str,
        target_id: str,
        connection_type: str = "hierarchy",
        *,
        strength: float = 1.0,
        label: str | None = None,
    ) -> int:
        """A connection came or changed. Of a "hierarchy" the source is the parent."""
        fields: dict[str, Any] = {} if label is None else {"label": label}
        fields |= {"source_id": source_id, "target_id": target_id, "connection_type": connection_type}
        return await self.put_line(lines.connection(fields | {"strength": strength}))

    async def set_parameter(self, entity_id: str, name: str, value: Any) -> int:
        """One parameter of an entity changed."""
        return await self.put_line(
            lines.parameter({"entity_id": entity_id, "parameter_name": name, "value": value}),
        )

    async def remove_parameter(self, entity_id: str, name: str) -> int:
        """One parameter of an entity is gone."""
        return await self.put_line(
            lines.parameter({"entity_id": entity_id, "parameter_name": name, "remove": True}),
        )

    async def remove_entity(self, entity_id: str) -> int:
        """An entity is gone, and its connections with it."""
        return await self.put_line(lines.removed_entity(entity_id))

    async def remove_connection(self, source_id: str, target_id: str, connection_type: str = "hierarchy") -> int:
        """A connection is gone."""
        fields = {"source_id": source_id, "target_id": target_id, "connection_type": connection_type}
        return await self.put_line(lines.removed_connection(fields))

    async def put_line(self, line: bytes) -> int:
        """A line of ``actors.eustress.values.Line`` as JSON without newlines, which was checked before."""
        while self.spool.bytes + len(line) > self._spool_bytes:
            await self._wait_for_room()
        number = self.spool.append(line)
        self._move()
        if self.spool.segment_full:
            await self._seal()
        if self._fsync == "always":
            await self._sync(number)
        return number

    async def flush(self, timeout_s: float | None = None) -> int:
        """Wait until all that was put is committed; the number of its last line.

        Raises TimeoutError, and what stopped the sending (``error``).
        """
        number = self.spool.last
        async with asyncio.timeout(timeout_s):
            while self.committed < number:
                if self.error is not None:
                    raise self.error
                await self._moved.wait()
        return number

    async def snapshot(self, timeout_s: float | None = None) -> str:
        """A snapshot of the space with all that was put before; its id. Raises as ``flush`` does, and the server's errors."""
        key, attempt = str(uuid.uuid4()), 0
        async with asyncio.timeout(timeout_s):
            await self.flush()
            while True:
                try:
                    told = await self._lake.ask("POST", f"/eustress/ingest/snapshot/{quoted(self.space)}", key=key)
                except SanghaError as failure:
                    if not passes(failure):
                        raise
                    await asyncio.sleep(self._delay_s(failure, attempt))
                    attempt += 1
                else:
                    return str(told["snapshot_id"])

    @property
    def spooled_bytes(self) -> int:
        """On disk, of lines that the server may not have yet."""
        return self.spool.bytes

    @property
    def pending(self) -> int:
        """Lines that are not committed yet, as far as is known."""
        return self.spool.last - self.committed

    # The disk

    async def _wait_for_room(self) -> None:
        if self._when_full == "raise" or self.error is not None:
            why = self.error or self.trouble
            raise SpoolFull(
                f"the spool {self.spool.path} has its {self._spool_bytes:,} bytes, {self.pending:,} lines of which the server"
                f" has not taken yet" + (f" ({why})" if why is not None else "")
            )
        await self._moved.wait()

    async def _sync(self, number: int) -> None:
        """Lines up to a number are on the disk afterwards. All who wait for that meanwhile share one fsync."""
        async with self._syncing:
            if self.spool.synced < number:
                await asyncio.to_thread(self.spool.sync)

    async def _sync_often(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self._sync(self.spool.last)

    async def _seal(self) -> None:
        async with self._syncing:
            if self.spool.segment_full:
                await asyncio.to_thread(self.spool.sync)
                self.spool.seal()

    # The sending

    async def _send_all(self) -> None:
        attempt = 0
        while True:
            before = self.committed
            try:
                await self._send_from_cursor()
            except SanghaError as failure:
                attempt = 0 if self.committed > before else attempt + 1
                try:
                    delay_s = await self._after(failure, attempt)
                except (SanghaError, OSError) as final:
                    return self._stop(final)
            except OSError as failure:  # of the disk: the transport's are ConnectionLost
                return self._stop(failure)
            await asyncio.sleep(delay_s)

    async def _send_from_cursor(self) -> None:
        self._at(self.spool.state.offset + await self._lake.cursor(self.space, self.spool.state.stream))
        while True:
            while self.spool.last == self.committed:
                await self._moved.wait()
            first, self._warned = self.committed + 1 - self.spool.state.offset, self.warnings
            await self._lake.send(self.space, self.spool.state.stream, first, self._body(self.committed), self._heard)
            self.trouble, self._burst = None, min(MOST_LINES, self._burst * GROWTH)
            self._move()

    async def _body(self, after: int) -> AsyncIterator[bytes]:
        """The lines that follow, as long as there are any: who has few gets an answer soon."""
        room, most = REQUEST_BYTES, self._burst
        while room > 0 and most > 0 and after < self.spool.last:
            if self.spool.synced <= after:
                await self._sync(after + 1)
            some = self.spool.read(after, most_bytes=min(room, BLOCK_BYTES), most_lines=most)
            block = b"\n".join(some) + b"\n"
            after, room, most = after + len(some), room - len(block), most - len(some)
            self.sent = max(self.sent, after)
            yield block

    def _heard(self, told: Mapping[str, Any]) -> None:
        for warning in told.get("warnings", ()):
            if self._on_warning is not None:
                self._on_warning(warning)
        self.warnings = self._warned + told.get("warning_count", 0)
        self._at(self.spool.state.offset + told["cursor"])

    def _at(self, number: int) -> None:
        """The server has committed the lines up to this one."""
        if number > self.spool.last:
            raise ServerAhead(
                f"the server has {number - self.spool.last:,} lines more of the stream {self.spool.state.stream} than the spool"
                f" {self.spool.path}: was the spool copied, or put back from a backup? Begin a new one"
            )
        if number < self.spool.first - 1:
            raise ServerBehind(
                f"the server has lines up to {number:,} of the stream {self.spool.state.stream}, and once had more: the spool"
                f" {self.spool.path} has let go of all before {self.spool.first:,}. Was the database put back from a backup?"
                f' Send those again and go on (behind="go_on")'
            )
        self.committed = number
        self.sent = max(self.sent, number)
        self.spool.forget(number)
        self._move()

    async def _after(self, failure: SanghaError, attempt: int) -> float:
        """How long to wait before the next attempt. Raises the failure where there is none."""
        alone, self._burst = self._burst == 1, max(1, self._burst // GROWTH)
        if isinstance(failure, LinesRefused):
            self._burst = 1
            if alone and self._when_refused == "stop":
                raise failure.at(self.committed + 1)
            if alone:
                await self._set_aside(failure)
            return 0.0
        if isinstance(failure, ServerBehind) and self._when_behind == "go_on":
            log.warning("%s; going on", failure)
            self._restart(self.spool.first - 1)
            return 0.0
        if not passes(failure):
            raise failure
        if self.trouble is None:
            log.warning("the lake cannot be written to, changes wait in the spool: %s", failure)
        self.trouble = failure
        self._move()
        return self._delay_s(failure, attempt)

    def _delay_s(self, failure: SanghaError, attempt: int) -> float:
        return max(failure.retry_after_s or 0.0, self._backoff.delay_s(attempt, random.random()))

    async def _set_aside(self, failure: SanghaError) -> None:
        number = self.committed + 1
        log.warning("line %d is set aside in %s: %s", number, self.spool.path / "refused.ndjson", failure)
        await self._sync(number)
        self.spool.set_aside(number, failure)
        self._restart(number)
        self.refused += 1

    def _restart(self, after: int) -> None:
        """Go on behind a line, in a stream of its own: the numbers of the old one are not to be had."""
        self.spool.restart(after)
        self.committed = after
        self._move()

    def _stop(self, why: SanghaError | OSError) -> None:
        self.error = why if isinstance(why, SanghaError) else ClientError(f"the spool {self.spool.path}: {why}")
        log.error("nothing is sent to the lake any more, changes wait in the spool: %s", self.error)
        self._move()

    def _move(self) -> None:
        """Everyone who waits looks again."""
        self._moved.set()
        self._moved = asyncio.Event()
        if self._on_progress is not None:
            self._on_progress(self)
