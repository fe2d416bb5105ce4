"""A device's own words of when it plays: believed where they are steady."""

from __future__ import annotations

import random

import pytest

from actors.audio.device_clock import STEADY, UNSTEADY, DeviceClock

BLOCK_S = 0.05


class Device:
    """Takes a block at a time and says that it will be heard ``off`` seconds from where it should be."""

    def __init__(self) -> None:
        self.clock, self.taken = DeviceClock(), 0

    def takes(self, *offs: float) -> float | None:
        for off in offs:
            self.clock.took(self.taken * BLOCK_S, 1_000.0 + self.taken * BLOCK_S + off)
            self.taken += 1
        return self.clock.zero()


def test_nothing_is_known_until_it_goes_steadily() -> None:
    device = Device()
    assert device.takes(0.3, 0.1, 0.02) is None
    assert device.takes(0.0, 0.0005) is None
    assert device.takes(*[0.0] * STEADY) == pytest.approx(1_000)


def test_one_that_is_never_steady_is_believed_after_a_while() -> None:
    device, rng = Device(), random.Random(5)
    offs = [rng.uniform(-0.03, 0.03) for _ in range(UNSTEADY)]
    assert device.takes(*offs[:-1]) is None
    assert device.takes(offs[-1]) == pytest.approx(1_000, abs=0.03)


def test_what_it_says_wrongly_for_a_moment_changes_nothing() -> None:
    device = Device()
    device.takes(*[0.0] * 50)
    for off in (0.012, 0.012, 0.012, 0.012, 0.3, -0.1, 0.002):
        assert device.takes(off) == pytest.approx(1_000, abs=1e-6)


def test_a_step_is_believed_once_it_is_steady_and_never_by_half() -> None:
    device = Device()
    device.takes(*[0.0] * 100)
    seen = [device.takes(0.146) for _ in range(40)]
    assert seen[: STEADY - 1] == pytest.approx([1_000] * (STEADY - 1), abs=1e-6)
    assert seen[STEADY - 1 :] == pytest.approx([1_000.146] * (41 - STEADY), abs=1e-6)


def test_a_slow_drift_is_followed() -> None:
    device = Device()
    seen = [device.takes(n * BLOCK_S * 1e-4) for n in range(10_000)]
    last = seen[-1]
    assert last == pytest.approx(1_000 + 10_000 * BLOCK_S * 1e-4, abs=0.001)
