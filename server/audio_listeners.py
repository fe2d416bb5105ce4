"""Who listens through this gateway to the audio sessions of others, and still may.

A session's entity knows whom it is shared with, but not who comes and goes there. So a gateway looks every ``EVERY_S`` after all
who listen through it, with a question to storage, and ends what is no longer allowed: the listener left the space, its owner
did, or it was closed. (That a session is shared with another space or with none, its entity says at once.)
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Final

from actors.runtime.entity import Address
from actors.runtime.errors import ActorUnavailable, Forbidden, SanghaError
from server.audio_sessions import KIND, Inside
from server.rituals import read
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway
    from server.ws.socket import Connection
    from storage.audio_queries import Stranger

log = logging.getLogger(__name__)

EVERY_S: Final = 5.0
ASKED_MAX: Final = 5_000
"""Pairs of a session and a listener in one question."""

Listening = dict[tuple[str, str], list["Connection"]]
"""By session and practitioner, the sockets."""

_watched: weakref.WeakSet[Gateway] = weakref.WeakSet()


def watch(gateway: Gateway) -> None:
    """Somebody listens to another's session: from now on they are looked after."""
    if gateway not in _watched:
        _watched.add(gateway)
        gateway.spawn(_watch(gateway))


async def _watch(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await end_strangers(gateway)
        except SanghaError as away:
            log.debug("who may still listen is not known: %s", away.message)
        except Exception:  # nobody waits for this task, and the next look may go better
            log.exception("who may still listen could not be found out")


async def end_strangers(gateway: Gateway) -> None:
    """Whoever may no longer listen does not. Raises what may be tried again."""
    listening, inside = _listening(gateway), Inside(gateway)
    pairs = list(listening)
    for start in range(0, len(pairs), ASKED_MAX):
        asked = pairs[start : start + ASKED_MAX]
        for stranger in await read(gateway.queries.audio_strangers(asked)):
            for connection in listening[stranger.session, stranger.practitioner]:
                if not await _is_let_in(inside, connection, stranger):
                    _end(connection, stranger.session)


def _listening(gateway: Gateway) -> Listening:
    found: Listening = {}
    for table in gateway.tables:
        if table.kind != KIND:
            continue
        for stream in table.streams.values():
            for subscriber in stream.subscribers():
                connection = gateway.connection(subscriber.session)
                if connection is not None:
                    found.setdefault((stream.entity, subscriber.practitioner), []).append(connection)
    return found


async def _is_let_in(inside: Inside, connection: Connection, stranger: Stranger) -> bool:
    """Whether the space itself says so, of whom rows cannot: a guest, or who listens to a guest. Where it does not answer, the
    next round shows."""
    caller = connection.caller
    if caller is None or stranger.space is None or not (caller.guest or stranger.guest):
        return False
    return await inside.has(caller, stranger.space, stranger.practitioner, stranger.owner) is not False


def _end(connection: Connection, session: str) -> None:
    address = Address(KIND, session)
    if connection.closing or str(address) not in connection.streams:
        return
    try:
        connection.unfollow(address)
    except ActorUnavailable:  # it begins to listen anew at this moment, and that was checked
        return
    connection.write(protocol.left(str(address), Forbidden.code))
