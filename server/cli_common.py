"""What the commands share: settings, finding the running server, one clear line where something is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from ssl import SSLContext
from typing import Annotated, Any, Final, NamedTuple

import typer
from pydantic import ValidationError

from server.deployment import RunningServer
from server.listening import shown
from server.settings import Settings

USAGE: Final = 2

Port = Annotated[int | None, typer.Option(help="The server's port (default 8080, or SANGHA_PORT).")]
DataDir = Annotated[
    Path | None, typer.Option(help="The server's data directory (default .sangha, or SANGHA_DATA_DIR).")
]
Url = Annotated[str | None, typer.Option(help="The server's WebSocket URL, instead of --port.")]


def fail(message: str) -> typer.Exit:
    """One clear line on standard error; exit code 2."""
    print(f"sangha: {message}", file=sys.stderr)  # noqa: T201 - the command line's own voice
    return typer.Exit(USAGE)


def read_settings(**given: Any) -> Settings:
    """Settings from the command line, the environment and ``.env``. Exits with one line a bad setting."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as wrong:
        lines = [f"setting {'.'.join(map(str, e['loc'])) or 'combination'}: {e['msg']}" for e in wrong.errors()]
        raise fail("; ".join(lines)) from None


class Found(NamedTuple):
    """A server that runs, or would."""

    host: str
    port: int
    certificate: Path | None
    """The very one that it has to show; None without TLS."""

    @property
    def http(self) -> str:
        """Its URL."""
        return f"http{'s' if self.certificate is not None else ''}://{shown(self.host)}:{self.port}"

    @property
    def socket(self) -> str:
        """Its WebSocket's URL."""
        return self.http.replace("http", "ws", 1) + "/ws"

    @property
    def ssl(self) -> SSLContext | None:
        """What to trust. Exits with one line where the certificate cannot be read."""
        return None if self.certificate is None else trusting(self.certificate)


def trusting(certificate: Path) -> SSLContext:
    """A context that trusts one certificate only. Exits with one line where it cannot be read."""
    from server.http.tls import client_context

    try:
        return client_context(certificate)
    except OSError as why:  # SSLError is one
        raise fail(f"the server's certificate {certificate} cannot be used: {why.strerror or why}") from None


def find_server(settings: Settings, port: int | None) -> Found:
    """The running server: as given, or as the data directory says, or the settings' own."""
    known = RunningServer.read(settings.data_dir)
    if known is not None and port in (None, known.port):
        certificate = None if known.certificate is None else Path(known.certificate)
        return Found(_reachable(known.host), known.port, certificate)
    return Found(_reachable(settings.host), port or settings.port, settings.tls_certificate)


def _reachable(host: str) -> str:
    """What listens everywhere listens here too, and answers to a loopback name."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def socket_url(settings: Settings, port: int | None, url: str | None) -> str:
    """The WebSocket URL of the running server."""
    return url if url is not None else find_server(settings, port).socket


def find_topology(settings: Settings, port: int | None) -> dict[str, Any]:
    """What ``sangha status --json`` prints, from the running server. Exits with one line where there is none."""
    import httpx

    found = find_server(settings, port)
    try:
        token = (settings.data_dir / "admin.token").read_text().strip()
        answer = httpx.get(
            f"{found.http}/api/admin/topology",
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
            verify=found.ssl or True,
        )
    except OSError as why:
        raise fail(f"no admin token in {settings.data_dir}: {why.strerror}") from None
    except httpx.HTTPError as why:
        raise fail(
            f"no server answers on {found.host}:{found.port} ({why}); is it running? (--port, --data-dir)"
        ) from None
    if answer.status_code != 200:
        raise fail(f"the server on {found.host}:{found.port} answered {answer.status_code}: {answer.text[:200]}")
    topology: dict[str, Any] = answer.json()
    return topology
