/**
 * Follows a space: pushes over the socket where there is a login for one, else the changes are asked for every two seconds.
 *
 * A small push carries its items: what they change is plain for moved entities, parameters and connections beside the tree, and is
 * applied at once. Anything else (new entities, the tree, removals, large ones, gaps) is fetched: only the server knows who got
 * which parent. While a fetch is under way nothing is applied past it.
 */

import { Client } from "/static/sangha.js";
import { fluxOf } from "./flux.js";
import { linkOf, rowOf } from "./loader.js";
import { sampled } from "./projection.js";

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {"live" | "polled" | "away"} How */
/** @typedef {{version: number, counts?: any, items?: any}} Changed */

const POLL_MS = 2000;
const PAGE = 2000;

export class Follower {
  /**
   * @param {import("./api.js").Lake} lake @param {string} space
   * @param {{changed: (rows: number) => void, marked: (what: string, body: any) => void, how: (how: How) => void}} tell
   */
  constructor(lake, space, tell) {
    this.lake = lake;
    this.space = space;
    this.tell = tell;
    /** @type {Scene | null} Null: nothing to keep up to date. */
    this.scene = null;
    this.every = 1;
    this.version = 0;
    this.fetching = false;
    this.again = false;
    this.over = new AbortController();
    /** @type {Client | null} */
    this.client = null;
    this.timer = 0;
  }

  /** The scene as of a version: what came later is fetched. @param {Scene} scene @param {number} version @param {number} every */
  keep(scene, version, every) {
    [this.scene, this.version, this.every] = [scene, version, every];
    this.fetch();
  }

  /** Changes are no longer applied, until there is something to `keep`. */
  rest() {
    this.scene = null;
  }

  /** By pushes, or where that cannot be, by asking. */
  async start() {
    try {
      await this.subscribe();
    } catch {
      this.ask();
    }
  }

  ask() {
    this.client?.close();
    this.client = null;
    clearTimeout(this.timer);
    if (this.over.signal.aborted) return;
    this.fetch();
    this.poll();
  }

  end() {
    this.over.abort();
    this.client?.close();
    clearTimeout(this.timer);
  }

  async subscribe() {
    const client = (this.client = new Client(this.lake.token ? { token: this.lake.token } : { local: true }));
    client.addEventListener("state", (event) => {
      const { state } = /** @type {CustomEvent} */ (event).detail;
      if (state === "ready") this.fetch();
      if (state !== "closed") this.tell.how(state === "ready" ? "live" : "away");
    });
    await client.open();
    const stream = await client.eustressSubscribe(this.space);
    stream.addEventListener("event", (event) => this.pushed(/** @type {CustomEvent} */ (event).detail));
    stream.addEventListener("snapshot", () => this.fetch());
    stream.addEventListener("left", () => this.client && this.ask());
    this.tell.how("live");
  }

  /** @param {{event: string, body: any}} push */
  pushed({ event, body }) {
    if (event !== "changed") this.tell.marked(event, body);
    else if (this.scene && !this.fetching && body.items && isPlain(this.scene, body.items)) this.apply(body);
    else this.fetch();
  }

  /** @param {Changed} change */
  apply({ version, items }) {
    if (!this.scene || version <= this.version) return;
    this.version = version;
    this.tell.changed(applied(this.scene, items));
  }

  poll() {
    this.timer = setTimeout(async () => {
      if (document.visibilityState === "visible") await this.fetch();
      if (!this.over.signal.aborted) this.poll();
    }, POLL_MS);
  }

  /** What changed since our version; once more where something came in between. */
  async fetch() {
    this.again = true;
    if (this.fetching || !this.scene) return;
    this.fetching = true;
    try {
      while (this.again && this.scene) {
        this.again = false;
        await this.changes(this.scene);
      }
      if (!this.client) this.tell.how("polled");
      else if (this.client.state === "ready") this.tell.how("live");
    } catch {
      if (this.over.signal.aborted) return;
      this.tell.how("away");
      if (this.client) this.timer = setTimeout(() => this.fetch(), POLL_MS);
    } finally {
      this.fetching = false;
    }
  }

  /** @param {Scene} scene */
  async changes(scene) {
    const path = `/eustress/changes/${encodeURIComponent(this.space)}`;
    let newest = this.version; // known to be ours once all of it has come
    await this.lake.pages(path, { after: this.version, limit: PAGE }, (rows) => {
      if (this.scene !== scene) return false;
      for (const row of rows) {
        this.row(scene, row);
        newest = row.version;
      }
      if (rows.length) this.tell.changed(rows.length);
      return true;
    }, this.over.signal);
    if (this.scene === scene) this.version = newest;
  }

  /** @param {Scene} scene @param {any} row A change, as a line of an ingest stream has it, with what the lake made of it. */
  row(scene, { entity, connection, remove_entity: left, remove_connection: gone, ...place }) {
    if (left !== undefined) scene.remove(left);
    else if (gone) scene.disconnect(linkOf(gone));
    else if (entity && (scene.slots.has(entity.id) || sampled(entity.id, this.every))) scene.put(rowOf({ id: entity.id, entity_data: entity, ...place }));
    else if (connection) joined(scene, linkOf(connection));
  }
}

/** A connection that makes its source the target's parent is part of the tree. @param {Scene} scene @param {import("./scene.js").Link} link */
function joined(scene, link) {
  const target = scene.get(link.target);
  if (link.type === "hierarchy" && target?.parent === link.source) scene.disconnect(link);
  else if (target && scene.slots.has(link.source)) scene.connect(link);
}

/** Whether a batch touches neither the tree nor who is there. @param {Scene} scene @param {any} items */
function isPlain(scene, { entities = [], connections = [], placements = [], removed_connections: gone = [], removed_entities: left = [] }) {
  const inTree = (/** @type {any} */ each) => each.connection_type === "hierarchy";
  return !left.length && !placements.length && !connections.some(inTree) && !gone.some(inTree) && entities.every((/** @type {any} */ each) => scene.slots.has(each.id));
}

/** How many items changed what is shown. @param {Scene} scene @param {any} items */
function applied(scene, { entities = [], connections = [], parameters = [], removed_connections: gone = [] }) {
  for (const data of entities) {
    const known = scene.get(data.id);
    if (known) scene.put({ ...known, data: { ...data }, flux: fluxOf(data.position ?? [0, 0, 0]) });
  }
  for (const link of connections.map(linkOf)) {
    if (scene.slots.has(link.source) && scene.slots.has(link.target)) scene.connect(link);
  }
  for (const { entity_id: id, parameter_name: name, value, remove } of parameters) {
    const known = scene.get(id);
    if (!known) continue;
    const { [name]: _, ...others } = known.data.parameters ?? {};
    scene.put({ ...known, data: { ...known.data, parameters: remove ? others : { ...others, [name]: value } } });
  }
  for (const link of gone.map(linkOf)) scene.disconnect(link);
  return entities.length + connections.length + parameters.length + gone.length;
}
