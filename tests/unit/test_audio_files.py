"""Sound as files, read back by libsndfile: the same samples, honest headers, flat memory."""

from __future__ import annotations

import io
import tracemalloc
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import soundfile

from actors.audio.recipe import Binaural, Bowl, Recipe
from actors.audio.render import frames_of, render
from server.sound import files
from server.sound.files import FORMATS, Format, encoded, format_of, rate_of, size_of, wav_header, wav_part, write_file

SOUND = Recipe(voices=(Bowl(frequency=432.0), Binaural(carrier=300.0, beat=7.0, level=0.2)), duration_s=1.234)


@pytest.mark.parametrize("format_", ["wav", "flac"])
def test_whole_samples_come_back_within_half_a_step(format_: Format) -> None:
    data = b"".join(encoded(SOUND, format_))
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    expected = np.rint(render(SOUND, 0, frames_of(SOUND)) * 32_767)
    assert rate == 44_100
    assert (samples == expected).all()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_says_how_long_it_is(format_: Format) -> None:
    data = b"".join(encoded(SOUND, format_))
    tail = files.OPUS_TAIL if format_ == "opus" else 0
    assert soundfile.info(io.BytesIO(data)).frames == frames_of(SOUND, rate_of(format_)) + tail


def test_the_size_of_a_wav_is_known_before() -> None:
    assert size_of(SOUND, "wav") == len(b"".join(encoded(SOUND, "wav")))
    assert size_of(SOUND, "flac") is None


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (10, 50), (44, 48), (43, 45), (47, 65_601), (100_001, None), (0, None)]
)
def test_a_part_of_a_wav_is_that_part(start: int, end: int | None) -> None:
    whole = b"".join(encoded(SOUND, "wav"))
    assert b"".join(wav_part(SOUND, start, end or len(whole))) == whole[start:end]


def test_a_part_late_in_a_day_is_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    day = Recipe(voices=(Bowl(frequency=432.0),), duration_s=86_400)
    rendered: list[int] = []
    monkeypatch.setattr(files, "render", lambda *what: rendered.append(what[2]) or render(*what))
    size = size_of(day, "wav")
    assert size is not None
    assert len(b"".join(wav_part(day, size - 1_000, size))) == 1_000
    assert rendered == [250]


def test_a_wav_of_a_day_is_rf64_and_one_of_six_hours_is_not() -> None:
    assert wav_header(6 * 3_600 * 44_100)[:4] == b"RIFF"
    day = wav_header(86_400 * 44_100)
    assert (day[:4], day[4:8], len(day)) == (b"RF64", b"\xff" * 4, 80)
    assert int.from_bytes(day[20:28], "little") == 86_400 * 44_100 * 4 + len(day) - 8
    assert int.from_bytes(day[28:36], "little") == 86_400 * 44_100 * 4


def test_rf64_is_read_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = b"".join(encoded(SOUND, "wav"))
    monkeypatch.setattr(files, "_RIFF_MAX", 1_000)
    monkeypatch.setattr(files, "pack", _with_large_sizes(files.pack))
    large = b"".join(encoded(SOUND, "wav"))
    assert soundfile.info(io.BytesIO(large)).format == "RF64"
    for one, other in zip(*(soundfile.read(io.BytesIO(each)) for each in (large, plain)), strict=True):
        assert np.array_equal(one, other)


def _with_large_sizes(pack: object) -> object:
    """The sizes that stand for "see ds64" stay what they are."""

    def packed(form: str, *values: int) -> bytes:
        return b"\xff" * 4 if (form, values) == ("<I", (1_000,)) else pack(form, *values)  # type: ignore[operator]

    return packed


@pytest.mark.parametrize("format_", ["wav", "flac"])
def test_memory_is_flat_however_long_it_is(format_: Format) -> None:
    def peak(seconds: float) -> int:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        deque(encoded(Recipe(voices=(Bowl(frequency=136.1),), duration_s=seconds), format_), maxlen=0)
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        peak(1.0)  # what is kept
        assert peak(40.0) < 1.3 * peak(4.0) < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_whoever_stops_early_leaves_nothing_open() -> None:
    for format_ in FORMATS:
        pieces = encoded(Recipe(voices=SOUND.voices, duration_s=86_400.0), format_)
        assert sum(len(next(pieces)) for _ in range(3))
        pieces.close()


def test_a_file_is_there_when_all_of_it_is(tmp_path: Path) -> None:
    told: list[float] = []
    write_file(SOUND, tmp_path / "a.flac", "flac", told.append)
    assert soundfile.info(tmp_path / "a.flac").frames == frames_of(SOUND)
    assert told == sorted(told)

    def full(seconds: float) -> None:
        raise OSError(28, "No space left on device")

    before = (tmp_path / "a.flac").read_bytes()
    with pytest.raises(OSError, match="No space"):
        write_file(SOUND, tmp_path / "a.flac", "flac", full)
    assert (tmp_path / "a.flac").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.flac"]


@pytest.mark.parametrize(("name", "format_"), [("a.WAV", "wav"), ("b.tar.flac", "flac"), ("c", None), ("d.mp3", None)])
def test_a_suffix_is_a_format(name: str, format_: Format | None) -> None:
    assert format_of(name) == format_
