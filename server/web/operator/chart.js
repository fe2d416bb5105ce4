/**
 * A line chart over the last minutes, as SVG: newest at the right edge, a gap where nothing was known, its words beside it.
 * Colours and sizes are the style sheet's (.chart, .chart .line).
 */

import { h, svg } from "/static/app/dom.js";

const WIDTH = 320;
const HEIGHT = 72;

export class Chart {
  /**
   * @param {HTMLElement} place @param {{title: string, unit: string, lines: string[], seconds?: number}} about
   * `lines` names what is drawn; each look gives a value for each (null: unknown).
   */
  constructor(place, { title, unit, lines, seconds = 300 }) {
    this.unit = unit;
    this.seconds = seconds;
    /** @type {{at: number, values: (number | null)[]}[]} */
    this.points = [];
    this.names = lines;
    this.values = lines.map(() => h("b"));
    this.now = h("output", null, lines.map((name, index) => [lines.length > 1 && h(`span.key.key-${index}`, null, name), this.values[index]]), h("span", null, unit && unit !== "B" ? unit : ""));
    this.scale = h("span.scale");
    this.paths = lines.map((_, index) => svg(`path.line.line-${index}`));
    const base = svg("line.base", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 });
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, base, this.paths);
    this.figure = h("figure.chart", null, h("figcaption", null, h("span", null, title), this.now),
      this.drawing, h("p.axis", { "aria-hidden": "true" }, h("span", null, `${seconds / 60} min ago`), this.scale, h("span", null, "now")));
    place.append(this.figure);
  }

  /** @param {number} at epoch ms @param {(number | null)[]} values */
  add(at, values) {
    this.points.push({ at, values });
    while (this.points[0].at < at - this.seconds * 1000) this.points.shift();
    this.draw(at);
  }

  /** @param {number} at */
  draw(at) {
    const highest = Math.max(0, ...this.points.flatMap(({ values }) => values.map((value) => value ?? 0)));
    const top = nice(highest);
    this.paths.forEach((path, line) => path.setAttribute("d", this.path(at, line, top)));
    const newest = this.points[this.points.length - 1].values.map((value) => shown(value, this.unit === "B" ? "B" : ""));
    newest.forEach((value, line) => { this.values[line].textContent = value; });
    const words = this.names.map((name, line) => `${name} ${newest[line]}`).join(", ");
    this.scale.textContent = highest ? `top ${shown(top, this.unit)}` : "";
    this.drawing.setAttribute("aria-label", `${words} ${this.unit}; at most ${shown(highest, this.unit)} in the last ${this.seconds / 60} minutes`);
  }

  /** @param {number} at @param {number} line @param {number} top */
  path(at, line, top) {
    let pen = "M";
    return this.points.map(({ at: when, values }) => {
      const value = values[line];
      if (value === null) {
        pen = "M";
        return "";
      }
      const x = WIDTH * (1 - (at - when) / (this.seconds * 1000));
      const step = `${pen}${x.toFixed(1)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 4)).toFixed(1)}`;
      pen = "L";
      return step;
    }).join("");
  }
}

/** The next of 1, 2, 5 times a power of ten. @param {number} value */
function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return (/** @type {number} */ ([1, 2, 5, 10].find((step) => step * power >= value))) * power;
}

/** A number as a person reads it. @param {number | null | undefined} value @param {string} unit */
export function shown(value, unit = "") {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (unit === "B") return bytes(value);
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  return `${value.toLocaleString("en", { maximumFractionDigits: digits })}${unit ? ` ${unit}` : ""}`;
}

/** @param {number} value */
function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, value ? Math.floor(Math.log(value) / Math.log(1024)) : 0);
  return `${(value / 1024 ** power).toLocaleString("en", { maximumFractionDigits: power ? 1 : 0 })} ${units[power]}`;
}
