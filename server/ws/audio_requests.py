"""The requests of those who listen: who may hear an audio session, and from when on.

Whoever listens follows the session's stream, and is added to its playout in the turn in which the session answers: so no change
is missed between what the answer says and the first push. Listening is a matter of one socket. It is not resumed, since what has
sounded meanwhile is over, and no operation is recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.audio.values import CHANNELS
from actors.audio_session import commands as c
from actors.audio_session.replies import AudioSession
from actors.runtime.entity import Address
from actors.runtime.errors import SanghaError
from actors.runtime.wire import Answer, Paged, Refused
from server.audio_listeners import watch
from server.audio_sessions import KIND, as_member
from server.sound.frames import AHEAD_MS
from server.ws import protocol
from server.ws.asking import OnAnswer, follow, pass_on
from server.ws.results import AudioSessionId, Listening

if TYPE_CHECKING:
    from server.sound.playout import Playout
    from server.sound.playouts import Playouts
    from server.ws.socket import Connection

_session_of: Final = msgspec.json.Decoder(AudioSession).decode


async def _listen(connection: Connection, request: protocol.AudioListen) -> None:
    gateway, caller = connection.gateway, connection.caller
    assert caller is not None
    playouts = await gateway.sound()
    playouts.check(request.codec)
    member = await as_member(gateway, caller, request.session)
    if connection.closing:
        return
    address = Address(KIND, request.session)
    connection.unfollow(address)  # whoever listens again begins again
    if member is not None:
        watch(gateway)
    command = c.encode(c.Listen(as_member=member))
    follow(connection, request, address, command, None, recorded=False, reply=_heard(connection, request, playouts))


def _heard(connection: Connection, request: protocol.AudioListen, playouts: Playouts) -> OnAnswer:
    """The session's answer makes the socket one of the listeners."""

    def answered(message: Answer | Refused | Paged) -> None:
        if not isinstance(message, Answer) or connection.closing:
            pass_on(connection, request.id, message)
            return
        state = _session_of(message.body)
        try:
            playout = playouts.listen(connection.outbox, state, request.codec, spectrum=request.spectrum)
        except SanghaError as failure:  # there is no room
            connection.not_following(str(Address(KIND, state.id)))  # the shard, which counts it already, is told
            connection.refuse(request.id, failure)
        else:
            connection.reply(request.id, msgspec.json.encode(_listening(playout)))

    return answered


def _listening(playout: Playout) -> Listening:
    codec = playout.codec
    return Listening(
        session=playout.session,
        stream=playout.number,
        codec=codec.name,
        rate=codec.rate,
        channels=CHANNELS,
        frame_samples=codec.frame_samples,
        delay_samples=codec.delay_samples,
        ahead_ms=AHEAD_MS,
    )


def _unlisten(connection: Connection, request: protocol.AudioUnlisten, entity: str) -> None:
    connection.unfollow(Address(KIND, entity))
    connection.reply(request.id, msgspec.json.encode(AudioSessionId(session=entity)))


HANDLERS: Final[dict[type[protocol.Request], Callable[[Connection, Any, str], None]]] = {
    protocol.AudioUnlisten: _unlisten,
}

LOOK_UPS: Final[dict[type[protocol.Request], Callable[[Connection, Any], Awaitable[None]]]] = {
    protocol.AudioListen: _listen,
}
