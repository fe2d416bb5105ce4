/**
 * Which numbers the operator's view shows, and how each is made of two scrapes and a topology. Pure.
 */

import { growth, quantile, select, sum } from "/static/operator/metrics.js";

/** @typedef {ReturnType<typeof facts>} Facts */

/**
 * @param {{at: number, scrape: import("./metrics.js").Scrape}} before @param {{at: number, scrape: import("./metrics.js").Scrape}} now
 * @param {any} topology
 */
export function facts(before, now, topology) {
  const seconds = (now.at - before.at) / 1000;
  const one = (/** @type {string} */ name, /** @type {string} */ process) => select(now.scrape, name, { process })[0]?.value ?? null;
  return {
    topology,
    /** Processes that did not answer the scrape. */
    down: new Set(select(now.scrape, "sangha_up").filter(({ value }) => !value).map(({ labels }) => labels.process)),
    /** @param {string} name @param {Record<string, string>} [where] a second, since the look before; null at the first look */
    per: (name, where = {}) => (seconds ? growth(before.scrape, now.scrape, name, where) / seconds : null),
    /** @param {string} name @param {Record<string, string>} [where] */
    now: (name, where = {}) => sum(now.scrape, name, where),
    /** @param {string} name @param {number} share @param {Record<string, string>} [where] */
    ms: (name, share, where = {}) => {
      const found = quantile(before.scrape, now.scrape, name, share, where);
      return found === null ? null : found * 1000;
    },
    /** @param {string} process */
    usage: (process) => {
      const began = one("process_start_time_seconds", process);
      return {
        memory: one("process_resident_memory_bytes", process),
        cpu: seconds && began !== null ? growth(before.scrape, now.scrape, "process_cpu_seconds_total", { process }) / seconds : null,
        upS: began === null ? null : Math.max(0, now.at / 1000 - began),
      };
    },
  };
}

/** @type {{title: string, unit?: string, of: (facts: Facts) => number | null}[]} */
export const TILES = [
  { title: "sockets", of: (f) => f.now("sangha_sockets") },
  { title: "live entities", of: (f) => f.now("sangha_live_entities") },
  { title: "backlog", of: (f) => f.now("sangha_shard_backlog") },
  { title: "waiting for sockets", unit: "B", of: (f) => f.now("sangha_outbox_bytes") },
  { title: "links down", of: (f) => f.now("sangha_links_down") },
  { title: "takeovers", of: (f) => f.now("sangha_takeovers_total") },
  { title: "slow closes", of: (f) => f.now("sangha_slow_closes_total") },
  { title: "memory", unit: "B", of: (f) => f.now("process_resident_memory_bytes") },
];

/** @type {{title: string, unit: string, lines: string[], of: (facts: Facts) => (number | null)[]}[]} */
export const CHARTS = [
  { title: "Commands", unit: "/s", lines: ["decided", "refused"], of: (f) => {
    const [all, well] = [f.per("sangha_commands_total"), f.per("sangha_commands_total", { outcome: "ok" })];
    return [all, all === null || well === null ? null : Math.max(0, all - well)];
  } },
  { title: "Pushes to sockets", unit: "/s", lines: ["pushes"], of: (f) => [f.per("sangha_pushes_total")] },
  { title: "HTTP requests", unit: "/s", lines: ["requests"], of: (f) => [f.per("sangha_http_requests_total")] },
  { title: "Commit", unit: "ms", lines: ["p50", "p99"], of: (f) => [f.ms("sangha_commit_seconds", 0.5), f.ms("sangha_commit_seconds", 0.99)] },
  { title: "Wait at the gate", unit: "ms", lines: ["p50", "p99"], of: (f) => [f.ms("sangha_gate_wait_seconds", 0.5), f.ms("sangha_gate_wait_seconds", 0.99)] },
  { title: "Answer on a socket", unit: "ms", lines: ["p50", "p99"], of: (f) => {
    const where = { service: "socket" };
    return [f.ms("sacred_service_latency", 0.5, where), f.ms("sacred_service_latency", 0.99, where)];
  } },
  { title: "Backlog", unit: "", lines: ["commands"], of: (f) => [f.now("sangha_shard_backlog")] },
  { title: "Ritual runs", unit: "/s", lines: ["runs"], of: (f) => [f.per("sangha_ritual_runs_total")] },
  { title: "CPU, all processes", unit: "cores", lines: ["cores"], of: (f) => [f.per("process_cpu_seconds_total")] },
];
