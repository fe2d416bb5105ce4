"""One run of a module inside wasmtime: a fresh store and instance, its memory read and written only after a check.

It stands on wasmtime's C API, by way of the library and the structures that wasmtime-py ships, because the wrappers cost
more than the ritual. Measured on one core, a codex ritual with six host calls: through wasmtime-py's own Store, instantiate
and call of one function 55-68 µs; the same and two more functions here 15-19 µs, 21-25 with names checked and the outcome
built. Where it went:

* store and instance: 17-19 µs with wasmtime-py, 11.5 µs past its wrappers, 4.4 µs with the pooling allocator besides, 3.4 µs
  with the first pages kept resident;
* exports and calls: 47 µs with wasmtime-py, 12-14 µs here. Callbacks take raw values ("unchecked" functions) and no Caller,
  exports are looked up by name instead of wrapping all of them, and a function's type is looked at once, when the module is
  loaded (``sandbox``), not on every call;
* short calls hold the interpreter's lock (PyDLL): giving it up and getting it back costs more than they last, and where the
  process is busy getting it back may take Python's switch interval, 5 ms.

Only what runs the guest gives the lock up, unless the run is ``brief``: its fuel ends within half a millisecond (bulk
operations pay fuel by size, so fuel bounds time in native code too), and then keeping it is right.

What the host refuses inside a callback is kept in ``refusal`` and traps; ctypes itself would print an exception and go on.
"""

from __future__ import annotations

import ctypes
from ctypes import addressof, c_bool, c_double, c_int64, c_size_t, c_uint64, c_void_p, memmove, string_at
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as ffi

from actors.ritual.abi_values import Log, RunFailure, failed, shown

_HELD: Final = ctypes.PyDLL(str(ffi.filename))
_FREE: Final = ctypes.CDLL(str(ffi.filename))


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    found = library[name]  # a function object of its own: wasmtime-py's keep their types
    found.restype, found.argtypes = result, list(arguments)
    return found


_P: Final = c_void_p
_store_new: Final = _function(_HELD, "wasmtime_store_new", _P, _P, _P, _P)
_store_context: Final = _function(_HELD, "wasmtime_store_context", _P, _P)
_store_delete: Final = _function(_HELD, "wasmtime_store_delete", None, _P)
_store_limiter: Final = _function(_HELD, "wasmtime_store_limiter", None, _P, *[c_int64] * 5)
_set_fuel: Final = _function(_HELD, "wasmtime_context_set_fuel", _P, _P, c_uint64)
_get_fuel: Final = _function(_HELD, "wasmtime_context_get_fuel", _P, _P, _P)
_set_deadline: Final = _function(_HELD, "wasmtime_context_set_epoch_deadline", None, _P, c_uint64)
_export_get: Final = _function(_HELD, "wasmtime_instance_export_get", c_bool, _P, _P, _P, c_size_t, _P)
_caller_export_get: Final = _function(_HELD, "wasmtime_caller_export_get", c_bool, _P, _P, c_size_t, _P)
_memory_data: Final = _function(_HELD, "wasmtime_memory_data", _P, _P, _P)
_memory_size: Final = _function(_HELD, "wasmtime_memory_data_size", c_size_t, _P, _P)
_INSTANTIATE: Final = [
    _function(library, "wasmtime_instance_pre_instantiate", _P, _P, _P, _P, _P) for library in (_FREE, _HELD)
]
_CALL: Final = [
    _function(library, "wasmtime_func_call_unchecked", _P, _P, _P, _P, c_size_t, _P) for library in (_FREE, _HELD)
]

_VALUE_BYTES: Final = 16
_VALUES: Final = 16
_MEMORY_BYTES: Final = ctypes.sizeof(ffi.wasmtime_memory_t)
_OF: Final = ffi.wasmtime_extern_t.of.offset
_NAMES: Final = {
    name: (ctypes.create_string_buffer(name.encode()), len(name))
    for name in (
        "memory",
        "execute_ritual",
        "get_resonance",
        "cleanup",
        "get_state_transformation",
        "alloc",
        "execute",
    )
}

_TRAPS: Final = {
    wasmtime.TrapCode.STACK_OVERFLOW: "it used up the stack: a recursion that goes too deep",
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "it read or wrote outside its memory",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "it used a table outside its bounds",
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: "it called through a table entry that is empty",
    wasmtime.TrapCode.BAD_SIGNATURE: "it called a function through a table with another type",
    wasmtime.TrapCode.INTEGER_OVERFLOW: "an integer overflowed",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "it divided an integer by zero",
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: "it converted a float that fits no integer (NaN, infinite or too large)",
    wasmtime.TrapCode.UNREACHABLE: "it reached an `unreachable` instruction (a panic or an abort)",
    wasmtime.TrapCode.INTERRUPT: "it ran longer than it may",
    wasmtime.TrapCode.OUT_OF_FUEL: "it used up its fuel: an endless loop, or too much work",
}


class OutOfFuel(RunFailure):
    """The fuel is used up."""

    def __init__(self, message: str) -> None:
        super().__init__("ritual_failed", message)


class Scratch:
    """Buffers that calls into wasmtime fill: one of these a thread, used again by each of its runs."""

    def __init__(self) -> None:
        self._instance = ffi.wasmtime_instance_t()
        self._extern = ffi.wasmtime_extern_t()
        self._memory = ffi.wasmtime_memory_t()
        self._values = ctypes.create_string_buffer(_VALUES * _VALUE_BYTES + _VALUE_BYTES)
        self.trap = c_void_p()
        self.fuel = c_uint64()
        self.instance = addressof(self._instance)
        self.extern = addressof(self._extern)
        self.memory = addressof(self._memory)
        self.values = (addressof(self._values) + _VALUE_BYTES - 1) // _VALUE_BYTES * _VALUE_BYTES
        self.trap_at = addressof(self.trap)
        self.fuel_at = addressof(self.fuel)
        self.names = {name: (addressof(buffer), size) for name, (buffer, size) in _NAMES.items()}


class Guest:
    """A store with an instance in it, for one run on one thread. ``close`` it.

    Before ``start`` nothing of the guest has run; a start function may call the host while it runs.
    """

    __slots__ = ("_base", "_context", "_fuel", "_held", "_scratch", "_size", "_store", "host_calls", "log", "refusal")

    def __init__(
        self, scratch: Scratch, engine: int, *, fuel: int, ticks: int, limits: tuple[int, int], brief: bool
    ) -> None:
        self._scratch, self._fuel, self._held = scratch, fuel, brief
        self._base = self._size = 0
        self.refusal: BaseException | None = None
        self.host_calls = 0
        self.log = Log()
        self._store = _store_new(engine, None, None)
        self._context = _store_context(self._store)
        _set_fuel(self._context, fuel)
        _set_deadline(self._context, ticks)
        _store_limiter(self._store, limits[0], limits[1], 1, -1, 1)

    def close(self) -> None:
        """Gives its memory back."""
        self.refusal = None  # it knows the frames that raised it, and they know this
        _store_delete(self._store)

    def start(self, prepared: int) -> None:
        """Instantiate, which runs a start function. Raises RunFailure."""
        scratch = self._scratch
        error = _INSTANTIATE[self._held](prepared, self._context, scratch.instance, scratch.trap_at)
        if error or scratch.trap.value:
            self._raise(error, "while it was instantiated")
        self._find("memory")
        self._bind()

    def bind_from(self, caller: int) -> None:
        """Find the memory from within a callback: the start function's, where ``start`` did not return yet."""
        if not self._base:
            name, size = self._scratch.names["memory"]
            if not _caller_export_get(caller, name, size, self._scratch.extern):
                raise failed("it called the host before its memory was there")
            self._bind()

    def _bind(self) -> None:
        memmove(self._scratch.memory, self._scratch.extern + _OF, _MEMORY_BYTES)
        # The engine is set never to move a memory, so the base stays; the size only grows.
        self._base = _memory_data(self._context, self._scratch.memory) or 0
        self._size = _memory_size(self._context, self._scratch.memory)

    def _find(self, name: str) -> None:
        at, size = self._scratch.names[name]
        if not _export_get(self._context, self._scratch.instance, at, size, self._scratch.extern):
            raise RuntimeError(f"the module was loaded for its export {name} and has none")

    def call(self, name: str, *arguments: int) -> int:
        """An exported function of i32 arguments; the address of its result. Raises RunFailure.

        That it exists and has the type that the ABI says was made sure of when the module was loaded.
        """
        scratch = self._scratch
        self._find(name)
        for place, argument in enumerate(arguments):
            c_int64.from_address(scratch.values + place * _VALUE_BYTES).value = argument
        error = _CALL[self._held](self._context, scratch.extern + _OF, scratch.values, _VALUES, scratch.trap_at)
        if error or scratch.trap.value:
            self._raise(error, f"in {name}")
        return scratch.values

    def call_u32(self, name: str, *arguments: int) -> int:
        """Its i32 result as an unsigned number."""
        return c_int64.from_address(self.call(name, *arguments)).value & 0xFFFFFFFF

    def call_u64(self, name: str, *arguments: int) -> int:
        """Its i64 result as an unsigned number."""
        return c_uint64.from_address(self.call(name, *arguments)).value

    def call_f64(self, name: str) -> float:
        """Its f64 result."""
        return c_double.from_address(self.call(name)).value

    def has(self, at: int, size: int) -> bool:
        """Whether its memory has these bytes (both numbers unsigned)."""
        if at + size <= self._size:
            return True
        self._size = _memory_size(self._context, self._scratch.memory)
        return at + size <= self._size

    def read(self, at: int, size: int, where: str) -> bytes:
        """``size`` bytes at ``at``. Raises RunFailure where they are not all inside its memory."""
        self.check(at, size, where)
        return string_at(self._base + at, size)

    def check(self, at: int, size: int, where: str) -> None:
        """Raises RunFailure where these bytes are not all inside its memory."""
        if at + size > self._size and not self.has(at, size):
            raise failed(f"{where}: {size:,} bytes at {at:,} do not lie within its memory of {self._size:,} bytes")

    def read_text(self, at: int, most: int, where: str) -> bytes:
        """The bytes from ``at`` to the first NUL, which must come within ``most`` bytes and within its memory."""
        self.check(at, 1, where)
        self.has(at, most)
        found = string_at(self._base + at, min(most, self._size - at)).split(b"\0", 1)
        if len(found) == 1:
            raise failed(f"{where}: no NUL ends the text within {most:,} bytes")
        return found[0]

    def write(self, at: int, data: bytes, where: str) -> None:
        """Raises RunFailure where they do not fit into its memory there."""
        self.check(at, len(data), where)
        memmove(self._base + at, data, len(data))

    @property
    def memory_bytes(self) -> int:
        """What its memory has grown to; 0 where it is not known yet."""
        return _memory_size(self._context, self._scratch.memory) if self._base else 0

    @property
    def fuel_used(self) -> int:
        """By the guest so far."""
        _get_fuel(self._context, self._scratch.fuel_at)
        return self._fuel - self._scratch.fuel.value

    def _raise(self, error: int | None, where: str) -> None:
        """What wasmtime reported, as a RunFailure; what the host refused, as it was."""
        trap, self._scratch.trap.value = self._scratch.trap.value, None
        reason = _error_text(error) if error else None
        code, function = _trap_of(trap) if trap else (None, "")
        if self.refusal is not None:
            raise self.refusal
        if reason is not None:
            raise failed(f"{where}: {shown(reason)}")
        place = f"{where} (function `{shown(function)}`)" if function else where
        if code is wasmtime.TrapCode.OUT_OF_FUEL:
            raise OutOfFuel(f"{place}: {_TRAPS[code]}")
        raise failed(f"{place}: {_TRAPS.get(code, 'it trapped') if code else 'it trapped'}")


def _error_text(error: int) -> str:
    pointer = ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t))
    return str(wasmtime.WasmtimeError._from_ptr(pointer))  # noqa: SLF001 - the C API is used past the wrapper here


def _trap_of(pointer: int) -> tuple[wasmtime.TrapCode | None, str]:
    """Its code, and the name of the function it happened in where the module has names."""
    trap = wasmtime.Trap._from_ptr(ctypes.cast(pointer, ctypes.POINTER(ffi.wasm_trap_t)))  # noqa: SLF001 - as above
    frames = trap.frames
    try:
        return trap.trap_code, (frames[0].func_name or "") if frames else ""
    except (ValueError, UnicodeDecodeError):  # a code that wasmtime-py does not know; a name that is not UTF-8
        return None, ""
