"""What the commands share: settings, finding the running server, one clear line where something is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from server.deployment import RunningServer
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


def find_server(settings: Settings, port: int | None) -> tuple[str, int]:
    """Host and port of the running server: as given, or as the data directory says, or the settings' own."""
    if port is None:
        known = RunningServer.read(settings.data_dir)
        if known is not None:
            return known.host, known.port
    return settings.host, port or settings.port


def socket_url(settings: Settings, port: int | None, url: str | None) -> str:
    """The WebSocket URL of the running server."""
    if url is not None:
        return url
    host, found = find_server(settings, port)
    return f"ws://{host}:{found}/ws"


def find_topology(settings: Settings, port: int | None) -> dict[str, Any]:
    """What ``sangha status --json`` prints, from the running server. Exits with one line where there is none."""
    import httpx

    host, found = find_server(settings, port)
    try:
        token = (settings.data_dir / "admin.token").read_text().strip()
        answer = httpx.get(
            f"http://{host}:{found}/api/admin/topology", headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
    except OSError as why:
        raise fail(f"no admin token in {settings.data_dir}: {why.strerror}") from None
    except httpx.HTTPError as why:
        raise fail(f"no server answers on {host}:{found} ({why}); is it running? (--port, --data-dir)") from None
    if answer.status_code != 200:
        raise fail(f"the server on {host}:{found} answered {answer.status_code}: {answer.text[:200]}")
    topology: dict[str, Any] = answer.json()
    return topology
