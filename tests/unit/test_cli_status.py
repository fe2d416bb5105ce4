"""What ``sangha status`` prints, of what it was told."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.console import Console

from server.cli_status import TITLES, print_topology, shortened

FIGURES = {"node": "8390d402" * 7, "pid": 1234567, "epoch": 123, "entities": 1, "backlog": 10_000}
NAMES = [
    "quantum_mechanics",
    "a space of the lab with a long name, 1",
    "a space of the lab with a long name, 2",
    "[b]x[/b]",
]
TOPOLOGY = {
    "server": {"pid": 1, "state": "ready", "started_at": "2026-11-21T04:23:08Z"},
    "database": {"embedded": True, "version": "18.4", "pid": 2, "schema": 7},
    "nodes": [{"id": FIGURES["node"], "alive": True, "address": "127.0.0.1"}],
    "shards": [
        {"kind": "practitioner", "index": 0} | FIGURES,
        *({"kind": "eustress", "index": f"{n:024x}", "entity": name} | FIGURES for n, name in enumerate(NAMES)),
    ],
    "gateways": [{"port": 8080, "node": FIGURES["node"], "pid": 1234567, "sockets": 10_000, "outbox_bytes": 123_456_789}],
}  # fmt: skip


def printed(width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        print_topology(TOPOLOGY, console)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [20, 80])
def test_of_a_name_alone_something_is_left_out(width: int) -> None:
    lines = printed(width)[-7:]
    assert lines[0].split() == list(TITLES)
    assert lines[1].split() == ["practitioner/0", "8390d402", "1234567", "123", "1", "10000"]
    assert lines[-1].split() == ["gateway", ":8080", "8390d402", "1234567", "10000", "123456789"]
    assert all(line.split()[-5:] == ["8390d402", "1234567", "123", "1", "10000"] for line in lines[2:-1])
    assert len(set(lines)) == len(lines)
    if width == 80:
        assert max(map(cell_len, lines)) <= width


def test_a_name_is_whole_where_there_is_room() -> None:
    lines = printed(120)
    assert all(any(f"eustress/{name}  " in line for line in lines) for name in NAMES)


@pytest.mark.parametrize("room", range(3, 14))
def test_a_shortened_text_fits(room: int) -> None:
    for text in ("0123456789ab", "宇宙の果て", "a宇宙1"):
        assert cell_len(shortened(text, room)) <= room
    assert shortened("0123456789ab", 12) == "0123456789ab"
    assert shortened("0123456789ab", 9) == "01234…9ab"
