"""What ``sangha eustress`` says, of what it was told."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner

from server.cli_eustress import app
from server.cli_eustress_export import seconds_of
from server.cli_eustress_view import Rates, change_line, json_line, shown
from server.client_events import Event

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROW = {
    "space_name": "s", "health": {"status": "good"}, "entity_count": 1234, "connection_count": 5, "hierarchy_depth": 2,
    "sacred_entity_count": 3, "snapshots": 7, "changes": 90,
}  # fmt: skip
LAKE = {
    "total_spaces": 1, "total_entities_seen": 2, "total_snapshots": 3, "total_epochs": 4, "storage_size_bytes": 5_000,
    "last_snapshot": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5m", 90), ("24h", 86_400), ("7d", 604_800)])
def test_a_time_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1w", "24h ago"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert seconds_of(text) is None


def test_rates_are_of_the_last_two_looks() -> None:
    rates = Rates()
    rates.note([ROW], 10.0)
    assert rates.per_s == {}
    rates.note([ROW | {"changes": 190}, ROW | {"space_name": "new"}], 12.0)
    assert rates.per_s == {"s": 50.0}


def test_figures_are_shown() -> None:
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(shown({"lake": LAKE, "spaces": [ROW]}, {"s": 50.0}))
    text = capture.get()
    assert "1 space, 2 entities seen, 3 snapshots (last never), 4 epochs, 5.0 kB on disk" in text
    assert "1,234" in text
    assert "changes/s" in text


@pytest.mark.parametrize(("name", "lines"), [("quantum_mechanics", 1), ("x" * 100, 10), ("[b]bold[/b]", 1)])
def test_names_of_spaces_are_folded_and_never_cut(name: str, lines: int) -> None:
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        console.print(shown({"spaces": [ROW | {"space_name": name}]}, {}))
    rows = capture.get().splitlines()[1:]
    assert "".join(row.split(" ")[0] for row in rows) == name
    assert len(rows) <= lines
    assert rows[0].split()[1:] == ["good", "1,234", "5", "2", "3", "7", "90"]


def event(name: str, **body: object) -> Event:
    return Event(stream="eustress:s", event=name, offset=4, at=AT, body=body)


def test_every_kind_of_change_is_a_line() -> None:
    counts = {"entities": 2, "connections": 0, "removed_entities": 1}
    assert "version 1,234  2 entities, 1 removed entity" in change_line(event("changed", version=1234, counts=counts))
    assert "nothing changed" in change_line(event("changed", version=1, counts={}))
    taken = change_line(event("snapshot_taken", version=1, snapshot_id="x", reason="batch"))
    assert taken.endswith("version 1  snapshot x (batch)")
    assert change_line(event("epoch", id="x", sample_count=9)).endswith("epoch x: 9 samples")
    assert change_line(event("epoch", id="x", sample_count=1)).endswith("epoch x: 1 sample")
    metadata = {"entity_count": 2, "connection_count": 3}
    assert "1 entity, 0 connections" in change_line(
        event("snapshot", version=1, metadata={"entity_count": 1, "connection_count": 0})
    )
    assert "2 entities, 3 connections" in change_line(event("snapshot", version=1, metadata=metadata))
    assert 'policy {"ordering":"strict"}' in change_line(event("policy", ordering="strict"))


def test_a_change_as_json_has_all_of_it() -> None:
    told = orjson.loads(json_line(event("changed", version=1)))
    assert told == {"event": "changed", "offset": 4, "at": "2026-01-02T03:04:05+00:00", "body": {"version": 1}}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("ingest nothing --space s", "nothing: No such file"),
        ("ingest a b --space s --stream x", "--stream names the stream of one file"),
        ("export", "either the id of an epoch, or --space"),
        ("export --space s", "either the id of an epoch, or --space"),
        ("export --space s --last soon", "such as 24h"),
        ("export 1 --format csv", "parquet or ndjson"),
        ("export --space s --last 1h -o /no/where/x", "-o /no/where/x: there is no such directory"),
        ("export --space s --last 1h -o /", "-o /: is a directory"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(words: str, why: str) -> None:
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 2
    assert why in result.stderr
    assert result.stderr.count("\n") == 1
