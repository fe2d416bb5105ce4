"""``/api/v1/sessions``: sessions in which somebody listens, for the seed's client and for the published one.

Both ask the same paths for different answers. With a slash the list is the seed's array, without it the client's object; a
session that was made by ``POST …/create`` answers start, pause, resume and stop with ``status: success``, one that was made
by ``POST …/sessions/`` with the session. What sounds, and where in it one is, is in ``recipe`` and ``timeline`` either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.audio.portaudio import DEFAULT
from actors.audio.values import Frequency, Level
from actors.audio_session import commands as c
from actors.audio_session.replies import AudioSession
from actors.audio_session.showing import of_row
from actors.runtime.codec import Uuid
from actors.runtime.entity import Caller
from actors.runtime.link import ONCE
from server import audio_sessions as sessions
from server.audio_devices import OFF, check_device
from server.http.api import Example, Handler, Operation, body_of, command_of, given_in, query_of, routes_of
from server.http.context import gateway_of, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY, STORAGE, UuidText, at_most, body_like
from server.http.paging import Page, id_in, page_of
from server.http.rituals import caller_of, change_of
from server.http.vajra_sky import sky_of
from server.rituals import read

TAG: Final = "Vajra sessions"
BASE: Final = "/api/v1/sessions"
ONE: Final = f"{BASE}/{{id}}"
VOLUME: Final = 0.5
Volume = Annotated[Level, at_most("max_volume")]
CreateBody: Final = body_like(
    c.CreateSession,
    "SessionCreate",
    without=("published", "sky"),
    types={
        "volume": Annotated[Volume, Meta(description="default 0.5, or the server's greatest where that is less")],
        "prayer_bowl_mode": Annotated[bool, Meta(description="default: the setting PRAYER_BOWL_MODE")],
    },
)


class UpdateBody(msgspec.Struct, frozen=True, kw_only=True):
    """Changes what is given; null is not given. A ``status`` does what start, pause and stop do."""

    intention: c.Intention | None = None
    duration: c.Seconds | None = None
    status: c.Status | None = None
    metadata: c.Metadata | None = None
    name: c.Name | None = None
    volume: Annotated[Volume | UnsetType, Meta(description="from now on, with a crossfade")] = UNSET
    audio_frequency: Annotated[Frequency | None, Meta(description="in Hz; the same")] = None


class ShareBody(msgspec.Struct, frozen=True, kw_only=True):
    """With which space, whose participant the owner is; null: with none."""

    space: Uuid | None


class SessionsQuery(Page, frozen=True, kw_only=True):
    """Which sessions: one's own, or those that are shared with a space."""

    status: Annotated[c.Status | UnsetType, Meta(description="one's own of this status only")] = UNSET
    space: Annotated[UuidText | UnsetType, Meta(description="a space whose participant one is")] = UNSET


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What the published client reads."""

    status: Literal["success"]
    session_id: Uuid
    session: AudioSession


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    """What the published client reads of a list: a page of it."""

    status: Literal["success"]
    sessions: dict[Uuid, AudioSession]
    next: Annotated[Uuid | None, Meta(description="the `before` of the next page; null at the end")]


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """It is no more."""

    status: Literal["deleted"]


class _Made(msgspec.Struct, frozen=True):
    """What is read of a session's answer."""

    id: str
    published: bool


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def list_sessions(request: web.Request) -> web.Response:
    """An array, newest first."""
    found, _ = await _listed(request)
    return json_response(msgspec.json.encode(found))


async def list_published(request: web.Request) -> web.Response:
    """The same, by id."""
    found, after = await _listed(request)
    by_id = {session.id: session for session in found}
    return json_response(msgspec.json.encode(Sessions(status="success", sessions=by_id, next=after)))


async def _listed(request: web.Request) -> tuple[Sequence[AudioSession], str | None]:
    """A page, and the ``before`` of the next one."""
    caller, query, gateway = await caller_of(request), query_of(request, SessionsQuery), gateway_of(request)
    limit, before = page_of(request, query)
    if (space := id_in(query.space)) is not None:
        await sessions.check_participates(gateway, caller, space)
        rows = await read(gateway.queries.audio_sessions_of_space(space, limit + 1, before))
    else:
        status = query.status if isinstance(query.status, str) else None
        rows = await read(gateway.queries.audio_sessions(caller.practitioner, limit + 1, before, status))
    now, most = datetime.now(UTC), gateway.settings.max_volume
    page, after = rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None
    if space is not None:
        page = await sessions.still_shared(gateway, caller, space, page)
    return [of_row(row, now, most) for row in page], after


async def create_session(request: web.Request) -> web.Response:
    """The session, created and not yet begun."""
    return json_response(await _create(request, published=False))


async def create_published(request: web.Request) -> web.Response:
    """The same, as the published client asks for it."""
    return _done(await _create(request, published=True))


async def _create(request: web.Request, *, published: bool) -> bytes:
    gateway, caller = gateway_of(request), await caller_of(request)
    settings, body = gateway.settings, await body_of(request, CreateBody)
    given = given_in(body)
    if given.get("device") is not None:
        given["device"] = await check_device(gateway, given["device"], caller.practitioner)
    elif given.get("hardware_enabled") and settings.audio_device != OFF:
        given["device"] = DEFAULT
    if given.get("space") is not None:
        await sessions.check_participates(gateway, caller, given["space"])
    left = {"volume": min(VOLUME, settings.max_volume), "prayer_bowl_mode": settings.prayer_bowl_mode}
    operation = change_of(request, caller)
    session = sessions.session_id_of(operation)
    await sessions.room_for_one_more(gateway, caller, session)
    sky = await sky_of(request) if given.get("astrology_enabled") else {}
    command = command_of(c.CreateSession, body, **(left | given), published=published, sky=sky)
    return await sessions.ask_session(gateway, caller, session, command, operation)


async def get_session(request: web.Request) -> web.Response:
    """Its owner's, and who participates in the space that it is shared with."""
    return json_response(await sessions.session_seen(gateway_of(request), await caller_of(request), _id(request)))


async def update_session(request: web.Request) -> web.Response:
    """The session as it is now."""
    caller, body = await caller_of(request), await body_of(request, UpdateBody)
    given = {name: value for name, value in given_in(body).items() if value is not None}
    return json_response(await _change(request, caller, c.UpdateSession(**given)))


async def delete_session(request: web.Request) -> web.Response:
    """Whoever listens hears it end."""
    return json_response(await _change(request, await caller_of(request), c.Delete()))


async def start_session(request: web.Request) -> web.Response:
    """It runs, a moment from now."""
    return await _turn(request, c.Start())


async def resume_session(request: web.Request) -> web.Response:
    """The same; by its own name."""
    return await _turn(request, c.Start())


async def pause_session(request: web.Request) -> web.Response:
    """It stands."""
    return await _turn(request, c.Pause())


async def stop_session(request: web.Request) -> web.Response:
    """It has ended."""
    return await _turn(request, c.Stop())


async def share_session(request: web.Request) -> web.Response:
    """With a space, or with none."""
    gateway, caller = gateway_of(request), await caller_of(request)
    body = await body_of(request, ShareBody)
    if body.space is not None:
        await sessions.check_participates(gateway, caller, body.space)
    return json_response(await _change(request, caller, c.Share(space=body.space)))


async def _turn(request: web.Request, command: c.AnyCommand) -> web.Response:
    reply = await _change(request, await caller_of(request), command)
    return _done(reply) if msgspec.json.decode(reply, type=_Made).published else json_response(reply)


async def _change(request: web.Request, caller: Caller, command: c.AnyCommand) -> bytes:
    operation = operation_of(caller.practitioner, idempotency_key(request)) or ONCE
    return await sessions.ask_session(gateway_of(request), caller, _id(request), command, operation)


def _done(session: bytes) -> web.Response:
    id_ = msgspec.json.decode(session, type=_Made).id
    return json_response(orjson.dumps({"status": "success", "session_id": id_, "session": orjson.Fragment(session)}))


def _id(request: web.Request) -> str:
    return request.match_info["id"].lower()


_SEEN: Final = (*ENTITY, "not_found", "forbidden")
_MAY: Final = (*_SEEN, "conflict")
_HERE: Final = {"id": "{create_audio_session.id}"}
_THERE: Final = {"id": "{create_vajra_session.session_id}"}


def _turning(name: str, handler: Handler, summary: str, description: str, examples: tuple[Example, ...]) -> Operation:
    return Operation(
        method="POST",
        path=f"{ONE}/{name}",
        handler=handler,
        summary=summary,
        description=description,
        tag=TAG,
        reply=(AudioSession, Done),
        errors=_MAY if name in ("pause", "stop") else (*_MAY, "rate_limited"),
        examples=examples,
    )


OPERATIONS: Final = (
    Operation(
        method="POST",
        path=f"{BASE}/",
        handler=create_session,
        summary="Create an audio session",
        description="What sounds is decided here, once: `audio_type` and `frequencies`, else `audio_frequency`.",
        tag=TAG,
        body=CreateBody,
        reply=AudioSession,
        errors=(*_MAY, "full", "rate_limited"),
        examples=(
            Example(
                name="create_audio_session",
                body={"intention": "peace", "duration": 600, "audio_type": "prayer_bowl", "frequencies": [136.1]},
            ),
        ),
    ),
    Operation(
        method="POST",
        path=f"{BASE}/create",
        handler=create_published,
        summary="Create an audio session, as Vajra.Stream's own client",
        description="Such a session answers start, pause, resume and stop with `status: success`.",
        tag=TAG,
        body=CreateBody,
        reply=Done,
        errors=(*_MAY, "full", "rate_limited"),
        examples=(
            Example(
                name="create_vajra_session",
                body={"name": "Morning", "intention": "peace", "duration": 300, "audio_frequency": 432},
            ),
        ),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/",
        handler=list_sessions,
        summary="One's audio sessions, as an array",
        description="Newest first, page by page. Of a `space`: those that are shared with it by who participates in it.",
        tag=TAG,
        query=SessionsQuery,
        reply=list[AudioSession],
        errors=(*STORAGE, "forbidden"),
        examples=(Example(name="list_audio_sessions", query={"status": "created", "limit": "10"}),),
    ),
    Operation(
        method="GET",
        path=BASE,
        handler=list_published,
        summary="One's audio sessions, by id",
        description="What Vajra.Stream's own client reads: the newest. `next` is the `before` of the next page.",
        tag=TAG,
        query=SessionsQuery,
        reply=Sessions,
        errors=(*STORAGE, "forbidden"),
        examples=(Example(name="list_vajra_sessions"),),
    ),
    Operation(
        method="GET",
        path=ONE,
        handler=get_session,
        summary="An audio session",
        description="One's own, or one that is shared with a space whose participant one is.",
        tag=TAG,
        reply=AudioSession,
        errors=_SEEN,
        examples=(Example(name="get_audio_session", path=_HERE),),
    ),
    _turning(
        "start",
        start_session,
        "Start an audio session",
        "It runs from `timeline.anchor_at` on, 0.3 s ahead (1.5 s where shared with a space, 2 s on a sound device), so that all"
        " who listen begin together. A paused one goes on, one that ended begins anew, of one that runs nothing changes.",
        examples=(Example(name="start_audio_session", path=_HERE), Example(name="start_vajra_session", path=_THERE)),
    ),
    Operation(
        method="PUT",
        path=ONE,
        handler=update_session,
        summary="Change an audio session",
        description="Of one that runs, volume and frequency change with a crossfade.",
        tag=TAG,
        body=UpdateBody,
        reply=AudioSession,
        errors=(*_MAY, "rate_limited"),
        examples=(
            Example(name="change_audio_session", path=_HERE, body={"volume": 0.3, "intention": "peace for all"}),
        ),
    ),
    _turning(
        "pause",
        pause_session,
        "Pause an audio session",
        "It stands where it is.",
        examples=(Example(name="pause_audio_session", path=_HERE),),
    ),
    _turning(
        "resume",
        resume_session,
        "Resume an audio session",
        "As start.",
        examples=(Example(name="resume_audio_session", path=_HERE),),
    ),
    _turning(
        "stop",
        stop_session,
        "Stop an audio session",
        "Of one that ended before nothing changes.",
        examples=(Example(name="stop_audio_session", path=_HERE), Example(name="stop_vajra_session", path=_THERE)),
    ),
    Operation(
        method="POST",
        path=f"{ONE}/share",
        handler=share_session,
        summary="Share an audio session with a space",
        description="Its participants may see it and listen for as long as they and the owner participate in it; who listened"
        " through another space listens no longer.",
        tag=TAG,
        body=ShareBody,
        reply=AudioSession,
        errors=(*_MAY, "rate_limited"),
        examples=(Example(name="share_audio_session", path=_HERE, body={"space": None}),),
    ),
    Operation(
        method="DELETE",
        path=ONE,
        handler=delete_session,
        summary="Delete an audio session",
        description="Whoever listens hears it end.",
        tag=TAG,
        reply=Deleted,
        errors=_MAY,
        examples=(Example(name="delete_audio_session", path=_HERE),),
    ),
)
