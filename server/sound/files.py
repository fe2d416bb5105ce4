"""A recipe as a file: bytes one after the other, of any duration, in flat memory. Nothing is written twice: it can be streamed.

WAV and FLAC are 16 bits a sample, rounded, alike. WAV is written here, because its header comes first and says how long all is:
a recipe knows. Beyond 4 GiB (6.7 h) it is RF64 (EBU Tech 3306), which is the same with 64-bit sizes. FLAC, Ogg Vorbis and Ogg
Opus are libsndfile's; FLAC's header gets its count of samples on its way out, the checksum over all of it stays unknown (0), as
the format allows. Opus has 48 kHz.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from struct import pack
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from actors.audio.recipe import Recipe
from actors.audio.render import frames_of, render
from actors.audio.values import CHANNELS, SAMPLE_RATE
from server.sound.pcm import to_pcm16

Format = Literal["wav", "flac", "ogg", "opus"]
"""``ogg``: Vorbis in Ogg, ``opus``: Opus in Ogg."""
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
MEDIA: Final[dict[Format, str]] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg; codecs=opus",
}
OPUS_RATE: Final = 48_000
OPUS_TAIL: Final = 960
"""Frames of silence at the end, 20 ms: libsndfile fills Opus's last packet with what it predicts from the sound before, over the
last 4 ms of that sound itself. After silence it predicts silence; at a fade's end it clicked."""
BLOCK: Final = 1 << 14
"""Frames rendered and encoded at once: 0.37 s. libsndfile's Vorbis takes stack by the size of what it is given."""

_LIBSNDFILE: Final[dict[Format, tuple[str, str]]] = {
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
_SAMPLE_BYTES: Final = 2
_FRAME_BYTES: Final = CHANNELS * _SAMPLE_BYTES
_RIFF_MAX: Final = 2**32 - 1
_PCM: Final = 1
_TOTAL_AT: Final = 21
"""Where a FLAC file says how many samples it has: in the low half of this byte, and four more."""


def format_of(path: str | Path) -> Format | None:
    """By a file name's suffix; None of another."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    return next((known for known in FORMATS if known == suffix), None)


def rate_of(format_: Format) -> int:
    """Samples a second of each channel."""
    return OPUS_RATE if format_ == "opus" else SAMPLE_RATE


def size_of(recipe: Recipe, format_: Format) -> int | None:
    """Bytes of the whole file, where that is known before it is made."""
    if format_ != "wav":
        return None
    frames = frames_of(recipe, SAMPLE_RATE)
    return len(wav_header(frames)) + frames * _FRAME_BYTES


def encoded(recipe: Recipe, format_: Format) -> Generator[bytes, None, None]:
    """The file's bytes in pieces, each at most some 100 kB, made as they are asked for. To be iterated in a thread."""
    size = size_of(recipe, format_)
    return _by_libsndfile(recipe, format_) if size is None else wav_part(recipe, 0, size)


def write_file(
    recipe: Recipe, path: Path, format_: Format, moved: Callable[[float], None] = lambda seconds: None
) -> None:
    """The file is there when all of it is; one of that name is replaced. ``moved(seconds)`` is told how far it is, roughly.

    Raises OSError.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as file:
            for number, piece in enumerate(encoded(recipe, format_)):
                file.write(piece)
                moved(min(number * BLOCK / rate_of(format_), recipe.duration_s))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def wav_header(frames: int, rate: int = SAMPLE_RATE) -> bytes:
    """Of so many frames of 16-bit stereo: RIFF, or RF64 where the sizes do not fit 32 bits."""
    data = frames * _FRAME_BYTES
    form = b"fmt " + pack("<IHHIIHH", 16, _PCM, CHANNELS, rate, rate * _FRAME_BYTES, _FRAME_BYTES, 8 * _SAMPLE_BYTES)
    size = 4 + len(form) + 8 + data
    if size <= _RIFF_MAX:
        return b"RIFF" + pack("<I", size) + b"WAVE" + form + b"data" + pack("<I", data)
    sizes = b"ds64" + pack("<IQQQI", 28, size + 36, data, frames, 0)
    unknown = pack("<I", _RIFF_MAX)
    return b"RF64" + unknown + b"WAVE" + sizes + form + b"data" + unknown


def _blocks(recipe: Recipe, rate: int) -> Iterator[NDArray[np.float32]]:
    total = frames_of(recipe, rate)
    for start in range(0, total, BLOCK):
        yield render(recipe, start, min(BLOCK, total - start), rate)


def wav_part(recipe: Recipe, start: int, end: int) -> Generator[bytes, None, None]:
    """The bytes of the WAV file from ``start`` up to ``end``, in pieces; what is before them is not rendered."""
    header = wav_header(frames_of(recipe, SAMPLE_RATE))
    if start < len(header):
        yield header[start:end]
    at, last = max(start - len(header), 0), end - len(header)
    while at < last:
        frame = at // _FRAME_BYTES
        count = min(BLOCK, -(-last // _FRAME_BYTES) - frame)
        piece = to_pcm16(render(recipe, frame, count))[at - frame * _FRAME_BYTES : last - frame * _FRAME_BYTES]
        yield piece
        at += len(piece)


def _by_libsndfile(recipe: Recipe, format_: Format) -> Generator[bytes, None, None]:
    import soundfile  # loads libsndfile: only where a file is made

    kind, subtype = _LIBSNDFILE[format_]
    rate, out = rate_of(format_), _OneWay()
    with soundfile.SoundFile(out, "w", rate, CHANNELS, subtype, format=kind) as file:
        for number, block in enumerate(_blocks(recipe, rate)):
            file.write(_whole(block) if format_ == "flac" else block)
            piece = out.taken()
            yield _with_total(piece, frames_of(recipe, rate)) if format_ == "flac" and number == 0 else piece
        if format_ == "opus":
            file.write(np.zeros((OPUS_TAIL, CHANNELS), dtype=np.float32))
    yield out.taken()


def _whole(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.frombuffer(to_pcm16(samples), dtype="<i2").reshape(-1, CHANNELS)


def _with_total(start: bytes, frames: int) -> bytes:
    """The start of a FLAC file with its count of samples: 36 bits of its STREAMINFO, which were 0."""
    count = pack(">Q", frames & (2**36 - 1))[3:]
    return start[:_TOTAL_AT] + bytes([start[_TOTAL_AT] & 0xF0 | count[0]]) + count[1:] + start[_TOTAL_AT + 5 :]


class _OneWay:
    """What libsndfile takes for a file: bytes come out in the order in which they were first written, once.

    At its end FLAC's encoder goes back to its header. What it writes there comes too late and is dropped.
    """

    def __init__(self) -> None:
        self._at = 0
        self._sent = 0
        self._waiting: list[bytes] = []

    def write(self, data: Any) -> int:
        """Keep what is new."""
        if self._at == self._sent:
            self._waiting.append(bytes(data))
            self._sent += len(data)
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """From the start (0), here (1) or the end (2)."""
        self._at = offset + (0, self._at, self._sent)[whence]
        return self._at

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def taken(self) -> bytes:
        """What came since the last time."""
        waiting, self._waiting = self._waiting, []
        return b"".join(waiting)
