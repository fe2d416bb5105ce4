"""Every setting, read once into one frozen object.

A setting comes from (first wins) the command line, the environment (``SANGHA_*``, and the seeds' own names where a field
lists them), a line in ``.env``, its default here. Actors get the path of a 0600 file that holds the whole object.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import orjson
from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from actors.audio.values import MAX_VOLUME, SAMPLE_RATE
from server.http.forwarded import Trusted
from server.http.origins import LOCAL_ORIGINS
from server.listening import Listen, all_of, is_loopback

PLACEMENT: Final = re.compile(r"own|shared:[1-9][0-9]{0,3}")
API_V1: Final = "/api/v1"
FREQUENCY_MAX_HZ: Final = 20_000
BLESSING_MAX: Final = 32
"""As many as a session's ``frequencies``."""


class Settings(BaseSettings):
    """The server's settings. Units are in the names: ``_s`` seconds, ``_bytes`` bytes."""

    model_config = SettingsConfigDict(
        env_prefix="SANGHA_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port of HTTP and WebSocket")
    data_dir: Path = Field(Path(".sangha"), description="embedded database, runtime files, secrets")
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("database_url", "SANGHA_DATABASE_URL", "DATABASE_URL"),
        description="a PostgreSQL to use instead of the embedded one",
    )
    ray_address: str | None = Field(None, description="join a running Ray cluster: its address, or 'auto'")
    listen: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="further addresses to listen on, comma-separated: 8000, 127.0.0.1:3001, [::1]:8080"
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the certificate chain: HTTPS and WSS on all ports"
    )
    tls_key: Path | None = Field(None, description="PEM file of its key; none where the certificate's file has it too")
    gateways: int = Field(1, ge=1, le=64, description="gateway processes, all on one port")
    guests: bool = Field(False, description="let anyone in as a guest")
    lab: bool = Field(
        False, description="lift limits per address, practitioner and second, for load tests; loopback only"
    )
    public_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="the server's own origins, comma-separated"
    )
    allowed_origins: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        validation_alias=AliasChoices("allowed_origins", "SANGHA_ALLOWED_ORIGINS", "BACKEND_CORS_ORIGINS"),
        description="other origins that browsers may come from, comma-separated; unset, ports 3000, 3009, 5173 of local_user",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="addresses and CIDRs of proxies whose forwarded headers count, comma-separated"
    )
    local_user: bool = Field(False, description="serve one local practitioner without a login; loopback only")
    silent_dialect: Literal["none", "vajra"] | None = Field(
        None,
        description="whose client a silent socket on /ws is: 'none' or 'vajra'; by default Vajra's under local_user",
    )
    sacred_encryption_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("sacred_encryption_key", "SACRED_ENCRYPTION_KEY"),
        description="64 hex digits: seals practitioners' payloads with AES-256-GCM",
    )
    old_encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="keys that may still be read with"
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="least severity that is logged")

    placement_practitioner: str = Field("shared:1", description="'own' or 'shared:N' Ray actors for practitioners")
    placement_space: str = Field("shared:1", description="'own' or 'shared:N' Ray actors for collective spaces")
    placement_ritual: str = Field("shared:1", description="'own' or 'shared:N' Ray actors for rituals' catalog entries")
    placement_eustress: str = Field("own", description="'own' or 'shared:N' Ray actors for Eustress spaces")
    placement_audio_session: str = Field("shared:1", description="'own' or 'shared:N' Ray actors for audio sessions")
    placement_audio: str = Field("own", description="'own' or 'shared:N' Ray actors for audio devices")
    placement_prayer_wheel: str = Field("shared:1", description="'own' or 'shared:N' Ray actors for prayer wheels")
    sandboxes: int = Field(2, ge=1, le=256, description="ritual sandboxes, a Ray actor each")
    link_tls: bool = Field(False, description="TLS on links between nodes")

    connections: int = Field(20_000, ge=16, description="TCP connections of one gateway")
    connections_per_address: int = Field(256, ge=1, description="TCP connections from one address")
    header_timeout_s: float = Field(10, gt=0, description="time for a request's whole head, TLS handshake included")
    body_timeout_s: float = Field(20, gt=0, description="time in which a body has to make progress")
    keepalive_s: float = Field(75, gt=0, description="life of an idle HTTP connection")
    deflate: bool = Field(
        False, description="accept permessage-deflate from WebSocket clients; what is sent stays plain"
    )
    sockets_per_address: int = Field(64, ge=1, description="open sockets from one address")
    sockets_per_practitioner: int = Field(16, ge=1, description="open sockets of one practitioner")
    requests_per_s: float = Field(50, gt=0, description="requests a second on one socket")
    requests_burst: int = Field(100, ge=1, description="requests at once on one socket")
    unanswered_requests: int = Field(256, ge=1, description="requests of a socket without an answer yet")
    malformed_per_minute: int = Field(10, ge=1, description="malformed frames a minute before the socket is closed")
    joined_spaces: int = Field(32, ge=1, description="spaces joined in one session")
    created_spaces: int = Field(100, ge=1, description="open spaces that one practitioner created")
    guest_created_spaces: int = Field(2, ge=0, description="open spaces that one guest created")
    guest_created_spaces_per_address: int = Field(
        20, ge=0, description="spaces that guests of one address created in a day"
    )
    participant_limit_max: int = Field(10_000, ge=1, description="largest participant_limit of a space")
    message_bytes: int = Field(16 * 1024, ge=1, description="body of a message, as JSON")
    shared_state_bytes: int = Field(256 * 1024, ge=1, description="a space's shared state, as JSON")
    frame_bytes: int = Field(64 * 1024, ge=1024, description="inbound WebSocket frame")
    request_body_bytes: int = Field(4 * 2**20, ge=1024, description="body of an HTTP request")
    json_depth: int = Field(32, ge=2, description="nesting of inbound JSON")
    history_page: int = Field(500, ge=1, description="events in one history answer")
    outbox_bytes: int = Field(
        2**20, ge=64 * 1024, description="unsent bytes of a socket before it is closed as too slow"
    )
    shard_queue: int = Field(10_000, ge=1, description="commands waiting in a shard")
    live_entities: int = Field(20_000, ge=1, description="entities kept live in a shard")
    passivate_after_s: float = Field(300, gt=0, description="idle time after which an entity is put to rest")
    checkpoint_every: int = Field(500, ge=1, description="events between checkpoints of an entity")
    ask_timeout_s: float = Field(45, gt=0, description="longest wait for the answer to a command")
    auth_timeout_s: float = Field(10, gt=0, description="time for the first frame")
    heartbeat_s: float = Field(25, gt=0, description="WebSocket ping interval")
    presence_grace_s: float = Field(30, ge=0, description="absence that is not yet shown")
    participant_grace_s: float = Field(600, gt=0, description="absence after which a participant has left")
    session_life_s: float = Field(86_400, gt=0, description="how long a session can be resumed")
    logins_per_minute_address: int = Field(10, ge=1, description="login attempts a minute from one address")
    logins_per_minute_email: int = Field(5, ge=1, description="login attempts a minute for one email")
    registrations_per_minute_address: int = Field(60, ge=1, description="registrations a minute from one address")
    exports_per_minute: int = Field(2, ge=1, description="exports of an account a minute; each reads all that it has")
    token_life_s: float = Field(86_400, gt=0, description="life of a login token")
    wasm_max_memory: int = Field(
        256 * 2**20,
        ge=2**16,
        le=2**32,
        validation_alias=AliasChoices("wasm_max_memory", "SANGHA_WASM_MAX_MEMORY", "WASM_MAX_MEMORY"),
        description="bytes of memory that a ritual may have",
    )
    ritual_fuel: int = Field(1_000_000_000, ge=1_000, description="fuel of one run: about an instruction each")
    ritual_deadline_s: float = Field(30, gt=0, le=100, description="wall time of one run")
    ritual_runs_per_day: int = Field(2_000, ge=1, description="runs of one practitioner in a day (UTC)")
    ritual_fuel_per_day: int = Field(
        100_000_000_000, ge=1_000, description="fuel of one practitioner's runs in a day (UTC)"
    )
    uploaded_rituals: int = Field(100, ge=1, description="rituals that one practitioner uploaded and did not withdraw")
    eustress_spaces: int = Field(
        64, ge=0, description="Eustress spaces that there may be; with placement 'own' each that is live is a process"
    )
    eustress_entities: int = Field(2_000_000, ge=1, description="entities in a Eustress space")
    eustress_connections: int = Field(4_000_000, ge=1, description="connections in a Eustress space")
    eustress_scene_bytes: int = Field(
        4 * 2**30, ge=2**20, description="a Eustress space's scene, as JSON: it lies in memory while the space is live"
    )
    eustress_archive_dir: Path | None = Field(
        None, description="where retention writes archives; without it, eustress-archive in data_dir"
    )
    eustress_exports: int = Field(2, ge=1, le=64, description="exports of epochs at once in a gateway, a process each")
    openrouter_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("openrouter_api_key", "SANGHA_OPENROUTER_API_KEY", "OPENROUTER_API_KEY"),
        description="key of the oracle's language model; without a key or an oracle_url rules answer",
    )
    oracle_url: str | None = Field(
        None, description="an OpenAI-compatible API in place of OpenRouter's, such as http://127.0.0.1:8000/v1"
    )
    oracle_model: str = Field(
        "anthropic/claude-3-haiku",
        validation_alias=AliasChoices("oracle_model", "SANGHA_ORACLE_MODEL", "ORACLE_MODEL"),
        description="the oracle's language model",
    )
    oracle_timeout_s: float = Field(
        20, gt=0, le=60, description="longest wait for the language model, retries included"
    )
    oracle_tokens_per_day: int = Field(200_000, ge=0, description="tokens that the oracle may use up in a day (UTC)")
    sample_rate: int = Field(
        SAMPLE_RATE,
        validation_alias=AliasChoices("sample_rate", "SANGHA_SAMPLE_RATE", "SAMPLE_RATE"),
        description="samples a second of all that sounds; 44100 and no other",
    )
    audio_device: str = Field(
        "default",
        min_length=1,
        max_length=200,
        validation_alias=AliasChoices("audio_device", "SANGHA_AUDIO_DEVICE", "AUDIO_DEVICE"),
        description="the sound device of the server: its name or index as `sangha devices` lists it",
    )
    max_volume: float = Field(
        MAX_VOLUME,
        gt=0,
        le=MAX_VOLUME,
        validation_alias=AliasChoices("max_volume", "SANGHA_MAX_VOLUME", "MAX_VOLUME"),
        description="ceiling of every volume, linear peak; at most 0.8 (-1.94 dBFS)",
    )
    audio_renders: int = Field(
        32, ge=1, le=1_000, description="files of sound that a gateway streams over HTTP at once; 4 of one practitioner"
    )
    prayer_bowl_mode: bool = Field(
        True,
        validation_alias=AliasChoices("prayer_bowl_mode", "SANGHA_PRAYER_BOWL_MODE", "PRAYER_BOWL_MODE"),
        description="whether what sounds is a singing bowl where nobody says",
    )
    prayer_bowl_harmonics: bool = Field(
        True,
        validation_alias=AliasChoices("prayer_bowl_harmonics", "SANGHA_PRAYER_BOWL_HARMONICS", "PRAYER_BOWL_HARMONICS"),
        description="whether a bowl has its modes above the lowest pair",
    )
    prayer_bowl_envelopes: bool = Field(
        True,
        validation_alias=AliasChoices("prayer_bowl_envelopes", "SANGHA_PRAYER_BOWL_ENVELOPES", "PRAYER_BOWL_ENVELOPES"),
        description="whether a bowl fades after it is struck; without, it hums",
    )
    blessing_frequencies: Annotated[tuple[float, ...], NoDecode] = Field(
        (7.83, 136.1, 528, 639, 741),
        validation_alias=AliasChoices("blessing_frequencies", "SANGHA_BLESSING_FREQUENCIES", "BLESSING_FREQUENCIES"),
        description="the blessing chord in Hz, comma-separated or a JSON list",
    )
    hardware_level: int = Field(
        2,
        ge=1,
        le=5,
        validation_alias=AliasChoices("hardware_level", "SANGHA_HARDWARE_LEVEL", "HARDWARE_LEVEL"),
        description="level of the hardware that is there, as the seed counts it",
    )
    amplifier_connected: bool = Field(
        False,
        validation_alias=AliasChoices("amplifier_connected", "SANGHA_AMPLIFIER_CONNECTED", "AMPLIFIER_CONNECTED"),
        description="whether an amplifier is connected, where none can be asked",
    )
    hardware_port: str | None = Field(
        None, description="serial port of the hardware, such as /dev/ttyUSB0; without one it is simulated, and says so"
    )
    audio_sessions: int = Field(100, ge=1, description="audio sessions that one practitioner keeps")
    playouts: int = Field(64, ge=1, description="streams of sound (sessions by codec) that one gateway renders at once")
    api_v1_str: str = Field(
        API_V1,
        validation_alias=AliasChoices("api_v1_str", "SANGHA_API_V1_STR", "API_V1_STR"),
        description="prefix of the paths of Vajra.Stream; `/api/v1` and no other",
    )
    project_name: str = Field(
        "Vajra.Stream API",
        min_length=1,
        max_length=100,
        validation_alias=AliasChoices("project_name", "SANGHA_PROJECT_NAME", "PROJECT_NAME"),
        description="what `/` calls itself to clients of Vajra.Stream",
    )
    traces_url: str | None = Field(
        None, description="OTLP/HTTP endpoint that OpenTelemetry traces are sent to, such as http://127.0.0.1:4318"
    )
    traces_ratio: float = Field(1.0, ge=0, le=1, description="part of the requests that is traced, where traces are on")
    drain_s: float = Field(10, ge=0, description="longest time that a drain may take")

    @field_validator("listen", "trusted_proxies", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Trusted(value)
        return value

    @field_validator("public_urls", "allowed_origins", "old_encryption_keys", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(
                part.strip().rstrip("/") for part in value.strip("[]").replace('"', "").split(",") if part.strip()
            )
        return value

    @field_validator(
        "placement_practitioner",
        "placement_space",
        "placement_ritual",
        "placement_eustress",
        "placement_audio_session",
        "placement_audio",
        "placement_prayer_wheel",
    )
    @classmethod
    def _placement(cls, value: str) -> str:
        if not PLACEMENT.fullmatch(value):
            raise ValueError("must be 'own' or 'shared:N' with N from 1 to 9999")
        return value

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        url = value.get_secret_value()
        if url.startswith("sqlite"):
            raise ValueError("sqlite is not supported; leave DATABASE_URL unset to use the embedded PostgreSQL")
        if not url.startswith(("postgres://", "postgresql://")):
            raise ValueError("must begin with postgresql://")
        return value

    @field_validator("sacred_encryption_key")
    @classmethod
    def _key_of_32_bytes(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value.get_secret_value()):
            raise ValueError("must be 64 hex digits (32 bytes)")
        return value

    @field_validator("sample_rate")
    @classmethod
    def _one_rate(cls, value: int) -> int:
        if value != SAMPLE_RATE:
            raise ValueError(f"must be {SAMPLE_RATE}: all sound is made at this rate")
        return value

    @field_validator("api_v1_str")
    @classmethod
    def _one_prefix(cls, value: str) -> str:
        if value != API_V1:
            raise ValueError(f"must be {API_V1}: clients find the paths there")
        return value

    @field_validator("blessing_frequencies", mode="before")
    @classmethod
    def _list_of_numbers(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        text = value.strip()
        if not text.startswith("["):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as wrong:
            raise ValueError("is no JSON list") from wrong

    @field_validator("blessing_frequencies")
    @classmethod
    def _can_sound(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not 1 <= len(value) <= BLESSING_MAX:
            raise ValueError(f"must be 1 to {BLESSING_MAX} frequencies")
        if not all(math.isfinite(hz) and 0 < hz <= FREQUENCY_MAX_HZ for hz in value):
            raise ValueError(f"must be above 0 and at most {FREQUENCY_MAX_HZ} Hz")
        return value

    @field_validator("oracle_url", "traces_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value

    @model_validator(mode="after")
    def _answers_in_time(self) -> Self:
        if self.ask_timeout_s <= max(self.ritual_deadline_s, self.oracle_timeout_s):
            raise ValueError("ask_timeout_s must exceed ritual_deadline_s and oracle_timeout_s")
        return self

    @model_validator(mode="after")
    def _lab_stays_home(self) -> Self:
        at_home = all(is_loopback(address.host) for address in self.addresses)
        if self.lab and not at_home:
            raise ValueError("lab lifts limits and is only for loopback")
        if self.local_user and not at_home:
            raise ValueError("local_user lets whoever comes in without a login and is only for loopback")
        return self

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key needs tls_certificate")
        return self

    @property
    def addresses(self) -> list[Listen]:
        """Where to listen, the main address first. Raises ValueError."""
        return all_of(self.host, self.port, self.listen)

    @property
    def foreign_origins(self) -> tuple[str, ...]:
        """Origins that browsers may come from beside the server's own."""
        return (LOCAL_ORIGINS if self.local_user else ()) if self.allowed_origins is None else self.allowed_origins

    @property
    def silence_is_vajra(self) -> bool:
        """Whether a socket that says nothing on the bare /ws is Vajra's client."""
        return self.local_user if self.silent_dialect is None else self.silent_dialect == "vajra"

    @property
    def archive_dir(self) -> Path:
        """Where retention writes archives."""
        return self.eustress_archive_dir or self.data_dir / "eustress-archive"

    @property
    def scheme(self) -> str:
        """http or https."""
        return "http" if self.tls_certificate is None else "https"
