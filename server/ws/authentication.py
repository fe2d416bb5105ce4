"""From the first frame to a session: who is there, which earlier session it takes up, and what its streams missed.

An account comes with a token (in the frame, or as ``Authorization: Bearer`` on the upgrade) and enters its practitioner's
entity, whose answer completes the authentication in the turn in which it comes: the reply precedes every push. A guest has
no entity: its session string is all there is of it.

A session that cannot be resumed any more is replaced by a new one (``"resumed": false``), which follows nothing by itself:
the client joins anew, with ``after`` where it wants the replay.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import WSMsgType

from actors.practitioner import commands as practitioner
from actors.practitioner.entity import display_name
from actors.runtime.codec import invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Draining, Full, SanghaError, StorageUnavailable, Unauthenticated
from actors.runtime.ports import StoreDown
from actors.runtime.trace import request_id as current_request
from actors.runtime.wire import Answer, Ask, Paged, Refused
from server import tokens
from server.local_user import ID as LOCAL
from server.local_user import LocalLogin, local_practitioner
from server.ws import protocol
from server.ws.closing import TOO_MANY, UNAUTHENTICATED
from server.ws.dialects import vajra
from server.ws.eustress_requests import may_use_lake
from server.ws.protocol import utc_now
from server.ws.session import Identity

if TYPE_CHECKING:
    from server.gateway import Gateway
    from server.ws.socket import Connection

SILENCE_S: Final = 0.3
"""Who said nothing for so long on the bare ``/ws`` speaks the dialect that the setting ``silent_dialect`` names."""


async def authenticate(
    connection: Connection, bearer: str | None, *, local: bool = False, bare: bool = False, late: bytes | None = None
) -> bytes | None:
    """Until the session stands, or the socket is closing or gone; then None. Or until a client on the ``bare`` path showed itself
    to speak Vajra's dialect: then its first frame, empty where it was silent.

    ``local``: who says nothing of a login is the local user. ``late``: a first frame that was read already.
    """
    now = asyncio.get_running_loop().time()
    deadline = now + connection.gateway.settings.auth_timeout_s
    vajras = bare and (local or bearer is not None) and connection.gateway.settings.silence_is_vajra
    until = min(deadline, now + SILENCE_S) if vajras else deadline
    if late is not None:
        await _first_frame(connection, late, bearer, local=local)
    while connection.caller is None and not connection.closing:
        try:
            async with asyncio.timeout_at(until):
                message = await connection.ws.receive()
        except TimeoutError:
            if until < deadline:
                return b""
            connection.close(UNAUTHENTICATED, "no authentication in time")
            return None
        if connection.ping(message):
            await connection.slow_down()
            continue
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            await connection.answer_close()
            return None
        data = message.data if message.type is WSMsgType.TEXT else b""
        if await _first_frame(connection, data, bearer, local=local, bare=bare, vajras=vajras):
            return data
        until = deadline
    return None


async def _first_frame(
    connection: Connection,
    data: bytes,
    bearer: str | None,
    *,
    local: bool,
    bare: bool = False,
    vajras: bool = False,
) -> bool:
    """True: it is of Vajra's dialect, or of none that is known here and silence would have been Vajra's."""
    try:
        request = protocol.parse(data, connection.gateway.json_depth).request
    except protocol.Refusal as refusal:
        if data and (vajras or (bare and vajra.begins(data))):
            return True
        connection.write(protocol.error(refusal.id, refusal.error))
        connection.close(UNAUTHENTICATED, "the first frame must be auth")
        return False
    try:
        if not isinstance(request, protocol.Auth):
            raise Unauthenticated("the first frame must be auth")
        await _enter(connection, request, bearer, local=local)
        connection.gateway.measures.auths["ok"] += 1
    except SanghaError as failure:
        connection.gateway.measures.auths[failure.code] += 1
        connection.write(protocol.error(request.id, failure))
        if not failure.retryable:
            connection.close(TOO_MANY if isinstance(failure, Full) else UNAUTHENTICATED, failure.message)
    return False


async def _enter(connection: Connection, request: protocol.Auth, bearer: str | None, *, local: bool) -> None:
    if connection.gateway.draining:
        raise Draining("the server is going away")
    if request.guest is not None and request.token is None:
        _enter_as_guest(connection, request, request.guest)
        return
    token = request.token or bearer
    if token is None and local:
        await local_practitioner(connection.gateway)
        await _enter_account(connection, request, LocalLogin())
        return
    if token is None:
        raise Unauthenticated("auth needs a token or a guest's name")
    await _enter_with_token(connection, request, token)


async def _enter_with_token(connection: Connection, request: protocol.Auth, token: str) -> None:
    await _enter_account(connection, request, await login_of(connection.gateway, token))


async def login_of(gateway: Gateway, token: str) -> Any:
    """The login that a token stands for. Raises Unauthenticated, StorageUnavailable."""
    try:
        login = await gateway.queries.auth_session(tokens.hashed(token))
    except StoreDown as down:
        raise StorageUnavailable("storage does not answer; try again") from down
    if login is None or login.expires_at.timestamp() <= time.time():
        raise Unauthenticated("the token is unknown or has expired")
    return login


async def _enter_account(connection: Connection, request: protocol.Auth, login: Any) -> None:
    gateway, resume, now_s = connection.gateway, request.resume, time.time()
    owner = str(login.practitioner_id)
    earlier = gateway.keys.resume_account(resume.session, owner, now_s) if resume else None
    identity = earlier or gateway.new_identity(owner, guest=False, now_s=now_s)
    connection.auth_session, connection.expires_s = str(login.id), login.expires_at.timestamp()
    connection.service = login.service
    offsets = _offsets(connection, resume, identity) if earlier else {}
    gateway.check_sockets_of(owner, identity.uuid)
    own = f"practitioner:{owner}"
    connection.want(own, offsets.pop(own, None))
    await _ask_to_enter(connection, request.id, identity, offsets, resumed=earlier is not None)


async def _ask_to_enter(
    connection: Connection, request_id: int, identity: Identity, offsets: dict[str, int], *, resumed: bool
) -> None:
    owner, trace = identity.practitioner, current_request.get()
    done: asyncio.Future[SanghaError | None] = asyncio.get_running_loop().create_future()

    def entered(message: Answer | Refused | Paged) -> None:
        failure = protocol.from_refused(message) if isinstance(message, Refused) else None
        if failure is None and not connection.closing:
            failure = _one_too_many(connection, identity)  # others may have come while this one waited
        if isinstance(message, Answer) and failure is None and not connection.closing:
            profile = orjson.loads(message.body)
            name = display_name(profile)
            connection.stand(identity, Caller(owner, name, False, identity.uuid))
            connection.streams[f"practitioner:{owner}"] = None
            _say_welcome(connection, request_id, profile | {"name": name, "guest": False}, resumed=resumed)
            _follow_again(connection, offsets)
        if not done.done():
            done.set_result(failure)

    caller = Caller(owner, None, False, identity.uuid)
    login = None if connection.auth_session == LOCAL else connection.auth_session
    enter = practitioner.encode(practitioner.Enter(login=login))
    connection.gateway.router.link(Address("practitioner", owner)).ask(
        lambda cid: Ask(cid, owner, enter, caller, None, trace, False), entered
    )
    failure = await done
    if failure is not None:
        raise failure


def _one_too_many(connection: Connection, identity: Identity) -> Full | None:
    try:
        connection.gateway.check_sockets_of(identity.practitioner, identity.uuid)
    except Full as full:
        return full
    return None


def _enter_as_guest(connection: Connection, request: protocol.Auth, name: str) -> None:
    gateway, resume, now_s = connection.gateway, request.resume, time.time()
    if not gateway.settings.guests:
        raise Unauthenticated("guests are not allowed here")
    if not name.strip():
        raise invalid("guest", "a name is more than blanks")
    earlier = gateway.keys.resume_guest(resume.session, resume.secret, name, now_s) if resume else None
    identity = earlier or gateway.new_identity(str(uuid.uuid4()), guest=True, now_s=now_s)
    offsets = _offsets(connection, resume, identity) if earlier else {}
    gateway.check_sockets_of(identity.practitioner, identity.uuid)
    connection.expires_s = identity.expires_s
    connection.stand(identity, Caller(identity.practitioner, name, True, identity.uuid, identity.expires_s))
    person = {"id": identity.practitioner, "name": name, "guest": True}
    secret = gateway.keys.guest_secret(identity, name)
    _say_welcome(connection, request.id, person, resumed=earlier is not None, secret=secret)
    _follow_again(connection, offsets)


def _offsets(connection: Connection, resume: protocol.Resume | None, identity: Identity) -> dict[str, int]:
    """Where each stream is to be resumed. Raises Invalid."""
    offsets = dict(resume.offsets) if resume else {}
    kinds = ({"space"} if connection.service is None else set()) | ({"eustress"} if may_use_lake(connection) else set())
    for stream, offset in offsets.items():
        own = stream == f"practitioner:{identity.practitioner}"
        known = own or (stream.partition(":")[0] in kinds and protocol.STREAM.fullmatch(stream))
        if not known or offset < 0:
            raise invalid("resume.offsets", f"{stream[:60]}: no offset of a stream of this session")
    if len(offsets) > connection.gateway.settings.joined_spaces + 1:
        raise invalid("resume.offsets", "more streams than a session may follow")
    return offsets


def _follow_again(connection: Connection, offsets: dict[str, int]) -> None:
    for stream, offset in offsets.items():
        connection.streams[stream] = None
        connection.want(stream, offset)
        connection.rejoin(stream)


def _say_welcome(
    connection: Connection, request_id: int, person: dict[str, Any], *, resumed: bool, secret: str | None = None
) -> None:
    assert connection.identity is not None
    gateway = connection.gateway
    gateway.measures.resumed += resumed
    answer: dict[str, Any] = {
        "session": gateway.keys.sign(connection.identity),
        "practitioner": person,
        "resumed": resumed,
        "heartbeat_s": gateway.settings.heartbeat_s,
        "server_time": utc_now(),
        "limits": gateway.guest_limits if connection.identity.guest else gateway.client_limits,
    }
    if secret is not None:
        answer["secret"] = secret
    connection.write(protocol.result(request_id, orjson.dumps(answer)))
