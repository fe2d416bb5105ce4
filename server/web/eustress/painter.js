/**
 * Draws a scene on a canvas: a grid for scale, lines, points from far to near, names. It decides nothing but how things look.
 *
 * Points are stamped from pictures of each form, colour and size, made once: twenty thousand are a few milliseconds.
 */

import { FORMS, isSacred } from "./flux.js";
import { focal, project, relative, STRIDE, usualRadius } from "./projection.js";

/** @typedef {import("./scene.js").Scene} Scene @typedef {import("./projection.js").Camera} Camera */
/** @typedef {{ink: string, muted: string, paper: string, line: string, accent: string, flux: string[], font: string}} Colours */
/** @typedef {{selected: string | null, named: number[], links: boolean}} Shown */

const LAYERS = 6;
const FAINTEST = 0.34;
const GRID = 12;
/** Smaller dots, in device pixels, have no form to see. */
const TINY = 2.6;
/** Names of this many roots stand in the picture without being pointed at. */
const ROOTS_NAMED = 12;

/** The page's colours as they are now. @returns {Colours} */
export function coloursNow() {
  const style = getComputedStyle(document.documentElement);
  const of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const flux = Array.from({ length: 10 }, (_, at) => of(`--flux-${at || 1}`));
  return { ink: of("--ink"), muted: of("--muted"), paper: of("--surface"), line: of("--line-strong"), accent: of("--accent"), flux, font: of("--sans") };
}

export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.places = new Float32Array(0);
    this.ratio = 1;
    this.perUnit = 1;
    this.speckled = -1;
    this.colours = coloursNow();
    /** @type {Map<number, HTMLCanvasElement>} */
    this.stamps = new Map();
  }

  /** The theme changed. */
  recolour() {
    this.colours = coloursNow();
    this.stamps.clear();
  }

  /** As many pixels as the screen has. @returns {{width: number, height: number}} in CSS pixels */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = Math.min(2, devicePixelRatio || 1);
    if (ratio !== this.ratio) this.stamps.clear();
    this.ratio = ratio;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== wide || this.canvas.height !== high) [this.canvas.width, this.canvas.height] = [wide, high];
    return { width, height };
  }

  /** @param {Scene} scene @param {Camera} camera @param {Shown} shown */
  draw(scene, camera, shown) {
    const { width, height } = this.fit();
    const { context } = this;
    if (this.places.length < scene.count * STRIDE) this.places = new Float32Array(scene.x.length * STRIDE);
    project(camera, width, height, scene, this.places);
    this.perUnit = 1 / focal(height);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.grid(camera, width, height);
    const lines = scene.lines();
    if (shown.links) this.lines(lines.links, this.colours.accent, 0.16, [3, 4]);
    this.lines(lines.tree, this.colours.line, scene.count > 3000 ? 0.3 : 0.75, []);
    this.points(scene, camera, lines.usual, width, height);
    this.selection(scene, camera, shown.selected);
    this.names(scene, shown, width);
  }

  /** Lines on the ground, through the middle of what is looked at. @param {Camera} camera @param {number} width @param {number} height */
  grid(camera, width, height) {
    const step = 10 ** Math.floor(Math.log10(camera.radius / 2));
    const apart = camera.radius / step > 8 ? step * 2 : step;
    const [cx, cz] = [camera.target[0], camera.target[2]].map((at) => Math.round(at / apart) * apart);
    const ends = [];
    for (let at = -GRID; at <= GRID; at += 1) {
      const [along, reach] = [at * apart, GRID * apart];
      ends.push([cx + along, cz - reach], [cx + along, cz + reach], [cx - reach, cz + along], [cx + reach, cz + along]);
    }
    const ground = camera.view === "plan" ? camera.target[1] : camera.target[1] - camera.radius * 0.6;
    const points = { count: ends.length, x: Float64Array.from(ends, ([x]) => x), y: new Float64Array(ends.length).fill(ground), z: Float64Array.from(ends, ([, z]) => z) };
    const places = new Float32Array(ends.length * STRIDE);
    project(camera, width, height, points, places);
    this.stroke(places, Int32Array.from(ends, (_, at) => at), this.colours.line, 0.13, []);
  }

  /** @param {Int32Array} pairs @param {string} colour @param {number} alpha @param {number[]} dash */
  lines(pairs, colour, alpha, dash) {
    this.stroke(this.places, pairs, colour, alpha, dash);
  }

  /** @param {Float32Array} places @param {Int32Array} pairs @param {string} colour @param {number} alpha @param {number[]} dash */
  stroke(places, pairs, colour, alpha, dash) {
    const { context } = this;
    context.strokeStyle = colour;
    context.globalAlpha = alpha;
    context.lineWidth = 1;
    context.setLineDash(dash);
    context.beginPath();
    for (let at = 0; at < pairs.length; at += 2) {
      const [from, to] = [pairs[at] * STRIDE, pairs[at + 1] * STRIDE];
      if (!(places[from + 2] && places[to + 2])) continue; // behind the camera
      context.moveTo(places[from], places[from + 1]);
      context.lineTo(places[to], places[to + 1]);
    }
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** @param {Scene} scene @param {Camera} camera @param {number} usual @param {number} width @param {number} height */
  points(scene, camera, usual, width, height) {
    const { places, context, ratio } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    this.speckled = -1;
    for (let layer = LAYERS - 1; layer >= 0; layer -= 1) {
      context.globalAlpha = 1 - (1 - FAINTEST) * (layer / (LAYERS - 1)) * (camera.view === "plan" ? 0.4 : 1);
      for (let slot = 0, at = 0; slot < scene.count; slot += 1, at += STRIDE) {
        if (Math.min(LAYERS - 1, Math.floor(places[at + 3] * LAYERS)) !== layer) continue;
        const [x, y] = [places[at], places[at + 1]];
        if (!(x > -40 && y > -40 && x < width + 40 && y < height + 40)) continue;
        const radius = this.radius(scene, camera, usual, slot) * ratio;
        if (radius < TINY && !isSacred(scene.flux[slot])) {
          this.speck(x * ratio, y * ratio, radius, scene.flux[slot]);
          continue;
        }
        const stamp = this.stamp(scene.flux[slot], radius);
        context.drawImage(stamp, Math.round(x * ratio - stamp.width / 2), Math.round(y * ratio - stamp.height / 2));
      }
    }
    context.globalAlpha = 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /** A dot of a few pixels: a square is the same, and quicker. @param {number} x @param {number} y @param {number} radius @param {number} flux */
  speck(x, y, radius, flux) {
    const { context } = this;
    if (flux !== this.speckled) context.fillStyle = this.colours.flux[(this.speckled = flux)];
    const side = Math.max(1, Math.round(radius * 1.5));
    context.fillRect(Math.round(x - side / 2), Math.round(y - side / 2), side, side);
  }

  /** How big a point is drawn, in CSS pixels. @param {Scene} scene @param {Camera} camera @param {number} usual @param {number} slot */
  radius(scene, camera, usual, slot) {
    const nearer = camera.distance * this.places[slot * STRIDE + 2] * this.perUnit; // than the middle
    return usualRadius(scene.count) * relative(scene.size[slot], usual) * Math.min(3, nearer);
  }

  /** A point of that form, colour and size, drawn once. @param {number} flux @param {number} radius device pixels */
  stamp(flux, radius) {
    const half = Math.max(2, Math.min(60, Math.round(radius * 2)));
    const key = half * 16 + flux;
    const known = this.stamps.get(key);
    if (known) return known;
    const made = document.createElement("canvas");
    const size = half * (isSacred(flux) ? 0.72 : 0.5);
    made.width = made.height = Math.ceil(size * 2) + 4;
    const context = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
    context.translate(made.width / 2, made.width / 2);
    form(context, flux, size, this.colours);
    this.stamps.set(key, made);
    return made;
  }

  /** @param {Scene} scene @param {Camera} camera @param {string | null} selected */
  selection(scene, camera, selected) {
    const slot = selected === null ? undefined : scene.slots.get(selected);
    if (slot === undefined) return;
    const { tree, usual } = scene.lines();
    const own = [];
    for (let at = 0; at < tree.length; at += 2) if (tree[at] === slot || tree[at + 1] === slot) own.push(tree[at], tree[at + 1]);
    this.lines(Int32Array.from(own), this.colours.accent, 0.9, []);
    const { context, places } = this;
    const at = slot * STRIDE;
    for (const [colour, wide] of /** @type {[string, number][]} */ ([[this.colours.paper, 4], [this.colours.ink, 2]])) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.beginPath();
      context.arc(places[at], places[at + 1], this.radius(scene, camera, usual, slot) * 1.4 + 5, 0, 7);
      context.stroke();
    }
  }

  /** @param {Scene} scene @param {Shown} shown @param {number} width */
  names(scene, { selected, named }, width) {
    const chosen = selected === null ? undefined : scene.slots.get(selected);
    const { roots } = scene.lines();
    const quiet = roots.length <= ROOTS_NAMED ? roots : [];
    const { context, places } = this;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    for (const slot of new Set([...quiet, ...named, ...(chosen === undefined ? [] : [chosen])])) {
      const [x, y] = [places[slot * STRIDE], places[slot * STRIDE + 1]];
      if (Number.isNaN(x) || slot >= scene.count) continue;
      const { id, data } = scene.rows[slot];
      const text = (data.name || id).slice(0, 40);
      const strong = slot === chosen || slot === named[0];
      context.font = `${strong ? "600 13px" : "12px"} ${this.colours.font}`;
      const away = usualRadius(scene.count) * 1.6 + 6;
      const left = x + away + context.measureText(text).width > width;
      context.textAlign = left ? "right" : "left";
      context.strokeStyle = this.colours.paper;
      context.lineWidth = 4;
      context.strokeText(text, x + (left ? -away : away), y);
      context.fillStyle = strong ? this.colours.ink : this.colours.muted;
      context.fillText(text, x + (left ? -away : away), y);
    }
  }
}

/** One point's form around the origin. @param {CanvasRenderingContext2D} context @param {number} flux @param {number} size @param {Colours} colours */
export function form(context, flux, size, colours) {
  const kind = FORMS[flux];
  const corners = { triangle: 3, hexagon: 6 }[kind ?? ""] ?? 0;
  context.fillStyle = colours.flux[flux] ?? colours.muted;
  context.strokeStyle = colours.paper;
  context.lineWidth = Math.max(1, size * 0.16);
  context.beginPath();
  for (let at = 0; at < corners; at += 1) {
    const turn = (at / corners) * 2 * Math.PI - Math.PI / 2;
    context.lineTo(Math.cos(turn) * size, Math.sin(turn) * size);
  }
  if (!corners) context.arc(0, 0, size, 0, 7);
  context.closePath();
  context.fill();
  context.stroke();
  if (kind !== "ring" || size < 3) return;
  context.fillStyle = colours.paper;
  context.beginPath();
  context.arc(0, 0, size * 0.62, 0, 7);
  context.fill();
  context.fillStyle = colours.flux[flux];
  context.beginPath();
  context.arc(0, 0, size * 0.3, 0, 7);
  context.fill();
}
