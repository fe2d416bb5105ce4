"""What ``sangha status`` prints for people: what runs, where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.deployment import WORKERS
from server.join import printable

TITLES: Final = ("actor", "node", "pid", "epoch", "entities", "backlog", "sockets", "outbox")
NAME_LEAST: Final = 16
"""Cells of an actor's name that are shown however narrow the terminal is; lines then run over its edge."""


def print_topology(topology: Mapping[str, Any], console: Console) -> None:
    """The whole. Of a long name the middle is left out; every other column is whole."""
    server, database = topology["server"], topology["database"]
    console.print(f"server    pid {server['pid']}, {server['state']} since {server['started_at']}")
    embedded = "embedded" if database["embedded"] else "external"
    console.print(
        f"database  {embedded} PostgreSQL {database['version']}, pid {database['pid']}, schema {database['schema']}"
    )
    for node in topology["nodes"]:
        console.print(f"node      {node['id'][:8]} {'alive' if node['alive'] else 'dead'} {node['address']}")
    rows = [_shard(shard) for shard in topology["shards"]] + [_gateway(each) for each in topology["gateways"]]
    widths = [max(map(cell_len, column)) for column in zip(TITLES, *rows, strict=True)]
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= console.width else 1
    others = sum(widths[1:]) + gap * (len(widths) - 1)
    room = max(console.width - others, NAME_LEAST)
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for title in TITLES:
        table.add_column(title, justify="left" if title in TITLES[:2] else "right", no_wrap=True)
    for name, *figures in rows:
        table.add_row(Text(shortened(name, room)), *figures)
    console.width = max(console.width, room + others)
    console.print(table)


def shortened(text: str, room: int) -> str:
    """A text in at most ``room`` cells: of a longer one the beginning and the end, for names often differ in the end."""
    if cell_len(text) <= room:
        return text
    head, tail = "", ""
    for char in text:
        if cell_len(head + char) > room - 1 - room // 3:
            break
        head += char
    for char in reversed(text):
        if cell_len(head + tail + char) > room - 1:
            break
        tail = char + tail
    return f"{head}…{tail}"


def _shard(shard: Mapping[str, Any]) -> tuple[str, ...]:
    name = f"{shard['kind']}/{printable(str(shard.get('entity') or shard['index']))}"
    epoch = "" if shard["kind"] in WORKERS else str(shard["epoch"])
    return name, shard["node"][:8], str(shard["pid"]), epoch, str(shard["entities"]), str(shard["backlog"]), "", ""


def _gateway(gateway: Mapping[str, Any]) -> tuple[str, ...]:
    held = (str(gateway["sockets"]), str(gateway["outbox_bytes"]))
    return f"gateway :{gateway['port']}", gateway["node"][:8], str(gateway["pid"]), "", "", "", *held
