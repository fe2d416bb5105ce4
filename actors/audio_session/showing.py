"""What is shown of an audio session: the object that clients see, of its state or of its row, and the row. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import structs

from actors.audio.recipe import Recipe
from actors.audio.timeline import Timeline
from actors.audio.values import MAX_VOLUME
from actors.audio_session import events as e
from actors.audio_session.replies import AudioSession
from actors.audio_session.sound import softened
from actors.audio_session.state import SessionState, current, position
from actors.visuals.addresses import visual_of

TABLE: Final = "audio_sessions"
_MADE: Final = frozenset(
    (
        "audio_frequency",
        "frequencies",
        "owner",
        "space",
        "start_time",
        "elapsed_time",
        "recipe",
        "timeline",
        "notes",
        "visual",
    )
)
_PLAIN: Final = frozenset(AudioSession.__struct_fields__) - _MADE
"""Columns that are fields as they stand."""


def elapsed(session: e.Session, now: datetime) -> int:
    """Whole seconds heard so far."""
    return int(position(session, now))


def shown(state: SessionState, now: datetime) -> AudioSession:
    """The session as it is now. There is one."""
    assert state.session is not None
    session = current(state.session, now)
    return session_object(session, elapsed(session, now))


def session_object(session: e.Session, elapsed_time: int) -> AudioSession:
    """The session as clients see it."""
    return AudioSession(
        id=session.id,
        name=session.name,
        intention=session.intention,
        status=session.status,
        duration=int(session.recipe.duration_s),
        audio_type=session.sound.audio_type,
        audio_frequency=session.frequencies[0],
        frequencies=session.frequencies,
        prayer_bowl_mode=session.sound.bowl_mode,
        metadata=session.metadata,
        volume=session.sound.level,
        astrology_enabled=session.astrology_enabled,
        hardware_enabled=session.hardware_enabled,
        visuals_enabled=session.visuals_enabled,
        owner=session.owner,
        space=session.space,
        device=session.device,
        device_error=session.device_error,
        created_at=session.created_at,
        updated_at=session.updated_at,
        started_at=session.started_at,
        stopped_at=session.stopped_at,
        start_time=(session.started_at or session.created_at).timestamp(),
        elapsed_time=elapsed_time,
        recipe=session.recipe,
        timeline=session.timeline,
        published=session.published,
        notes=notes(session),
        visual=visual_of(session.frequencies) if session.visuals_enabled else None,
    )


def notes(session: e.Session) -> tuple[str, ...]:
    """What is said in words: of the sound, and what the device answered."""
    if session.device_error is None:
        return session.notes
    return (*session.notes, f"the sound device {session.device} does not play it: {session.device_error}")


def row(session: e.Session) -> dict[str, Any]:
    """``audio_sessions``. ``position_s`` and ``anchor_at`` are the timeline."""
    return {
        "id": session.id,
        "owner_id": session.owner,
        "space_id": session.space,
        "name": session.name,
        "intention": session.intention,
        "status": session.status,
        "duration": int(session.recipe.duration_s),
        "audio_type": session.sound.audio_type,
        "frequencies": session.frequencies,
        "prayer_bowl_mode": session.sound.bowl_mode,
        "metadata": session.metadata,
        "volume": session.sound.level,
        "astrology_enabled": session.astrology_enabled,
        "hardware_enabled": session.hardware_enabled,
        "visuals_enabled": session.visuals_enabled,
        "device": session.device,
        "device_error": session.device_error,
        "published": session.published,
        "position_s": session.timeline.position_s,
        "anchor_at": session.timeline.anchor_at,
        "recipe": msgspec.to_builtins(session.recipe),
        "notes": notes(session),
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "started_at": session.started_at,
        "stopped_at": session.stopped_at,
        "expires_at": session.expires_at,
    }


def of_row(found: Mapping[str, Any], now: datetime, most: float = MAX_VOLUME) -> AudioSession:
    """The session of a row as storage gives it, as it is now: one that ran and is over is completed, late alarm or not, and none
    is louder than ``most``."""
    recipe = msgspec.convert(found["recipe"], Recipe)
    timeline = Timeline(position_s=found["position_s"], anchor_at=found["anchor_at"])
    end, plain = timeline.ends_at(recipe.duration_s), {name: found[name] for name in _PLAIN}
    session = AudioSession(
        **plain,
        audio_frequency=found["frequencies"][0],
        frequencies=tuple(found["frequencies"]),
        owner=found["owner_id"],
        space=found["space_id"],
        start_time=(found["started_at"] or found["created_at"]).timestamp(),
        elapsed_time=int(timeline.at(now, recipe.duration_s)),
        recipe=recipe,
        timeline=timeline,
        notes=tuple(found["notes"]),
        visual=visual_of(found["frequencies"]) if found["visuals_enabled"] else None,
    )
    if session.volume > most:
        session = structs.replace(session, volume=most, recipe=softened(recipe, session.volume, most))
    if end is None or now < end:
        return session
    over = Timeline(position_s=recipe.duration_s)
    return structs.replace(session, status="completed", timeline=over, stopped_at=end, updated_at=end)
