/**
 * The list of sessions. Rows stay where they are while their words change, so that focus and scrolling are not lost.
 */

import { h, put, set } from "/static/app/dom.js";
import { nameOf, positionOf, soundOf, statusOf } from "./words.js";

/** @typedef {import("./desk.js").Session} Session */

export class List {
  /** @param {HTMLElement} element @param {HTMLElement} none @param {(session: Session) => void} pick */
  constructor(element, none, pick) {
    this.element = element;
    this.none = none;
    this.pick = pick;
    /** @type {Map<string, {row: HTMLElement, button: HTMLButtonElement, session: Session}>} */
    this.rows = new Map();
    /** @type {string | null} */
    this.current = null;
  }

  /** @param {Session[]} sessions Newest first. @param {number} now @param {string} [nothing] What is said where there is none. */
  show(sessions, now, nothing) {
    const before = [...this.rows.keys()].join();
    const rows = new Map(sessions.map((session) => [session.id, this.rows.get(session.id) ?? this.made(session)]));
    for (const session of sessions) /** @type {any} */ (rows.get(session.id)).session = session;
    this.rows = rows;
    if ([...rows.keys()].join() !== before) put(this.element, ...[...rows.values()].map(({ row }) => row));
    this.none.hidden = sessions.length > 0;
    if (nothing) say(this.none, nothing);
    this.tick(now);
  }

  /** What is known newer of one of them. @param {Session} session @param {number} now */
  update(session, now) {
    const known = this.rows.get(session.id);
    if (known) known.session = session;
    else this.show([session, ...[...this.rows.values()].map((each) => each.session)], now);
    this.tick(now);
  }

  /** @param {string | null} id */
  choose(id) {
    this.current = id;
    for (const [each, { button }] of this.rows) set(button, "aria-current", each === id ? "true" : null);
  }

  /** Nothing of it is seen any more. */
  end() {
    this.rows.clear();
    put(this.element);
    this.none.hidden = true;
  }

  /** The time goes on. @param {number} now */
  tick(now) {
    for (const { button, session } of this.rows.values()) {
      const [name, status, sound] = /** @type {HTMLCollectionOf<HTMLElement>} */ (button.children);
      say(name, nameOf(session));
      say(sound, `${soundOf(session)}${session.space ? ", shared" : ""}`);
      const position = positionOf(session, now);
      say(status, statusOf(session, position));
      status.className = `small number status-${session.status}`;
    }
  }

  /** @param {Session} session */
  made(session) {
    const button = h(
      "button.session",
      { type: "button", "aria-current": this.current === session.id ? "true" : null, "data-session": session.id },
      h("span.session-name", { dir: "auto" }),
      h("span.small"),
      h("span.small"),
    );
    const entry = { row: h("li", null, button), button, session };
    button.addEventListener("click", () => this.pick(entry.session));
    return entry;
  }
}

/** @param {Element} element @param {string} words */
function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}
