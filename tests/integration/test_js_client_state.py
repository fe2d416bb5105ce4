"""The JavaScript client's state machine says what the Python one says, whatever happens to both.

The Python one is held to a model of the server in ``tests/unit/test_client_interleavings.py``; here each step that it took there,
and random histories of all else (clocks, refusals, gaps, closes), are replayed in Node against ``server/web/client/state.js``.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from client_recording import Node, Walk, drained, recorded
from client_world import SCRIPT, Server, World, explore
from readme import ROOT

HERE = Path(__file__).parent
STATE = ROOT / "server" / "web" / "client" / "state.js"
WALKS, STEPS = 1500, 80


def replayed(recording: dict[str, Any], directory: Path) -> int:
    """Replay in Node; how many paths."""
    file = directory / "recording.json"
    file.write_text(json.dumps(recording))
    done = subprocess.run(
        ["node", HERE / "client_replay.mjs", STATE, file], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return int(json.loads(done.stdout)["replayed"])


@pytest.mark.parametrize(
    ("cuts", "outside", "refusals", "forgets"),
    [(2, 1, 0, 0), (2, 0, 1, 0), (1, 0, 0, 2)],
    ids=["cut", "refused", "forgotten"],
)
def test_every_interleaving_ends_as_in_python(
    tmp_path: Path, cuts: int, outside: int, refusals: int, forgets: int
) -> None:
    drained()
    nodes: list[Node] = [(-1, [])]

    def took(parent: int, action: str, successor: World) -> int:
        nodes.append((parent, drained()))
        return len(nodes) - 1

    server = Server(True, overlap=outside, refusals=refusals)
    world = World(server, list(SCRIPT), cuts=cuts, outside=outside, forgets=forgets, client=recorded())
    explore(world, lambda settled: None, took)
    recording = {"credentials": {"guest": "Ana"}, "options": {"backoff": {"baseS": 0, "capS": 10}}, "nodes": nodes}
    assert replayed(recording, tmp_path) > 3000


@pytest.mark.parametrize("give_up_after_s", [None, 60.0])
def test_random_histories_end_as_in_python(tmp_path: Path, give_up_after_s: float | None) -> None:
    walks = [Walk(seed, give_up_after_s) for seed in range(WALKS)]
    nodes: list[Node] = [(-1, []), *((0, walk.run(STEPS)) for walk in walks)]
    assert sum(walk.client.stopped for walk in walks) < WALKS / 2, "most should go on to the end"
    recording = {"credentials": {"token": "T"}, "options": {"giveUpAfterS": give_up_after_s}, "nodes": nodes}
    assert replayed(recording, tmp_path) == WALKS
