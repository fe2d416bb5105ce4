/**
 * The scene as a list, and one entity in full: the same content as the picture, for whoever does not see it.
 */

import { h, name, put } from "/static/app/dom.js";
import { counted, whole } from "./figures.js";
import { fluxWords, isSacred } from "./flux.js";
import { mark } from "./legend.js";

/** @typedef {import("./scene.js").Scene} Scene @typedef {import("./scene.js").Row} Row */

const PAGE = 100;
const CHILDREN = 50;

export class EntityList {
  /** @param {(id: string) => void} onselect */
  constructor(onselect) {
    this.onselect = onselect;
    /** @type {Scene | null} */
    this.scene = null;
    /** @type {string | null} */
    this.selected = null;
    this.most = PAGE;
    this.search = h("input", { type: "search", id: "find", placeholder: "name, id, type or tag", oninput: () => this.narrow() });
    this.sacred = h("input", { type: "checkbox", onchange: () => this.narrow() });
    this.list = h("ol.plain.entities", { "aria-label": "Entities" });
    this.words = h("p.small.muted", { role: "status" });
    this.more = h("button.quiet", { type: "button", onclick: () => this.further() }, "Show more");
    this.element = h("section.card.side", { "aria-label": "Entities of the scene" },
      h("label", { for: "find" }, "Find an entity"), this.search,
      h("label.choice.small", null, this.sacred, "only 3, 6 and 9"), this.words,
      h("div.entities-scroll", { role: "region", "aria-label": "List of entities", tabindex: "0" }, this.list, this.more));
  }

  /** @param {Scene} scene @param {string | null} selected */
  show(scene, selected) {
    [this.scene, this.selected] = [scene, selected];
    this.draw();
  }

  narrow() {
    this.most = PAGE;
    this.draw();
  }

  further() {
    const last = this.list.childElementCount;
    this.most += PAGE;
    this.draw();
    this.list.children[last]?.querySelector("button")?.focus();
  }

  draw() {
    const found = this.found();
    const held = /** @type {HTMLElement | null} */ (document.activeElement?.closest(".entities li"))?.dataset.id;
    put(this.list, found.slice(0, this.most).map((row) => this.item(row)));
    if (held) /** @type {HTMLElement | null} */ (this.list.querySelector(`[data-id="${CSS.escape(held)}"] button`))?.focus();
    this.more.hidden = found.length <= this.most;
    const words = found.length > this.most ? `The first ${whole(this.most)} of ${counted(found.length, "entity", "entities")}.` : `${counted(found.length, "entity", "entities")}.`;
    if (this.words.textContent !== words) this.words.textContent = words;
  }

  /** @returns {Row[]} by depth, then name */
  found() {
    const word = this.search.value.trim().toLowerCase();
    const rows = (this.scene?.rows ?? []).filter((row) => (!this.sacred.checked || isSacred(row.flux)) && (!word || matches(row, word)));
    return rows.sort((one, other) => one.depth - other.depth || (called(one) < called(other) ? -1 : 1));
  }

  /** @param {Row} row */
  item(row) {
    const chosen = row.id === this.selected;
    return h("li", { "data-id": row.id }, h("button.entity", { type: "button", "aria-current": chosen ? "true" : null, onclick: () => this.onselect(row.id) },
      mark(row.flux), h("span.entity-words", null, name(called(row)),
        h("span.small.muted", null, [row.data.class_type, fluxWords(row.flux), row.depth ? `depth ${row.depth}` : "root"].filter(Boolean).join(" · ")))));
  }
}

/** @param {Row} row */
export const called = ({ id, data }) => data.name || id;

/** @param {Row} row @param {string} word */
function matches({ id, data }, word) {
  return [id, data.name, data.class_type, ...(data.tags ?? [])].some((text) => text?.toLowerCase().includes(word));
}

/**
 * One entity in full.
 * @param {Scene} scene @param {Row} row @param {(id: string | null) => void} onselect @param {HTMLElement} history
 */
export function details(scene, row, onselect, history) {
  const { id, data } = row;
  const children = scene.children(id);
  const parent = row.parent === null ? null : scene.get(row.parent);
  const to = (/** @type {string} */ other) => {
    const known = scene.get(other);
    return known ? h("button.quiet.small-button", { type: "button", onclick: () => onselect(other) }, name(called(known))) : name(other);
  };
  const fact = (/** @type {string} */ title, /** @type {any} */ value) => h("div", null, h("dt", null, title), h("dd", null, value));
  return h("section.card.details", { "aria-labelledby": "details-title" },
    h("div.details-head", null, mark(row.flux), h("h3", { id: "details-title", tabindex: "-1" }, name(called(row))), h("span.grow"),
      h("button.quiet.small-button", { type: "button", onclick: () => onselect(null) }, "Close")),
    h("dl.facts", null,
      fact("id", h("code", null, id)), fact("type", data.class_type || "–"), fact("flux", fluxWords(row.flux)), fact("depth", row.depth),
      fact("position", vector(data.position)), fact("rotation", vector(data.rotation)), fact("scale", vector(data.scale)),
      fact("tags", data.tags?.length ? data.tags.join(", ") : "–"), fact("trains", data.consent === undefined ? "as the space has it" : data.consent ? "yes" : "no"),
      fact("parent", row.parent === null ? "none, a root" : parent ? to(parent.id) : [name(row.parent), " (not shown)"]),
      fact(`children (${children.length})`, children.length ? h("span.chips", null, children.slice(0, CHILDREN).map((child) => to(child.id)), children.length > CHILDREN && "…") : "none")),
    connections(scene, id, to), history,
    h("details.fine", null, h("summary", null, "As the engine sent it"), h("pre.small.mono.pre", { tabindex: "0" }, JSON.stringify(data, null, 2))));
}

/** @param {Scene} scene @param {string} id @param {(id: string) => any} to */
function connections(scene, id, to) {
  const links = scene.linksOf(id);
  if (!links.length) return null;
  return [h("h4", null, "Other connections"), h("ul.plain", null, links.slice(0, CHILDREN).map(({ source, target, type, strength, label }) => {
    const waits = type === "hierarchy" ? ", waits for its place" : "";
    return h("li.link", null, source === id ? ["→ ", to(target)] : ["← ", to(source)], h("span.small.muted", null, `${type}${waits}, strength ${strength.toFixed(2)}${label ? `, ${label}` : ""}`));
  }))];
}

/** @param {number[] | undefined} values */
const vector = (values) => (values ?? []).map((value) => value.toLocaleString("en", { maximumFractionDigits: 3 })).join(", ") || "–";
