"""``sangha status``: what runs, where. Gathered by the coordinator, served by the gateway to the admin token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actors.runtime.ports import StoreDown
from server.deployment import Deployment
from storage.heartbeat import Heartbeat


async def topology(
    deployment: Deployment,
    actors: Mapping[str, Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]],
    database: Heartbeat,
    coordinator_pid: int,
) -> dict[str, Any]:
    """The object that ``protocol.md`` shows, and for each shard and gateway what more is known of it."""
    try:
        facts = await database.facts()
    except StoreDown:
        facts = {"pid": None, "version": None, "schema": None}
    raylets = {status["node"]: status["raylet_pid"] for status in actors.values()}
    gateways = [dict(status) for name, status in sorted(actors.items()) if name.startswith("gateway/")]
    shards = [dict(status) for name, status in sorted(actors.items()) if not name.startswith("gateway/")]
    for shard in shards:
        if str(shard["index"]).isdigit():
            shard["index"] = int(shard["index"])
    return {
        "server": {
            "pid": deployment.serve_pid,
            "started_at": deployment.started_at,
            "state": "ready",
            "coordinator_pid": coordinator_pid,
            "gcs_pid": deployment.gcs_pid,
        },
        "database": {"embedded": deployment.embedded, **facts},
        "nodes": [dict(node) | {"raylet_pid": raylets.get(node["id"])} for node in nodes],
        "gateways": gateways,
        "shards": shards,
        "layouts": {kind: layout.text for kind, layout in deployment.layouts.items()},
    }
