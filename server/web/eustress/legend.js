/**
 * The forms and colours of the flux positions, in HTML; the same as the painter stamps.
 */

import { h, svg } from "/static/app/dom.js";
import { whole } from "./figures.js";
import { FORMS, isSacred, POSITIONS } from "./flux.js";

/** A small picture of a flux position. @param {number} flux */
export function mark(flux) {
  const drawn = shape(FORMS[flux]);
  return svg(`svg.flux-mark.flux-${flux}`, { viewBox: "-12 -12 24 24", "aria-hidden": "true" }, drawn);
}

/** @param {string | undefined} kind */
function shape(kind) {
  if (kind === "triangle") return svg("path", { d: polygon(3) });
  if (kind === "hexagon") return svg("path", { d: polygon(6) });
  if (kind === "ring") return [svg("circle.hollow", { r: 8.5 }), svg("circle", { r: 3.6 })];
  return svg("circle", { r: 7 });
}

/** @param {number} corners */
function polygon(corners) {
  const at = (/** @type {number} */ corner) => (corner / corners) * 2 * Math.PI - Math.PI / 2;
  return `M${Array.from({ length: corners }, (_, each) => `${(Math.cos(at(each)) * 11).toFixed(2)} ${(Math.sin(at(each)) * 11).toFixed(2)}`).join("L")}Z`;
}

/** How many of each there are. @param {number[]} census */
export function legend(census) {
  return h("ul.plain.legend", { "aria-label": "Flux positions" }, POSITIONS.map((flux) =>
    h(`li${isSacred(flux) ? ".sacred" : ""}`, null, mark(flux), h("b", null, flux), h("span.small.muted", null, whole(census[flux] ?? 0), h("span.hidden-visually", null, " entities")))));
}
