"""What the lake tells over HTTP, out of a real database: as the seed's SQL has it, in pages without gaps, in whole documents."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import msgspec
import pytest
from gateway_fakes import World, world
from lake_world import START, Past, chance, story

from actors.eustress import commands as c
from actors.eustress.replies import Epoch, SpaceState
from actors.eustress.values import Policy, PolicyPatch, SnapshotMetadata
from server.http.eustress_epochs import EpochRow
from server.http.eustress_shapes import ChangeRow, ConnectionRow, EntityRow, HierarchyRow
from server.http.eustress_snapshots import EustressSnapshot
from server.http.eustress_spaces import Archive, LakeStats, SpaceRow
from server.lake_archive import directory_of
from server.service import account_of
from storage.eustress_queries import EustressQueries
from storage.pool import connect

ALL = {"from": "1970-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
ODD = "a/b ünd % ?"
EPOCH = "00000000-0000-0000-0000-00000000e001"


@dataclass
class Read:
    """A gateway whose lake is real, and who asks it."""

    world: World
    http: httpx.AsyncClient
    database: asyncpg.Connection
    pasts: dict[str, Past]

    async def get(self, path: str, **query: Any) -> httpx.Response:
        answer = await self.http.get(path, params=query or None)
        assert answer.status_code == 200, answer.text
        return answer

    async def every(self, type_: Any, path: str, **query: Any) -> list[dict[str, Any]]:
        """All pages, each held against its type."""
        found: list[dict[str, Any]] = []
        answer = await self.get(path, **query)
        while True:
            page = answer.json()
            msgspec.convert(page, list[type_])
            found += page
            if "next" not in answer.links:
                return found
            assert len(page) <= int(query.get("limit", 10_000))
            answer = await self.get(answer.links["next"]["url"])

    async def sql(self, text: str, *args: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.fetch(text, *args)]


@pytest.fixture
async def r(database: str, tmp_path: Path) -> AsyncIterator[Read]:
    connection = await connect(database, application_name="test")
    pasts = {past.space: past for past in (story(), chance("chance", 5), story(ODD, first_shot=50))}
    for past in pasts.values():
        await past.write(connection)
    lake = EustressQueries(database)
    async with world(eustress_archive_dir=tmp_path) as here:
        here.gateway.lake = lake
        here.queries.login("engine", account_of("eustress"), service="eustress")
        here.queries.lake |= set(pasts)
        headers = {"Authorization": "Bearer engine"}
        async with httpx.AsyncClient(base_url=here.http, headers=headers, timeout=30) as http:
            yield Read(here, http, connection, pasts)
    await lake.close()
    await connection.close()


def a_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- the seed's SQL --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [2, 500])
async def test_the_seeds_queries_of_entities_say_what_http_says(r: Read, limit: int) -> None:
    rows = await r.sql(
        "SELECT * FROM eustress_entities WHERE space_name = 'quantum_mechanics' AND flux_position IN (3, 6, 9);"
    )
    assert rows
    query = {"space": "quantum_mechanics", "flux": "3,6,9", "limit": limit}
    found = await r.every(EntityRow, "/eustress/entities", **query, **ALL)
    names = ("id", "space_name", "entity_data", "flux_position")
    assert sorted((row["snapshot_id"], *(row[name] for name in names)) for row in found if row.pop("x", 1)) == sorted(
        (str(row["snapshot_id"]), *(row[name] for name in names)) for row in rows
    )
    assert {(row["snapshot_id"], a_time(row["timestamp"])) for row in found} == {
        (str(row["snapshot_id"]), row["timestamp"]) for row in rows
    }
    shots = r.pasts["quantum_mechanics"].shots
    start, end = shots[1].timestamp, shots[2].timestamp
    rows = await r.sql(
        "SELECT entity_data FROM eustress_entities WHERE space_name = $1 AND flux_position IN (3, 6, 9)"
        " AND timestamp BETWEEN $2 AND $3;",
        "quantum_mechanics",
        start,
        end,
    )
    found = await r.every(
        EntityRow, "/eustress/entities", **query, **{"from": start.isoformat(), "to": end.isoformat()}
    )
    by_text = [json.dumps(row["entity_data"], sort_keys=True) for row in found]
    assert sorted(by_text) == sorted(json.dumps(row["entity_data"], sort_keys=True) for row in rows)
    assert [a_time(row["timestamp"]) for row in found] == sorted(a_time(row["timestamp"]) for row in found)


async def test_the_seeds_queries_of_the_hierarchy_say_what_http_says(r: Read) -> None:
    wheres = {
        "space_name = 'quantum_mechanics' AND parent_id = 'root_entity'": {"parent": "root_entity"},
        "space_name = 'quantum_mechanics' AND depth = 2": {"depth": "2"},
    }
    for where, query in wheres.items():
        rows = await r.sql(f"SELECT * FROM eustress_hierarchy WHERE {where};")
        assert rows
        found = await r.every(HierarchyRow, "/eustress/hierarchy/quantum_mechanics", **query, **ALL)
        assert sorted(map(plain, found), key=str) == sorted(map(plain, rows), key=str)
    shot = r.pasts["quantum_mechanics"].shots[0]
    rows = await r.sql(
        "SELECT entity_id, depth FROM eustress_hierarchy WHERE space_name = $1 AND snapshot_id = $2 ORDER BY depth;",
        "quantum_mechanics",
        shot.id,
    )
    found = await r.every(HierarchyRow, "/eustress/hierarchy/quantum_mechanics", snapshot=shot.id, limit=1)
    assert {row["entity_id"]: row["depth"] for row in found} == {row["entity_id"]: row["depth"] for row in rows}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    time = row["timestamp"]
    return row | {"snapshot_id": str(row["snapshot_id"]), "timestamp": a_time(time) if isinstance(time, str) else time}


async def test_snapshots_are_the_seeds_table(r: Read) -> None:
    for space in r.pasts:
        rows = await r.sql(
            "SELECT * FROM eustress_snapshots WHERE space_name = $1 ORDER BY timestamp DESC, id DESC", space
        )
        path = f"/eustress/ingest/snapshots/{quote(space, safe='')}"
        found = await r.every(EustressSnapshot, path, limit=2)
        assert [each["id"] for each in found] == [str(row["id"]) for row in rows]
        for each, row in zip(found, rows, strict=True):
            for name in ("space_name", "entities", "connections", "hierarchy", "parameters", "metadata"):
                assert each[name] == row[name], name
            assert a_time(each["timestamp"]) == row["timestamp"]
            assert (await r.get(f"/eustress/snapshots/{each['id'].upper()}")).json() == each
        brief = await r.every(EustressSnapshot, path, full="false")
        whole = ("entities", "connections", "hierarchy", "parameters")
        assert brief == [{name: value for name, value in each.items() if name not in whole} for each in found]
    shots = r.pasts["quantum_mechanics"].shots
    query = {"from": shots[1].timestamp.isoformat(), "to": shots[2].timestamp.isoformat(), "full": "false"}
    found = await r.every(EustressSnapshot, "/eustress/ingest/snapshots/quantum_mechanics", **query)
    assert [each["id"] for each in found] == [shots[2].id, shots[1].id]


# --- scenes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_live_and_past_scenes_of_several_spaces(r: Read, limit: int) -> None:
    names = sorted(r.pasts)
    times = [scene.at for scene in r.pasts["quantum_mechanics"].scenes[1:]] if limit > 1 else []
    for at in [None, *times]:
        query = {"space": names, "limit": limit} | ({} if at is None else {"at": at.isoformat()})
        found = await r.every(EntityRow, "/eustress/entities", **query)
        scenes = {name: past.scenes[-1] if at is None else past.at(at) for name, past in r.pasts.items()}
        assert [(row["space_name"], row["id"], row["entity_data"], tuple(row["position"])) for row in found] == [
            (name, id_, each.data, each.position) for name in names for id_, each in sorted(scenes[name].things.items())
        ]
        assert {row["snapshot_id"] for row in found} == {None}
        bonds = await r.every(ConnectionRow, "/eustress/connections", **query)
        assert [(row["space_name"], row["source_id"], row["target_id"], row["connection_type"]) for row in bonds] == [
            (name, *key) for name in names for key in sorted(scenes[name].bonds)
        ]


async def test_a_range_of_snapshots_comes_in_pages_of_any_size(r: Read) -> None:
    names = sorted(r.pasts)
    expected = [
        (name, shot.id, id_)
        for name in names
        for shot in sorted(r.pasts[name].shots, key=lambda shot: (shot.timestamp, shot.version, shot.id))
        for id_ in sorted(r.pasts[name].shown_by(shot).things)
    ]
    for limit in (1, 4, 1000):
        found = await r.every(EntityRow, "/eustress/entities", space=names, limit=limit, **ALL)
        assert [(row["space_name"], row["snapshot_id"], row["id"]) for row in found] == expected


@pytest.mark.parametrize("radius", [None, 12.5])
async def test_the_nearest_of_all_spaces(r: Read, radius: float | None) -> None:
    center = (0.5, 1.0, 0.0)
    expected = sorted(
        (far, name, id_)
        for name, past in r.pasts.items()
        for id_, each in past.scenes[-1].things.items()
        if (far := math.sqrt(sum((a - b) * (a - b) for a, b in zip(each.position, center, strict=True))))
        <= (radius or 1e300)
    )
    for limit in (1, 2, 7, 100):
        query = {"space": sorted(r.pasts), "near": "0.5,1,0", "limit": limit} | (
            {} if radius is None else {"radius": radius}
        )
        found = await r.every(EntityRow, "/eustress/entities", **query)
        assert [(row["distance"], row["space_name"], row["id"]) for row in found] == expected


async def test_filters_of_entities_and_connections(r: Read) -> None:
    async def ids(**query: Any) -> list[str]:
        return [row["id"] for row in await r.every(EntityRow, "/eustress/entities", space="quantum_mechanics", **query)]

    assert await ids(parent="root_entity") == ["electron_1"]
    assert await ids(depth=0) == ["nucleus", "photon_1", "root_entity"]
    assert await ids(tag="🜂") == ["photon_1"]
    assert await ids(type="Particle", ids=["photon_1", "nucleus"], limit=1) == ["nucleus", "photon_1"]
    assert await ids(type="Wave") == []
    assert await ids(box="3,4,0,0,0,0") == ["electron_1", "nucleus", "root_entity"]
    assert await ids(every=1) == ["electron_1", "nucleus", "photon_1", "root_entity"]
    shot = r.pasts["quantum_mechanics"].shots[1]
    assert await ids(snapshot=shot.id, type='Quo"ted') == ["electron_1"]
    unnamed = (await r.get("/eustress/entities", snapshot=shot.id)).json()  # whose space the snapshot knows
    assert {row["space_name"] for row in unnamed} == {"quantum_mechanics"}
    bonds = await r.every(ConnectionRow, "/eustress/connections", space="quantum_mechanics", entity="photon_1")
    assert [(row["target_id"], row["in_tree"], row["strength"], row["label"]) for row in bonds] == [
        ("nowhere", False, 0.5, None)
    ]
    assert await r.every(ConnectionRow, "/eustress/connections", space="quantum_mechanics", type="force") == []


@pytest.mark.parametrize("limit", [1, 4, 1000])
async def test_changes_are_lines_that_make_the_scene_again(r: Read, limit: int) -> None:
    past = r.pasts["quantum_mechanics"]
    found = await r.every(ChangeRow, "/eustress/changes/quantum_mechanics", limit=limit)
    things, bonds = {}, {}
    for change in found:
        match change:
            case {"entity": entity}:
                things[entity["id"]] = entity
            case {"connection": connection}:
                bonds[tuple(connection[name] for name in ("source_id", "target_id", "connection_type"))] = connection
            case {"remove_entity": id_}:
                del things[id_]
            case {"remove_connection": key}:
                del bonds[tuple(key.values())]
    assert things == {id_: each.data for id_, each in past.scenes[-1].things.items()}
    assert set(bonds) == set(past.scenes[-1].bonds)
    assert [change["version"] for change in found] == sorted(change["version"] for change in found)
    late = await r.every(ChangeRow, "/eustress/changes/quantum_mechanics", after=4, limit=limit)
    assert late == [change for change in found if change["version"] > 4]
    assert await r.every(ChangeRow, "/eustress/changes/quantum_mechanics", after=5) == []


async def test_before_the_horizon_only_what_is_left_can_be_told(r: Read) -> None:
    await r.database.execute("UPDATE eustress_spaces SET horizon = $1 WHERE id = 'chance'", START + timedelta(hours=1))
    early = START.isoformat()
    answer = await r.http.get("/eustress/entities", params={"space": "chance", "at": early})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "partial=true" in answer.json()["detail"]
    await r.get("/eustress/entities", space="chance", at=early, partial="true")
    await r.get("/eustress/entities", space="chance", at=(START + timedelta(hours=2)).isoformat())


# --- spaces, epochs, archives ----------------------------------------------------------------------------------------


async def test_figures_and_spaces_and_their_health(r: Read) -> None:
    stats = (await r.get("/eustress/ingest/stats")).json()
    msgspec.convert(stats, LakeStats)
    assert (stats["total_spaces"], stats["total_epochs"]) == (3, 0)
    await r.database.execute("UPDATE eustress_spaces SET unresolved = 2, changed_at = now() WHERE id = $1", ODD)
    await r.database.execute("UPDATE eustress_spaces SET entity_count = 0, connection_count = 0 WHERE id = 'chance'")
    await r.database.execute("UPDATE eustress_spaces SET last_snapshot = now(), changed_at = now() WHERE id = 'chance'")
    await r.database.execute(
        "UPDATE eustress_spaces SET changed_at = now() - interval '1 hour', last_snapshot = NULL WHERE id = 'quantum_mechanics'"
    )
    found = await r.every(SpaceRow, "/eustress/spaces", limit=1)
    assert {row["space_name"]: row["health"]["status"] for row in found} == {
        ODD: "waiting",
        "chance": "empty",
        "quantum_mechanics": "late",
    }
    one = (await r.get(f"/eustress/spaces/{quote(ODD, safe='')}")).json()
    assert [one] == [row for row in found if row["space_name"] == ODD]
    assert one["policy"] == msgspec.to_builtins(Policy())
    assert one["quality_score"] == 1.0


async def test_an_epoch_is_counted_here_and_decided_by_its_space(r: Read) -> None:
    asked: list[c.CreateEpoch] = []

    def decide(command: Any) -> Any:
        assert isinstance(command, c.CreateEpoch)
        asked.append(command)
        given = {name: getattr(command, name) for name in command.__struct_fields__ if name != "horizon"}
        return Epoch(id=EPOCH, space_name="quantum_mechanics", **given)

    r.world.shards.lake = decide
    shots = r.pasts["quantum_mechanics"].shots
    body = {"space_name": "quantum_mechanics", "start_time": shots[0].timestamp.isoformat()}
    body["end_time"] = shots[2].timestamp.isoformat()
    for _ in range(2):
        answer = await r.http.post("/eustress/epochs", json=body, headers={"Idempotency-Key": "one"})
        assert answer.status_code == 201, answer.text
    made = msgspec.convert(answer.json(), Epoch)
    assert len(asked) == 1
    assert made.snapshot_ids == tuple(shot.id for shot in shots[:3])
    # v1: three; v2: electron and photon (refused later); v3: nucleus has none of v1's depth any more from v4 on
    assert made.sample_count == 5
    assert made.stats.total_entities == 3
    early = {"start_time": "1999-01-01T00:00:00Z", "end_time": "1999-12-31T00:00:00Z"}
    answer = await r.http.post("/eustress/epochs", json=body | early)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "no snapshot between" in answer.json()["detail"]
    answer = await r.http.post("/eustress/epochs", json=body | {"end_time": "1999-12-31T00:00:00Z"})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "end_time")
    answer = await r.http.post("/eustress/epochs", json=body | {"space_name": "nowhere"})
    assert answer.status_code == 404
    answer = await r.http.post("/eustress/epochs", json=body | {"end_time": "2026-01-01T00:00:00"})  # of no zone
    assert answer.status_code == 422


async def test_epochs_are_listed(r: Read) -> None:
    stats = {"total_entities": 1, "total_connections": 0, "unique_types": 1}
    stats |= {"avg_hierarchy_depth": 0.0, "sacred_frequency": 0.0, "spatial_coverage": 0.001}  # type: ignore[dict-item]
    for number in range(3):
        await r.database.execute(
            "INSERT INTO eustress_epochs (id, space_name, snapshot_ids, start_time, end_time, sample_count, stats, created_at)"
            " VALUES ($1, 'chance', $2::text::jsonb, $3, $3, 1, $4::text::jsonb, $3)",
            EPOCH[:-1] + str(number),
            json.dumps([EPOCH]),
            START + timedelta(hours=number),
            json.dumps(stats),
        )
    found = await r.every(EpochRow, "/eustress/epochs", space="chance", limit=2)
    assert [row["id"][-1] for row in found] == ["2", "1", "0"]
    assert await r.every(EpochRow, "/eustress/epochs", space="quantum_mechanics") == []
    one = (await r.get(f"/eustress/epochs/{found[0]['id']}")).json()
    assert one == found[0]
    assert (one["stats"], one["snapshot_ids"], one["consolidated_into"]) == (stats, [EPOCH], None)
    for path in ("", "/export"):
        assert (await r.http.get(f"/eustress/epochs/00000000-0000-0000-0000-0000000000ff{path}")).status_code == 404


async def test_a_policy_is_the_spaces_to_change(r: Read) -> None:
    asked: list[Any] = []

    def decide(command: Any) -> Any:
        asked.append(command)
        bounds = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        metadata = SnapshotMetadata(
            entity_count=0,
            connection_count=0,
            hierarchy_depth=0,
            sacred_entity_count=0,
            avg_flux_position=0,
            spatial_bounds=bounds,
            quality_score=0,
        )
        counts = {"unresolved": 0, "scene_bytes": 0, "entities_seen": 0, "changes": 0, "snapshots": 0}
        state: dict[str, Any] = {"space_name": "s", "version": 1, "created_at": START, "changed_at": START}
        state |= {"last_snapshot": None, "horizon": None, "policy": Policy(), "metadata": metadata}
        return SpaceState(**state, **counts)

    r.world.shards.lake = decide
    answer = await r.http.put("/eustress/spaces/brand%20new/policy", json={"retention_s": 60, "ordering": "strict"})
    assert answer.status_code == 200, answer.text
    assert asked == [c.SetPolicy(patch=PolicyPatch(retention_s=60, ordering="strict"))]
    answer = await r.http.put("/eustress/spaces/s/policy", json={"retention_s": -1})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "retention_s")


async def test_files_of_archives_are_served_by_the_names_of_their_row_alone(r: Read, tmp_path: Path) -> None:
    directory = directory_of(tmp_path, ODD)
    directory.mkdir()
    content = b"PAR1" * 100_000
    (directory / "entities.parquet").write_bytes(content)
    (directory / "secret").write_text("not in the row")
    (tmp_path / "secret").write_text("nor this")
    digest = hashlib.sha256(content).hexdigest()
    files = [
        {"name": name, "rows": 1, "bytes": len(content), "sha256": digest} for name in ("entities.parquet", "lost")
    ]
    await r.database.execute(
        "INSERT INTO eustress_archives (id, space_name, from_version, to_version, to_time, files)"
        " VALUES ($1, $2, 1, 2, $3, $4::text::jsonb)",
        EPOCH,
        ODD,
        datetime(2026, 1, 1, tzinfo=UTC),
        json.dumps(files),
    )
    path = f"/eustress/archives/{quote(ODD, safe='')}"
    (archive,) = await r.every(Archive, path)
    assert archive["files"] == files
    answer = await r.get(f"{path}/{EPOCH}/entities.parquet")
    assert (answer.content, answer.headers["Content-Type"]) == (content, "application/vnd.apache.parquet")
    for name in ("secret", "lost", "..%2Fsecret", "%2e%2e%2fsecret", "x" * 300):
        answer = await r.http.get(f"{path}/{EPOCH}/{name}")
        assert answer.status_code == 404, name
    assert (await r.http.get(f"/eustress/archives/chance/{EPOCH}/entities.parquet")).status_code == 404
    assert (await r.http.get("/eustress/archives/nowhere")).status_code == 404
