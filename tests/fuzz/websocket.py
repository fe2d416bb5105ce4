"""A fuzzer over the WebSocket of a running server: ``python -m tests.fuzz.websocket --url http://… --minutes 10 --seed 1``.

Raw cases break the framing (``frames``), structured ones the requests (``requests``); between them two well-behaved clients
talk (``pair``) and a witness's state lies still (``watching``). Always of each connection:

* every request with a usable id gets one ``result`` or ``error`` with a known code, never ``internal``, while the socket lives;
* it ends with a documented close code and never by a reset.

A worker's cases follow from ``seed:worker`` alone, but for what the server's answers add to its corpus; what a failing
connection was sent is written to ``--failures`` after shrinking, and ``--replay FILE`` sends it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from actors.runtime.errors import CODES
from server.client_http import http_url

from .frames import CLOSE, Wire, raw_case, text
from .pair import Pair, quantile
from .requests import Scene, structured_case, usable_id
from .watching import Witness, account, pids_of, rss_mib, service_token, unhappy_lines

DOCUMENTED = frozenset({1000, 1001, 1002, 1007, 1009, 4000, 4001, 4003, 4008, 4029})
"""1000: the session went on on another socket, or the client itself took its leave with it."""
ANSWER_S = 70.0
"""A run may take as long as the server's ``ask_timeout_s``, and then some on a busy machine."""
CALM_S = 15.0
FLOOR_MS = 25.0
"""A p99 below this is calm whatever it was before: two cores are shared with the fuzzer itself."""
GROWTH_MIB = 64.0
"""Of one process over a whole run: caches with bounds fill, allocators keep."""
NICENESS = 15
"""The fuzzer steps back behind whom it disturbs: what it takes of the processor itself is not the server's doing."""
CORPUS_MAX = 400
SHRINKS = 40
"""Attempts to make a failing case smaller."""


@dataclass
class Case:
    """What one connection is sent, after authentication (or without: ``credential`` None), and why it failed."""

    credential: dict[str, Any] | None
    pieces: list[bytes]
    payloads: list[bytes] = field(default_factory=list)
    """Of the pieces that are whole requests; empty in a raw case."""
    silent: bool = False
    """Hang up without a word at the end in place of waiting for answers."""
    failure: str = ""


@dataclass
class Tally:
    """What happened so far."""

    connections: int = 0
    frames: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    closes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


async def perform(url: str, case: Case, tally: Tally) -> list[dict[str, Any]]:
    """Send the case; what came back. ``case.failure`` says what should not have happened."""
    async with Wire(url) as wire:
        if case.credential is not None:
            await wire.enter(case.credential)
        for piece in case.pieces:
            await wire.send(piece)
            tally.frames += 1
            if wire.ended.is_set():
                break
        if not case.silent:
            await _until_answered(wire, case)
        _judge(wire, case, tally)
        return wire.heard


async def _until_answered(wire: Wire, case: Case) -> None:
    wanted = {found for payload in case.payloads if (found := usable_id(payload)) is not None}
    if case.payloads:
        done = await wire.until(lambda w: wanted <= {each.get("id") for each in w.heard}, ANSWER_S)
        if not done and not wire.ended.is_set() and wire.code is None:
            missing = sorted(wanted - {each.get("id") for each in wire.heard})
            case.failure = f"no answer to {missing[:5]} within {ANSWER_S:.0f} s"
        return
    await wire.send(text({"id": 2**53 - 2, "type": "ping"}))  # may be swallowed by half a frame before it
    await wire.until(lambda w: w.code is not None or any(e.get("id") == 2**53 - 2 for e in w.heard), 1.5)


def _judge(wire: Wire, case: Case, tally: Tally) -> None:
    sent = Counter(usable_id(payload) for payload in case.payloads)
    replies = Counter(each.get("id") for each in wire.heard if each.get("type") in ("result", "error"))
    for each in wire.heard:
        code = each["error"]["code"] if each.get("type") == "error" else each.get("type", "?")
        tally.codes[code] += 1
        if each.get("type") == "error" and (code not in CODES or code == "internal"):
            case.failure = f"error {each}"
    for request_id, count in replies.items():
        if case.payloads and request_id is not None and count > sent[request_id]:
            case.failure = f"{count} answers to {sent[request_id]} requests of id {request_id}"
    if wire.code is not None and wire.code not in DOCUMENTED and wire.code not in _own_codes(case):
        case.failure = f"closed with {wire.code}"
    leaves = any(len(piece) > 1 and piece[0] & 0x0F == CLOSE for piece in case.pieces)  # and then goes on talking
    if wire.ended.is_set() and wire.code is None and not case.silent and not leaves:
        case.failure = "reset" if wire.reset else "ended without a close frame"
    tally.closes[str(wire.code) if wire.code is not None else "reset" if wire.reset else "open"] += 1
    tally.connections += 1


def _own_codes(case: Case) -> set[int]:
    """A client's own close code may come back to it (RFC 6455, 5.5.1)."""
    return set() if case.payloads else {*range(3_000, 5_000), 1003, 1005, 1010, 1011, 1012, 1013, 1014}


class Fuzzer:
    """A run against one server."""

    def __init__(self, url: str, seed: int, only: str, failures: Path, data_dir: Path = Path(".sangha")) -> None:
        self.url, self.seed, self.only, self.failures = url, seed, only, failures
        self.data_dir = data_dir
        self.tally = Tally()
        self.witness = Witness()
        self.tokens: list[str] = []
        self.scene = Scene([], [], [])

    async def prepare(self) -> None:
        """Accounts, spaces and sessions that requests may name."""
        await self.witness.settle_in(self.url)
        opened = [await account(self.url, f"Fuzz {n}") for n in range(3)]
        self.tokens = [each["token"] for each in opened]
        spaces, sessions = [self.witness.space], []
        for token, level in zip(self.tokens, ("open", "invite", "open"), strict=True):
            async with Wire(self.url) as wire:
                sessions.append((await wire.enter({"token": token}))["session"])
                await wire.send(
                    text({"id": 2, "type": "space.create", "name": "F", "purpose": "", "access_level": level})
                )
                await wire.until(lambda w: w.heard and w.heard[-1].get("id") == 2, 30)
                spaces.append(wire.heard[-1]["result"]["id"])
        own = [each["practitioner"]["id"] for each in opened]
        self.scene = Scene(spaces, [self.witness.id, *own], sessions)
        if (engine := await service_token(self.url, self.data_dir)) is not None:
            self.tokens.append(engine)

    def case(self, rng: Random) -> tuple[Case, list[dict[str, str]]]:
        """The next case of a worker, and what its requests are made of."""
        raw = self.only == "raw" or (self.only == "both" and rng.random() < 0.4)
        who = rng.random()
        credential = {"token": rng.choice(self.tokens)} if who < 0.5 else {"guest": "Fuzz"}
        silent = rng.random() < 0.05
        if raw:
            return Case(None if who > 0.85 else credential, raw_case(rng), silent=silent), []
        made = structured_case(rng, self.scene, rng.choice((2, 2, 2, 2**53 - 40)))
        payloads = [payload for _, payload in made]
        pieces = [text(payload) for payload in payloads]
        if who > 0.92:  # before authentication: the first frame decides
            return Case(None, pieces, silent=silent), []
        return Case(credential, pieces, payloads, silent), [fields for fields, _ in made]

    async def work(self, number: int, until: float) -> None:
        """One worker's cases, one after another."""
        rng, seen = Random(f"{self.seed}:{number}"), set[str]()
        while time.monotonic() < until:
            case, made = self.case(rng)
            try:
                heard = await perform(self.url, case, self.tally)
            except ConnectionRefusedError as refused:
                self.tally.codes[f"not let in: {str(refused)[:60]}"] += 1
                await asyncio.sleep(0.2)
                continue
            if case.failure:
                await self.note(case, number)
            self._learn(case, made, heard, seen)

    def _learn(self, case: Case, made: list[dict[str, str]], heard: list[dict[str, Any]], seen: set[str]) -> None:
        """Requests whose answers are of a new shape are worth varying."""
        asked = {usable_id(payload): fields for payload, fields in zip(case.payloads, made, strict=False)}
        for each in heard:
            fields = asked.get(each.get("id"))
            error = each.get("error") or {}
            shape = f"{(fields or {}).get('type')} {error.get('code')} {str(error.get('message'))[:20]}"
            dull = error.get("code") in ("bad_request", "rate_limited") or shape in seen
            if fields is not None and not dull and len(self.scene.corpus) < CORPUS_MAX:
                seen.add(shape)
                self.scene.corpus.append(fields)

    async def note(self, case: Case, number: int) -> None:
        """Shrink a failing case and write it down."""
        why, smallest = case.failure, case
        if "within" not in why:
            smallest = await self._shrunk(case)
        self.tally.failures.append(why)
        lines = {"why": why, "seed": f"{self.seed}:{number}", "guest": "token" not in (case.credential or {})}
        lines |= {"entered": case.credential is not None, "pieces": [piece.hex() for piece in smallest.pieces]}
        with self.failures.open("a") as file:
            file.write(json.dumps(lines) + "\n")
        print(f"FAILURE {why[:300]}", file=sys.stderr)  # noqa: T201

    async def _shrunk(self, case: Case) -> Case:
        """Halves, quarters … single pieces are left out for as long as it still fails, at most ``SHRINKS`` times."""
        smallest, part, at = case, max(1, len(case.pieces) // 2), 0
        for _ in range(SHRINKS):
            if at >= len(smallest.pieces):
                if part == 1:
                    break
                part, at = part // 2, 0
            less = _without(smallest, at, at + part)
            try:
                await perform(self.url, less, Tally())
            except ConnectionRefusedError:
                break
            if less.failure:
                smallest = less
            else:
                at += part
        return smallest


def _without(case: Case, first: int, last: int) -> Case:
    payloads = case.payloads[:first] + case.payloads[last:]
    return Case(case.credential, case.pieces[:first] + case.pieces[last:], payloads, case.silent)


async def fuzz(arguments: argparse.Namespace) -> int:
    """The whole run; the exit code."""
    url, log = http_url(arguments.url), arguments.log
    fuzzer = Fuzzer(url, arguments.seed, arguments.only, arguments.failures, arguments.data_dir)
    since = log.stat().st_size if log else 0
    await fuzzer.prepare()
    pids = pids_of(arguments.data_dir, url) if arguments.server_pids == "auto" else _numbers(arguments.server_pids)
    async with Pair(url) as pair:
        os.nice(NICENESS)
        calm_s = CALM_S if arguments.minutes >= 1 else 3
        await asyncio.sleep(calm_s)
        calm, began = await pair.take(), time.monotonic()
        warm = began + min(60, arguments.minutes * 12)
        await asyncio.gather(*(fuzzer.work(n, warm) for n in range(arguments.workers)))
        before = rss_mib(pids)  # what is loaded or filled once is there
        until = began + arguments.minutes * 60
        await asyncio.gather(*(fuzzer.work(n + arguments.workers, until) for n in range(arguments.workers)))
        took, during, late = time.monotonic() - began, await pair.take(), pair.late
        limit = pair.bearable(calm, FLOOR_MS)
        await asyncio.sleep(calm_s)
        calm = max(calm, await pair.take(), key=lambda each: quantile(each, 0.99))  # others use the machine, too
        after, moved = rss_mib(pids), await fuzzer.witness.look() != fuzzer.witness.before
    tally, wrongs = fuzzer.tally, list(fuzzer.tally.failures)
    wrongs += ["the witness was changed"] if moved else []
    wrongs += [f"log: {line}" for line in unhappy_lines(log, since)]
    wrongs += [f"p99 {quantile(during, 0.99):.1f} ms"] if quantile(during, 0.99) > limit else []
    wrongs += [f"{b} MiB became {a}" for b, a in zip(before, after, strict=True) if a - b > GROWTH_MIB]
    report = {
        "seed": arguments.seed, "kind": arguments.only, "minutes": round(took / 60, 2), "connections": tally.connections,
        "frames": tally.frames, "frames_per_s": round(tally.frames / took), "codes": dict(tally.codes.most_common()),
        "closes": dict(tally.closes.most_common()), "calm_p50_p99_ms": _pair_of(calm), "fuzzed_p50_p99_ms": _pair_of(during),
        "late_p50_p99_ms": _pair_of(late), "bearable_p99_ms": round(limit, 1),
        "rss_mib": list(zip(before, after, strict=True)), "corpus": len(fuzzer.scene.corpus), "wrong": wrongs[:50],
    }  # fmt: skip
    print(json.dumps(report, indent=1))  # noqa: T201
    return 1 if wrongs else 0


def _pair_of(latencies: list[float]) -> list[float]:
    return [round(quantile(latencies, 0.5), 1), round(quantile(latencies, 0.99), 1)]


def _numbers(pids: str) -> list[int]:
    return [int(pid) for pid in pids.split(",") if pid]


async def replay(arguments: argparse.Namespace) -> int:
    """Send the recorded failures again; how many still fail."""
    url, failing = http_url(arguments.url), 0
    token = (await account(url, "Again"))["token"]
    for line in arguments.replay.read_text().splitlines():
        recorded = json.loads(line)
        credential = {"guest": "Again"} if recorded["guest"] else {"token": token}
        pieces = [bytes.fromhex(piece) for piece in recorded["pieces"]]
        case = Case(credential if recorded["entered"] else None, pieces)
        heard = await perform(url, case, Tally())
        print(recorded["why"][:100], "→", case.failure or "no failure", heard[:3])  # noqa: T201
        failing += bool(case.failure)
    return failing


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.websocket")
    parser.add_argument("--url", required=True, help="of the server, http:// or ws://")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("raw", "structured", "both"), default="both")
    parser.add_argument("--workers", type=int, default=8, help="connections at once")
    parser.add_argument("--server-pids", default="", help="whose memory is watched: 'auto' (needs --data-dir) or 1,2,3")
    parser.add_argument("--data-dir", type=Path, default=Path(".sangha"))
    parser.add_argument("--log", type=Path, help="what the server writes to standard error")
    parser.add_argument("--failures", type=Path, default=Path("websocket-failures.ndjson"))
    parser.add_argument("--replay", type=Path, help="send the failures of such a file again")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    parsed_arguments = parsed()
    sys.exit(asyncio.run((replay if parsed_arguments.replay else fuzz)(parsed_arguments)))
