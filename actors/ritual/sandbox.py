"""Runs rituals so that they cannot hurt anyone: wasmtime, a fresh store and instance for every run, everything bounded.

What always holds:

* A module's SHA-256 is verified before anything looks at it; ``module.inspect`` judges it before it is compiled, and what
  may be much to compile is compiled apart (``compiling``); nothing that
  was uploaded is ever deserialised (``module_cache`` has the one exception: our own output, authenticated).
* A run ends: by its fuel, by its deadline (an epoch that a thread advances), by the limits of memory, tables and stack, by the
  count of its calls to the host and the size of what it says. Start functions are under the same limits.
* The same request gives the same outcome, bit for bit and in any process, ``duration_us`` apart: NaNs are canonical, threads
  and relaxed SIMD are off, all chance comes from the run's id. The deadline is the one exception, and far behind the fuel:
  10^9 units are 0.5 s of an empty loop, 1.2 s of random stores in 256 MiB, 4.2 s of divisions and roots, 9-14 s of
  growing memory (measured).
* A guest's fault is an outcome with a code; an exception from here is a fault of ours.

The same run in wasmtime-py's own API costs two to three times as much; ``guest`` tells where it goes.

Decided against: warm instances (a run would see what the last one left); parallel compilation (an upload would take all
cores); giving up the interpreter's lock for every call (see ``guest``).
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import threading
import time
from functools import partial
from pathlib import Path
from typing import Final

import wasmtime
from wasmtime import _ffi as ffi

from actors.practitioner.archetypal_state import ArchetypalState
from actors.ritual import abi_codex, abi_legacy, abi_sangha
from actors.ritual.abi_values import Draft, RunFailure, shown
from actors.ritual.compiling import COMPILE_HERE_MAX, compile_apart
from actors.ritual.engine import CONCURRENT, SandboxLimits, config
from actors.ritual.guest import Guest, OutOfFuel, Scratch
from actors.ritual.module import OPTIONAL, PAGE_BYTES, REQUIRED, Inspection, inspect
from actors.ritual.module_cache import Compiled, DiskCache, ModuleCache
from actors.ritual.values import CheckReport, CheckRequest, RunOutcome, RunRequest
from actors.runtime.errors import RitualRejected

BRIEF_FUEL: Final = 50_000
"""Of a run that holds the interpreter's lock: half a millisecond."""
BRIEF_MEMORY_BYTES: Final = 8 * 2**20
"""Fuel is looked at after an operation: one that fills 256 MiB takes 0.2 s. Who is seen with more memory than this gets a
thread from then on."""
TICK_S: Final = 0.05
CHECK_RUN: Final = "00000000-0000-0000-0000-000000000000"


class ModuleMissing(LookupError):
    """The module is not loaded (any more)."""


class Prepared:
    """A compiled module with its imports resolved."""

    def __init__(self, module: wasmtime.Module, pre: wasmtime.InstancePre, inspection: Inspection) -> None:
        self.abi, self.calls, self.slow = inspection.abi, inspection.calls, False
        """``slow``: its last run did not end briefly."""
        self.large = inspection.memory_pages_min * PAGE_BYTES > BRIEF_MEMORY_BYTES
        """Never run briefly."""
        self._module, self._pre = module, pre
        self.address = ctypes.cast(pre.ptr(), ctypes.c_void_p).value or 0


class _Local(threading.local):
    def __init__(self) -> None:
        self.scratch = Scratch()


class Sandbox:
    """Rituals run here, one a thread. All methods block and may be called from several threads. ``close`` it.

    ``cache_dir`` keeps compiled modules for the next start, authenticated under ``cache_key``; without a key it is not used.
    """

    def __init__(
        self, limits: SandboxLimits | None = None, cache_dir: Path | None = None, cache_key: bytes = b""
    ) -> None:
        self.limits = limits or SandboxLimits()
        self._engine = wasmtime.Engine(config(self.limits))
        self._engine_at = ctypes.cast(self._engine.ptr(), ctypes.c_void_p).value or 0
        self._linker = wasmtime.Linker(self._engine)
        abi_codex.define(self._linker)
        disk = DiskCache(cache_dir, cache_key, repr(self.limits)) if cache_dir is not None and cache_key else None
        self._modules: ModuleCache[Prepared] = ModuleCache(self._engine, disk)
        self._local = _Local()
        self._room = threading.Semaphore(CONCURRENT)
        self._ticks = int(self.limits.deadline_s / TICK_S) + 2
        self._stopped = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="sandbox-epoch", daemon=True)
        self._ticker.start()

    def _tick(self) -> None:
        while not self._stopped.wait(TICK_S):
            self._engine.increment_epoch()

    def close(self) -> None:
        """No more runs; those that run end at once, as if their time were over."""
        self._modules.clear()
        self._stopped.set()
        self._ticker.join()
        for _ in range(self._ticks):
            self._engine.increment_epoch()

    def has(self, module_hash: str) -> bool:
        """Whether it is loaded."""
        return module_hash in self._modules

    @property
    def modules(self) -> int:
        """How many are loaded."""
        return len(self._modules)

    def load(self, module_hash: str, data: bytes) -> None:
        """Make a module ready to run. Raises RitualRejected: not the bytes of that hash, or a module that is not accepted."""
        found = hashlib.sha256(data).hexdigest()
        if not hmac.compare_digest(found, module_hash):
            raise RitualRejected(
                "the module's bytes do not have the hash that was recorded when it was uploaded; it is not run"
            )
        inspection = inspect(data, self.limits.memory_bytes)
        if inspection.problems:
            raise RitualRejected("the module is not accepted: " + "; ".join(inspection.problems))
        self._load(module_hash, data, inspection)

    def _load(self, module_hash: str, data: bytes, inspection: Inspection) -> Prepared:
        try:
            apart = partial(compile_apart, self.limits) if inspection.cost > COMPILE_HERE_MAX else None
            module = self._modules.compile(module_hash, data, apart)
            _verify_types(module, inspection)
            prepared = Prepared(module, self._linker.instantiate_pre(module), inspection)
        except wasmtime.WasmtimeError as failure:
            why = " ".join(str(failure).split()).rpartition("Caused by: ")[2]
            raise RitualRejected(f"the module is not valid: {shown(why)}") from failure
        self._modules.put(module_hash, Compiled(prepared, _image_bytes(module)))
        return prepared

    def run(self, request: RunRequest) -> RunOutcome:
        """Run a loaded ritual once. Raises ModuleMissing."""
        prepared = self._prepared(request)
        outcome = self._run(prepared, request, brief=False)
        prepared.slow = prepared.slow and outcome.fuel > BRIEF_FUEL
        return outcome

    def run_briefly(self, request: RunRequest) -> RunOutcome | None:
        """The same outcome where it can be had within half a millisecond, else None. Holds the interpreter's lock meanwhile,
        so that nothing has to be handed to another thread. Raises ModuleMissing."""
        prepared = self._prepared(request)
        if prepared.slow or prepared.large:
            return None
        try:
            return self._run(prepared, request, brief=True)
        except (OutOfFuel, abi_codex.TooManyCalls):
            prepared.slow = True
            return None

    def _prepared(self, request: RunRequest) -> Prepared:
        found = self._modules.get(request.module_hash)
        if found is None:
            raise ModuleMissing(request.module_hash)
        return found

    def _run(self, prepared: Prepared, request: RunRequest, *, brief: bool) -> RunOutcome:
        return self._attempt(prepared, request, brief=brief)[0]

    def _attempt(self, prepared: Prepared, request: RunRequest, *, brief: bool) -> tuple[RunOutcome, bool]:
        """The outcome, and whether a failure is one that the ritual itself declared."""
        with self._room:
            return self._attempt_now(prepared, request, brief=brief)

    def _attempt_now(self, prepared: Prepared, request: RunRequest, *, brief: bool) -> tuple[RunOutcome, bool]:
        started = time.perf_counter_ns()
        limits = self.limits
        guest = Guest(
            self._local.scratch,
            self._engine_at,
            fuel=BRIEF_FUEL if brief else limits.fuel,
            ticks=self._ticks,
            limits=(limits.memory_bytes, limits.table_elements),
            brief=brief,
        )
        try:
            draft = self._execute(prepared, guest, request, brief=brief)
            return _outcome(guest, draft, started), False
        except RunFailure as failure:
            if brief and isinstance(failure, OutOfFuel | abi_codex.TooManyCalls):
                raise
            outcome = RunOutcome(
                code=failure.code,
                message=failure.message,
                log=guest.log.lines,
                fuel=guest.fuel_used,
                duration_us=(time.perf_counter_ns() - started) // 1_000,
            )
            return outcome, failure.own
        finally:
            prepared.large = prepared.large or guest.memory_bytes > BRIEF_MEMORY_BYTES
            guest.close()

    def _execute(self, prepared: Prepared, guest: Guest, request: RunRequest, *, brief: bool) -> Draft:
        if prepared.abi == "codex":
            run = abi_codex.begin(guest, request, brief=brief)
            guest.start(prepared.address)
            return abi_codex.execute(guest, run, prepared.calls)
        guest.start(prepared.address)
        if prepared.abi == "legacy":
            return abi_legacy.execute(guest, request, prepared.calls, self.limits.output_bytes)
        return abi_sangha.execute(guest, request, self.limits.output_bytes)

    def check(self, request: CheckRequest) -> CheckReport:
        """What a module is and whether it would be accepted: inspected, compiled, run once on an example state.

        A ritual that says in an orderly way that it does not succeed there (a status other than 0) is accepted with a note:
        it may need what the example does not have. One that traps, loops or lies is not.
        """
        module_hash = hashlib.sha256(request.module).hexdigest()
        inspection = inspect(request.module, self.limits.memory_bytes)
        problems, notes, outcome = inspection.problems, inspection.notes, None
        if not problems:
            try:
                prepared = self._load(module_hash, request.module, inspection)
            except RitualRejected as refusal:
                problems = (refusal.message,)
            else:
                outcome, own = self._attempt(prepared, _example(request, module_hash), brief=False)
                if outcome.code is not None:
                    told = f"on an example state: {outcome.message}"
                    problems, notes = (problems, (*notes, told)) if own else ((*problems, told), notes)
        return CheckReport(
            accepted=not problems,
            module_hash=module_hash,
            abi=inspection.abi,
            problems=problems,
            notes=notes,
            imports=inspection.imports,
            exports=inspection.exports,
            functions=inspection.functions,
            memory_pages_min=inspection.memory_pages_min,
            memory_pages_max=inspection.memory_pages_max,
            dry_run=outcome,
        )


def _outcome(guest: Guest, draft: Draft, started: int) -> RunOutcome:
    return RunOutcome(
        state=draft.state,
        emerged_symbols=draft.emerged_symbols,
        integration_required=draft.integration_required,
        clamped=draft.clamped,
        log=guest.log.lines,
        resonance=draft.resonance,
        fuel=guest.fuel_used,
        duration_us=(time.perf_counter_ns() - started) // 1_000,
    )


_ARCHETYPES: Final = ("Shadow", "Light", "Self", "Persona", "Anima", "Animus", "Hero", "Sage", "Trickster", "Healer")
_ENERGIES: Final = ("Fire", "Water", "Earth", "Air", "Void", "Spirit")


def _example(request: CheckRequest, module_hash: str) -> RunRequest:
    """A state that satisfies the requirements and has what rituals commonly ask for. Small: legacy has room for 1 KiB."""
    state = ArchetypalState(
        archetypes=dict.fromkeys((*_ARCHETYPES, *request.required_archetypes), 0.5),
        energies=dict.fromkeys(_ENERGIES, 0.5)
        | {name: max(0.5, level) for name, level in request.energy_requirements.items()},
        integrations=("an earlier insight",),
        symbols=("Mirror",),
        transformations=("individuation",),
    )
    return RunRequest(
        run=CHECK_RUN, ritual=CHECK_RUN, module_hash=module_hash, state=state, intention="to see whether it runs"
    )


def _image_bytes(module: wasmtime.Module) -> int:
    """Of its compiled form in memory."""
    first, end = ctypes.c_void_p(), ctypes.c_void_p()
    ffi.wasmtime_module_image_range(module.ptr(), ctypes.byref(first), ctypes.byref(end))
    return (end.value or 0) - (first.value or 0)


def _verify_types(module: wasmtime.Module, inspection: Inspection) -> None:
    """That wasmtime sees the exports' types as ``inspect`` did: calls are made by them without another look."""
    if inspection.abi is None:
        raise RuntimeError("a module without an ABI is not loaded")
    types = {one.name: one.type for one in module.exports}
    wanted = REQUIRED[inspection.abi] | OPTIONAL[inspection.abi]
    for name in inspection.calls:
        type_ = types[name]
        if not isinstance(type_, wasmtime.FuncType) or wanted[name] != (
            tuple(str(one) for one in type_.params),
            tuple(str(one) for one in type_.results),
        ):
            raise RitualRejected(f"the export `{name}` must be {wanted[name]}")
    if not isinstance(types["memory"], wasmtime.MemoryType):
        raise RitualRejected("the export `memory` must be a memory")
