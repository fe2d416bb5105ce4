"""What ``sangha eustress`` shows: progress of an ingest, figures of the lake, changes as they come."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ssl import SSLContext
from typing import IO, Any, Final

import orjson
from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from server.client_events import Event
from server.client_lake import Lake, quoted
from server.join import printable
from server.scene_sending import Sending
from server.wording import counted

REFRESH_S: Final = 1.0
KINDS_SHOWN: Final = 10
SPACES_A_PAGE: Final = 1_000
COLUMNS: Final = {
    "entities": "entity_count",
    "connections": "connection_count",
    "depth": "hierarchy_depth",
    "sacred": "sacred_entity_count",
    "snapshots": "snapshots",
    "changes": "changes",
}
GIVE_UP_FIRST_S: Final = 10.0

# -- ingest ------------------------------------------------------------------------------------------------------------


@contextmanager
def ingesting(sending: Sending, name: str, file: IO[bytes]) -> Iterator[None]:
    """A progress bar where standard error is a terminal: how far the file is read, and what is committed."""
    console = Console(stderr=True)
    began, total = time.monotonic(), _size(file)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(printable(name), total=total, told="")

        def changed() -> None:
            read = sending.bytes if total is None else file.tell()
            rate = sending.committed / max(time.monotonic() - began, 1e-3)
            told = f"{counted(sending.cursor, 'line')} committed, {rate:,.0f}/s"
            if sending.trouble is not None:
                told += f"; waiting: {sending.trouble}"
            bar.update(task, completed=read, told=told)

        sending.listen(changed)
        yield


def _size(file: IO[bytes]) -> int | None:
    """None of a pipe."""
    if not file.seekable():
        return None
    here = file.tell()
    size = file.seek(0, 2)
    file.seek(here)
    return size


def summary(sending: Sending, name: str, *, say: bool) -> dict[str, Any]:
    """What became of a file, as it is printed where ``say``."""
    if say:
        before = f", {sending.skipped:,} were before" if sending.skipped else ""
        lines = counted(sending.committed, "line")
        print(f"{printable(name)}: {lines} committed ({decimal(sending.bytes)}){before}")  # noqa: T201
        for line in _warnings(sending):
            print(f"  {line}", file=sys.stderr)  # noqa: T201 - the command line's own voice
    return {
        "file": name, "stream": sending.stream, "cursor": sending.cursor, "committed": sending.committed,
        "bytes": sending.bytes, "warnings": sending.warning_count, "kinds": dict(sending.warnings),
    }  # fmt: skip


def _warnings(sending: Sending) -> Iterator[str]:
    if not sending.warning_count:
        return
    yield f"{counted(sending.warning_count, 'warning')}:"
    for kind, count in sending.warnings.most_common(KINDS_SHOWN):
        yield f"  {count:,} × such as {printable(sending.examples[kind])}"
    rest = sending.warning_count - sum(count for _, count in sending.warnings.most_common(KINDS_SHOWN))
    if rest:
        yield f"  {rest:,} more"


# -- figures -----------------------------------------------------------------------------------------------------------


async def show_stats(lake: Lake, space: str | None, *, as_json: bool) -> None:
    """The lake's figures, or a space's, once."""
    async with lake:
        told = await figures(lake, space)
    if as_json:
        print(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())  # noqa: T201
    else:
        Console().print(shown(told, {}))


async def watch_stats(lake: Lake, space: str | None, *, as_json: bool) -> None:
    """The same again and again, with how fast each space changes."""
    async with lake:
        rates = Rates()
        with Live(console=Console(), auto_refresh=False, transient=False) if not as_json else _nothing() as live:
            while True:
                told = await figures(lake, space)
                rates.note(told["spaces"], time.monotonic())
                if live is None:
                    print(orjson.dumps(told).decode(), flush=True)  # noqa: T201
                else:
                    live.update(shown(told, rates.per_s), refresh=True)
                await asyncio.sleep(REFRESH_S)


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


async def figures(lake: Lake, space: str | None) -> dict[str, Any]:
    """``{lake: the seed's figures (of all spaces), spaces: [a row of each]}``."""
    if space is not None:
        return {"spaces": [await lake.ask("GET", f"/eustress/spaces/{quoted(space)}")]}
    told = await lake.ask("GET", "/eustress/ingest/stats")
    rows: list[dict[str, Any]] = []
    page: Sequence[dict[str, Any]] = [{}] * SPACES_A_PAGE
    while len(page) == SPACES_A_PAGE:
        after = {"after": rows[-1]["space_name"]} if rows else {}
        page = await lake.ask("GET", "/eustress/spaces", params={"limit": str(SPACES_A_PAGE)} | after)
        rows += page
    return {"lake": told, "spaces": rows}


class Rates:
    """Changes a second of each space, between the last two looks."""

    def __init__(self) -> None:
        self.per_s: dict[str, float] = {}
        self._before: dict[str, int] = {}
        self._at = 0.0

    def note(self, rows: Sequence[Mapping[str, Any]], now: float) -> None:
        """A look, at a monotonic time in seconds."""
        changes = {row["space_name"]: row["changes"] for row in rows}
        passed = now - self._at
        self.per_s = {
            name: (count - self._before[name]) / passed for name, count in changes.items() if name in self._before
        }
        self._before, self._at = changes, now


def shown(told: Mapping[str, Any], rates: Mapping[str, float]) -> Group:
    """Figures as tables."""
    parts: list[Any] = []
    if (lake := told.get("lake")) is not None:
        parts.append(
            f"{counted(lake['total_spaces'], 'space')}, {counted(lake['total_entities_seen'], 'entity')} seen,"
            f" {counted(lake['total_snapshots'], 'snapshot')} (last {_time(lake['last_snapshot'])}),"
            f" {counted(lake['total_epochs'], 'epoch')},"
            f" {decimal(lake['storage_size_bytes'])} on disk"
        )
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("space", overflow="fold")  # never cut: names are copied from here
    for title in ("health", *COLUMNS, *(["changes/s"] if rates else [])):
        table.add_column(title, justify="left" if title == "health" else "right", no_wrap=True)
    for row in told["spaces"]:
        cells: list[str | Text] = [Text(printable(row["space_name"])), row["health"]["status"]]
        cells += [f"{row[name]:,}" for name in COLUMNS.values()]
        table.add_row(*cells, *([f"{rates.get(row['space_name'], 0):,.0f}"] if rates else []))
    return Group(*parts, table)


def _time(text: str | None) -> str:
    return "never" if text is None else text[:19].replace("T", " ")


# -- changes -----------------------------------------------------------------------------------------------------------


async def show_changes(
    url: str, token: str | None, ssl: SSLContext | bool, space: str, after: int | None, *, as_json: bool
) -> None:
    """Every numbered event of a space, a line each, until it is cancelled."""
    from server.client import Client

    line: Callable[[Event], str] = json_line if as_json else change_line
    context = ssl if isinstance(ssl, SSLContext) else None
    async with (
        Client(url, token=token, local=token is None, ssl=context, give_up_after_s=GIVE_UP_FIRST_S) as client,
        client.eustress_subscribe(space, after=after) as changes,
    ):
        client.give_up_after(None)  # once it was there, a server that restarts is waited for
        if changes.state and not as_json:
            print(now_line(changes.state), flush=True)  # noqa: T201
        async for event in changes:
            print(line(event), flush=True)  # noqa: T201


def json_line(event: Event) -> str:
    """An event as it came."""
    at = None if event.at is None else event.at.isoformat()
    told = {"event": event.event, "offset": event.offset, "at": at, "body": event.body}
    return orjson.dumps(told).decode()


def change_line(event: Event) -> str:
    """An event for people."""
    at = "--:--:--" if event.at is None else event.at.astimezone().strftime("%H:%M:%S")
    body = event.body or {}
    match event.event:
        case "changed":
            said = ", ".join(counted(count, _one(name)) for name, count in body["counts"].items() if count)
            return f"{at}  version {body['version']:,}  {said or 'nothing changed'}"
        case "snapshot_taken":
            return f"{at}  version {body['version']:,}  snapshot {body['snapshot_id']} ({body['reason']})"
        case "epoch":
            return f"{at}  epoch {body['id']}: {counted(body['sample_count'], 'sample')}"
        case "snapshot":  # the stream begins anew
            return now_line(body)
    return f"{at}  {printable(event.event)} {printable(orjson.dumps(body).decode())}"


def _one(name: str) -> str:
    """Of ``removed_entities`` one: ``removed entity``."""
    words = name.replace("_", " ")
    return words[:-3] + "y" if words.endswith("ies") else words.removesuffix("s")


def now_line(space: Mapping[str, Any]) -> str:
    """A space as it is, for people."""
    scene = space["metadata"]
    counts = f"{counted(scene['entity_count'], 'entity')}, {counted(scene['connection_count'], 'connection')}"
    return f"now       version {space['version']:,}  {counts}"
