from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.audio.ring import Ring, Samples

RATE, CAPACITY = 44_100, 8_192
LEVEL, STEP = 0.8, 0.01
STEEPEST = LEVEL * np.pi / 2 / (0.02 * RATE) + STEP
"""Of a fade of the level, and of the signal itself."""


def wave(start: int, count: int) -> Samples:
    """What comes at a position: a sine whose steps are at most ``STEP``."""
    at = np.arange(start, start + count)
    return np.repeat((LEVEL * np.sin(at * STEP / LEVEL)).astype(np.float32)[:, None], 2, axis=1)


def taken(ring: Ring, count: int) -> Samples:
    out = np.full((count, 2), np.nan, dtype=np.float32)
    ring.take(out)
    assert np.isfinite(out).all(), "all of it is written"
    return out


def filled(ahead: int = 4_000) -> Ring:
    ring = Ring(CAPACITY, RATE)
    ring.put(0, wave(0, ahead))
    return ring


def settled() -> Ring:
    """One that has faded in."""
    ring = filled(6_000)
    taken(ring, 1_000)
    return ring


def test_what_is_put_is_taken_in_order_after_a_fade() -> None:
    ring = settled()
    assert np.array_equal(taken(ring, 500), wave(1_000, 500))
    assert ring.read == 1_500
    assert ring.ahead == 4_500
    assert ring.underruns == 0


def test_it_goes_round_without_a_seam() -> None:
    ring = settled()
    heard = [np.zeros((0, 2), dtype=np.float32)]
    for _ in range(100):
        heard.append(taken(ring, 441))
        ring.put(ring.write, wave(ring.write, 441))
    whole = np.concatenate(heard)
    assert np.array_equal(whole, wave(1_000, len(whole)))


def test_nothing_is_silence_and_no_underrun_before_it_begins() -> None:
    ring = Ring(CAPACITY, RATE)
    assert not taken(ring, 1_000).any()
    assert ring.underruns == 0
    assert ring.read == 1_000, "time goes on"


def test_an_underrun_fades_out_while_there_is_something_left_and_is_counted() -> None:
    ring = filled(4_000)
    heard = np.concatenate([taken(ring, 500) for _ in range(10)])
    assert np.abs(np.diff(heard[:, 0])).max() <= STEEPEST
    assert not heard[4_000:].any()
    assert ring.underruns == 2_000, "what was faded, the rest of those blocks, and what was not there"
    assert ring.ahead == -1_000


def test_after_an_underrun_what_came_too_late_is_skipped_and_the_rest_fades_in() -> None:
    ring = filled(4_000)
    for _ in range(10):
        taken(ring, 500)
    at = ring.read + 1_000
    ring.put(at, wave(at, 3_000))
    heard = taken(ring, 2_900)
    assert not heard[:1_000].any(), "nothing of what was there before"
    assert np.array_equal(heard[1_900:], wave(ring.read - 1_000, 1_000))


def test_what_was_written_ahead_can_be_replaced() -> None:
    ring = settled()
    at = ring.read + 1_000
    ring.put(at, np.zeros((2_000, 2), dtype=np.float32))
    assert ring.ahead == 3_000
    heard = taken(ring, 1_500)
    assert np.array_equal(heard[:1_000], wave(at - 1_000, 1_000))
    assert not heard[1_000:].any()


def test_a_change_of_volume_is_a_ramp() -> None:
    ring = settled()
    ring.volume = 0.25
    heard = taken(ring, 1_500)
    assert np.abs(np.diff(heard[:, 0])).max() <= STEEPEST
    assert heard[1_000:] == pytest.approx(0.25 * wave(2_000, 500), abs=1e-6)


def test_to_be_silent_fades_out_and_is_no_underrun() -> None:
    ring = settled()
    ring.silent = True
    heard = taken(ring, 2_000)
    assert np.abs(np.diff(heard[:, 0])).max() <= STEEPEST
    assert not heard[ring.fade :].any()
    assert ring.underruns == 0


def test_what_was_heard_is_the_last_that_was_taken_at_its_volume() -> None:
    ring = settled()
    ring.volume = 0.5
    taken(ring, 2_000)
    assert ring.heard(500) == pytest.approx(0.5 * wave(2_500, 500), abs=1e-6)
    assert len(ring.heard(CAPACITY)) == 3_000, "no more than there is"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(1, 1_500)),
            st.tuples(st.just("put"), st.integers(1, 2_000)),
            st.tuples(st.just("volume"), st.integers(0, 10)),
            st.tuples(st.just("silent"), st.integers(0, 1)),
        ),
        max_size=60,
    )
)
def test_whatever_happens_there_is_no_step_and_nothing_but_what_was_put(acts: list[tuple[str, int]]) -> None:
    """Of one producer that puts what belongs at each position, and skips what is too late."""
    ring = Ring(CAPACITY, RATE)
    heard = [np.zeros((0, 2), dtype=np.float32)]
    for act, number in acts:
        if act == "take":
            heard.append(taken(ring, number))
        elif act == "put":
            at = ring.write if ring.ahead > 0 and ring.started else ring.read + ring.fade
            count = min(max(number, ring.fade), ring.read + CAPACITY // 2 - at)
            if count >= ring.fade:
                samples = wave(at, count)
                if at != ring.write:
                    samples[: ring.fade] *= np.linspace(0, 1, ring.fade)[:, None]
                ring.put(at, samples)
        elif act == "volume":
            ring.volume = number / 10
        else:
            ring.silent = bool(number)
    whole = np.concatenate(heard)
    assert np.abs(np.diff(whole[:, 0], prepend=0.0)).max(initial=0.0) <= 3 * STEEPEST, (
        "two fades and the volume may move at once"
    )
    assert (np.abs(whole) <= np.abs(wave(0, len(whole))) + 1e-6).all()
    assert ring.read == len(whole)
