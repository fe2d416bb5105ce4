"""Fields: Chladni figures against closed forms and published numbers, spectrograms against what sounds, colours by their seed."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from math import log2
from xml.etree import ElementTree

import numpy as np
import pytest

from actors.audio.presets import Sound, made
from actors.runtime.errors import Invalid
from actors.visuals import bessel, chladni, color_field, contour, palettes, pictures, spectrogram
from actors.visuals.chladni import Mode
from actors.visuals.figure import Look
from actors.visuals.raster import HALF, axis

LOOK = Look("#000000", "#ffffff")


def test_bessel_functions_are_those_of_the_tables() -> None:
    """Abramowitz & Stegun, tables 9.1, 9.8 and 9.5 (the first zeros)."""
    assert bessel.j(0, 1.0) == pytest.approx(0.765197686557967, abs=1e-14)
    assert bessel.j(1, np.array([1.0, 10.0])) == pytest.approx([0.440050585744934, 0.043472746168861], abs=1e-14)
    assert bessel.j(2, 5.0) == pytest.approx(0.046565116277752, abs=1e-14)
    assert bessel.i(0, 1.0) == pytest.approx(1.266065877752008, rel=1e-14)
    assert bessel.i(1, 2.0) == pytest.approx(1.590636854637329, rel=1e-14)
    for n, zero in ((0, 2.404825557695773), (1, 3.831705970207512), (2, 5.135622301840683)):
        assert bessel.j(n, zero) == pytest.approx(0, abs=1e-14)
    assert bessel.dj(0, 1.3) == pytest.approx(-bessel.j(1, 1.3), abs=1e-14)
    assert bessel.di(0, 1.3) == pytest.approx(bessel.i(1, 1.3), abs=1e-13)


def test_a_free_circular_plate_sounds_as_it_was_computed_before() -> None:
    """λ² of Itao & Crandall, Natural modes and natural frequencies of uniform, circular, free-edge plates (1979), ν = 0.33."""
    known = {(2, 0): 5.262, (0, 1): 9.069, (3, 0): 12.244, (1, 1): 20.513, (4, 0): 21.527}
    found = chladni.eigenvalues()
    assert {mode: round(found[mode] ** 2, 3) for mode in known} == pytest.approx(known, abs=1e-3)
    rounder = {(5, 0): 33.1, (2, 1): 35.25, (0, 2): 38.55}  # Leissa, Vibration of Plates, chapter 2, of the same plate
    assert {mode: found[mode] ** 2 for mode in rounder} == pytest.approx(rounder, rel=0.005)
    assert len(found) == (chladni.DIAMETERS_MAX + 1) * (chladni.CIRCLES_MAX + 1) - 2
    for n in range(chladni.DIAMETERS_MAX + 1):
        of_n = [found[mode] for mode in sorted(found) if mode[0] == n]
        assert of_n == sorted(of_n)
        # Far out the circles are half a wave apart: none was passed over.
        assert np.diff(of_n).max() < 1.8 * np.pi
        assert np.diff(of_n).min() > 0.99 * np.pi


@pytest.mark.parametrize("mode", [Mode(1, 3), Mode(2, 6), Mode(3, 9, plus=True), Mode(4, 7), Mode(5, 6, plus=True)])
@pytest.mark.parametrize("size", [63, 200])
def test_a_square_plate_is_the_closed_form_and_symmetric_to_the_last_bit(mode: Mode, size: int) -> None:
    found = chladni.field(mode, size)
    x = (axis(size)[None, :] + 1) / 2
    y = (axis(size)[:, None] + 1) / 2
    n, m, sign = mode.n, mode.m, 1 if mode.plus else -1
    closed = np.cos(n * np.pi * y) * np.cos(m * np.pi * x) + sign * np.cos(m * np.pi * y) * np.cos(n * np.pi * x)
    inside = np.isfinite(found)
    assert inside.mean() == pytest.approx(1 / HALF**2, abs=0.04)
    assert found[inside] == pytest.approx(closed[inside] / 2, abs=1e-12)
    still = np.nan_to_num(np.abs(found))
    assert np.array_equal(still, still[::-1, ::-1])
    assert np.array_equal(still, still.T)
    if (n + m) % 2 == 0:
        assert np.array_equal(still, still[::-1])
        assert np.array_equal(still, still[:, ::-1])


def test_the_middle_and_the_diagonals_of_a_difference_are_still() -> None:
    found = chladni.field(Mode(3, 7), 101, inset=False)
    assert found[50, 50] == 0
    assert not np.diag(found).any()
    assert not np.diag(found[::-1]).any()


@pytest.mark.parametrize("mode", [Mode(2, 6), Mode(3, 9), Mode(4, 8, plus=True)])
def test_the_lines_of_the_svg_have_every_symmetry_of_the_square(mode: Mode) -> None:
    path = re.search(r'<path d="([^"]+)"', chladni.svg(mode, 400, LOOK))
    assert path is not None
    numbers = [float(each) for each in re.findall(r"-?\d+\.?\d*", path[1])]
    segments = np.array(numbers).reshape(-1, 2, 2)
    assert len(segments) > 100
    assert np.abs(segments).max() <= 1000

    def lines(found: np.ndarray) -> set[frozenset[tuple[float, ...]]]:
        return {frozenset(tuple(point + 0.0) for point in segment) for segment in found}

    mine = lines(segments)
    for turned in (segments * (-1, 1), segments * (1, -1), segments[..., ::-1]):
        assert mine == lines(turned)


def test_a_circular_plate_has_as_many_lines_as_its_mode_says() -> None:
    mode = Mode(3, 2, round=True)
    found = chladni.field(mode, 401, inset=False)
    ring = [found[round(200 - 198 * np.sin(a)), round(200 + 198 * np.cos(a))] for a in np.linspace(0, 2 * np.pi, 720)]
    assert (np.diff(np.sign(ring)) != 0).sum() == 2 * mode.n
    ray = found[200, 200:400]
    assert (np.diff(np.sign(ray[5:])) != 0).sum() == mode.m
    still = np.nan_to_num(np.abs(found))
    assert still == pytest.approx(still[::-1], abs=1e-12)


def test_a_free_edge_has_no_moment() -> None:
    """w'' + ν(w' - n²w) = 0 at r = 1, by differences of the deflection along a ray where cos nθ is 1."""
    found = chladni.field(Mode(2, 1, round=True), 4001, inset=False)[2000, 2000:]
    step = 1 / 2000
    w, slope = found[-3], (found[-1] - found[-5]) / (4 * step)
    bend = (found[-1] - 2 * found[-3] + found[-5]) / (2 * step) ** 2
    assert abs(bend + chladni.POISSON * (slope - 4 * w)) < 0.02 * abs(found).max() * chladni.eigenvalues()[2, 1] ** 2


def test_a_tone_finds_the_nearest_mode() -> None:
    assert chladni.square_mode(40, 40) == Mode(1, 3)
    assert chladni.square_mode(400, 100) == Mode(2, 6)
    assert chladni.square_mode(1e-3, 2_000) == Mode(1, 3)
    assert chladni.square_mode(20_000, 1) == Mode(chladni.ORDER_MAX - 2, chladni.ORDER_MAX)
    ratio = (chladni.eigenvalues()[0, 1] / chladni.eigenvalues()[2, 0]) ** 2
    assert chladni.round_mode(100 * ratio, 100) == Mode(0, 1, round=True)
    assert chladni.round_mode(100, 100) == Mode(2, 0, round=True)


def test_sand_lies_where_the_plate_is_still() -> None:
    pixels = chladni.drawn(Mode(2, 6), 300, LOOK)[20:-20, 20:-20, 0].astype(float)
    deflection = np.abs(chladni.field(Mode(2, 6), 300))[20:-20, 20:-20]
    assert pixels[deflection < 0.002].mean() < 80
    assert pixels[deflection > 0.4].min() > 240


def test_zero_lines_are_where_the_field_is_zero() -> None:
    y, x = np.mgrid[-1:1:81j, -1:1:81j]
    segments = contour.zero_lines(np.hypot(x, y) - 0.607)
    points = segments.reshape(-1, 2) / 40
    assert np.hypot(*points.T) == pytest.approx(0.607, abs=2e-3)
    length = np.hypot(*(segments[:, 0] - segments[:, 1]).T).sum() / 40
    assert length == pytest.approx(2 * np.pi * 0.607, rel=1e-3)
    assert set(Counter(map(tuple, points.round(9))).values()) == {2}, "the line is closed"


def test_a_saddle_its_negative_and_its_mirror_image_have_the_same_lines() -> None:
    saddle = np.array([[1.0, -0.5], [-0.5, 1.0]])
    lines = contour.zero_lines(saddle)
    assert np.array_equal(lines, contour.zero_lines(-saddle))
    mirrored = contour.zero_lines(saddle[::-1]) * (-1, 1)
    assert {frozenset(map(tuple, line)) for line in mirrored} == {frozenset(map(tuple, line)) for line in lines}


def test_what_is_exactly_zero_is_a_line_once() -> None:
    y, _ = np.mgrid[-2:3, -2:3].astype(float)
    lines = contour.zero_lines(y)
    assert sorted(line.tolist() for line in lines) == [[[0, x], [0, x + 1]] for x in range(-2, 2)]


def sine(frequency: float, level: float = 0.5) -> spectrogram.Recipe:
    return made(Sound(audio_type="pure_sine", frequency=frequency, level=level, duration_s=10)).recipe


@pytest.mark.parametrize("frequency", [100.0, 432.0, 5_000.0])
def test_a_tone_is_a_line_at_its_frequency_and_level(frequency: float) -> None:
    view = spectrogram.View(2, 3, 50, 12_800)
    shown = spectrogram.levels(sine(frequency), view, 20, 400)
    row = shown.mean(axis=1).argmax()
    octaves = 8 * (1 - (row + 0.5) / 400)
    assert octaves == pytest.approx(log2(frequency / 50), abs=0.06 if frequency < 200 else 0.03)
    decibels = (shown[row] - 1) * -spectrogram.FLOOR_DB
    assert decibels == pytest.approx(np.full(20, -6.02), abs=1.5)
    assert shown[max(0, row - 100)].max() == 0


def test_before_and_after_a_sound_there_is_nothing() -> None:
    shown = spectrogram.levels(sine(432), spectrogram.View(8, 4, 100, 1_600), 40, 50)
    assert shown[:, :15].max() > 0.8
    assert shown[:, 25:].max() == 0


def test_the_cells_of_the_svg_are_those_of_the_pixels() -> None:
    recipe, view, palette = sine(432), spectrogram.View(0, 2, 100, 1_600), palettes.PALETTES["ember"]
    root = ElementTree.fromstring(spectrogram.svg(recipe, view, 256, palette))
    paths = list(root.iter("{http://www.w3.org/2000/svg}path"))
    assert 1 < len(paths) < spectrogram.STEPS
    brightest = paths[-1].get("d") or ""
    top = float(brightest[1:].split("h")[0].split()[1])
    row = (top + 1040) / (2080 / spectrogram.CELLS)
    assert row == pytest.approx(spectrogram.CELLS * (1 - log2(4.32) / 4), abs=1.5)
    pixels = spectrogram.drawn(recipe, view, 64, palette)
    assert pixels.shape == (64, 64, 3)


def test_a_seed_is_always_the_same_picture_and_another_one_is_not() -> None:
    first, again, other = (color_field.drawn(color_field.composition(seed), 96) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # Kept here so that no library's new version paints another picture for an old seed.
    assert color_field.composition(1).ground == "#efb58e"
    assert [block.color for block in color_field.composition(1).blocks] == ["#1d1a33", "#46306b", "#c9757a"]


@pytest.mark.parametrize("seed", range(40))
def test_fields_lie_above_each_other_within_the_picture(seed: int) -> None:
    blocks = color_field.composition(seed).blocks
    assert len(blocks) in (2, 3)
    assert len({color_field.composition(seed).ground, *(block.color for block in blocks)}) == len(blocks) + 1
    for above, below in pairwise(blocks):
        assert above.bottom < below.top
    for left, top, right, bottom, _, soft in blocks:
        assert -HALF < left < right < HALF
        assert -HALF < top < bottom < HALF
        assert 0 < soft < color_field.EDGE


def test_edges_are_soft() -> None:
    what = color_field.composition(3)
    pixels = color_field.drawn(what, 512).astype(int)
    steps = np.abs(np.diff(pixels, axis=0)).max(), np.abs(np.diff(pixels, axis=1)).max()
    assert max(steps) < 40, "no step is an edge"
    assert pixels.std() > 10


@pytest.mark.parametrize("kind", sorted(pictures.KINDS))
@pytest.mark.parametrize("size", [16, 33])
def test_every_kind_is_drawn_both_ways(kind: str, size: int) -> None:
    picture = pictures.KINDS[kind](size=size)
    pixels = pictures.pixels_of(picture)
    assert (pixels.shape, pixels.dtype) == ((size, size, 3), np.uint8)
    assert pixels.std() > 0
    text = pictures.svg_of(picture)
    assert ElementTree.fromstring(text).get("width") == str(size)
    assert text == pictures.svg_of(picture)


def test_what_the_types_cannot_say_is_refused_by_name() -> None:
    for picture, path in (
        (pictures.Spectrogram(low=100, high=150), "high"),
        (pictures.Cymatics(fundamental=float("nan")), "fundamental"),
        (pictures.Spectrogram(audio_type="binaural", frequency=20.0), "frequency"),
    ):
        with pytest.raises(Invalid) as refused:
            pictures.svg_of(picture)
        assert refused.value.errors[0].path == path
