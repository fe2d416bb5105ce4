"""The data directory has one owner process, for as long as that lives: a lock in the kernel, gone with the process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LOCK_NAME: Final = "owner.lock"
POLL_S: Final = 0.05
"""flock has no wait with a limit; a predecessor that is about to go is noticed this soon."""


class DataDirectoryInUse(Exception):
    """Another process owns the data directory."""


class DataDirectory:
    """The lock on a data directory. flock and not lockf: the latter is lost when anything in the process closes the file."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self._file: int | None = None

    def acquire(self, wait_s: float = 0.0) -> Self:
        """Become the owner (the directory is made where it is missing); blocks up to ``wait_s`` for a predecessor.

        Raises DataDirectoryInUse with the pid of the owner.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    owner = os.pread(file, 32, 0).decode().strip() or "unknown"
                    os.close(file)
                    raise DataDirectoryInUse(f"{self.path} is in use by process {owner}") from None
                time.sleep(POLL_S)
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file
        return self

    def release(self) -> None:
        """Let another process have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self if self._file is not None else self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
