"""Audio sessions for tests."""

from __future__ import annotations

from typing import Any

import pytest
from driving import Driver, account, uuid

from actors.audio import commands as audio
from actors.audio_session import commands as c
from actors.audio_session.entity import AudioSessionKind
from actors.audio_session.replies import AudioSession
from actors.audio_session.state import END
from actors.runtime.entity import Address
from actors.runtime.errors import SanghaError

OWNER, OTHER = account(1), account(2)
HALL, ROOM = uuid(77), uuid(78)
RATE = 8_000


def made(kind: Any = None, caller: Any = OWNER, **fields: Any) -> Driver:
    driver = Driver(kind or AudioSessionKind())
    asked: dict[str, Any] = {"duration": 10, "intention": "peace"} | fields
    driver.do(c.CreateSession(**asked), caller)
    return driver


def refuses(driver: Driver, error: type[SanghaError], command: Any, caller: Any = OWNER) -> SanghaError:
    before = driver.state
    with pytest.raises(error) as refused:
        driver.do(command, caller)
    assert driver.state is before
    return refused.value


def seen(driver: Driver) -> AudioSession:
    found: AudioSession = driver.reply(c.GetSession(), OWNER)
    return found


def end_alarm(driver: Driver) -> Any:
    return driver.kind.agenda(driver.state).alarms.get(END)


def order(driver: Driver) -> Any:
    """The effect that is owed, and its command."""
    ((id_, effect),) = driver.kind.agenda(driver.state).effects.items()
    assert (effect.id, effect.target) == (id_, Address("audio", "default"))
    return id_, audio.codec.decode(effect.command)
