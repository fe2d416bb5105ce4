"""The 0600 file that every actor reads: the settings, and what ``serve`` found out or made while it booted.

It is the only way in which a secret reaches an actor: Ray keeps and shows all arguments and environments. On several
machines the path must be the same on each (a shared directory, or a copy).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict

from actors.runtime.layout import Layout
from server.settings import Settings

AT_START: Final = ("practitioner", "space")
"""The kinds whose shards run before the server is ready, in the order in which they start."""
LATER: Final = ("ritual", "sandbox", "oracle", "eustress")
"""The kinds that start after that, or when first needed."""
ASKED: Final = ("lake", "hardware", "audio_session", "audio", "prayer_wheel")
"""The kinds that start when first needed, and not before; where one of their entities has an alarm that is due, it is needed."""
BUSY: Final = ("audio",)
"""The kinds whose entities do something (sound) until their alarm is due, and so run for as long as they have one."""
WORKERS: Final = ("sandbox", "oracle", "lake", "hardware")
"""Kinds without entities: no lease, no storage."""
MAX_SOCKET_DIR: Final = 56
"""A Unix socket's path ends at 107 bytes, and names in the run directory take up to 50."""


def layouts_of(settings: Settings) -> dict[str, Layout]:
    """How each kind's entities are to be spread."""
    return {
        "practitioner": Layout.parse(settings.placement_practitioner),
        "space": Layout.parse(settings.placement_space),
        "ritual": Layout.parse(settings.placement_ritual),
        "sandbox": Layout.parse(f"shared:{settings.sandboxes}"),
        "oracle": Layout.parse("shared:1"),
        "eustress": Layout.parse(settings.placement_eustress),
        "lake": Layout.parse("shared:1"),
        "hardware": Layout.parse("shared:1"),
        "audio_session": Layout.parse(settings.placement_audio_session),
        "audio": Layout.parse(settings.placement_audio),
        "prayer_wheel": Layout.parse(settings.placement_prayer_wheel),
    }


class RunningServer(NamedTuple):
    """What a ``serve`` writes into its data directory while it runs, for the commands that look for it."""

    host: str
    port: int
    pid: int
    scheme: str = "http"
    certificate: str | None = None
    """The file that it serves with."""

    @staticmethod
    def file(data_dir: Path) -> Path:
        """Where it is written."""
        return data_dir / "server.json"

    def write(self, data_dir: Path) -> None:
        """It runs."""
        write_private(self.file(data_dir), orjson.dumps(self._asdict()).decode())

    @classmethod
    def read(cls, data_dir: Path) -> RunningServer | None:
        """The one that runs, or was killed; None where the last one ended by itself, or there never was one."""
        try:
            return cls(**orjson.loads(cls.file(data_dir).read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError):
            return None


class Deployment(BaseModel):
    """What an actor needs to know."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    dsn: str
    cluster_id: str
    incarnation: int
    secret: str
    """32 random bytes in hex: links prove themselves with it, sessions and idempotent tokens are derived from it."""
    admin_token: str
    port: int
    run_dir: Path
    link_host: str | None = None
    """Where shards listen for other nodes; None is this node only."""
    embedded: bool = False
    serve_pid: int = 0
    gcs_pid: int | None = None
    started_at: str = ""

    @property
    def layouts(self) -> dict[str, Layout]:
        """By kind."""
        return layouts_of(self.settings)

    def write(self, path: Path) -> None:
        """Replace the file, readable by its owner alone."""
        data = self.model_dump(mode="json")
        data["settings"] = _revealed(self.settings)
        text = type(self).model_construct(**data).model_dump_json(warnings=False)
        write_private(path, text)

    @classmethod
    def read(cls, path: str | Path) -> Deployment:
        """As written. Every setting stands in the file, so the environment and ``.env`` do not count: all actors agree."""
        data = orjson.loads(Path(path).read_bytes())
        return cls(settings=Settings(**data.pop("settings")), **data)


def _revealed(settings: Settings) -> dict[str, object]:
    data = settings.model_dump(mode="json")
    if settings.database_url is not None:
        data["database_url"] = settings.database_url.get_secret_value()
    if settings.sacred_encryption_key is not None:
        data["sacred_encryption_key"] = settings.sacred_encryption_key.get_secret_value()
    if settings.openrouter_api_key is not None:
        data["openrouter_api_key"] = settings.openrouter_api_key.get_secret_value()
    data["old_encryption_keys"] = [key.get_secret_value() for key in settings.old_encryption_keys]
    return data


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def kept_secret(path: Path, length: int = 32) -> str:
    """A secret that is made once and kept in a 0600 file."""
    with contextlib.suppress(FileNotFoundError):
        text = path.read_text().strip()
        if text:
            return text
    text = secrets.token_hex(length)
    write_private(path, text)
    return text


def run_directory(data_dir: Path) -> Path:
    """Where sockets live: in the data directory, or in a private temporary one where that path is too long for a socket."""
    path = data_dir.resolve() / "run"
    if len(os.fsencode(path)) > MAX_SOCKET_DIR:
        name = blake2b(os.fsencode(path), digest_size=8).hexdigest()
        path = Path(tempfile.gettempdir()) / f"sangha-{os.getuid()}-{name}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid() or path.is_symlink():
        raise PermissionError(f"{path} belongs to somebody else")
    path.chmod(0o700)
    return path
