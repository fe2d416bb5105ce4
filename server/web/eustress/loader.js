/**
 * A scene out of the lake, now or as it was: at most so many points, an even sample of more.
 */

import { everyNth, sampled } from "./projection.js";
import { Scene } from "./scene.js";

/** @typedef {import("./scene.js").Row} Row @typedef {import("./scene.js").Link} Link */

export const SHOWN = 20_000;
const LINKS = 40_000;
const PAGE = 2000;

/** @typedef {{scene: Scene, every: number, seen: number}} Loaded `every`: one in so many is shown; `seen`: of so many. */

/**
 * @param {import("./api.js").Lake} lake @param {string} space
 * @param {{at: string | null, expected: number, signal: AbortSignal, progress: (entities: number) => void}} how
 * @returns {Promise<Loaded>}
 */
export async function load(lake, space, { at, expected, signal, progress }) {
  const loaded = { scene: new Scene(), every: 1, seen: 0 };
  const server = everyNth(expected, SHOWN); // the server leaves out what it can; the rest is ours
  const query = { space, at, limit: PAGE };
  await lake.pages("/eustress/entities", { ...query, every: server > 1 ? server : null }, (rows) => {
    loaded.seen += rows.length * server;
    for (const row of rows) if (sampled(row.id, loaded.every)) loaded.scene.put(rowOf(row));
    if (loaded.scene.count > SHOWN) thin(loaded);
    progress(loaded.seen);
  }, signal);
  let kept = 0;
  await lake.pages("/eustress/connections", query, (rows) => {
    for (const link of rows.filter(outside).map(linkOf)) {
      if (!loaded.scene.slots.has(link.source) || !loaded.scene.slots.has(link.target)) continue;
      loaded.scene.connect(link);
      kept += 1;
    }
    return kept < LINKS;
  }, signal);
  loaded.every *= server;
  return loaded;
}

/** Half of them go, evenly. @param {Loaded} loaded */
function thin(loaded) {
  loaded.every *= 2;
  for (const { id } of [...loaded.scene.rows]) if (!sampled(id, loaded.every)) loaded.scene.remove(id);
}

/** @param {any} row As the server has it. @returns {Row} */
export function rowOf(row) {
  return { id: row.id, data: row.entity_data, flux: row.flux_position, parent: row.parent_id ?? null, depth: row.depth ?? 0 };
}

/** Whether a connection is drawn beside the tree. @param {any} row */
export const outside = (row) => row.connection_type !== "hierarchy" || row.in_tree === false;

/** @param {any} row @returns {Link} */
export function linkOf(row) {
  return { source: row.source_id, target: row.target_id, type: row.connection_type, strength: row.strength ?? 1, label: row.label ?? null };
}
