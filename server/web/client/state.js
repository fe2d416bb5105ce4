/**
 * The client's side of the native dialect as a state machine: no socket, no clock, no randomness. The twin of the Python
 * client's `server/client_state.py`; the same recorded histories hold for both.
 *
 * The shell (`connection.js`) says what happened (`connected`, `received`, `lost`, `wake`, `submit`) and performs what
 * `take` returns. What always holds, whatever is cut and whenever:
 *
 * - A request gets exactly one outcome, `resolved` or `failed`. Until then it is sent again on every new connection, in
 *   order and with the same id. A lossy request (a pulse) is sent at most once and fails when its connection goes.
 * - A stream's numbered events are delivered once, in order, without a hole, or there is a snapshot where the hole was.
 * - A new session knows nothing of the old one's ids. What was sent and unanswered then and is not idempotent fails with
 *   `outcome_unknown`: sending it again could do it twice.
 *
 * Times are seconds of any monotonic clock.
 *
 * @module
 */

import { SanghaError, connectionLost, errorOf, retryAfterS, violation } from "./errors.js";
import { AUTH_ID, Requests } from "./requests.js";

/** @typedef {import("./requests.js").Request} Request */

/**
 * @typedef {{kind: "send", frame: string}
 *   | {kind: "opened", handle: number, stream: string}
 *   | {kind: "tuned", stream: string, result: any}
 *   | {kind: "resolved", handle: number, result: any}
 *   | {kind: "failed", handle: number, error: SanghaError}
 *   | {kind: "delivered", event: Push}
 *   | {kind: "ended", stream: string, error: SanghaError}
 *   | {kind: "hangUp", why: string}
 *   | {kind: "welcomed", resumed: boolean}
 *   | {kind: "bye", retryAfterS: number}} Output What the shell has to do.
 */

/**
 * @typedef {object} Push What the server said of a stream. `event` is "snapshot" where it starts over from `state`.
 * @property {string} stream
 * @property {string} event
 * @property {number} [offset] Missing where it is not numbered (presence, coherence).
 * @property {string} [at]
 * @property {{id: string, name: string | null}} [from]
 * @property {any} [body]
 * @property {any} [state]
 * @property {string} [reason]
 * @property {any[]} [joined]
 * @property {any[]} [left]
 * @property {boolean} [full]
 */

/** @typedef {{baseS: number, capS: number}} Backoff Capped exponential backoff with full jitter. */
/** @typedef {{roundTripS: number, offsetS: number}} ClockSample One ping: the server's epoch seconds minus our clock. */

export const WAITING = "waiting";
const AUTHENTICATING = "authenticating";
export const CONNECTED = "connected";
const CLOSING = "closing";
export const STOPPED = "stopped";

/** The protocol's defaults, until the authentication's reply states the server's own. */
const UNANSWERED_MAX = 256;
const FRAME_BYTES = 64 * 1024;
const HEARTBEAT_S = 25;
const AUTH_TIMEOUT_S = 10;
/** After a ping with nothing heard for this long the connection is dead, whatever TCP thinks. */
const PONG_TIMEOUT_S = 10;
/** The same where there is reason to doubt it: the tab was hidden, the machine slept. */
const DOUBT_TIMEOUT_S = 3;
/** A connection that lived this long was a good one: the backoff starts over. */
const STABLE_AFTER_S = 5;
/** A refusal that asks to wait for longer (a day's quota) is the caller's to hear of. */
const PATIENCE_S = 60;
const CLOCK_SAMPLES = 8;
/** The session is another socket's now: another tab with the same memory took it over. */
const TAKEN_OVER = 1000;

/** Requests that may be asked again in another session: a second one changes nothing. */
const IDEMPOTENT = new Set([
  "ping", "history", "space.list", "space.get", "space.join", "space.leave", "space.ritual.get", "state.get",
  "state.history", "eustress.subscribe", "eustress.unsubscribe", "audio.listen", "audio.unlisten",
]);

/** By kind of stream, the request that begins it. (One's own begins by itself.) @type {Record<string, string>} */
export const FOLLOWS = { space: "space.join", eustress: "eustress.subscribe", audio_session: "audio.listen" };
const FOLLOWED = new Map(Object.entries(FOLLOWS).map(([kind, type]) => [type, kind]));

/** See the module. */
export class ClientState {
  /** @type {Output[]} */ #outputs = [];
  /** @type {Map<string, number>} Where each stream has had a gap before. */ #gaps = new Map();
  /** @type {Set<string>} Streams whose join, made by the machine itself, has no answer yet: a resume cannot name them. */
  #rejoining = new Set();
  /** @type {Map<string, Record<string, any>>} What was asked of each audio session: it is asked again, since sound is not resumed. */
  #listening = new Map();
  #attempt = 0;
  /** @type {number | null} When the silence of the peer ends this connection (its reply, or its close after a bye). */
  #deadline = null;
  /** @type {number | null} */ #byeDelayS = null;
  #atOnce = false;
  /** Something new came since the last close for slowness: resuming at once cannot be a loop. */
  #progress = true;
  /** This connection got as far as an authentication. */
  #up = false;
  /** Requests went out under some session, which the next authentication may or may not take up. */
  #inSession = false;
  #clockDoubted = false;
  #pingIntervalS = HEARTBEAT_S;

  /**
   * @param {{token: string} | {guest: string} | {}} credentials Nothing: the local user's.
   * @param {object} options
   * @param {() => number} options.jitter Uniform numbers in [0, 1).
   * @param {number} [options.now]
   * @param {Backoff} [options.backoff]
   * @param {number | null} [options.giveUpAfterS]
   * @param {number | null} [options.pingIntervalS]
   * @param {{session: string, secret?: string, nextId: number, offsets?: Record<string, number>} | null} [options.resume]
   *   What an earlier page of this tab left.
   */
  constructor(credentials, { jitter, now = 0, backoff, giveUpAfterS = null, pingIntervalS = null, resume = null }) {
    this.credentials = credentials;
    this.phase = WAITING;
    /** @type {SanghaError | null} */ this.error = null;
    this.reconnectAt = now;
    /** @type {string | null} */ this.session = resume?.session ?? null;
    /** @type {string | null} */ this.secret = resume?.secret ?? null;
    /** @type {Record<string, any>} */ this.practitioner = {};
    /** @type {Record<string, any>} */ this.limits = {};
    this.everConnected = false;
    /** @type {SanghaError | null} The newest error that belonged to no request: often the reason of a close. */
    this.lastError = null;
    /** @type {ClockSample[]} */ this.clock = [];
    /** @type {Map<string, number | null>} The last offset of each followed stream; null until its snapshot came. */
    this.offsets = new Map(Object.entries(resume?.offsets ?? {}));
    this.requests = new Requests(resume?.nextId);
    this.giveUpAfterS = giveUpAfterS;
    this.jitter = jitter;
    this.backoff = backoff ?? { baseS: 0.25, capS: 10 };
    this.askedPingIntervalS = pingIntervalS;
    this.#inSession = resume !== null;
    this.downSince = this.connectedAt = this.pingAt = now;
    /** The server named the delay: hurrying would be rude. */
    this.delayIsNamed = false;
  }

  // What the shell asks

  /** What to do, in order. Each is given once. */
  take() {
    const outputs = this.#outputs;
    this.#outputs = [];
    return outputs;
  }

  /** When `wake` has something to do next; null while only the outside can move us. @returns {number | null} */
  nextWake() {
    if (this.phase === AUTHENTICATING) return this.#deadline;
    if (this.phase !== CONNECTED) return null;
    let due = this.#deadline ?? this.pingAt;
    for (const request of this.requests.later) due = Math.min(due, request.notBefore);
    return due;
  }

  get stopped() {
    return this.phase === STOPPED;
  }

  /** The stream of what concerns the practitioner alone. */
  get ownStream() {
    return `practitioner:${this.practitioner.id}`;
  }

  /** The sample with the shortest round trip of the last few: its error is at most half of that. */
  get clockSample() {
    return this.clock.reduce((best, one) => (best && best.roundTripS <= one.roundTripS ? best : one), this.clock[0]);
  }

  // What happened: requests

  /**
   * A request; the handle under which its outcome will come.
   * @param {string} type
   * @param {Record<string, any>} fields
   * @param {number} now
   * @param {{lossy?: boolean}} [options]
   */
  submit(type, fields, now, { lossy = false } = {}) {
    const request = this.requests.add(type, fields, lossy);
    const size = request.bytes;
    if (this.stopped) {
      this.#fail(request, this.error ?? connectionLost("the client is closed"));
    } else if (size > (this.limits.frame_bytes ?? FRAME_BYTES)) {
      this.#fail(request, new SanghaError("too_large", `a request of ${size} bytes is over the limit of a frame`));
    } else if (lossy && this.phase !== CONNECTED) {
      this.#fail(request, connectionLost("not connected"));
    }
    this.#pump(now);
    return request.handle;
  }

  /** Nobody waits for this request any more; it may or may not be done. @param {number} handle @param {number} now */
  forget(handle, now) {
    const request = this.requests.byHandle.get(handle);
    if (request === undefined) return;
    this.requests.drop(request);
    this.#pump(now);
  }

  /** Deliver nothing more of a stream and do not resume it. @param {string} stream */
  unfollow(stream) {
    this.offsets.delete(stream);
    this.#gaps.delete(stream);
    this.#rejoining.delete(stream);
    this.#listening.delete(stream);
  }

  // What happened: the connection

  /** A socket is open. @param {number} now */
  connected(now) {
    if (this.stopped) return;
    this.phase = AUTHENTICATING;
    this.#deadline = now + AUTH_TIMEOUT_S;
    this.#byeDelayS = null;
    /** @type {Record<string, any>} */
    const frame = { id: AUTH_ID, type: "auth", ...this.credentials };
    if (this.session !== null) {
      frame.resume = { session: this.session, offsets: this.#resumable() };
      if (this.secret !== null) frame.resume.secret = this.secret;
    }
    this.#outputs.push({ kind: "send", frame: JSON.stringify(frame) });
  }

  /** A frame came. @param {string} frame @param {number} now */
  received(frame, now) {
    if (this.phase !== AUTHENTICATING && this.phase !== CONNECTED) return;
    try {
      const message = JSON.parse(frame);
      if (this.#byeDelayS === null && this.phase === CONNECTED) this.#deadline = null;
      this.#handle(message, now);
    } catch (error) {
      this.stop(violation(`cannot be understood (${error}): ${String(frame).slice(0, 200)}`));
      return;
    }
    this.#pump(now);
  }

  /**
   * The connection is gone, or could not be made.
   * @param {number} now
   * @param {number} [code] Its close code.
   */
  lost(now, code) {
    if (this.stopped) return;
    const wasUp = this.#up;
    this.#up = false;
    if (wasUp) this.downSince = now;
    const fatal = fatalError(code, this.lastError);
    if (fatal !== null) {
      this.stop(fatal);
      return;
    }
    if (code === TAKEN_OVER && this.phase === CONNECTED && this.#byeDelayS === null) this.#forgetSession();
    this.#offWire();
    this.reconnectAt = now + this.#delayS(now, code, wasUp);
    this.phase = WAITING;
    this.#deadline = null;
    if (this.giveUpAfterS !== null && this.reconnectAt - this.downSince > this.giveUpAfterS) {
      this.stop(connectionLost(`no connection for ${this.giveUpAfterS} s`));
    }
  }

  /** The time that `nextWake` named has come. @param {number} now */
  wake(now) {
    for (const request of this.requests.later) if (request.notBefore <= now) this.requests.later.delete(request);
    if (this.#deadline !== null && now >= this.#deadline) this.#hangUp("the server does not answer");
    else if (this.phase === CONNECTED && this.#deadline === null && now >= this.pingAt) this.#ping(now, PONG_TIMEOUT_S);
    this.#pump(now);
  }

  /**
   * There is reason to doubt the connection, or to try again at once: the tab is seen again, the network is back.
   * @param {number} now
   * @param {{anew?: boolean}} [options] `anew`: the old connection cannot have survived.
   */
  hurry(now, { anew = false } = {}) {
    this.#clockDoubted = true;
    if (this.phase === WAITING && !this.delayIsNamed) {
      this.reconnectAt = Math.min(this.reconnectAt, now);
    } else if (this.phase === CONNECTED && this.#byeDelayS === null) {
      if (anew) {
        this.#atOnce = true;
        this.#hangUp("the network changed");
      } else if (this.#deadline === null) {
        this.#ping(now, DOUBT_TIMEOUT_S);
      }
    }
    this.#pump(now);
  }

  /** The end: every request fails, every stream ends, the connection is closed. @param {SanghaError} error */
  stop(error) {
    if (this.stopped) return;
    this.#outputs.push({ kind: "hangUp", why: error.message });
    this.phase = STOPPED;
    this.error = error;
    this.#deadline = null;
    for (const request of [...this.requests.byHandle.values()]) this.#fail(request, error);
    for (const stream of this.offsets.keys()) this.#outputs.push({ kind: "ended", stream, error });
    this.offsets.clear();
  }

  // Frames, by type

  /** Other types are ignored: a newer server may say more than we know. @param {any} message @param {number} now */
  #handle(message, now) {
    switch (message.type) {
      case "result": return this.#onResult(message, now);
      case "error": return this.#onError(message, now);
      case "event": return this.#onEvent(message);
      case "snapshot": return this.#onSnapshot(message);
      case "bye": return this.#onBye(message, now);
    }
  }

  /** @param {any} message @param {number} now */
  #onResult(message, now) {
    if (message.id === AUTH_ID) {
      if (this.phase === AUTHENTICATING) this.#authenticated(message.result, now);
      return;
    }
    const request = this.requests.answered(message.id);
    if (request === undefined) return;
    this.requests.drop(request);
    this.#progress = true;
    if (request.type === "ping") this.#measure(request, message.result, now);
    if (FOLLOWED.has(request.type)) this.#joined(request, message.result);
    if (!request.internal) this.#outputs.push({ kind: "resolved", handle: request.handle, result: message.result });
  }

  /** @param {any} message @param {number} now */
  #onError(message, now) {
    const error = errorOf(message.error);
    const waitS = retryAfterS(message.error);
    if ((message.id ?? null) === null) {
      this.lastError = error;
    } else if (message.id === AUTH_ID && this.phase === AUTHENTICATING) {
      this.#refused(error, waitS);
    } else {
      const request = this.requests.answered(message.id);
      if (request === undefined) return;
      if (error.retryable && !request.lossy && waitS <= PATIENCE_S) this.#tryLater(request, error, waitS, now);
      else this.#fail(request, error);
    }
  }

  /** @param {any} message */
  #onEvent(message) {
    const { stream, offset = null, event } = message;
    if (!this.offsets.has(stream) && stream !== this.ownStream) return;
    if (offset !== null && !this.#advance(stream, offset)) return;
    if (offset === null && event === "left" && message.body?.reason !== undefined) {
      this.unfollow(stream);
      const error = new SanghaError(message.body.reason, "the stream is not ours any more");
      this.#outputs.push({ kind: "ended", stream, error });
      return;
    }
    const { type: _, ...push } = message;
    this.#outputs.push({ kind: "delivered", event: push });
  }

  /** @param {any} message */
  #onSnapshot({ stream, offset, state, reason }) {
    if (!this.offsets.has(stream) || this.offsets.get(stream) === offset) return; // nothing is new to us
    this.offsets.set(stream, offset);
    this.#progress = true;
    this.#gaps.delete(stream);
    this.#outputs.push({ kind: "delivered", event: { stream, event: "snapshot", offset, state, reason } });
  }

  /** @param {any} message @param {number} now */
  #onBye(message, now) {
    this.#byeDelayS = (message.retry_after_ms ?? 0) / 1000;
    this.#deadline = now + PONG_TIMEOUT_S;
    this.#outputs.push({ kind: "bye", retryAfterS: this.#byeDelayS });
  }

  // Streams

  /** Whether the numbered event is the next one. @param {string} stream @param {number} offset */
  #advance(stream, offset) {
    let last = this.offsets.get(stream) ?? null;
    if (last === null) {
      if (!isOwn(stream)) return false; // the snapshot that is still to come contains it
      last = offset - 1;
    }
    if (offset <= last) return false;
    if (offset > last + 1) {
      this.#gap(stream, last, offset);
      return false;
    }
    this.offsets.set(stream, offset);
    this.#progress = true;
    this.#gaps.delete(stream);
    return true;
  }

  /** @param {string} stream @param {number} last @param {number} offset */
  #gap(stream, last, offset) {
    const jump = `${stream} goes from ${last} to ${offset} without a snapshot`;
    if (this.#gaps.get(stream) === last) {
      this.stop(violation(`${jump}, also after a resume`));
      return;
    }
    this.#gaps.set(stream, last);
    this.#atOnce = true;
    this.#hangUp(jump);
  }

  /** @param {Request} request @param {any} result */
  #joined(request, result) {
    const stream = `${FOLLOWED.get(request.type)}:${spaceId(result)}`;
    if (request.rejoins !== null) {
      this.#rejoining.delete(request.rejoins);
    } else {
      if (!this.offsets.has(stream)) this.offsets.set(stream, request.fields.after ?? null);
      this.#outputs.push({ kind: "opened", handle: request.handle, stream });
    }
    if (isSound(stream)) {
      this.#listening.set(stream, request.fields);
      this.#outputs.push({ kind: "tuned", stream, result });
    }
    if (request.rejoins !== null) return;
    // The first reply may come back for a join that subscribed a connection which is gone. Joining again
    // subscribes this one for certain; a second snapshot at the same offset is dropped.
    if (request.connections > 1) this.#rejoin(stream);
  }

  /** @param {string} stream */
  #rejoin(stream) {
    const after = this.offsets.get(stream) ?? null;
    const [kind, space] = kindAndId(stream);
    this.#rejoining.add(stream);
    const fields = this.#listening.get(stream) ?? (after === null ? { space } : { space, after });
    this.requests.add(FOLLOWS[kind], fields, false).rejoins = stream;
  }

  #resumable() {
    /** @type {Record<string, number>} */
    const offsets = {};
    for (const [stream, offset] of this.offsets) {
      if (offset !== null && !this.#rejoining.has(stream) && !isSound(stream)) offsets[stream] = offset;
    }
    return offsets;
  }

  // The connection

  /** @param {any} result @param {number} now */
  #authenticated(result, now) {
    const resumed = Boolean(result.resumed);
    const over = this.#inSession && !resumed;
    this.#inSession = this.everConnected = this.#up = this.#clockDoubted = true;
    this.session = result.session;
    this.secret = result.secret ?? this.secret;
    this.practitioner = result.practitioner ?? {};
    this.limits = result.limits ?? {};
    this.#pingIntervalS = this.askedPingIntervalS ?? result.heartbeat_s ?? HEARTBEAT_S;
    this.phase = CONNECTED;
    this.#deadline = this.lastError = null;
    this.connectedAt = this.pingAt = now;
    this.#outputs.push({ kind: "welcomed", resumed });
    if (over) {
      this.#startOver();
      return;
    }
    for (const [stream, offset] of [...this.offsets]) {
      if (!isOwn(stream) && (this.#rejoining.has(stream) || offset === null || isSound(stream))) this.#rejoin(stream);
    }
  }

  /** A new session: take up the streams first (a message needs the membership), then what may be asked again. */
  #startOver() {
    const old = this.requests.startOver();
    this.#gaps.clear();
    for (const stream of [...this.offsets.keys()]) {
      if (!isOwn(stream)) this.#rejoin(stream);
      else if (stream !== this.ownStream) this.unfollow(stream);
    }
    for (const request of old) {
      if (request.connections && !IDEMPOTENT.has(request.type)) {
        const message = `the session ended while ${request.type} was under way`;
        this.#fail(request, new SanghaError("outcome_unknown", message));
      } else {
        this.requests.enter(request);
      }
    }
  }

  /** @param {SanghaError} error @param {number} waitS */
  #refused(error, waitS) {
    const credentials = error.code === "unauthenticated" || error.code === "forbidden";
    if (error.retryable) {
      this.#byeDelayS = waitS || null;
      this.#hangUp(error.message);
    } else if (this.session !== null && (!credentials || !this.everConnected)) {
      // The session is not known any more, or (as another page left it) not ours; the credentials may still be good.
      this.#forgetSession();
      this.#hangUp(error.message);
    } else {
      this.stop(error);
    }
  }

  #forgetSession() {
    this.session = this.secret = null;
  }

  /** @param {string} why */
  #hangUp(why) {
    this.phase = CLOSING;
    this.#deadline = null;
    this.#outputs.push({ kind: "hangUp", why });
  }

  #offWire() {
    this.requests.onWire = 0;
    for (const request of [...this.requests.byHandle.values()]) {
      request.onWire = false;
      if (request.rejoins !== null) this.requests.drop(request); // the next authentication makes a new one
      else if (request.lossy) this.#fail(request, connectionLost("the connection went before the answer came"));
    }
  }

  /** @param {number} now @param {number | undefined} code @param {boolean} wasUp */
  #delayS(now, code, wasUp) {
    if (wasUp && now - this.connectedAt >= STABLE_AFTER_S) this.#attempt = 0;
    const slow = code === 4008 && this.#progress;
    const atOnce = this.#atOnce || slow;
    const namedS = this.#byeDelayS;
    this.#atOnce = false;
    this.#byeDelayS = null;
    if (slow) this.#progress = false;
    this.delayIsNamed = !atOnce && namedS !== null;
    if (atOnce || namedS !== null) return atOnce ? 0 : (namedS ?? 0);
    this.#attempt += 1;
    return this.#backoffS(this.#attempt - 1);
  }

  /** @param {number} attempt */
  #backoffS(attempt) {
    return this.jitter() * Math.min(this.backoff.capS, this.backoff.baseS * 2 ** Math.min(attempt, 32));
  }

  /** @param {number} now @param {number} timeoutS */
  #ping(now, timeoutS) {
    this.requests.add("ping", {}, true);
    this.pingAt = now + this.#pingIntervalS;
    this.#deadline = now + timeoutS;
  }

  /** @param {Request} request @param {any} result @param {number} now */
  #measure(request, result, now) {
    const roundTripS = now - request.sentAt;
    const server = Date.parse(result.server_time) / 1000;
    const sample = { roundTripS, offsetS: server - (request.sentAt + roundTripS / 2) };
    this.clock = [...(this.#clockDoubted ? [] : this.clock), sample].slice(-CLOCK_SAMPLES);
    this.#clockDoubted = false;
  }

  // Requests

  /** Send what may be sent. @param {number} now */
  #pump(now) {
    if (this.phase !== CONNECTED || this.#byeDelayS !== null) return;
    for (const request of this.requests.sendable(now, this.limits.unanswered_requests ?? UNANSWERED_MAX)) {
      this.#outputs.push({ kind: "send", frame: this.requests.sent(request, now) });
    }
  }

  /** @param {Request} request @param {SanghaError} error @param {number} waitS @param {number} now */
  #tryLater(request, error, waitS, now) {
    if (error.code !== "timeout") request.connections = 0; // an error changed nothing: as if it had never been sent
    this.requests.postpone(request, now + Math.max(waitS, this.#backoffS(request.refusals)));
  }

  /** @param {Request} request @param {SanghaError} error */
  #fail(request, error) {
    this.requests.drop(request);
    const stream = request.rejoins;
    if (stream !== null && this.offsets.has(stream) && !this.stopped) {
      this.#outputs.push({ kind: "ended", stream, error });
      this.unfollow(stream);
    }
    if (!request.internal) this.#outputs.push({ kind: "failed", handle: request.handle, error });
  }
}

/** Whether it is a practitioner's own, which nobody has to join. @param {string} stream */
function isOwn(stream) {
  return stream.startsWith("practitioner:");
}

/** A stream's kind, and the id behind it, which may have colons in it. @param {string} stream @returns {[string, string]} */
export function kindAndId(stream) {
  const at = stream.indexOf(":");
  return [stream.slice(0, at), stream.slice(at + 1)];
}

/** Whether it is an audio session's. @param {string} stream */
function isSound(stream) {
  return stream.startsWith("audio_session:");
}

/** The id of what a reply says is followed: a space as an id or as an object with one, an audio session. @param {any} result */
function spaceId({ space, session }) {
  if (session !== undefined) return String(session);
  return String(typeof space === "object" ? space.id : space);
}

/** The error that ends it all, where trying again cannot help. @param {number | undefined} code @param {SanghaError | null} last */
function fatalError(code, last) {
  if (code === 4001) return last ?? new SanghaError("unauthenticated", "the server does not know these credentials (any more)");
  if (code === 4003) return last ?? new SanghaError("forbidden", "the server refuses this page's origin");
  if (code === 1009 || code === 4000) return last ?? violation(`the server closed with ${code}: it could not take what we sent`);
  return null;
}
