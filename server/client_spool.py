"""Numbered lines on disk, kept until somebody else has them: what an engine's changes wait in while the server is away.

A spool is a directory with one owner at a time::

    owner.lock                   held while it is open (``storage.datadir``)
    stream.json                  the space, the name of the server's stream, and the number before the stream's first line
    00000000000000000001.lines   a segment: lines from the number in its name on
    refused.ndjson               lines that were set aside, and why

A record of a segment is the CRC-32 of the JSON as eight hex digits, a space, the JSON, a newline. Only the last segment is
ever appended to, and a new one begins only when the last is on the disk, so a crash can tear the end of the last segment and
nothing else: opening cuts it back to its last whole record. Anything else that does not fit is damage, and said so.
The last segment stays even when it is empty: its name is how the count of lines survives.

Files only: no sockets, no asyncio. ``sync`` may run in a thread beside everything else; all else is for one thread.
"""

from __future__ import annotations

import os
import threading
import uuid
import zlib
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import msgspec
import orjson

from server.client_events import ClientError

SEGMENT_BYTES: Final = 8 * 2**20
"""Large enough that files are few, small enough that what is committed soon leaves the disk."""
CRC_CHARS: Final = 9
SUFFIX: Final = ".lines"


class SpoolInUse(ClientError):
    """Another process, or another client in this one, has the spool."""

    code = "spool_in_use"


class SpoolDamaged(ClientError):
    """What is on the disk is not what was written. The message names the file."""

    code = "spool_damaged"


class SpoolFull(ClientError):
    """The spool has as many bytes as it may have, and the server has not taken them yet."""

    code = "spool_full"


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """Which stream the lines are for. A line's number in the stream is its number in the spool less ``offset``."""

    space: str
    stream: str
    offset: int = 0


def framed(line: bytes) -> bytes:
    """A line as a record."""
    return b"%08x %b\n" % (zlib.crc32(line), line)


def unframed(record: bytes) -> bytes | None:
    """The line of a record; None where it is none, or not whole."""
    line = record[CRC_CHARS:-1]
    return line if record[-1:] == b"\n" and record[:CRC_CHARS] == b"%08x " % zlib.crc32(line) else None


def new_stream() -> str:
    """A name that no other spool has."""
    return f"spool-{uuid.uuid4().hex}"


class Spool:
    """The lines ``first`` to ``last`` of a space. Open it with ``with`` or ``open``."""

    def __init__(self, path: Path | str, space: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.path, self.space = Path(path), space
        self.segment_bytes = segment_bytes
        self.last = self.synced = 0
        """Numbers: of the newest line, and of the newest that a power failure leaves there."""
        self.bytes = 0
        """Of all segments."""
        self.cut_bytes = 0
        """What opening cut off the end."""
        self.state = StreamState(space=space, stream="")
        self._segments: dict[int, int] = {}  # first number -> bytes, oldest first
        self._file = -1
        self._swapping = threading.Lock()  # which file ``_file`` is
        self._reader: _Reader | None = None

    # Its life

    def open(self) -> Self:
        """Become its owner; the directory is made where it is missing.

        Raises SpoolInUse; SpoolDamaged; ClientError where it is another space's; OSError.
        """
        from storage.datadir import DataDirectory, DataDirectoryInUse  # here, for it knows POSIX only

        try:
            self._lock = DataDirectory(self.path).acquire()
        except DataDirectoryInUse as used:
            raise SpoolInUse(f"the spool {used}") from None
        try:
            self._load_state()
            self._load_segments()
        except BaseException:
            self._lock.release()
            raise
        return self

    def close(self) -> None:
        """Let another have it. Every line is on the disk afterwards."""
        if self._file < 0:
            return
        try:
            self.sync()
        finally:
            os.close(self._file)
            self._file = -1
            self._forget_reader()
            self._lock.release()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load_state(self) -> None:
        file = self.path / "stream.json"
        try:
            self.state = msgspec.json.decode(file.read_bytes(), type=StreamState)
        except FileNotFoundError:
            if any(self.path.glob(f"*{SUFFIX}")):
                raise SpoolDamaged(f"{file} is missing, and there are lines beside it") from None
            self._save_state(StreamState(space=self.space, stream=new_stream()))
        except msgspec.DecodeError as wrong:
            raise SpoolDamaged(f"{file}: {wrong}") from None
        if self.state.space != self.space:
            raise ClientError(f"{self.path} is the spool of the space {self.state.space!r}, not of {self.space!r}")

    def _save_state(self, state: StreamState) -> None:
        temporary = self.path / "stream.json.new"
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / "stream.json")
        self._sync_directory()
        self.state = state

    def _load_segments(self) -> None:
        found = sorted(int(file.stem) for file in self.path.glob(f"*{SUFFIX}") if file.stem.isdigit())
        self._segments = {first: self._segment(first).stat().st_size for first in found}
        if not found:
            self._begin(self.state.offset + 1)
        else:
            lines = self._cut(found[-1])
            self._file = os.open(self._segment(found[-1]), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self.last = found[-1] + lines - 1
            self.sync()
        self.bytes = sum(self._segments.values())

    def _cut(self, first: int) -> int:
        """The lines of the last segment, which ends with a whole record from now on."""
        whole = lines = 0
        path = self._segment(first)
        with path.open("rb") as file:
            for record in file:
                if unframed(record) is None:
                    self._keep(first + lines, record, file)
                    break
                whole += len(record)
                lines += 1
        self.cut_bytes = self._segments[first] - whole
        if self.cut_bytes:
            os.truncate(path, whole)
            self._segments[first] = whole
        return lines

    def _keep(self, number: int, torn: bytes, file: BinaryIO) -> None:
        """A power failure may leave whole records behind a hole; nobody was promised them, but they are not thrown away."""
        rest = file.read()
        if any(unframed(record) is not None for record in rest.splitlines(keepends=True)):
            (self.path / f"cut-{number}-{uuid.uuid4().hex[:8]}").write_bytes(torn + rest)

    def _segment(self, first: int) -> Path:
        return self.path / f"{first:020}{SUFFIX}"

    def _sync_directory(self) -> None:
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    # Lines in

    @property
    def first(self) -> int:
        """The number of the oldest line that is kept, or of the next one."""
        return next(iter(self._segments))

    @property
    def segment_full(self) -> bool:
        """Whether it is time to ``seal``."""
        return self._segments[self._active] >= self.segment_bytes

    @property
    def _active(self) -> int:
        return next(reversed(self._segments))

    def append(self, line: bytes) -> int:
        """Write a JSON text without newlines; its number. It outlives this process from now on, and a power failure after
        ``sync``. Raises OSError (the disk is full), and then it is as if nothing had been written."""
        record = framed(line)
        written = 0
        try:
            while written < len(record):
                written += os.write(self._file, record[written:])
        except OSError:
            if written:
                os.ftruncate(self._file, self._segments[self._active])
                self._forget_reader()  # it may have read what is gone
            raise
        self._segments[self._active] += len(record)
        self.bytes += len(record)
        self.last += 1
        return self.last

    def sync(self) -> None:
        """Everything that was appended before is on the disk afterwards. From any thread."""
        with self._swapping:
            last, file = self.last, os.dup(self._file)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        self.synced = max(self.synced, last)

    def seal(self) -> None:
        """Begin a new segment, once the last is on the disk (call ``sync`` before, where it would take long)."""
        if not self._segments[self._active]:
            return
        if self.synced < self.last:
            self.sync()
        self._begin(self.last + 1)

    def _begin(self, first: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(self._segment(first), flags, 0o600)
        with self._swapping:
            old, self._file = self._file, file
            self.last = self.synced = first - 1
        if old >= 0:
            os.close(old)
        self._segments[first] = 0
        self._sync_directory()

    # Lines out

    def read(self, after: int, *, most_bytes: int, most_lines: int) -> list[bytes]:
        """The lines that follow number ``after``, those only that are on the disk for good; none where there is none.

        As many as fit, but at least one. Raises SpoolDamaged.
        """
        lines: list[bytes] = []
        room = most_bytes
        reader = self._reader_at(after + 1)
        while len(lines) < most_lines and after + len(lines) < self.synced:
            line = reader.next()
            if lines and len(line) + 1 > room:
                reader.unread(line)
                break
            room -= len(line) + 1
            lines.append(line)
        return lines

    def _reader_at(self, number: int) -> _Reader:
        if self._reader is None or self._reader.number != number:
            self._forget_reader()
            self._reader = _Reader(self, number)
        return self._reader

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def forget(self, number: int) -> None:
        """Lines up to a number are safe elsewhere: delete the segments that have no other."""
        if number >= self.last and self._segments[self._active] * 4 >= self.segment_bytes:
            self.seal()
        for first, following in self._spans():
            if following - 1 > number:
                break
            self._segment(first).unlink()
            self.bytes -= self._segments.pop(first)

    def _spans(self) -> list[tuple[int, int]]:
        """Of all segments but the last: its first number, and that of the next."""
        firsts = list(self._segments)
        return list(pairwise(firsts))

    # What could not be sent

    def restart(self, after: int) -> None:
        """From the line after a number on the lines are another stream's, which nobody knows yet."""
        self._save_state(StreamState(space=self.space, stream=new_stream(), offset=after))

    def set_aside(self, number: int, error: Exception) -> None:
        """Note a line that is never going to be taken, and why."""
        (line,) = self.read(number - 1, most_bytes=1, most_lines=1)
        note = {
            "number": number,
            "code": getattr(error, "code", ""),
            "message": str(error),
            "line": orjson.Fragment(line),
        }
        with (self.path / "refused.ndjson").open("ab") as file:
            file.write(orjson.dumps(note) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def segment_of(self, number: int) -> tuple[Path, int]:
        """The file with the line of a number, and its first number. Raises SpoolDamaged where there is none."""
        for first in reversed(self._segments):
            if first <= number:
                return self._segment(first), first
        raise SpoolDamaged(f"{self.path}: line {number} is gone")


class _Reader:
    """A place in the lines of a spool."""

    def __init__(self, spool: Spool, number: int) -> None:
        self.number = number
        """Of the line that comes next."""
        self._spool = spool
        self._again: bytes | None = None
        path, first = spool.segment_of(number)
        self._file = path.open("rb")
        for _ in range(number - first):
            self._file.readline()

    def next(self) -> bytes:
        """The next line, which has to be there."""
        line, self._again = self._again, None
        if line is None:
            line = unframed(self._record())
        if line is None:
            raise SpoolDamaged(f"{self._file.name}: line {self.number} of the spool is not what was written")
        self.number += 1
        return line

    def _record(self) -> bytes:
        record = self._file.readline()
        if record:
            return record
        path, first = self._spool.segment_of(self.number)  # the end of a segment that is no longer the last
        if first != self.number:
            return b""
        self._file.close()
        self._file = path.open("rb")
        return self._file.readline()

    def unread(self, line: bytes) -> None:
        """The last line comes next once more."""
        self._again = line
        self.number -= 1

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
