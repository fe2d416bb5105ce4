"""Figures of lines: exact symmetry, exact concurrency, and the same in SVG and in pixels."""

from __future__ import annotations

import re
from itertools import combinations
from math import cos, dist, hypot, pi, sin
from xml.etree import ElementTree

import numpy as np
import pytest

from actors.visuals import lattice, raster, sri_yantra
from actors.visuals.figure import Circle, Figure, Look, number, svg

SVG = "{http://www.w3.org/2000/svg}"
LOOK = Look("#000000", "#ffffff")


def near(points: object) -> set[tuple[float, ...]]:
    return {tuple(round(each, 9) + 0.0 for each in point) for point in points}  # type: ignore[attr-defined]


@pytest.mark.parametrize("rings", range(5))
def test_the_disc_is_its_own_image_under_all_twelve_symmetries_of_the_hexagon(rings: int) -> None:
    disc = set(lattice.disc(rings))
    assert len(disc) == 1 + 3 * rings * (rings + 1)
    assert {lattice.turned(point) for point in disc} == disc
    assert {lattice.mirrored(point) for point in disc} == disc


def test_a_turn_of_the_lattice_is_a_turn_of_the_plane() -> None:
    for point in lattice.disc(3):
        x, y = lattice.at(point)
        turned = (x * cos(pi / 3) - y * sin(pi / 3), x * sin(pi / 3) + y * cos(pi / 3))
        assert lattice.at(lattice.turned(point)) == pytest.approx(turned, abs=1e-12)
        assert lattice.at(lattice.mirrored(point)) == pytest.approx((x, -y), abs=1e-12)


def test_each_circle_of_the_flower_goes_through_its_neighbours_centres() -> None:
    drawn = lattice.flower_of_life(2, enclosed=False)
    assert len(drawn.circles) == 19
    assert max(hypot(x, y) + r for x, y, r in drawn.circles) == pytest.approx(1)
    centres = [(x, y) for x, y, _ in drawn.circles]
    radius = drawn.circles[0].r
    touching = sum(dist(a, b) == pytest.approx(radius) for a, b in combinations(centres, 2))
    assert touching == 42  # pairs of neighbours of the hexagonal lattice within two rings
    assert min(dist(a, b) for a, b in combinations(centres, 2)) == pytest.approx(radius)


def test_metatrons_cube_joins_all_thirteen_centres_of_touching_circles() -> None:
    drawn = lattice.metatrons_cube()
    assert (len(drawn.circles), len(drawn.paths)) == (13, 78)
    ends = {frozenset(near(path)) for path in drawn.paths}
    centres = near((x, y) for x, y, _ in drawn.circles)
    assert ends == {frozenset(pair) for pair in combinations(centres, 2)}
    radius = drawn.circles[0].r
    assert min(dist(a, b) for a, b in combinations(centres, 2)) == pytest.approx(2 * radius)
    turned = {lattice.turned(point) for point in lattice.fruit_of_life()}
    assert turned == set(lattice.fruit_of_life()) == {lattice.mirrored(point) for point in turned}


def side_lines(triangle: sri_yantra.Triangle) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    left, right, apex = triangle.points
    return [(left, right), (left, apex), (right, apex)]


def off(point: tuple[float, float], line: tuple[tuple[float, float], tuple[float, float]]) -> float:
    """The distance of a point from a line."""
    (x, y), ((ax, ay), (bx, by)) = point, line
    return abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / hypot(bx - ax, by - ay)


def test_the_lines_of_the_sri_yantra_meet_in_threes() -> None:
    lines = sri_yantra.triangles()
    assert len(lines) == 9
    met = 0
    for base, a, b in sri_yantra.CROSSINGS:
        y = lines[base].base_y
        for sign in (1, -1):
            point = (sign * lines[a].side(y), y)
            assert min(off(point, side) for side in side_lines(lines[b])[1:]) < sri_yantra.TOLERANCE
            assert abs(point[0]) < lines[base].half_width + sri_yantra.TOLERANCE, (
                "on the base itself, not on what it would be if it were longer"
            )
            met += 1
    for corner, other in sri_yantra.CORNERS:
        for point in lines[corner].points[:2]:
            assert min(off(point, side) for side in side_lines(lines[other])[1:]) < sri_yantra.TOLERANCE
            met += 1
    assert met == 26
    for line, apex in sri_yantra.APEX.items():
        if apex:
            assert lines[line].apex_y == lines[apex].base_y
    for line in sri_yantra.GREAT:
        assert all(hypot(*point) == pytest.approx(1, abs=1e-12) for point in lines[line].points)


def test_the_sri_yantra_is_close_to_the_tradition_and_its_inmost_circle_is_centred() -> None:
    lines = sri_yantra.triangles()
    heights = [lines[line].base_y for line in range(1, 10)]
    assert heights == sorted(heights, reverse=True)
    assert max(abs(y - (1 - part / 24)) for y, part in zip(heights, sri_yantra.TRADITION, strict=True)) < 0.05
    # The bindu is as far from the fifth line as from the two sides of the first triangle that meet below it.
    _, right, apex = lines[1].points
    assert off((0, 0), (right, apex)) == pytest.approx(lines[5].base_y, abs=1e-12)


def regions(cells: np.ndarray, least: int) -> int:
    """Connected parts of one value each, other than 0, of at least so many cells."""
    seen, found = cells == 0, 0
    for start in zip(*np.nonzero(cells), strict=True):
        waiting, size = [start] if not seen[start] else [], 0
        seen[start] = True
        while waiting:
            row, column = waiting.pop()
            size += 1
            for there in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if not seen[there] and cells[there] == cells[start]:
                    seen[there] = True
                    waiting.append(there)
        found += size >= least
    return found


def test_the_nine_triangles_make_forty_three() -> None:
    """The small triangles are where an odd number of the nine lie over each other. Where three lines missed each other there
    would be one more."""
    y, x = np.mgrid[1.01:-1.01:800j, -1.01:1.01:800j]
    inside = [
        (np.abs(x) < t.side(y)) & ((y - t.base_y) * (y - t.apex_y) < 0)  # type: ignore[arg-type]
        for t in sri_yantra.triangles().values()
    ]
    patterns = sum(mask.astype(np.int64) << bit for bit, mask in enumerate(inside))
    odd = np.sum(inside, axis=0) % 2 == 1
    assert regions(np.where(odd, patterns, 0), 5) == 43


def test_the_drawn_yantra_is_its_own_mirror_image_and_its_square_turns() -> None:
    drawn = sri_yantra.figure()
    points = near(point for path in drawn.paths for point in path)
    assert near((-x, y) for x, y in points) == points
    square = near(drawn.paths[-1])
    assert near((y, -x) for x, y in square) == square
    assert all(abs(x) <= 1 and abs(y) <= 1 for x, y in points)
    assert len(drawn.paths) == 9 + 8 + 16 + 3
    assert len(sri_yantra.figure(lotus=False, gates=False).paths) == 9


def test_the_svg_says_the_same_as_the_figure() -> None:
    drawn = Figure("a < b", (Circle(0.5, 0.25, 0.125),), (((0, 0), (0.5, 0.5)), ((0, 0), (1, 0), (0, 1), (0, 0))))
    root = ElementTree.fromstring(svg(drawn, 300, LOOK))
    assert (root.get("width"), root.get("height")) == ("300", "300")
    assert root.find(f"{SVG}title").text == "a < b"  # type: ignore[union-attr]
    circle = root.find(f".//{SVG}circle")
    assert circle is not None
    assert [circle.get(name) for name in ("cx", "cy", "r")] == ["500", "-250", "125"]
    assert [path.get("d") for path in root.iter(f"{SVG}path")] == ["M0 0L500 -500", "M0 0L1000 0L0 -1000Z"]
    assert root.find(f"{SVG}rect").get("fill") == "#ffffff"  # type: ignore[union-attr]
    assert ElementTree.fromstring(svg(drawn, 300, Look("#000000", None))).find(f"{SVG}rect") is None


def test_circles_in_the_svg_are_symmetric_to_the_last_digit() -> None:
    found = re.findall(r'cx="([^"]+)" cy="([^"]+)"', svg(lattice.flower_of_life(3), 512, LOOK))
    centres = {(float(x), float(y)) for x, y in found}
    assert centres == {(-x, y) for x, y in centres} == {(x, -y) for x, y in centres}


def test_numbers_have_no_zeros_to_spare() -> None:
    assert [number(each) for each in (0.0, -0.0001, 1.5, -2.25, 100.0)] == ["0", "0", "1.5", "-2.25", "100"]


@pytest.mark.parametrize("size", [64, 255, 512])
def test_pixels_are_as_symmetric_as_the_figure(size: int) -> None:
    for drawn in (lattice.flower_of_life(2), lattice.metatrons_cube()):
        pixels = raster.drawn(drawn, size, LOOK).astype(int)
        assert pixels.shape == (size, size, 3)
        assert np.abs(pixels - pixels[::-1]).max() <= 2
        assert np.abs(pixels - pixels[:, ::-1]).max() <= 2
        assert pixels.min() < 60, "there is ink"
        assert pixels.max() == 255, "and paper"


def test_a_line_is_as_wide_as_it_says_at_every_angle() -> None:
    size, stroke = 400, 0.05
    for turn in np.linspace(0, pi, 13):
        ends = ((-0.5 * cos(turn), -0.5 * sin(turn)), (0.5 * cos(turn), 0.5 * sin(turn)))
        pixels = raster.drawn(Figure("", paths=(ends,)), size, Look("#000000", "#ffffff", stroke))
        scale = size / (2 * raster.HALF)
        ink = (255 - pixels[..., 0].astype(float)).sum() / 255
        width = stroke * scale
        assert ink == pytest.approx(scale * width + pi * width**2 / 4, rel=0.01), "a bar with round ends"


def test_a_circle_covers_its_own_ring() -> None:
    size = 400
    pixels = raster.drawn(Figure("", (Circle(0.1, -0.2, 0.5),)), size, Look("#000000", "#ffffff", 0.04))
    scale = size / (2 * raster.HALF)
    ink = 1 - pixels[..., 0] / 255
    assert ink.sum() == pytest.approx(2 * pi * 0.5 * scale * 0.04 * scale, rel=0.01)
    y, x = (np.indices(ink.shape) * ink).sum(axis=(1, 2)) / ink.sum()
    assert (x, y) == pytest.approx((size / 2 + 0.1 * scale - 0.5, size / 2 + 0.2 * scale - 0.5), abs=0.1)


def test_without_paper_what_is_not_ink_is_transparent() -> None:
    pixels = raster.drawn(lattice.flower_of_life(1), 64, Look("#102030", None))
    assert pixels.shape == (64, 64, 4)
    assert pixels[0, 0].tolist() == [16, 32, 48, 0]
    assert pixels[..., 3].max() > 200
