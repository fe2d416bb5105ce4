"""A whole server's front: TLS and its renewal, further ports, the local user; and what is refused at the start."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
from pathlib import Path

import httpx
import pytest
from harness import SANGHA, RunningServer, free_port, until
from test_serve_refuses import refused

from server.client import Client
from server.local_user import ID

sys.path.append(str(Path(__file__).parents[1] / "integration"))

from certificates import name_in, write_certificate


def anyone() -> ssl.SSLContext:
    """Trusts whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class SecureServer(RunningServer):
    """One with a certificate."""

    verify = anyone()

    @property
    def url(self) -> str:
        return super().url.replace("http:", "https:")


async def shown_by(port: int, connections: int = 6) -> set[str]:
    """The names in the certificates that new connections get: from every gateway, as likely as not."""
    found = set()
    for _ in range(connections):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anyone())
        found.add(name_in(writer.get_extra_info("ssl_object").getpeercert(binary_form=True)))
        writer.close()
    return found


async def command(server: RunningServer, *arguments: str) -> tuple[int | None, str]:
    """A command of ours on the server's machine: its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        SANGHA, *arguments, "--data-dir", str(server.data_dir),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=server.home,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_the_front_of_a_whole_server(tmp_path: Path) -> None:
    more = free_port()
    certificate, key = write_certificate(tmp_path, "one.example")
    server = SecureServer(
        SANGHA_TLS_CERTIFICATE=str(certificate), SANGHA_TLS_KEY=str(key), SANGHA_GATEWAYS="2",
        SANGHA_LISTEN=str(more), SANGHA_LOCAL_USER="1",
    )  # fmt: skip
    async with server:
        assert "LOCAL USER" in server.log()
        # Every address, every gateway, one local user, however many ask at once.
        async with httpx.AsyncClient(verify=anyone()) as http:
            urls = [f"https://localhost:{port}/api/users/profile" for port in (server.port, more) * 8]
            profiles = [answer.json() for answer in await asyncio.gather(*map(http.get, urls))]
            assert {profile["id"] for profile in profiles} == {ID}
            assert len({profile["created_at"] for profile in profiles}) == 1
            foreign = await http.get(urls[0], headers={"Sec-Fetch-Site": "cross-site"})
            assert foreign.status_code == 403
        # Our own commands find the scheme and trust the very certificate.
        code, said = await command(server, "status")
        assert (code, "gateway" in said) == (0, True), said
        code, said = await command(server, "join", "nowhere")
        assert (code, "there is no space" in said) == (2, True), said
        code, said = await command(server, "demo", "--practitioners", "2", "--seconds", "2")
        assert code == 0, said
        # The certificate is renewed under live connections; a broken one changes nothing.
        async with Client(server.url, guest="Live", ssl=anyone()) as client:
            write_certificate(tmp_path, "two.example")
            assert await shown_by(server.port) == {"one.example"}
            server.hit("serve", signal.SIGHUP)
            await until(lambda: "new connections get the certificate" in server.log(), "reloaded")
            assert await shown_by(server.port) == await shown_by(more) == {"two.example"}
            certificate.write_text("broken")
            server.hit("serve", signal.SIGHUP)
            await until(lambda: "the old certificate stays" in server.log(), "refused")
            assert await shown_by(server.port) == {"two.example"}
            # A gateway that starts anew has the last good one too.
            pid, _ = await server.kill("gateway/0")
            await server.pid_of("gateway/0", other_than=pid)
            assert (await client.request("ping"))["pong"] is True
            assert await shown_by(server.port) == {"two.example"}
        assert await server.stop() == 0


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"SANGHA_LISTEN": "nonsense"}, "nonsense"),
        ({"SANGHA_LOCAL_USER": "1", "SANGHA_LISTEN": "0.0.0.0:8139"}, "loopback"),
        ({"SANGHA_TRUSTED_PROXIES": "proxy"}, "trusted_proxies"),
        ({"SANGHA_TLS_CERTIFICATE": "/nowhere.pem"}, "/nowhere.pem cannot be read"),
        ({"SANGHA_TLS_KEY": "/nowhere.pem"}, "tls_key needs tls_certificate"),
    ],
)
async def test_a_bad_setting_of_the_front_is_refused(environment: dict[str, str], says: str) -> None:
    assert says in await refused(RunningServer(**environment))


async def test_a_certificate_with_another_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = write_certificate(tmp_path, "one.example")
    _, key = write_certificate(tmp_path / "other", "two.example")
    said = await refused(RunningServer(SANGHA_TLS_CERTIFICATE=str(certificate), SANGHA_TLS_KEY=str(key)))
    assert "no certificate with its key" in said


async def test_a_further_port_in_use_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be used" in await refused(RunningServer(SANGHA_LISTEN=str(port)))
