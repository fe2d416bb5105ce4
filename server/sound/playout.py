"""One session in one codec, for all who listen to it through a gateway.

Frames are rendered about a second ahead in a pool of threads and sent ``AHEAD_MS`` before they sound, each encoded once and
written to every listener on lane LOSSY: whoever is slow loses frames and delays nobody. The session's own words say when
what sounds (``Pace``); so where the loop or the clock made a jump the playout goes on where the session is, not where it was.

A recipe that becomes another while it runs is crossfaded at the next frame that was not sent; a pause fades out in one frame.
Everything but the rendering is synchronous on the loop's thread.

Rejected: a task a playout. Whatever a push changes would have to find it at one of its awaits.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson

from actors.audio.recipe import Recipe
from actors.audio_session.replies import AudioSession
from actors.runtime.entity import LATEST
from server.sound.blocks import SPECTRUM_EVERY, Encoder, Payload, Renderer, seen
from server.sound.frames import DISCONTINUITY, FRAMES_PER_S, Codec, pack
from server.sound.pace import AHEAD_S, Pace
from server.ws.outbox import Outbox, scatter
from server.ws.protocol import binary_frame, text_frame

FIRST_FRAMES: Final = 5
"""Rendered at once where a run begins: 0.1 s, so that the first is there in time."""
BLOCK_FRAMES: Final = 25
"""Rendered at once later: one spectrum's window over the next is what a block costs beside its sound."""
BUFFER_FRAMES: Final = FRAMES_PER_S
"""That wait to be sent: a second. So long the pool of threads may be busy with others."""
_JUMP_S: Final = 1.0
"""A next frame so far in the future is the sign of a clock that was set back."""


class Handle(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Never mind."""


class Works(Protocol):
    """What a playout needs of the world."""

    def now(self) -> float:
        """The server's time, in epoch seconds; it does not jump but where the clock was set."""

    def later(self, delay_s: float, act: Callable[[], None]) -> Handle:
        """Call once, then."""

    def render(self, work: Callable[[], list[Payload]], then: Callable[[list[Payload] | None], None]) -> None:
        """Do it in a thread, then say what came of it on the loop's; None where it failed, which is logged."""


class Playout:
    """See the module. ``number`` is the stream's in its frames."""

    def __init__(self, session: str, codec: Codec, number: int, works: Works, make: Callable[[], Encoder]) -> None:
        self.session, self.codec, self.number = session, codec, number
        self.listeners: dict[Outbox, bool] = {}
        """Whose sockets; whether they want spectra."""
        self.sent = self.dropped = 0
        """Frames, one for each listener."""
        self._works, self._make = works, make
        self._name = f"audio_session:{session}"
        self._pace: Pace | None = None
        self._recipe: Recipe | None = None
        self._renderer: Renderer | None = None
        self._rendering = False
        self._ready: deque[Payload] = deque()
        self._spectra: deque[tuple[float, int, bytes]] = deque()
        self._next = 0
        self._seq = 0
        self._broken = True
        self._timer: Handle | None = None

    # --- what is said to it --------------------------------------------------------------------------------------------

    def add(self, outbox: Outbox, *, spectrum: bool) -> None:
        """A listener more."""
        first_to_look = spectrum and not any(self.listeners.values())
        self.listeners[outbox] = spectrum
        if first_to_look:
            self._look_at_what_waits()

    def remove(self, outbox: Outbox) -> bool:
        """A listener less; True where that was the last."""
        self.listeners.pop(outbox, None)
        if self.listeners:
            return False
        self.stop()
        return True

    def stop(self) -> None:
        """Nobody is there: nothing is rendered and nothing sent any more."""
        self._pace = self._renderer = self._recipe = None
        self._ready.clear()
        self._spectra.clear()
        self._disarm()

    def told(self, session: AudioSession) -> None:
        """How the session is now."""
        duration_s = session.recipe.duration_s
        pace = Pace.of(session.timeline, duration_s, self.codec) if session.status == "running" else None
        before, earlier = self._pace, self._recipe
        self._recipe = session.recipe
        if pace is None:
            self.fade(earlier)
        elif before is None or not pace.goes_on(before):
            self._begin(pace, pace.first_from(self._works.now() + AHEAD_S))
        elif session.recipe != earlier or pace.end != before.end:
            self._begin(pace, self._next, instead_of=earlier)

    def fade(self, recipe: Recipe | None = None) -> None:
        """The session stands, or is no more: one frame of what sounds (None: as it was told last), and that is the last. Who
        listens now gets it, though they may be gone when it is rendered."""
        pace, recipe, index, silent = self._pace, recipe or self._recipe, self._next, self._broken
        if pace is None or recipe is None:
            return
        self._pace = self._renderer = None
        self._ready.clear()
        self._spectra.clear()
        self._disarm()
        if silent or index >= pace.end or not self.listeners:
            return
        tail, heard_by = Renderer(recipe, self.codec, self._make, index, index + 1, before=recipe), dict(self.listeners)

        def faded(payloads: list[Payload] | None) -> None:
            if self._pace is None and payloads:
                self._send(payloads[0], heard_by)
                self._broken = True

        self._works.render(lambda: tail.block(1, measured=False, last=True), faded)

    # --- rendering -----------------------------------------------------------------------------------------------------

    def _begin(self, pace: Pace, first: int, instead_of: Recipe | None = None) -> None:
        """From this frame on; a continuation where it takes the place of another recipe."""
        assert self._recipe is not None
        began = instead_of is not None and not self._broken
        self._pace, self._next, self._broken = pace, first, not began
        self._ready.clear()
        self._renderer = Renderer(
            self._recipe,
            self.codec,
            self._make,
            first,
            pace.end,
            before=instead_of if began else None,
            since=pace.first,
        )
        self._fill(FIRST_FRAMES)
        self._arm()

    def _fill(self, count: int) -> None:
        """Have frames rendered, if fewer wait than should."""
        renderer = self._renderer
        if renderer is None or self._rendering or renderer.next >= renderer.end or not self.listeners:
            return
        if len(self._ready) + count > BUFFER_FRAMES:
            return
        self._rendering = True
        measured = any(self.listeners.values())

        def rendered(payloads: list[Payload] | None) -> None:
            self._rendering = False
            if self._renderer is renderer:
                self._rendered(payloads)
            else:  # another run has begun meanwhile, and waited: a playout has one block at work, however late it is
                self._fill(FIRST_FRAMES)

        self._works.render(lambda: renderer.block(count, measured=measured), rendered)

    def _look_at_what_waits(self) -> None:
        """What was rendered while nobody looked is measured beside; the frames stay as they are, and nobody hears of it."""
        pace, recipe = self._pace, self._recipe
        frames = [payload.frame for payload in self._ready if payload.frame % SPECTRUM_EVERY == 0]
        if pace is None or recipe is None or not frames:
            return

        def measured(payloads: list[Payload] | None) -> None:
            if self._pace is pace and self._recipe is recipe:
                for payload in payloads or ():
                    self._see(pace, payload)
                self._tick()

        self._works.render(lambda: seen(recipe, self.codec, frames, pace.first), measured)

    def _see(self, pace: Pace, payload: Payload) -> None:
        """A spectrum is shown when what it measures sounds."""
        if payload.spectrum is not None and (at_s := pace.sounds_at(payload.frame)) > self._works.now():
            insort(self._spectra, (at_s, payload.frame, self._spelled(payload, at_s)))

    def _rendered(self, payloads: list[Payload] | None) -> None:
        if payloads is None:
            self.stop()  # what fails once fails again: silence, until the session says something new
            return
        self._ready.extend(payloads)
        self._fill(BLOCK_FRAMES)
        self._tick()

    # --- sending -------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Send what is due, measure what sounds, come again."""
        self._disarm()
        pace, now = self._pace, self._works.now()
        if pace is None:
            return
        if self._astray(pace, now):
            self._spectra.clear()
            self._begin(pace, pace.first_from(now + AHEAD_S))
            return
        while self._ready and pace.due_at(self._next) <= now:
            payload = self._ready.popleft()
            self._send(payload)
            self._next = payload.frame + 1
            self._see(pace, payload)
        while self._spectra and self._spectra[0][0] <= now:
            self._push_spectrum(self._spectra.popleft()[2])
        self._fill(BLOCK_FRAMES)
        self._arm()

    def _astray(self, pace: Pace, now: float) -> bool:
        """The next frame is of another time: the loop stood still, or the clock was set."""
        if self._next >= pace.end:
            return False
        late = pace.sounds_at(self._next) <= now
        early = self._next > pace.first and pace.due_at(self._next) > now + _JUMP_S
        return late or early

    def _send(self, payload: Payload, heard_by: Collection[Outbox] | None = None) -> None:
        heard_by = self.listeners if heard_by is None else heard_by
        flags = payload.flags | (DISCONTINUITY if self._broken else 0)
        position = payload.frame * self.codec.frame_samples
        frame = binary_frame(pack(self.codec, self.number, self._seq, position, flags, payload.data))
        self._seq, self._broken = self._seq + 1, False
        self.sent += len(heard_by)
        self.dropped += scatter(heard_by, frame)

    def _spelled(self, payload: Payload, at_s: float) -> bytes:
        """The push of a spectrum, as a frame."""
        assert payload.spectrum is not None
        body: dict[str, Any] = {"type": "event", "stream": self._name, "event": "spectrum"}
        body |= payload.spectrum._asdict()
        body |= {"position_s": payload.frame / FRAMES_PER_S, "at": datetime.fromtimestamp(at_s, UTC)}
        return text_frame(orjson.dumps(body, option=orjson.OPT_UTC_Z))

    def say(self, event: str, fields: dict[str, Any]) -> None:
        """An unnumbered push of the session's stream to all who listen."""
        body = {"type": "event", "stream": self._name, "event": event} | fields
        frame = text_frame(orjson.dumps(body))
        for outbox in self.listeners:
            outbox.put(frame)

    def _push_spectrum(self, frame: bytes) -> None:
        for outbox, wanted in self.listeners.items():
            if wanted:
                outbox.put(frame, LATEST, f"{self._name} spectrum")

    def _arm(self) -> None:
        """Come again when the next frame is due, or the next spectrum sounds."""
        pace = self._pace
        if pace is None or not self.listeners or self._timer is not None:
            return
        dues = [self._spectra[0][0]] if self._spectra else []
        if self._ready:
            dues.append(pace.due_at(self._next))
        elif self._next < pace.end and self._renderer is not None:
            dues.append(pace.sounds_at(self._next))  # where rendering never ends: it would be astray then
        if dues:
            self._timer = self._works.later(max(0.0, min(dues) - self._works.now()), self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
