/**
 * What the page asks of the server: over HTTP, and over one socket for what is followed. Refusals are errors in its own words.
 */

import { Client } from "/static/sangha.js";

/**
 * @typedef {object} Session As `replies.AudioSession`.
 * @property {string} id
 * @property {string} name
 * @property {string} intention
 * @property {"created" | "running" | "paused" | "stopped" | "completed"} status
 * @property {number} duration
 * @property {string} audio_type
 * @property {number} audio_frequency
 * @property {number[]} frequencies
 * @property {number} volume
 * @property {string} owner
 * @property {string | null} space With which it is shared.
 * @property {string | null} device
 * @property {string | null} [device_error] Why it is not heard there.
 * @property {{position_s: number, anchor_at: string | null}} timeline
 * @property {string[]} notes
 */

/** @typedef {{id: string, name: string}} Space */

const LISTED = 50;
/** Of spaces; whoever is in more finds the newest here. */
const SPACES = 100;
const PATIENCE_MS = 15_000;

export class Desk {
  /** @param {string} token Empty: the local user, where there is one. */
  constructor(token) {
    this.token = token;
    this.client = new Client(token ? { token } : { local: true });
  }

  /** The time by the server's clock, epoch ms. */
  now() {
    return this.client.serverTime();
  }

  /** @param {string} method @param {string} path @param {Record<string, any>} [options] @returns {Promise<any>} */
  ask(method, path, options = {}) {
    return this.client.http(method, path, { timeoutMs: PATIENCE_MS, ...options });
  }

  /** Our own id; empty until the server said it. @returns {string} */
  get me() {
    return this.client.practitioner?.id ?? "";
  }

  /** Whether it is ours to start, stop and share. @param {Session} session */
  owns({ owner }) {
    return !this.me || owner === this.me;
  }

  /** Newest first: ours, or those that are shared with a space. @param {string} [space] @returns {Promise<Session[]>} */
  sessions(space) {
    return this.ask("GET", "/api/v1/sessions/", { query: { limit: LISTED, ...(space && { space }) } });
  }

  /** Those that we are in, newest first. @returns {Promise<Space[]>} */
  spaces() {
    return this.ask("GET", "/api/collective/spaces", { query: { limit: SPACES, joined: true } });
  }

  /** @param {string} id @param {string | null} space Null: with nobody. @returns {Promise<Session>} */
  share(id, space) {
    return this.ask("POST", `/api/v1/sessions/${id}/share`, { body: { space } });
  }

  /** @param {Record<string, any>} fields @returns {Promise<Session>} */
  make(fields) {
    return this.ask("POST", "/api/v1/sessions/", { body: fields });
  }

  /** @param {string} id @returns {Promise<Session>} */
  session(id) {
    return this.ask("GET", `/api/v1/sessions/${id}`);
  }

  /** @param {string} id @param {"start" | "pause" | "resume" | "stop"} what @returns {Promise<Session>} */
  async turn(id, what) {
    const reply = await this.ask("POST", `/api/v1/sessions/${id}/${what}`);
    return reply.session ?? reply; // one that the published client made answers with more around it
  }

  /** @param {string} id @param {Record<string, any>} fields @returns {Promise<Session>} */
  change(id, fields) {
    return this.ask("PUT", `/api/v1/sessions/${id}`, { body: fields });
  }

  /** @param {string} id */
  delete(id) {
    return this.ask("DELETE", `/api/v1/sessions/${id}`);
  }

  end() {
    this.client.close();
  }
}

export const AWAY = "The server cannot be reached.";

/** An error in a sentence, with what was wrong with each field. @param {any} failure */
export function inWords(failure) {
  if (failure?.code === "connection_lost") return AWAY;
  const wrong = (failure?.errors ?? []).map((/** @type {any} */ each) => `${each.path}: ${each.message}`).join("; ");
  const said = failure?.message || "That did not work.";
  return wrong && !said.includes(wrong) ? `${said} (${wrong})` : said;
}
