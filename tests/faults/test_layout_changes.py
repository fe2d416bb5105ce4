"""Placement is a setting: shared over any number of actors, or an actor each, and any of them after any other."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable

from harness import RunningServer, measured, until
from harness_load import Load

from actors.runtime.layout import Layout


async def run_as(server: RunningServer, kind: str, layout: str, entities: Iterable[str]) -> None:
    """Wait until the shards of a kind that run are those of these entities under a layout."""
    expected = {Layout.parse(layout).shard_of(entity) for entity in entities}

    async def running() -> bool:
        found = [str(shard["index"]) for shard in (await server.status())["shards"] if shard["kind"] == kind]
        return expected == set(found) if layout == "own" else len(found) == int(layout.removeprefix("shared:"))

    await until(running, f"{kind} runs as {layout}")


def own_name(kind: str, entity: str) -> str:
    """The actor of an entity that has one to itself."""
    return f"{kind}/{Layout.parse('own').shard_of(entity)}"


async def test_a_layout_changed_between_starts_keeps_everything() -> None:
    async with RunningServer() as server, Load(server, guests=8, spaces=4) as load:
        before = load.epochs
        for layout in ("shared:3", "own"):
            await load.quiet()
            assert await server.stop() == 0
            server.environment["SANGHA_PLACEMENT_SPACE"] = layout
            await server.start()
            load.go()
            await load.recovered(time.monotonic())
            await load.check()
            await run_as(server, "space", layout, load.spaces)
        assert load.epochs["space", "shared:1", "0"] > before["space", "shared:1", "0"]
        assert await server.stop() == 0


async def test_own_gives_every_entity_an_actor_that_recovers() -> None:
    settings = {"SANGHA_PLACEMENT_SPACE": "own", "SANGHA_PLACEMENT_PRACTITIONER": "own"}
    async with RunningServer(**settings) as server, Load(server, guests=4, spaces=2, accounts=2) as load:
        await run_as(server, "space", "own", load.spaces)
        await run_as(server, "practitioner", "own", [account.id for account in load.accounts])
        names = own_name("space", load.spaces[0]), own_name("practitioner", load.accounts[0].id)
        (space, _), (practitioner, at) = await asyncio.gather(*map(server.kill, names))
        measured("SIGKILL of an own space and an own practitioner", await load.recovered(at))
        assert await server.pid_of(names[0], other_than=space) != space
        assert await server.pid_of(names[1], other_than=practitioner) != practitioner
        await load.check()
        assert await server.stop() == 0


async def test_own_and_shared_may_change_while_the_server_is_killed() -> None:
    """No drain in between: the old layout's leases are those of the dead."""
    async with RunningServer(SANGHA_PLACEMENT_SPACE="own") as server, Load(server, guests=4, spaces=2) as load:
        server.hit("serve", signal.SIGKILL)
        await server.exited()
        server.environment["SANGHA_PLACEMENT_SPACE"] = "shared:2"
        await server.start()
        await load.recovered(time.monotonic())
        await load.check()
        assert await server.stop() == 0
