"""Compiled modules: the newest in memory, and on disk for the next start.

In memory the least recently used go first, bounded in number and in bytes. A module that a run still holds
lives on until it ends.

On disk lies what wasmtime's ``serialize`` gave here, which ``deserialize`` would execute blindly: a file is authenticated with
HMAC-SHA256 under a key that only this server has, over its name (module hash, wasmtime version, digest of the engine's
settings) and its content, before wasmtime sees a byte. What is damaged, foreign or stale is compiled anew and written over.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import wasmtime

log = logging.getLogger(__name__)
T = TypeVar("T")

MODULES_MAX: Final = 256
COMPILED_BYTES_MAX: Final = 256 * 2**20
"""Of the modules kept. The compiled form counts: of a hostile module it is thousands of times the source."""
FILES_MAX: Final = 256
FILE_BYTES_MAX: Final = 512 * 2**20
TORN_AFTER_S: Final = 3_600.0
"""A file that is still being written after this long never will be: who wrote it died."""
_MAC_BYTES: Final = 32


class Compiled(NamedTuple, Generic[T]):
    """Something made of a module, and the size of its compiled form."""

    value: T
    size: int


class ModuleCache(Generic[T]):
    """What was made of modules, by their hash."""

    def __init__(self, engine: wasmtime.Engine, disk: DiskCache | None) -> None:
        self._engine, self._disk = engine, disk
        self._kept: OrderedDict[str, Compiled[T]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __contains__(self, module_hash: str) -> bool:
        return module_hash in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, module_hash: str) -> T | None:
        """And now it is the newest."""
        with self._lock:
            found = self._kept.get(module_hash)
            if found is None:
                return None
            self._kept.move_to_end(module_hash)
            return found.value

    def put(self, module_hash: str, made: Compiled[T]) -> None:
        """Keep it; the oldest go where there are too many."""
        with self._lock:
            if (old := self._kept.pop(module_hash, None)) is not None:
                self._bytes -= old.size
            self._kept[module_hash] = made
            self._bytes += made.size
            while len(self._kept) > MODULES_MAX or (self._bytes > COMPILED_BYTES_MAX and len(self._kept) > 1):
                self._bytes -= self._kept.popitem(last=False)[1].size

    def clear(self) -> None:
        """Keep none."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def compile(self, module_hash: str, data: bytes, apart: Callable[[bytes], bytes] | None = None) -> wasmtime.Module:
        """From disk where it lies there intact, else by compiling: here, or ``apart``, which gives what ``serialize`` would.
        Raises WasmtimeError, what ``apart`` raises."""
        if self._disk is not None and (known := self._disk.read(module_hash)) is not None:
            try:
                return wasmtime.Module.deserialize(self._engine, known)
            except wasmtime.WasmtimeError as stale:
                log.info("a compiled module is of another engine and made anew: %s", str(stale)[:200])
        if apart is None:
            module = wasmtime.Module(self._engine, data)
            made = bytes(module.serialize()) if self._disk is not None else b""
        else:
            made = apart(data)
            module = wasmtime.Module.deserialize(self._engine, made)
        if self._disk is not None:
            self._disk.write(module_hash, made)
        return module


class DiskCache:
    """A directory of ours alone, and the key that its files are authenticated under. A disk that fails is no error."""

    def __init__(self, directory: Path, key: bytes, settings: str) -> None:
        self._directory, self._key = directory, key
        digest = hashlib.sha256(settings.encode()).hexdigest()[:16]
        self._suffix = f"{version('wasmtime')}-{digest}.cwasm"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)

    def _name(self, module_hash: str) -> str:
        return f"{module_hash}-{self._suffix}"

    def _mac(self, name: str, content: bytes) -> bytes:
        return hmac.digest(self._key, name.encode() + b"\0" + content, "sha256")

    def read(self, module_hash: str) -> bytes | None:
        """What was written for it, if it is that."""
        name = self._name(module_hash)
        try:
            found = (self._directory / name).read_bytes()
        except OSError:
            return None
        content = found[_MAC_BYTES:]
        return content if hmac.compare_digest(found[:_MAC_BYTES], self._mac(name, content)) else None

    def write(self, module_hash: str, content: bytes) -> None:
        """For the next start."""
        name = self._name(module_hash)
        temporary = self._directory / f".{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._mac(name, content) + content)
            temporary.replace(self._directory / name)
            self._prune()
        except OSError as failure:
            temporary.unlink(missing_ok=True)
            log.warning("a compiled module could not be kept on disk: %s", failure)

    def _prune(self) -> None:
        """The newest stay, as many as there is room for. Another sandbox may do the same at this moment."""
        found: list[tuple[float, int, str]] = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    about = entry.stat(follow_symlinks=False)
                    found.append((about.st_mtime, about.st_size, entry.path))
        kept = left = 0
        for written_at, size, path in sorted(found, reverse=True):
            if path.endswith(".cwasm"):
                kept, left = kept + 1, left + size
                if kept > FILES_MAX or left > FILE_BYTES_MAX:
                    Path(path).unlink(missing_ok=True)
            elif time.time() - written_at > TORN_AFTER_S:
                Path(path).unlink(missing_ok=True)
