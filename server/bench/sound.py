"""What is measured of rendered sound against its closed form: errors in Hz and in dB. Needs no running server.

Each sound is rendered as a session's would be and measured as it is for listeners (``actors.audio.spectrum``), in several windows
across its length; a row has the greatest error of all of them. What was to be found is of the formula: a frequency that was
asked for, its share of the level, the bowl's ratios (domain.md), and for a struck bowl exp(−ζ·2πf·t).

A window of sound lasts 186 ms, as listeners' do; the bowl's pairs are 3 Hz apart and take a longer one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from actors.audio.bowl import modes
from actors.audio.recipe import AnyVoice, Binaural, Bowl, Chord, Recipe, Sine
from actors.audio.render import render
from actors.audio.spectrum import WINDOW, spectrum
from actors.audio.values import EARTH_YEAR_HZ, SAMPLE_RATE, SOLFEGGIO_HZ

LEVEL: Final = 0.5
WINDOWS: Final = 12
SECONDS: Final = 30.0
SINES_HZ: Final = (40.0, EARTH_YEAR_HZ, *SOLFEGGIO_HZ, 5_000.0, 15_000.0)
CHORD_HZ: Final = (136.1, 528.0, 639.0, 741.0)
LONG_WINDOW: Final = 1 << 18
APART_BINS: Final = 14
"""A mode's decay is told in a window in which the nearest other mode is so far away; longer, and little of it is left."""
SHORTEST_S: Final = 0.5
STEP_S: Final = 1.0
"""Between two windows from which a decay is told."""


class Tone(NamedTuple):
    """What a window should have: a frequency and its peak amplitude."""

    hz: float
    level: float


class Row(NamedTuple):
    """A tone of a sound, and how far from it the measured one is at most."""

    sound: str
    hz: float
    dbfs: float
    error_hz: float | None
    """None: no frequency was measured there, only a level."""
    error_db: float


def run(*, console: Console | None = None) -> dict[str, Any]:
    """Prints a table, returns it: ``tones``, and the greatest of all errors."""
    rows = [*_sines(), *_chord(), *_ears(), *_bowl(), *_decay()]
    figures = {
        "tones": [row._asdict() for row in rows],
        "greatest_error_hz": max(row.error_hz for row in rows if row.error_hz is not None),
        "greatest_error_db": max(row.error_db for row in rows),
    }
    if console is not None:
        _show(console, rows, figures)
    return figures


def _sines() -> Iterator[Row]:
    for hz in SINES_HZ:
        yield from _rows("sine", Sine(frequency=hz, level=LEVEL), (Tone(hz, LEVEL),))


def _chord() -> Iterator[Row]:
    tones = [Tone(hz, LEVEL / len(CHORD_HZ)) for hz in CHORD_HZ]
    yield from _rows("chord", Chord(frequencies=CHORD_HZ, level=LEVEL), tones)


def _ears() -> Iterator[Row]:
    voice = Binaural(carrier=200.0, beat=6.0, level=LEVEL)
    for ear, (name, hz) in enumerate((("left", 197.0), ("right", 203.0))):
        yield from _rows(f"binaural, {name} ear", voice, (Tone(hz, LEVEL),), ear=ear)


def _bowl() -> Iterator[Row]:
    """Its eleven modes, none of which decays."""
    bowl = Bowl(frequency=432.0, level=LEVEL, envelopes=False)
    partials = modes(bowl, SAMPLE_RATE)
    tones = [Tone(hz, level) for hz, level in zip(partials.hz, partials.amplitudes, strict=True)]
    yield from _rows("bowl", bowl, tones, window=LONG_WINDOW)


def _decay() -> Iterator[Row]:
    """By how many dB each mode of a struck bowl falls in a second: the same window, a second later."""
    bowl = Bowl(frequency=432.0, level=LEVEL, strike_every_s=0.0)
    partials = modes(bowl, SAMPLE_RATE)
    samples = _rendered(bowl)
    for hz, amplitude, decay in zip(*partials, strict=True):
        nearest = min(abs(hz - other) for other in partials.hz if other != hz)
        seconds = max(APART_BINS / nearest, SHORTEST_S)
        early, late = (_strength(samples, hz, second, seconds) for second in (0.5, 0.5 + STEP_S))
        fall_db = 20 * np.log10(late / early)
        due_db = 20 * np.log10(np.exp(-decay * STEP_S))
        yield Row("bowl, fall in 1 s", hz, _db(amplitude), None, abs(float(fall_db - due_db)))


def _rendered(voice: AnyVoice) -> Any:
    return render(Recipe(voices=(voice,), duration_s=SECONDS), 0, round(SECONDS * SAMPLE_RATE))


def _rows(name: str, voice: AnyVoice, tones: Sequence[Tone], *, ear: int = 0, window: int = WINDOW) -> Iterator[Row]:
    """The greatest error of each tone over windows that are spread over the sound, its fades left out."""
    samples = _rendered(voice)[:, ear]
    starts = np.linspace(SAMPLE_RATE, len(samples) - SAMPLE_RATE - window, WINDOWS).astype(int)
    found = [spectrum(samples[start : start + window], SAMPLE_RATE) for start in starts.tolist()]
    for tone in tones:
        nearest = []
        for each in found:
            at = int(np.argmin(np.abs(np.array(each.frequencies) - tone.hz)))
            nearest.append((each.frequencies[at], each.amplitudes[at]))
        yield Row(
            name,
            tone.hz,
            _db(tone.level),
            max(abs(hz - tone.hz) for hz, _ in nearest),
            max(abs(_db(level / tone.level)) for _, level in nearest),
        )


def _strength(samples: Any, hz: float, second: float, seconds: float) -> float:
    """Of one mode from ``second`` on, by a Blackman window's correlation with it."""
    count = round(seconds * SAMPLE_RATE)
    first = round(second * SAMPLE_RATE)
    turn = np.exp(-2j * np.pi * hz * np.arange(count) / SAMPLE_RATE)
    return float(abs((samples[first : first + count, 0] * np.blackman(count) * turn).sum()))


def _db(amplitude: float) -> float:
    return float(20 * np.log10(amplitude))


def _show(console: Console, rows: Sequence[Row], figures: dict[str, Any]) -> None:
    table = Table(title="what is measured of rendered sound")
    for name in ("sound", "Hz", "dBFS", "error Hz", "error dB"):
        table.add_column(name, justify="left" if name == "sound" else "right")
    for row in rows:
        error_hz = "-" if row.error_hz is None else f"{row.error_hz:.6f}"
        table.add_row(row.sound, f"{row.hz:,.3f}", f"{row.dbfs:.2f}", error_hz, f"{row.error_db:.6f}")
    table.add_section()
    greatest = (figures["greatest_error_hz"], figures["greatest_error_db"])
    table.add_row("greatest", "", "", *(f"{each:.6f}" for each in greatest))
    console.print(table)
