/**
 * What one entity was in the snapshots of its space: each version that one of them shows, newest first.
 */

import { busy, h, name, put } from "/static/app/dom.js";
import { counted } from "./figures.js";
import { fluxWords } from "./flux.js";
import { moment } from "./timeline.js";

const ROWS = 500;

/**
 * A button that asks for it, and what came.
 * @param {import("./api.js").Lake} lake @param {string} space @param {string} began @param {string} id @returns {HTMLElement}
 */
export function history(lake, space, began, id) {
  const place = h("div", { role: "status" });
  const control = h("button.small-button", { type: "button", onclick: () => busy(control, ask) }, "As snapshots show it");
  const ask = async () => {
    try {
      const rows = await lake.get("/eustress/entities", { space, ids: id, from: began, limit: ROWS });
      put(place, table(versions(rows), rows.length));
    } catch (failure) {
      put(place, h("p.note.wrong", null, /** @type {Error} */ (failure).message));
    }
  };
  return h("div.history", { "data-of": id }, control, place);
}

/** One row a version, of when it was seen first. @param {any[]} rows Oldest first. @returns {any[]} newest first */
function versions(rows) {
  return rows.filter((row, at) => !at || row.version !== rows[at - 1].version).reverse();
}

/** @param {any[]} found @param {number} snapshots */
function table(found, snapshots) {
  if (!found.length) return h("p.muted", null, "No snapshot shows it yet.");
  const words = `${counted(found.length, "version")} in ${counted(snapshots, "snapshot")}${snapshots === ROWS ? ", the first ones" : ""}.`;
  return [h("p.small.muted", null, words), h("div.wide", { role: "region", "aria-label": "Versions of the entity", tabindex: "0" }, h("table", null,
    h("thead", null, h("tr", null, ["seen first", "position", "flux", "depth", "parent"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", null, found.map((row) => h("tr", null, h("th", { scope: "row" }, moment(row.timestamp)),
      h("td", null, row.position.map((/** @type {number} */ value) => value.toFixed(3)).join(", ")), h("td", null, fluxWords(row.flux_position)),
      h("td", null, row.depth), h("td", null, row.parent_id === null ? "–" : name(row.parent_id)))))))];
}
