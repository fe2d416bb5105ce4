"""How much faster than it sounds a singing bowl is rendered. The floor: numpy's own sine and decay, once a mode and sample.

Both render the same: all modes of a struck bowl, decaying, in two channels of float32. The difference between them is shown too,
so a figure that was bought with exactness would be seen. Needs no running server.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from actors.audio.bowl import modes
from actors.audio.recipe import Bowl, Recipe
from actors.audio.render import render
from actors.audio.values import SAMPLE_RATE
from server.bench import show

BOWL = Bowl(frequency=432.0, strike_every_s=0.0)


def run(*, seconds: float = 60.0, rounds: int = 3, console: Console | None = None) -> dict[str, Any]:
    """Multiples of real time, the best of ``rounds`` of each, taken in turn. Prints a table, returns it."""
    count = round(seconds * SAMPLE_RATE)
    recipe = Recipe(voices=(BOWL,), duration_s=seconds + 1)
    render(recipe, 0, SAMPLE_RATE)  # what is kept between windows is there
    ours, floor = [], []
    for _ in range(rounds):
        samples, took = _timed(lambda: render(recipe, SAMPLE_RATE, count))
        ours.append(took)
        direct, took = _timed(lambda: sine_a_mode(SAMPLE_RATE, count))
        floor.append(took)
    inner = slice(0, max(count - SAMPLE_RATE, 0))  # before the recipe's end fades
    figures = {
        "modes": len(modes(BOWL, SAMPLE_RATE).hz),
        "seconds_of_sound": seconds,
        "times_real_time": round(seconds / min(ours), 1),
        "floor_times_real_time": round(seconds / min(floor), 1),
        "faster_than_the_floor": round(min(floor) / min(ours), 2),
        "greatest_difference": float(np.abs(samples[inner] - direct[inner]).max(initial=0.0)),
    }
    show(console, "render", figures)
    return figures


def sine_a_mode(start: int, count: int) -> NDArray[np.float32]:
    """The same samples as the formula has them, a second at a time, so that the floor is not one of memory."""
    out = np.empty((count, 2), dtype=np.float32)
    partials = modes(BOWL, SAMPLE_RATE)
    for first in range(0, count, SAMPLE_RATE):
        t = np.arange(start + first, start + min(first + SAMPLE_RATE, count)) / SAMPLE_RATE
        total = np.zeros(len(t))
        for hz, amplitude, decay in zip(*partials, strict=True):
            total += amplitude * np.exp(-decay * t) * np.sin(2 * np.pi * hz * t)
        out[first : first + len(t)] = total[:, None]
    return out


def _timed(work: Callable[[], NDArray[np.float32]]) -> tuple[NDArray[np.float32], float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began
