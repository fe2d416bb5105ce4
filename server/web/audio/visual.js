/**
 * The picture beside the spectrum: an image that the server draws, in the colours of the page, of the tone that sounds.
 */

import { hertz } from "./words.js";

/** @typedef {import("./desk.js").Session} Session */

const SIZE = 512;
/** @type {Record<string, string>} */
const ALTS = {
  flower_of_life: "Flower of life: nineteen circles on a hexagonal lattice, in two more.",
  metatrons_cube: "Metatron’s cube: thirteen circles and the lines between all their centres.",
  sri_yantra: "Sri Yantra: nine interlocking triangles, two rings of petals, a square with four gates.",
  color_field: "A colour field of two or three soft-edged blocks.",
};
const SPECTROGRAM_S = 20;

export class Visual {
  /** @param {HTMLImageElement} image @param {HTMLSelectElement} choice @param {AbortSignal} signal Its end. */
  constructor(image, choice, signal) {
    this.image = image;
    this.choice = choice;
    /** @type {Session | null} */
    this.session = null;
    choice.addEventListener("change", () => this.draw(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
  }

  /** @param {Session | null} session */
  show(session) {
    this.session = session;
    this.draw();
  }

  draw() {
    const { kind, query, alt } = this.wanted();
    const url = `/api/v1/visuals/${kind}?${new URLSearchParams(query)}`;
    if (this.image.getAttribute("src") !== url) this.image.src = url;
    this.image.alt = alt;
  }

  /** @returns {{kind: string, query: Record<string, string> | URLSearchParams, alt: string}} */
  wanted() {
    const chosen = this.choice.value;
    const lines = { ink: colorOf("--accent"), paper: "none", size: String(SIZE), stroke: "0.008" };
    const frequency = String(this.session?.audio_frequency ?? 432);
    if (chosen === "cymatics" || chosen === "circular") {
      const plate = chosen === "circular" ? "circular" : "square";
      const alt = `Chladni figure: where sand rests on a ${plate} plate at ${hertz(Number(frequency))}.`;
      return { kind: "cymatics", query: { frequency, plate, ...lines, stroke: "0.014" }, alt };
    }
    if (chosen === "spectrogram") {
      const audio_type = this.session?.audio_type ?? "prayer_bowl";
      const alt = `Spectrogram of the first ${SPECTROGRAM_S} seconds: time to the right, frequency upwards.`;
      const query = new URLSearchParams({ audio_type, seconds: String(SPECTROGRAM_S), size: String(SIZE), format: "png" });
      for (const each of this.session?.frequencies ?? []) query.append("frequencies", String(each));
      return { kind: chosen, query, alt };
    }
    if (chosen === "color_field") {
      const seed = String(Math.round(Number(frequency) * 100));
      return { kind: chosen, query: { seed, size: String(SIZE), format: "png" }, alt: ALTS[chosen] };
    }
    return { kind: chosen, query: lines, alt: ALTS[chosen] };
  }
}

/** A colour of the page as `rrggbb`. @param {string} name */
function colorOf(name) {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return value.replace("#", "");
}
