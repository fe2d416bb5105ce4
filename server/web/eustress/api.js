/**
 * What the page asks of the lake over HTTP. Refusals are errors with the server's own words.
 */

const PATIENCE_MS = 15_000;

export class LakeError extends Error {
  /** @param {string} message @param {number} status 0 where there was no answer @param {string} code */
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether another token may help. */
  get unknown() {
    return this.status === 401 || this.status === 403;
  }
}

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */

export class Lake {
  /** @param {string} token Empty: nobody in particular, where the local user is on. */
  constructor(token) {
    this.token = token;
    /** The server's clock less ours. */
    this.aheadMs = 0;
  }

  /** The time by the server's clock, epoch ms. */
  now() {
    return Date.now() + this.aheadMs;
  }

  /** @param {string} path @param {Query} [query] @returns {Promise<any>} */
  async get(path, query = {}) {
    return (await this.ask("GET", path + queryOf(query))).json();
  }

  /** @param {string} method @param {string} path @param {any} [body] @returns {Promise<any>} */
  async send(method, path, body) {
    return (await this.ask(method, path, { body: body === undefined ? undefined : JSON.stringify(body) })).json();
  }

  /**
   * An array that comes in pages, each as it comes. Ends early where `page` says false.
   * @param {string} path @param {Query} query @param {(rows: any[]) => boolean | void} page @param {AbortSignal} [signal]
   */
  async pages(path, query, page, signal) {
    for (let next = path + queryOf(query); next; ) {
      const reply = await this.ask("GET", next, { signal });
      const more = page(await reply.json());
      next = more === false ? "" : nextOf(reply.headers.get("Link"));
    }
  }

  /**
   * A file, with how much of it has come.
   * @param {string} path @param {(bytes: number) => void} progress @param {AbortSignal} signal @returns {Promise<Blob>}
   */
  async file(path, progress, signal) {
    const reply = await this.ask("GET", path, { signal, patienceMs: 0 });
    const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (reply.body).getReader();
    /** @type {BlobPart[]} */
    const parts = [];
    let bytes = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      progress((bytes += part.value.byteLength));
    }
    return new Blob(parts, { type: reply.headers.get("Content-Type") ?? "" });
  }

  /**
   * @param {string} method @param {string} path
   * @param {{body?: string, signal?: AbortSignal, patienceMs?: number}} [options]
   */
  async ask(method, path, { body, signal, patienceMs = PATIENCE_MS } = {}) {
    /** @type {Record<string, string>} */
    const headers = { Accept: path.includes("/export") ? "*/*" : "application/json" };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (method !== "GET") headers["Idempotency-Key"] = crypto.getRandomValues(new Uint32Array(4)).join("-");
    const signals = [...(signal ? [signal] : []), ...(patienceMs ? [AbortSignal.timeout(patienceMs)] : [])];
    let reply;
    try {
      reply = await fetch(path, { method, headers, body, cache: "no-store", signal: AbortSignal.any(signals) });
    } catch (failure) {
      if (signal?.aborted) throw failure;
      throw new LakeError("The server does not answer.", 0, "connection_lost");
    }
    const date = Date.parse(reply.headers.get("Date") ?? "");
    if (date && Math.abs(date - Date.now()) > 2000) this.aheadMs = date - Date.now(); // it has whole seconds
    if (!reply.ok) throw await refusal(reply);
    return reply;
  }
}

/** @param {Response} reply */
async function refusal(reply) {
  const problem = await reply.json().catch(() => ({}));
  const wrong = (problem.errors ?? []).map((/** @type {any} */ each) => `${each.path}: ${each.message}`).join("; ");
  const words = [problem.detail ?? `The server answers ${reply.status}.`, wrong].filter(Boolean).join(" ");
  return new LakeError(words, reply.status, problem.code ?? "");
}

/** @param {Query} query */
function queryOf(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

/** The path of the next page, of a Link header. @param {string | null} link */
export function nextOf(link) {
  const found = /<([^>]+)>;\s*rel="?next"?/.exec(link ?? "");
  if (!found) return "";
  const url = new URL(found[1], globalThis.location?.href ?? "http://localhost");
  return url.pathname + url.search;
}
