"""The Python client: a WebSocket session that reconnects, resumes and retries, so that its user does not have to.

    async with Client("http://127.0.0.1:8080", guest="Ana") as client:
        await client.create_space("Morning circle", purpose="breath", access_level="open", slug="morning")
        async with client.join("morning") as stream:      # stream.state: the snapshot
            await stream.send({"text": "hello"})
            async for event in stream:                     # numbered events once and in order, presence as it comes
                print(event.offset, event.sender, event.body)

A thin shell around ``server/client_state.py``, which decides everything; here are the socket, the clock and the queues.

Memory is bounded: a stream's queue that is full pauses reading (the server then sees a slow socket), unless somebody waits
for a reply, which would never come if we did not read; past a hard limit the stream ends with Overflow.
Rejected: pausing always. A consumer that answers each event with a request would wait for itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from ssl import SSLCertVerificationError, SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from actors.runtime.errors import Conflict, SanghaError
from server.client_epochs import Epochs
from server.client_eustress import EustressIngest
from server.client_eustress_thread import EustressIngestThread
from server.client_events import (
    Backoff,
    ConnectionLost,
    Delivered,
    Ended,
    Event,
    Failed,
    HangUp,
    Opened,
    Output,
    Phase,
    Resolved,
    Send,
    Tuned,
)
from server.client_http import http_url, login, put_archetypal_state, register, ws_url
from server.client_inbox import Inbox
from server.client_rituals import RitualRequests
from server.client_scenes import SceneRequests
from server.client_sound import Listening, SoundInbox
from server.client_state import FOLLOWS, ClientState, space_id
from server.client_stream import SceneStream, Stream
from server.sound.frames import Name, is_frame, unpack

if TYPE_CHECKING:
    from server.client_samples import EpochReader

__all__ = [
    "Client",
    "EpochReader",
    "Epochs",
    "EustressIngest",
    "EustressIngestThread",
    "Stream",
    "http_url",
    "login",
    "put_archetypal_state",
    "register",
    "ws_url",
]


def __getattr__(name: str) -> Any:
    if name == "EpochReader":  # with it comes pyarrow: 50 MB, and most clients read no files
        from server.client_samples import EpochReader

        return EpochReader
    raise AttributeError(name)


MAX_FRAME_BYTES: Final = 16 * 2**20
"""The server cuts what it sends well below 8 MiB; more is not a snapshot but a mistake."""
QUEUE_EVENTS: Final = 1024
PINGS: Final = 5
"""Round trips to measure the clock by: among five, one that met no hiccup."""
FIRST_PING_S: Final = 1.0
"""For an answer to the first ping of all; without one our own clock has to do."""
MEASURE_AHEAD_S: Final = 2.0
"""So long before a meeting the clock is measured: crystals drift apart by microseconds in that time."""
CONNECT_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0


class Client(RitualRequests, SceneRequests):
    """A session with a server, for as long as the ``async with`` lasts. See the module for its use.

    ``token``, ``guest`` or ``local`` (the local user) says who comes. ``give_up_after_s`` bounds how long it tries to
    (re)connect (None: for ever); after that, and after a refusal that trying again cannot change, everything raises that error
    and ``state`` is "stopped". ``ssl`` is a context for wss. ``ping_interval_s`` is how often latency and the server's clock are
    measured (None: the server's heartbeat). ``source`` is a local (address, port) to connect from.
    """

    def __init__(
        self,
        url: str,
        *,
        guest: str | None = None,
        token: str | None = None,
        local: bool = False,
        ssl: SSLContext | None = None,
        give_up_after_s: float | None = None,
        ping_interval_s: float | None = None,
        backoff: Backoff | None = None,
        queue_events: int = QUEUE_EVENTS,
        on_state: Callable[[str], None] | None = None,
        on_own_event: Callable[[Event], None] | None = None,
        source: tuple[str, int] | None = None,
    ) -> None:
        if (guest is not None) + (token is not None) + local != 1:
            raise ValueError("either a guest's name, or a token, or the local user")
        self.url = ws_url(url)
        self.on_state = on_state
        """Called with the new ``state`` whenever it changes; must not block."""
        self.on_own_event = on_own_event
        """Called with what concerns this practitioner alone (an invitation); must not block."""
        given = {"token": token, "guest": guest}
        self._credentials = {name: value for name, value in given.items() if value is not None}
        self._options = {"give_up_after_s": give_up_after_s, "ping_interval_s": ping_interval_s}
        self._backoff, self._queue_events = backoff, queue_events
        self._connect: dict[str, Any] = {"ssl": ssl} if ssl is not None else {}
        if source is not None:
            self._connect["local_addr"] = source
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._joining: dict[int, Inbox] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._sounds: dict[int, SoundInbox] = {}  # by the number in their frames
        self._outgoing: deque[str] = deque()
        self._can_write, self._hung_up, self._may_read = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._moved = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._runner: asyncio.Task[None] | None = None
        self._said = "connecting"

    # Life

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._core = ClientState(
            self._credentials,
            jitter=random.random,
            now=self._loop.time(),
            backoff=self._backoff,
            **self._options,
        )
        self._runner = self._loop.create_task(self._run())
        try:
            await self._until_connected()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _until_connected(self) -> None:
        while self._core.phase is not Phase.CONNECTED:
            if self._core.error is not None:
                raise self._core.error
            self._moved.clear()
            await self._moved.wait()

    async def close(self) -> None:
        """End the session's connection. Requests without an answer fail; streams end."""
        self._core.stop(ConnectionLost("the client is closed"))
        self._apply()
        if self._runner is not None:
            await self._runner

    # What a user asks

    @property
    def state(self) -> str:
        """ "connecting" (first time), "connected", "reconnecting" or "stopped"."""
        if self._core.phase in (Phase.CONNECTED, Phase.STOPPED):
            return self._core.phase.value
        return "reconnecting" if self._core.ever_connected else "connecting"

    @property
    def practitioner(self) -> Mapping[str, Any]:
        """Who we are, as the server says."""
        return self._core.practitioner

    @property
    def limits(self) -> Mapping[str, Any]:
        """The server's limits that bind us."""
        return self._core.limits

    @property
    def latency_ms(self) -> float | None:
        """Round trip of the newest ping, in milliseconds; None before the first."""
        return self._core.clock[-1].round_trip_s * 1000 if self._core.clock else None

    @property
    def clock_offset_s(self) -> float | None:
        """The server's clock minus ours in seconds, known to within half the shortest round trip; None before a ping."""
        sample = self._core.clock_sample
        return None if sample is None else sample.offset_s + self._loop.time() - time.time()

    def server_time(self) -> datetime | None:
        """The server's time now, as well as it is known; a group ritual starts at one."""
        sample = self._core.clock_sample
        return None if sample is None else datetime.fromtimestamp(sample.offset_s + self._loop.time(), UTC)

    async def measure_clock(self, pings: int = PINGS) -> None:
        """Ping a few times, one after another: the shortest round trip is what the server's clock is known by."""
        for _ in range(pings):
            await self.request("ping")

    async def until(self, server_time: datetime | str) -> float:
        """Wait for a time of the server's, such as a group ritual's ``starts_at``; how late that was noticed, in seconds.

        The clock is measured anew shortly before, so two clients meet within half of their shortest round trips. Where no
        ping was ever answered our own clock has to do.
        """
        due = datetime.fromisoformat(server_time) if isinstance(server_time, str) else server_time
        if self._core.clock_sample is None:
            with suppress(TimeoutError):
                await self.request("ping", timeout_s=FIRST_PING_S)
        await asyncio.sleep(self._remaining_s(due) - MEASURE_AHEAD_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._remaining_s(due) / 2)):
                await self.measure_clock()
        while (remaining_s := self._remaining_s(due)) > 0:  # noqa: ASYNC110 - it is time itself that is waited for
            await asyncio.sleep(remaining_s)
        return -remaining_s

    def _remaining_s(self, due: datetime) -> float:
        return (due - (self.server_time() or datetime.now(UTC))).total_seconds()

    async def request(self, type_: str, /, *, timeout_s: float | None = None, **fields: Any) -> Any:
        """Any request of the protocol; its result. It survives reconnects and retries what the server calls retryable.

        Raises the server's error (``actors.runtime.errors``), a ClientError, or TimeoutError after ``timeout_s``; after a
        timeout or a cancellation the request may or may not have been done.
        """
        async with asyncio.timeout(timeout_s):
            return await self._ask(type_, fields)

    async def create_space(self, name: str, *, purpose: str, **fields: Any) -> dict[str, Any]:
        """A new space: ``slug``, ``tradition``, ``participant_limit``, ``access_level`` …; the space, with its ``id``."""
        space: dict[str, Any] = await self.request("space.create", name=name, purpose=purpose, **fields)
        return space

    def join(
        self, space: str, *, after: int | None = None, queue_events: int | None = None, leave: bool = True
    ) -> Stream:
        """An ``async with`` for being in a space (UUID or slug). ``after`` replays from that offset instead of a snapshot;
        ``leave=False`` stays a participant when the block ends."""
        return Stream(self, space, after=after, inbox=self._inbox(queue_events), leave=leave)

    def eustress_subscribe(
        self, space: str, *, after: int | None = None, queue_events: int | None = None
    ) -> SceneStream:
        """An ``async with`` for watching a Eustress space; see ``SceneRequests``."""
        return SceneStream(self, space, after=after, inbox=self._inbox(queue_events))

    def listen(self, session: str, *, codec: Name = "pcm", spectrum: bool = False) -> Listening:
        """An ``async with`` for listening to an audio session (its UUID): frames as an async iterator, see ``Listening``."""
        return Listening(self, session, codec, spectrum=spectrum)

    def _inbox(self, queue_events: int | None) -> Inbox:
        return Inbox(queue_events or self._queue_events, self._may_read.set)

    async def pulse(self, space: str, phase_rad: float) -> bool:
        """Tell one's phase in radians. False where it was lost on the way: a stale phase is not sent again."""
        try:
            await self._ask("space.pulse", {"space": space, "phase_rad": phase_rad}, lossy=True)
        except ConnectionLost:
            if self.state == "stopped":
                raise
            return False
        return True

    async def history(self, stream: str, *, after: int = 0, limit: int = 500) -> AsyncIterator[dict[str, Any]]:
        """All numbered events of a stream ("space:UUID") after an offset, oldest first, page by page."""
        more = True
        while more:
            page = await self.request("history", stream=stream, after=after, limit=limit)
            for event in page["events"]:
                after = event["offset"]
                yield event
            more = page["more"] and bool(page["events"])

    def give_up_after(self, seconds: float | None) -> None:
        """Change how long a reconnect is tried (None: for ever)."""
        self._core.give_up_after_s = seconds

    # Requests and streams

    async def follow(
        self,
        space: str,
        inbox: Inbox,
        *,
        after: int | None = None,
        kind: str = "space",
        fields: Mapping[str, Any] | None = None,
    ) -> str:
        """Join a space, subscribe to a Eustress space, listen to an audio session, all its pushes to the inbox; its id. ``join``
        is the comfortable form. ``fields``: of the request, where they are not ``space`` and ``after``.

        Raises Conflict where this client follows it already.
        """
        if fields is not None and f"{kind}:{space}" in self._inboxes:  # asked again it would begin again, for the other
            raise Conflict(f"this client listens to {space} already")
        asked = {"space": space} | ({} if after is None else {"after": after}) if fields is None else fields
        result = await self._ask(FOLLOWS[kind], asked, inbox=inbox)
        space = space_id(result)
        if self._inboxes.get(f"{kind}:{space}", inbox) is not inbox:
            raise Conflict(f"this client is in {space} already")
        return space

    def unfollow(self, inbox: Inbox) -> None:
        """Nothing more for the inbox. The space is not left."""
        for name in [name for name, mine in self._inboxes.items() if mine is inbox]:
            del self._inboxes[name]
            self._core.unfollow(name)
        self._sounds = {number: sound for number, sound in self._sounds.items() if sound is not inbox}
        inbox.end(None)
        self._may_read.set()

    async def _ask(
        self, type_: str, fields: Mapping[str, Any], *, lossy: bool = False, inbox: Inbox | None = None
    ) -> Any:
        handle = self._core.submit(type_, fields, self._loop.time(), lossy=lossy)
        future = self._waiting[handle] = self._loop.create_future()
        if inbox is not None:
            self._joining[handle] = inbox
        self._may_read.set()
        self._apply()
        try:
            return await future
        finally:
            self._waiting.pop(handle, None)
            self._joining.pop(handle, None)
            self._core.forget(handle, self._loop.time())
            self._apply()

    # Performing what the core says

    def _apply(self) -> None:
        for output in self._core.take():
            self._perform(output)
        self._arm()
        if self._said != self.state:
            self._said = self.state
            if self.on_state is not None:
                self.on_state(self._said)
        self._moved.set()

    def _perform(self, output: Output) -> None:
        match output:
            case Send(frame):
                self._outgoing.append(frame)
                self._can_write.set()
            case Resolved(handle, result):
                self._settle(handle, result, None)
            case Failed(handle, error):
                self._settle(handle, None, error)
            case HangUp():
                self._hung_up.set()
            case Opened() | Tuned() | Delivered() | Ended():
                self._route(output)

    def _route(self, output: Opened | Tuned | Delivered | Ended) -> None:
        match output:
            case Opened(handle, name):
                if (inbox := self._joining.pop(handle, None)) is not None:
                    self._inboxes.setdefault(name, inbox)
            case Tuned(name, format_):
                if isinstance(sound := self._inboxes.get(name), SoundInbox):
                    self._sounds = {number: each for number, each in self._sounds.items() if each is not sound}
                    self._sounds[int(format_["stream"])] = sound
                    sound.tuned(format_)
            case Delivered(event):
                inbox = self._inboxes.get(event.stream)
                if inbox is not None and not inbox.put(event):
                    self.unfollow(inbox)
                elif inbox is None and self.on_own_event is not None and event.stream == self._core.own_stream:
                    self.on_own_event(event)
            case Ended(name, error):
                if (inbox := self._inboxes.pop(name, None)) is not None:
                    inbox.end(error)

    def _settle(self, handle: int, result: Any, error: SanghaError | None) -> None:
        future = self._waiting.get(handle)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _arm(self) -> None:
        due = self._core.next_wake()
        if self._alarm is not None and (due is None or self._alarm.when() != due):
            self._alarm.cancel()
            self._alarm = None
        if due is not None and self._alarm is None:
            self._alarm = self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._core.wake(self._loop.time())
        self._apply()

    # The connection

    async def _run(self) -> None:
        try:
            while not self._core.stopped:
                await self._until(self._core.reconnect_at)
                if not self._core.stopped:
                    await self._connect_once()
                    self._apply()
        finally:  # whatever ends this task, nobody may wait for it in vain
            self._core.stop(ConnectionLost("the connection's task failed"))
            self._apply()

    async def _connect_once(self) -> None:
        """One connection from its opening to its end, or the failure to open it."""
        try:
            socket = await self._open()
        except SSLCertVerificationError as failure:
            self._core.stop(ConnectionLost(f"{self.url}: {failure.verify_message}"))
        except InvalidStatus as refusal:
            headers, status = refusal.response.headers, refusal.response.status_code
            wait_s = _seconds(headers.get("Retry-After"))
            self._core.lost(self._loop.time(), status=status, retry_after_s=wait_s, why=str(refusal))
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as failure:
            self._core.lost(self._loop.time(), why=str(failure) or type(failure).__name__)
        else:
            if socket is not None:
                await self._serve(socket)

    async def _until(self, due: float) -> None:
        """Until that time, or until the client is stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                while not self._core.stopped:
                    self._moved.clear()
                    await self._moved.wait()

    async def _open(self) -> ClientConnection | None:
        """A connection; None where the client was stopped meanwhile."""
        self._hung_up.clear()
        opening = asyncio.ensure_future(self._dial())
        stopped = asyncio.ensure_future(self._stopped())
        await asyncio.wait((opening, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not opening.done():
            opening.cancel()
            await asyncio.wait((opening,))
            return None
        return opening.result()

    async def _dial(self) -> ClientConnection:
        return await connect(
            self.url,
            compression=None,
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # the core's pings know when we do not read; the library's do not
            max_size=MAX_FRAME_BYTES,
            **self._connect,
        )

    async def _stopped(self) -> None:
        while not self._core.stopped:
            self._moved.clear()
            await self._moved.wait()

    async def _serve(self, socket: ClientConnection) -> None:
        self._outgoing.clear()
        self._core.connected(self._loop.time())
        self._apply()
        works = (self._read(socket), self._write(socket), self._hung_up.wait())
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await socket.close()
        self._core.lost(
            self._loop.time(), socket.close_code, why=f"closed with {socket.close_code} {socket.close_reason}"
        )
        for failure in ended:
            if isinstance(failure, Exception) and not isinstance(failure, ConnectionClosed):
                raise failure

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            data = await socket.recv(decode=False)
            if is_frame(data):
                self._hear(data)
                continue
            self._core.received(data, self._loop.time())
            self._apply()
            if self._full():
                await self._wait_for_readers()

    def _hear(self, data: bytes) -> None:
        """A frame of sound; what a newer server means by another kind is not ours to play."""
        with suppress(ValueError):
            frame = unpack(data)
            if (sound := self._sounds.get(frame.stream)) is not None:
                sound.hear(frame)

    async def _write(self, socket: ClientConnection) -> None:
        while True:
            while self._outgoing:
                await socket.send(self._outgoing.popleft())
            self._can_write.clear()
            await self._can_write.wait()

    def _full(self) -> bool:
        return any(inbox.full for inbox in self._inboxes.values()) and self._core.asked == 0

    async def _wait_for_readers(self) -> None:
        self._core.pause()
        self._apply()
        while self._full():
            self._may_read.clear()
            await self._may_read.wait()
        self._core.unpause(self._loop.time())
        self._apply()


def _seconds(retry_after: str | None) -> float | None:
    """The Retry-After header in its form of seconds."""
    return float(retry_after) if retry_after is not None and retry_after.isdigit() else None
