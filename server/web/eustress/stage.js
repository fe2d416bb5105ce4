/**
 * The canvas as a person handles it: drag, wheel and keys move the camera, the pointer names what is near, a click selects.
 *
 * It draws when something changed, once a frame at most; never while nothing does.
 */

import { Painter } from "./painter.js";
import { cameraFor, near, orbit, pan, zoom } from "./projection.js";
import { Scene } from "./scene.js";

const NAMED_WITHIN = 70;
const NAMED = 7;
const PICKED_WITHIN = 14;
const TURN = 0.008;
const KEY_TURN = 0.12;
const KEY_PAN = 40;
const CLOSER = 0.8;

export class Stage {
  /** @param {HTMLCanvasElement} canvas @param {(id: string | null) => void} onselect */
  constructor(canvas, onselect) {
    this.canvas = canvas;
    this.painter = new Painter(canvas);
    this.onselect = onselect;
    this.scene = new Scene();
    /** @type {import("./projection.js").View} */
    this.view = "space";
    this.camera = cameraFor(this.scene, this.view, 1);
    /** Whether the camera stands where somebody moved it to. */
    this.moved = false;
    this.links = false;
    /** @type {string | null} */
    this.selected = null;
    /** @type {number[]} */
    this.named = [];
    this.due = 0;
    /** How many pictures were drawn. */
    this.frames = 0;
    this.over = new AbortController();
    this.listen();
  }

  /** @param {Scene} scene @param {boolean} keep the camera where it is */
  show(scene, keep = false) {
    this.scene = scene;
    this.named = [];
    if (keep) this.redraw();
    else this.reset();
  }

  /** All of the scene in view. */
  reset() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.camera = cameraFor(this.scene, this.view, width && height ? width / height : 1);
    this.moved = false;
    this.redraw();
  }

  /** @param {import("./projection.js").View} view */
  look(view) {
    this.view = view;
    this.reset();
  }

  /** @param {string | null} id */
  select(id) {
    this.selected = id;
    this.redraw();
  }

  /** @param {number} factor */
  zoom(factor) {
    this.move(zoom(this.camera, factor));
  }

  redraw() {
    if (!this.due) this.due = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.due = 0;
    if (!this.canvas.clientWidth) return;
    this.frames += 1;
    this.painter.draw(this.scene, this.camera, { selected: this.selected, named: this.named, links: this.links });
  }

  end() {
    this.over.abort();
    cancelAnimationFrame(this.due);
  }

  /** @param {import("./projection.js").Camera} camera */
  move(camera) {
    this.moved = true;
    this.camera = camera;
    this.redraw();
  }

  /** @param {number} right @param {number} down pixels @param {boolean} aside */
  drag(right, down, aside) {
    const slides = aside || this.view === "plan";
    this.move(slides ? pan(this.camera, right, down, this.canvas.clientHeight) : orbit(this.camera, -right * TURN, down * TURN));
  }

  listen() {
    const { canvas } = this;
    const on = (/** @type {EventTarget} */ target, /** @type {string} */ type, /** @type {(event: any) => void} */ act, options = {}) =>
      target.addEventListener(type, act, { signal: this.over.signal, ...options });
    /** @type {Map<number, {x: number, y: number}>} */
    const down = new Map();
    let moved = 0;
    on(canvas, "pointerdown", (event) => {
      down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
      if (down.size === 1) moved = 0;
      canvas.setPointerCapture(event.pointerId);
    });
    on(canvas, "pointermove", (event) => {
      const before = down.get(event.pointerId);
      if (!before) return this.point(event.offsetX, event.offsetY);
      const [right, below] = [event.offsetX - before.x, event.offsetY - before.y];
      moved += Math.abs(right) + Math.abs(below);
      if (down.size === 1) this.drag(right, below, event.shiftKey || event.buttons === 2);
      else this.pinch(down, event);
      down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    });
    const up = (/** @type {PointerEvent} */ event) => {
      if (down.delete(event.pointerId) && moved < 5 && event.type === "pointerup") this.pick(event.offsetX, event.offsetY);
    };
    on(canvas, "pointerup", up);
    on(canvas, "pointercancel", up);
    on(canvas, "pointerleave", () => this.name([]));
    on(canvas, "contextmenu", (event) => event.preventDefault());
    on(canvas, "wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 400))));
    }, { passive: false });
    on(canvas, "keydown", (event) => this.key(event));
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.recolour());
    const resized = new ResizeObserver(() => (this.moved ? this.redraw() : this.reset()));
    resized.observe(canvas);
    const themed = new MutationObserver(() => this.recolour());
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.over.signal.addEventListener("abort", () => [resized, themed].forEach((observer) => observer.disconnect()));
  }

  recolour() {
    this.painter.recolour();
    this.redraw();
  }

  /** Two fingers: nearer and farther. @param {Map<number, {x: number, y: number}>} down @param {PointerEvent} event */
  pinch(down, event) {
    const [one, other] = [...down.entries()].slice(0, 2).map(([id, at]) => ({ id, ...at }));
    const between = (/** @type {any} */ a, /** @type {any} */ b) => Math.max(10, Math.hypot(a.x - b.x, a.y - b.y));
    const now = (/** @type {any} */ each) => (each.id === event.pointerId ? { x: event.offsetX, y: event.offsetY } : each);
    this.zoom(between(one, other) / between(now(one), now(other)));
  }

  /** @param {number} x @param {number} y */
  point(x, y) {
    this.name(near(this.painter.places, this.scene.count, x, y, NAMED_WITHIN, NAMED));
  }

  /** @param {number[]} named */
  name(named) {
    if (named.join() === this.named.join()) return;
    this.named = named;
    this.redraw();
  }

  /** @param {number} x @param {number} y */
  pick(x, y) {
    const [slot] = near(this.painter.places, this.scene.count, x, y, PICKED_WITHIN, 1);
    this.onselect(slot === undefined ? null : this.scene.rows[slot].id);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { key, shiftKey, ctrlKey, metaKey, altKey } = event;
    if (ctrlKey || metaKey || altKey) return;
    const [right, below] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
    if (right || below) this.step(right, below, shiftKey);
    else if (key === "+" || key === "=") this.zoom(CLOSER);
    else if (key === "-") this.zoom(1 / CLOSER);
    else if (key === "0" || key === "Home") this.reset();
    else if (key === "Escape") this.onselect(null);
    else return;
    event.preventDefault();
  }

  /** @param {number} right @param {number} below @param {boolean} aside */
  step(right, below, aside) {
    if (aside || this.view === "plan") this.drag(-right * KEY_PAN, -below * KEY_PAN, true);
    else this.move(orbit(this.camera, right * KEY_TURN, -below * KEY_TURN));
  }
}
