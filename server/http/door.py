"""Where connections come in: a listening socket, the guard's word for each, TLS, and aiohttp behind it.

Accepted here and not by the loop's server, because the guard must see a connection before anything is spent on it: one that
is turned away costs an accept and a close, and one that never ends its TLS handshake holds a seat like any other.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import Final

from aiohttp import web

from server.http.connection import GuardedConnection
from server.http.forwarded import Trusted, canonical, counted_as
from server.http.guard import Guard, Progress

log = logging.getLogger(__name__)

BACKLOG: Final = 4_096
ACCEPTS: Final = 16
"""Connections taken in one turn of the loop, so that those who are in are served between: each costs some 0.1 ms."""
REST_S: Final = 0.1
"""Without descriptors to accept with, a socket that waits would be reported again at once."""
RESERVED_DESCRIPTORS: Final = 512
"""For links, the database, files: not for clients."""
HANDSHAKE_S: Final = 60.0
"""The loop's own limit for a TLS handshake. The guard's is the shorter one and the one that counts."""
NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def most_connections(wanted: int) -> int:
    """Let this process open as many files as it may; how many of the wanted connections there is room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = wanted if hard == resource.RLIM_INFINITY else max(hard - RESERVED_DESCRIPTORS, hard // 2)
    if room < wanted:
        log.info("at most %d connections: this process may open %d files", room, hard)
    return min(wanted, room)


def listener(host: str, port: int) -> socket.socket:
    """A bound socket; several gateways share an address by SO_REUSEPORT. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class _Knock:
    """A connection before its transport is there: only the operating system's socket can be ended."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def cut(self) -> None:
        """Its transport sees the end of the stream and gives up."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError as gone:
            log.debug("already gone: %s", gone)

    def progress(self) -> Progress | None:
        """It has to say who it is."""
        return None


class Door:
    """One listening socket."""

    def __init__(
        self,
        sock: socket.socket,
        server: web.Server,
        guard: Guard,
        trusted: Trusted,
        tls: Callable[[], SSLContext | None],
    ) -> None:
        """``tls`` gives the context for the next connection, so that a new certificate holds from then on."""
        self._sock = sock
        self._server = server
        self._guard = guard
        self._trusted = trusted
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """Where it is."""
        return int(self._sock.getsockname()[1])

    def open(self) -> None:
        """Listen."""
        self._sock.listen(BACKLOG)
        self._loop.add_reader(self._sock.fileno(), self._accept)

    async def close(self) -> None:
        """Take nobody in any more; who is on the way in goes. May be said twice."""
        if self._sock.fileno() < 0:
            return
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        for task in self._entering:
            task.cancel()
        await asyncio.gather(*self._entering, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as failure:
                if failure.errno not in NO_ROOM:
                    raise
                self._out_of_descriptors(failure)
                return
            self._admit(sock, canonical(peer[0]))

    def _out_of_descriptors(self, failure: OSError) -> None:
        log.warning("a connection cannot be taken: %s", failure.strerror)
        self._guard.make_room()
        self._loop.remove_reader(self._sock.fileno())
        self._rest = self._loop.call_later(REST_S, self._loop.add_reader, self._sock.fileno(), self._accept)

    def _admit(self, sock: socket.socket, address: str) -> None:
        sock.setblocking(False)
        seat = self._guard.admit(counted_as(address), _Knock(sock), exempt=address in self._trusted)
        if seat is None:
            sock.close()
            return
        connection = GuardedConnection(self._server, self._guard, seat)
        task = self._loop.create_task(self._enter(sock, connection))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, sock: socket.socket, connection: GuardedConnection) -> None:
        tls = self._tls()
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, sock, ssl=tls, ssl_handshake_timeout=HANDSHAKE_S if tls is not None else None
            )
        except OSError as failure:  # of the handshake: no TLS, a version that is too old, the client's no
            log.debug("no connection: %s", failure)
            self._guard.leave(connection.seat)
        except asyncio.CancelledError:
            self._guard.leave(connection.seat)
            raise
