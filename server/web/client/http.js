/**
 * What a client asks over HTTP: JSON in, JSON out, problems as errors, retries that count once.
 *
 * @module
 */

import { SanghaError, connectionLost, errorOf } from "./errors.js";

/** An account costs the server a hash, and many may come at once. */
const TIMEOUT_MS = 30_000;
const RETRY_MS = 250;
const RETRY_MAX_MS = 5000;

/** The WebSocket address of a server given as http(s) or ws(s) URL, with or without a path. @param {string} url */
export function wsUrl(url) {
  const parts = new URL(url.includes("//") ? url : `http://${url}`);
  parts.protocol = parts.protocol.replace(/^http/, "ws");
  if (parts.pathname === "/") parts.pathname = "/ws";
  parts.hash = "";
  return parts.href;
}

/** The HTTP root of a server given in the same ways. @param {string} url */
export function httpUrl(url) {
  return new URL("/", wsUrl(url)).href.replace(/^ws/, "http").replace(/\/$/, "");
}

/**
 * One request. A changing one gets an Idempotency-Key and is retried with it, as reading is, while the server cannot be
 * reached or says that it may succeed later, until `timeoutMs` is over.
 *
 * @param {string} root
 * @param {string} method
 * @param {string} path
 * @param {object} options
 * @param {any} [options.body] JSON, or a FormData.
 * @param {Record<string, any>} [options.query] Undefined and null are left out, an array is repeated.
 * @param {string} [options.idempotencyKey]
 * @param {string} [options.token]
 * @param {number} [options.timeoutMs]
 * @param {typeof fetch} [options.fetch]
 * @param {() => number} [options.jitter]
 * @returns {Promise<any>} The JSON of the answer; null where it has none.
 */
export async function ask(root, method, path, options) {
  const { timeoutMs = TIMEOUT_MS, jitter = Math.random } = options;
  const request = requestOf(method, options);
  const until = Date.now() + timeoutMs;
  for (let attempt = 0; ; attempt += 1) {
    const failure = await once(options.fetch ?? fetch, root + path + queryOf(options.query), request, until);
    if (!(failure instanceof SanghaError)) return failure.result;
    const backoffMs = jitter() * Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** attempt);
    const waitMs = Math.max(backoffMs, (failure.retryAfterS ?? 0) * 1000);
    if (!failure.retryable || Date.now() + waitMs >= until) throw failure;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** @param {string} method @param {{body?: any, idempotencyKey?: string, token?: string}} options @returns {RequestInit} */
function requestOf(method, { body, idempotencyKey, token }) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  if (method !== "GET" && method !== "HEAD") headers["Idempotency-Key"] = idempotencyKey ?? newKey();
  const form = typeof FormData !== "undefined" && body instanceof FormData;
  if (body !== undefined && !form) headers["Content-Type"] = "application/json";
  return { method, headers, body: body === undefined || form ? body : JSON.stringify(body), cache: "no-store" };
}

/**
 * @param {typeof fetch} fetch
 * @param {string} url
 * @param {RequestInit} request
 * @param {number} until
 * @returns {Promise<{result: any} | SanghaError>}
 */
async function once(fetch, url, request, until) {
  try {
    const reply = await fetch(url, { ...request, signal: AbortSignal.timeout(Math.max(1, until - Date.now())) });
    const text = await reply.text();
    const answer = text === "" ? null : JSON.parse(text);
    return reply.ok ? { result: answer } : problemOf(reply, answer);
  } catch (failure) {
    return connectionLost(`${url} cannot be reached: ${failure}`);
  }
}

/** @param {Response} reply @param {any} answer */
function problemOf(reply, answer) {
  const wait = Number(reply.headers.get("Retry-After")) || undefined;
  return errorOf({ detail: reply.statusText, retryable: reply.status === 503, retry_after_s: wait, ...answer }, reply.status);
}

/** @param {Record<string, any>} [query] */
function queryOf(query = {}) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) pairs.append(name, String(one));
    }
  }
  return String(pairs) && `?${pairs}`;
}

/** A key that nobody else uses. (`crypto.randomUUID` is not there on plain-http pages of other hosts.) */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}
