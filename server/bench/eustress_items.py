"""Entities as an engine has them, for the lake's benches: some 350 bytes of JSON each, in a tree where every node has ten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

CHILDREN: Final = 10
COLUMNS: Final = (
    "space_name", "id", "since", "at", "flux_position", "x", "y", "z", "parent_id", "depth", "trains", "data"
)  # fmt: skip


def id_of(number: int) -> str:
    """The id of an entity, from 0."""
    return f"photon_{number:07}"


def parent_of(number: int) -> int | None:
    """The number of its parent; None of the root."""
    return (number - 1) // CHILDREN if number else None


def depth_of(number: int) -> int:
    """How deep in the tree."""
    depth = 0
    while number:
        number, depth = (number - 1) // CHILDREN, depth + 1
    return depth


def position_of(number: int) -> tuple[float, float, float]:
    """A place of its own, in a box of 1,000 m."""
    return number % 1_000 + 0.125, number // 1_000 % 1_000 + 0.25, number * 7 % 1_000 + 0.5


def entity(number: int, wavelength: float = 550.0) -> bytes:
    """Its JSON. Another wavelength makes it another version."""
    x, y, z = position_of(number)
    return (
        f'{{"id":"{id_of(number)}","name":"Photon {number}","class_type":"Particle","position":[{x},{y},{z}],'
        f'"rotation":[0.0,0.0,0.0,1.0],"scale":[1.0,1.0,1.0],"tags":["particle","light","visible"],'
        f'"parameters":{{"wavelength":{wavelength},"energy":3.6,"spin":1,"phase":0.25,"frequency_thz":545.07,'
        f'"polarisation":"horizontal","coherence":0.875,"source":"emitter_{number % 100}"}}}}'
    ).encode()


def connection(number: int) -> bytes:
    """The hierarchy connection to it from its parent, as JSON; not of the root."""
    parent = id_of(parent_of(number) or 0)
    return (
        f'{{"source_id":"{parent}","target_id":"{id_of(number)}","connection_type":"hierarchy","strength":0.9}}'
    ).encode()


def scene_lines(count: int) -> Iterator[bytes]:
    """A scene as lines of the ingest stream: each entity, then what puts it into the tree."""
    for number in range(count):
        yield b'{"entity":%b}' % entity(number)
        if number:
            yield b'{"connection":%b}' % connection(number)


def row(space: str, number: int, at: datetime) -> tuple[Any, ...]:
    """What the lake keeps of it, in the order of ``COLUMNS``."""
    at_place = position_of(number)
    return space, id_of(number), number + 1, at, number % 9 + 1, *at_place, None, 0, None, entity(number)
