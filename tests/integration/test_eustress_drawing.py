"""What the lake's page computes before it draws: flux as the lake has it, where points stand, what a scene keeps, rates."""

from __future__ import annotations

import json
import math
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from readme import ROOT

from actors.eustress.flux import flux_position

HERE = Path(__file__).parent


def answers(*questions: dict[str, Any]) -> list[Any]:
    """What Node says to each."""
    command = ["node", HERE / "eustress_drawing.mjs", ROOT / "server" / "web"]
    done = subprocess.run(command, input=json.dumps(questions), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[Any] = json.loads(done.stdout)
    return found


def test_flux_is_what_the_lake_says() -> None:
    rng = random.Random(9)
    positions = [[rng.choice((1, -1)) * 10 ** rng.uniform(-6, 38) for _ in range(3)] for _ in range(2000)]
    positions += [[rng.uniform(-50, 50) for _ in range(3)] for _ in range(2000)]
    positions += [[0, 0, 0], [0.0005, 0, 0], [0.0015, 0.0025, 0], [1.001, -2.002, 3.003], [2**53 / 1000, 0, 0]]
    [found] = answers({"ask": "flux", "positions": positions})
    assert found == [flux_position(*map(float, position)) for position in positions]


CUBE = [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]


@pytest.mark.parametrize("view", ["plan", "space"])
def test_a_whole_scene_is_in_the_picture_and_each_point_can_be_picked(view: str) -> None:
    points = [[10 * x + 1000, 3 * y - 40, 6 * z] for x, y, z in CUBE]
    [found] = answers({"ask": "project", "points": points, "view": view, "moves": []})
    assert all(0 < x < 800 and 0 < y < 500 for x, y, _, _ in found["places"])
    assert all(0 <= far <= 1 for *_, far in found["places"])
    before = {tuple(found["places"][slot][:2]) for slot in found["picked"]}
    assert len(before) == (4 if view == "plan" else 8)  # from above the upper four hide the lower
    for axis, size in enumerate((800, 500)):
        across = [place[axis] for place in found["places"]]
        assert min(across) + max(across) == pytest.approx(size, abs=2)  # in the middle


def test_what_is_higher_is_higher_and_what_is_nearer_is_bigger() -> None:
    question = {"ask": "project", "points": [*CUBE, [0, 0, 0]], "view": "space", "moves": [["orbit", 0.6, 0]]}
    places = {
        tuple(point): place for point, place in zip(question["points"], answers(question)[0]["places"], strict=True)
    }
    assert places[1, 1, 1][1] < places[1, -1, 1][1]  # y is up, pixels count down
    assert places[1, 1, 1][2] > places[1, 1, -1][2]  # z comes towards the viewer once it is turned to the front
    assert places[1, 1, 1][3] < places[1, 1, -1][3]


def test_moving_the_picture_moves_the_points_by_as_many_pixels() -> None:
    still = {"ask": "project", "points": [*CUBE, [0, 0, 0]], "view": "plan", "moves": []}
    moved = still | {"moves": [["pan", 30, -20]]}
    nearer = still | {"moves": [["zoom", 0.5]]}
    one, other, big = (answer["places"] for answer in answers(still, moved, nearer))
    assert [b[:2] for b in other] == [pytest.approx([a[0] + 30, a[1] - 20], abs=0.01) for a in one]
    assert big[0][2] == pytest.approx(2 * one[0][2], rel=1e-4)


def test_one_entity_far_away_does_not_make_the_others_a_dot() -> None:
    rng = random.Random(1)
    points = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(300)] + [[3e38, 0, 0]]
    [found] = answers({"ask": "project", "points": points, "view": "space", "moves": []})
    assert found["camera"]["radius"] < 100
    seen = [place for place in found["places"][:300] if place[0] is not None]
    assert max(x for x, *_ in seen) - min(x for x, *_ in seen) > 50


def test_a_sample_is_even_and_smaller_ones_lie_in_larger_ones() -> None:
    ids = [f"entity_{n}" for n in range(40_000)]
    counts = answers(*({"ask": "sampled", "ids": ids, "every": every} for every in (1, 2, 4, 7)))
    for every, count in zip((1, 2, 4, 7), counts, strict=True):
        assert math.isclose(count, 40_000 / every, rel_tol=0.05)


def row(entity: str, parent: str | None = None, x: float = 0, flux: int = 1) -> dict[str, Any]:
    return {"id": entity, "parent": parent, "depth": 0, "flux": flux, "data": {"position": [x, 0, 0]}}


def test_a_scene_keeps_who_is_whose_parent_whatever_comes_and_goes() -> None:
    link = {"source": "c", "target": "a", "type": "near", "strength": 1, "label": None}
    steps: list[list[Any]] = [
        ["put", row("b", "a", 2)], ["put", row("a", None, 1, 9)], ["put", row("c", "b", 3, 3)], ["put", row("d", "gone")],
        ["connect", link], ["remove", "b"], ["remove", "nobody"], ["put", row("c", "a", 4, 6)],
    ]  # fmt: skip
    full, cut = answers(
        {"ask": "scene", "steps": steps}, {"ask": "scene", "steps": [*steps, ["disconnect", link], ["remove", "a"]]}
    )
    assert dict(zip(full["ids"], full["x"], strict=True)) == {"a": 1, "c": 4, "d": 0}
    assert (full["tree"], full["links"], full["roots"]) == (["a", "c"], ["c", "a"], ["a"])
    assert full["census"] == [0, 1, 0, 0, 0, 0, 1, 0, 0, 1]
    assert (sorted(cut["ids"]), cut["tree"], cut["links"]) == (["c", "d"], [], [])


def test_rates_are_changes_a_second_and_never_negative() -> None:
    looks = [[0, {"a": 10}], [2000, {"a": 30, "b": 6}], [4000, {"a": 5, "b": 6}], [6000, {"b": 16}]]
    assert answers({"ask": "rates", "looks": looks}) == [[None, 13, 0, 5]]


def test_times_are_said_as_one_says_them() -> None:
    times = [
        "2026-01-01T00:00:00Z",
        "2025-12-31T23:59:57Z",
        "2025-12-31T23:55:00Z",
        "2025-12-30T00:00:00Z",
        "2026-01-01T00:00:09Z",
        None,
    ]
    [found] = answers({"ask": "ago", "times": times, "now": 1_767_225_600_000})
    assert found == ["just now", "3 s ago", "5 min ago", "2 days ago", "just now", "never"]
