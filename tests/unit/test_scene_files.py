"""Whatever an engine wrote a scene to is read as lines of the stream, or said to be none, with the place."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from actors.eustress.values import Line
from server.scene_files import UnusableFile, lines_of, stream_name

ENDS = {"source_id": "a", "target_id": "b", "connection_type": "hierarchy"}
ENTITIES: list[dict[str, Any]] = [{"id": "a"}, {"id": "b", "parameters": {"x": 1}}]
LINES: list[dict[str, Any]] = [{"entity": ENTITIES[0]}, {"entity": ENTITIES[1]}, {"connection": ENDS}]


def read(content: bytes) -> list[Any]:
    got = list(lines_of(io.BufferedReader(io.BytesIO(content)), "scene"))
    assert not any(b"\n" in line for line in got)
    for line in got:
        msgspec.json.decode(line, type=Line)
    return [orjson.loads(line) for line in got]


def ndjson(*objects: Any) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in objects)


PARAMETER = {"entity_id": "a", "parameter_name": "x", "value": 2}
BATCH = {"space_name": "s", "entities": ENTITIES, "connections": [ENDS]}
SNAPSHOT = {
    "id": "1", "space_name": "s", "timestamp": "2026-01-01T00:00:00Z", "entities": ENTITIES, "connections": [ENDS],
    "hierarchy": {"roots": ["a"]}, "parameters": {"b": {"x": 1}}, "metadata": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        ndjson(*LINES),
        b"\n\r\n" + ndjson(*LINES).replace(b"\n", b"\r\n") + b"  \n",
        ndjson(*LINES).rstrip(b"\n"),
        ndjson(*ENTITIES, ENDS),
        ndjson(ENTITIES[0], LINES[1], ENDS),
        orjson.dumps(BATCH),
        orjson.dumps(BATCH, option=orjson.OPT_INDENT_2),
        orjson.dumps(SNAPSHOT),
        orjson.dumps(SNAPSHOT, option=orjson.OPT_INDENT_2),
        orjson.dumps([*ENTITIES, ENDS], option=orjson.OPT_INDENT_2),
        ndjson(*({"epoch_id": "e", "entity_id": e["id"], "entity_data": e} for e in ENTITIES), ENDS),
        gzip.compress(ndjson(*LINES)),
        gzip.compress(orjson.dumps(BATCH)),
    ],
)
def test_a_scene_is_read_from_whatever_it_was_written_to(content: bytes) -> None:
    assert read(content) == LINES


def test_changes_of_every_kind_are_read() -> None:
    changes = [{"remove_entity": "a"}, {"remove_connection": ENDS}, {"parameter": PARAMETER}]
    assert read(ndjson(*changes)) == changes
    assert read(ndjson(PARAMETER)) == [{"parameter": PARAMETER}]
    batch = {"parameters": [PARAMETER], "removed_connections": [ENDS], "removed_entities": ["a"]}
    assert read(orjson.dumps(batch)) == [{"parameter": PARAMETER}, {"remove_connection": ENDS}, {"remove_entity": "a"}]


def test_an_empty_file_has_no_lines() -> None:
    assert read(b"") == read(b"\n \n") == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (ndjson(*LINES) + b"{broken\n", "scene, line 4: no JSON object"),
        (ndjson(LINES[0]) + b"[1]\n", "scene, line 2: no JSON object"),
        (ndjson(LINES[0], {"name": "no id"}), "scene, line 2: neither a line"),
        (b'{"name": "no id"}', "scene, line 1: neither a line"),
        (b"hello", "scene: neither lines of JSON nor a batch"),
        (b"\xff\xfe{", "scene: neither lines of JSON nor a batch"),
        (b'[{"id": "a"}, 3]', "scene, item 2: no JSON object"),
        (b'{"entities": 3}', "scene: neither lines of JSON nor a batch"),
        (gzip.compress(ndjson(*LINES))[:-9], "scene: the compressed data is cut off or damaged"),
        (gzip.compress(ndjson(*LINES))[:20], "scene: the compressed data is cut off or damaged"),
    ],
)
def test_what_is_no_scene_is_said_with_its_place(content: bytes, why: str) -> None:
    with pytest.raises(UnusableFile, match=why):
        read(content)


def test_the_same_content_has_the_same_name_and_another_has_another(tmp_path: Path) -> None:
    for name, content in (("a", b"1" * 9), ("b", b"1" * 9), ("c", b"1" * 8), ("d", b"2" * 9)):
        (tmp_path / name).write_bytes(content)
    a, b, c, d = (stream_name(tmp_path / name) for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3
    assert len(a) <= 100
