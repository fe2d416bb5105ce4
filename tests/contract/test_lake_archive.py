"""What retention removes is in files first, equal to what was in the lake, and they can be read back."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from lake_history import BEGAN, History, random_history
from test_lake_files import deployment_file

from actors.eustress.lake import (
    Archive,
    Archived,
    Consolidate,
    Count,
    Removable,
    archived_codec,
    consolidated_codec,
    encode,
    removable_codec,
)
from actors.runtime.errors import Full, NotFound, StorageUnavailable
from actors.runtime.wire import Ask
from server.lake_archive import UnreadableArchive, directory_of, read_archive, scene_at
from server.lake_host import LakeHandler
from storage.statements import statement

TABLES = ("eustress_markers", "eustress_entity_versions", "eustress_connection_versions")


@pytest.fixture
def handler(database: str, tmp_path: Path) -> LakeHandler:
    return LakeHandler(database, deployment_file(database, tmp_path), tmp_path / "archive")


async def ask(handler: LakeHandler, task: Any) -> bytes:
    return await handler(Ask(1, task.space, encode(task)))


async def archived(handler: LakeHandler, history: History, before: datetime, after: datetime | None = None) -> Archived:
    answer = await ask(handler, Archive(space=history.space, before=before, after=after))
    return archived_codec.decode(1, answer)


async def trim(database: str, space: str, before: datetime, after: datetime | None = None) -> dict[str, int]:
    """What retention does then; how many rows went."""
    connection, gone = await asyncpg.connect(database), {}
    try:
        for table in TABLES:
            gone[table] = 0
            while went := int(
                (await connection.execute(statement(f"versions/{table}.trim"), space, before, after, 7)).split()[1]
            ):
                gone[table] += went
    finally:
        await connection.close()
    return gone


async def left(database: str, space: str, time: datetime) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """What of a moment's scene the lake still has."""
    connection = await asyncpg.connect(database)
    try:
        holds = "space_name = $1 AND at <= $2 AND (ended_at IS NULL OR ended_at > $2)"
        entities = await connection.fetch(
            f"SELECT id, data::text FROM eustress_entity_versions WHERE {holds} AND data IS NOT NULL", space, time
        )
        edges = await connection.fetch(
            "SELECT source_id, target_id, connection_type, strength, label, in_tree FROM eustress_connection_versions"
            f" WHERE {holds} AND strength IS NOT NULL",
            space,
            time,
        )
    finally:
        await connection.close()
    return dict(map(tuple, entities)), sorted(map(tuple, edges))


@pytest.mark.parametrize("seed", [1, 2])
async def test_archives_and_what_is_left_are_together_what_was(
    handler: LakeHandler, database: str, tmp_path: Path, seed: int
) -> None:
    history = random_history(seed, space="a/../b space")
    ids = [marker["id"] for marker in history.markers]
    history.epoch(ids[: len(ids) // 3])
    await history.write(database)
    horizon: datetime | None = None
    for share in (0.3, 0.6, 0.95):
        before = history.at(int(history.version * share))
        counted = await ask(handler, Count(space=history.space, before=before, after=horizon))
        answer = await archived(handler, history, before, horizon)
        assert removable_codec.decode(1, counted) == answer.removable
        gone = await trim(database, history.space, before, horizon)
        assert tuple(gone.values()) == (
            answer.removable.markers,
            answer.removable.entities,
            answer.removable.connections,
        )
        assert {file.name.split(".")[1]: file.rows for file in answer.files} == {
            part: rows
            for part, rows in zip(("snapshots", "entities", "connections"), gone.values(), strict=True)
            if rows
        }
        horizon = before
    directory = directory_of(tmp_path / "archive", history.space)
    assert directory.parent == tmp_path / "archive"
    files = sorted(directory.iterdir())
    for version in range(1, history.version + 1):
        time = history.at(version)
        scene, (entities, edges) = scene_at(files, time), await left(database, history.space, time)
        assert not entities.keys() & scene.entities.keys()
        expected, expected_edges = history.scene(time)
        assert {**scene.entities, **{id_: _json(text) for id_, text in entities.items()}} == expected
        assert sorted([*(tuple(edge.values()) for edge in scene.connections), *edges]) == expected_edges


def _json(text: str) -> Any:
    return orjson.loads(text)


async def test_a_scene_of_which_all_has_ended_is_read_from_files_alone(
    handler: LakeHandler, database: str, tmp_path: Path
) -> None:
    history = History()
    history.put("root", position=[1.5, -2, 3e38], parameters={"π": [1, {"a": None}]})
    history.put("leaf", "root", trains=False)
    history.connect("root", "leaf")
    history.snapshot()
    time = history.now
    before = history.scene(time)
    history.connect("root", "leaf", strength=None)
    history.remove("leaf")
    history.remove("root")
    history.put("root")
    await history.write(database)
    await archived(handler, history, history.now)
    files = sorted(directory_of(tmp_path / "archive", "quantum").iterdir())
    scene = scene_at(files, time)
    assert scene.entities == before[0]
    assert [tuple(edge.values()) for edge in scene.connections] == before[1]
    assert scene.parents == {"leaf": "root"}
    assert scene.depths == {"root": 0, "leaf": 1}
    rows = [row for file in files if ".entities." in file.name for row in read_archive(file)]
    assert [(row["entity_id"], row["trains"], row["flux_position"]) for row in rows[:2]] == [
        ("root", None, history.entities[0]["flux_position"]),
        ("leaf", False, 9),
    ]
    (marker,) = [row for file in files if ".snapshots." in file.name for row in read_archive(file)]
    assert (marker["id"], marker["version"]) == (history.markers[0]["id"], 3)


async def test_done_twice_it_comes_to_the_same_files(handler: LakeHandler, database: str, tmp_path: Path) -> None:
    history = random_history(3)
    await history.write(database)
    first = await archived(handler, history, history.now)
    names = [file.name for file in first.files]
    directory = directory_of(tmp_path / "archive", "quantum")
    contents = {name: (directory / name).read_bytes() for name in names}
    assert await archived(handler, history, history.now) == first
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == contents
    assert {file.name: file.bytes for file in first.files} == {name: len(data) for name, data in contents.items()}


async def test_a_late_repetition_destroys_nothing(handler: LakeHandler, database: str, tmp_path: Path) -> None:
    history = History()
    for n in range(30):
        history.put("a", position=[n, 0, 0])
    history.put("b")
    await history.write(database)
    first = await archived(handler, history, history.now)
    connection = await asyncpg.connect(database)
    # The trim is half way: what remains has the least and the greatest version, so the names are the same.
    await connection.execute("DELETE FROM eustress_entity_versions WHERE since BETWEEN 2 AND 20")
    await connection.close()
    again = await archived(handler, history, history.now)
    assert again.files == first.files
    assert again.files[0].rows == 29


async def test_nothing_to_archive_makes_no_file(handler: LakeHandler, database: str, tmp_path: Path) -> None:
    history = History()
    history.put("a")
    await history.write(database)
    assert await archived(handler, history, history.now) == Archived(to_time=history.now)
    assert not (tmp_path / "archive").exists()


async def test_a_full_disk_is_an_error_and_leaves_nothing_half(
    handler: LakeHandler, database: str, tmp_path: Path
) -> None:
    history = random_history(4)
    await history.write(database)
    (tmp_path / "archive").write_text("not a directory")
    with pytest.raises(Full, match="cannot be written"):
        await archived(handler, history, history.now)
    (tmp_path / "archive").unlink()
    directory = directory_of(tmp_path / "archive", "quantum")
    directory.parent.mkdir()
    directory.symlink_to("/dev/full")
    with pytest.raises(Full, match="cannot be written"):
        await archived(handler, history, history.now)
    directory.unlink()
    assert (await archived(handler, history, history.now)).files
    assert not list(directory.glob(".*"))
    shutil.rmtree(directory)


async def test_a_database_that_is_away_is_asked_again(handler: LakeHandler, tmp_path: Path) -> None:
    away = "postgresql://nobody@127.0.0.1:9/none"
    handler = LakeHandler(away, deployment_file(away, tmp_path), tmp_path / "archive")
    for task in (
        Archive(space="a", before=BEGAN),
        Count(space="a", before=BEGAN),
        Consolidate(space="a", epoch_ids=()),
    ):
        with pytest.raises(StorageUnavailable):
            await ask(handler, task)


async def test_epochs_become_one_of_all_their_snapshots(handler: LakeHandler, database: str) -> None:
    history = History()
    history.put("a")
    one = history.snapshot()
    history.put("a", position=[0.003, 0, 0], class_type="Model")
    two = history.snapshot()
    history.put("b", "a")
    history.snapshot()
    epochs = [history.epoch([two, one], end_time=history.at(2)), history.epoch([two])]
    await history.write(database)
    answer = consolidated_codec.decode(1, await ask(handler, Consolidate(space="quantum", epoch_ids=tuple(epochs))))
    assert answer.snapshot_ids == (one, two)
    assert (answer.start_time, answer.end_time) == (BEGAN, history.at(3))
    assert answer.sample_count == 2
    assert (answer.stats.total_entities, answer.stats.unique_types) == (1, 2)
    with pytest.raises(NotFound):
        await ask(handler, Consolidate(space="other", epoch_ids=tuple(epochs)))


async def test_a_refusal_outlives_the_entity_while_an_epoch_shows_what_it_was(
    handler: LakeHandler, database: str
) -> None:
    history = History()
    history.put("a", trains=True)
    history.epoch([history.snapshot()])
    history.put("a", trains=False)
    history.remove("a")
    history.put("b", trains=False)
    history.remove("b")
    history.put("c")
    await history.write(database)
    answer = await archived(handler, history, history.now)
    assert answer.removable == Removable(entities=2)  # the second version of a, the first of b
    assert (await trim(database, "quantum", history.now))["eustress_entity_versions"] == 2


def test_a_space_may_be_called_anything(tmp_path: Path) -> None:
    names = ["..", ".", "a/b", "a_b", "x" * 200, "空間" * 100, "A", "a", "-rf"]
    found = {directory_of(tmp_path, name) for name in names}
    assert len({path.name.lower() for path in found}) == len(names)
    for path in found:
        assert path.parent == tmp_path
        assert path.name not in ("..", ".")
        assert len(os.fsencode(path.name)) <= 100


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.entities.parquet").write_bytes(b"PAR1")
    with pytest.raises(UnreadableArchive):
        list(read_archive(tmp_path / "a.entities.parquet"))
    with pytest.raises(UnreadableArchive):
        list(read_archive(tmp_path / "none.parquet"))


def test_nothing_removable_is_the_default() -> None:
    assert Removable() == Removable(markers=0, entities=0, connections=0)
