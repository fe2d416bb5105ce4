/**
 * A space's time as a line: epochs are bars, snapshots ticks, and a slider says of when the scene is shown.
 *
 * Ticks and bars are one stop for the tab key; arrow keys go along them. What has the focus or the pointer is told beneath.
 */

import { h, put, set } from "/static/app/dom.js";
import { counted } from "./figures.js";

/** @typedef {{id: string, timestamp: string, reason?: string, metadata?: import("./figures.js").Metadata}} Snapshot */
/** @typedef {{id: string, start_time: string, end_time: string, sample_count: number, stats: any}} Epoch */

const STEPS = 1000;
const SETTLE_MS = 150;
const FORMAT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** @param {string | number} at */
export const moment = (at) => FORMAT.format(new Date(at));

/** What a datetime-local field says, in local time to the second. @param {number} at */
export const localField = (at) => new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);

export class Timeline {
  /** @param {(at: number | null) => void} onmoment Epoch ms; null: live. */
  constructor(onmoment) {
    this.onmoment = onmoment;
    this.from = 0;
    this.to = 1;
    /** @type {number | null} */
    this.at = null;
    this.settling = 0;
    this.marks = h("div.marks", { role: "group", "aria-label": "Snapshots and epochs", onkeydown: (/** @type {KeyboardEvent} */ event) => this.key(event) });
    this.needle = h("span.needle", { "aria-hidden": "true" });
    this.told = h("p.told.small.muted", { "aria-live": "polite" });
    this.slider = h("input", { type: "range", min: 0, max: STEPS, value: STEPS, "aria-label": "Moment that is shown", oninput: () => this.slid() });
    this.field = h("input", { type: "datetime-local", step: 1, id: "moment", onchange: () => this.typed() });
    this.live = h("button", { type: "button", onclick: () => this.choose(null) }, "Back to live");
    this.ends = h("p.ends.small.muted", { "aria-hidden": "true" });
    this.element = h("div.timeline", null,
      h("div.track", null, this.marks, this.needle), this.slider, this.ends, this.told,
      h("div.moment", null, h("label", { for: "moment" }, "As it was at"), this.field, this.live));
    this.say(null);
  }

  /**
   * @param {number} from @param {number} to Epoch ms: when the space began, and now.
   * @param {Snapshot[]} snapshots @param {Epoch[]} epochs
   */
  show(from, to, snapshots, epochs) {
    [this.from, this.to] = [from, Math.max(to, from + 1000)];
    const focused = this.marks.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.id : null;
    const bars = epochs.map((epoch) => this.bar(epoch));
    const ticks = [...snapshots].reverse().map((snapshot) => this.tick(snapshot));
    put(this.marks, bars, ticks);
    const stop = [...this.marks.children].find((mark) => /** @type {HTMLElement} */ (mark).dataset.id === focused) ?? this.marks.lastElementChild;
    for (const mark of this.marks.children) mark.tabIndex = mark === stop ? 0 : -1;
    if (focused) stop?.focus();
    put(this.ends, h("span", null, moment(this.from)), h("span", null, "now"));
    this.point();
    if (!this.told.textContent) this.told.textContent = `${counted(snapshots.length, "snapshot")}, ${counted(epochs.length, "epoch")}.`;
  }

  /** @param {Snapshot} snapshot */
  tick({ id, timestamp, reason, metadata }) {
    const size = metadata ? `, ${counted(metadata.entity_count, "entity", "entities")}` : "";
    const words = `Snapshot ${moment(timestamp)}${reason ? `, ${REASONS[reason] ?? reason}` : ""}${size}`;
    const mark = this.mark("tick", id, words, () => this.choose(Date.parse(timestamp)));
    mark.style.left = `${this.share(Date.parse(timestamp)) * 100}%`;
    mark.dataset.reason = reason ?? "";
    return mark;
  }

  /** @param {Epoch} epoch */
  bar({ id, start_time, end_time, sample_count, stats }) {
    const sacred = stats ? `, ${(stats.sacred_frequency * 100).toFixed(0)} % sacred` : "";
    const words = `Epoch ${moment(start_time)} to ${moment(end_time)}: ${counted(sample_count, "sample")}${sacred}`;
    const mark = this.mark("bar", id, words, () => this.choose(Date.parse(end_time)));
    const [left, right] = [this.share(Date.parse(start_time)), this.share(Date.parse(end_time))];
    mark.style.left = `${left * 100}%`;
    mark.style.width = `${Math.max(0.4, (right - left) * 100)}%`;
    return mark;
  }

  /** @param {string} kind @param {string} id @param {string} words @param {() => void} onclick */
  mark(kind, id, words, onclick) {
    const tell = () => { this.told.textContent = words; };
    return h(`button.${kind}`, { type: "button", "data-id": id, "aria-label": words, title: words, onclick, onfocus: tell, onpointerenter: tell });
  }

  /** Arrow keys go from mark to mark. @param {KeyboardEvent} event */
  key(event) {
    const marks = /** @type {HTMLElement[]} */ ([...this.marks.children]).sort((one, other) => parseFloat(one.style.left) - parseFloat(other.style.left));
    const here = marks.indexOf(/** @type {HTMLElement} */ (event.target));
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: marks.length - 1 }[event.key];
    if (to === undefined || !marks[to]) return;
    event.preventDefault();
    marks[here].tabIndex = -1;
    marks[to].tabIndex = 0;
    marks[to].focus();
  }

  /** Where a moment lies, 0 to 1. @param {number} at */
  share(at) {
    return Math.min(1, Math.max(0, (at - this.from) / (this.to - this.from)));
  }

  slid() {
    const step = Number(this.slider.value);
    const at = step >= STEPS ? null : this.from + ((this.to - this.from) * step) / STEPS;
    this.say(at);
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.choose(at), SETTLE_MS);
  }

  typed() {
    const at = Date.parse(this.field.value);
    if (!Number.isNaN(at)) this.choose(at + 999); // to the end of that second
  }

  /** @param {number | null} at */
  choose(at) {
    clearTimeout(this.settling);
    this.say(at);
    this.onmoment(at);
  }

  /** @param {number | null} at */
  say(at) {
    this.at = at;
    this.live.disabled = at === null;
    this.field.value = at === null ? "" : localField(at);
    set(this.slider, "aria-valuetext", at === null ? "live" : moment(at));
    this.point();
  }

  point() {
    const share = this.at === null ? 1 : this.share(this.at);
    this.slider.value = String(Math.round(share * STEPS));
    this.needle.style.left = `${share * 100}%`;
  }

  end() {
    clearTimeout(this.settling);
  }
}

/** Why a snapshot was taken. @type {Record<string, string>} */
const REASONS = { count: "after so many changes", batch: "with a large batch", alarm: "by the clock", manual: "by hand" };
