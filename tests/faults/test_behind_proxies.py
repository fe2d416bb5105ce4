"""The server behind real proxies, with the files of ``.deploy`` as they stand but for ports, names and paths.

Everyone here comes from this machine: two loopback addresses are two clients, 127.0.0.1 and 127.0.0.2.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from harness import RunningServer, free_port, until

from server.client import Client

DEPLOY = Path(__file__).parents[2] / ".deploy"
LOGINS = 3


@asynccontextmanager
async def running(*command: str, **environment: str) -> AsyncIterator[None]:
    """A proxy's process, ended with the test."""
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | environment)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def certificate(directory: Path) -> ssl.SSLContext:
    """A self-signed one for localhost, and who trusts it."""
    process = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "privkey.pem", "-out", "fullchain.pem",
        cwd=directory, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    return ssl.create_default_context(cafile=directory / "fullchain.pem")


@asynccontextmanager
async def nginx(directory: Path, port: int, upstream: int) -> AsyncIterator[ssl.SSLContext | bool]:
    """nginx with ``.deploy/nginx.conf``."""
    trust = await certificate(directory)
    site = (DEPLOY / "nginx.conf").read_text()
    for stands, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"), ("sangha.example.org;", "localhost;"),
        ("/etc/ssl/sangha", str(directory)), ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
    ):  # fmt: skip
        assert stands in site
        site = site.replace(stands, here)
    parts = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{part}_temp_path {directory}/{part};" for part in parts)
    main = f"daemon off; pid {directory}/pid; events {{}} http {{ access_log off; {places} {site} }}"
    (directory / "nginx.conf").write_text(main)
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"
    async with running(program, "-c", str(directory / "nginx.conf"), "-e", "stderr"):
        yield trust


@asynccontextmanager
async def caddy(directory: Path, port: int, upstream: int) -> AsyncIterator[ssl.SSLContext | bool]:
    """Caddy with ``.deploy/Caddyfile``; without TLS, for which it would ask an authority."""
    environment = {
        "SANGHA_DOMAIN": f"http://localhost:{port}", "SANGHA_UPSTREAM": f"127.0.0.1:{upstream}",
        "HOME": str(directory), "CADDY_ADMIN": f"unix/{directory}/admin",
    }  # fmt: skip
    async with running("caddy", "run", "--config", str(DEPLOY / "Caddyfile"), "--adapter", "caddyfile", **environment):
        yield True


async def answers(url: str, verify: ssl.SSLContext | bool) -> bool:
    async with httpx.AsyncClient(verify=verify) as http:
        try:
            return (await http.get(f"{url}/ready")).status_code == 200
        except httpx.TransportError:
            return False


@pytest.mark.parametrize(("proxy", "scheme"), [(nginx, "https"), (caddy, "http")], ids=["nginx", "caddy"])
async def test_a_client_works_through_a_proxy_and_is_known_by_its_own_address(
    proxy: type, scheme: str, tmp_path: Path
) -> None:
    port = free_port()
    url = f"{scheme}://localhost:{port}"
    server = RunningServer(
        SANGHA_PUBLIC_URLS=url, SANGHA_TRUSTED_PROXIES="127.0.0.1", SANGHA_LOGINS_PER_MINUTE_ADDRESS=str(LOGINS)
    )
    server.arguments = ["--guests"]
    async with server, proxy(tmp_path, port, server.port) as verify:
        await until(lambda: answers(url, verify), "the proxy answers")
        await converses(url, verify)
        await is_known_by_address(url, verify)
        async with httpx.AsyncClient(verify=verify) as http:
            assert (await http.get(f"{url}/metrics")).status_code == 404
            assert (await http.get(f"{url}/api/admin/topology")).status_code == 404


async def converses(url: str, verify: ssl.SSLContext | bool) -> None:
    """Two guests over WebSockets, which the proxy upgrades."""
    trust = verify if isinstance(verify, ssl.SSLContext) else None
    async with Client(url, guest="Ana", ssl=trust) as ana, Client(url, guest="Bo", ssl=trust) as bo:
        made = await ana.create_space("Circle", purpose="breath", access_level="open")
        async with ana.join(made["id"]) as hers, bo.join(made["id"]) as his:
            offset = await hers.send({"text": "good morning"})
            async for event in his:
                if event.event == "message":
                    assert (event.offset, event.body) == (offset, {"text": "good morning"})
                    break


async def is_known_by_address(url: str, verify: ssl.SSLContext | bool) -> None:
    """Whoever has used up their logins cannot get more by naming another address; another address has its own."""
    wrong = {"email": "nobody@example.org", "password": "a wrong password"}

    async def attempt(local: str, email: str) -> int:
        transport = httpx.AsyncHTTPTransport(local_address=local, verify=verify)
        async with httpx.AsyncClient(transport=transport) as http:
            forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "Origin": url}
            answer = await http.post(f"{url}/api/users/login", json=wrong | {"email": email}, headers=forged)
            return answer.status_code

    assert [await attempt("127.0.0.1", f"nobody-{n}@example.org") for n in range(LOGINS + 1)] == [401] * LOGINS + [429]
    assert await attempt("127.0.0.2", "nobody-9@example.org") == 401
