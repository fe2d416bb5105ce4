"""Links over real sockets: who is let in, what a cut does, what a silent or deaf peer gets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.runtime import handshake, link, wire
from actors.runtime.handshake import Challenge, Hello
from actors.runtime.link import LinkClient, LinkPeer, LinkSecurity, LinkServer, ShardAddress
from actors.runtime.wire import Answer, Ask, Follow, Pushed

SECURITY = LinkSecurity("cluster", b"s" * 32)


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Short: the path of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ln") as name:
        yield Path(name)


class Shard:
    """A handler that keeps what it is told; ``changed`` is set with each of it."""

    def __init__(self) -> None:
        self.opened: list[LinkPeer] = []
        self.closed: list[LinkPeer] = []
        self.heard: list[tuple[LinkPeer, Any]] = []
        self.answers = True
        self.changed = asyncio.Condition()

    def _notify(self) -> None:
        async def notify() -> None:
            async with self.changed:
                self.changed.notify_all()

        self._task = asyncio.ensure_future(notify())

    def link_opened(self, peer: LinkPeer) -> None:
        self.opened.append(peer)
        self._notify()

    def link_message(self, peer: LinkPeer, message: Any) -> None:
        self.heard.append((peer, message))
        if self.answers and isinstance(message, Ask):
            peer.send(Answer(message.cid, message.command))
        self._notify()

    def link_closed(self, peer: LinkPeer) -> None:
        self.closed.append(peer)
        self._notify()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self.changed, asyncio.timeout(10):
            await self.changed.wait_for(condition)

    @property
    def asked(self) -> list[int]:
        return [message.cid for _, message in self.heard if isinstance(message, Ask)]


class Ends:
    """A listening shard and clients of it, all closed at the end."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.shard = Shard()
        self.servers: list[LinkServer] = []
        self.clients: list[LinkClient] = []
        self.address = ShardAddress("space", "0", "node", "", "", 0, 0)

    async def listen(self, *, epoch: int = 1, host: str | None = None, security: LinkSecurity = SECURITY) -> LinkServer:
        server = LinkServer(self.shard, security, "space", "0")
        self.address = await server.start(self.run_dir, host, "node", epoch)
        self.servers.append(server)
        return server

    def client(
        self, *, node: str = "node", security: LinkSecurity = SECURITY, shard: str = "0", **how: Any
    ) -> LinkClient:
        async def resolve() -> ShardAddress:
            return self.address

        settings: dict[str, Any] = {"limit": 100, "timeout_s": 30, "resolve": resolve, **how}
        made = LinkClient("space", shard, name="gateway", node=node, security=security, **settings)
        self.clients.append(made)
        return made

    async def close(self) -> None:
        for client in self.clients:
            await client.stop()
        for server in self.servers:
            await server.stop()
        await asyncio.sleep(0)  # the transports' last callbacks


@pytest.fixture
async def ends(run_dir: Path) -> AsyncIterator[Ends]:
    ends = Ends(run_dir)
    yield ends
    await ends.close()


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BEAT_S", 0.05)
    monkeypatch.setattr(wire, "DEAD_AFTER_S", 0.2)
    monkeypatch.setattr(link, "CONNECT_TIMEOUT_S", 0.2)


def ask(client: LinkClient, text: bytes = b"x") -> asyncio.Future[Any]:
    """What becomes of an ask; a second answer would raise in the callback."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    client.ask(lambda cid: Ask(cid, "e", text), answer.set_result)
    return answer


async def soon(future: asyncio.Future[Any]) -> Any:
    async with asyncio.timeout(10):
        return await future


async def logged(text: str) -> None:
    said = asyncio.Event()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                said.set()

    link.log.addHandler(ear := Ear())
    try:
        async with asyncio.timeout(10):
            await said.wait()
    finally:
        link.log.removeHandler(ear)


class Stranger:
    """Raw bytes to the shard's Unix socket."""

    @classmethod
    async def come(cls, path: str) -> Stranger:
        self = cls()
        self.reader, self.writer = await asyncio.open_unix_connection(path)
        return self

    def frame(self, payload: bytes) -> None:
        self.writer.write(len(payload).to_bytes(4, "big") + payload)

    async def read_frame(self) -> bytes:
        length = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(length)

    async def prove(self) -> None:
        hello = Hello(wire.VERSION, "cluster", "stranger", b"n" * 16)
        self.frame(handshake.encode(hello))
        challenge = msgspec.msgpack.decode(await self.read_frame(), type=Challenge)
        self.frame(handshake.encode(handshake.prove(SECURITY.secret, hello, challenge, kind="space", shard="0")))

    async def is_cut(self) -> bytes:
        """What came until the end."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""
            finally:
                self.writer.close()


# -- the way it should go ---------------------------------------------------------------------------------------------


async def test_asks_are_answered_and_pushes_come_in_order(ends: Ends) -> None:
    got: list[Any] = []
    await ends.listen()
    client = ends.client(on_message=lambda _, message: got.append(message))
    assert [(await soon(ask(client, b"%d" % n))).body for n in range(3)] == [b"0", b"1", b"2"]
    peer = ends.shard.opened[0]
    for n in range(1, 4):
        peer.send(Pushed("e", n, b"{}"))
    await soon(ask(client))
    assert [message.offset for message in got] == [1, 2, 3]
    assert peer.name == "gateway"


async def test_what_is_sent_in_one_turn_is_one_frame_and_a_large_batch_is_cut(ends: Ends) -> None:
    await ends.listen()
    client = ends.client()
    big = b"x" * (3 * 2**20)
    answers = [ask(client, big) for _ in range(5)]
    assert [len((await soon(answer)).body) for answer in answers] == [len(big)] * 5


async def test_a_tcp_link_works_and_a_remote_node_cannot_reach_a_local_only_shard(ends: Ends) -> None:
    await ends.listen(host="127.0.0.1")
    assert (await soon(ask(ends.client(node="elsewhere")))).body == b"x"
    local = ends.address
    ends.address = msgspec.structs.replace(local, port=0)
    client = ends.client(node="elsewhere", timeout_s=0.1)
    assert (await soon(ask(client))).code == "timeout"


async def test_a_tls_link_works_and_a_plain_one_to_it_does_not(ends: Ends, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(  # noqa: ASYNC221 - a second, once
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=link"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(cert, key)
    client_tls = ssl.create_default_context(cafile=str(cert))
    security = LinkSecurity("cluster", SECURITY.secret, server_tls, client_tls)
    await ends.listen(host="127.0.0.1", security=security)
    assert (await soon(ask(ends.client(node="elsewhere", security=security)))).body == b"x"
    assert (await soon(ask(ends.client(node="elsewhere", timeout_s=0.5)))).code == "timeout"


async def test_sockets_are_private_and_stale_ones_removed(ends: Ends, run_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(run_dir / "space-0-1.sock"))
    (run_dir / "space-0-2.sock").write_text("not a socket")
    await ends.listen()
    assert not (run_dir / "space-0-1.sock").exists()
    assert (run_dir / "space-0-2.sock").exists()
    assert Path(ends.address.path).stat().st_mode & 0o777 == 0o600  # noqa: ASYNC240 - local and once


# -- who is let in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("security", "shard", "text"),
    [
        (LinkSecurity("cluster", b"t" * 32), "0", "the shard does not know the secret"),
        (LinkSecurity("other", b"s" * 32), "0", "another version or cluster"),
        (SECURITY, "1", "expected space/1, met space/0"),
    ],
)
async def test_a_peer_of_another_cluster_secret_or_shard_is_refused(
    ends: Ends, caplog: pytest.LogCaptureFixture, security: LinkSecurity, shard: str, text: str
) -> None:
    await ends.listen()
    client = ends.client(security=security, shard=shard, timeout_s=0.3)
    assert (await soon(ask(client))).code == "timeout"
    assert text in caplog.text
    assert not client.up
    assert ends.shard.opened == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\x10\x01" + b"x" * 4097,
        b"\0\0\0\x05hello",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
    ],
    ids=["http", "oversize hello", "not msgpack", "empty", "huge"],
)
async def test_garbage_from_a_stranger_is_cut(ends: Ends, sent: bytes) -> None:
    await ends.listen()
    stranger = await Stranger.come(ends.address.path)
    stranger.writer.write(sent)
    assert await stranger.is_cut() == b""
    assert ends.shard.opened == []


async def test_a_wrong_proof_is_cut(ends: Ends) -> None:
    await ends.listen()
    stranger = await Stranger.come(ends.address.path)
    stranger.frame(handshake.encode(Hello(wire.VERSION, "cluster", "stranger", b"n" * 16)))
    await stranger.read_frame()
    stranger.frame(handshake.encode(handshake.Proof(b"\0" * 32)))
    assert await stranger.is_cut() == b""
    assert ends.shard.opened == []


@pytest.mark.parametrize(
    "sent",
    [(8 * 2**20 + 1).to_bytes(4, "big"), b"\0\0\0\x05hello", b"\0\0\0\x04\x91\x92\xcc\xff"],
    ids=["oversize", "not msgpack", "not a message"],
)
async def test_garbage_from_a_proven_peer_is_cut_and_its_link_closed(ends: Ends, sent: bytes) -> None:
    await ends.listen()
    stranger = await Stranger.come(ends.address.path)
    await stranger.prove()
    stranger.writer.write(sent)
    await stranger.is_cut()
    await ends.shard.until(lambda: len(ends.shard.closed) == 1)


async def test_bytes_may_come_one_by_one(ends: Ends) -> None:
    await ends.listen()
    stranger = await Stranger.come(ends.address.path)
    await stranger.prove()
    payload = wire.encoder.encode([Ask(1, "e", b"x"), Ask(2, "e", b"y")])
    for byte in len(payload).to_bytes(4, "big") + payload:
        stranger.writer.write(bytes([byte]))
        await stranger.writer.drain()
        await asyncio.sleep(0)
    await ends.shard.until(lambda: ends.shard.asked == [1, 2])
    stranger.writer.close()


# -- losses -----------------------------------------------------------------------------------------------------------


async def test_after_a_cut_follows_go_first_then_what_is_unanswered_in_order(ends: Ends) -> None:
    await ends.listen()
    client = ends.client(follows=lambda _: [Follow("e", 7, [])])
    await soon(ask(client))
    ends.shard.answers = False
    answers = [ask(client, b"%d" % n) for n in range(3)]
    await ends.shard.until(lambda: len(ends.shard.asked) == 4)
    old = ends.shard.opened[0]
    ends.shard.heard.clear()
    ends.shard.answers = True
    old.abort()
    assert [(await soon(answer)).body for answer in answers] == [b"0", b"1", b"2"]
    assert [type(message).__name__ for _, message in ends.shard.heard] == ["Follow", "Ask", "Ask", "Ask"]
    assert ends.shard.asked == [2, 3, 4]
    assert ends.shard.closed == [old]
    assert client.reconnects == 1


async def test_an_ask_before_the_shard_listens_is_answered_when_it_does(ends: Ends, run_dir: Path) -> None:
    ends.address = msgspec.structs.replace(ends.address, path=str(run_dir / "not-there"))
    answer = ask(ends.client())
    await ends.listen()
    assert (await soon(answer)).body == b"x"


async def test_a_link_to_a_shard_that_sleeps_is_made_again_for_what_is_asked_or_followed(ends: Ends) -> None:
    await ends.listen()
    looked: list[str] = []
    following: list[Follow] = []

    async def resolve() -> ShardAddress:
        looked.append("")
        return ends.address

    client = ends.client(resolve=resolve, sleeps=True, follows=lambda _: following)
    await soon(ask(client))
    runner = client._runner
    ends.shard.opened[0].abort()  # as when its entity went to rest
    assert runner is not None
    await soon(runner)
    assert (len(looked), client.up) == (1, False)
    assert (await soon(ask(client, b"again"))).body == b"again"
    following.append(Follow("e", 0, ()))
    ends.shard.opened[1].abort()
    await ends.shard.until(lambda: len(ends.shard.opened) == 3)
    assert len(looked) == 3


async def test_an_older_epoch_is_refused_and_a_newer_one_taken(ends: Ends) -> None:
    server = await ends.listen(epoch=5)
    client = ends.client()
    await soon(ask(client))
    server.epoch = 4
    ends.shard.opened[0].abort()
    answer = ask(client)
    await logged("epoch 4 after 5")
    assert not answer.done()
    server.epoch = 6
    assert (await soon(answer)).body == b"x"


async def test_more_than_the_limit_unanswered_is_refused_at_once(ends: Ends) -> None:
    await ends.listen()
    ends.shard.answers = False
    client = ends.client(limit=2)
    first, second, third = (ask(client) for _ in range(3))
    assert third.result().code == "actor_unavailable"
    assert not first.done()
    assert not second.done()


@pytest.mark.usefixtures("_short")
async def test_a_link_with_nothing_to_say_stays_up(ends: Ends) -> None:
    await ends.listen()
    client = ends.client()
    await soon(ask(client))
    await asyncio.sleep(0.5)  # real time is the matter here: longer than a silent link lives
    assert client.up
    assert client.reconnects == 0
    assert ends.shard.closed == []


@pytest.mark.usefixtures("_short")
async def test_a_silent_peer_is_cut_whether_proven_or_not(ends: Ends) -> None:
    await ends.listen()
    stranger, proven = await Stranger.come(ends.address.path), await Stranger.come(ends.address.path)
    await proven.prove()
    assert await stranger.is_cut() == b""
    await proven.is_cut()
    await ends.shard.until(lambda: len(ends.shard.closed) == 1)


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("after_handshake", [False, True])
async def test_a_shard_that_stopped_is_left_for_the_next(ends: Ends, run_dir: Path, *, after_handshake: bool) -> None:
    """It accepts (the kernel does) and says nothing, as under SIGSTOP."""

    met = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if after_handshake:
            length = int.from_bytes(await reader.readexactly(4), "big")
            hello = msgspec.msgpack.decode(await reader.readexactly(length), type=Hello)
            sent = handshake.challenge(
                SECURITY.secret, hello, cluster="cluster", kind="space", shard="0", epoch=1, nonce=b"m" * 16
            )
            payload = handshake.encode(sent)
            writer.write(len(payload).to_bytes(4, "big") + payload)
        met.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    stopped = await asyncio.start_unix_server(mute, run_dir / "stopped")
    ends.address = msgspec.structs.replace(ends.address, path=str(run_dir / "stopped"))
    answer = ask(ends.client())
    await met.wait()
    await ends.listen(epoch=2)
    assert (await soon(answer)).body == b"x"
    stopped.close()


async def test_a_peer_that_never_reads_is_cut_and_others_are_served(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "MAX_UNSENT_BYTES", 2**20)
    await ends.listen()
    deaf = await Stranger.come(ends.address.path)
    await deaf.prove()
    await ends.shard.until(lambda: len(ends.shard.opened) == 1)
    peer = ends.shard.opened[0]
    client = ends.client()
    while not ends.shard.closed:
        peer.send(Pushed("e", 1, b"x" * 2**18))
        await soon(ask(client))
    assert ends.shard.closed == [peer]
    deaf.writer.close()


async def test_a_stopped_client_hangs_up_and_stays_away(ends: Ends) -> None:
    await ends.listen()
    client = ends.client()
    await soon(ask(client))
    await client.stop()
    await ends.shard.until(lambda: len(ends.shard.closed) == 1)
    assert len(ends.shard.opened) == 1


async def test_a_stopping_shard_flushes_its_last_words(ends: Ends) -> None:
    server = await ends.listen()
    ends.shard.answers = False
    answer = ask(ends.client())
    await ends.shard.until(lambda: len(ends.shard.asked) == 1)
    peer, message = ends.shard.heard[0]
    peer.send(Answer(message.cid, b"bye"))
    await server.stop()
    assert (await soon(answer)).body == b"bye"
