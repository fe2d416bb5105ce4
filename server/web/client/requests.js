/**
 * Requests until their outcome: which have an id, which are on the wire, which may be sent next. Pure.
 *
 * Ids count upward within a session, and nothing is sent further ahead of the oldest unanswered one than the server
 * remembers: within that window a second sending of an id is a retry to it.
 *
 * @module
 */

/** The authentication's id on every connection (as the protocol writes it); requests count upward from the next. */
export const AUTH_ID = 1;
/** The server takes a retry only of one of the last 1,024 ids. */
const ID_WINDOW = 1024;

const UTF8 = new TextEncoder();
const ID_BYTES = '{"id":9007199254740991,'.length;

/** One request until its outcome. `handle` is ours and never changes, `id` is the session's. */
export class Request {
  /**
   * @param {number} handle
   * @param {string} type
   * @param {Record<string, any>} fields
   * @param {boolean} lossy
   */
  constructor(handle, type, fields, lossy) {
    this.handle = handle;
    this.id = 0;
    this.type = type;
    this.fields = fields;
    /** The frame as it goes out, after its id: encoded once, so that a retry is the same request to the letter. */
    this.text = JSON.stringify({ type, ...fields }).slice(1);
    /** Sent at most once; failed when its connection goes. */
    this.lossy = lossy;
    /** @type {string | null} The stream that this join, made by the machine itself, takes up again. */
    this.rejoins = null;
    this.onWire = false;
    this.connections = 0;
    this.refusals = 0;
    this.notBefore = 0;
    this.sentAt = 0;
  }

  /** Made by the machine itself: its outcome is nobody else's business. */
  get internal() {
    return this.rejoins !== null || (this.type === "ping" && this.lossy);
  }

  /** The frame's size with the longest id, in bytes. */
  get bytes() {
    return UTF8.encode(this.text).length + ID_BYTES;
  }
}

/** The requests without an outcome, in the order of their ids. */
export class Requests {
  constructor(nextId = AUTH_ID + 1) {
    /** @type {Map<number, Request>} */
    this.byHandle = new Map();
    /** @type {Map<number, Request>} */
    this.byId = new Map();
    /** @type {Set<Request>} Those that wait for their `notBefore`. */
    this.later = new Set();
    this.onWire = 0;
    this.nextId = nextId;
    this.nextHandle = 1;
  }

  /**
   * @param {string} type
   * @param {Record<string, any>} fields
   * @param {boolean} lossy
   */
  add(type, fields, lossy) {
    const request = new Request(this.nextHandle, type, fields, lossy);
    this.nextHandle += 1;
    this.enter(request);
    return request;
  }

  /** Give a request the next id of the session. @param {Request} request */
  enter(request) {
    request.id = this.nextId;
    request.connections = 0;
    this.nextId += 1;
    this.byHandle.set(request.handle, request);
    this.byId.set(request.id, request);
  }

  /** A new session knows no ids: all requests, which have to be entered again. */
  startOver() {
    const old = [...this.byHandle.values()];
    this.byHandle.clear();
    this.byId.clear();
    this.nextId = AUTH_ID + 1;
    return old;
  }

  /**
   * What may be sent now: within the server's limit, not before its time, not past the window of retries.
   * @param {number} now
   * @param {number} unansweredMax
   */
  sendable(now, unansweredMax) {
    /** @type {Request[]} */ const requests = [];
    let floor = 0;
    if (this.onWire === this.byHandle.size) return requests;
    for (const request of this.byHandle.values()) {
      floor ||= request.id;
      if (this.onWire + requests.length >= unansweredMax || request.id - floor >= ID_WINDOW) break;
      if (!request.onWire && request.notBefore <= now) requests.push(request);
    }
    return requests;
  }

  /** The frame of a request that goes out now. @param {Request} request @param {number} now */
  sent(request, now) {
    request.onWire = true;
    request.sentAt = now;
    request.notBefore = 0;
    request.connections += 1;
    this.onWire += 1;
    this.later.delete(request);
    return `{"id":${request.id},${request.text}`;
  }

  /** The request that this answers; undefined for an answer that came before or that nobody waits for. @param {number} id */
  answered(id) {
    const request = this.byId.get(id);
    return request?.onWire ? request : undefined;
  }

  /** Back into the queue, until a time. @param {Request} request @param {number} notBefore */
  postpone(request, notBefore) {
    request.onWire = false;
    this.onWire -= 1;
    request.notBefore = notBefore;
    request.refusals += 1;
    this.later.add(request);
  }

  /** It has its outcome, or nobody wants one. @param {Request} request */
  drop(request) {
    this.onWire -= Number(request.onWire);
    request.onWire = false;
    this.byHandle.delete(request.handle);
    this.byId.delete(request.id);
    this.later.delete(request);
  }

  /** How many requests of callers wait for their outcome. */
  get asked() {
    let asked = 0;
    for (const request of this.byHandle.values()) asked += Number(!request.internal);
    return asked;
  }
}
