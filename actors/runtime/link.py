"""The stream between a gateway and a shard, or between two shards: one socket, length-prefixed frames, batches.

What is sent in one turn of the event loop travels as one frame and one ``write``. ``LinkClient`` is the asking end: it
finds the shard (through what ``placement`` gave it), proves itself, sends again what was not answered, and hands every
answer and push to a plain callback in the order of arrival. Callbacks and not futures: a future's waiter would wake
after the pushes that came behind the answer in the same batch, and their order is a promise.
``LinkServer`` is the shard's end. Both speak ``wire``; which message goes again and which is dropped is ``link_state``'s.

Rejected: a Ray call a batch (1 ms of CPU, both ends) and grpc.aio (half the gain); figures in the README's "How it is built".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import ssl
import stat
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import msgspec

from actors.runtime import handshake, wire
from actors.runtime.handshake import Challenge, HandshakeFailed, Hello, Proof
from actors.runtime.link_state import LinkState, StaleShard
from actors.runtime.wire import Answer, Beat, Follow, Paged, Refused

log = logging.getLogger(__name__)

MAX_UNSENT_BYTES: Final = 64 * 2**20
"""A peer that does not read (a stopped gateway) is cut off here; it comes back and follows from where it was."""
RECONNECT_S: Final = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Pauses between attempts; a restarting shard is back within a second, and asking sooner costs next to nothing."""
CONNECT_TIMEOUT_S: Final = 3.0

ONCE: Final = "once"
"""In place of an operation id: of a change that nobody asks for again, but that the way to the actor may repeat, and that must
count once. The link makes an id of it."""
OnAnswer = Callable[[Any], None]


class ShardAddress(msgspec.Struct, frozen=True, array_like=True):
    """Where a shard listens: a Unix socket on its node, TCP for the others."""

    kind: str
    shard: str
    node: str
    path: str
    host: str
    port: int
    epoch: int


class LinkSecurity(msgspec.Struct, frozen=True):
    """The cluster's name and secret, and what wraps TCP between nodes (None: plain)."""

    cluster: str
    secret: bytes
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None


class _Frames(asyncio.Protocol):
    """Length-prefixed frames over a transport, many messages a frame."""

    def __init__(self, limit: int) -> None:
        self.transport: asyncio.Transport | None = None
        self.limit = limit
        self.heard_at = time.monotonic()
        self._buffer = bytearray()
        self._unsent: list[Any] = []
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour, not by class
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        try:
            while end - start >= 4:
                length = int.from_bytes(buffer[start : start + 4], "big")
                if length > self.limit:
                    self.refuse(HandshakeFailed(f"a frame of {length} bytes"))
                    return
                if end - start - 4 < length:
                    break
                frame = bytes(buffer[start + 4 : start + 4 + length])
                start += 4 + length
                self.frame_received(frame)
        except (HandshakeFailed, StaleShard, msgspec.DecodeError, msgspec.ValidationError) as failure:
            self.refuse(failure)
            return
        if start:
            del buffer[:start]

    def frame_received(self, frame: bytes) -> None:
        raise NotImplementedError

    def refuse(self, failure: Exception) -> None:
        log.warning("link refused: %s", failure)
        self.abort()

    def send(self, message: Any) -> None:
        """Send with everything else of this turn of the loop."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(message)

    def flush(self) -> None:
        """Write what was sent so far, now."""
        messages, self._unsent = self._unsent, []
        transport = self.transport
        if not messages or transport is None or transport.is_closing():
            return
        self._write(transport, messages)
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            log.warning("link cut: the peer does not read")
            transport.abort()

    def _write(self, transport: asyncio.Transport, messages: list[Any]) -> None:
        payload = wire.encoder.encode(messages)
        if len(payload) <= wire.MAX_FRAME_BYTES:
            transport.write(len(payload).to_bytes(4, "big") + payload)
        elif len(messages) > 1:
            half = len(messages) // 2
            self._write(transport, messages[:half])
            self._write(transport, messages[half:])
        else:
            log.error("a message of %d bytes does not fit a link's frame", len(payload))
            transport.abort()

    def send_alone(self, message: Any) -> None:
        """A handshake's message: a frame to itself."""
        payload = handshake.encode(message)
        if self.transport is not None:
            self.transport.write(len(payload).to_bytes(4, "big") + payload)

    def abort(self) -> None:
        """End the connection at once."""
        if self.transport is not None:
            self.transport.abort()


class ServerHandler(Protocol):
    """The shard, as its links see it."""

    def link_opened(self, link: LinkPeer) -> None:
        """A peer proved itself."""

    def link_message(self, link: LinkPeer, message: wire.ToShard) -> None:
        """One message, in order."""

    def link_closed(self, link: LinkPeer) -> None:
        """The peer is gone; its subscriptions with it."""


class LinkPeer(_Frames):
    """The shard's end of one connection."""

    def __init__(self, server: LinkServer) -> None:
        super().__init__(handshake.MAX_HANDSHAKE_BYTES)
        self._server = server
        self._hello: Hello | None = None
        self._challenge: Challenge | None = None
        self.came_at = time.monotonic()  # a stranger has so long to prove itself, however much it says
        self.proven = False
        self.name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A stranger, until proven."""
        super().connection_made(transport)
        self._server.peers.add(self)

    def frame_received(self, frame: bytes) -> None:
        """A step of the handshake, or a batch of messages."""
        if self.proven:
            handler = self._server.handler
            for message in wire.decode_to_shard(frame):
                if type(message) is not Beat:
                    handler.link_message(self, message)
        elif self._hello is None:
            self._hello = msgspec.msgpack.decode(frame, type=Hello)
            self._challenge = self._server.challenge(self._hello)
            self.send_alone(self._challenge)
        else:
            assert self._challenge is not None
            proof = msgspec.msgpack.decode(frame, type=Proof)
            handshake.verify(self._server.security.secret, self._hello, self._challenge, proof)
            self.proven, self.name, self.limit = True, self._hello.name, wire.MAX_FRAME_BYTES
            self._server.handler.link_opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._server.peers.discard(self)
        if self.proven:
            self.proven = False
            self._server.handler.link_closed(self)


class LinkServer:
    """Listens for a shard: a Unix socket always, TCP where other nodes are."""

    def __init__(self, handler: ServerHandler, security: LinkSecurity, kind: str, shard: str) -> None:
        self.handler = handler
        self.security = security
        self.peers: set[LinkPeer] = set()
        self.epoch = 0
        self._kind, self._shard = kind, shard
        self._servers: list[asyncio.Server] = []
        self._beat: asyncio.Task[None] | None = None

    async def start(self, run_dir: Path, host: str | None, node: str, epoch: int) -> ShardAddress:
        """Listen; ``host`` None is this node only. A stale Unix socket of the same name is removed."""
        self.epoch = epoch
        loop = asyncio.get_running_loop()
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        path = run_dir / f"{self._kind}-{self._shard}-{os.getpid()}.sock"
        self._remove_stale(run_dir, path)
        self._servers.append(await loop.create_unix_server(lambda: LinkPeer(self), str(path)))
        path.chmod(0o600)
        port = 0
        if host is not None:
            server = await loop.create_server(lambda: LinkPeer(self), host, 0, ssl=self.security.server_tls)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
        self._beat = asyncio.create_task(self._beats())
        return ShardAddress(self._kind, self._shard, node, str(path), host or "", port, epoch)

    def _remove_stale(self, run_dir: Path, path: Path) -> None:
        for old in run_dir.glob(f"{self._kind}-{self._shard}-*.sock"):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(old.stat().st_mode):
                    old.unlink()

    def challenge(self, hello: Hello) -> Challenge:
        """The answer to a peer's hello."""
        return handshake.challenge(
            self.security.secret,
            hello,
            cluster=self.security.cluster,
            kind=self._kind,
            shard=self._shard,
            epoch=self.epoch,
            nonce=secrets.token_bytes(handshake.NONCE_BYTES),
        )

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(wire.BEAT_S)
            now = time.monotonic()
            for peer in list(self.peers):
                if now - (peer.heard_at if peer.proven else peer.came_at) > wire.DEAD_AFTER_S:
                    log.warning("link to %s is silent; cut", peer.name or "a stranger")
                    peer.abort()
                elif peer.proven:
                    peer.send(Beat())

    async def stop(self) -> None:
        """Close the listeners and every link."""
        if self._beat is not None:
            self._beat.cancel()
        for server in self._servers:
            server.close()
        for peer in list(self.peers):
            peer.flush()
            if peer.transport is not None:
                peer.transport.close()


class _ClientConnection(_Frames):
    """The asking end of one connection."""

    def __init__(self, client: LinkClient, hello: Hello) -> None:
        super().__init__(wire.MAX_FRAME_BYTES)
        self._client = client
        self._hello = hello
        self.generation = 0
        self.proven: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send_alone(self._hello)

    def frame_received(self, frame: bytes) -> None:
        if self.generation == 0:
            answer = msgspec.msgpack.decode(frame, type=Challenge)
            self.send_alone(self._client.prove(self._hello, answer))
            self.generation = self._client.connected(self, answer.epoch)
            self.proven.set_result(None)
            return
        client = self._client
        for message in wire.decode_to_client(frame):
            client.received(self.generation, message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self.generation)
        if not self.closed.done():  # who waited for it may have been cancelled
            self.closed.set_result(None)
        if not self.proven.done():
            self.proven.set_exception(ConnectionError("it hung up in the handshake"))
            self.proven.exception()  # seen: whoever waited may be gone


class LinkClient:
    """One end that asks one shard. Create it inside a running loop; it connects on first use and stays connected.

    Where the shard ``sleeps`` when its entity rests, a link that it ends is only made again for what is asked or followed: else
    it would be started anew for nothing, by everybody who ever asked it.
    """

    def __init__(
        self,
        kind: str,
        shard: str,
        *,
        name: str,
        node: str,
        security: LinkSecurity,
        resolve: Callable[[], Awaitable[ShardAddress]],
        limit: int,
        timeout_s: float,
        on_message: Callable[[LinkClient, Any], None] | None = None,
        follows: Callable[[LinkClient], Sequence[Follow]] | None = None,
        sleeps: bool = False,
    ) -> None:
        self.kind, self.shard, self._sleeps = kind, shard, sleeps
        self.reconnects = self.timeouts = 0
        self._name, self._node, self._security, self._resolve = name, node, security, resolve
        self._timeout_s = timeout_s
        self._on_message, self._follows = on_message, follows
        self._state: LinkState[Any, OnAnswer] = LinkState(limit)
        self._session = f"link-{secrets.token_hex(16)}"
        self._connection: _ClientConnection | None = None
        self._runner: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the shard is reached now."""
        return self._state.up

    @property
    def unanswered(self) -> int:
        """Asks that wait for their answer."""
        return len(self._state)

    def start(self) -> None:
        """Begin to connect (also done by the first ask)."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())

    def ask(self, make: Callable[[int], wire.ToShard], on_answer: OnAnswer) -> None:
        """Ask; ``on_answer`` gets an Answer, Refused or Paged, exactly once."""
        state = self._state
        if state.full:
            on_answer(Refused(0, "actor_unavailable", "too many commands wait for this actor; try again"))
            return
        message = state.ask(make, on_answer, time.monotonic() + self._timeout_s)
        if state.up and self._connection is not None:
            self._connection.send(message)
        elif self._runner is None:
            self.start()

    def once(self, cid: int) -> str:
        """The operation id of an ask that nobody but this link will repeat. Asks go out in the order of their cid, so the entity
        knows without a look that it is new, as with a session's."""
        return f"{self._session}:{cid}"

    def send(self, message: wire.ToShard) -> None:
        """Tell, with no answer; forgotten where the link is down (a reconnect tells all that matters anew)."""
        if self._state.up and self._connection is not None:
            self._connection.send(message)

    def prove(self, hello: Hello, answer: Challenge) -> Proof:
        """Our half of the handshake."""
        return handshake.prove(self._security.secret, hello, answer, kind=self.kind, shard=self.shard)

    def connected(self, connection: _ClientConnection, epoch: int) -> int:
        """The handshake is done: follows first, then what was not answered, in order."""
        generation, again = self._state.connected(epoch)
        log.info("link to %s/%s is up, epoch %d; %d asked again", self.kind, self.shard, epoch, len(again))
        self._connection = connection
        for follow in self._follows(self) if self._follows is not None else ():
            connection.send(follow)
        for message in again:
            connection.send(message)
        return generation

    def lost(self, generation: int) -> None:
        """A connection ended."""
        if self._state.lost(generation):
            log.info("link to %s/%s is down", self.kind, self.shard)
            self._connection = None

    def received(self, generation: int, message: wire.ToClient) -> None:
        """One message of a connection, in order."""
        if not self._state.current(generation) or type(message) is Beat:
            return
        if isinstance(message, (Answer, Refused, Paged)):
            on_answer = self._state.answered(message.cid)
            if on_answer is not None:
                on_answer(message)
        elif self._on_message is not None:
            self._on_message(self, message)

    async def _run(self) -> None:
        attempt = 0
        watch = asyncio.create_task(self._watch())
        try:
            while self._needed:
                try:
                    connection = await self._connect()
                    await connection.closed
                    if connection.generation:
                        attempt = 0
                        self.reconnects += 1
                except (OSError, TimeoutError, LookupError) as failure:
                    log.debug("link to %s/%s: %s", self.kind, self.shard, failure)
                await asyncio.sleep(RECONNECT_S[min(attempt, len(RECONNECT_S) - 1)])
                attempt += 1
        finally:
            watch.cancel()
            self._runner = None

    @property
    def _needed(self) -> bool:
        if not self._sleeps or len(self._state):
            return True
        return self._follows is not None and bool(self._follows(self))

    async def _connect(self) -> _ClientConnection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            address = await self._resolve()
            hello = Hello(wire.VERSION, self._security.cluster, self._name, secrets.token_bytes(handshake.NONCE_BYTES))
            if address.node == self._node:
                _, connection = await loop.create_unix_connection(lambda: _ClientConnection(self, hello), address.path)
            elif address.port:
                _, connection = await loop.create_connection(
                    lambda: _ClientConnection(self, hello), address.host, address.port, ssl=self._security.client_tls
                )
            else:
                raise ConnectionError(f"{self.kind}/{self.shard} listens on its own node only")
            try:
                await connection.proven
            except asyncio.CancelledError:
                connection.abort()  # a stopped process accepts and says nothing
                raise
        return connection

    async def _watch(self) -> None:
        """Heartbeats out, silence and deadlines noticed."""
        while True:
            await asyncio.sleep(wire.BEAT_S / 2)
            now = time.monotonic()
            connection = self._connection
            if connection is not None:
                if now - connection.heard_at > wire.DEAD_AFTER_S:
                    log.warning("link to %s/%s is silent; cut", self.kind, self.shard)
                    connection.abort()
                else:
                    connection.send(Beat())
            for cid, on_answer in self._state.expired(now):
                self.timeouts += 1
                on_answer(Refused(cid, "timeout", "no answer in time; ask again with the same id"))

    async def stop(self) -> None:
        """Disconnect and stop reconnecting."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if self._connection is not None:
            self._connection.flush()
            if self._connection.transport is not None:
                self._connection.transport.close()
