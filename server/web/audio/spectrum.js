/**
 * The live spectrum on a canvas: 64 bands from 20 Hz to 20 kHz in equal steps of pitch, and the greatest peaks with their
 * frequencies. What is drawn is what the server measured; bars fall back slowly unless less motion is asked for.
 */

import { stillness } from "/static/app/dom.js";

const LOW_HZ = 20;
const HIGH_HZ = 20_000;
const MARKS = [50, 100, 200, 500, 1000, 2000, 5000, 10_000];
const LABELLED = 3;
/** By how much a bar may fall in a frame, and how long a still picture stays, in ms. */
const FALL = 0.018;
const STILL_MS = 500;
/** Of a band that is empty, as the server measures it (actors/audio/spectrum.py). */
const FLOOR_DB = -80;
const DOT = 4;
const PADDING = { top: 22, bottom: 22 };

export class Spectrum {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    /** @type {number[]} */
    this.target = [];
    /** @type {number[]} */
    this.shown = [];
    /** @type {[number, number][]} */
    this.peaks = [];
    this.frame = 0;
    this.drawn = 0;
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(canvas);
  }

  end() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** A measurement. @param {{frequencies: number[], amplitudes: number[], bands: number[]}} measured */
  show({ frequencies, amplitudes, bands }) {
    if (stillness() && frequencies.length && performance.now() - this.drawn < STILL_MS) return;
    this.target = bands;
    this.peaks = frequencies.slice(0, LABELLED).map((each, at) => [each, amplitudes[at]]);
    this.canvas.dataset.peak = frequencies.length ? frequencies[0].toFixed(2) : "";
    this.again();
  }

  /** Nothing sounds any more. */
  clear() {
    this.show({ frequencies: [], amplitudes: [], bands: this.target.map(() => 0) });
  }

  again() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.step());
  }

  step() {
    this.frame = 0;
    const still = stillness();
    let moving = false;
    this.shown = this.target.map((wanted, at) => {
      const next = still ? wanted : Math.max(wanted, (this.shown[at] ?? 0) - FALL);
      moving ||= next !== wanted;
      return next;
    });
    this.draw();
    if (moving) this.again();
  }

  draw() {
    const { canvas, context } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    this.drawn = performance.now();
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const floor = height - PADDING.bottom;
    context.font = `12px ${color("--sans") || "sans-serif"}`;
    this.scale(width, floor, color("--line"), color("--muted"));
    this.bars(width, floor, color("--second"));
    context.strokeStyle = color("--sunken");
    this.labels(width, floor, color("--accent"), color("--ink"));
  }

  /** @param {number} width @param {number} floor @param {string} line @param {string} text */
  scale(width, floor, line, text) {
    const { context } = this;
    context.textBaseline = "top";
    context.textAlign = "center";
    const every = width < 420 ? 2 : 1;
    MARKS.forEach((mark, at) => {
      const x = placeOf(mark, width);
      context.fillStyle = line;
      context.fillRect(x, PADDING.top, 1, floor - PADDING.top);
      context.fillStyle = text;
      if (at % every === every - 1) context.fillText(mark < 1000 ? `${mark}` : `${mark / 1000}k`, x, floor + 5);
    });
  }

  /** @param {number} width @param {number} floor @param {string} color */
  bars(width, floor, color) {
    const step = width / (this.shown.length || 1);
    this.context.fillStyle = color;
    this.shown.forEach((level, at) => {
      const tall = level * (floor - PADDING.top);
      this.context.fillRect(at * step + 1, floor - tall, Math.max(1, step - 2), tall);
    });
  }

  /**
   * A dot at each peak's own frequency and level, with its frequency above it where there is room.
   * @param {number} width @param {number} floor @param {string} dot @param {string} text
   */
  labels(width, floor, dot, text) {
    const { context } = this;
    context.textAlign = "left";
    context.textBaseline = "bottom";
    let free = -Infinity;
    for (const [frequency, amplitude] of [...this.peaks].sort((a, b) => a[0] - b[0])) {
      const level = Math.max(0, 1 - (20 * Math.log10(Math.max(amplitude, 1e-6))) / FLOOR_DB);
      const [x, y] = [placeOf(frequency, width), floor - level * (floor - PADDING.top)];
      context.fillStyle = dot;
      context.beginPath();
      context.arc(x, y, DOT, 0, 2 * Math.PI);
      context.fill();
      const words = `${frequency.toFixed(1)} Hz`;
      const wide = context.measureText(words).width;
      const left = Math.min(Math.max(2, x - wide / 2), width - wide - 2);
      if (left < free) continue;
      context.fillStyle = text;
      context.lineWidth = 4; // a bar that still falls may stand behind it
      context.strokeText(words, left, y - DOT - 3);
      context.fillText(words, left, y - DOT - 3);
      free = left + wide + 8;
    }
  }
}

/** @param {number} frequency @param {number} width */
const placeOf = (frequency, width) => (Math.log(frequency / LOW_HZ) / Math.log(HIGH_HZ / LOW_HZ)) * width;
