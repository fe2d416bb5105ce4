/**
 * The spaces that the practitioner is in: with which one a session is shared, and whose sessions are listed.
 */

import { busy, h, put } from "/static/app/dom.js";

/** @typedef {import("./desk.js").Session} Session */
/** @typedef {import("./desk.js").Space} Space */

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const choice = (/** @type {string} */ id) => /** @type {HTMLSelectElement} */ ($(id));

export class Spaces {
  /**
   * @param {AbortSignal} signal Their end.
   * @param {{listed: () => void, shared: (space: string | null) => Promise<void>}} told
   */
  constructor(signal, { listed, shared }) {
    /** @type {Space[]} */
    this.all = [];
    /** @type {Session | null} */
    this.session = null;
    /** With whom what is looked at is shared, as it was shown. */
    this.known = "";
    this.listed = listed;
    choice("whose").addEventListener("change", listed, { signal });
    // A button, as with the keyboard one passes others on the way to the space that one means.
    choice("share").addEventListener("change", () => this.fit(), { signal });
    const button = /** @type {HTMLButtonElement} */ ($("do-share"));
    const share = () => busy(button, () => shared(choice("share").value || null)).then(() => this.fit());
    button.addEventListener("click", share, { signal });
    for (const each of ["whose", "share"].map(choice)) {
      put(each); // what whoever was here before chose
      delete each.dataset.options;
    }
    this.show([]);
  }

  /** The space whose sessions are listed; empty: our own. */
  get whose() {
    return choice("whose").value;
  }

  /** Our own sessions are listed again. */
  own() {
    choice("whose").value = "";
  }

  /** What the list says where nothing is in it. */
  get nothing() {
    if (!this.whose) return "There is none yet.";
    return "Nobody shares a session with this space yet. Share one of yours: look at it, and choose the space there.";
  }

  /** @param {Space[]} spaces Newest first. */
  show(spaces) {
    this.all = spaces;
    $("whose-field").hidden = !spaces.length;
    const still = spaces.some(({ id }) => id === this.whose);
    const before = this.whose;
    this.options("whose", "Mine", still ? before : "");
    if (before && !still) this.listed();
    this.options("share", "Nobody", choice("share").value);
    this.fit();
  }

  /** The session that is looked at, where it is ours to share. @param {Session | null} session */
  about(session) {
    const known = session ? `${session.id} ${session.space ?? ""}` : "";
    if (known === this.known) return;
    [this.session, this.known] = [session, known];
    if (session) this.options("share", "Nobody", session.space ?? "");
    this.fit();
  }

  /** @param {string | null} space */
  nameOf(space) {
    return this.all.find(({ id }) => id === space)?.name ?? "a space";
  }

  fit() {
    const { session } = this;
    $("sharing").hidden = !session;
    if (!session) return;
    const [share, button] = [choice("share"), /** @type {HTMLButtonElement} */ ($("do-share"))];
    share.disabled = !this.all.length && !session.space;
    button.disabled = share.value === (session.space ?? "");
    button.textContent = session.space && !share.value ? "Share no longer" : "Share";
    say($("share-says"), this.says(session));
  }

  /** @param {Session} session */
  says(session) {
    if (session.space) return "Who is in that space may listen, and all hear it at the same moment. You alone start, stop and change it.";
    if (this.all.length) return "Choose a space, and all who are in it may listen with you.";
    return "Join a space first; then you can share this with all who are in it.";
  }

  /**
   * A list of spaces with what is chosen, also where that is none of ours any more.
   * @param {string} id @param {string} first @param {string} chosen
   */
  options(id, first, chosen) {
    /** @type {[string, string][]} */
    const wanted = [["", first], ...this.all.map((each) => /** @type {[string, string]} */ ([each.id, each.name]))];
    if (chosen && !wanted.some(([value]) => value === chosen)) wanted.push([chosen, "a space that you left"]);
    const element = choice(id);
    const key = JSON.stringify(wanted);
    if (element.dataset.options !== key) put(element, wanted.map(([value, words]) => h("option", { value }, words)));
    element.dataset.options = key;
    element.value = chosen;
  }
}

/** @param {Element} element @param {string} words */
function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}
