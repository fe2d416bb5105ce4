"""What a playout's thread makes: the frames of one run of a session, a block at a time, and what is measured of them. Pure.

A ``Renderer`` is one run of one recipe in one codec. It goes forward only, and belongs to whoever asked it last: no two threads
at once. Each frame's samples are ``render``'s at its position; only where a run begins in the middle, where it ends, and where
the recipe becomes another, one frame is a ramp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from actors.audio.recipe import Recipe
from actors.audio.render import render
from actors.audio.spectrum import WINDOW, Spectrum, spectrum
from server.sound.frames import DISCONTINUITY, LAST, Codec
from server.sound.pcm import Samples, crossfaded, rising

SPECTRUM_EVERY: Final = 5
"""Frames from one spectrum to the next: ten a second."""


class Encoder(Protocol):
    """How a frame's samples become its payload."""

    def encode(self, samples: Samples) -> bytes:
        """One frame, in order."""


class Payload(NamedTuple):
    """A frame that waits for its time. ``spectrum``: of what has sounded when its first sample does."""

    frame: int
    flags: int
    data: bytes
    spectrum: Spectrum | None


def seen(recipe: Recipe, codec: Codec, frames: Sequence[int], since: int) -> list[Payload]:
    """Spectra of what sounds before each of these frames, in payloads without sound. Before frame ``since`` it is silent."""
    return [
        Payload(frame, 0, b"", spectrum(_before(recipe, codec, frame, WINDOW, since), codec.rate)) for frame in frames
    ]


def _before(recipe: Recipe, codec: Codec, frame: int, count: int, since: int) -> Samples:
    """So many samples before a frame; what was before frame ``since`` did not sound, or long ago."""
    start = frame * codec.frame_samples - count
    samples = render(recipe, start, count, codec.rate)
    samples[: max(0, since * codec.frame_samples - start)] = 0
    return samples


class Renderer:
    """See the module. The first frame it makes is ``first``; ``before`` is the recipe that sounded up to there, if any did.
    ``since``: the frame at which the session began, or went on."""

    def __init__(
        self,
        recipe: Recipe,
        codec: Codec,
        make: Callable[[], Encoder],
        first: int,
        end: int,
        *,
        before: Recipe | None = None,
        since: int = 0,
    ) -> None:
        self.next, self.end, self._first = first, end, first
        self._recipe, self._codec, self._before = recipe, codec, before
        self._make, self._since = make, since
        self._encoder: Encoder | None = None
        self._fresh = True
        self._heard: Samples = np.zeros((0, 2), dtype=np.float32)

    def block(self, count: int, *, measured: bool, last: bool = False) -> list[Payload]:
        """The next frames, at most so many, fewer at the end. ``last``: the block's end fades out, and nothing follows."""
        first, size = self.next, self._codec.frame_samples
        count = min(count, self.end - first)
        if count <= 0:
            return []
        self.next = first + count
        samples = self._samples(first * size, count * size)
        if last:
            samples[-size:] *= rising(size)[::-1]
        flags = self._flags(first)
        payloads = []
        for number in range(count):
            index = first + number
            wanted = measured and index % SPECTRUM_EVERY == 0
            is_last = index == self.end - 1 or (last and number == count - 1)
            frame = samples[number * size : (number + 1) * size]
            found = self._measured(samples[: number * size]) if wanted else None
            payloads.append(Payload(index, flags | LAST * is_last, self._encode(frame), found))
            flags = 0
        self._heard = np.concatenate((self._heard, samples))[-WINDOW:]
        return payloads

    def _flags(self, first: int) -> int:
        fresh, self._fresh = self._fresh, False
        return DISCONTINUITY if fresh and self._before is None else 0

    def _samples(self, start: int, count: int) -> Samples:
        rate, size = self._codec.rate, self._codec.frame_samples
        samples = render(self._recipe, start, count, rate)
        if self._fresh and self._before is not None:
            samples[:size] = crossfaded(render(self._before, start, size, rate), samples[:size])
        elif self._fresh and start > 0:
            samples[:size] *= rising(size)
        return samples

    def _measured(self, since: Samples) -> Spectrum:
        """Of the samples before a frame: those that this run made, and where it began lately what sounded before them."""
        heard = np.concatenate((self._heard, since))[-WINDOW:]
        if (missing := WINDOW - len(heard)) > 0:
            earlier = _before(self._before or self._recipe, self._codec, self._first, missing, self._since)
            heard = np.concatenate((earlier, heard))
        return spectrum(heard, self._codec.rate)

    def _encode(self, samples: Samples) -> bytes:
        if self._encoder is None:
            self._encoder = self._make()
            if self._before is not None:
                self._prime(self._encoder, self._before)
        return self._encoder.encode(samples)

    def _prime(self, encoder: Encoder, before: Recipe) -> None:
        """A codec that looks back is to have heard what its listeners have: the frame before, whose packet goes nowhere."""
        size = self._codec.frame_samples
        if self._codec.delay_samples:
            encoder.encode(render(before, (self._first - 1) * size, size, self._codec.rate))
