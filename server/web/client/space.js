/**
 * A space that a client is in: its state, its pushes as events, what can be asked of it.
 *
 * @module
 */

import { SanghaError } from "./errors.js";

/** @typedef {import("./state.js").Push} Push */
/** @typedef {import("./connection.js").Client} Client */

/** How long leaving waits for the server to take note; a server that is away takes note by its own alarm. */
const LEAVE_TIMEOUT_MS = 2000;

/**
 * Events (`addEventListener(type, ({ detail }) => …)`):
 *
 * | type | detail |
 * |---|---|
 * | `snapshot` | `{state, offset, reason}`: start over from this state (`reason` `joined` or `gap`) |
 * | `event` | `{offset, at, event, from, body}`: numbered, each once, in order |
 * | `presence` | `{joined, left, full?}`; `space.present` has everyone |
 * | `push` | any other push without a number: `coherence`, `ritual_progress` … |
 * | `left` | `{reason, error}`: the stream has ended, by `leave()` (`left`) or by an error (its code) |
 *
 * What came before the first listener could be there waits for it: nothing is dispatched before the code behind
 * `await client.join(…)` has run.
 */
export class Space extends EventTarget {
  /** @type {Client} */ #client;
  /** @type {Push[] | null} */ #held = [];
  /** @type {(() => void) | null} */ #started = null;

  /**
   * @param {Client} client
   * @param {string} asked
   * @param {number | undefined} after
   */
  constructor(client, asked, after) {
    super();
    this.#client = client;
    /** The UUID, once joined; what was asked for before. */
    this.id = asked;
    /** What was asked for: the UUID or the slug. */
    this.asked = asked;
    /** @type {any} The newest snapshot (undefined where `after` asked for a replay): the state at its offset. */
    this.state = undefined;
    /** @type {number | undefined} The offset of what was dispatched last. */
    this.offset = after;
    /** @type {Map<string, {id: string, name: string}>} Who is here now. */
    this.present = new Map();
    /** @type {SanghaError | null} Why the stream ended, where an error ended it. */
    this.error = null;
    this.ended = false;
    /** The first snapshot is there, or none is needed. @type {Promise<void>} */
    this.started = new Promise((resolve) => {
      this.#started = resolve;
    });
    if (after !== undefined) this.#start();
  }

  /** The stream's name, as `history` wants it. */
  get stream() {
    return `space:${this.id}`;
  }

  /**
   * Say something to everyone in the space; resolves with its offset, once it is durable.
   * @param {any} body
   * @param {{timeoutMs?: number}} [options]
   * @returns {Promise<number>}
   */
  async send(body, options) {
    return (await this.#client.request("space.send", { space: this.id, body }, options)).offset;
  }

  /**
   * Tell one's phase in radians. False where it was lost on the way: a stale phase is not sent again.
   * @param {number} phaseRad
   * @returns {Promise<boolean>}
   */
  pulse(phaseRad) {
    return this.#client.pulse(this.id, phaseRad);
  }

  /**
   * Leave: a participant no longer, nothing more is dispatched. With `{ participant: true }` the stream alone is left.
   * @param {{participant?: boolean}} [options]
   */
  async leave({ participant = false } = {}) {
    if (this.ended) return;
    this.#client.unfollow(this);
    this.end(null);
    if (participant || this.#client.state === "closed") return;
    try {
      await this.#client.request("space.leave", { space: this.id }, { timeoutMs: LEAVE_TIMEOUT_MS });
    } catch (error) {
      if (!(error instanceof SanghaError)) throw error; // not a member any more, or nobody to tell: left either way
    }
  }

  /**
   * Numbered events and snapshots as an async iterator with a bounded queue, which ends with the stream. A snapshot is
   * `{event: "snapshot", state, offset, reason}`. Throws `overflow` where the loop reads far slower than it fills.
   * @param {{limit?: number}} [options]
   * @returns {AsyncGenerator<Push, void, void>}
   */
  async *events({ limit = 1024 } = {}) {
    /** @type {Push[]} */ const queue = [];
    let over = this.ended;
    let wake = () => {};
    const put = (/** @type {any} */ { type, detail }) => {
      if (type === "left") over = true;
      else if (queue.length <= limit) queue.push(type === "snapshot" ? { event: "snapshot", ...detail } : detail);
      wake();
    };
    const types = ["snapshot", "event", "left"];
    for (const type of types) this.addEventListener(type, put);
    try {
      while (queue.length > 0 || !over) {
        if (queue.length > limit) throw new SanghaError("overflow", `more than ${limit} events wait unread`);
        const next = queue.shift();
        if (next !== undefined) yield next;
        else await new Promise((resolve) => { wake = () => resolve(undefined); });
      }
      if (this.error !== null) throw this.error;
    } finally {
      for (const type of types) this.removeEventListener(type, put);
    }
  }

  // For the client

  /** Nothing was dispatched yet. @internal */
  get isHeld() {
    return this.#held !== null;
  }

  /** A push came. @param {Push} push @internal */
  deliver(push) {
    if (push.event === "snapshot" && this.#started !== null) {
      this.state = push.state;
      this.offset = push.offset;
      this.#start();
    }
    if (this.#held !== null) this.#held.push(push);
    else this.#dispatch(push);
  }

  /** The code behind `await join()` has run: dispatch from now on. @internal */
  release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const push of held) this.#dispatch(push);
    if (this.ended) this.#sayEnd();
  }

  /** Nothing more will come. @param {SanghaError | null} error @internal */
  end(error) {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    this.#start();
    if (this.#held === null) this.#sayEnd();
  }

  #start() {
    this.#started?.();
    this.#started = null;
  }

  #sayEnd() {
    this.#say("left", { reason: this.error?.code ?? "left", error: this.error });
  }

  /** @param {Push} push */
  #dispatch(push) {
    if (push.offset !== undefined) this.offset = push.offset;
    if (push.event === "snapshot") {
      this.state = push.state;
      this.#say("snapshot", { state: push.state, offset: push.offset, reason: push.reason });
    } else if (push.offset !== undefined) {
      this.#say("event", push);
    } else if (push.event === "presence") {
      if (push.full) this.present.clear();
      for (const one of push.joined ?? []) this.present.set(one.id, one);
      for (const one of push.left ?? []) this.present.delete(one.id);
      this.#say("presence", push);
    } else {
      this.#say("push", push);
    }
  }

  /** @param {string} type @param {any} detail */
  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
