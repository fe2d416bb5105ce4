"""Where a field is zero, as line segments: marching triangles. Pure numpy.

Each cell of the grid is four triangles around its middle, whose value is the mean of the corners: no case is ambiguous. On an
edge the place is interpolated between the two values; a corner that is exactly zero is a place itself. All of it is alike to the
last bit under turns and mirrors of the grid and under a change of sign, so a symmetric field has symmetric lines.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float64]

_CORNERS: Final = ((0, 0), (0, 1), (1, 1), (1, 0))


def zero_lines(field: Field) -> Field:
    """Segments (n, 2, 2): n times two points (row, column), in cells from the middle of the grid."""
    places, values = _triangles(field)
    points, on = _candidates(places, values)
    both = on.sum(axis=1) == 2  # one: it touches a corner; three: it is flat
    picked = np.argsort(~on[both], axis=1, kind="stable")[:, :2]
    segments = np.take_along_axis(points[both], picked[:, :, None], axis=1)
    turned = segments[:, 0, 0] + segments[:, 0, 1] / 1e6 > segments[:, 1, 0] + segments[:, 1, 1] / 1e6
    segments[turned] = segments[turned][:, ::-1]
    return np.asarray(np.unique(segments, axis=0))  # an edge that is zero all along belongs to two triangles


def _triangles(field: Field) -> tuple[Field, Field]:
    """Places (n, 3, 2) and values (n, 3) of the corners of all triangles."""
    rows, columns = field.shape
    y = np.arange(rows, dtype=np.float64) - (rows - 1) / 2
    x = np.arange(columns, dtype=np.float64) - (columns - 1) / 2
    a, b, c, d = (field[down : rows - 1 + down, right : columns - 1 + right] for down, right in _CORNERS)
    middle = ((a + c) + (b + d)) / 4
    at = [
        np.stack(np.broadcast_arrays(y[down : rows - 1 + down, None], x[None, right : columns - 1 + right]), axis=-1)
        for down, right in _CORNERS
    ]
    centre = at[0] + 0.5
    corner = (a, b, c, d)
    sides = [(n, (n + 1) % 4) for n in range(4)]
    places = np.stack([np.stack((at[i], at[j], centre), axis=2) for i, j in sides])
    values = np.stack([np.stack((corner[i], corner[j], middle), axis=2) for i, j in sides])
    return places.reshape(-1, 3, 2), values.reshape(-1, 3)


def _candidates(places: Field, values: Field) -> tuple[Field, npt.NDArray[np.bool_]]:
    """Six points of each triangle, three on its edges and its corners, and which of them are zeros."""
    other = np.roll(values, -1, axis=1)
    weight, weight_other = np.abs(values)[..., None], np.abs(other)[..., None]
    total = weight + weight_other
    between = (places * weight_other + np.roll(places, -1, axis=1) * weight) / np.where(total == 0, 1, total)
    points = np.concatenate((between, places), axis=1)
    return points, np.concatenate((values * other < 0, values == 0), axis=1)
