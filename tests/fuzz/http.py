"""Requests made of a server's OpenAPI document, right and wrong ones, and whether the answers are as the document says.

    python -m tests.fuzz.http --minutes 10 --seed 4                # starts a server of its own
    python -m tests.fuzz.http --minutes 10 --seed 4 --url http://127.0.0.1:8080 --token TOKEN

Schemathesis makes them: the boundaries of every schema, random values within and beyond it, sequences that use what earlier
answers gave. Left out are requests that would end the login that all the others come with.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, ScenarioFinished

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
)
MEANING_COUNTS: Final = (
    "/api/rituals/upload",  # what is no WebAssembly module is well formed all the same
    "/api/rituals/execute",  # a ritual may refuse
    "/api/state/transform",  # what is not under way cannot be closed
)
"""Where a request may be refused that is as the schema says."""
ENDS_LOGINS: Final = ("close_logins",)
"""Not with its example's query, but with another."""
INTEGERS: Final = "Expected an integer, got a number"
"""JSON Schema counts 1.0 among the integers, this server does not: nobody's JSON writes them so."""
SHOWN: Final = 1_500
"""Characters of a failure."""


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
            for check in event.recorder.checks.get(case, ()):
                if check.failure_info is not None and not _of_integers(interaction.response):
                    self._failed(event, case, check)

    def _failed(self, event: ScenarioFinished, case: str, check: Any) -> None:
        failure = check.failure_info
        key = f"{event.recorder.label} {check.name} {failure.failure.title}"
        self.failures.setdefault(key, f"{failure.code_sample}\n{failure.failure.message}"[:SHOWN])


def _of_integers(response: Any) -> bool:
    return response is not None and INTEGERS in response.text


def configuration(url: str, token: str, seed: int, examples: int) -> SchemathesisConfig:
    """Of a run."""
    config = {
        "seed": seed,
        "continue-on-failure": True,
        "base-url": url,
        "headers": {"Authorization": f"Bearer {token}"},
        "request-timeout": 60,
        "workers": 1,
        "generation": {"max-examples": examples, "allow-x00": False, "database": "none", "no-shrink": True},
        "checks": {"enabled": False} | {name: {"enabled": True} for name in CHECKS},
        "operations": [
            {"include-path": path, "checks": {"positive_data_acceptance": {"enabled": False}}}
            for path in MEANING_COUNTS
        ],
    }
    return SchemathesisConfig.from_dict(config)


def fuzz(url: str, token: str, seed: int, examples: int, until: float = math.inf) -> Findings:
    """One run: every phase, so many examples of each operation; cut short where the monotonic clock says so."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=configuration(url, token, seed, examples))
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


def repeated(url: str, token: str, seed: int, minutes: float) -> Findings:
    """Runs with seeds from ``seed`` on, as long as there is time."""
    end, total, seeds = time.monotonic() + minutes * 60, Findings(), 0
    while time.monotonic() < end:
        found = fuzz(url, token, seed + seeds, 60, end)
        seeds += 1
        total.requests += found.requests
        total.statuses += found.statuses
        total.failures = found.failures | total.failures
        print(f"seed {seed + seeds - 1}: {found.requests} requests, {len(found.failures)} failures", flush=True)  # noqa: T201
    return total


async def _with_server(seed: int, minutes: float) -> Findings:
    from harness import RunningServer

    async with RunningServer() as server:
        return await asyncio.to_thread(repeated, server.url, await token_of(server.url), seed, minutes)


async def token_of(url: str) -> str:
    """Of a new account with a state."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        return await Player(http, "").somebody("Schemathesis")


def main() -> int:
    """The long run. 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--url")
    parser.add_argument("--token")
    given = parser.parse_args()
    if given.url is None:
        found = asyncio.run(_with_server(given.seed, given.minutes))
    else:
        token = given.token or asyncio.run(token_of(given.url))
        found = repeated(given.url, token, given.seed, given.minutes)
    for key, sample in found.failures.items():
        print(f"\n## {key}\n{sample}")  # noqa: T201
    statuses = dict(sorted(found.statuses.items()))
    print(f"\n{found.requests} requests, {len(found.failures)} failures, by status {statuses}")  # noqa: T201
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
