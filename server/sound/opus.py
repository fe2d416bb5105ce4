"""Samples as Opus packets, by FFmpeg's libopus through PyAV.

PyAV is an extra (``pip install 'sangha[opus]'``): itself BSD, its wheel brings FFmpeg (LGPL-3.0-or-later) and with that x264 and
x265, which are GPL-2.0-or-later; whether these come along is for whoever deploys to say. Without it listeners get PCM.

Rejected: packets taken out of libsndfile's Ogg files, which gives them away by pages of a second.
"""

from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from actors.audio.values import CHANNELS
from server.sound.frames import CODECS
from server.sound.pcm import Samples

BITS_PER_S: Final = 128_000
"""Of both channels: a bowl's beats and a binaural pair stay what they are."""
_OPUS: Final = CODECS["opus"]
_OPTIONS: Final = {"frame_duration": "20", "application": "audio", "vbr": "on"}


def is_there() -> bool:
    """Whether there is an encoder."""
    return find_spec("av") is not None


class OpusEncoder:
    """Of one stream: a frame in, a packet out. For one thread at a time."""

    def __init__(self) -> None:
        import av

        self._frame: Any = av.AudioFrame
        context: Any = av.CodecContext.create("libopus", "w")
        context.sample_rate, context.layout, context.format = _OPUS.rate, "stereo", "flt"
        context.bit_rate, context.options = BITS_PER_S, dict(_OPTIONS)
        context.open()
        self._context = context
        self._written = 0
        self.delay_samples = int.from_bytes(context.extradata[10:12], "little")
        """The encoder's look-ahead (RFC 7845's pre-skip): what comes out of a decoder is so late."""

    def encode(self, samples: Samples) -> bytes:
        """One frame's packet. ``samples``: (960, 2)."""
        interleaved = np.ascontiguousarray(samples, dtype=np.float32).reshape(1, -1)
        frame = self._frame.from_ndarray(interleaved, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = _OPUS.rate, self._written, Fraction(1, _OPUS.rate)
        self._written += len(samples)
        (packet,) = self._context.encode(frame)
        return bytes(packet)


class OpusDecoder:
    """The way back, for whoever listens in Python."""

    def __init__(self) -> None:
        import av

        self._packet: Any = av.Packet
        context: Any = av.CodecContext.create("libopus", "r")
        context.sample_rate, context.layout = _OPUS.rate, "stereo"
        self._context = context

    def decode(self, packet: bytes) -> Samples:
        """One packet's samples, (960, 2)."""
        decoded = [frame.to_ndarray() for frame in self._context.decode(self._packet(packet))]
        blocks = [each.T if each.shape[0] == CHANNELS else each.reshape(-1, CHANNELS) for each in decoded]
        whole = np.concatenate(blocks) if blocks else np.zeros((0, CHANNELS))
        return (whole / 32_768 if np.issubdtype(whole.dtype, np.integer) else whole).astype(np.float32)
