"""Figures of lines: circles and polylines in the plane, and their SVG. Pure.

Coordinates: x to the right, y upwards, the figure within the unit square [-1, 1]². The SVG's view box is centred on the origin
and numbers are rounded to ``DIGITS`` places of it, evenly on both sides, so a figure that is its own mirror image stays so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

Point = tuple[float, float]

UNIT: Final = 1000
"""Of the view box: half its side."""
MARGIN: Final = 40
"""Around the unit square, in view box units: half the widest stroke, and air."""
DIGITS: Final = 3
"""Decimal places of a view box unit: a thousandth of a pixel at the largest size."""
STROKE: Final = 0.006
"""Of a line by default, in units of the figure."""


class Circle(NamedTuple):
    """A circle's line."""

    x: float
    y: float
    r: float


class Figure(NamedTuple):
    """What is drawn, and what it is called. ``dots`` are filled circles."""

    title: str
    circles: tuple[Circle, ...] = ()
    paths: tuple[tuple[Point, ...], ...] = ()
    """Polylines; one whose last point is its first is closed."""
    dots: tuple[Circle, ...] = ()


class Look(NamedTuple):
    """How it is drawn: colours as ``#rrggbb``, None for no background; the width of a line in units of the figure."""

    ink: str
    paper: str | None
    stroke: float = STROKE


def svg(figure: Figure, size: int, look: Look) -> str:
    """The figure as an SVG document of ``size`` × ``size`` pixels."""
    width = number(look.stroke * UNIT)
    strokes = (*map(_circle, figure.circles), *path_elements(figure.paths))
    dots = "".join(map(_circle, figure.dots))
    body = (
        f'<g fill="none" stroke="{look.ink}" stroke-width="{width}" stroke-linejoin="round" stroke-linecap="round">'
        f"{''.join(strokes)}</g>"
        f'<g fill="{look.ink}">{dots}</g>'
    )
    return document(figure.title, size, look.paper, body)


def document(title: str, size: int, paper: str | None, body: str, head: str = "") -> str:
    """An SVG document around the origin, with a title that says what it shows and, where asked, a background."""
    half = UNIT + MARGIN
    ground = (
        ""
        if paper is None
        else f'<rect x="{-half}" y="{-half}" width="{2 * half}" height="{2 * half}" fill="{paper}"/>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" '
        f'viewBox="{-half} {-half} {2 * half} {2 * half}" role="img"><title>{escape(title)}</title>{head}{ground}{body}</svg>'
    )


def path_elements(paths: Iterable[Sequence[Point]]) -> Iterable[str]:
    """A ``path`` element of each polyline."""
    for points in paths:
        closed = len(points) > 2 and points[0] == points[-1]
        text = "L".join(f"{number(x * UNIT)} {number(-y * UNIT)}" for x, y in (points[:-1] if closed else points))
        yield f'<path d="M{text}{"Z" if closed else ""}"/>'


def number(value: float) -> str:
    """As SVG has it: no zeros at its end, and no zero below zero."""
    text = f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _circle(circle: Circle) -> str:
    x, y, r = (number(each * UNIT) for each in (circle.x, -circle.y, circle.r))
    return f'<circle cx="{x}" cy="{y}" r="{r}"/>'
