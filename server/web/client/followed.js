/**
 * What a client follows: a stream's state, and its pushes as events. `Space`, `Scene` and `Sound` say what can be asked of it.
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
 * | `push` | a push without a number |
 * | `left` | `{reason, error}`: the stream has ended, by `leave()` (`left`) or by an error (its code) |
 *
 * What came before the first listener could be there waits for it: nothing is dispatched before the code behind the `await`
 * that gave this object has run.
 */
export class Followed extends EventTarget {
  /** @type {Push[] | null} */ #held = [];
  /** @type {(() => void) | null} */ #started = null;

  /**
   * @param {Client} client
   * @param {string} kind
   * @param {string} asked
   * @param {number | undefined} after
   */
  constructor(client, kind, asked, after) {
    super();
    /** @protected */
    this.client = client;
    /** The stream's kind: `space`, `eustress`, `audio_session`. @readonly */
    this.kind = kind;
    /** Its id, once followed; what was asked for before. */
    this.id = asked;
    /** What was asked for: of a space the UUID or the slug. */
    this.asked = asked;
    /** @type {any} The newest snapshot (undefined where `after` asked for a replay): the state at its offset. */
    this.state = undefined;
    /** @type {number | undefined} The offset of what was dispatched last. */
    this.offset = after;
    /** @type {SanghaError | null} Why the stream ended, where an error ended it. */
    this.error = null;
    this.ended = false;
    /** The first snapshot is there, or none is needed. @type {Promise<void>} */
    this.started = new Promise((resolve) => {
      this.#started = resolve;
    });
    if (after !== undefined) this.#start();
  }

  /** What the request that begins it says. @type {Record<string, any>} @internal */
  get fields() {
    return this.offset === undefined ? { space: this.id } : { space: this.id, after: this.offset };
  }

  /** The stream's name, as `history` wants it. */
  get stream() {
    return `${this.kind}:${this.id}`;
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

  // For those that extend it

  /** What the request that ends it says. @type {Record<string, any>} @internal */
  get named() {
    return this.kind === "audio_session" ? { session: this.id } : { space: this.id };
  }

  /**
   * Nothing more is dispatched; the server is told by a request, or not at all.
   * @param {string | null} request
   * @protected
   */
  async leaveWith(request) {
    if (this.ended) return;
    this.client.unfollow(this);
    this.end(null);
    if (request === null || this.client.state === "closed") return;
    try {
      await this.client.request(request, this.named, { timeoutMs: LEAVE_TIMEOUT_MS });
    } catch (error) {
      if (!(error instanceof SanghaError)) throw error; // not a member any more, or nobody to tell: left either way
    }
  }

  /** A push without a number. @param {Push} push @protected */
  unnumbered(push) {
    this.say("push", push);
  }

  /** @param {string} type @param {any} detail @protected */
  say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
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
    this.say("left", { reason: this.error?.code ?? "left", error: this.error });
  }

  /** @param {Push} push */
  #dispatch(push) {
    if (push.offset !== undefined) this.offset = push.offset;
    if (push.event === "snapshot") {
      this.state = push.state;
      this.say("snapshot", { state: push.state, offset: push.offset, reason: push.reason });
    } else if (push.offset !== undefined) {
      this.say("event", push);
    } else {
      this.unnumbered(push);
    }
  }
}
