"""Prayer wheels on a real database: their rows as lists read them, plain and sealed, the alarm that ends a spin, their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from town import Town

from actors.prayer import commands as c
from actors.prayer import entity as wheels
from actors.prayer.showing import of_row
from actors.prayer.spin import ROTATION
from actors.runtime import alarms
from server.erasure import farewells_of
from storage.queries import Queries

TARA = "Om Tare Tuttare Ture Soha"
SPIN_S = 3
"""Longer than a busy machine takes to begin the spin and to kill the shard."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "POLL_S", 0.02)
    monkeypatch.setattr(wheels.showing, "STEP_ROWS", 2)


async def until(found: Callable[[], Any]) -> None:
    """What the shard does by itself is seen in the database only."""
    async with asyncio.timeout(20):
        while not await found():  # noqa: ASYNC110 - another process's commit has no event here
            await asyncio.sleep(0.01)


async def turn(town: Town, who: str, *commands: Any) -> None:
    for command in commands:
        await town.do("prayer_wheel", who, command, who)


async def test_a_list_has_what_the_wheel_has(town: Town, queries: Queries) -> None:
    who, other = str(uuid4()), str(uuid4())
    await turn(town, who, c.Rotate(rotations=109, intention="for the river"), c.Rotate(rotations=3, mantra=TARA))
    await turn(town, other, c.Rotate())
    newest, oldest = await queries.accumulations(who, 10)
    assert (newest["mantra"], newest["rotations"], newest["intention"]) == (TARA, 3, "")
    assert (oldest["rotations"], oldest["intention"], oldest["rate_mrpm"]) == (109, "for the river", None)
    assert [row["id"] for row in await queries.accumulations(who, 1, newest["id"])] == [oldest["id"]]
    await turn(town, who, c.Dedicate(accumulation=oldest["id"], text="To all beings.", source="merit-to-all"))
    (closed,) = await queries.accumulations(who, 10, dedicated=True)
    assert (closed["dedication"], closed["dedication_id"]) == ("To all beings.", "merit-to-all")
    assert [row["id"] for row in await queries.accumulations(who, 10, dedicated=False)] == [newest["id"]]
    assert await queries.accumulations(other, 10, only=closed["id"]) == []
    stored = await town.backend.connection.fetchval("SELECT string_agg(a::text, ' ') FROM prayer_accumulations a")
    assert ("for the river" in stored) == (town.seal is None)


async def test_a_row_of_a_wheel_that_spins_is_counted_by_the_time(town: Town, queries: Queries) -> None:
    who = str(uuid4())
    await turn(town, who, c.Rotate(rotations=5), c.Spin(rate_rpm=60))
    (row,) = await queries.accumulations(who, 10)
    assert (row["rotations"], row["rate_mrpm"], row["spin_angle"]) == (5, 60_000, 0)
    later = row["spin_began_at"] + timedelta(seconds=103)
    assert of_row(row, later).count.rotations == 108
    assert (of_row(row, later).count.malas, of_row(row, later).count.beads) == (1, 0)
    await turn(town, who, c.Stop())
    (row,) = await queries.accumulations(who, 10)
    assert row["rate_mrpm"] is None
    kept = await town.backend.connection.fetchrow("SELECT * FROM prayer_wheels WHERE id = $1::uuid", who)
    assert (kept["rotations"], kept["spinning"]) == (row["rotations"], None)


async def test_a_spin_ends_by_its_alarm_also_when_the_shard_was_killed(town: Town, queries: Queries) -> None:
    who = str(uuid4())
    ends_at = datetime.now(UTC) + timedelta(seconds=SPIN_S)
    await turn(town, who, c.Spin(rate_rpm=600, until=ends_at))
    began = (await queries.accumulations(who, 1))[0]["spin_began_at"]
    await town.kill()
    await town.start()

    async def over() -> bool:
        (row,) = await queries.accumulations(who, 1)
        return row["spin_began_at"] is None

    await until(over)
    (row,) = await queries.accumulations(who, 1)
    assert row["rotations"] == (ends_at - began) // timedelta(microseconds=1) * 600_000 // ROTATION
    assert 0 < row["rotations"] <= SPIN_S * 10


async def test_the_end_of_an_account_takes_its_wheel_step_by_step(town: Town, queries: Queries) -> None:
    who = str(uuid4())
    for n in range(7):
        await turn(town, who, c.Rotate(mantra=f"mantra {n}"))
    assert await queries.stray_wheels(who) == [who]  # there is no account at all
    assert who in await queries.gone(10)
    (farewell,) = await farewells_of(_Gateway(queries), who)  # type: ignore[arg-type]
    await town.do("prayer_wheel", who, c.codec.decode(farewell.command))

    async def gone() -> bool:
        return not await queries.has_wheel(who)

    await until(gone)
    connection = town.backend.connection
    assert await connection.fetchval("SELECT count(*) FROM prayer_accumulations") == 0
    assert await connection.fetchval("SELECT count(*) FROM journal WHERE kind = 'prayer_wheel'") == 0
    assert await connection.fetchval("SELECT count(*) FROM alarms WHERE kind = 'prayer_wheel'") == 0
    assert who not in await queries.gone(10)


class _Gateway:
    def __init__(self, queries: Queries) -> None:
        self.queries = queries
