"""A process's own report: its numbers as samples of the catalog's metrics. Reads counters; counts and asks nothing.

Taken on the event loop's thread in one go, so the numbers of a report belong together.
"""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psutil

from actors.runtime.entity import DURABLE, LATEST, LOSSY
from actors.runtime.measures import Histogram
from server.measures import NAMES, OTHER

if TYPE_CHECKING:
    from actors.oracle.worker import OracleHandler
    from actors.ritual.worker import SandboxHandler
    from actors.runtime.link import LinkClient
    from actors.runtime.shard import Shard
    from actors.runtime.worker import Worker
    from server.gateway import Gateway

LANES: Final = {DURABLE: "durable", LATEST: "latest", LOSSY: "lossy"}


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A value of one metric with its own labels; of a histogram the counts (not cumulated) and the sum."""

    name: str
    value: float
    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What one process says. Plain data: it crosses from actor to actor."""

    process: str
    node: str
    samples: list[Sample]


def histogram(name: str, measured: Histogram, *labels: str) -> Sample:
    """A histogram as it stands."""
    return Sample(name, measured.total, labels, tuple(measured.counts))


def command_name(type_: type) -> str:
    """A command as metrics name it: the tag that it has on links, or the name of the runtime's signal."""
    config = getattr(type_, "__struct_config__", None)
    return config.tag if config is not None and isinstance(config.tag, str) else type_.__name__


def of_process(process: psutil.Process) -> Iterator[Sample]:
    """Memory, CPU, files. Nothing of a process that has just gone, or that is not ours to look at."""
    try:
        with process.oneshot():
            times = process.cpu_times()
            found = [
                Sample("process_resident_memory_bytes", process.memory_info().rss),
                Sample("process_cpu_seconds_total", times.user + times.system),
                Sample("process_start_time_seconds", process.create_time()),
                Sample("process_open_fds", process.num_fds()),
            ]
    except psutil.Error:
        return
    yield from found


def of_python(lag: Histogram) -> Iterator[Sample]:
    """The interpreter and its event loop."""
    yield Sample("sangha_build_info", 1, (version("sangha"),))
    yield histogram("sangha_loop_lag_seconds", lag)
    for generation, stats in enumerate(gc.get_stats()):
        yield Sample("sangha_gc_collections_total", stats["collections"], (str(generation),))


def of_links(links: Iterable[LinkClient]) -> Iterator[Sample]:
    """By the kind that they lead to: of a kind with an actor for each entity there may be thousands."""
    by_kind: dict[str, list[LinkClient]] = {}
    for link in links:
        by_kind.setdefault(link.kind, []).append(link)
    for kind, group in by_kind.items():
        up = sum(link.up for link in group)
        yield Sample("sangha_links_up", up, (kind,))
        yield Sample("sangha_links_down", len(group) - up, (kind,))
        yield Sample("sangha_link_reconnects_total", sum(link.reconnects for link in group), (kind,))
        yield Sample("sangha_link_timeouts_total", sum(link.timeouts for link in group), (kind,))
        yield Sample("sangha_link_unanswered", sum(link.unanswered for link in group), (kind,))


def of_shard(shard: Shard, epoch: int) -> Iterator[Sample]:
    """What a shard counts."""
    measures = shard.measures
    for type_, count in measures.commands.items():
        yield Sample("sangha_commands_total", count, (command_name(type_), "ok"))
    for (type_, code), count in measures.refusals.items():
        yield Sample("sangha_commands_total", count, (command_name(type_), code))
    yield Sample("sangha_commands_repeated_total", measures.repeated)
    yield from _counts("sangha_events_total", measures.events)
    yield from _counts("sangha_commits_total", measures.commits)
    yield histogram("sangha_commit_seconds", measures.commit_s)
    yield histogram("sangha_commit_batch_commands", measures.batch_commands)
    yield histogram("sangha_gate_wait_seconds", measures.gate_wait_s)
    yield histogram("sangha_load_seconds", measures.load_s)
    yield Sample("sangha_shard_backlog", shard.waiting)
    yield Sample("sangha_shard_epoch", epoch)
    yield Sample("sangha_live_entities", len(shard.cells))
    yield Sample("sangha_present_sessions", sum(len(cell.present) for cell in shard.cells.values()))
    yield Sample("sangha_activations_total", shard.activation.activations)
    yield Sample("sangha_passivations_total", measures.passivations)


def _counts(name: str, counted: Mapping[str, int]) -> Iterator[Sample]:
    for label, count in counted.items():
        yield Sample(name, count, (label,))


def of_gateway(gateway: Gateway) -> Iterator[Sample]:
    """Sockets, what they ask and what they get; HTTP."""
    measures, status = gateway.measures, gateway.status()
    yield Sample("sangha_draining", gateway.draining)
    yield Sample("sangha_sockets", gateway.sessions, ("authenticated",))
    yield Sample("sangha_sockets", status["sockets"] - gateway.sessions, ("new",))
    yield Sample("sangha_outbox_bytes", status["outbox_bytes"])
    yield Sample("sangha_sockets_opened_total", measures.opened)
    yield Sample("sangha_sessions_resumed_total", measures.resumed)
    yield Sample("sangha_slow_closes_total", gateway.slow_closes)
    for code, count in measures.closes.items():
        yield Sample("sangha_socket_closes_total", count, (str(code),))
    yield Sample("sangha_socket_requests_unanswered", gateway.unanswered)
    yield Sample("sangha_socket_received_total", measures.received)
    yield Sample("sangha_socket_received_bytes_total", measures.received_bytes)
    for guest, sender in ((True, "guest"), (False, "practitioner")):
        yield Sample("sacred_messages_total", measures.messages[guest], ("message", sender))
    yield from _counts("sangha_eustress_items_total", measures.items)
    yield Sample("sangha_eustress_warnings_total", measures.item_warnings)
    yield from _requests(gateway)
    yield from _pushes(gateway)


def _requests(gateway: Gateway) -> Iterator[Sample]:
    measures = gateway.measures
    for outcome, count in measures.auths.items():
        yield Sample("sangha_socket_requests_total", count, ("auth", outcome))
    failed: Counter[type | None] = Counter()
    for (type_, outcome), count in measures.refused.items():
        failed[type_] += count
        yield Sample("sangha_socket_requests_total", count, (OTHER if type_ is None else NAMES[type_], outcome))
    for answered, measured in measures.request_s.items():
        ok = sum(measured.counts) - failed[answered]
        yield Sample("sangha_socket_requests_total", ok, (NAMES[answered], "ok"))
        yield histogram("sacred_service_latency", measured, "socket", NAMES[answered])
    for (method, route, http_status), count in measures.http.items():
        yield Sample("sangha_http_requests_total", count, (method, route, str(http_status)))
    for (method, route), measured in measures.http_s.items():
        yield histogram("sacred_service_latency", measured, "http", f"{method} {route}")


def _pushes(gateway: Gateway) -> Iterator[Sample]:
    for table in gateway.tables:
        yield Sample("sangha_streams_followed", len(table.streams), (table.kind,))
        yield Sample("sangha_push_bytes_total", table.pushed_bytes, (table.kind,))
        for lane, name in LANES.items():
            yield Sample("sangha_pushes_total", table.pushed[lane], (table.kind, name))


def of_worker(worker: Worker) -> Iterator[Sample]:
    """What every worker counts."""
    yield Sample("sangha_shard_backlog", worker.waiting)
    yield Sample("sangha_worker_asks_total", worker.handled - worker.refusals.total(), ("ok",))
    yield from _counts("sangha_worker_asks_total", worker.refusals)
    yield histogram("sangha_worker_seconds", worker.answer_s)


def of_sandbox(handler: SandboxHandler) -> Iterator[Sample]:
    """What a sandbox counts."""
    stats = handler.stats()
    yield from _counts("sangha_ritual_runs_total", {"ok": 0} | handler.outcomes)
    yield histogram("sangha_ritual_run_seconds", handler.run_s)
    yield Sample("sangha_ritual_brief_runs_total", stats["brief"])
    yield Sample("sangha_ritual_fuel_total", stats["fuel"])
    yield Sample("sangha_ritual_checks_total", stats["checks"])
    yield Sample("sangha_ritual_modules", stats["modules"])


def of_oracle(handler: OracleHandler) -> Iterator[Sample]:
    """What the oracle counts."""
    yield from _counts("sangha_oracle_answers_total", {"rules": 0} | handler.answers)
    yield Sample("sangha_oracle_tokens_total", handler.tokens)


def of_database(facts: Mapping[str, Any] | None) -> Iterator[Sample]:
    """What PostgreSQL says of itself; None where it does not answer."""
    yield Sample("sangha_database_up", 1 if facts else 0)
    if not facts:
        return
    yield Sample("sangha_database_info", 1, (str(facts["version"]), str(facts["schema"])))
    yield Sample("sangha_database_connections", facts["connections"])
    yield Sample("sangha_database_connections_max", facts["connections_max"])
    yield Sample("sangha_database_transactions_total", facts["committed"], ("committed",))
    yield Sample("sangha_database_transactions_total", facts["rolled_back"], ("rolled_back",))
    yield Sample("sangha_database_deadlocks_total", facts["deadlocks"])


def merged(samples: Iterable[Sample]) -> list[Sample]:
    """Samples of the same metric and labels as one: two types may have one name."""
    found: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for sample in samples:
        key = sample.name, sample.labels
        before = found.get(key)
        if before is not None:
            counts = tuple(map(sum, zip(before.counts, sample.counts, strict=True)))
            sample = Sample(sample.name, math.fsum((before.value, sample.value)), sample.labels, counts)
        found[key] = sample
    return list(found.values())
