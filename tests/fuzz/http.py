"""Requests made of a server's OpenAPI document, right and wrong ones, and whether the answers are as the document says.

    python -m tests.fuzz.http --minutes 10 --seed 4                # starts a server of its own
    python -m tests.fuzz.http --minutes 10 --seed 4 --url http://127.0.0.1:8080 --admin-token TOKEN

Schemathesis makes them: the boundaries of every schema, random values within and beyond it, sequences that use what earlier
answers gave. What is under ``/eustress`` comes with an engine's token, mostly of the spaces and rows that the examples made
before; all else with a practitioner's. Left out are requests that would end the login that all the others come with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import httpx
import orjson
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, ScenarioFinished

from server.http.contract import NDJSON
from tests.integration.examples import Player, declared  # the harness is found with it

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "positive_data_acceptance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
    "streams_end_as_they_say",
)
MEANING_COUNTS: Final = (
    "/api/rituals/upload",  # what is no WebAssembly module is well formed all the same
    "/api/rituals/execute",  # a ritual may refuse
    "/api/state/transform",  # what is not under way cannot be closed
    *(f"/eustress/ingest/{what}" for what in ("entity", "connection", "parameter", "batch", "eep")),
    # a rotation has a length, no value is too deep, a strict space refuses what hangs on nothing
    "/eustress/entities",  # one moment is meant, near one place; a page goes on where one ended
    "/eustress/connections",  # the same
    "/eustress/hierarchy/{space}",  # the same
    "/eustress/changes/{space}",  # a page goes on where one ended
    "/api/v1/sessions/",  # a carrier of a beat can be heard
    "/api/v1/sessions/create",  # the same
    "/api/v1/sessions/{id}",  # nobody says that a session is completed
    "/api/v1/visuals/spectrogram",  # the same; an octave is shown at least
    "/api/v1/audio/render",  # the same
    "/api/v1/audio/render/spectrum",  # the same; a moment lies within the sound
    "/api/v1/audio/generate",  # the same
    "/api/v1/audio/play",  # samples are numbers, or pairs of them
    *(f"/api/v1/astrology/{what}" for what in ("current", "positions", "planetary-positions", "moon-phase", "houses")),
    # of a place's two names for its latitude one is given
    *(f"/api/v1/astrology/{what}" for what in ("aspects", "planetary-hour", "location")),  # the same
    "/api/v1/prayers/wheel/dedicate",  # one accumulation is named
    "/api/v1/prayers/wheel/spin",  # until a moment, or for a while
    "/eustress/epochs",  # an epoch ends after it began
)
"""Where a request may be refused that is as the schema says."""
ENDS_LOGINS: Final = ("close_logins",)
"""Not with its example's query, but with another."""
INTEGERS: Final = "Expected an integer, got a number"
"""JSON Schema counts 1.0 among the integers, this server does not: nobody's JSON writes them so."""
SHOWN: Final = 1_500
"""Characters of a failure."""
LAKE: Final = "/eustress"
STREAM: Final = "/eustress/ingest/stream"
_numbers: Final = count(2)
SPACES: Final = ("quantum_mechanics", "workshop")
"""Of the examples."""
OFTEN: Final = 0.7
"""How many requests are of what is there."""
SERVERS_FAULTS: Final = frozenset({"internal", "timeout", "actor_unavailable", "storage_unavailable"})


@dataclass(frozen=True)
class Known:
    """Whoever sends the requests, and what is there: tokens, and ids of an epoch and of a snapshot."""

    practitioner: str
    engine: str
    epoch: str
    snapshot: str


@dataclass
class Findings:
    """What came of it. ``failures`` has one of each kind: by operation and check."""

    failures: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    requests: int = 0

    def add(self, event: ScenarioFinished) -> None:
        """Count a scenario's requests."""
        for case, interaction in event.recorder.interactions.items():
            self.requests += 1
            if interaction.response is not None:
                self.statuses[interaction.response.status_code] += 1
            response = interaction.response
            for check in event.recorder.checks.get(case, ()):
                if check.failure_info is not None and not _of_integers(response) and not _of_items(event, response):
                    self._failed(event, check, "" if response is None else response.text)

    def _failed(self, event: ScenarioFinished, check: Any, answer: str) -> None:
        failure = check.failure_info
        key = f"{event.recorder.label} {check.name} {failure.failure.title}"
        self.failures.setdefault(
            key, f"{answer[:SHOWN]}\n{failure.code_sample}\n{failure.failure.message}"[: 2 * SHOWN]
        )


def _of_integers(response: Any) -> bool:
    return response is not None and INTEGERS in response.text


def _of_items(event: ScenarioFinished, response: Any) -> bool:
    """Whether a batch was taken without what is wrong in it, as it may ask."""
    if event.recorder.label != "POST /eustress/ingest/batch" or response is None or response.status_code != 200:
        return False
    return bool(orjson.loads(response.content).get("refused"))


@schemathesis.serializer(NDJSON)
def lines(_context: Any, value: Any) -> bytes:
    """One line; of an example the lines that it is."""
    if isinstance(value, str) and value.endswith("}\n"):
        return value.encode()
    return json.dumps(value).encode()  # orjson has no integers beyond 64 bits


@schemathesis.deserializer(NDJSON)
def last_line(_context: Any, response: Any) -> Any:
    """The one that says how it ended."""
    return orjson.loads(response.content.splitlines()[-1])


@schemathesis.check
def streams_end_as_they_say(_context: Any, response: Any, case: Any) -> None:
    """Of a stream the status is sent before its lines are looked at: what is wrong is in its last line, which there is."""
    if case.operation.path != STREAM or response.status_code != 200:
        return
    last = orjson.loads(response.content.splitlines()[-1])
    error = last.get("error")
    assert error or last["done"], f"neither done nor an error: {last}"
    assert not error or error["code"] not in SERVERS_FAULTS, f"a failure of the server's: {error}"
    wrong = case.meta is not None and case.meta.is_negative_at(ParameterLocation.BODY)
    assert error or not (wrong and last["accepted"]), f"a wrong line was taken: {last}"


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """A stream of its own, where the example's would be: lines that the example had are not looked at again."""
    if case.operation.path == STREAM and (case.query or {}).get("stream") == "scene-1":
        case.query["stream"] = f"scene-{next(_numbers)}"


@schemathesis.hook("map_query").apply_to(path=["/eustress/entities", "/eustress/connections"])
def of_a_space(_context: Any, query: Any) -> Any:
    """Of those of the examples, where none is named: an array takes nothing out of a dictionary."""
    return (query or {}) | {"space": list(SPACES)} if not (query or {}).get("space") else query


def configuration(url: str, known: Known, seed: int, examples: int) -> SchemathesisConfig:
    """Of a run."""
    config = {
        "seed": seed,
        "continue-on-failure": True,
        "base-url": url,
        "headers": {"Authorization": f"Bearer {known.practitioner}"},
        "request-timeout": 60,
        "workers": 1,
        "generation": {"max-examples": examples, "allow-x00": False, "database": "none", "no-shrink": True},
        "checks": {"enabled": False} | {name: {"enabled": True} for name in CHECKS},
        "operations": [
            {"include-path": path, "checks": {"positive_data_acceptance": {"enabled": False}}}
            for path in MEANING_COUNTS
        ]
        + [
            {"include-path": STREAM, "checks": {"negative_data_rejection": {"enabled": False}}},
            {"include-path-regex": f"^{LAKE}/", "headers": {"Authorization": f"Bearer {known.engine}"}}
            | mostly("space"),
            {"include-path-regex": f"^{LAKE}/epochs/{{id}}"} | mostly("epoch", "path.id"),
            {"include-path-regex": f"^{LAKE}/snapshots/{{id}}"} | mostly("snapshot", "path.id"),
        ],
        "dictionaries": {
            "space": {"values": list(SPACES)},
            "epoch": {"values": [known.epoch]},
            "snapshot": {"values": [known.snapshot]},
        },
    }
    return SchemathesisConfig.from_dict(config)


def mostly(dictionary: str, *names: str) -> dict[str, Any]:
    """Often a value of the dictionary, for parameters of these names; a space has four."""
    names = names or ("path.space", "query.space", "body.space_name", "body.space.name")
    return {"parameters": {name: {"dictionary": dictionary, "probability": OFTEN} for name in names}}


def fuzz(url: str, known: Known, seed: int, examples: int, until: float = math.inf) -> Findings:
    """One run: every phase, so many examples of each operation; cut short where the monotonic clock says so."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=configuration(url, known, seed, examples))
    for operation in declared():
        if any(example.alone for example in operation.examples) or operation.handler.__name__ in ENDS_LOGINS:
            schema = schema.exclude(path=operation.path, method=operation.method)
    findings = Findings()
    stream = from_schema(schema).execute()
    for event in stream:
        if time.monotonic() > until:
            stream.stop()
        if isinstance(event, ScenarioFinished):
            findings.add(event)
        elif isinstance(event, NonFatalError):
            findings.failures.setdefault(f"error {event.label}", str(event.info)[:SHOWN])
    return findings


def repeated(url: str, known: Known, seed: int, minutes: float) -> Findings:
    """Runs with seeds from ``seed`` on, as long as there is time."""
    end, total, seeds = time.monotonic() + minutes * 60, Findings(), 0
    while time.monotonic() < end:
        found = fuzz(url, known, seed + seeds, 60, end)
        seeds += 1
        total.requests += found.requests
        total.statuses += found.statuses
        total.failures = found.failures | total.failures
        print(f"seed {seed + seeds - 1}: {found.requests} requests, {len(found.failures)} failures", flush=True)  # noqa: T201
    return total


async def _with_server(seed: int, minutes: float) -> Findings:
    from harness import RunningServer

    async with RunningServer() as server:
        known = await known_of(server.url, (server.data_dir / "admin.token").read_text().strip())
        return await asyncio.to_thread(repeated, server.url, known, seed, minutes)


async def known_of(url: str, admin_token: str) -> Known:
    """A new account with a state, an engine, and what the lake's examples make."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        player = Player(http, admin_token)
        async for _ in player.play(each for each in declared() if each.path.startswith(LAKE)):
            pass
        made = player.answers
        return Known(
            practitioner=player.token,
            engine=player.engine_token,
            epoch=made["lake_epoch_made"]["id"],
            snapshot=made["ingest_snapshot"]["snapshot_id"],
        )


def main() -> int:
    """The long run. 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--url")
    parser.add_argument("--admin-token", default="")
    given = parser.parse_args()
    if given.url is None:
        found = asyncio.run(_with_server(given.seed, given.minutes))
    else:
        known = asyncio.run(known_of(given.url, given.admin_token))
        found = repeated(given.url, known, given.seed, given.minutes)
    for key, sample in found.failures.items():
        print(f"\n## {key}\n{sample}")  # noqa: T201
    statuses = dict(sorted(found.statuses.items()))
    print(f"\n{found.requests} requests, {len(found.failures)} failures, by status {statuses}")  # noqa: T201
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
