"""A ritual as its author has it: a directory with one source file, and the toolchains that make a module of it.

``new`` writes a directory from ``ritual_templates``, ``build`` compiles what is there, ``read_module`` reads what was built.
WAT needs nothing but Sangha; every other toolchain is looked for on the PATH and never installed from here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import wasmtime

from actors.ritual.builtin.builtin import BUILTINS, with_includes
from actors.ritual.values import Abi

MODULE: Final = "ritual.wasm"
BUILD_S: Final = 300.0
"""A compiler that takes longer hangs."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TEMPLATES: Final = files("server") / "ritual_templates"
_RUST_TARGET: Final = "wasm32-unknown-unknown"


class CannotBuild(Exception):
    """What a person has to put right first: a missing toolchain, no source, a name that is taken."""


class BuildFailed(Exception):
    """The compiler refused the source; the message is what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """What a ritual can be written in. ``command`` is run in the project's directory."""

    name: str
    title: str
    source: str
    command: tuple[str, ...]
    find: Callable[[Path], str | None]
    """The compiler's path, or None where it is not there."""
    needs: str
    """What has to be installed, and how."""
    extra: tuple[str, ...] = ()
    """More files of the template."""


def _on_path(name: str) -> Iterator[str]:
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if (found := shutil.which(name, path=directory)) is not None:
            yield found


def _clang(_project: Path) -> str | None:
    return next(_on_path("clang"), None) if next(_on_path("wasm-ld"), None) else None


def _rustc(_project: Path) -> str | None:
    """The first that has the target: a machine may have several."""
    for compiler in _on_path("rustc"):
        asked = (compiler, "--print", "target-libdir", "--target", _RUST_TARGET)
        told = subprocess.run(asked, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if told.returncode == 0 and Path(told.stdout.strip()).is_dir():
            return compiler
    return None


def _asc(project: Path) -> str | None:
    """The project's own, that of a directory above it, or one on the PATH."""
    for directory in (project.resolve(), *project.resolve().parents):
        if (found := shutil.which("asc", path=directory / "node_modules" / ".bin")) is not None:
            return found
    return next(_on_path("asc"), None)


LANGUAGES: Final[Mapping[str, Language]] = {
    "wat": Language(
        name="wat",
        title="WAT",
        source="ritual.wat",
        command=("wat2wasm", "ritual.wat", "-o", MODULE),
        find=lambda _project: "built in",
        needs="nothing to install: Sangha assembles WAT itself; this is the command of wabt",
    ),
    "c": Language(
        name="c",
        title="C",
        source="ritual.c",
        command=("clang", "--target=wasm32", "-nostdlib", "-O2", "-fno-builtin", "-Wall", "-Wl,--no-entry",
                 "-Wl,--strip-all", "-o", MODULE, "ritual.c"),
        find=_clang,
        needs="clang and wasm-ld: `apt-get install clang lld`, or LLVM's own packages",
    ),
    "rust": Language(
        name="rust",
        title="Rust",
        source="ritual.rs",
        command=("rustc", "--edition", "2021", "--target", _RUST_TARGET, "--crate-type", "cdylib", "-O", "-C",
                 "strip=symbols", "-o", MODULE, "ritual.rs"),
        find=_rustc,
        needs=f"rustc with the target {_RUST_TARGET}: `rustup target add {_RUST_TARGET}`, or "
        "`apt-get install rustc libstd-rust-dev-wasm32`",
    ),
    "assemblyscript": Language(
        name="assemblyscript",
        title="AssemblyScript",
        source="ritual.ts",
        command=("asc", "ritual.ts", "--optimize", "--runtime", "stub", "--use", "abort=", "--outFile", MODULE),
        find=_asc,
        needs="AssemblyScript's compiler asc: `npm install` in the ritual's directory (with Node.js and npm)",
        extra=("package.json",),
    ),
}  # fmt: skip
_ABOUT: Final[Mapping[Abi, tuple[str, str]]] = {
    "codex": ("the Sage gains a quarter of what it lacks; from 0.7 on, a lantern is seen", ""),
    "sangha-1": (
        'it opens a transformation, named by the parameter "theme"',
        " --parameters '{\"theme\": \"a new song\"}'",
    ),
}  # fmt: skip
"""What the example does, and the arguments of a run that shows it."""


def new(directory: Path, language: Language, abi: Abi) -> list[Path]:
    """Write a small ritual that works. Raises CannotBuild where the name is not fit or something is there already."""
    if not _NAME.fullmatch(directory.name):
        raise CannotBuild(f"{directory.name!r} is no name for a ritual: a–z, 0–9, - and _, beginning with a letter")
    if directory.exists():
        raise CannotBuild(f"{directory} exists already")
    directory.mkdir(parents=True)
    suffix = Path(language.source).suffix
    texts = {
        language.source: with_includes((_TEMPLATES / language.name / f"{abi}{suffix}").read_text(encoding="utf-8")),
        "README.md": (_TEMPLATES / "README.md").read_text(encoding="utf-8"),
        "state.json": example_state(),
        **{file: (_TEMPLATES / language.name / file).read_text(encoding="utf-8") for file in language.extra},
    }
    for file, text in texts.items():
        (directory / file).write_text(_filled(text, directory.name, language, abi), encoding="utf-8")
    return [directory / file for file in texts]


def _filled(text: str, name: str, language: Language, abi: Abi) -> str:
    what, arguments = _ABOUT[abi]
    values = {
        "name": name, "what": what, "source": language.source, "language": language.title, "abi": abi,
        "command": " ".join(language.command), "toolchain": language.needs, "arguments": arguments,
    }  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)


def example_state() -> str:
    """The JSON of a state that the templates' rituals have something to do with."""
    return (_TEMPLATES / "state.json").read_text(encoding="utf-8")


def language_of(directory: Path) -> Language:
    """By the source file that is there. Raises CannotBuild where there is none, or more than one."""
    found = [language for language in LANGUAGES.values() if (directory / language.source).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise CannotBuild(
            f"{directory} has several sources: {', '.join(language.source for language in found)}; keep one"
        )
    raise CannotBuild(f"{directory} has no {', '.join(language.source for language in LANGUAGES.values())}")


def build(directory: Path) -> Path:
    """Compile the ritual of a directory; the module's path. Raises CannotBuild, BuildFailed."""
    language = language_of(directory)
    if language.name == "wat":
        module = _assembled(directory / language.source)
        (directory / MODULE).write_bytes(module)
        return directory / MODULE
    compiler = language.find(directory)
    if compiler is None:
        raise CannotBuild(f"{language.title} needs {language.needs}")
    try:
        told = subprocess.run(
            (compiler, *language.command[1:]),
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildFailed(f"{compiler} did not end within {BUILD_S:.0f} s") from None
    if told.returncode != 0:
        raise BuildFailed((told.stderr or told.stdout).strip())
    return directory / MODULE


def _assembled(path: Path) -> bytes:
    try:
        return bytes(wasmtime.wat2wasm(path.read_text(encoding="utf-8")))
    except (wasmtime.WasmtimeError, UnicodeDecodeError) as wrong:
        raise BuildFailed(f"{path}: {wrong}") from None


def read_module(file: str) -> bytes:
    """A module from a .wasm or .wat file, or the built-in ritual of that name. Raises CannotBuild, BuildFailed."""
    path = Path(file)
    if path.is_dir():
        path /= MODULE
    if not path.exists() and file in BUILTINS:
        return bytes(wasmtime.wat2wasm(BUILTINS[file].wat()))
    try:
        return _assembled(path) if path.suffix == ".wat" else path.read_bytes()
    except OSError as wrong:
        raise CannotBuild(f"{path}: {wrong.strerror}") from None


def language_near(file: str) -> str | None:
    """The language of the source beside a module, where there is one."""
    path = Path(file)
    if path.suffix == ".wat":
        return "wat"
    try:
        return language_of(path if path.is_dir() else path.parent).name
    except CannotBuild:
        return None
