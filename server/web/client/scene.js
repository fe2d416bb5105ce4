/**
 * A Eustress space that a client watches: its figures, its changes as events, what can be asked of it.
 *
 * @module
 */

import { Followed } from "./followed.js";

/** @typedef {import("./connection.js").Client} Client */

/**
 * Events: those of `Followed`; the numbered ones are `changed`, `snapshot_taken`, `policy` and `epoch`.
 */
export class Scene extends Followed {
  /**
   * @param {Client} client
   * @param {string} name
   * @param {number | undefined} after
   */
  constructor(client, name, after) {
    super(client, "eustress", name, after);
  }

  /**
   * Changes of the scene, all or none; see `Client.eustressIngest`.
   * @param {Record<string, any[]>} items
   * @param {{timeoutMs?: number}} [options]
   */
  ingest(items, options) {
    return this.client.eustressIngest(this.id, items, options);
  }

  /** Watch it no longer. */
  unsubscribe() {
    return this.leaveWith("eustress.unsubscribe");
  }
}
