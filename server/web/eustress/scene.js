/**
 * A scene as the page holds it: columns of numbers for what is drawn, the engine's own data beside them.
 *
 * A slot is a row of the columns; a removed entity's is taken by the last one. Whoever is whose parent is kept by id, since a parent
 * may come later or not be shown at all; `parents` gives slots. No element is made here and nothing is asked for.
 */

import { sizeOf } from "./projection.js";

/**
 * @typedef {object} Row An entity as it is now.
 * @property {string} id
 * @property {Record<string, any>} data As the engine sent it.
 * @property {number} flux
 * @property {string | null} parent
 * @property {number} depth
 *
 * @typedef {object} Link A connection that is no part of the tree: of another type, or one that waits for its place.
 * @property {string} source
 * @property {string} target
 * @property {string} type
 * @property {number} strength
 * @property {string | null} label
 */

const ROOM = 1024;

export class Scene {
  constructor() {
    this.count = 0;
    this.x = new Float64Array(ROOM);
    this.y = new Float64Array(ROOM);
    this.z = new Float64Array(ROOM);
    this.size = new Float32Array(ROOM);
    this.flux = new Uint8Array(ROOM);
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Map<string, number>} */
    this.slots = new Map();
    /** @type {Map<string, Link>} */
    this.links = new Map();
    /** Changes when lines, sizes or the number of points do. */
    this.shape = 0;
    /** @type {{shape: number, tree: Int32Array, links: Int32Array, roots: number[], usual: number} | null} */
    this.drawn = null;
  }

  /** There it is, or there it is changed. @param {Row} row */
  put(row) {
    const known = this.slots.get(row.id);
    const slot = known ?? this.count;
    if (known === undefined) {
      if (slot === this.x.length) this.grow();
      this.count += 1;
      this.slots.set(row.id, slot);
    }
    const before = this.rows[slot];
    const size = sizeOf(row.data.scale);
    if (known === undefined || before.parent !== row.parent || this.size[slot] !== Math.fround(size)) this.shape += 1;
    this.rows[slot] = row;
    const [x = 0, y = 0, z = 0] = row.data.position ?? [];
    [this.x[slot], this.y[slot], this.z[slot]] = [x, y, z];
    this.size[slot] = size;
    this.flux[slot] = row.flux;
  }

  /** It is gone. @param {string} id */
  remove(id) {
    const slot = this.slots.get(id);
    if (slot === undefined) return;
    const last = (this.count -= 1);
    for (const column of [this.x, this.y, this.z, this.size, this.flux]) column[slot] = column[last];
    this.rows[slot] = this.rows[last];
    this.slots.set(this.rows[slot].id, slot);
    this.slots.delete(id);
    this.rows.length = last;
    this.shape += 1;
  }

  /** @param {Link} link */
  connect(link) {
    const key = keyOf(link);
    if (!this.links.has(key)) this.shape += 1;
    this.links.set(key, link);
  }

  /** @param {{source: string, target: string, type: string}} link */
  disconnect(link) {
    if (this.links.delete(keyOf(link))) this.shape += 1;
  }

  /** @param {string} id @returns {Row | undefined} */
  get(id) {
    const slot = this.slots.get(id);
    return slot === undefined ? undefined : this.rows[slot];
  }

  /** @param {string} id @returns {Row[]} */
  children(id) {
    return this.rows.filter(({ parent }) => parent === id);
  }

  /** @param {string} id @returns {Link[]} */
  linksOf(id) {
    return [...this.links.values()].filter(({ source, target }) => source === id || target === id);
  }

  /** What is drawn between points, as pairs of slots; parents without a parent; the usual size of a point. */
  lines() {
    if (this.drawn?.shape === this.shape) return this.drawn;
    const tree = this.rows.flatMap(({ parent }, slot) => {
      const above = parent === null ? undefined : this.slots.get(parent);
      return above === undefined ? [] : [above, slot];
    });
    /** @type {number[]} */
    const links = [];
    for (const { source, target } of this.links.values()) {
      const [from, to] = [this.slots.get(source), this.slots.get(target)];
      if (from !== undefined && to !== undefined) links.push(from, to);
    }
    const sizes = this.size.slice(0, this.count).sort();
    const usual = sizes[sizes.length >> 1] ?? 1;
    const above = new Set(tree.filter((_, at) => at % 2 === 0));
    const roots = [...above].filter((slot) => this.rows[slot].parent === null);
    return (this.drawn = { shape: this.shape, tree: Int32Array.from(tree), links: Int32Array.from(links), roots, usual });
  }

  /** How many of each flux position, by position. */
  census() {
    const found = new Array(10).fill(0);
    for (let slot = 0; slot < this.count; slot += 1) found[this.flux[slot]] += 1;
    return found;
  }

  grow() {
    const room = this.x.length * 2;
    const wider = (/** @type {any} */ column) => {
      const next = new column.constructor(room);
      next.set(column);
      return next;
    };
    [this.x, this.y, this.z, this.size, this.flux] = [this.x, this.y, this.z, this.size, this.flux].map(wider);
  }
}

/** @param {{source: string, target: string, type: string}} link */
const keyOf = ({ source, target, type }) => JSON.stringify([source, target, type]);
