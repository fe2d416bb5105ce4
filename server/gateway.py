"""The gateway: a process that owns sockets. HTTP and WebSocket on one port, links to shards behind it.

It keeps what its sockets share: the fan-out tables (one a shard), sessions by id, who is slow, who is on the way out. It
holds nothing durable; when it dies its clients resume at another.

Everything but the HTTP handlers and a socket's ``run`` is synchronous on the event loop's thread, so no state here is ever
seen half changed. One housekeeping task serves all sockets (expired tokens, overdue closes, slow sockets): a task or timer
a socket would cost more memory than the rest of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from aiohttp import web

from actors.practitioner.entity import display_name
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Full
from actors.runtime.link import ONCE
from actors.runtime.trace import Tracer, followed, traceparent
from actors.runtime.trace import request_id as current_request
from actors.runtime.wire import (
    Answer,
    Ask,
    Dropped,
    Follow,
    Following,
    History,
    Paged,
    Pushed,
    Refused,
    Resynced,
    ToShard,
    Unfollow,
)
from server.erasure import Erasure
from server.eustress_rooms import Rooms
from server.http.app import build
from server.http.door import Door, listener, most_connections
from server.http.eustress_reading import Lake
from server.http.forwarded import Trusted
from server.http.guard import Guard
from server.http.guard import Limits as ConnectionLimits
from server.limits import GuestSpaces, RateLimit, Slugs
from server.measures import GatewayMeasures
from server.metrics.reports import Report
from server.settings import Settings
from server.ws import protocol
from server.ws.closing import GOING_AWAY, GRACE_S, NORMAL, UNAUTHENTICATED
from server.ws.outbox import Outbox
from server.ws.protocol import text_frame
from server.ws.session import Identity, SessionKeys
from server.ws.socket import Connection
from server.ws.streams import StreamTable
from server.ws.turns import Turns

if TYPE_CHECKING:
    from server.sound.follower import Follower
    from server.sound.hearing import Hearing
    from server.sound.playouts import Playouts

log = logging.getLogger(__name__)

SWEEP_S: Final = 1.0
"""How late an expired token or an overdue close may be noticed."""
POLL_S: Final = 0.02
"""How often sockets that fell behind are looked at, while there are any."""
BYE_BATCH: Final = 250
"""Sockets told to go in one turn of the loop: they come back spread over time, not at once."""
BYE_SPREAD_MS: Final = 2_000
MAX_DEPTH: Final = 200
"""orjson refuses to write what nests deeper than 254."""


class Link(Protocol):
    """The way to one shard: FIFO, reconnects by itself."""

    def ask(self, make: Callable[[int], ToShard], on_answer: Callable[[Answer | Refused | Paged], None]) -> None:
        """``make`` gets the link's correlation id; ``on_answer`` is called once, in order with pushes."""

    def once(self, cid: int) -> str:
        """The operation id of an ask that only the link itself repeats."""

    def send(self, message: Unfollow) -> None:
        """Fire and forget."""


class Router(Protocol):
    """Which link leads to an entity."""

    def link(self, address: Address) -> Link:
        """The shard that hosts it."""


class AuthSession(Protocol):
    """A login as storage has it."""

    id: Any
    practitioner_id: Any
    expires_at: Any
    service: str | None


class Queries(Protocol):
    """What the gateway reads from storage by itself. All raise StoreDown."""

    async def auth_session(self, token_hash: bytes) -> Any:
        """The login of a token, or None."""

    async def spaces(self, viewer: str, limit: int, before: str | None, q: str | None, joined: bool) -> Any:
        """Spaces that the viewer may know of."""

    async def resolve(self, scope: str, name: str) -> Any:
        """The entity that has a unique name, or None."""

    async def count_spaces(self, facilitator_id: str) -> int:
        """How many open spaces a practitioner made."""

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
    ) -> Any:
        """Rituals that the viewer may see."""

    async def ritual_by_name(self, viewer: str | None, name: str) -> Any:
        """Rituals of a name that the viewer may run (``id``, ``author_id``, None of a built-in one), newest first."""

    async def count_rituals(self, author: str) -> int:
        """How many rituals a practitioner uploaded and did not withdraw."""

    async def states(self, practitioner: str, limit: int, before: str | None = None) -> Any:
        """A practitioner's state chain, newest first."""

    async def runs(self, practitioner: str, limit: int, before: str | None = None, ritual: str | None = None) -> Any:
        """A practitioner's runs, newest first."""

    async def run(self, practitioner: str, session_id: str) -> Any:
        """One run of a practitioner, or None."""

    async def newest_run(self, practitioner: str, ritual: str) -> Any:
        """The id of the practitioner's newest completed run of a ritual, or None."""

    async def insights(
        self, practitioner: str, session: str | None = None, limit: int = 100, before: str | None = None
    ) -> Any:
        """What the oracle told a practitioner, newest first."""

    async def logins(self, practitioner: str) -> Any:
        """Logins of a practitioner that count."""

    async def service_tokens(self, accounts: list[str]) -> Any:
        """Tokens of services' accounts that count, newest first."""

    async def eustress_room(self, name: str) -> tuple[bool, int]:
        """Whether there is a Eustress space of this name, and how many there are."""

    async def was_login(self, token_hash: bytes) -> bool:
        """Whether a token was ever somebody's."""

    async def memberships(self, practitioner: str, limit: int, after: str | None = None) -> Any:
        """Spaces that a practitioner has, or had, to do with, by id."""

    async def share_a_space(self, one: str, other: str) -> bool:
        """Whether both participate in one space."""

    async def unpublished(self, author: str, limit: int) -> Any:
        """Rituals that an author neither published nor withdrew."""

    async def gone(self, limit: int, after: str | None = None) -> Any:
        """Accounts that are gone and of whom something is left elsewhere, by id."""

    async def left_over(self, practitioner: str, limit: int, after: str | None = None) -> Any:
        """What is to be done about spaces of an account that is gone, by the space's id."""

    async def orphans(self, author: str, limit: int) -> Any:
        """Unpublished rituals of an author who is gone."""

    async def authored(self, author: str, limit: int, after: str | None = None) -> Any:
        """All rituals of an author, by id."""

    async def accumulations(
        self,
        practitioner: str,
        limit: int,
        before: str | None = None,
        *,
        dedicated: bool | None = None,
        only: str | None = None,
    ) -> Any:
        """What a practitioner accumulated with their prayer wheel, newest first."""

    async def has_wheel(self, practitioner: str) -> bool:
        """Whether a practitioner ever turned a prayer wheel."""

    async def stray_wheels(self, practitioner: str) -> Any:
        """The prayer wheel of an account that is gone, where it is still there."""

    async def audible_sessions(self, practitioner: str, limit: int) -> Any:
        """``Audible`` sessions of a practitioner that have not ended."""

    async def playing_on(self, device: str) -> Any:
        """Whose voices a sound device has, and of which session each is, if of one."""

    async def audio_sessions(self, owner: str, limit: int, before: str | None = None, status: str | None = None) -> Any:
        """A practitioner's audio sessions, newest first."""

    async def audio_sessions_of_space(self, space: str, limit: int, before: str | None = None) -> Any:
        """Audio sessions that are shared with a space, newest first."""

    async def audio_session_place(self, session: str) -> Any:
        """Whose an audio session is, and its space; None where there is none."""

    async def audio_strangers(self, listening: Sequence[tuple[str, str]]) -> Any:
        """Of pairs of a session and who listens to it, those that rows do not allow."""

    async def count_audio_sessions(self, owner: str) -> int:
        """How many they keep."""

    async def audio_session_ids(self, owner: str, limit: int, *, gone: bool = False) -> Any:
        """Ids of theirs; with ``gone`` none while the account is there."""

    async def audio_voices(self, practitioner: str, *, gone: bool = False) -> Any:
        """What of theirs sounds on sound devices; with ``gone`` nothing while the account is there."""

    async def participates(self, space: str, practitioner: str) -> bool:
        """Whether an account is a participant of an open space."""

    async def journal(self, kind: str, entity: str, after: int, limit: int) -> Any:
        """Events of an entity, opened."""

    async def head(self, kind: str, entity: str) -> int:
        """The number of an entity's last event."""

    async def said(self, space: str, practitioner: str, after: int, limit: int, window: int) -> Any:
        """Messages of a practitioner (where they are sealed, of anybody) among so many events of a space."""

    async def healthy(self) -> bool:
        """Whether storage answers."""


class Gateway:
    """See the module. Undecorated: ``placement`` makes a Ray actor of it. Build and use it inside a running loop."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        queries: Queries,
        secret: bytes,
        index: int = 0,
        *,
        admin_token: str | None = None,
        topology: Callable[[], Awaitable[dict[str, Any]]] | None = None,
        tls_file: Path | None = None,
        scrape: Callable[[], Awaitable[list[Report]]] | None = None,
        tracer: Tracer | None = None,
        deployment_path: Path | None = None,
        lake: Lake | None = None,
    ) -> None:
        """``secret`` is the cluster's: it signs sessions. ``index`` tells gateways of one node apart.

        ``topology`` gives what ``GET /api/admin/topology`` answers to whoever has ``admin_token``, ``scrape`` what all other
        processes report for ``GET /metrics``. ``tracer`` is there where traces are on. ``deployment_path`` is the file that
        processes read which this one starts. ``lake`` reads scenes of Eustress.
        """
        self.settings = settings
        self.router = router
        self.queries = queries
        self.secret = secret
        self.index = index
        self.admin_token = admin_token
        self.topology, self.scrape = topology, scrape
        self.tracer = tracer
        self.deployment_path = deployment_path
        self.lake = lake
        self.measures = GatewayMeasures()
        self.hashing = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
        self.nobodys_hash: str | None = None
        self.keys = SessionKeys(secret)
        self.json_depth = min(settings.json_depth, MAX_DEPTH)
        self.draining = False
        self.slow_closes = 0
        self.unanswered = 0
        self.port = 0
        self.slugs = Slugs(time.monotonic)
        self.turns = Turns()
        lifted = settings.lab
        self.guests = GuestSpaces(
            settings.guest_created_spaces, settings.guest_created_spaces_per_address, time.monotonic, lifted=lifted
        )
        every = 10**9 if lifted else 1
        self.logins_by_address = RateLimit(settings.logins_per_minute_address * every, time.monotonic)
        self.logins_by_email = RateLimit(settings.logins_per_minute_email * every, time.monotonic)
        self.registrations = RateLimit(settings.registrations_per_minute_address * every, time.monotonic)
        self.exports = RateLimit(settings.exports_per_minute * every, time.monotonic)
        self.exporting: set[str] = set()
        self.erasure: Erasure | None = None
        self.rooms = Rooms(settings.eustress_spaces, queries.eustress_room)
        self.client_limits = _client_limits(settings, guest=False)
        self.guest_limits = _client_limits(settings, guest=True)
        self.playouts: Playouts | None = None
        self.hearing: Hearing | None = None
        self.followers: dict[str, Follower] = {}
        self._tables: dict[str, StreamTable] = {}
        self._connections: set[Connection] = set()
        self._sessions: dict[str, Connection] = {}
        self._by_address: Counter[str] = Counter()
        self._by_practitioner: Counter[str] = Counter()
        self._deferring: list[Outbox] = []
        self._flushing = False
        self._watched: set[Connection] = set()
        self._doomed: dict[Connection, float] = {}
        self._poll: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._all_answered: asyncio.Event | None = None
        self._all_closed: asyncio.Event | None = None
        self._runner: web.AppRunner | None = None
        self._doors: list[Door] = []
        self._tls_file = tls_file
        self._tls: SSLContext | None = None
        self.guard = Guard(_connection_limits(settings), time.monotonic)

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> int:
        """Listen (several gateways share a port by SO_REUSEPORT) and return the port."""
        self.reload_tls()
        self._runner = web.AppRunner(build(self), handler_cancellation=True, shutdown_timeout=GRACE_S)
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        trusted = Trusted(self.settings.trusted_proxies)
        bound = [listener(*address) for address in self.settings.addresses]
        self._doors = [Door(sock, server, self.guard, trusted, lambda: self._tls) for sock in bound]
        for door in self._doors:
            door.open()
        self.port = self._doors[0].port
        self.spawn(self._housekeeping())
        return self.port

    def reload_tls(self) -> None:
        """Meet who comes from now on with the certificate that is kept now. Raises OSError, SSLError."""
        if self._tls_file is not None:
            from server.http.tls import server_context

            self._tls = server_context(self._tls_file)

    async def drain(self) -> None:
        """Refuse what is new, tell every socket to come back elsewhere or later, answer what was asked, close them.

        Returns when all are closed, or after ``drain_s``.
        """
        self.draining = True
        self._all_answered, self._all_closed = asyncio.Event(), asyncio.Event()
        if not self.unanswered:
            self._all_answered.set()
        try:
            async with asyncio.timeout(self.settings.drain_s):
                await self._in_batches(self._say_bye)
                await self._all_answered.wait()
                await self._in_batches(lambda each: each.close(GOING_AWAY, "draining"))
                if self._connections:
                    await self._all_closed.wait()
        except TimeoutError:
            log.warning("drain cut short: %d sockets, %d requests unanswered", len(self._connections), self.unanswered)

    async def _in_batches(self, act: Callable[[Connection], None]) -> None:
        everyone = list(self._connections)
        for start in range(0, len(everyone), BYE_BATCH):
            for connection in everyone[start : start + BYE_BATCH]:
                act(connection)
            await asyncio.sleep(0)

    @staticmethod
    def _say_bye(connection: Connection) -> None:
        if connection.dialect is not None:
            return  # whose words these are not: it hears the close
        jitter_ms = random.randrange(200, BYE_SPREAD_MS)
        connection.outbox.put(text_frame(protocol.bye(jitter_ms)))

    async def stop(self) -> None:
        """Stop listening, end what is left."""
        for connection in list(self._connections):
            connection.close(GOING_AWAY, "going away")
        for door in self._doors:
            await door.close()
        if self._runner is not None:
            await self._runner.cleanup()
        for connection in list(self._connections):
            connection.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._poll is not None:
            self._poll.cancel()
        self.hashing.shutdown(wait=False, cancel_futures=True)
        if self.hearing is not None:
            self.hearing.close()
        if self.playouts is not None:
            self.playouts.close()

    def status(self) -> dict[str, int]:
        """For ``sangha status``."""
        return {
            "sockets": len(self._connections),
            "outbox_bytes": sum(each.outbox.waiting_bytes for each in self._connections),
            "port": self.port,
        }

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside; kept until done. What fails is logged then: nobody awaits it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a task failed", exc_info=failure)

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Call once, later."""
        asyncio.get_running_loop().call_later(delay_s, act)

    def log_reference(self, message: str, failure: Exception) -> str:
        """Log a failure of ours, and return what a client may see of it."""
        reference = secrets.token_hex(6)
        log.error("%s, reference %s", message, reference, exc_info=failure)
        return f"internal error, reference {reference}"

    # --- what links bring ------------------------------------------------------------------------------------------

    def on_message(self, kind: str, message: Any) -> None:
        """Following, Pushed, Resynced, Dropped of a shard of that kind, in the link's order."""
        what, table = type(message), self._tables.get(kind)
        if what is Following:
            self._following(kind, message)
        elif table is None:
            return
        elif what is Pushed:
            table.push(message)
            if kind == "practitioner":
                table.flush()  # it may end a login, and the client is to hear why
                self._account_event(message)
        elif what is Resynced:
            for outbox in table.resynced(message):
                outbox.owner.page_on(table.streams[message.entity])
        elif what is Dropped:
            self._dropped(table, message)
        if self.playouts is not None and kind == "audio_session" and table is not None:
            self.playouts.heard(message)

    def _following(self, kind: str, message: Following) -> None:
        connection = self._sessions.get(message.session) or self.followers.get(message.session)
        if connection is None or connection.closing:
            # Its socket went while the join was under way: the Unfollow then came too early to count.
            self.router.link(Address(kind, message.entity)).send(Unfollow(message.entity, message.session))
            return
        table = self._tables.get(kind)
        if table is None:
            table = self._tables[kind] = StreamTable(kind, self.settings.outbox_bytes, self._flush_soon)
        connection.following(table, message)

    def _dropped(self, table: StreamTable, message: Dropped) -> None:
        stream = table.streams.get(message.entity)
        if stream is None:
            return
        for outbox, catching in table.dropped(message):
            unshared = table.kind == "audio_session" and message.practitioner is not None
            outbox.owner.dropped(stream, catching=catching or unshared)  # of which no push tells them
            self.unlisten(outbox, table.kind, message.entity)

    def _account_event(self, message: Pushed) -> None:
        """What a practitioner's own stream says to the gateway itself: a login ended, the name changed."""
        event = orjson.loads(message.frame)
        body = event.get("body") or {}
        if event.get("event") == "session_closed":
            for connection in self._of_practitioner(message.entity):
                if connection.auth_session in body.get("sessions", ()):
                    connection.close(UNAUTHENTICATED, "the session was closed")
        elif event.get("event") == "profile_updated":
            for connection in self._of_practitioner(message.entity):
                connection.rename(display_name({"id": message.entity} | body))

    def _of_practitioner(self, practitioner: str) -> list[Connection]:
        return [
            each
            for each in self._sessions.values()
            if each.caller is not None and each.caller.practitioner == practitioner and not each.closing
        ]

    @property
    def tables(self) -> Iterable[StreamTable]:
        """What is followed through this gateway, by kind."""
        return self._tables.values()

    def connection(self, session: str) -> Connection | None:
        """The socket of a session, where it has one here."""
        return self._sessions.get(session)

    @property
    def sessions(self) -> int:
        """Sockets that are authenticated."""
        return len(self._sessions)

    def follows(self, kind: str) -> list[Follow]:
        """Every stream of a kind that has followers here: a link that has just reconnected asks for its shard's first."""
        table = self._tables.get(kind)
        return table.follows() if table is not None else []

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """The turn of the loop is over: pushes leave and take replies to the same sockets along, then the other replies."""
        self._flushing = False
        for table in self._tables.values():
            table.flush()
        deferring, self._deferring = self._deferring, []
        for outbox in deferring:
            outbox.flush()

    def flush_later(self, outbox: Outbox) -> None:
        """The outbox has deferred replies."""
        self._deferring.append(outbox)
        self._flush_soon()

    async def hear(self) -> Hearing:
        """What audio sessions sound like, for those who look; made when the first one does, with all of numpy."""
        if self.hearing is None:
            module = await asyncio.to_thread(import_module, "server.sound.hearing")
            self.hearing = self.hearing or module.Hearing(self)
        return self.hearing

    async def sound(self) -> Playouts:
        """What is rendered here for those who listen; made when the first one does, with all of numpy."""
        if self.playouts is None:
            module = await asyncio.to_thread(import_module, "server.sound.playouts")
            if self.playouts is None:  # another may have come meanwhile
                self.playouts = module.Playouts(self.settings.playouts, lifted=self.settings.lab)
        return self.playouts

    def unlisten(self, outbox: Outbox, kind: str, entity: str) -> None:
        """The outbox's session follows an entity no longer: if that is an audio session, it hears no more of it."""
        if self.playouts is not None and kind == "audio_session":
            self.playouts.leave(outbox, entity)

    # --- what connections need -------------------------------------------------------------------------------------

    def new_identity(self, practitioner: str, *, guest: bool, now_s: float) -> Identity:
        """A new session."""
        expires_s = int(now_s + self.settings.session_life_s)
        return Identity(uuid=str(uuid.uuid4()), practitioner=practitioner, expires_s=expires_s, guest=guest)

    def check_sockets_of(self, practitioner: str, session: str) -> None:
        """Raises Full where the practitioner has as many sockets as one may. A session's older socket gives way."""
        limit, others = self.settings.sockets_per_practitioner, self._by_practitioner[practitioner]
        if not self.settings.lab and others - (session in self._sessions) >= limit:
            raise Full(f"at most {limit} sockets of one practitioner")

    def address_is_full(self, address: str) -> bool:
        """Whether the address has as many sockets as one may."""
        return not self.settings.lab and self._by_address[address] >= self.settings.sockets_per_address

    def opened(self, connection: Connection) -> None:
        """A socket is there; nobody knows yet whose."""
        self.measures.opened += 1
        self._connections.add(connection)
        self._by_address[connection.address] += 1

    def took(self, connection: Connection) -> None:
        """The connection speaks for its session from now on; an older one of the same session ends."""
        assert connection.caller is not None
        self._by_practitioner[connection.caller.practitioner] += 1
        older = self._sessions.get(connection.session)
        self._sessions[connection.session] = connection
        if older is not None:
            older.detach()
            older.close(NORMAL, "resumed on another socket")

    def gave_up(self, connection: Connection) -> None:
        """The connection speaks for nobody."""
        if connection.caller is not None:
            _one_less(self._by_practitioner, connection.caller.practitioner)
            if self._sessions.get(connection.session) is connection:
                del self._sessions[connection.session]

    def closed(self, connection: Connection) -> None:
        """The socket is gone."""
        connection.closing = True
        connection.outbox.shut()
        connection.detach()
        connection.abandon()
        connection.outbox.disown()
        self._connections.discard(connection)
        self._watched.discard(connection)
        self._doomed.pop(connection, None)
        _one_less(self._by_address, connection.address)
        self.gave_up(connection)
        if not self._connections and self._all_closed is not None:
            self._all_closed.set()

    def answered(self, count: int) -> None:
        """So many requests have their reply."""
        self.unanswered -= count
        if not self.unanswered and self._all_answered is not None:
            self._all_answered.set()

    async def ask(
        self, address: Address, command: bytes, caller: Caller | None = None, operation: str | None = None
    ) -> Answer | Refused:
        """Ask an entity where the order with pushes does not matter (HTTP, checks). A change without a key is ``ONCE``."""
        current, (done, answered) = current_request.get(), _to_come()
        trace, on_answer = followed(self.tracer, f"ask {address.kind}", traceparent.get(), answered)
        link = self.router.link(address)

        def make(cid: int) -> Ask:
            name = link.once(cid) if operation == ONCE else operation
            return Ask(cid, address.id, command, caller, name, current, False, trace)

        link.ask(make, on_answer)
        return await done

    async def history(self, address: Address, after: int, limit: int, caller: Caller) -> Answer | Refused:
        """Numbered events of an entity after an offset, oldest first."""
        done, answered = _to_come()
        self.router.link(address).ask(lambda cid: History(cid, address.id, after, limit, caller), answered)
        return await done

    # --- housekeeping ----------------------------------------------------------------------------------------------

    def watch(self, connection: Connection) -> None:
        """The connection waits for its buffer to drain."""
        self._watched.add(connection)
        if self._poll is None:
            self._poll = asyncio.get_running_loop().call_later(POLL_S, self._poke)

    def _poke(self) -> None:
        self._poll = None
        self._watched -= {each for each in list(self._watched) if each.poke()}
        if self._watched and self._poll is None:
            self._poll = asyncio.get_running_loop().call_later(POLL_S, self._poke)

    def doom(self, connection: Connection) -> None:
        """The connection has been told to close: it has a while, then it is aborted."""
        self._doomed[connection] = time.monotonic() + GRACE_S

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            while self.guard.sweep():  # noqa: ASYNC110 - not waiting: the others have a turn between
                await asyncio.sleep(0)
            self.sweep(time.monotonic(), time.time())

    def sweep(self, now: float, now_s: float) -> None:
        """Abort who did not close in time, close whose token has expired. ``now`` is monotonic, ``now_s`` epoch seconds."""
        for connection in [each for each, deadline in self._doomed.items() if deadline <= now]:
            del self._doomed[connection]
            connection.transport.abort()
        for connection in [each for each in self._connections if each.expires_s <= now_s]:
            connection.close(UNAUTHENTICATED, "the token has expired")


def _to_come() -> tuple[asyncio.Future[Answer | Refused], Callable[[Any], None]]:
    """An answer to wait for, and what is called with it; who waited may be gone by then."""
    done: asyncio.Future[Answer | Refused] = asyncio.get_running_loop().create_future()

    def answered(message: Any) -> None:
        if not done.done():
            done.set_result(message)

    return done, answered


def _one_less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def _connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        connections=most_connections(settings.connections),
        per_address=None if settings.lab else settings.connections_per_address,
        header_timeout_s=settings.header_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        keepalive_s=settings.keepalive_s,
    )


def _client_limits(settings: Settings, *, guest: bool) -> dict[str, float]:
    """The limits that a client can run into, as ``auth``'s reply states them."""
    names = (
        "requests_per_s requests_burst unanswered_requests malformed_per_minute joined_spaces created_spaces"
        " participant_limit_max message_bytes shared_state_bytes frame_bytes json_depth history_page outbox_bytes"
        " session_life_s sockets_per_address sockets_per_practitioner"
    )
    limits: dict[str, float] = {name: getattr(settings, name) for name in names.split()}
    return limits | ({"created_spaces": settings.guest_created_spaces} if guest else {})
