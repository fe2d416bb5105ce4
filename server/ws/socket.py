"""One WebSocket: its life, the admission of its requests, its replies and the streams it follows.

Always:
* A request gets one reply, written in the turn in which the link brings it, so before the pushes that came behind it.
* Requests reach an entity in the order in which the client sent them; while one waits for a look-up (a slug, a count, a
  ritual), the later ones wait behind it: those about the practitioner's own state in a queue of their own, so that
  conversation goes on. Without a look-up nothing is awaited between the frame and ``link.ask``. What takes long is parked
  where it was asked, and nothing waits behind it.
* Frames go straight to the transport (the outbox bounds them); aiohttp only reads, answers pings and watches the heartbeat.
* A close is our close frame, then the wait for the client's, at most ``closing.GRACE_S``: closing TCP on unread input
  would reset it and the client might never see the code.

A stream that was named in ``resume`` and cannot be followed any more is told as an unnumbered ``left`` push with the
error's code as the reason. Resumed joins carry no operation id: joining again as a participant changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import WSMessage, WSMsgType, web
from msgspec import structs

from actors.runtime.entity import Address, Caller, Subscriber
from actors.runtime.errors import (
    ActorUnavailable,
    BadRequest,
    Draining,
    Internal,
    RateLimited,
    SanghaError,
    StorageUnavailable,
)
from actors.runtime.ports import StoreDown
from actors.runtime.trace import request_id as current_request
from actors.runtime.wire import Answer, Ask, Following, Paged, Refused, Unfollow
from server.measures import NAMES, Asked
from server.ws import protocol, requests
from server.ws.authentication import authenticate
from server.ws.closing import GRACE_S, MALFORMED, TOO_SLOW
from server.ws.dialect_socket import speak
from server.ws.eustress_requests import look_before
from server.ws.outbox import Outbox
from server.ws.protocol import text_frame, utc_now
from server.ws.reading import Violation
from server.ws.replay import RETRY_S, Replay
from server.ws.session import Identity, MinuteCount, RequestLedger, TokenBucket
from server.ws.streams import Stream, StreamTable, address_of

if TYPE_CHECKING:
    from server.gateway import Gateway

BARE: Final = "/ws"
VAJRA: Final = "/ws/vajra"
LIGHT_BYTES: Final = 2 * 1024
"""A frame of this size takes 0.2 ms to read at worst; larger ones wait for their turn."""
LARGE_BYTES: Final = 32 * 1024
"""A frame as large as that counts as a request more: a message of the greatest size, with what is around it, counts once."""
SLOWEST_S: Final = 1.0
"""The longest pause in reading, whatever the allowed rate: pongs have to be read as well."""


class Connection:
    """See the module. Everything here runs on the event loop's thread; only ``run`` and the look-ups await."""

    __slots__ = (
        "_bucket",
        "_ledger",
        "_malformed",
        "_pending",
        "_queues",
        "_replay",
        "_wanted",
        "address",
        "auth_session",
        "caller",
        "closing",
        "dialect",
        "expires_s",
        "gateway",
        "identity",
        "outbox",
        "service",
        "session",
        "streams",
        "trace",
        "transport",
        "ws",
    )

    def __init__(
        self, gateway: Gateway, ws: web.WebSocketResponse[Any], transport: asyncio.WriteTransport, address: str
    ) -> None:
        self.gateway = gateway
        self.ws = ws
        self.transport = transport
        self.address = address
        self.outbox = Outbox(transport, self, gateway.settings.outbox_bytes)
        self.identity: Identity | None = None
        self.session = ""
        self.caller: Caller | None = None
        self.auth_session: str | None = None
        self.service: str | None = None  # that the login was made for: it may do nothing else
        self.expires_s = float("inf")
        self.trace: str | None = None  # the ``traceparent`` that the upgrade came with
        self.closing = False
        self.dialect: str | None = None  # the seed's that it speaks; None: ours
        self.streams: dict[str, Stream | None] = {}  # by name; None from the ask until the shard says Following
        self._ledger: RequestLedger | None = None
        self._bucket = TokenBucket(gateway.settings.requests_burst, time.monotonic())
        self._malformed: MinuteCount | None = None
        self._pending: dict[int, Asked] | None = None
        self._queues: dict[bool, deque[protocol.Request]] | None = None  # behind a look-up; True: of one's own state
        self._wanted: dict[str, int] | None = None
        self._replay: Replay | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, bearer: str | None, *, local: bool = False, path: str = BARE) -> None:
        """Serve the socket until it has ended. The path, or on the bare one the client, says which dialect it speaks."""
        try:
            bare = path == BARE
            first = b"" if path == VAJRA else await authenticate(self, bearer, local=local, bare=bare)
            while first is not None:
                late = await speak(self, first, bearer, local=local, undecided=bare)
                if late is None:
                    return
                first = await authenticate(self, bearer, local=local, late=late)
            await self._serve()
        except Violation as violation:
            await self._hang_up(violation.code)

    async def _serve(self) -> None:
        receive, text, binary = self.ws.receive, WSMsgType.TEXT, WSMsgType.BINARY
        while True:
            message = await receive()
            if message.type is text:
                if len(message.data) > LIGHT_BYTES:
                    await self.gateway.turns.wait(len(message.data))
                if not self.closing:
                    self.received(message.data)
            elif message.type is binary:
                self._not_a_request(protocol.Malformed(None, BadRequest("frames are text")))
            elif not self.ping(message):
                break
            if self._bucket.refused:
                await self.slow_down()
        await self.answer_close()

    def ping(self, message: WSMessage) -> bool:
        """Answer a ping, which counts as a request does. False where the frame is neither ping nor pong."""
        if message.type is WSMsgType.PING:
            self.outbox.put(protocol.pong_frame(message.data))
        elif message.type is not WSMsgType.PONG:
            return False
        self._take(1)
        return True

    async def slow_down(self) -> None:
        """Read no faster than is allowed: what the client sends beyond that waits on its side of the connection.

        Answering each frame of a flood with an error costs more than to send it, so that alone would be no limit.
        """
        await asyncio.sleep(min(1 / self.gateway.settings.requests_per_s, SLOWEST_S))

    async def _hang_up(self, code: int) -> None:
        """The client broke the protocol: no more can be read, only thrown away until it goes, so that it sees the code."""
        self.close(code, "protocol violation")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await asyncio.get_running_loop().create_future()  # the end of the connection cancels this
        self.transport.abort()

    async def answer_close(self) -> None:
        """The client closed, or answered our close, or is gone."""
        if self.closing:
            self.transport.close()
        elif not self.ws.closed:
            self.outbox.shut()
            self.closing = True
            await self.ws.close(drain=False)

    def close(self, code: int, reason: str) -> None:
        """End the socket with a code: last frame out, then the client's turn, but not for ever."""
        if self.closing:
            return
        self.outbox.flush()
        self.closing = True
        self.gateway.measures.closes[code] += 1
        try:
            self.outbox.write(protocol.close_frame(code, reason))
        except RuntimeError:  # uvloop: the handle is closed already
            return
        finally:
            self.outbox.shut()
        self.gateway.doom(self)

    def too_slow(self) -> None:
        """The outbox overflowed. What waits is lost; the client resumes."""
        self.gateway.slow_closes += 1
        self.close(TOO_SLOW, "too slow: resume")

    def behind(self) -> None:
        """Something waits for the outbox to drain."""
        self.gateway.watch(self)

    def deferred(self) -> None:
        """Replies wait for the end of the turn."""
        self.gateway.flush_later(self.outbox)

    def poke(self) -> bool:
        """Called now and then while watched. True: no need to come again."""
        if self.closing:
            return True
        drained, replay = self.outbox.drain(), self._replay
        if replay is not None and replay.waits_for_socket:
            replay.go_on()
        return drained and (replay is None or not replay.waits_for_socket)

    def detach(self) -> None:
        """Follow nothing any more; the shards are told."""
        streams, self.streams = self.streams, {}
        for name, stream in streams.items():
            self._stop(address_of(name), stream)

    def _stop(self, address: Address, stream: Stream | None) -> None:
        if stream is not None:
            stream.table.remove(stream, self.outbox)
        self.gateway.unlisten(self.outbox, address.kind, address.id)
        self.gateway.router.link(address).send(Unfollow(address.id, self.session))

    def abandon(self) -> None:
        """The socket is gone: nobody waits for the answers. What refers back to it is let go, so that it goes now and does not
        wait for the collector: in a storm of sockets that held everybody up by 160 ms, again and again."""
        self._replay = None
        if self._pending:
            self.gateway.answered(len(self._pending))
            for _, _, span in self._pending.values():
                if span is not None:
                    span.end("abandoned")
            self._pending.clear()

    # --- who it is ---------------------------------------------------------------------------------------------------

    def stand(self, identity: Identity, caller: Caller) -> None:
        """From here on the session is this socket's; another socket that had it is closed."""
        self.identity, self.session, self.caller = identity, identity.uuid, caller
        self.gateway.took(self)

    def withdraw(self) -> None:
        """The socket speaks for nobody any more: who it is is asked anew."""
        self.gateway.gave_up(self)
        self.identity, self.session, self.caller = None, "", None
        self.auth_session, self.expires_s = None, float("inf")

    def rename(self, name: str | None) -> None:
        """The practitioner goes by another name, or shows none."""
        assert self.caller is not None
        self.caller = structs.replace(self.caller, name=name)

    @property
    def subscriber(self) -> Subscriber:
        """Who follows, as shards know it."""
        assert self.caller is not None
        return Subscriber(self.session, self.caller.practitioner, self.caller.name)

    # --- requests ----------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """One text frame of an authenticated client."""
        measures = self.gateway.measures
        measures.received += 1
        measures.received_bytes += len(data)
        cost = 1 + len(data) // LARGE_BYTES
        try:
            frame = protocol.parse(data, self.gateway.json_depth)
        except protocol.Malformed as refusal:
            self._take(cost)
            self._not_a_request(refusal)
            return
        except protocol.Rejected as refusal:
            self._take(cost)
            measures.refused[None, refusal.error.code] += 1
            self.write(protocol.error(refusal.id, refusal.error))
            return
        request = frame.request
        if self._pending is not None and request.id in self._pending:
            self._take(cost)
            return  # a retry of what is in progress: the one reply answers both
        try:
            self._admit(frame, cost)
            self._submit(request)
        except SanghaError as failure:
            self.refuse(request.id, failure)

    def _admit(self, frame: protocol.Frame, cost: int) -> None:
        """The request may be worked on. Raises SanghaError."""
        gateway, settings = self.gateway, self.gateway.settings
        if gateway.draining:
            raise Draining("the server is going away; come back and ask again")
        if not self._take(cost):
            raise RateLimited(f"more than {settings.requests_per_s:g} requests a second")
        if self._pending is None:
            self._pending, self._ledger = {}, RequestLedger()
        if len(self._pending) >= settings.unanswered_requests:
            raise RateLimited(f"more than {settings.unanswered_requests} requests without an answer")
        assert self._ledger is not None
        self._ledger.admit(frame.request.id, frame.digest)
        span = None if gateway.tracer is None else gateway.tracer.start(NAMES[type(frame.request)], self.trace)
        self._pending[frame.request.id] = type(frame.request), time.monotonic(), span
        gateway.unanswered += 1

    def allows(self, data: bytes) -> bool:
        """Count a frame of another dialect; False where it is one more than may be asked."""
        measures = self.gateway.measures
        measures.received += 1
        measures.received_bytes += len(data)
        return self._take(1 + len(data) // LARGE_BYTES)

    @property
    def flooded(self) -> bool:
        """Whether the last frame was one too many: read on after ``slow_down``."""
        return self._bucket.refused

    def _take(self, cost: int) -> bool:
        settings = self.gateway.settings
        return settings.lab or self._bucket.take(
            time.monotonic(), settings.requests_per_s, settings.requests_burst, cost
        )

    def _not_a_request(self, refusal: protocol.Refusal) -> None:
        if self.closing:
            return
        self.gateway.measures.refused[None, refusal.error.code] += 1
        self.write(protocol.error(refusal.id, refusal.error))
        if self._malformed is None:
            self._malformed = MinuteCount()
        if self._malformed.add(time.monotonic(), self.gateway.settings.malformed_per_minute):
            self.close(MALFORMED, "too many malformed frames")

    def write(self, payload: bytes) -> None:
        """A reply or a push for this socket alone; durable."""
        self.outbox.put(text_frame(payload))

    def reply(self, request_id: int, body: bytes) -> None:
        """The result of a request."""
        self._end(request_id, "ok")
        self.outbox.defer(text_frame(protocol.result(request_id, body)))

    def refuse(self, request_id: int, failure: SanghaError) -> None:
        """An error instead."""
        if not self._end(request_id, failure.code):
            self.gateway.measures.refused[None, failure.code] += 1
        self.outbox.defer(text_frame(protocol.error(request_id, failure)))

    def _end(self, request_id: int, outcome: str) -> bool:
        asked = self._pending.pop(request_id, None) if self._pending is not None else None
        if asked is None:
            return False
        assert self.caller is not None
        self.gateway.measures.answered(asked, outcome, time.monotonic(), guest=self.caller.guest)
        self.gateway.answered(1)
        return True

    def trace_of(self, request_id: int) -> str | None:
        """The span of a request that is under way."""
        asked = self._pending.get(request_id) if self._pending is not None else None
        return asked[2].traceparent if asked is not None and asked[2] is not None else None

    def _submit(self, request: protocol.Request) -> None:
        """Ask now, or behind the look-up that is under way."""
        if self.service is not None:
            requests.check_service(request)
        own = isinstance(request, protocol.OwnRequest)
        if isinstance(request, protocol.Ping):
            self.reply(request.id, orjson.dumps({"pong": True, "server_time": utc_now()}))
        elif self._queues is not None and own in self._queues:
            self._queues[own].append(request)
        elif (entity := requests.entity_now(self, request)) is not None:
            requests.dispatch(self, request, entity)
        else:
            self._queues = self._queues or {}
            self._queues[own] = deque((request,))
            self.gateway.spawn(self._look_up(self._queues, own))

    async def _look_up(self, queues: dict[bool, deque[protocol.Request]], own: bool) -> None:
        """Work off the queue in order; whoever needs a look-up gets it."""
        queue = queues[own]
        while queue and not self.closing:
            try:
                await requests.look_up(self, queue[0])
            except StoreDown:
                self.refuse(queue[0].id, StorageUnavailable("storage does not answer; try again"))
            except SanghaError as failure:
                self.refuse(queue[0].id, failure)
            except Exception as failure:  # noqa: BLE001 - a bug in one look-up must not silence the requests behind it
                reference = self.gateway.log_reference("a look-up failed", failure)
                self.refuse(queue[0].id, Internal(reference))
            queue.popleft()
        del queues[own]
        if not queues:
            self._queues = None

    # --- following ---------------------------------------------------------------------------------------------------

    @property
    def joined_spaces(self) -> int:
        """Spaces of any kind that this session follows or is about to."""
        assert self.caller is not None
        return len(self.streams) - (f"practitioner:{self.caller.practitioner}" in self.streams)

    def want(self, name: str, after: int | None) -> None:
        """When the shard says Following, catch up from here (None: the shard sends what there is)."""
        if after is not None:
            self._wanted = self._wanted or {}
            self._wanted[name] = after
        elif self._wanted is not None:
            self._wanted.pop(name, None)

    def not_following(self, name: str) -> None:
        """A join was refused: what was reserved for it is free again (unless the stream is followed since earlier)."""
        self.want(name, None)
        if self.streams.get(name, self) is None:
            del self.streams[name]

    def unfollow(self, address: Address) -> None:
        """Follow a stream no longer, if it was followed. Raises ActorUnavailable while the shard has not said Following: what
        it says then would not be known from what it says to a later request."""
        name = str(address)
        if name not in self.streams:
            return
        stream = self.streams[name]
        if stream is None:
            raise ActorUnavailable(f"{name} is about to be followed; ask again")
        del self.streams[name]
        self._stop(address, stream)

    def following(self, table: StreamTable, message: Following) -> None:
        """The shard counts this session among the stream's followers, as of an offset."""
        name, after = f"{table.kind}:{message.entity}", None
        if table.kind == "audio_session" and name not in self.streams:  # there was no room to hear it
            self.gateway.router.link(Address(table.kind, message.entity)).send(Unfollow(message.entity, self.session))
            return
        if message.snapshot is not None:
            self.write(protocol.snapshot(message.snapshot, "joined"))
        elif self._wanted is not None:
            after = self._wanted.pop(name, None)
        stream = self.streams[name] = table.follow(message.entity, message.offset, self.outbox, after)
        if after is not None:
            self.page_on(stream)

    def page_on(self, stream: Stream) -> None:
        """The stream may have a gap to fill for this session."""
        if self._replay is None:
            self._replay = Replay(self)
        self._replay.add(stream)

    def dropped(self, stream: Stream, *, catching: bool) -> None:
        """The shard no longer counts this session among the followers. Who is live has got the push that says why."""
        self.streams.pop(stream.name, None)
        if catching:
            self.write(protocol.left(stream.name, "not_found"))

    def rejoin(self, name: str) -> None:
        """Follow a space again, from where the client is."""
        if self.closing or self.streams.get(name, self) is not None:
            return
        address = address_of(name)
        if address.kind == "eustress" and not self.gateway.rooms.knows(address.id):
            self.gateway.spawn(look_before(self, name, self.rejoin))
            return
        caller, trace = self.caller, current_request.get()

        def answered(message: Answer | Refused | Paged) -> None:
            if isinstance(message, Refused) and not self.closing:
                failure = protocol.from_refused(message)
                if failure.retryable:
                    self.gateway.later(RETRY_S, lambda: self.rejoin(name))
                else:
                    self.not_following(name)
                    self.write(protocol.left(name, failure.code))

        self.gateway.router.link(address).ask(
            lambda cid: Ask(cid, address.id, requests.FOLLOWS[address.kind], caller, None, trace, False), answered
        )
