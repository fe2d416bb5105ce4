"""The command line: thin. Each command reads settings, calls one function, and says in one line what a person can put right."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from server import (
    cli_audio,
    cli_bench,
    cli_device,
    cli_eustress,
    cli_ledger,
    cli_ritual,
    cli_sky,
    cli_token,
    logs,
    ray_environment,
)
from server.cli_common import DataDir, Port, Url, fail, find_server, find_topology, read_settings
from server.cli_status import print_topology

app = typer.Typer(
    name="sangha",
    help="An actor-based real-time collective server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_bench.app, name="bench")
app.add_typer(cli_ritual.ritual_app, name="ritual")
app.add_typer(cli_eustress.app, name="eustress")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port of HTTP and WebSocket (default 8080; 0 chooses one).")] = None,
    data_dir: DataDir = None,
    database_url: Annotated[str | None, typer.Option(help="A PostgreSQL instead of the embedded one.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join a running Ray cluster: its address, or 'auto'.")] = None,
    gateways: Annotated[int | None, typer.Option(help="Gateway processes, all on one port.")] = None,
    guests: Annotated[bool | None, typer.Option("--guests", help="Let anyone in as a guest.")] = None,
    lab: Annotated[bool | None, typer.Option("--lab", help="Lift limits for load tests; loopback only.")] = None,
) -> None:
    """Run the server until Ctrl-C or SIGTERM, then drain. Prints `ready http://HOST:PORT` when it answers."""
    settings = read_settings(
        host=host, port=port, data_dir=data_dir, database_url=database_url, ray_address=ray_address, gateways=gateways,
        guests=guests, lab=lab,
    )  # fmt: skip
    ray_environment.prepare(local=settings.ray_address is None)
    from server.boot import CannotServe
    from server.boot import serve as run

    logs.configure("serve", settings.log_level)
    if settings.lab:
        print("sangha: LAB MODE: limits are lifted; never expose this server", file=sys.stderr)  # noqa: T201
    if settings.local_user:
        print("sangha: LOCAL USER: whoever asks from this machine needs no login", file=sys.stderr)  # noqa: T201
    try:
        code = asyncio.run(run(settings, lambda line: print(line, flush=True)))  # noqa: T201
    except CannotServe as why:
        raise fail(str(why)) from None
    raise typer.Exit(code)


@app.command()
def migrate(
    data_dir: DataDir = None,
    database_url: Annotated[str | None, typer.Option(help="A PostgreSQL instead of the embedded one.")] = None,
) -> None:
    """Bring the database to this version's schema (serve does it too)."""
    from actors.runtime.ports import StoreDown
    from storage.datadir import DataDirectory, DataDirectoryInUse
    from storage.embedded import EmbeddedPostgres, EmbeddedPostgresFailed
    from storage.migrate import migrate as run
    from storage.pool import UnusableDatabase

    settings = read_settings(data_dir=data_dir, database_url=database_url)
    try:
        if settings.database_url is not None:
            version = asyncio.run(run(settings.database_url.get_secret_value()))
        else:
            settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with DataDirectory(settings.data_dir.resolve()):
                postgres = EmbeddedPostgres(settings.data_dir.resolve())
                postgres.start()
                try:
                    version = asyncio.run(run(postgres.dsn))
                finally:
                    postgres.stop()
    except (StoreDown, UnusableDatabase, DataDirectoryInUse, EmbeddedPostgresFailed, OSError) as why:
        raise fail(str(why)) from None
    print(f"the schema is at version {version}")  # noqa: T201


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="The whole as JSON.")] = False,
    entity: Annotated[
        str | None, typer.Option(help="Name the shard and pid of one entity, such as space:UUID.")
    ] = None,
    port: Port = None,
    data_dir: DataDir = None,
) -> None:
    """Show what runs, where."""
    topology = find_topology(read_settings(data_dir=data_dir), port)
    if entity is not None:
        print(orjson.dumps(_shard_of(topology, entity)).decode())  # noqa: T201
    elif json:
        print(orjson.dumps(topology, option=orjson.OPT_INDENT_2).decode())  # noqa: T201
    else:
        print_topology(topology, Console())


def _shard_of(topology: dict[str, Any], entity: str) -> dict[str, Any]:
    from actors.runtime.layout import Layout

    kind, _, entity_id = entity.partition(":")
    if kind not in topology["layouts"] or not entity_id:
        raise fail(f"{entity!r} is not KIND:ID with a kind of {', '.join(topology['layouts'])}")
    shard = Layout.parse(topology["layouts"][kind]).shard_of(entity_id)
    for known in topology["shards"]:
        if known["kind"] == kind and str(known["index"]) == shard:
            return {"entity": entity, "kind": kind, "index": known["index"], "pid": known["pid"], "node": known["node"]}
    return {"entity": entity, "kind": kind, "index": shard, "pid": None, "node": None}


@app.command()
def join(
    space: Annotated[str, typer.Argument(help="The space: its UUID or slug.")],
    name: Annotated[str, typer.Option(help="Your name as a guest.")] = os.environ.get("USER", "guest"),
    token: Annotated[str | None, typer.Option(envvar="SANGHA_TOKEN", help="A login token, instead of a guest.")] = None,
    port: Port = None,
    data_dir: DataDir = None,
    url: Url = None,
) -> None:
    """Enter a space and talk there from this terminal."""
    from server.join import run_join

    found = find_server(read_settings(data_dir=data_dir), port)
    _run(run_join(url or found.socket, space, name, token, ssl=None if url else found.ssl))


@app.command()
def demo(
    practitioners: Annotated[int, typer.Option(min=2, max=500, help="How many take part.")] = 12,
    seconds: Annotated[float | None, typer.Option(help="Leave after so long (default: at Ctrl-C).")] = None,
    port: Port = None,
    data_dir: DataDir = None,
    url: Url = None,
) -> None:
    """Let twelve simulated practitioners hold group rituals in a space; starts a server where none runs."""
    from server.demo import run_demo
    from server.demo_server import running_server

    settings = read_settings(data_dir=data_dir)
    with running_server(None if url else settings, find_server(settings, port)) as found:
        ssl = None if url else found.ssl
        _run(run_demo(url or found.socket, practitioners=practitioners, seconds=seconds, console=Console(), ssl=ssl))


cli_audio.register(app)
cli_device.register(app)
cli_sky.register(app)
cli_token.register(app)
cli_ledger.register(app)  # here, so that the help tells of serve first


def _run(coroutine: Any) -> None:
    """Run a client command; what the server says no to is one line."""
    from actors.runtime.errors import SanghaError

    try:
        asyncio.run(coroutine)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except (SanghaError, OSError) as why:
        raise fail(str(why) or type(why).__name__) from None


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
