"""Compiles a module in a process of its own, where it can be ended: by the processor time and the memory that it takes.

A compiler's time and memory do not follow from a module's size: 7 KB (1,000 functions of 1,000 parameters in a table) took
20 s, 3 KB of nested loops over 1,000 local variables 5 GB, and nothing interrupts wasmtime there. So only what ``inspect``
knows to be little is compiled where rituals run; everything else here, for a third of a second more. What a death or a limit
ends is refused, and costs nobody but its author.

``python -m actors.ritual.compiling LIMITS``: the module comes in by stdin. What goes out is ``+`` and what ``serialize``
gives, or ``-`` and why the module is not valid; before either its length, so that half an answer is none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import msgspec
import wasmtime

from actors.ritual.engine import SandboxLimits, config
from actors.runtime.errors import ActorUnavailable, RitualRejected

if sys.platform != "win32":
    import resource

COMPILE_HERE_MAX: Final = 2**18
"""``Inspection.cost`` of what is compiled in the sandbox itself: a quarter of a second at the very worst."""
PROCESSOR_S: Final = 20
WALL_S: Final = 120.0
MEMORY_BYTES: Final = 2**30
COMPILED_BYTES_MAX: Final = 64 * 2**20
"""4 MiB of usual code become some 25 MiB."""
_LENGTH_BYTES: Final = 8
_TOO_MUCH: Final = (
    f"the module is too much to compile: it takes more than {PROCESSOR_S} s, {MEMORY_BYTES >> 20:,} MiB of memory or "
    f"{COMPILED_BYTES_MAX >> 20} MiB of machine code; "
    "make it smaller, with fewer parameters, local variables, loops, types and segments"
)


def compile_apart(limits: SandboxLimits, data: bytes) -> bytes:
    """What ``serialize`` gives of the module, for an engine of these limits. Blocks. Raises WasmtimeError, RitualRejected,
    ActorUnavailable."""
    command = [sys.executable, "-m", "actors.ritual.compiling", msgspec.json.encode(limits).decode()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        ended = subprocess.run(
            command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=WALL_S, env=environment
        )
    except subprocess.TimeoutExpired:
        raise RitualRejected(_TOO_MUCH) from None
    except OSError as failure:
        raise ActorUnavailable("there is no process to be had to compile in; try again") from failure
    length, answer = ended.stdout[:_LENGTH_BYTES], ended.stdout[_LENGTH_BYTES:]
    if not answer or int.from_bytes(length, "big") != len(answer):
        raise RitualRejected(_TOO_MUCH)
    if answer[:1] == b"-":
        raise wasmtime.WasmtimeError(answer[1:].decode(errors="replace"))  # it may be cut within a letter
    return answer[1:]


def main(limits: str) -> None:
    """The other process."""
    if sys.platform != "win32":
        limits_of_this = (
            (resource.RLIMIT_CPU, PROCESSOR_S),
            (resource.RLIMIT_DATA, MEMORY_BYTES),
            (resource.RLIMIT_CORE, 0),
        )
        for which, most in limits_of_this:
            given = resource.getrlimit(which)[1]  # it may be less already, and is never raised
            resource.setrlimit(which, (most, most) if given == resource.RLIM_INFINITY else (min(most, given),) * 2)
    engine = wasmtime.Engine(config(msgspec.json.decode(limits, type=SandboxLimits)))
    try:
        answer = b"+" + bytes(wasmtime.Module(engine, sys.stdin.buffer.read()).serialize())
    except wasmtime.WasmtimeError as failure:
        answer = b"-" + str(failure).encode()[:4_096]
    if len(answer) <= COMPILED_BYTES_MAX:
        sys.stdout.buffer.write(len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)


if __name__ == "__main__":
    main(sys.argv[1])
