/**
 * The lake in numbers and words: rates out of looks, lights out of metadata, times as one says them. Pure.
 */

/**
 * @typedef {object} Metadata As the seed has it.
 * @property {number} entity_count
 * @property {number} connection_count
 * @property {number} hierarchy_depth
 * @property {number} sacred_entity_count
 * @property {number} quality_score
 *
 * @typedef {object} State
 * @property {string} space_name
 * @property {number} version
 * @property {string} created_at
 * @property {string} changed_at
 * @property {number} unresolved
 * @property {number} scene_bytes
 * @property {number} entities_seen
 * @property {number} changes
 * @property {number} snapshots
 * @property {string | null} last_snapshot
 * @property {string | null} horizon
 * @property {Record<string, any>} policy
 * @property {{status: string, reasons: string[]}} [health]
 *
 * @typedef {State & Metadata} Space
 */

const WINDOW_MS = 120_000;

/** How fast changes come in, by space, out of looks at their counters. */
export class Rates {
  constructor() {
    /** @type {{at: number, changes: Map<string, number>}[]} */
    this.looks = [];
  }

  /** @param {number} at epoch ms @param {Space[]} spaces */
  add(at, spaces) {
    this.looks.push({ at, changes: new Map(spaces.map((space) => [space.space_name, space.changes])) });
    while (this.looks[0].at < at - WINDOW_MS) this.looks.shift();
  }

  /** Changes a second between looks, oldest first. @param {string} name */
  of(name) {
    return this.looks.slice(1).map((look, before) => grown(this.looks[before], look, name));
  }

  /** Over all spaces since the look before; null at the first. */
  get total() {
    const [before, now] = this.looks.slice(-2);
    if (!now) return null;
    return [...now.changes.keys()].reduce((sum, name) => sum + grown(before, now, name), 0);
  }
}

/** @typedef {{at: number, changes: Map<string, number>}} Look */
/** A space that was not there before has counted from 0. @param {Look} before @param {Look} now @param {string} name */
function grown(before, now, name) {
  const count = (now.changes.get(name) ?? 0) - (before.changes.get(name) ?? 0);
  return Math.max(0, count) / Math.max(0.001, (now.at - before.at) / 1000);
}

/** The four quarters of quality. @param {Metadata} metadata @returns {{name: string, lit: boolean}[]} */
export function lights({ entity_count, connection_count, hierarchy_depth, sacred_entity_count }) {
  return [
    { name: "entities", lit: entity_count > 0 },
    { name: "connections", lit: connection_count > 0 },
    { name: "hierarchy", lit: hierarchy_depth > 0 },
    { name: "sacred", lit: sacred_entity_count > 0 },
  ];
}

/** @param {Metadata} metadata */
export function lightsInWords(metadata) {
  const [lit, dark] = [true, false].map((which) => lights(metadata).filter((light) => light.lit === which).map(({ name }) => name));
  if (!dark.length) return "has all four";
  return lit.length ? `has ${lit.join(", ")}; lacks ${dark.join(", ")}` : "is empty";
}

/** The share of sacred entities, 0 to 1; null of no entity. @param {Metadata} metadata */
export const sacredShare = ({ entity_count, sacred_entity_count }) => (entity_count ? sacred_entity_count / entity_count : null);

/** @param {number | null} share */
export const percent = (share) => (share === null ? "–" : `${(share * 100).toFixed(share && share < 0.1 ? 1 : 0)} %`);

/** @param {number} n */
export const whole = (n) => n.toLocaleString("en");

/** @param {number} n @param {string} one @param {string} [many] */
export const counted = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;

/** "3 s ago". @param {string | null | undefined} at @param {number} now epoch ms, by the server's clock */
export function ago(at, now) {
  if (!at) return "never";
  const seconds = Math.max(0, (now - Date.parse(at)) / 1000);
  return seconds < 1 ? "just now" : `${lasting(seconds)} ago`;
}

/** @param {number} seconds */
export function lasting(seconds) {
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

/** @param {Record<string, any>} policy */
export function policyWords(policy) {
  const snapshots = [
    policy.snapshot_every_updates && counted(policy.snapshot_every_updates, "change"),
    policy.snapshot_interval_s && lasting(policy.snapshot_interval_s),
  ].filter(Boolean);
  return [
    policy.ordering,
    snapshots.length ? `snapshot every ${snapshots.join(" or ")}` : "snapshots by hand only",
    policy.retention_s ? `kept ${lasting(policy.retention_s)}${policy.archive ? ", then archived" : ""}` : "kept for ever",
    policy.trains_by_default ? "trains unless refused" : "trains only where allowed",
  ].join(", ");
}

/** What a table can be sorted by. @type {Record<string, (space: Space) => number | string>} */
export const ORDERS = {
  space: (space) => space.space_name,
  entities: (space) => space.entity_count,
  connections: (space) => space.connection_count,
  depth: (space) => space.hierarchy_depth,
  sacred: (space) => sacredShare(space) ?? -1,
  quality: (space) => space.quality_score,
  unresolved: (space) => space.unresolved,
  changed: (space) => Date.parse(space.changed_at) || 0,
  snapshot: (space) => Date.parse(space.last_snapshot ?? "") || 0,
};

/** @param {Space[]} spaces @param {string} by @param {boolean} down @returns {Space[]} */
export function sorted(spaces, by, down) {
  const of = ORDERS[by];
  const compare = (/** @type {any} */ one, /** @type {any} */ other) => (typeof one === "string" ? one.localeCompare(other) : one - other);
  return [...spaces].sort((one, other) => (down ? -1 : 1) * compare(of(one), of(other)) || one.space_name.localeCompare(other.space_name));
}
