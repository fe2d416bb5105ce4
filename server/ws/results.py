"""What each request of the native dialect is answered with, by type. See ``server.shapes`` for the objects in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType, field

from actors.eustress.replies import Ingested
from actors.eustress.values import SpaceName
from actors.practitioner.transformation import TransformationResult
from actors.runtime.codec import Uuid
from server import shapes
from server.sound.frames import Name


class Authenticated(Struct, kw_only=True):
    """The session. A guest also gets the ``secret`` to resume it with."""

    session: Annotated[str, Meta(description="for ``resume``; opaque")]
    practitioner: shapes.Practitioner
    resumed: Annotated[bool, Meta(description="false: this is a new session, which follows no space yet")]
    heartbeat_s: float
    server_time: datetime
    limits: Annotated[dict[str, float], Meta(description="those that bind a client")]
    secret: str | UnsetType = UNSET


class Pong(Struct, kw_only=True):
    """The server is there; clients estimate the offset of its clock from this."""

    pong: bool
    server_time: datetime


class Spaces(Struct, kw_only=True):
    """A page of spaces, newest first."""

    spaces: list[shapes.ListedSpace]


class SpaceId(Struct, kw_only=True):
    """Which space it was."""

    space: Uuid


class MayEnter(Struct, kw_only=True):
    """Who may enter now."""

    space: Uuid
    practitioner: Uuid


class Following(Struct, kw_only=True):
    """The head of the space's stream; the snapshot, or the replay, follows."""

    space: Uuid
    offset: int


class Stored(Struct, kw_only=True):
    """The message is durable, at this offset."""

    offset: int


class Pulsed(Struct, kw_only=True):
    """The agreement of all phases with this one, null for fewer than two."""

    phase_coherence: float | None


class States(Struct, kw_only=True):
    """A page of versions, newest first."""

    states: list[shapes.StateVersion]


class PastEvent(Struct, kw_only=True):
    """A numbered event; its body is that of the push."""

    offset: int
    at: datetime
    event: str
    sender: shapes.Person | None = field(name="from")
    body: Any


class Events(Struct, kw_only=True):
    """A page of a stream, oldest first, and whether there are more."""

    events: list[PastEvent]
    more: bool


class EustressFollowing(Struct, kw_only=True):
    """The head of the Eustress space's stream; the snapshot, or the replay, follows."""

    space: SpaceName
    offset: int


class EustressSpaceName(Struct, kw_only=True):
    """Which Eustress space it was."""

    space: SpaceName


class Listening(Struct, kw_only=True):
    """The snapshot and the sound follow. A frame of ``frame_samples`` at ``position`` sounds when the session's timeline is
    at (``position`` - ``delay_samples``) / ``rate`` seconds; it is sent ``ahead_ms`` before."""

    session: Uuid
    stream: Annotated[int, Meta(description="its number in the frames")]
    codec: Name
    rate: Annotated[int, Meta(description="samples a second")]
    channels: int
    frame_samples: int
    delay_samples: Annotated[int, Meta(description="by which what a decoder gives is late: Opus' look-ahead")]
    ahead_ms: int


class AudioSessionId(Struct, kw_only=True):
    """Which audio session it was."""

    session: Uuid


RESULTS: Final[Mapping[str, type]] = {
    "auth": Authenticated,
    "ping": Pong,
    "space.list": Spaces,
    "space.create": shapes.Space,
    "space.update": shapes.Space,
    "space.invite": MayEnter,
    "space.join": Following,
    "space.leave": SpaceId,
    "space.close": SpaceId,
    "space.get": shapes.SpaceState,
    "space.send": Stored,
    "space.pulse": Pulsed,
    "space.ritual.begin": shapes.GroupRitualReply,
    "space.ritual.abort": shapes.GroupRitualReply,
    "space.ritual.get": shapes.GroupRituals,
    "ritual.run": TransformationResult,
    "state.get": shapes.State,
    "state.transform": shapes.TransformedState,
    "state.history": States,
    "state.reflection": shapes.Insight,
    "eustress.subscribe": EustressFollowing,
    "eustress.unsubscribe": EustressSpaceName,
    "eustress.ingest": Ingested,
    "audio.listen": Listening,
    "audio.unlisten": AudioSessionId,
    "history": Events,
}
