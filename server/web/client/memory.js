/**
 * What a page leaves to itself for after its reload: session, secret, the next free id, offsets. In the tab's
 * sessionStorage; where there is none, or it is forbidden, nothing is remembered.
 *
 * The next id is reserved ahead, so that an id is never used twice even if the page dies between two writes.
 *
 * @module
 */

/**
 * @typedef {object} Memo
 * @property {string} session
 * @property {string} [secret]
 * @property {number} nextId
 * @property {string} who Whose session it is: a memory of somebody else's is not used.
 * @property {Record<string, number>} offsets
 */

/** So many ids are taken at once: fewer than the server's window of 1,024, many more than one write is worth. */
const IDS_RESERVED = 64;

export class Memory {
  /**
   * @param {Storage | undefined} storage
   * @param {string} key
   * @param {string} who
   */
  constructor(storage, key, who) {
    this.storage = storage;
    this.key = key;
    this.who = who;
    this.ceiling = 0;
  }

  /** What an earlier page left, if it was the same visitor. @returns {Memo | null} */
  load() {
    try {
      const memo = JSON.parse(this.storage?.getItem(this.key) ?? "null");
      return memo?.who === this.who ? memo : null;
    } catch {
      return null;
    }
  }

  /**
   * @param {import("./state.js").ClientState} core
   * @param {Record<string, number>} offsets What was dispatched of each stream: what only waits is not yet the page's.
   */
  save(core, offsets) {
    if (core.session === null) return;
    this.ceiling = core.requests.nextId + IDS_RESERVED;
    const memo = { session: core.session, secret: core.secret ?? undefined, nextId: this.ceiling, who: this.who, offsets };
    try {
      this.storage?.setItem(this.key, JSON.stringify(memo));
    } catch {
      // full or forbidden: a reload then begins a new session, as without a memory
    }
  }

  /** Whether ids are in use that are not reserved yet. @param {import("./state.js").ClientState} core */
  isBehind(core) {
    return core.requests.nextId > this.ceiling;
  }

  forget() {
    try {
      this.storage?.removeItem(this.key);
    } catch {
      // forbidden: then nothing was kept either
    }
  }
}

/** The tab's storage, where the page may have one. @returns {Storage | undefined} */
export function tabStorage() {
  try {
    return globalThis.sessionStorage;
  } catch {
    return undefined;
  }
}

/** A name for a credential that does not tell it: FNV-1a. @param {string} text */
export function fingerprint(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash.toString(36);
}
