"""A shard's address is read from its node's run directory while Ray is asked; each written one is tried once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from actors.runtime.link import ShardAddress
from server.addresses import AddressBook, write_down


def address(epoch: int, node: str = "here") -> ShardAddress:
    return ShardAddress("space", "0", node, f"run/space-0-{epoch}.sock", "", 0, epoch)


def book(run_dir: Path, answer: asyncio.Future[ShardAddress]) -> AddressBook:
    async def ask() -> ShardAddress:
        return await asyncio.shield(answer)

    return AddressBook(run_dir, "here", "space", "0", ask)


async def test_a_written_address_is_tried_before_ray_answers(tmp_path: Path) -> None:
    write_down(tmp_path, address(3))
    assert await book(tmp_path, asyncio.get_running_loop().create_future()).find() == address(3)
    assert (tmp_path / "space-0.address").stat().st_mode & 0o077 == 0


async def test_a_stale_address_is_tried_once_and_then_ray_is_waited_for(tmp_path: Path) -> None:
    write_down(tmp_path, address(3))
    answer = asyncio.get_running_loop().create_future()
    finder = book(tmp_path, answer)
    await finder.find()
    second = asyncio.ensure_future(finder.find())
    await asyncio.sleep(0)
    assert not second.done()
    answer.set_result(address(4, "elsewhere"))
    assert await second == address(4, "elsewhere")


async def test_a_new_address_is_seen_while_ray_is_asked(tmp_path: Path) -> None:
    finder = book(tmp_path, asyncio.get_running_loop().create_future())
    found = asyncio.ensure_future(finder.find())
    await asyncio.sleep(0)
    write_down(tmp_path, address(5))
    assert await found == address(5)


async def test_another_nodes_address_and_garbage_are_not_tried(tmp_path: Path) -> None:
    answer = asyncio.get_running_loop().create_future()
    answer.set_exception(LookupError("restarting"))
    write_down(tmp_path, address(3, "elsewhere"))
    with pytest.raises(LookupError):
        await book(tmp_path, answer).find()
    (tmp_path / "space-0.address").write_bytes(b"{")
    with pytest.raises(LookupError):
        await book(tmp_path, answer).find()
