/**
 * The client: a WebSocket session that reconnects, resumes and retries, so that its user does not have to. A thin shell
 * around `state.js`, which decides everything; here are the socket, the clock, the timers and the events.
 *
 * @module
 */

import { Sound, decodesOpus, readFrame } from "./audio.js";
import { SanghaError, connectionLost } from "./errors.js";
import { ask, httpUrl, wsUrl } from "./http.js";
import { Memory, fingerprint, tabStorage } from "./memory.js";
import { Scene } from "./scene.js";
import { Space } from "./space.js";
import { CONNECTED, ClientState, FOLLOWS, STOPPED, WAITING, kindAndId } from "./state.js";

/** @typedef {import("./state.js").Output} Output */
/** @typedef {import("./followed.js").Followed} Followed */
/** @typedef {"connecting" | "ready" | "reconnecting" | "closed"} State */

/**
 * @typedef {object} Options
 * @property {string} [url] The server: http(s) or ws(s), with or without a path. In a browser the page's own origin.
 * @property {string} [token] A login's. Without token, guest and local there is only `http`.
 * @property {string} [guest] A guest's name.
 * @property {boolean} [local] The local user: a server that has one asks who is on its own machine for nothing.
 * @property {boolean | string} [remember] Keep the session in the tab (sessionStorage) so that a reload resumes it. A text
 *   names this client where a page has several.
 * @property {number | null} [giveUpAfterS] Bounds how long a (re)connect is tried; null (as it is): for ever.
 * @property {number} [pingIntervalS] How often latency and clock are measured; the server's heartbeat where not given.
 * @property {import("./state.js").Backoff} [backoff]
 * @property {typeof WebSocket} [WebSocket] For Node 20, which has none: that of the package `ws`.
 * @property {typeof fetch} [fetch]
 * @property {Storage} [storage] In place of sessionStorage.
 */

const CONNECT_TIMEOUT_S = 10;
/** Requests that wait at once; more is a loop that does not look at its answers. */
const WAITING_MAX = 4096;
/** Round trips to measure the clock by: among five, one that met no hiccup. */
const PINGS = 5;
/** Offsets are remembered so often at most. */
const REMEMBER_EVERY_MS = 1000;

const monotonicS = () => performance.now() / 1000;

/**
 * Events (`addEventListener(type, ({ detail }) => …)`):
 *
 * | type | detail |
 * |---|---|
 * | `state` | `{state, resumed, retryInMs, error}` whenever `state` changes |
 * | `practitioner` | who we are, as the server says, whenever that changes |
 * | `bye` | `{retryAfterMs}`: the server goes away; the client comes back by itself |
 */
export class Client extends EventTarget {
  /** @type {ClientState} */ #core;
  /** @type {Memory | null} */ #memory;
  /** @type {Options} */ #options;
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: SanghaError) => void}>} */ #waiting = new Map();
  /** @type {Map<number, Followed>} */ #joining = new Map();
  /** @type {Map<string, Followed>} */ #followed = new Map();
  /** @type {Map<number, Sound>} By the number in their frames. */ #sounds = new Map();
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {any} */ #alarm = null;
  /** @type {any} */ #saving = null;
  /** @type {Output[]} */ #outputs = [];
  #performing = false;
  #opened = false;
  #resumed = false;
  /** @type {State} */ #said = "connecting";
  #knew = "";
  /** @type {Promise<Client>} */ #ready;
  /** @type {() => void} */ #unlisten = () => {};
  /** @type {Record<string, number>} */ #remembered = {};
  /** @type {(error: SanghaError | null) => void} */ #settleOpen = () => {};

  /** @param {Options} [options] */
  constructor(options = {}) {
    super();
    const { token, guest, local = false, remember = false } = options;
    const page = globalThis.location?.origin;
    const url = options.url ?? page;
    if (url === undefined) throw new TypeError("url is missing");
    if (Number(token !== undefined) + Number(guest !== undefined) + Number(local) > 1) {
      throw new TypeError("either a guest's name, or a token, or the local user");
    }
    this.#options = options;
    /** The WebSocket's address. @readonly */
    this.url = wsUrl(url);
    /** The HTTP root. @readonly */
    this.root = httpUrl(url);
    const storage = options.storage ?? tabStorage();
    const key = `sangha:${this.url}:${remember === true ? "" : remember}`;
    const who = local ? "local" : token === undefined ? `guest:${guest}` : `token:${fingerprint(token)}`;
    this.#memory = remember === false ? null : new Memory(storage, key, who);
    const memo = this.#memory?.load() ?? null;
    this.#remembered = memo?.offsets ?? {};
    const own = Object.entries(this.#remembered).filter(([stream]) => stream.startsWith("practitioner:"));
    const credentials = local ? {} : token === undefined ? { guest: guest ?? "" } : { token };
    this.#core = new ClientState(credentials, {
      jitter: Math.random,
      now: monotonicS(),
      backoff: options.backoff,
      giveUpAfterS: options.giveUpAfterS ?? null,
      pingIntervalS: options.pingIntervalS ?? null,
      resume: memo === null ? null : { ...memo, offsets: Object.fromEntries(own) },
    });
    /** The practitioner's own stream: `event` with `{offset, at, event, from, body}` (an invitation, a run's end …). */
    this.own = new EventTarget();
    this.#ready = new Promise((resolve, reject) => {
      this.#settleOpen = (error) => (error === null ? resolve(this) : reject(error));
    });
    this.#ready.catch(() => {}); // whoever calls `open` hears of it
  }

  // Life

  /** Connect. Resolves when the session stands for the first time; rejects where trying again cannot help. */
  open() {
    if (!this.#opened) {
      if (this.#options.token === undefined && this.#options.guest === undefined && !this.#options.local) {
        throw new TypeError("a session needs a token or a guest's name");
      }
      this.#opened = true;
      this.#listen();
      this.#apply();
    }
    return this.#ready;
  }

  /** End the session's connection. Requests without an answer fail; spaces end; the tab's memory of it goes. */
  close() {
    this.#memory?.forget();
    this.#memory = null;
    this.#core.stop(connectionLost("the client is closed"));
    this.#apply();
  }

  // What a user asks

  /** "connecting" (the first time), "ready", "reconnecting" or "closed". @returns {State} */
  get state() {
    if (this.#core.phase === CONNECTED) return "ready";
    if (this.#core.phase === STOPPED) return "closed";
    return this.#core.everConnected ? "reconnecting" : "connecting";
  }

  /** Why it is closed. @returns {SanghaError | null} */
  get error() {
    return this.#core.error;
  }

  /** Who we are, as the server says. */
  get practitioner() {
    return this.#core.practitioner;
  }

  /** The server's limits that bind us. */
  get limits() {
    return this.#core.limits;
  }

  /** Round trip of the newest ping, in milliseconds; null before the first. @returns {number | null} */
  get latencyMs() {
    const newest = this.#core.clock.at(-1);
    return newest === undefined ? null : newest.roundTripS * 1000;
  }

  /** The server's time now in epoch milliseconds, known to within half the shortest round trip; ours before a ping. */
  serverTime() {
    const sample = this.#core.clockSample;
    return sample === undefined ? Date.now() : (sample.offsetS + monotonicS()) * 1000;
  }

  /** Ping a few times, one after another: the shortest round trip is what the server's clock is known by. */
  async measureClock(pings = PINGS) {
    for (let ping = 0; ping < pings; ping += 1) await this.request("ping");
  }

  /**
   * Any request of the protocol; its result. It survives reconnects and retries what the server calls retryable. After
   * `request_timeout` it may or may not have been done.
   *
   * @param {string} type
   * @param {Record<string, any>} [fields]
   * @param {{timeoutMs?: number}} [options]
   * @returns {Promise<any>}
   */
  request(type, fields = {}, { timeoutMs } = {}) {
    return this.#ask(type, fields, { timeoutMs });
  }

  /**
   * A new space: `name`, `purpose`, `slug`, `tradition`, `participant_limit`, `access_level` …; the space, with its `id`.
   * @param {Record<string, any>} fields
   */
  createSpace(fields) {
    return this.request("space.create", fields);
  }

  /**
   * Spaces that the caller may know of, newest first.
   * @param {{q?: string, limit?: number, before?: string}} [page]
   */
  listSpaces(page = {}) {
    return this.request("space.list", page);
  }

  /**
   * Numbered events of a stream ("space:UUID"), oldest first: `{events, more}`.
   * @param {string} stream
   * @param {{after?: number, limit?: number}} [page]
   */
  history(stream, page = {}) {
    return this.request("history", { stream, ...page });
  }

  /**
   * Be in a space (UUID or slug). Resolves when its snapshot is there, or with `after` as soon as the replay from that
   * offset begins. Whoever is in it already gets the same object.
   *
   * @param {string} space
   * @param {{after?: number | null, timeoutMs?: number}} [options]
   * @returns {Promise<Space>}
   */
  join(space, { after, timeoutMs } = {}) {
    return this.#follow(new Space(this, space, after ?? undefined), timeoutMs);
  }

  /**
   * Watch a Eustress space, by name; with a service token, or as the local user. As `join` otherwise.
   *
   * @param {string} space
   * @param {{after?: number | null, timeoutMs?: number}} [options]
   * @returns {Promise<Scene>}
   */
  eustressSubscribe(space, { after, timeoutMs } = {}) {
    return this.#follow(new Scene(this, space, after ?? undefined), timeoutMs);
  }

  /** Watch it no longer. @param {string} space */
  async eustressUnsubscribe(space) {
    const known = this.#followed.get(`eustress:${space}`);
    if (known instanceof Scene) await known.unsubscribe();
  }

  /**
   * Changes of a Eustress space's scene, all or none: `{version, accepted, snapshot_id, warnings …}`, once they are committed.
   *
   * @param {string} space
   * @param {{entities?: any[], connections?: any[], parameters?: any[], removed_connections?: any[], removed_entities?: any[]}} items
   * @param {{timeoutMs?: number}} [options]
   * @returns {Promise<any>}
   */
  eustressIngest(space, items, options) {
    return this.request("eustress.ingest", { space, ...items }, options);
  }

  /**
   * Listen to an audio session: one's own, or one that is shared with a space that one is in. `codec` "auto": Opus where browser
   * and server have it. Resolves when its state is there; whoever listens to it already gets the same object. See `Player`.
   *
   * @param {string} session
   * @param {{codec?: "pcm" | "opus" | "auto", spectrum?: boolean, timeoutMs?: number}} [options]
   * @returns {Promise<Sound>}
   */
  async listen(session, { codec = "pcm", spectrum = false, timeoutMs } = {}) {
    if (codec === "auto" && (await decodesOpus())) {
      try {
        return await this.#follow(new Sound(this, session, { codec: "opus", spectrum }), timeoutMs);
      } catch (error) {
        if (!(error instanceof SanghaError) || error.code !== "invalid") throw error; // this server has no encoder
      }
    }
    return this.#follow(new Sound(this, session, { codec: codec === "auto" ? "pcm" : codec, spectrum }), timeoutMs);
  }

  /** The offset up to which an earlier page of this tab had a space (with `remember`): `join(id, { after })` goes on there.
   * @param {string} space Its UUID; of kind `eustress` its name. @param {string} kind @returns {number | undefined} */
  rememberedOffset(space, kind = "space") {
    return this.#remembered[`${kind}:${space}`];
  }

  /**
   * Tell one's phase in radians. False where it was lost on the way.
   * @param {string} space
   * @param {number} phaseRad
   * @returns {Promise<boolean>}
   */
  async pulse(space, phaseRad) {
    try {
      await this.#ask("space.pulse", { space, phase_rad: phaseRad }, { lossy: true });
      return true;
    } catch (error) {
      if (this.state === "closed" || !(error instanceof SanghaError) || error.code !== "connection_lost") throw error;
      return false;
    }
  }

  /**
   * A request over HTTP, with the token; see `http.js` for retries.
   * @param {string} method
   * @param {string} path
   * @param {{body?: any, query?: Record<string, any>, idempotencyKey?: string, timeoutMs?: number}} [options]
   * @returns {Promise<any>}
   */
  http(method, path, options = {}) {
    return ask(this.root, method, path, { token: this.#options.token, fetch: this.#options.fetch, ...options });
  }

  /** Deliver nothing more of a stream. The server is not told. @param {Followed} followed @internal */
  unfollow(followed) {
    const { stream } = followed;
    if (this.#followed.get(stream) !== followed) return;
    this.#followed.delete(stream);
    delete this.#remembered[stream];
    this.#core.unfollow(stream);
    this.#untune(followed);
  }

  /** @param {Followed | undefined} followed */
  #untune(followed) {
    for (const [number, sound] of this.#sounds) if (sound === followed) this.#sounds.delete(number);
  }

  /** @param {string} stream @param {import("./audio.js").Format} format */
  #tune(stream, format) {
    const sound = this.#followed.get(stream);
    if (!(sound instanceof Sound)) return;
    this.#untune(sound);
    this.#sounds.set(format.stream, sound);
    sound.tuned(format);
  }

  /** A binary message: sound. @param {ArrayBuffer} data */
  #hear(data) {
    const frame = readFrame(data);
    if (frame !== null) this.#sounds.get(frame.stream)?.heard(frame);
  }

  // Requests

  /**
   * @template {Followed} T
   * @param {T} asked
   * @param {number | undefined} timeoutMs
   * @returns {Promise<T>} What is followed already, where it is.
   */
  async #follow(asked, timeoutMs) {
    const { kind, id } = asked;
    for (const known of this.#followed.values()) {
      if (known.kind === kind && (known.id === id || known.asked === id)) return /** @type {T} */ (known);
    }
    await this.#ask(FOLLOWS[kind], asked.fields, { timeoutMs, followed: asked });
    const mine = /** @type {T} */ (this.#followed.get(asked.stream) ?? asked);
    await mine.started;
    if (mine.error !== null) throw mine.error;
    if (mine === asked) setTimeout(() => asked.release(), 0);
    return mine;
  }

  /**
   * @param {string} type
   * @param {Record<string, any>} fields
   * @param {{timeoutMs?: number, lossy?: boolean, followed?: Followed}} options
   * @returns {Promise<any>}
   */
  #ask(type, fields, { timeoutMs, lossy = false, followed }) {
    if (this.#core.requests.byHandle.size >= WAITING_MAX) {
      return Promise.reject(new SanghaError("overflow", `${WAITING_MAX} requests wait for their answers`));
    }
    return new Promise((resolve, reject) => {
      const handle = this.#core.submit(type, fields, monotonicS(), { lossy });
      this.#waiting.set(handle, { resolve, reject });
      if (followed !== undefined) this.#joining.set(handle, followed);
      if (timeoutMs !== undefined) {
        const timer = setTimeout(() => this.#timeOut(handle, type, timeoutMs), timeoutMs);
        const settle = (/** @type {(value: any) => void} */ done) => (/** @type {any} */ value) => {
          clearTimeout(timer);
          done(value);
        };
        this.#waiting.set(handle, { resolve: settle(resolve), reject: settle(reject) });
      }
      this.#apply();
    });
  }

  /** @param {number} handle @param {string} type @param {number} timeoutMs */
  #timeOut(handle, type, timeoutMs) {
    this.#core.forget(handle, monotonicS());
    this.#settle(handle, (waiting) => waiting.reject(new SanghaError("request_timeout", `${type}: no answer in ${timeoutMs} ms`)));
    this.#apply();
  }

  // Performing what the core says

  #apply() {
    this.#outputs.push(...this.#core.take());
    if (this.#performing) return; // a listener asked for something: it comes behind what was there before
    this.#performing = true;
    for (let output = this.#outputs.shift(); output !== undefined; output = this.#outputs.shift()) this.#perform(output);
    this.#performing = false;
    this.#arm();
    this.#saySomething();
  }

  /** @param {Output} output */
  #perform(output) {
    switch (output.kind) {
      case "send":
        if (this.#memory?.isBehind(this.#core)) this.#remember();
        if (this.#socket?.readyState === 1) this.#socket.send(output.frame);
        break;
      case "opened": this.#opening(output.handle, output.stream); break;
      case "resolved": this.#settle(output.handle, (waiting) => waiting.resolve(output.result)); break;
      case "failed": this.#settle(output.handle, (waiting) => waiting.reject(output.error)); break;
      case "delivered": this.#deliver(output.event); break;
      case "tuned": this.#tune(output.stream, output.result); break;
      case "ended":
        this.#untune(this.#followed.get(output.stream));
        this.#followed.get(output.stream)?.end(output.error);
        this.#followed.delete(output.stream);
        delete this.#remembered[output.stream];
        break;
      case "hangUp": this.#drop(); break;
      case "welcomed":
        this.#resumed = output.resumed;
        this.#remember();
        break;
      case "bye": this.#say("bye", { retryAfterMs: output.retryAfterS * 1000 }); break;
    }
  }

  /** @param {number} handle @param {string} stream */
  #opening(handle, stream) {
    const followed = this.#joining.get(handle);
    if (followed === undefined) return;
    [, followed.id] = kindAndId(stream);
    if (!this.#followed.has(stream)) this.#followed.set(stream, followed);
  }

  /** @param {import("./state.js").Push} push */
  #deliver(push) {
    this.#rememberSoon();
    const followed = this.#followed.get(push.stream);
    if (followed !== undefined) followed.deliver(push);
    else if (push.stream === this.#core.ownStream) this.own.dispatchEvent(new CustomEvent("event", { detail: push }));
  }

  /** @param {number} handle @param {(waiting: {resolve: (result: any) => void, reject: (error: SanghaError) => void}) => void} how */
  #settle(handle, how) {
    const waiting = this.#waiting.get(handle);
    this.#waiting.delete(handle);
    this.#joining.delete(handle);
    if (waiting !== undefined) how(waiting);
  }

  #saySomething() {
    const { state } = this;
    if (state === "ready") this.#settleOpen(null);
    if (state === "closed") {
      this.#unlisten();
      this.#settleOpen(this.#core.error);
    }
    const known = JSON.stringify(this.practitioner);
    if (state === "ready" && known !== this.#knew) {
      this.#knew = known;
      this.#say("practitioner", this.practitioner);
    }
    if (state === this.#said) return;
    this.#said = state;
    const retryInMs = this.#core.phase === WAITING ? Math.max(0, (this.#core.reconnectAt - monotonicS()) * 1000) : null;
    this.#say("state", { state, resumed: state === "ready" && this.#resumed, retryInMs, error: this.error });
  }

  /** @param {string} type @param {any} detail */
  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #arm() {
    clearTimeout(this.#alarm);
    if (!this.#opened || this.#core.stopped) return;
    const due = this.#core.phase === WAITING ? this.#core.reconnectAt : this.#core.nextWake();
    if (due === null || (this.#core.phase === WAITING && this.#socket !== null)) return;
    this.#alarm = setTimeout(() => this.#wake(), Math.max(0, (due - monotonicS()) * 1000));
  }

  #wake() {
    if (this.#core.phase !== WAITING) this.#core.wake(monotonicS());
    else if (this.#socket === null && this.#core.reconnectAt <= monotonicS()) this.#dial();
    this.#apply();
  }

  // The connection

  #dial() {
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    const socket = new Socket(this.url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const late = setTimeout(() => this.#lost(socket), CONNECT_TIMEOUT_S * 1000);
    socket.onopen = () => {
      clearTimeout(late);
      this.#core.connected(monotonicS());
      this.#apply();
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") {
        this.#hear(data);
        return;
      }
      this.#core.received(data, monotonicS());
      this.#apply();
    };
    socket.onerror = () => {}; // its close follows
    socket.onclose = ({ code }) => {
      clearTimeout(late);
      this.#lost(socket, code);
    };
  }

  /** @param {WebSocket} socket @param {number} [code] */
  #lost(socket, code) {
    if (this.#socket !== socket) return;
    this.#silence(socket);
    this.#core.lost(monotonicS(), code);
    this.#apply();
  }

  /** We hang up: not heard any more, whenever its close may be over. */
  #drop() {
    const socket = this.#socket;
    if (socket === null) return;
    this.#silence(socket);
    this.#core.lost(monotonicS());
    this.#outputs.push(...this.#core.take());
  }

  /** @param {WebSocket} socket */
  #silence(socket) {
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    if (socket.readyState <= 1) socket.close();
  }

  // The page around it

  #listen() {
    const page = globalThis.window;
    if (page === undefined || typeof page.addEventListener !== "function") return;
    const online = () => this.#hurry(true);
    const seen = () => {
      if (document.visibilityState === "visible") this.#hurry(false);
      else this.#remember();
    };
    const leaving = () => this.#remember();
    const offline = () => this.#hurry(false);
    const shown = (/** @type {PageTransitionEvent} */ { persisted }) => persisted && this.#hurry(false);
    page.addEventListener("online", online);
    page.addEventListener("offline", offline);
    page.addEventListener("pageshow", shown);
    page.addEventListener("pagehide", leaving);
    document.addEventListener("visibilitychange", seen);
    this.#unlisten = () => {
      page.removeEventListener("online", online);
      page.removeEventListener("offline", offline);
      page.removeEventListener("pageshow", shown);
      page.removeEventListener("pagehide", leaving);
      document.removeEventListener("visibilitychange", seen);
    };
  }

  /** @param {boolean} anew */
  #hurry(anew) {
    if (anew && this.#core.phase === WAITING && this.#socket !== null) this.#silence(this.#socket); // dialled into nowhere
    this.#core.hurry(monotonicS(), { anew });
    this.#apply();
  }

  #remember() {
    const own = this.#core.ownStream;
    for (const { stream, offset, isHeld } of this.#followed.values()) {
      if (offset !== undefined && !isHeld) this.#remembered[stream] = offset;
    }
    if (this.#core.offsets.has(own)) this.#remembered[own] = Number(this.#core.offsets.get(own));
    this.#memory?.save(this.#core, this.#remembered);
  }

  #rememberSoon() {
    if (this.#memory === null || this.#saving !== null) return;
    this.#saving = setTimeout(() => {
      this.#saving = null;
      this.#remember();
    }, REMEMBER_EVERY_MS);
  }
}
