"""How wasmtime is set: what a guest may use of WebAssembly, and the pool that instances come from.

A sandbox and the processes that compile for it have engines of one configuration.
"""

from __future__ import annotations

import sys
from typing import Final

import wasmtime
from wasmtime import _ffi as ffi

from actors.ritual.module import TABLE_ELEMENTS_MAX, TABLES_MAX
from actors.runtime.entity import Struct

if sys.platform != "win32":
    import resource

MEMORY_BYTES_MAX: Final = 2**32
"""What 32-bit addresses reach."""
CONCURRENT: Final = 16
"""Instances at a time; more threads wait. Each reserves 4 GiB of addresses, not of memory."""


class SandboxLimits(Struct, frozen=True, kw_only=True):
    """Of every run."""

    memory_bytes: int = 256 * 2**20
    fuel: int = 1_000_000_000
    deadline_s: float = 30.0
    table_elements: int = TABLE_ELEMENTS_MAX
    stack_bytes: int = 512 * 1024
    output_bytes: int = 256 * 1024
    """Of the JSON that a ritual answers: a state at all its bounds has some 150 KiB."""


def config(limits: SandboxLimits) -> wasmtime.Config:
    """Of an engine. What one compiled runs on another of the same configuration.

    Several results and blocks with parameters are off: no compiler needs them for a ritual, and 8 KB of them took 4 GB.
    """
    settings = wasmtime.Config()
    settings.consume_fuel = True
    settings.epoch_interruption = True
    settings.cranelift_nan_canonicalization = True
    settings.parallel_compilation = False
    settings.max_wasm_stack = limits.stack_bytes
    settings.memory_may_move = False
    if _addresses_are_limited():  # else 4 GiB for each memory, which spares the guest every check of an address
        settings.memory_reservation = min(limits.memory_bytes, MEMORY_BYTES_MAX)
    for name in ("threads", "memory64", "multi_memory", "relaxed_simd", "gc", "function_references", "exceptions"):
        setattr(settings, f"wasm_{name}", False)
    settings.wasm_multi_value = False
    for name in ("component_model", "custom_page_sizes", "stack_switching", "wide_arithmetic"):
        setattr(settings, f"wasm_{name}", False)
    settings.gc_support = False
    _pool(settings, limits)
    return settings


def _addresses_are_limited() -> bool:
    if sys.platform == "win32":
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _pool(settings: wasmtime.Config, limits: SandboxLimits) -> None:
    pool = ffi.wasmtime_pooling_allocation_config_new()
    for name, value in {
        "total_core_instances": CONCURRENT,
        "total_memories": CONCURRENT,
        "total_tables": CONCURRENT * TABLES_MAX,
        "total_stacks": 0,
        "total_gc_heaps": 0,
        "max_tables_per_module": TABLES_MAX,
        "table_elements": limits.table_elements,
        "max_memory_size": min(limits.memory_bytes, MEMORY_BYTES_MAX),
        "max_core_instance_size": 2**20,
        "linear_memory_keep_resident": 2**16,
    }.items():
        getattr(ffi, f"wasmtime_pooling_allocation_config_{name}_set")(pool, value)
    ffi.wasmtime_pooling_allocation_strategy_set(settings.ptr(), pool)
    ffi.wasmtime_pooling_allocation_config_delete(pool)
