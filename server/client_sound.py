"""Listening to an audio session in Python: frames of sound, each with the moment at which it is to be heard.

    async with client.listen(session) as sound:             # sound.state: the session
        async for frame in sound:
            play(frame.samples(), at=sound.due_s(frame))    # by the loop's clock

Frames are not kept for whoever is slow: of those that wait the oldest go. Nothing of it waits for a frame that was lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from actors.runtime.errors import SanghaError
from server.client_events import Event
from server.client_inbox import Inbox
from server.client_stream import LEAVE_TIMEOUT_S
from server.sound.frames import Frame, Name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from server.client import Client

WAITING_FRAMES: Final = 250
"""Five seconds: far more than frames are sent ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFrame:
    """20 ms. ``play_at`` is the server's time at which its first sample sounds; None where the session stands (its last one)."""

    frame: Frame
    play_at: datetime | None

    @property
    def position(self) -> int:
        """Of its first sample in the session, at ``rate``; of Opus it is later by the decoder's look-ahead."""
        return self.frame.position

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.frame.codec.rate

    @property
    def payload(self) -> bytes:
        """As it came: PCM (16 bits, little-endian, interleaved), or an Opus packet."""
        return self.frame.payload

    def samples(self) -> NDArray[np.float32]:
        """Of PCM: (882, 2), full scale is 1. (Packets of Opus make sound only one after another: ``server.sound.opus``.)"""
        from server.sound.pcm import from_pcm16

        if self.frame.codec.name != "pcm":
            raise ValueError("a packet of Opus is no sound by itself")
        return from_pcm16(self.payload, self.frame.channels)


class SoundInbox(Inbox):
    """Between the connection and who listens: the newest state, the newest spectrum, the newest frames."""

    def __init__(self) -> None:
        super().__init__(1, lambda: None)
        self.state: Any = None
        self.spectrum: Mapping[str, Any] | None = None
        self.format: Mapping[str, Any] = {}
        self.lost = 0
        """Frames that did not come, or were not read in time."""
        self.frames: deque[SoundFrame] = deque()
        self._seq: int | None = None

    @property
    def full(self) -> bool:
        """Never: sound does not wait."""
        return False

    def put(self, event: Event) -> bool:
        """What becomes of the session."""
        if event.event == "snapshot" or event.event == "changed":
            self.state = event.body
        elif event.event == "spectrum":
            self.spectrum = event.fields
        self._changed.set()
        return True

    def tuned(self, format_: Mapping[str, Any]) -> None:
        """It is listened to from here on."""
        self.format, self._seq = format_, None

    def hear(self, frame: Frame) -> None:
        """A frame came."""
        if self._seq is not None:
            self.lost += max(0, frame.seq - self._seq - 1)
        self._seq = frame.seq
        if len(self.frames) == WAITING_FRAMES:
            self.frames.popleft()
            self.lost += 1
        self.frames.append(SoundFrame(frame=frame, play_at=self._play_at(frame)))
        self._changed.set()

    def _play_at(self, frame: Frame) -> datetime | None:
        timeline = (self.state or {}).get("timeline") or {}
        anchor = timeline.get("anchor_at")
        if anchor is None:
            return None
        sounds_s = (frame.position - frame.codec.delay_samples) / frame.codec.rate
        return datetime.fromisoformat(anchor) + timedelta(seconds=sounds_s - timeline.get("position_s", 0.0))

    async def until_state(self) -> None:
        """The session is known, or the stream has ended. Raises the error that ended it."""
        while self.state is None and not self.ended:
            await self._wait()
        self._check()

    async def next_frame(self) -> SoundFrame | None:
        """The next frame, None at the end. Raises the error that ended the stream."""
        while not self.frames:
            self._check()
            if self.ended:
                return None
            await self._wait()
        return self.frames.popleft()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Listening:
    """An audio session that we listen to: ``async with``, then frames as an async iterator."""

    def __init__(self, client: Client, session: str, codec: Name, *, spectrum: bool) -> None:
        self.session = session
        self._client, self._inbox = client, SoundInbox()
        self._fields = {"session": session, "codec": codec, "spectrum": spectrum}

    @property
    def state(self) -> Any:
        """The session as it is now, as the server shows it."""
        return self._inbox.state

    @property
    def spectrum(self) -> Mapping[str, Any] | None:
        """What sounds, the newest: ``frequencies``, ``amplitudes``, ``bands``, ``position_s``; None before the first."""
        return self._inbox.spectrum

    @property
    def format(self) -> Mapping[str, Any]:
        """What the request was answered: ``rate``, ``frame_samples``, ``delay_samples``, ``ahead_ms`` …"""
        return self._inbox.format

    @property
    def lost(self) -> int:
        """Frames that did not come, or were not read in time."""
        return self._inbox.lost

    def due_s(self, frame: SoundFrame) -> float | None:
        """When a frame is to be heard, by the loop's clock; None where the session stands."""
        now = self._client.server_time()
        if frame.play_at is None or now is None:
            return None
        return asyncio.get_running_loop().time() + (frame.play_at - now).total_seconds()

    async def __aenter__(self) -> Self:
        try:
            await self._client.measure_clock()
            await self._client.follow(self.session, self._inbox, kind="audio_session", fields=self._fields)
            await self._inbox.until_state()
        except BaseException:
            self._client.unfollow(self._inbox)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.unfollow(self._inbox)
        if self._client.state != "stopped":
            with suppress(SanghaError, TimeoutError):  # nobody to tell: not listened to either way
                await self._client.request("audio.unlisten", timeout_s=LEAVE_TIMEOUT_S, session=self.session)

    async def __aiter__(self) -> AsyncIterator[SoundFrame]:
        while (frame := await self._inbox.next_frame()) is not None:
            yield frame
