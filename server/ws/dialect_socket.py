"""A socket that speaks a seed's dialect: Vajra.Stream's. The shell around ``dialects.vajra``: who it is, its frames, its end.

The ``Connection`` is that of any socket (its outbox, its limits, its close codes) and follows nothing itself: what its sessions
do and sound like it is shown by its practitioner's ear (``server.sound.hearing``), on lane LATEST. So a slow socket gets fewer
frames and hurts only itself.

Who speaks is decided by the upgrade alone: its bearer token, or the local user. Sessions are started and stopped in the order in
which the client said so, one after the other, beside the reading. The seed answers them with nothing; what cannot be done is an
error in the dialect's form.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import WSMsgType

from actors.audio_session import commands as c
from actors.practitioner.entity import display_name
from actors.runtime.entity import LATEST, Caller
from actors.runtime.errors import Draining, Forbidden, Full, Internal, RateLimited, SanghaError, Unauthenticated
from actors.runtime.link import ONCE
from server.audio_sessions import ask_session
from server.local_user import ID as LOCAL
from server.local_user import LocalLogin, local_practitioner
from server.ws.authentication import login_of
from server.ws.closing import GOING_AWAY, TOO_MANY, UNAUTHENTICATED
from server.ws.dialects import vajra
from server.ws.protocol import text_frame

if TYPE_CHECKING:
    from server.sound.hearing import Ear
    from server.ws.socket import Connection

LIGHT_BYTES: Final = 2 * 1024
"""A frame of this size is read at once; larger ones wait for their turn, as in the native dialect."""


async def speak(
    connection: Connection, first: bytes, bearer: str | None, *, local: bool, undecided: bool
) -> bytes | None:
    """Vajra's dialect until the socket has ended. ``first``: a frame that was read already, empty where the client was silent.

    ``undecided``: it may turn out to be a native client that was slow: then its ``auth`` is returned, and all is as before.
    """
    connection.dialect = "vajra"
    socket = VajraSocket(connection, vajra.Vajra(undecided=undecided))
    try:
        await socket.enter(bearer, local=local)
        socket.begin(first)
        return await socket.read()
    finally:
        socket.leave()


class VajraSocket:
    """See the module."""

    def __init__(self, connection: Connection, dialect: vajra.Vajra) -> None:
        self._connection = connection
        self._gateway = connection.gateway
        self._dialect = dialect
        self._ear: Ear | None = None
        self._asked: deque[vajra.StartSession | vajra.StopSession] | None = None  # None: nothing is under way
        self._native: bytes | None = None

    # --- who it is ---------------------------------------------------------------------------------------------------

    async def enter(self, bearer: str | None, *, local: bool) -> None:
        """The socket speaks for its practitioner, or is closing."""
        connection, measures = self._connection, self._gateway.measures
        if connection.closing:
            return
        try:
            await self._stand(bearer, local=local)
            measures.auths["ok"] += 1
        except SanghaError as failure:
            connection.withdraw()
            measures.auths[failure.code] += 1
            connection.write(vajra.error(failure))
            connection.close(_close_code(failure), failure.message)

    async def _stand(self, bearer: str | None, *, local: bool) -> None:
        connection, gateway = self._connection, self._gateway
        if gateway.draining:
            raise Draining("the server is going away")
        login = await self._login(bearer, local=local)
        owner = str(login.practitioner_id)
        identity = gateway.new_identity(owner, guest=False, now_s=time.time())
        hearing = await gateway.hear()
        gateway.check_sockets_of(owner, identity.uuid)
        # It counts, and what ends the login closes it, from before it is asked whether the login is there: an end that came
        # while this one waits for the answer would be nobody's.
        connection.auth_session, connection.expires_s = str(login.id), login.expires_at.timestamp()
        connection.stand(identity, Caller(owner, None, False, identity.uuid))
        self._ear = hearing.ear(owner)
        profile = await self._ear.enter(None if login.id == LOCAL else str(login.id), self)
        if not connection.closing:
            connection.rename(display_name(orjson.loads(profile)))

    async def _login(self, bearer: str | None, *, local: bool) -> LocalLogin:
        if bearer is not None:
            login: LocalLogin = await login_of(self._gateway, bearer)
            if login.service is not None:
                raise Forbidden(f"this is a token of the service {login.service}, which is no practitioner's login")
            return login
        if not local:
            raise Unauthenticated("a bearer token is required on the upgrade")
        await local_practitioner(self._gateway)
        return LocalLogin()

    def leave(self) -> None:
        """It is shown nothing any more."""
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.remove(self)

    # --- what it says ------------------------------------------------------------------------------------------------

    def begin(self, first: bytes) -> None:
        """With the frame that was read already, or with silence."""
        if self._connection.closing:
            return
        if first:
            self._received(first)
        else:
            self._connection.write(self._dialect.silent())

    async def read(self) -> bytes | None:
        """Until the socket has ended, or a native client has shown itself: then its ``auth``."""
        connection = self._connection
        while self._native is None:
            message = await connection.ws.receive()
            if message.type is WSMsgType.TEXT:
                if len(message.data) > LIGHT_BYTES:
                    await self._gateway.turns.wait(len(message.data))
                if not connection.closing:
                    self._received(message.data)
            elif message.type is WSMsgType.BINARY:
                self._received(b"")
            elif not connection.ping(message):
                await connection.answer_close()
                return None
            if connection.flooded:
                await connection.slow_down()
        connection.withdraw()
        connection.dialect = None
        return self._native

    def _received(self, data: bytes) -> None:
        """One frame; empty stands for one that is no text."""
        connection = self._connection
        if not connection.allows(data):
            rate = self._gateway.settings.requests_per_s
            self._refuse(RateLimited(f"more than {rate:g} requests a second"))
            return
        match self._dialect.received(data):
            case vajra.Wrong(frame=frame) | vajra.Alive(frame=frame):
                connection.write(frame)
            case vajra.NotOurs():
                self._native = data
            case vajra.StartSession() | vajra.StopSession() as intent:
                self._ask(intent)

    def _refuse(self, failure: SanghaError) -> None:
        self._gateway.measures.refused[None, failure.code] += 1
        self._connection.write(vajra.error(failure))

    def _ask(self, intent: vajra.StartSession | vajra.StopSession) -> None:
        limit = self._gateway.settings.unanswered_requests
        if self._gateway.draining:
            self._refuse(Draining("the server is going away; come back and ask again"))
        elif self._asked is None:
            self._asked = deque((intent,))
            self._gateway.spawn(self._work(self._asked))
        elif len(self._asked) >= limit:
            self._refuse(RateLimited(f"more than {limit} requests without an answer"))
        else:
            self._asked.append(intent)

    async def _work(self, asked: deque[vajra.StartSession | vajra.StopSession]) -> None:
        while asked and not self._connection.closing:
            try:
                await self._do(asked[0])
            except SanghaError as failure:
                self._refuse(failure)
            except Exception as failure:  # noqa: BLE001 - the boundary: logged with a reference that the client gets
                self._refuse(Internal(self._gateway.log_reference("a session could not be changed", failure)))
            asked.popleft()
        self._asked = None

    async def _do(self, intent: vajra.StartSession | vajra.StopSession) -> None:
        command = c.Start() if isinstance(intent, vajra.StartSession) else c.Stop()
        caller = self._connection.caller
        assert caller is not None
        await ask_session(self._gateway, caller, intent.session, command, ONCE)

    # --- what it is shown --------------------------------------------------------------------------------------------

    def show(self, moment: vajra.Moment) -> None:
        """Of the newest moment what it wants; what waited for a slow client is replaced."""
        if not self._connection.closing:
            for key, payload in self._dialect.frames(moment):
                self._connection.outbox.put(text_frame(payload), LATEST, key)


def _close_code(failure: SanghaError) -> int:
    """A client that cannot say anything cannot try again on the same socket: it comes back."""
    if isinstance(failure, Full):
        return TOO_MANY
    return GOING_AWAY if failure.retryable else UNAUTHENTICATED
