"""Remembers, past the death of its process, what a sandbox was doing: so that a ritual that kills sandboxes cannot go on.

A file is mapped into memory; what is written there is the kernel's at once and survives SIGKILL without any system call.
Each thread has a slot that names what it works on. Whoever opens the file next finds in the slots what was under way at the
death, and counts one for each in a ledger that lies in the same file.

The machine's own death may lose the file's last pages or tear it: a file that is not understood begins anew, for what it
protects from is a poison run, not a lost one.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

MAGIC: Final = b"sangha-runs-1\0\0\0"
ENTRY_BYTES: Final = 64
LEDGER: Final = 128
"""Deaths remembered; the oldest is forgotten first."""
KEY_BYTES: Final = ENTRY_BYTES - 2
_EMPTY: Final = bytes(ENTRY_BYTES)


class RunMarks:
    """The slots and the ledger. A key is at most 62 bytes of ASCII."""

    def __init__(self, path: Path, slots: int) -> None:
        self._slots = slots
        size = len(MAGIC) + (slots + LEDGER) * ENTRY_BYTES
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            found = os.fstat(handle).st_size
            os.ftruncate(handle, size)
            self._map = mmap.mmap(handle, size)
        finally:
            os.close(handle)
        if found != size or self._map[: len(MAGIC)] != MAGIC:
            self._map[:] = MAGIC + bytes(size - len(MAGIC))
        self._deaths = self._recount()

    def deaths(self, key: str) -> int:
        """How many processes died while they worked on it."""
        return self._deaths.get(key, 0)

    def begin(self, slot: int, key: str) -> None:
        """This thread works on it from now on."""
        at = len(MAGIC) + slot * ENTRY_BYTES
        self._map[at : at + ENTRY_BYTES] = _entry(0, key)

    def end(self, slot: int) -> None:
        """It came to an end."""
        self._map[len(MAGIC) + slot * ENTRY_BYTES] = 0

    def forget(self, key: str) -> None:
        """It was not its fault after all."""
        if self._deaths.pop(key, None) is not None:
            self._write_ledger()

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def _entries(self, first: int, count: int) -> list[tuple[int, str]]:
        found = []
        for number in range(first, first + count):
            at = len(MAGIC) + number * ENTRY_BYTES
            entry = self._map[at : at + ENTRY_BYTES]
            if 0 < entry[0] <= KEY_BYTES:
                found.append((entry[1], entry[2 : 2 + entry[0]].decode("ascii", "replace")))
        return found

    def _recount(self) -> dict[str, int]:
        deaths = {key: count for count, key in self._entries(self._slots, LEDGER)}
        for _, key in self._entries(0, self._slots):
            deaths[key] = min(deaths.pop(key, 0) + 1, 255)
        self._deaths = dict(list(deaths.items())[-LEDGER:])
        self._write_ledger()
        for slot in range(self._slots):
            self.end(slot)
        return self._deaths

    def _write_ledger(self) -> None:
        ledger = b"".join(_entry(count, key) for key, count in self._deaths.items())
        at = len(MAGIC) + self._slots * ENTRY_BYTES
        self._map[at:] = ledger.ljust(LEDGER * ENTRY_BYTES, b"\0")


def _entry(count: int, key: str) -> bytes:
    raw = key.encode("ascii", "replace")[:KEY_BYTES]
    return bytes((len(raw), count)) + raw.ljust(KEY_BYTES, b"\0")
