"""The codex ABI: the ritual calls the host to read and change the state. What published Control Engine rituals use.

``get_*`` of an unknown name gives 0.0 and creates nothing; ``set_*`` of a new name creates it; ``add_symbol`` of one that is
there changes nothing. Names are UTF-8, and NULs that a length counts in are left out. A run is ``execute_ritual`` (0 is
success), then ``get_resonance`` and ``cleanup`` where there are such; a trap in any of them fails it.

Callbacks are the same functions for all runs: the run is the one of the thread that they are called on.
"""

from __future__ import annotations

import ctypes
import math
import struct
import threading
from collections.abc import Callable
from ctypes import c_double, c_size_t, c_void_p, string_at
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as ffi

from actors.practitioner.archetypal_state import ArchetypalState
from actors.ritual.abi_values import (
    LOG_BYTES,
    NAME_BYTES,
    Chance,
    Draft,
    RunFailure,
    check_name,
    failed,
    room_for,
    shown,
    strength,
    text_of,
)
from actors.ritual.guest import Guest
from actors.ritual.module import CODEX
from actors.ritual.values import RunRequest

HOST_CALLS: Final = 100_000
"""Of one run: some tenths of a second of the host's time. A ritual makes a dozen."""
HOST_CALLS_BRIEF: Final = 500
"""Of a brief run, which holds the interpreter's lock."""

_NAME: Final = struct.Struct("<I12xI").unpack
_NAME_BYTES: Final = 20
_NAME_AND_VALUE: Final = struct.Struct("<I12xI12xd").unpack
_NAME_AND_VALUE_BYTES: Final = 40


class TooManyCalls(RunFailure):
    """Of the host."""

    def __init__(self) -> None:
        super().__init__("ritual_failed", f"it called the host more than {HOST_CALLS:,} times")


class CodexRun:
    """What a run has done to the state so far, and what it may still do."""

    def __init__(self, guest: Guest, request: RunRequest, calls: int) -> None:
        self.guest, self.calls = guest, calls
        self._before = request.state
        self.strengths = {"archetypes": dict(request.state.archetypes), "energies": dict(request.state.energies)}
        self.symbols = dict.fromkeys(request.state.symbols)
        self.emerged: list[str] = []
        self.clamped: dict[str, None] = {}
        self.chance = Chance(request.run)

    def name(self, at: int, size: int, where: str) -> str:
        """A checked name out of the guest's memory."""
        if size > NAME_BYTES:
            self.guest.check(at, size, where)
            raise failed(f"{where}: a name of {size:,} bytes; 100 characters are allowed")
        return check_name(text_of(self.guest.read(at, size, where), where), where)

    def draft(self, resonance: float | None) -> Draft:
        """Where it stands."""
        before = self._before
        return Draft(
            ArchetypalState(
                archetypes=self.strengths["archetypes"],
                energies=self.strengths["energies"],
                integrations=before.integrations,
                symbols=tuple(self.symbols),
                transformations=before.transformations,
            ),
            tuple(self.emerged),
            (),
            tuple(self.clamped),
            resonance,
        )


class _Current(threading.local):
    run: CodexRun | None = None


_current: Final = _Current()


def begin(guest: Guest, request: RunRequest, *, brief: bool) -> CodexRun:
    """The run that this thread's callbacks belong to from now on: before the guest starts."""
    run = CodexRun(guest, request, HOST_CALLS_BRIEF if brief else HOST_CALLS)
    _current.run = run
    return run


def execute(guest: Guest, run: CodexRun, calls: tuple[str, ...]) -> Draft:
    """Run it to its end. Raises RunFailure."""
    if status := guest.call_u32("execute_ritual"):
        signed = status - 2**32 if status >= 2**31 else status
        last = f"; the last that it logged: {shown(said)}" if (said := guest.log.last) else ""
        raise RunFailure("ritual_failed", f"execute_ritual answered {signed} (0 is success){last}", own=True)
    resonance = guest.call_f64("get_resonance") if "get_resonance" in calls else None
    if resonance is not None and not math.isfinite(resonance):
        raise failed(f"get_resonance gave {resonance}: it is a finite number")
    if "cleanup" in calls:
        guest.call("cleanup")
    return run.draft(resonance)


def _log(run: CodexRun, values: int) -> None:
    at, size = _NAME(string_at(values, _NAME_BYTES))
    run.guest.check(at, size, "codex.log")
    looked_at = min(size, LOG_BYTES)
    run.guest.log.add_raw(run.guest.read(at, looked_at, "codex.log"), looked_at < size, "codex.log")


def _get(function: str, field: str) -> Callable[[CodexRun, int], None]:
    def get(run: CodexRun, values: int) -> None:
        at, size = _NAME(string_at(values, _NAME_BYTES))
        c_double.from_address(values).value = run.strengths[field].get(run.name(at, size, function), 0.0)

    return get


def _set(function: str, field: str) -> Callable[[CodexRun, int], None]:
    def set_(run: CodexRun, values: int) -> None:
        at, size, value = _NAME_AND_VALUE(string_at(values, _NAME_AND_VALUE_BYTES))
        name, strengths = run.name(at, size, function), run.strengths[field]
        if name not in strengths:
            room_for(len(strengths), field)
        strengths[name] = strength(value, f"{field}.{name}", run.clamped)

    return set_


def _add_symbol(run: CodexRun, values: int) -> None:
    at, size = _NAME(string_at(values, _NAME_BYTES))
    name = run.name(at, size, "codex.add_symbol")
    if name not in run.symbols:
        room_for(len(run.symbols), "symbols")
        run.symbols[name] = None
        run.emerged.append(name)


def _get_random(run: CodexRun, values: int) -> None:
    c_double.from_address(values).value = run.chance.next()


_HOST: Final[dict[str, Callable[[CodexRun, int], None]]] = {
    "log": _log,
    "get_archetype_activation": _get("codex.get_archetype_activation", "archetypes"),
    "set_archetype_activation": _set("codex.set_archetype_activation", "archetypes"),
    "get_energy_amplitude": _get("codex.get_energy_amplitude", "energies"),
    "set_energy_amplitude": _set("codex.set_energy_amplitude", "energies"),
    "add_symbol": _add_symbol,
    "get_random": _get_random,
}

_library: Final = ctypes.PyDLL(str(ffi.filename))
_trap_new: Final = _library["wasmtime_trap_new"]
_trap_new.restype, _trap_new.argtypes = c_void_p, [ctypes.c_char_p, c_size_t]
_define: Final = _library["wasmtime_linker_define_func_unchecked"]
_define.restype = c_void_p
_define.argtypes = [c_void_p, ctypes.c_char_p, c_size_t, ctypes.c_char_p, c_size_t, *[c_void_p] * 4]
_Callback: Final = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_size_t)


def _callback(function: Callable[[CodexRun, int], None]) -> Any:
    def call(_env: int | None, caller: int, values: int, _count: int) -> int:
        run = _current.run
        try:
            if run is None:
                raise RuntimeError("a host call outside a run")  # noqa: TRY301 - kept below like all that is raised here
            run.calls -= 1
            if run.calls < 0:
                raise TooManyCalls  # noqa: TRY301 - as above
            run.guest.bind_from(caller)
            function(run, values)
        except BaseException as refusal:  # noqa: BLE001 - ctypes would print it and go on as if nothing had happened
            if run is not None:
                run.guest.refusal = refusal
            return int(_trap_new(b"refused", 7))
        return 0

    return _Callback(call)


_CALLBACKS: Final = {name: _callback(function) for name, function in _HOST.items()}
"""They live as long as the process: linkers point at them."""
_TYPES: Final = {"i32": wasmtime.ValType.i32, "f64": wasmtime.ValType.f64}


def define(linker: wasmtime.Linker) -> None:
    """Offer the host's functions, with the types of ``module.CODEX``."""
    at = ctypes.cast(linker.ptr(), c_void_p)
    for name, (params, results) in CODEX.items():
        type_ = wasmtime.FuncType([_TYPES[one]() for one in params], [_TYPES[one]() for one in results])
        callback = ctypes.cast(_CALLBACKS[name], c_void_p)
        pointer = ctypes.cast(type_.ptr(), c_void_p)
        if _define(at, b"codex", 5, name.encode(), len(name), pointer, callback, None, None):
            raise RuntimeError(f"wasmtime refused to define codex.{name}")
