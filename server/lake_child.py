"""Processes beside ours that do what takes long or much: an export's bytes, an archive's files.

A child is ``python -m MODULE``. It gets its job as one line of JSON by its standard input, which stays open: where that ends,
whoever wanted the job is gone, and so is the child (also where its parent was killed). Its standard output is the result. Its
last line on standard error says how it went, as JSON: ``{"done": …}`` or ``{"error": …, "code": …}``. Not its exit code: in a
process of Ray's that may be reaped by others. No argument and no environment carries a secret: the job names the deployment's
0600 file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import orjson

from actors.runtime.errors import CODES, ActorUnavailable, Internal, SanghaError, StorageUnavailable
from actors.runtime.ports import StoreDown

log = logging.getLogger(__name__)

NICE: Final = 10
"""Below what answers people."""
TERM_S: Final = 3.0
"""From SIGTERM to SIGKILL: what it leaves (a file half written) the next one clears."""
WORDS_BYTES: Final = 16 * 1024
"""Of what a child says on standard error, the end is kept."""


class Child:
    """One such process, seen from its parent."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._words = asyncio.get_running_loop().create_task(self._listen())
        self.pid = process.pid

    @classmethod
    async def start(cls, module: str, job: dict[str, Any]) -> Child:
        """Raises ActorUnavailable where there is no process to be had."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others keep what they once had
            "OMP_NUM_THREADS": "1",
        }
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
            )
        except OSError as failure:
            raise ActorUnavailable(f"there is no process to be had: {failure}") from failure
        child = cls(process)
        assert process.stdin is not None
        process.stdin.write(orjson.dumps(job) + b"\n")
        return child

    async def read(self, size: int = 64 * 1024) -> bytes:
        """Some of its output; empty at the end. What is not read holds it up."""
        assert self._process.stdout is not None
        return await self._process.stdout.read(size)

    async def outcome(self) -> Any:
        """What it says that it did, after its output ended. Raises what it says went wrong, ActorUnavailable where it says
        nothing: something killed it."""
        words = (await self._words).strip()
        await self._process.wait()
        *before, last = words.split(b"\n")
        if before:
            log.warning("%s", b"\n".join(before).decode(errors="replace"))
        try:
            told = orjson.loads(last)
        except orjson.JSONDecodeError:
            log.error("a child ended without a word on how it went: %s", last.decode(errors="replace"))  # noqa: TRY400
            told = {"code": ActorUnavailable.code, "error": "the process that did this ended unexpectedly; try again"}
        if "done" in told:
            return told["done"]
        raise CODES.get(told["code"], Internal)(told["error"])

    async def end(self) -> None:
        """However far it is: SIGTERM, then SIGKILL. Harmless after its own end."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(TERM_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        while await self.read():  # what it had said: a pipe that is not read to its end stays open
            pass
        await self._words

    async def _listen(self) -> bytes:
        words, stderr = b"", self._process.stderr
        assert stderr is not None
        while some := await stderr.read(4_096):
            words = (words + some)[-WORDS_BYTES:]
        return words


def run(work: Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]) -> None:
    """The child's side: do the job, say how it went."""
    with suppress(OSError):
        os.nice(NICE)
    job: dict[str, Any] = orjson.loads(_first_line())
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    try:
        told = {"done": asyncio.run(work(job))}
    except SanghaError as refusal:
        told = {"code": refusal.code, "error": refusal.message}
    except StoreDown as down:
        told = {"code": StorageUnavailable.code, "error": str(down)}
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.write("\n" + orjson.dumps(told).decode() + "\n")
    sys.stderr.flush()


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n") and (some := os.read(0, 4_096)):
        line += some
    return line


def _leave_with_the_parent() -> None:
    # Not sys.stdin: its lock, held by a thread that waits, ends the interpreter in a fatal error.
    while os.read(0, 4_096):
        pass
    os._exit(1)
