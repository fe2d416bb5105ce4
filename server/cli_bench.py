"""``sangha bench …``: measurements as commands. Each prints a table, or one JSON object with ``--json``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from server.cli_common import DataDir, Port, fail, find_server, find_topology, read_settings, socket_url

if TYPE_CHECKING:
    from server.bench import eustress as bench_eustress
    from server.settings import Settings

app = typer.Typer(help="Measure a running server (start it with --guests --lab).", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]
Rooms = Annotated[int, typer.Option(min=1, help="Spaces.")]
Members = Annotated[int, typer.Option(min=1, help="Members of each space.")]
Rate = Annotated[float, typer.Option(min=0, help="Messages a second from each member.")]
Seconds = Annotated[float, typer.Option(min=1, help="How long it is measured.")]


def _console(as_json: bool) -> Console | None:
    return None if as_json else Console()


def _finish(work: Awaitable[Mapping[str, Any]] | Mapping[str, Any], as_json: bool) -> None:
    from actors.runtime.errors import SanghaError
    from actors.runtime.ports import StoreDown

    async def wait(awaitable: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
        return await awaitable

    try:
        figures = work if isinstance(work, Mapping) else asyncio.run(wait(work))
    except KeyboardInterrupt:
        raise typer.Exit(1) from None
    except (SanghaError, StoreDown, OSError) as why:
        raise fail(str(why) or type(why).__name__) from None
    if as_json:
        print(orjson.dumps(dict(figures)).decode())  # noqa: T201 - the command line's own voice


def _target(port: int | None, data_dir: Path | None) -> tuple[str, list[int]]:
    """The server's URL, and the roots of its process trees: ``serve`` and Postgres, which outlives it."""
    settings = read_settings(data_dir=data_dir)
    topology = find_topology(settings, port)
    pids = [topology["server"]["pid"], topology["database"]["pid"]]
    return socket_url(settings, port, None), [pid for pid in pids if pid]


@app.command()
def fanout(
    rooms: Rooms = 50, members: Members = 12, rate: Rate = 1.0, seconds: Seconds = 8.0, port: Port = None,
    data_dir: DataDir = None, json: AsJson = False,
) -> None:  # fmt: skip
    """Everyone talks, everyone hears: CPU a delivery, latency, whether all arrived."""
    from server.bench import fanout as bench

    url, pids = _target(port, data_dir)
    work = bench.run(
        url, pids=pids, rooms=rooms, members=members, rate_per_s=rate, seconds=seconds, console=_console(json)
    )
    _finish(work, json)


@app.command()
def connections(
    count: Annotated[int, typer.Option(min=1, help="Sockets.")] = 10_000,
    members: Members = 10,
    port: Port = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Idle, authenticated, joined sockets: memory of each, over all processes. Needs a fresh server."""
    from server.bench import connections as bench

    url, pids = _target(port, data_dir)
    _finish(bench.run(url, pids=pids, connections=count, members=members, console=_console(json)), json)


@app.command()
def recovery(
    how: Annotated[str, typer.Option(help="'kill' (SIGKILL) or 'stop' (SIGSTOP).")] = "kill",
    kind: Annotated[str, typer.Option(help="Whose shard is hit.")] = "space",
    index: Annotated[int, typer.Option(help="Which of them.")] = 0,
    rooms: Rooms = 50,
    members: Members = 12,
    rate: Rate = 1.0,
    port: Port = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Kill or stop a shard under load: how long until all of its spaces answer, and what of the acknowledged was lost."""
    from server.bench import recovery as bench

    settings = read_settings(data_dir=data_dir)

    async def status() -> Mapping[str, Any]:
        return await asyncio.to_thread(find_topology, settings, port)

    work = bench.run(
        socket_url(settings, port, None), status=status, how=how, kind=kind, index=index, rooms=rooms, members=members,
        rate_per_s=rate, console=_console(json),
    )  # fmt: skip
    _finish(work, json)


@app.command()
def render(
    seconds: Annotated[float, typer.Option(min=2, max=3_600, help="How long the sound is.")] = 60.0,
    json: AsJson = False,
) -> None:
    """Render a singing bowl: multiples of real time, beside one numpy sine a mode (needs no running server)."""
    from server.bench import render as bench

    _finish(bench.run(seconds=seconds, console=_console(json)), json)


@app.command()
def sound(json: AsJson = False) -> None:
    """What is measured of rendered sound against its closed form, in Hz and dB (needs no running server)."""
    from server.bench import sound as bench

    _finish(bench.run(console=_console(json)), json)


@app.command()
def sky(json: AsJson = False) -> None:
    """The sky against published places and times, in arc seconds (needs no running server)."""
    from server.bench import sky as bench

    _finish(bench.run(console=_console(json)), json)


@app.command()
def activation(
    count: Annotated[int, typer.Option(min=1, help="Practitioners.")] = 10_000, json: AsJson = False
) -> None:
    """Cold practitioners from their checkpoints, on one shard with a database of its own (needs no running server)."""
    from server.bench import activation as bench
    from server.bench import show

    figures = bench.run(count)
    show(_console(json), "cold activation", figures)
    _finish(figures, json)


@app.command()
def rituals(
    practitioners: Annotated[int, typer.Option(min=1, help="Accounts that run rituals.")] = 64,
    seconds: Seconds = 10.0,
    runs: Annotated[int | None, typer.Option(min=1, help="Stop after so many runs instead.")] = None,
    ritual: Annotated[str, typer.Option(help="A built-in ritual of the codex ABI.")] = "shadow_integration",
    inside: Annotated[
        bool, typer.Option("--inside", help="Ask the shard itself, without gateway and sockets.")
    ] = False,
    port: Port = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Ritual runs end to end, beside the raw wasmtime loop of the same ritual; memory of the sandboxes."""
    from server.bench import rituals as bench

    settings = read_settings(data_dir=data_dir)

    async def status() -> Mapping[str, Any]:
        return await asyncio.to_thread(find_topology, settings, port)

    work = bench.run(
        socket_url(settings, port, None), status=status, practitioners=practitioners, seconds=seconds, runs=runs,
        ritual=ritual, inside=settings.data_dir if inside else None, console=_console(json),
    )  # fmt: skip
    _finish(work, json)


@app.command()
def group(
    participants: Annotated[int, typer.Option(min=1, help="Who takes part.")] = 12,
    rounds: Annotated[int, typer.Option(min=1, help="Group rituals, one after another.")] = 3,
    ritual: Annotated[str, typer.Option(help="A built-in ritual.")] = "archetype_invocation",
    port: Port = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """A group ritual of many: from begin to summary, with no countdown."""
    from server.bench import group as bench

    url = socket_url(read_settings(data_dir=data_dir), port, None)
    _finish(bench.run(url, participants=participants, rounds=rounds, ritual=ritual, console=_console(json)), json)


@app.command()
def spin(
    spinners: Annotated[int, typer.Option(min=1, help="Practitioners whose rituals never end by themselves.")] = 1,
    rooms: Rooms = 50, members: Members = 12, rate: Rate = 1.0, seconds: Seconds = 8.0, port: Port = None,
    data_dir: DataDir = None, json: AsJson = False,
) -> None:  # fmt: skip
    """What spinning rituals do to everyone else: the fan-out load without and beside them."""
    from server.bench import spin as bench

    url, pids = _target(port, data_dir)
    work = bench.run(
        url, pids=pids, spinners=spinners, rooms=rooms, members=members, rate_per_s=rate, seconds=seconds,
        console=_console(json),
    )  # fmt: skip
    _finish(work, json)


@app.command()
def listen(
    listeners: Annotated[int, typer.Option(min=1, help="Sockets that listen.")] = 100,
    sessions: Annotated[int, typer.Option(min=1, help="Audio sessions among which they are spread.")] = 1,
    codec: Annotated[str, typer.Option(help="pcm or opus.")] = "pcm",
    seconds: Seconds = 10.0,
    processes: Annotated[int | None, typer.Option(min=1, help="Of listeners (default: one for each 1,000).")] = None,
    beside: Annotated[bool, typer.Option("--beside", help="Then once more, beside the load of fanout.")] = False,
    rooms: Rooms = 50,
    members: Members = 12,
    rate: Rate = 1.0,
    port: Port = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Sound to many: how late frames come, what is lost, CPU of gateways and actors; --beside with --rooms, --members, --rate."""
    from server.bench import listen as bench

    settings = read_settings(data_dir=data_dir)
    trusted = find_server(settings, port).ssl or True
    url, pids = _target(port, data_dir)

    async def status() -> Mapping[str, Any]:
        return await asyncio.to_thread(find_topology, settings, port)

    work = bench.run(
        url, pids=pids, status=status, listeners=listeners, sessions=sessions, codec=codec, seconds=seconds,
        processes=processes, beside=bench.Load(rooms, members, rate) if beside else None, ssl=trusted,
        console=_console(json),
    )  # fmt: skip
    _finish(work, json)


@app.command()
def eustress(
    mode: Annotated[str, typer.Option(help="single, batch, stream, or all.")] = "all",
    entities: Annotated[int | None, typer.Option(min=1, help="How many (default 20,000; 10,000 with --snapshots).")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Entities of a batch.")] = 100,
    connections: Annotated[int, typer.Option(min=1, help="Connections that are kept open.")] = 16,
    space: Annotated[str, typer.Option(help="What the spaces' names begin with.")] = "bench",
    raw: Annotated[bool, typer.Option(help="COPY the same rows into the same PostgreSQL, too.")] = True,
    scene: Annotated[int | None, typer.Option(min=2, help="Instead: a scene of so many entities in a tree.")] = None,
    snapshots: Annotated[int | None, typer.Option(min=1, help="Instead: so many, of a scene that changes slowly.")] = None,
    beside: Annotated[
        bool, typer.Option("--beside", help="Instead: ingest beside snapshots, retention and exports.")
    ] = False,
    seconds: Seconds = 20.0,
    database_url: Annotated[str | None, typer.Option(help="The PostgreSQL, where it is not the embedded one.")] = None,
    port: Port = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """The lake's ingest, beside raw COPY of the same rows; large scenes; what snapshots cost."""
    from server.bench import eustress as bench
    from server.bench import eustress_scene as scenes

    if mode not in (*bench.MODES, "all"):
        raise fail(f"--mode is one of {', '.join(bench.MODES)}, all")
    if (scene is not None) + (snapshots is not None) + beside > 1:
        raise fail("one of --scene, --snapshots, --beside")
    settings = read_settings(data_dir=data_dir, database_url=database_url)
    target, console = _lake(settings, port), _console(json)

    async def status() -> Mapping[str, Any]:
        return await asyncio.to_thread(find_topology, settings, port)

    if scene is not None:
        work = scenes.run_scene(target, status, entities=scene, console=console)
    elif snapshots is not None:
        work = scenes.run_snapshots(target, snapshots=snapshots, entities=entities or 10_000, console=console)
    elif beside:
        work = scenes.run_beside(
            target, entities=entities or 20_000, batch=batch, connections=connections, seconds=seconds, console=console
        )
    else:
        work = bench.run(
            target, modes=bench.MODES if mode == "all" else (mode,), entities=entities or 20_000, batch=batch,
            connections=connections, space=space, raw=raw, console=console,
        )  # fmt: skip
    _finish(work, json)


def _lake(settings: Settings, port: int | None) -> bench_eustress.Target:
    """The running server's lake, with a token of a day."""
    from server.bench.eustress import Target
    from server.cli_token import ask_admin
    from storage.embedded import EmbeddedPostgres

    topology, found = find_topology(settings, port), find_server(settings, port)
    token = ask_admin(
        settings, port, "POST", "/api/admin/tokens", json={"service": "eustress", "name": "bench", "days": 1}
    )
    given = settings.database_url
    dsn = EmbeddedPostgres(settings.data_dir.resolve()).dsn if given is None else given.get_secret_value()
    database = topology["database"]["pid"]
    return Target(
        found.http, token["token"], found.ssl or True, [topology["server"]["pid"]], [database] if database else [], dsn
    )
