"""An epoch into a file: made where it is to be, streamed beside the file's name, and moved there when it is whole."""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from server.client_lake import Lake, problem, quoted
from server.wording import counted

UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
CHUNK_BYTES: Final = 256 * 1024


def seconds_of(text: str) -> float | None:
    """``24h`` in seconds; None of what is no such time."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    return float(found[1]) * UNITS[found[2]] if found else None


async def made_epoch(lake: Lake, space: str, length_s: float) -> str:
    """The id of a new epoch of a space's last seconds, which is told on standard error."""
    now = datetime.now(UTC)
    times = {"start_time": (now - timedelta(seconds=length_s)).isoformat(), "end_time": now.isoformat()}
    epoch = await lake.ask("POST", "/eustress/epochs", key=str(uuid.uuid4()), body={"space_name": space, **times})
    samples, snapshots = counted(epoch["sample_count"], "sample"), counted(len(epoch["snapshot_ids"]), "snapshot")
    print(f"epoch {epoch['id']}: {samples} of {snapshots}", file=sys.stderr)  # noqa: T201
    return str(epoch["id"])


async def write_epoch(lake: Lake, epoch: str, format_: str, part: str, output: str | None) -> None:
    """The export, to a file (default: named by the epoch) or to standard output ("-").

    The file is there when all of it is. Raises the server's errors, ConnectionLost where it was cut off.
    """
    name = output or f"epoch-{epoch}-{part}.{format_}"
    asked = {"format": format_, "part": part}
    rows = _Rows() if format_ == "ndjson" else None
    try:
        async with lake.request("GET", f"/eustress/epochs/{quoted(epoch)}/export", params=asked) as answer:
            if answer.status != 200:
                raise await problem(answer)
            with _file(name) as file, _bar(answer.headers.get("Content-Length"), rows) as moved:
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    file.write(chunk)
                    moved(chunk)
    except (aiohttp.ClientError, TimeoutError) as failure:
        raise lake.lost(failure) from failure


class _Rows:
    """Lines as they pass."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, chunk: bytes) -> None:
        self.count += chunk.count(b"\n")


@contextmanager
def _file(name: str) -> Iterator[IO[bytes]]:
    """What to write to. What is left half-written is removed."""
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = Path(f"{name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(name)
    finally:
        part.unlink(missing_ok=True)
    print(f"{name}: {Path(name).stat().st_size:,} bytes", file=sys.stderr)  # noqa: T201 - the command line's own voice


@contextmanager
def _bar(length: str | None, rows: _Rows | None) -> Iterator[Any]:
    """A progress bar where standard error is a terminal; yields what is told of each chunk."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("export", total=None if length is None else int(length))

        def moved(chunk: bytes) -> None:
            if rows is not None:
                rows(chunk)
            bar.update(task, advance=len(chunk), description="export" if rows is None else counted(rows.count, "row"))

        yield moved
