"""``sangha ritual …``: what an author of rituals needs, from a first example to the catalog.

``check`` and ``run`` use the sandbox and the limits of the server, so what passes here passes there. Exit code 1: the
ritual is at fault (it does not compile, is refused, fails); 2: something around it is (a file, a toolchain, the server).
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from server.cli_common import DataDir, Port, fail, find_server, read_settings

if TYPE_CHECKING:
    from actors.practitioner.archetypal_state import ArchetypalState
    from actors.ritual.sandbox import Sandbox
    from actors.ritual.values import RunOutcome

REFUSED = 1

ritual_app = typer.Typer(help="Write rituals: a first example, build, check, run, upload.", no_args_is_help=True)


class LanguageName(StrEnum):
    """What ``new`` has templates for."""

    WAT = "wat"
    C = "c"
    RUST = "rust"
    ASSEMBLYSCRIPT = "assemblyscript"


class AbiName(StrEnum):
    """As above."""

    CODEX = "codex"
    SANGHA_1 = "sangha-1"


class DifficultyName(StrEnum):
    """Of ``actors.ritual.commands``."""

    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"
    MASTER = "master"


File = Annotated[
    str, typer.Argument(help="A .wasm or .wat file, a ritual's directory, or the name of a built-in ritual.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The whole as JSON.")]
Requires = Annotated[list[str] | None, typer.Option(help="An archetype that must be active; may be repeated.")]
Energy = Annotated[list[str] | None, typer.Option(help="NAME=LEAST, such as fire=0.2; may be repeated.")]


def _refused(message: str) -> typer.Exit:
    """The ritual is at fault."""
    print(f"sangha: {message}", file=sys.stderr)  # noqa: T201 - the command line's own voice
    return typer.Exit(REFUSED)


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with files, toolchains and sources is said, and ends the command."""
    from server.ritual_projects import BuildFailed, CannotBuild

    try:
        yield
    except CannotBuild as why:
        raise fail(str(why)) from None
    except BuildFailed as why:
        raise _refused(str(why)) from None
    except OSError as why:
        raise fail(f"{why.filename}: {why.strerror}" if why.filename else str(why)) from None


@contextmanager
def _sandbox() -> Iterator[Sandbox]:
    """With the server's limits."""
    from actors.ritual.sandbox import Sandbox
    from server.sandbox_limits import sandbox_limits

    sandbox = Sandbox(sandbox_limits(read_settings()))
    try:
        yield sandbox
    finally:
        sandbox.close()


def _levels(energy: list[str] | None) -> dict[str, float]:
    levels: dict[str, float] = {}
    for given in energy or ():
        name, equals, level = given.rpartition("=")
        try:
            levels[name] = float(level)
        except ValueError:
            equals = ""
        if not (equals and name and 0 <= levels[name] <= 1):
            raise fail(f"--energy {given!r}: NAME=LEAST with a number from 0 to 1, such as fire=0.2")
    return levels


@ritual_app.command()
def new(
    directory: Annotated[
        Path, typer.Argument(metavar="NAME", help="The ritual's name; a directory of that name is made.")
    ],
    language: Annotated[LanguageName, typer.Option(help="What it is written in.")] = LanguageName.WAT,
    abi: Annotated[
        AbiName, typer.Option(help="How it speaks with Sangha: function by function, or JSON.")
    ] = AbiName.CODEX,
) -> None:
    """Write a small ritual that works, to begin with.

    Example: sangha ritual new lantern --language c
    """
    from server.ritual_projects import LANGUAGES
    from server.ritual_projects import new as write

    with _told():
        written = write(directory, LANGUAGES[language], abi.value)
    for path in written:
        print(path)  # noqa: T201 - what the command is run for


@ritual_app.command()
def build(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The ritual's directory.")] = Path(),
) -> None:
    """Compile ritual.wat, .c, .rs or .ts into ritual.wasm.

    Example: sangha ritual build lantern
    """
    from server.ritual_projects import build as compile_

    with _told():
        module = compile_(directory)
        print(f"{module}: {module.stat().st_size:,} bytes")  # noqa: T201 - as above


@ritual_app.command()
def check(file: File, requires: Requires = None, energy: Energy = None, json: AsJson = False) -> None:
    """Say what a ritual is, and why it would be refused (exit code 1).

    Example: sangha ritual check lantern/ritual.wasm
    """
    import msgspec

    from actors.ritual.values import CheckRequest, report_codec
    from server.ritual_projects import read_module
    from server.ritual_tables import print_report

    with _told():
        module = read_module(file)
    try:
        request = msgspec.convert(
            {"module": module, "required_archetypes": requires or (), "energy_requirements": _levels(energy)},
            CheckRequest,
        )
    except msgspec.ValidationError as wrong:
        raise fail(str(wrong)) from None
    with _sandbox() as sandbox:
        report = sandbox.check(request)
    if json:
        print(report_codec.encode(report).decode())  # noqa: T201 - as above
    else:
        print_report(Console(), file, report)
    if not report.accepted:
        raise typer.Exit(REFUSED)


@ritual_app.command()
def run(
    file: File,
    state: Annotated[
        Path | None, typer.Option(help="A state as JSON (default: state.json beside it, or an example).")
    ] = None,
    parameters: Annotated[str, typer.Option(help="The parameters, a JSON object.")] = "{}",
    intention: Annotated[str, typer.Option(help="What it is run for.")] = "",
    seed: Annotated[uuid.UUID | None, typer.Option(help="Seeds all chance; the same seed, the same run.")] = None,
    participants: Annotated[int | None, typer.Option(min=1, help="As in a group ritual of so many.")] = None,
    json: AsJson = False,
) -> None:
    """Run a ritual here, and show the state before and after.

    Example: sangha ritual run lantern/ritual.wasm --intention "to see"
    """
    from actors.ritual.values import RunRequest
    from actors.runtime.errors import SanghaError
    from server.ritual_projects import read_module
    from server.ritual_tables import as_json, print_run

    with _told():
        module = read_module(file)
    module_hash = hashlib.sha256(module).hexdigest()
    request = RunRequest(
        run=str(seed or uuid.uuid4()), ritual=str(uuid.UUID(int=0)), module_hash=module_hash, state=_state(file, state),
        parameters=_parameters(parameters), intention=intention, participants=participants,
    )  # fmt: skip
    with _sandbox() as sandbox:
        try:
            sandbox.load(module_hash, module)
        except SanghaError as why:
            raise _refused(str(why)) from None
        outcome: RunOutcome = sandbox.run(request)
    if json:
        print(orjson.dumps(as_json(request, outcome), option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - as above
    else:
        print_run(Console(), request, outcome)
    if outcome.code is not None:
        raise _refused(f"{outcome.code}: {outcome.message}")


def _state(file: str, path: Path | None) -> ArchetypalState:
    from actors.practitioner.archetypal_state import parse
    from actors.runtime.errors import Invalid
    from server.ritual_projects import example_state

    target = Path(file)
    beside = (target if target.is_dir() else target.parent) / "state.json"
    where = path or (beside if beside.is_file() else None)
    with _told():
        text = where.read_bytes() if where else example_state().encode()
    try:
        return parse(orjson.loads(text))
    except orjson.JSONDecodeError as wrong:
        raise fail(f"{where}: not JSON: {wrong}") from None
    except Invalid as wrong:
        raise fail(f"{where}: " + "; ".join(f"{each.path}: {each.message}" for each in wrong.errors)) from None


def _parameters(text: str) -> bytes:
    from actors.ritual.values import PARAMETERS_BYTES

    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        raise fail(f"--parameters: not JSON: {wrong}") from None
    if not isinstance(value, dict):
        raise fail('--parameters: an object, such as {"archetype": "Sage"}')
    if len(data := orjson.dumps(value)) > PARAMETERS_BYTES:
        raise fail(f"--parameters: {len(data):,} bytes; {PARAMETERS_BYTES:,} are allowed")
    return data


@ritual_app.command()
def upload(
    file: File,
    name: Annotated[str, typer.Option(help="Its name in the catalog.")],
    description: Annotated[str, typer.Option(help="What it does.")],
    intent: Annotated[str, typer.Option(help="What it is for.")],
    tradition: Annotated[str | None, typer.Option(help="jungian, shamanic, alchemical, …")] = None,
    difficulty: Annotated[DifficultyName, typer.Option()] = DifficultyName.BEGINNER,
    language: Annotated[str | None, typer.Option(help="Default: by the source beside it.")] = None,
    requires: Requires = None,
    energy: Energy = None,
    public: Annotated[bool, typer.Option("--public", help="For everyone; else it is yours alone.")] = False,
    email: Annotated[
        str | None, typer.Option(help="Your account; asks for the password, or takes SANGHA_PASSWORD.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SANGHA_TOKEN", help="A login token, instead of an email.")
    ] = None,
    port: Port = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Bring a ritual into the catalog of the running server.

    Example: sangha ritual upload lantern --name lantern --description "Light" --intent "To see" --email ana@example.org
    """
    from server.ritual_projects import language_near, read_module
    from server.ritual_upload import UploadRefused, log_in, send

    fields: dict[str, Any] = {
        "name": name, "description": description, "intent": intent, "tradition": tradition or "",
        "difficulty_level": difficulty.value, "module_language": language or language_near(file) or "",
        "required_archetypes": requires or [], "energy_requirements": _levels(energy), "is_public": public,
    }  # fmt: skip
    with _told():
        module = read_module(file)
    found = find_server(read_settings(data_dir=data_dir), port)
    url, verify = found.http, found.ssl or True
    try:
        ritual = send(url, token or log_in(url, email, verify), module, fields, verify)
    except UploadRefused as why:
        raise (_refused if why.of_the_ritual else fail)(str(why)) from None
    if json:
        print(orjson.dumps(ritual, option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - as above
    else:
        print(f"{ritual['id']}  {ritual['name']} ({ritual['abi']}, {'public' if public else 'yours alone'})")  # noqa: T201
