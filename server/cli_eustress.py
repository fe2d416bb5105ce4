"""``sangha eustress …``: the lake from a terminal. Scenes in, figures, epochs out, changes as they come.

Exit code 1: what was given is at fault (a file is no scene, the lake refuses a line); 2: something around it is (the server,
the login, the disk).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from ssl import SSLContext
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import orjson
import typer

from server.cli_common import DataDir, Port, fail, find_server, read_settings
from server.wording import counted

if TYPE_CHECKING:
    from actors.runtime.errors import SanghaError
    from server.client_lake import Lake

REFUSED: Final = 1
NO_LOGIN: Final = (
    "an engine's login is needed: `sangha token --service eustress` makes one (--token TOKEN, or SANGHA_TOKEN)"
)

app = typer.Typer(help="The Eustress lake: ingest scenes, look at it, export epochs.", no_args_is_help=True)

Token = Annotated[
    str | None, typer.Option(envvar="SANGHA_TOKEN", help="An engine's token, of `sangha token --service eustress`.")
]
Server = Annotated[str | None, typer.Option("--url", help="The server's URL, instead of --port.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Space = Annotated[str | None, typer.Option(help="A Eustress space, by its name.")]


class Target(NamedTuple):
    """A server, and who comes. Without a token: the local user."""

    url: str
    token: str | None
    ssl: SSLContext | bool

    def lake(self) -> Lake:
        """Its lake."""
        from server.client_lake import Lake

        return Lake(self.url, self.token, ssl=self.ssl)


def target(
    url: str | None, token: str | None, port: int | None, data_dir: Path | None, *, operator: bool = False
) -> Target:
    """Where and who. ``operator``: the admin token of the data directory will do where no other was given."""
    settings = read_settings(data_dir=data_dir)
    if url is not None:
        return Target(url, token, True)
    found = find_server(settings, port)
    if token is None and operator:
        try:
            token = (settings.data_dir / "admin.token").read_text().strip()
        except OSError:
            token = None  # the local user, perhaps
    return Target(found.http, token, found.ssl or True)


def run(work: Coroutine[Any, Any, Any], *, endless: bool = False) -> Any:
    """Run it; what cannot be done is one line on standard error, and the exit code. ``endless``: Ctrl-C is how it ends."""
    from actors.runtime.errors import SanghaError
    from server.scene_files import UnusableFile

    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        if endless:
            raise typer.Exit(0) from None
        print("stopped", file=sys.stderr)  # noqa: T201 - the command line's own voice
        raise typer.Exit(130) from None
    except UnusableFile as why:
        fail(str(why))
        raise typer.Exit(REFUSED) from None
    except SanghaError as why:
        raise refusal(why) from None
    except BrokenPipeError:  # who read our output has enough
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # so that the interpreter's last flush is heard by nobody
        raise typer.Exit(REFUSED) from None
    except OSError as why:
        raise fail(f"{why.filename}: {why.strerror}" if why.filename else str(why) or type(why).__name__) from None


def refusal(why: SanghaError) -> typer.Exit:
    """What a server's refusal is on a terminal."""
    if why.code in ("unauthenticated", "forbidden"):
        return fail(f"{why.message}; {NO_LOGIN}")
    if why.code == "connection_lost":
        return fail(f"{why.message}; is it running? (--port, --data-dir, --url)")
    fail("\n".join([f"{why.code}: {why.message}", *(f"  {each.path}: {each.message}" for each in why.errors[1:])]))
    return typer.Exit(REFUSED)


@app.command()
def ingest(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="NDJSON or JSON, also gzipped; '-' is standard input.")
    ],
    space: Annotated[str, typer.Option(help="The Eustress space, by its name; made where it is not there.")],
    stream: Annotated[str | None, typer.Option(help="The stream's name (default: of the file's content).")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Send all of it again, under a new name.")] = False,
    token: Token = None,
    port: Port = None,
    data_dir: DataDir = None,
    url: Server = None,
    json: AsJson = False,
) -> None:
    """Bring scenes into the lake: lines of the stream, plain entities and connections, or a batch or snapshot as JSON.

    What is committed is known by the stream's name, so the same command goes on where it was stopped, and sends nothing twice.

    Example: sangha eustress ingest scene.ndjson.gz --space quantum_mechanics
    """
    if len(files) > 1 and stream is not None:
        raise fail("--stream names the stream of one file")
    to = target(url, token, port, data_dir)
    with ExitStack() as stack:
        opened = [_opened(stack, file) for file in files]
        names = [_name_of(file, stream, from_start=from_start) for file in files]
        told = run(_ingest(to, space, list(zip(files, opened, names, strict=True)), say=not json))
    if json:
        print(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())  # noqa: T201


def _opened(stack: ExitStack, file: str) -> IO[bytes]:
    try:
        return sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
    except OSError as why:
        raise fail(f"{file}: {why.strerror}") from None


def _name_of(file: str, given: str | None, *, from_start: bool) -> str:
    from server.scene_files import stream_name

    if given is None and file == "-":
        return f"stdin-{secrets.token_hex(8)}"
    try:
        name = given or stream_name(Path(file))
    except OSError as why:
        raise fail(f"{file}: {why.strerror}") from None
    return f"{name[:83]}-{secrets.token_hex(8)}" if from_start else name


async def _ingest(
    to: Target, space: str, sources: list[tuple[str, IO[bytes], str]], *, say: bool
) -> list[dict[str, Any]]:
    from server.cli_eustress_view import ingesting, summary
    from server.client_lake import LinesRefused
    from server.scene_files import UnusableFile, lines_of
    from server.scene_sending import Sending

    told = []
    async with to.lake() as lake:
        for name, file, stream in sources:
            sending = Sending(lake, space, stream, lines_of(file, name))
            with ingesting(sending, name, file):
                try:
                    await sending.run()
                except LinesRefused as why:
                    raise UnusableFile(f"{name}: {why}; committed so far: {counted(sending.cursor, 'line')}") from why
            told.append(summary(sending, name, say=say))
    return told


@app.command()
def stats(
    space: Space = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, with rates, until Ctrl-C.")] = False,
    json: AsJson = False,
    token: Token = None,
    port: Port = None,
    data_dir: DataDir = None,
    url: Server = None,
) -> None:
    """Show what the lake has: its spaces, or one of them.

    Example: sangha eustress stats --watch
    """
    from server.cli_eustress_view import show_stats, watch_stats

    to = target(url, token, port, data_dir, operator=True)
    work = watch_stats if watch else show_stats
    run(work(to.lake(), space, as_json=json), endless=watch)


@app.command()
def export(
    epoch: Annotated[str | None, typer.Argument(help="The id of an epoch that is there.")] = None,
    space: Space = None,
    last: Annotated[
        str | None, typer.Option(help="With --space: make an epoch of so long until now, such as 90s, 15m, 24h, 7d.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="parquet or ndjson.")] = "parquet",
    part: Annotated[str, typer.Option(help="entities or connections.")] = "entities",
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The file ('-': standard output; default: by the epoch's id).")
    ] = None,
    token: Token = None,
    port: Port = None,
    data_dir: DataDir = None,
    url: Server = None,
) -> None:
    """Write an epoch's samples to a file; make the epoch first, where --space and --last say so.

    Example: sangha eustress export --space quantum_mechanics --last 24h -o samples.parquet
    """
    from server.cli_eustress_export import made_epoch, seconds_of, write_epoch

    if (epoch is None) == (space is None) or (space is None) != (last is None):
        raise fail("either the id of an epoch, or --space SPACE --last 24h")
    if format_ not in ("parquet", "ndjson") or part not in ("entities", "connections"):
        raise fail("--format is parquet or ndjson, --part is entities or connections")
    length_s = None if last is None else seconds_of(last)
    if last is not None and length_s is None:
        raise fail(f"--last {last!r}: a number and s, m, h or d, such as 24h")
    if output is not None and output != "-" and (Path(output).is_dir() or not Path(output).parent.is_dir()):
        raise fail(f"-o {output}: " + ("is a directory" if Path(output).is_dir() else "there is no such directory"))
    to = target(
        url, token, port, data_dir, operator=epoch is not None
    )  # an epoch is made by an engine, or the local user

    async def work() -> None:
        async with to.lake() as lake:
            id_ = epoch if epoch is not None else await made_epoch(lake, str(space), length_s or 0.0)
            await write_epoch(lake, id_, format_, part, output)

    run(work())


@app.command()
def watch(
    space: Annotated[str, typer.Argument(help="The Eustress space, by its name.")],
    after: Annotated[
        int | None, typer.Option(min=0, help="Begin after the event with this offset, instead of now.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Each change as a line of JSON, whole.")] = False,
    token: Token = None,
    port: Port = None,
    data_dir: DataDir = None,
    url: Server = None,
) -> None:
    """Show the changes of a space as they come, until Ctrl-C; a server that goes away is waited for.

    Example: sangha eustress watch quantum_mechanics --json | jq .body.counts
    """
    from server.cli_eustress_view import show_changes

    to = target(url, token, port, data_dir)
    run(show_changes(to.url, to.token, to.ssl, space, after, as_json=json), endless=True)
