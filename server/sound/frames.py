"""A frame of sound as it goes over a socket: 24 bytes of header, then 20 ms in some codec.

Frame *k* of a stream is the samples ``[k·n, (k+1)·n)`` of the session's recipe, n being ``Codec.frame_samples``: whichever
gateway made it and whenever somebody began to listen. Its position and the session's timeline say when it sounds. All numbers are
big-endian; PCM samples are little-endian, as WAV has them and as every machine that plays them does. Pure.
"""

from __future__ import annotations

import struct
from typing import Final, Literal, NamedTuple

from actors.audio.values import CHANNELS, SAMPLE_RATE

Name = Literal["pcm", "opus"]

MAGIC: Final = 0x5341
"""``SA``: no text frame begins like that."""
VERSION: Final = 1
DISCONTINUITY: Final = 1
"""Flag: it is not the continuation of the frame before it."""
LAST: Final = 2
"""Flag: it fades out, and nothing follows until the session goes on."""
FRAMES_PER_S: Final = 50
AHEAD_MS: Final = 200
"""So long before it sounds a frame is sent: what the way to a listener may take, and vary by."""

_HEADER: Final = struct.Struct(">HBBIIQHBB")
HEADER_BYTES: Final = _HEADER.size
_SEQUENCE: Final = 2**32


class Codec(NamedTuple):
    """How samples become a payload. ``delay_samples``: a decoder's output is so late against the position (look-ahead)."""

    name: Name
    number: int
    rate: int
    delay_samples: int

    @property
    def frame_samples(self) -> int:
        """Samples of a frame, in each channel."""
        return self.rate // FRAMES_PER_S


CODECS: Final[dict[Name, Codec]] = {
    "pcm": Codec("pcm", 0, SAMPLE_RATE, 0),
    "opus": Codec("opus", 1, 48_000, 312),  # 48 kHz is Opus' own rate: the renderer makes it, nothing is resampled
}
_BY_NUMBER: Final = {codec.number: codec for codec in CODECS.values()}


class Frame(NamedTuple):
    """One frame. ``stream`` is the number that ``audio.listen`` answered, ``position`` the first sample's, at ``codec.rate``;
    ``samples`` are in each channel."""

    codec: Codec
    stream: int
    seq: int
    position: int
    samples: int
    channels: int
    flags: int
    payload: bytes

    @property
    def discontinuity(self) -> bool:
        """Whether it is not the continuation of the frame before it."""
        return bool(self.flags & DISCONTINUITY)

    @property
    def last(self) -> bool:
        """Whether nothing follows until the session goes on."""
        return bool(self.flags & LAST)

    @property
    def position_s(self) -> float:
        """Where in the session its first sample is, in seconds."""
        return self.position / self.codec.rate


def pack(codec: Codec, stream: int, seq: int, position: int, flags: int, payload: bytes) -> bytes:
    """A frame's bytes. ``seq`` counts what was sent on the stream, modulo 2³²."""
    head = _HEADER.pack(
        MAGIC, VERSION, codec.number, stream, seq % _SEQUENCE, position, codec.frame_samples, CHANNELS, flags
    )
    return head + payload


def is_frame(data: bytes) -> bool:
    """Whether a message of a socket is a frame of sound, by its first bytes (JSON begins otherwise)."""
    return data[:2] == b"SA"


def unpack(data: bytes) -> Frame:
    """What ``pack`` wrote. Raises ValueError where it is none, or of a version or codec that we do not know."""
    if len(data) < HEADER_BYTES:
        raise ValueError(f"{len(data)} bytes are no frame of sound")
    magic, version, number, stream, seq, position, count, channels, flags = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or number not in _BY_NUMBER:
        raise ValueError(f"no frame of sound: magic {magic:#06x}, version {version}, codec {number}")
    return Frame(_BY_NUMBER[number], stream, seq, position, count, channels, flags, data[HEADER_BYTES:])
