"""Whether a process gets no processor, or wants none, as the kernel counts it: real processes on one processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from harness import until

from actors.runtime.starvation import longest, waits_of

SPINS = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
print("spins", flush=True)
while True:
    pass
"""
LOOKED_S = 2.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts it")


@contextmanager
def spinning(processor: int) -> Iterator[int]:
    command = [sys.executable, "-c", SPINS, str(processor)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"spins\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def waited_s(pid: int) -> float:
    before = waits_of(pid)
    time.sleep(LOOKED_S)  # what is measured is a time
    return longest(before, waits_of(pid))


async def test_who_gets_no_turn_waits_and_who_is_stopped_does_not() -> None:
    processor = min(os.sched_getaffinity(0))
    with ExitStack() as stack:  # each has a fourth of its turns, or less where others run there too
        starved, *_ = [stack.enter_context(spinning(processor)) for _ in range(4)]
        assert waited_s(starved) > 0.5 * LOOKED_S
        os.kill(starved, signal.SIGSTOP)  # which takes a turn
        await until(lambda: psutil.Process(starved).status() == psutil.STATUS_STOPPED, "it is stopped")
        assert waited_s(starved) < 0.1 * LOOKED_S


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert waits_of(process.pid) == {}
    assert longest({1: 2.0}, {}) == 0.0
