from __future__ import annotations

import io
import os
from typing import cast

import numpy as np
import pytest
from rich.console import Console

from actors.runtime.errors import RitualFailed, SanghaError
from server.bench import rituals, show, sky, sound
from server.bench.connections import PER_SOURCE, source_address
from server.bench.ears import Ear
from server.bench.ears import Tally as Heard
from server.bench.fanout import Tally, leading_number
from server.bench.listen import Heard as AllHeard
from server.bench.listen import figures_of
from server.bench.processes import cpu_s, kernel_buffers_kb, private_kb, tree
from server.bench.recovery import compare, shard_pid
from server.client import Client
from server.client_events import ClientError
from server.sound.frames import AHEAD_MS, CODECS, pack


def test_acknowledged_messages_are_lost_where_the_history_has_another_or_none() -> None:
    history = [(1, "a"), (2, "b"), (3, "b")]
    assert compare({1: "a", 2: "b"}, history) == (0, 1)
    assert compare({1: "x", 9: "y"}, history) == (2, 1)


def test_the_shard_to_hit_is_found_by_kind_and_index() -> None:
    status = {"shards": [{"kind": "space", "index": 0, "pid": 7}, {"kind": "space", "index": 1, "pid": 8}]}
    assert shard_pid(status, "space", "1") == 8
    with pytest.raises(ClientError, match="practitioner/0"):
        shard_pid(status, "practitioner", 0)


def test_connections_spread_over_loopback_addresses() -> None:
    url = "ws://127.0.0.1:8080/ws"
    assert source_address(url, 0) == "127.0.0.2"
    assert source_address(url, PER_SOURCE) == "127.0.0.3"
    assert source_address(url, PER_SOURCE * 254) == "127.0.1.0"
    assert source_address("ws://example.org/ws", 0) is None


@pytest.mark.parametrize("payload", [b'{"ts":1.5,"text":"x"}', b'{"text":"x","ts":1.5}'])
def test_the_senders_time_is_read_from_a_frame(payload: bytes) -> None:
    assert leading_number(payload, payload.find(b'"ts":') + 5) == 1.5


def test_only_what_comes_while_measuring_counts() -> None:
    tally = Tally()
    tally.frame(0, b'{"ts":1.0}')
    tally.on = True
    for _ in range(40):
        tally.frame(0, b'{"ts":1.0}')
    tally.frame(0, b'{"type":"result"}')
    assert tally.delivered == 40
    assert len(tally.latencies_s) == 2


def test_percentiles_are_of_the_sorted_sample() -> None:
    tally = Tally()
    assert tally.percentile_ms(0.5) is None
    tally.latencies_s = [n / 1000 for n in reversed(range(100))]
    assert tally.percentile_ms(0.5) == 50
    assert tally.percentile_ms(0.999) == 99


def test_processes_are_weighed_once_and_gone_ones_are_left_out() -> None:
    here = os.getpid()
    gone = 2**22 + 1
    assert [process.pid for process in tree([here, here, gone])].count(here) == 1
    assert cpu_s([here]) > 0
    assert private_kb([here]) > 1000
    assert private_kb([gone]) == 0
    assert kernel_buffers_kb() >= 0


def test_figures_are_shown_as_a_table_where_there_is_a_console() -> None:
    out = io.StringIO()
    show(Console(file=out, width=80), "a title", {"p50_ms": 1.5, "sent": 12000, "recovery_s": None})
    show(None, "a title", {})
    assert "p50 ms" in out.getvalue()
    assert "12,000" in out.getvalue()


async def test_runs_that_fail_are_counted_apart_from_those_that_are_measured() -> None:
    load = rituals.Load("dance", 3)
    answers: list[SanghaError | None] = [None, RitualFailed("no"), RitualFailed("no")]

    class Answering:
        async def request(self, *_: object, **__: object) -> None:
            answer = answers.pop(0)
            load.going = bool(answers)
            if answer is not None:
                raise answer

    await load.practitioner(cast("Client", Answering()))
    assert (len(load.latencies_ms), load.failed, load.enough.is_set()) == (1, 2, True)
    with pytest.raises(ClientError, match="2 failed"):
        rituals._figures("dance", 1, [], 2, 1.0, 1.0)


async def test_an_ear_counts_gaps_and_how_late_each_frame_is() -> None:
    """It reads a header's numbers where ``pack`` has put them."""
    codec, tally = CODECS["opus"], Heard(CODECS["opus"].rate)
    ear = Ear(tally, "token", "session", "opus")
    ear.ready.cancel()
    ear.count(1000.0)  # its position 0 sounds then
    tally.begin()
    assert ear.silent
    for frame, seq in ((50, 7), (51, 8), (55, 12)):
        ear.heard(memoryview(pack(codec, 1, seq, frame * codec.frame_samples, 0, b"sound")), 1000.0 + frame / 50)
    counted = tally.end(int(ear.silent))
    assert [counted[name] for name in ("frames", "lost", "bytes", "silent")] == [3, 3, 3 * 29, 0]
    assert list(tally.late) == pytest.approx([AHEAD_MS / 1000] * 3, abs=1e-6)
    ear.count(1000.0)
    tally.begin()
    assert (ear.silent, len(tally.late), tally.lost) == (True, 0, 0)


def test_what_was_heard_is_told_by_its_loss_and_lateness() -> None:
    late = np.repeat(np.array([0.001, 0.300], dtype=np.float32), [98, 2])
    figures = figures_of(AllHeard(late, lost=100, bytes=1_000_000, silent=0, cores=0.5, seconds=2.0))
    assert (figures["frames_per_s"], figures["mbit_per_s"]) == (50, 4.0)
    assert (figures["lost_percent"], figures["too_late_percent"]) == (50.0, 2.0)
    assert [figures[f"late_ms_{which}"] for which in ("p50", "p99", "max")] == [1.0, 300.0, 300.0]
    with pytest.raises(ClientError, match="2 listeners"):
        figures_of(AllHeard(late, lost=0, bytes=0, silent=2, cores=0.5, seconds=2.0))


def test_what_is_measured_of_sound_is_its_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "WINDOWS", 2)
    monkeypatch.setattr(sound, "SECONDS", 9.0)
    out = io.StringIO()
    figures = sound.run(console=Console(file=out, width=100))
    assert len([row for row in figures["tones"] if row["sound"] == "bowl, fall in 1 s"]) == 11
    assert figures["greatest_error_hz"] < 0.002
    assert figures["greatest_error_db"] < 0.01
    assert "binaural, left ear" in out.getvalue()


def test_the_sky_is_where_it_was_published_to_be() -> None:
    out = io.StringIO()
    figures = sky.run(console=Console(file=out, width=110))
    for row in figures["angles"]:
        assert abs(row["residual_arc_seconds"]) < row["good_to_arc_seconds"] + 0.25, row["what"]
    assert "June solstice" in out.getvalue()
