"""What an audio session can be asked. The entity's id is the session's UUID.

A caller is a practitioner. Only the owner changes a session; where it is shared with a collective space, a caller whom the
gateway found to participate in it (``as_member``: the space that it looked into) may see it and listen.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from actors.audio.presets import Layers
from actors.audio.values import DURATION_MAX_S, AudioType, DeviceName, Frequency, Level
from actors.audio.values import Share as Part
from actors.runtime.codec import CommandCodec, Uuid
from actors.runtime.entity import Struct

Name = Annotated[str, Meta(max_length=255)]
Intention = Annotated[str, Meta(max_length=2_000)]
Seconds = Annotated[int, Meta(ge=1, le=DURATION_MAX_S)]
Metadata = Annotated[dict[str, Any], Meta(max_length=100)]
ASTROLOGY: Final = "the sky of when it was made goes into its `metadata`, as `sky`, unless that is there"
HARDWARE: Final = "without a `device` it sounds on the server's own, where there is one"
VISUALS: Final = "its `visual` is the path of a picture of what sounds"
Status = Literal["created", "running", "paused", "stopped", "completed"]


class Command(Struct, frozen=True):
    """One of the below."""


class CreateSession(Command, frozen=True, kw_only=True, tag="create"):
    """The seed's ``SessionCreate`` and what the published client sends beside it. Answers ``replies.AudioSession``.

    What sounds is made of ``audio_type`` and ``frequencies`` (else ``audio_frequency``); the recipe is decided once, here.
    """

    intention: Intention = ""
    duration: Seconds = 300
    audio_type: AudioType = "prayer_bowl"
    frequencies: Annotated[tuple[Frequency, ...], Meta(max_length=32)] = ()
    prayer_bowl_mode: bool = True
    metadata: Metadata = {}  # noqa: RUF012 - msgspec copies it
    name: Name = ""
    audio_frequency: Frequency | UnsetType = UNSET
    beat_frequency: Annotated[float, Meta(gt=0, le=100)] = 7.83
    pure_sine: bool = False
    volume: Level = 0.5
    harmonic_strength: Part = 0.5
    modulation_depth: Part = 0.0
    astrology_enabled: Annotated[bool, Meta(description=ASTROLOGY)] = False
    hardware_enabled: Annotated[bool, Meta(description=HARDWARE)] = False
    visuals_enabled: Annotated[bool, Meta(description=VISUALS)] = False
    device: DeviceName | None = None
    """Where it sounds beside those who listen. (HTTP makes ``default`` of ``hardware_enabled`` without a name.)"""
    space: Uuid | None = None
    layers: Layers | UnsetType = UNSET
    """Several sounds in place of one."""
    sky: Metadata = {}  # noqa: RUF012 - msgspec copies it
    """The sky as it was then, for ``metadata`` where nothing else is called so. (HTTP fills it in for ``astrology_enabled``.)"""
    published: bool = False
    """Made by the published client's request: start and stop answer it with ``status: success``."""


class UpdateSession(Command, frozen=True, kw_only=True, tag="update"):
    """Changes what is given. A ``status`` does what start, pause, resume and stop do. Answers ``replies.AudioSession``."""

    intention: Intention | UnsetType = UNSET
    duration: Seconds | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    volume: Level | UnsetType = UNSET
    audio_frequency: Frequency | UnsetType = UNSET


class Start(Command, frozen=True, kw_only=True, tag="start"):
    """It runs from a moment that lies a little ahead, so that all begin together; a paused one goes on where it was, a stopped or
    completed one begins anew. Answers ``replies.AudioSession``; of a running one with no change."""


class Pause(Command, frozen=True, kw_only=True, tag="pause"):
    """It stands. Answers ``replies.AudioSession``. Conflict where it does not run."""


class Stop(Command, frozen=True, kw_only=True, tag="stop"):
    """It has ended. Answers ``replies.AudioSession``; of one that ended before with no change."""


class Share(Command, frozen=True, kw_only=True, tag="share"):
    """With a collective space whose member the owner is (the gateway made sure); None: with nobody."""

    space: Uuid | None


class Delete(Command, frozen=True, kw_only=True, tag="delete"):
    """It is no more."""


class GetSession(Command, frozen=True, kw_only=True, tag="get"):
    """Answers ``replies.AudioSession``."""

    as_member: Uuid | None = None


class Listen(Command, frozen=True, kw_only=True, tag="listen"):
    """The caller's session follows the stream. Answers ``replies.AudioSession``."""

    as_member: Uuid | None = None


AnyCommand = CreateSession | UpdateSession | Start | Pause | Stop | Share | Delete | GetSession | Listen

codec: Final[CommandCodec[AnyCommand]] = CommandCodec(AnyCommand)
encode: Final = codec.encode
