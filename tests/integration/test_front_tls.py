"""HTTPS and WSS of a gateway, and the certificate's files."""

from __future__ import annotations

import asyncio
import ssl
import stat
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import websockets
from certificates import name_in, write_certificate
from gateway_fakes import world

from server.client import Client
from server.http.guard import Phase
from server.http.tls import UnusableCertificate, client_context, keep, server_context


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return keep(*write_certificate(tmp_path, "one.example"), tmp_path)


def anyone() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def shown_by(port: int) -> str:
    """The name in the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anyone())
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return name_in(der)


async def test_https_and_wss_on_every_address_with_the_very_certificate(tmp_path: Path, kept: Path) -> None:
    context = client_context(tmp_path / "certificate.pem")
    async with world(tls_file=kept, public_urls=("https://one.example",)) as w:
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{w.port}", verify=context) as http:
            assert (await http.get("/health")).status_code == 200
            assert "Strict-Transport-Security" not in (await http.get("/health")).headers
            public = await http.get("/health", headers={"Host": "one.example"})
            assert public.headers["Strict-Transport-Security"].startswith("max-age=")
        async with Client(f"https://127.0.0.1:{w.port}", guest="Safe", ssl=context) as client:
            assert (await client.request("ping"))["pong"] is True


async def test_our_commands_trust_no_other_certificate(tmp_path: Path, kept: Path) -> None:
    write_certificate(tmp_path, "other.example")
    async with world(tls_file=kept) as w:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", w.port, ssl=client_context(tmp_path / "certificate.pem"))


async def test_old_tls_and_plain_http_are_refused_and_leave_no_seat(kept: Path) -> None:
    async with world(tls_file=kept) as w:
        assert (
            server_context(kept).minimum_version is ssl.TLSVersion.TLSv1_2
        )  # a client that offers less is no client here
        reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not (await reader.read()).startswith(b"HTTP")
        writer.close()
        async with asyncio.timeout(5):
            while len(w.gateway.guard):  # noqa: ASYNC110 - the loop's transport says it to nobody else
                await asyncio.sleep(0.01)


async def test_a_handshake_that_does_not_end_is_cut_and_holds_a_seat_until_then(kept: Path) -> None:
    async with world(tls_file=kept, header_timeout_s=1.2, connections=16) as w, AsyncExitStack() as stack:
        mute = []
        for _ in range(16):
            reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
            stack.callback(writer.close)
            mute.append(reader)
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{w.port}", verify=anyone()) as http:
            assert (await http.get("/health")).status_code == 200
        async with asyncio.timeout(5):
            for reader in mute:
                assert await reader.read() == b""
        assert w.gateway.guard.count(Phase.HEAD) == 0


async def test_a_new_certificate_is_for_new_connections_and_live_ones_stay(tmp_path: Path, kept: Path) -> None:
    async with world(tls_file=kept) as w, websockets.connect(f"wss://127.0.0.1:{w.port}/ws", ssl=anyone()) as socket:
        keep(*write_certificate(tmp_path, "two.example"), tmp_path)
        assert await shown_by(w.port) == "one.example"
        w.gateway.reload_tls()
        assert await shown_by(w.port) == "two.example"
        await socket.send('{"id":1,"type":"auth","guest":"Still here"}')
        assert '"result"' in str(await socket.recv())


def test_what_is_kept_is_private_and_survives_a_broken_successor(tmp_path: Path, kept: Path) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before, (certificate, key) = kept.read_text(), (tmp_path / "certificate.pem", tmp_path / "key.pem")
    (tmp_path / "other").mkdir()
    foreign = write_certificate(tmp_path / "other", "other.example")[1]
    locked = write_certificate(tmp_path / "other", "other.example", password=b"secret")
    for wrong, says in (
        ((certificate, foreign), "no certificate with its key: "),
        (locked, "password"),
        ((key, None), "no certificate"),
        ((certificate, None), "no certificate"),
        ((tmp_path / "nothing", key), "nothing cannot be read: No such file"),
        ((tmp_path, key), "cannot be read"),
    ):
        with pytest.raises(UnusableCertificate, match=says) as refused:
            keep(*wrong, tmp_path)
        assert "\n" not in str(refused.value)
        assert kept.read_text() == before
        assert not list(tmp_path.glob("*.new"))
