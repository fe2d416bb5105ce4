"""What processes use, read from /proc: CPU seconds, private memory, and the kernel's socket buffers (Linux)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") // 1024


def tree(pids: Sequence[int]) -> list[psutil.Process]:
    """The processes and all their descendants, each once; those that are gone are left out."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            root = psutil.Process(pid)
            found |= {process.pid: process for process in (root, *root.children(recursive=True))}
        except psutil.NoSuchProcess:
            continue
    return list(found.values())


def cpu_s(pids: Sequence[int]) -> float:
    """User and system CPU seconds of the processes and their descendants."""
    total = 0.0
    for process in tree(pids):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def private_kb(pids: Sequence[int]) -> int:
    """Private memory (clean and dirty, what would be freed if they ended) of the processes and their descendants, in KB."""
    total = 0
    for process in tree(pids):
        try:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    return total


def kernel_buffers_kb() -> int:
    """Memory of all TCP buffers of this machine, both ends of a loopback connection, in KB."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1]) * PAGE_KB
    return 0
