"""Every metric that is exported: its name, type, labels and meaning. The README's table and the dashboard are held against it.

Names that ``seeds/2-sacred-architecture.txt`` has are kept where what they speak of exists: ``sacred_messages_total`` (the
``sender`` is whether a guest or a practitioner, for a label by person has no bound) and ``sacred_service_latency`` (in
seconds; the service is how it was asked). Not exported until there is something to measure, as nothing here is invented:
``sacred_field_coherence`` and ``sacred_love_amplification`` come with the field.

Every sample has the labels ``process`` (``space/0``, ``gateway/1``), ``kind`` (what stands before the slash) and ``node`` (the
first digits of its id) before its own. Counters that alerts look at stand at 0 from the start. No label comes from a client.
Pure.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from actors.runtime.measures import SECONDS, SIZES

COMMON: Final = ("process", "kind", "node")


class Metric(NamedTuple):
    """One family. A counter's name ends in ``_total``; ``bounds`` are a histogram's."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


def _seconds(name: str, help_: str, *labels: str) -> Metric:
    return Metric(name, "histogram", help_, labels, SECONDS)


def _counter(name: str, help_: str, *labels: str) -> Metric:
    return Metric(name, "counter", help_, labels)


def _gauge(name: str, help_: str, *labels: str) -> Metric:
    return Metric(name, "gauge", help_, labels)


_PROCESSES: Final = (
    _gauge("sangha_up", "1 where the process answered this scrape, 0 where it did not within 2 s"),
    _gauge("sangha_build_info", "1; which version runs", "version"),
    _gauge("sangha_draining", "1 while a gateway sends its sockets away"),
    _gauge("process_resident_memory_bytes", "Resident memory"),
    _counter("process_cpu_seconds_total", "CPU time, user and system"),
    _gauge("process_open_fds", "Open file descriptors"),
    _gauge("process_start_time_seconds", "When the process started, in seconds since 1970"),
    _seconds("sangha_loop_lag_seconds", "How late the event loop came back to a timer of half a second"),
    _counter("sangha_gc_collections_total", "Runs of Python's garbage collector", "generation"),
)
_SHARDS: Final = (
    _counter(
        "sangha_commands_total", "Commands and signals that entities decided, by outcome: ok or an error's code",
        "command", "outcome",
    ),
    _counter("sangha_commands_repeated_total", "Of those: retries, answered from memory"),
    _counter("sangha_events_total", "Events committed to the journal", "event"),
    _counter("sangha_commits_total", "Transactions by how they ended: committed, aborted, unknown", "outcome"),
    _seconds("sangha_commit_seconds", "Time of a commit, of those that succeeded"),
    Metric("sangha_commit_batch_commands", "histogram", "Commands in a commit", (), SIZES),
    _seconds("sangha_gate_wait_seconds", "From a command's decision to its release: the longest of each batch"),
    _gauge("sangha_shard_backlog", "Commands without an answer yet: those of a shard, or asks of a worker"),
    _gauge("sangha_shard_epoch", "The shard's lease; each takeover raises it"),
    _gauge("sangha_live_entities", "Entities in memory"),
    _gauge("sangha_present_sessions", "Sessions that follow an entity, counted once for each"),
    _counter("sangha_activations_total", "Entities brought to life"),
    _counter("sangha_passivations_total", "Entities put to rest"),
    _seconds("sangha_load_seconds", "Queries that bring entities to life, up to 500 each"),
)  # fmt: skip
_LINKS: Final = (
    _gauge("sangha_links_up", "Links to shards and workers of a kind that are up", "peer"),
    _gauge("sangha_links_down", "Links that are not", "peer"),
    _counter("sangha_link_reconnects_total", "Links that were lost after they had been up", "peer"),
    _counter("sangha_link_timeouts_total", "Asks without an answer in time", "peer"),
    _gauge("sangha_link_unanswered", "Asks that wait for an answer", "peer"),
)
_GATEWAYS: Final = (
    _gauge("sangha_sockets", "Open sockets: authenticated, or not yet", "state"),
    _counter("sangha_sockets_opened_total", "Sockets that were opened"),
    _counter("sangha_sessions_resumed_total", "Sessions that were resumed"),
    _counter("sangha_socket_closes_total", "Sockets that the server closed, by close code", "code"),
    _counter("sangha_slow_closes_total", "Sockets closed because their outbox overflowed (code 4008)"),
    _gauge("sangha_outbox_bytes", "Bytes that wait for sockets"),
    _gauge("sangha_streams_followed", "Streams with a follower here", "stream"),
    _counter(
        "sangha_socket_requests_total",
        "Requests of sockets by type and outcome; type other was refused before it was taken (rate, malformed, unknown)",
        "type", "outcome",
    ),
    _gauge("sangha_socket_requests_unanswered", "Requests of sockets without an answer yet"),
    _counter("sangha_socket_received_total", "Frames received on authenticated sockets"),
    _counter("sangha_socket_received_bytes_total", "Bytes of them"),
    _counter(
        "sangha_pushes_total", "Pushes written to sockets, one for each; latest ones may be replaced, lossy ones dropped",
        "stream", "lane",
    ),
    _counter("sangha_push_bytes_total", "Bytes of them", "stream"),
    _counter("sangha_http_requests_total", "HTTP requests by route as declared, method and status", "method", "route", "status"),
    _seconds(
        "sacred_service_latency",
        "Seconds until the answer: service http, by method and route; service socket, by type of request",
        "service", "method",
    ),
    _counter("sacred_messages_total", "Messages said in spaces, by a guest or a practitioner", "type", "sender"),
    _counter(
        "sangha_eustress_items_total",
        "Items of Eustress scenes that were acknowledged, by how they came; those of a retry count again",
        "by",
    ),
    _counter("sangha_eustress_warnings_total", "Warnings that were given for them"),
)  # fmt: skip
_WORKERS: Final = (
    _counter("sangha_worker_asks_total", "What sandboxes and the oracle answered, by outcome", "outcome"),
    _seconds("sangha_worker_seconds", "From the ask to its answer, waiting included"),
    _counter("sangha_ritual_runs_total", "Ritual runs by outcome: ok, or the code of their failure", "outcome"),
    _counter("sangha_ritual_brief_runs_total", "Of those: ended on the event loop, without a thread"),
    _counter("sangha_ritual_fuel_total", "Fuel that rituals used"),
    _seconds("sangha_ritual_run_seconds", "Wall time of a run in the sandbox"),
    _counter("sangha_ritual_checks_total", "Uploaded modules that were checked"),
    _gauge("sangha_ritual_modules", "Compiled modules in memory"),
    _counter(
        "sangha_oracle_answers_total",
        "Insights and texts by who spoke: rules, model, written (a text of ours), or fallback (ours, the model did not answer)",
        "by",
    ),
    _counter("sangha_oracle_tokens_total", "Tokens of the language model"),
)
_CLUSTER: Final = (
    _counter("sangha_takeovers_total", "Silent processes that were killed and started anew", "target"),
    _gauge("sangha_own_shards", "Running shards of kinds placed 'own', which are not asked one by one", "target"),
    _gauge("sangha_nodes", "Nodes of the Ray cluster, by whether they are alive", "alive"),
    _gauge("sangha_database_up", "1 where PostgreSQL answers"),
    _gauge("sangha_database_info", "1; PostgreSQL's version and the schema's", "version", "schema"),
    _gauge("sangha_database_connections", "Connections to the database, Sangha's and others'"),
    _gauge("sangha_database_connections_max", "Connections that the server takes"),
    _counter("sangha_database_transactions_total", "Transactions of the database by outcome", "outcome"),
    _counter("sangha_database_deadlocks_total", "Deadlocks in the database"),
)

METRICS: Final = {m.name: m for m in (*_PROCESSES, *_SHARDS, *_LINKS, *_GATEWAYS, *_WORKERS, *_CLUSTER)}
