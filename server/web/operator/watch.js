/**
 * What happened between two looks at the topology: who went, who came, who was started anew. Pure.
 */

/** @typedef {{name: string, kind: string, index: number | string, node: string, pid: number, epoch?: number, entities?: number,
 *   backlog?: number, sockets?: number, outbox_bytes?: number, port?: number}} Process */
/** @typedef {{at: number, kind: "gone" | "back" | "new" | "server", text: string}} Happening */

/** Every process of a topology, by name. @param {any} topology @returns {Map<string, Process>} */
export function processes(topology) {
  const { server, database, gateways, shards } = topology;
  /** @type {Process[]} */
  const all = [
    { name: "serve", kind: "server", index: "", node: "", pid: server.pid },
    { name: "coordinator", kind: "coordinator", index: "", node: "", pid: server.coordinator_pid },
    { name: "database", kind: "database", index: "", node: "", pid: database.pid },
    ...gateways.map((/** @type {any} */ each, /** @type {number} */ at) => ({ ...each, kind: "gateway", index: at, name: `gateway/${at}` })),
    ...shards.map((/** @type {any} */ each) => ({ ...each, name: `${each.kind}/${each.index}` })),
  ];
  return new Map(all.map((each) => [each.name, each]));
}

/**
 * @param {Map<string, Process>} before @param {Map<string, Process>} after @param {number} at epoch ms
 * @returns {Happening[]}
 */
export function happenings(before, after, at) {
  /** @type {Happening[]} */
  const found = [];
  for (const [name, now] of after) {
    const earlier = before.get(name);
    if (!earlier) found.push({ at, kind: "new", text: `${name} is there, pid ${now.pid}` });
    else if (earlier.pid !== now.pid && now.pid) {
      const epoch = now.epoch && now.epoch < 1e9 ? `, epoch ${earlier.epoch} → ${now.epoch}` : "";
      found.push({ at, kind: "back", text: `${name} was started anew: pid ${earlier.pid ?? "none"} → ${now.pid}${epoch}` });
    } else if (earlier.pid && !now.pid) found.push({ at, kind: "gone", text: `${name} does not answer` });
  }
  for (const name of before.keys()) {
    if (!after.has(name)) found.push({ at, kind: "gone", text: `${name} is gone` });
  }
  return found;
}
