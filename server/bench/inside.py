"""Ritual runs inside: asked of the practitioners' shard over a link, as a gateway does, without gateway, socket and client.

What is measured is the shard, its commits, the links and the sandboxes of a running server, and nothing of the front. It
needs the server's own files (the data directory), because a link proves that it knows the cluster's secret.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.practitioner import commands as practitioner
from actors.ritual import commands as ritual
from actors.ritual.values import Brief
from actors.runtime.entity import Address, Caller
from actors.runtime.link import LinkClient, ShardAddress
from actors.runtime.wire import Answer, Ask
from server.addresses import written_address
from server.client_events import ClientError
from server.deployment import Deployment, run_directory
from server.host import link_security

TIMEOUT_S: Final = 60.0


class Inside:
    """Links to the shards of a server on this machine."""

    def __init__(self, data_dir: Path) -> None:
        self._run_dir = run_directory(data_dir)
        self._deployment = Deployment.read(self._run_dir / "deployment.json")
        self._links: dict[tuple[str, str], LinkClient] = {}

    def _link(self, address: Address) -> LinkClient:
        shard = self._deployment.layouts[address.kind].shard_of(address.id)
        key = address.kind, shard

        async def resolve() -> ShardAddress:
            found = written_address(self._run_dir, address.kind, shard)
            if found is None:
                raise LookupError(f"{address.kind}/{shard} does not run")
            return found

        if key not in self._links:
            node = getattr(written_address(self._run_dir, *key), "node", "")
            self._links[key] = LinkClient(
                address.kind,
                shard,
                name=f"bench/{uuid.uuid4().hex[:8]}",
                node=node,
                security=link_security(self._deployment),
                resolve=resolve,
                limit=100_000,
                timeout_s=TIMEOUT_S,
            )
        return self._links[key]

    def post(
        self,
        address: Address,
        command: bytes,
        caller: Caller | None,
        operation: str | None,
        then: Callable[[Any], None],
    ) -> None:
        """Ask; ``then`` gets an Answer or Refused."""
        self._link(address).ask(lambda cid: Ask(cid, address.id, command, caller, operation), then)

    async def ask(
        self, address: Address, command: bytes, caller: Caller | None = None, operation: str | None = None
    ) -> Any:
        """The answer's value. Raises ClientError."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.post(address, command, caller, operation, done.set_result)
        answer = await done
        if not isinstance(answer, Answer):
            raise ClientError(f"{address}: {answer.code}: {answer.message}")
        return msgspec.json.decode(answer.body)

    async def close(self) -> None:
        """Disconnect."""
        for link in self._links.values():
            await link.stop()


class Runner:
    """One practitioner who runs a ritual again and again."""

    def __init__(self, inside: Inside, brief: Brief, latencies_ms: list[float]) -> None:
        self._inside, self._brief, self._latencies_ms = inside, brief, latencies_ms
        self._caller = Caller(str(uuid.uuid4()), "bench")
        self._address = Address("practitioner", self._caller.practitioner)
        self._session = uuid.uuid4().hex
        self._n = 0
        self.failed = 0
        self.going = True
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _operation(self) -> str:
        self._n += 1
        return f"{self._session}:{self._n}"

    async def enter(self, archetypes: dict[str, float]) -> None:
        """Have an account and a state."""
        account = practitioner.Register(email=f"{self._caller.practitioner}@example.org", password_hash="-")
        await self._inside.ask(self._address, practitioner.encode(account), None, self._operation())
        for name, strength in archetypes.items():
            change = practitioner.TransformState(
                transformation_type="archetype_activation",
                parameters=msgspec.json.encode({"archetype": name, "strength": strength}),
            )
            await self._inside.ask(self._address, practitioner.encode(change), self._caller, self._operation())

    def begin(self) -> None:
        """Run once; each end begins the next, until ``going`` is False."""
        began = time.perf_counter()
        command = practitioner.encode(practitioner.RunRitual(brief=self._brief, intention="load"))

        def ended(answer: Any) -> None:
            if isinstance(answer, Answer):
                self._latencies_ms.append((time.perf_counter() - began) * 1000)
            else:
                self.failed += 1
            if self.going:
                self.begin()
            else:
                self.ended.set_result(None)

        self._inside.post(self._address, command, self._caller, self._operation(), ended)


async def brief_of(inside: Inside, ritual_id: str) -> Brief:
    """What the practitioner is told of the ritual."""
    found = await inside.ask(Address("ritual", ritual_id), ritual.encode(ritual.GetBrief()), Caller(str(uuid.uuid4())))
    return msgspec.convert(found, Brief)
