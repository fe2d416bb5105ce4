"""Structured logs: one JSON object a line, or for people on a terminal; with the id of the request being worked on.

Actors are other processes, so their lines travel to ``serve`` as datagrams over a Unix socket in the run directory and it
writes them to standard error with its own. A datagram never blocks an actor: where ``serve`` does not read, lines are lost
and not requests. On another node, or without ``serve``, lines go to the actor's own standard error, which Ray keeps.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

import orjson

from actors.runtime.trace import request_id

__all__ = ["LogCollector", "configure", "request_id"]

MAX_DATAGRAM: Final = 60_000
SOCKET_NAME: Final = "log.sock"


def _line(record: logging.LogRecord, process: str) -> dict[str, object]:
    line: dict[str, object] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "process": process,
        "logger": record.name,
        "message": record.getMessage(),
    }
    current = request_id.get()
    if current is not None:
        line["request_id"] = current
    if record.exc_info:
        line["exception"] = logging.Formatter().formatException(record.exc_info)
    return line


def _human(line: dict[str, object]) -> str:
    tail = f"  [{line['request_id']}]" if "request_id" in line else ""
    trace = f"\n{line['exception']}" if "exception" in line else ""
    return f"{str(line['at'])[11:23]} {line['level']:<8} {line['process']:<16} {line['message']}{tail}{trace}"


def _write(stream: TextIO, line: dict[str, object], *, human: bool) -> None:
    text = _human(line) if human else orjson.dumps(line).decode()
    stream.write(text + "\n")
    stream.flush()


class _Stream(logging.Handler):
    """To standard error."""

    def __init__(self, process: str, *, human: bool) -> None:
        super().__init__()
        self._process, self._human = process, human

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(sys.stderr, _line(record, self._process), human=self._human)
        except Exception:  # noqa: BLE001 - the logging module's own convention: a log line never breaks its caller
            self.handleError(record)


class _Datagram(logging.Handler):
    """To the collector in ``serve``; to standard error where there is none."""

    def __init__(self, process: str, path: Path) -> None:
        super().__init__()
        self._process, self._path = process, str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = _line(record, self._process)
            data = orjson.dumps(line, default=str)[:MAX_DATAGRAM]
            try:
                self._socket.sendto(data, self._path)
            except BlockingIOError:
                pass  # the collector is behind: lines are lost, and not requests
            except OSError:
                _write(sys.stderr, line, human=False)
        except Exception:  # noqa: BLE001 - as above
            self.handleError(record)


def configure(process: str, level: str, run_dir: Path | None = None) -> None:
    """Set this process's logging up. With ``run_dir`` lines go to the collector there."""
    handler: logging.Handler
    if run_dir is not None and (run_dir / SOCKET_NAME).exists():
        handler = _Datagram(process, run_dir / SOCKET_NAME)
    else:
        handler = _Stream(process, human=sys.stderr.isatty())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("asyncio", "aiohttp.access", "ray", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class LogCollector:
    """Receives actors' lines and writes them to standard error, in a thread of its own."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / SOCKET_NAME
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._path.chmod(0o600)
        self._human = sys.stderr.isatty()
        self._thread = threading.Thread(target=self._run, name="log-collector", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while data := self._socket.recv(MAX_DATAGRAM):
            with contextlib.suppress(orjson.JSONDecodeError, OSError):  # a line cut at the limit
                _write(sys.stderr, orjson.loads(data), human=self._human)

    def close(self) -> None:
        """Stop; what was sent before is written."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end, contextlib.suppress(OSError):
            end.sendto(b"", str(self._path))
        self._thread.join(timeout=2)
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)
