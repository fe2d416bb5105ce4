"""What must stay as it was while a server is fuzzed: a witness's state and space, the processes' memory, a quiet log."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from server.client import Client, put_archetypal_state, register

UNHAPPY = ("Traceback (most recent call last)", "reference ", "Task exception was never retrieved", "Fatal Python")
"""What no line of a log may contain: the first of each failure of ours."""


async def account(url: str, name: str) -> dict[str, Any]:
    """A new account: ``{token, practitioner, …}``."""
    email = f"fuzz-{secrets.token_hex(6)}@example.org"
    return await register(url, email, secrets.token_urlsafe(12), spiritual_name=name, privacy_level="community")


async def service_token(url: str, data_dir: Path) -> str | None:
    """A token of the service eustress; None where this is not the server's own data directory."""
    try:
        admin = (data_dir / "admin.token").read_text().strip()
    except OSError:
        return None
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {admin}"}) as http:
        made = await http.post(f"{url}/api/admin/tokens", json={"service": "eustress"})
        return str(made.json()["token"]) if made.is_success else None


class Witness:
    """An account with a state and a space that nobody else may touch."""

    token: str
    id: str
    space: str

    async def settle_in(self, url: str) -> None:
        """Make them."""
        self.url = url
        opened = await account(url, "Witness")
        self.token, self.id = opened["token"], opened["practitioner"]["id"]
        state = {"archetypes": {"Sage": 0.5}, "energy_centers": {"heart": 0.5}, "active_symbols": ["mandala"]}
        with suppress(Exception):  # the state that a new account has does as well
            await put_archetypal_state(url, self.token, state)
        async with Client(url, token=self.token) as client:
            made = await client.create_space("Sealed room", purpose="to stay as it is", access_level="invite")
            self.space = made["id"]
            await client.request("space.join", space=self.space)
            await client.request("space.send", space=self.space, body={"text": "first"})
            await client.request("space.leave", space=self.space)  # or its absence would be noticed after ten minutes
        self.before = await self.look()

    async def look(self) -> str:
        """Everything of the witness that a client can see, as one text; but anyone may invite them to a space of theirs."""
        async with Client(self.url, token=self.token) as client:
            space = await client.request("space.get", space=self.space)
            for fleeting in ("present", "phase_coherence"):
                space.pop(fleeting, None)
            seen = {
                "space": space,
                "said": [event async for event in client.history(f"space:{self.space}")],
                "own": [e async for e in client.history(f"practitioner:{self.id}") if e["event"] != "invitation"],
                "state": await client.request("state.get"),
                "history": await client.request("state.history", limit=50),
            }
        async with httpx.AsyncClient() as http:
            answer = await http.get(
                f"{self.url}/api/users/profile", headers={"Authorization": f"Bearer {self.token}"}, timeout=30
            )
        return json.dumps({**seen, "profile": answer.json()}, sort_keys=True)


def pids_of(data_dir: Path, url: str) -> list[int]:
    """The gateways and the shards of a running server, by its own word; not those of one entity, which come and go."""
    token = (data_dir / "admin.token").read_text().strip()
    status = httpx.get(
        f"{url}/api/admin/topology", headers={"Authorization": f"Bearer {token}"}, timeout=30
    ).json()  # fmt: skip
    return [each["pid"] for each in (*status["gateways"], *status["shards"]) if "entity" not in each]


def rss_mib(pids: list[int]) -> list[float]:
    """Resident memory of each, now."""
    return [round(psutil.Process(pid).memory_info().rss / 2**20, 1) for pid in pids]


def unhappy_lines(log: Path | None, since: int) -> list[str]:
    """Lines of a log, from a position on, that tell of a failure of ours."""
    if log is None:
        return []
    with log.open("rb") as file:
        file.seek(since)
        lines = file.read().decode(errors="replace").splitlines()
    return [line[:2_000] for line in lines if any(word in line for word in UNHAPPY)]
