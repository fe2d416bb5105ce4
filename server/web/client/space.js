/**
 * A space that a client is in: its state, its pushes as events, what can be asked of it.
 *
 * @module
 */

import { Followed } from "./followed.js";

/** @typedef {import("./state.js").Push} Push */
/** @typedef {import("./connection.js").Client} Client */

/**
 * Events: those of `Followed`, and
 *
 * | type | detail |
 * |---|---|
 * | `presence` | `{joined, left, full?}`; `space.present` has everyone |
 * | `push` | any other push without a number: `coherence`, `ritual_progress` … |
 */
export class Space extends Followed {
  /**
   * @param {Client} client
   * @param {string} asked
   * @param {number | undefined} after
   */
  constructor(client, asked, after) {
    super(client, "space", asked, after);
    /** @type {Map<string, {id: string, name: string}>} Who is here now. */
    this.present = new Map();
  }

  /**
   * Say something to everyone in the space; resolves with its offset, once it is durable.
   * @param {any} body
   * @param {{timeoutMs?: number}} [options]
   * @returns {Promise<number>}
   */
  async send(body, options) {
    return (await this.client.request("space.send", { space: this.id, body }, options)).offset;
  }

  /**
   * Tell one's phase in radians. False where it was lost on the way: a stale phase is not sent again.
   * @param {number} phaseRad
   * @returns {Promise<boolean>}
   */
  pulse(phaseRad) {
    return this.client.pulse(this.id, phaseRad);
  }

  /**
   * Leave: a participant no longer, nothing more is dispatched. With `{ participant: true }` the stream alone is left.
   * @param {{participant?: boolean}} [options]
   */
  leave({ participant = false } = {}) {
    return this.leaveWith(participant ? null : "space.leave");
  }

  /** @param {Push} push @override @protected */
  unnumbered(push) {
    if (push.event !== "presence") {
      super.unnumbered(push);
      return;
    }
    if (push.full) this.present.clear();
    for (const one of push.joined ?? []) this.present.set(one.id, one);
    for (const one of push.left ?? []) this.present.delete(one.id);
    this.say("presence", push);
  }
}
