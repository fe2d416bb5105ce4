/**
 * The form that makes a session. What is wrong stands beside its field, in the server's words where it is the server who says so.
 */

import { busy, button, h, put } from "/static/app/dom.js";
import { inWords } from "./desk.js";
import { hertz, PRESETS, SOLFEGGIO } from "./words.js";

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const field = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ ($(id));

class Wrong extends Error {
  /** @param {string} path @param {string} message */
  constructor(path, message) {
    super(message);
    this.errors = [{ path, message }];
  }
}

export class Maker {
  /** @param {(fields: Record<string, any>) => Promise<void>} make @param {(trouble: string) => void} tell */
  constructor(make, tell) {
    this.make = make;
    this.tell = tell;
    this.words = "";
    this.present = false;
    this.form = /** @type {HTMLFormElement} */ ($("make"));
    put($("solfeggio"), SOLFEGGIO.map((each) => h("option", { value: each, selected: each === 528 }, hertz(each))));
    put($("presets"), PRESETS.map(([each, name]) => button(name ? `${each} ${name}` : `${each}`, () => this.preset(each))));
    $("kind").addEventListener("change", () => this.fit());
    $("where").addEventListener("change", () => this.told());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      busy(/** @type {HTMLButtonElement} */ (this.form.querySelector("[type=submit]")), () => this.submit());
    });
    this.fit();
  }

  /** Whether what is made is to be heard in this browser as it starts. */
  get here() {
    return field("where").value !== "there";
  }

  /** How it is with the server's device. @param {string} words @param {boolean} present */
  device(words, present) {
    this.words = words;
    this.present = present;
    this.told();
  }

  told() {
    const unheard = !this.present && this.words && field("where").value !== "here";
    const words = unheard ? `${this.words}. The session goes on there in time, unheard.` : this.words;
    if (words && $("device").textContent !== words) $("device").textContent = words;
  }

  /** @param {number} frequency */
  preset(frequency) {
    field("frequency").value = String(frequency);
    this.blame([]);
  }

  /** Only the fields that the kind of sound has. */
  fit() {
    const kind = field("kind").value;
    for (const each of /** @type {NodeListOf<HTMLElement>} */ (this.form.querySelectorAll("[data-for]"))) {
      each.hidden = !(each.dataset.for ?? "").split(" ").includes(kind);
    }
    this.blame([]);
  }

  async submit() {
    this.tell("");
    try {
      const fields = this.fields();
      this.blame([]);
      await this.make(fields);
    } catch (failure) {
      const errors = /** @type {any} */ (failure).errors ?? [];
      if (!this.blame(errors)) this.tell(inWords(failure));
    }
  }

  /** @returns {Record<string, any>} */
  fields() {
    const kind = field("kind").value;
    /** @type {Record<string, any>} */
    const fields = {
      audio_type: kind,
      intention: field("intention").value.trim(),
      duration: Math.round(numberIn("minutes", "duration") * 60),
      hardware_enabled: field("where").value !== "here",
      visuals_enabled: true,
    };
    if (kind === "chord") fields.frequencies = listIn("chord");
    else if (kind === "solfeggio") fields.audio_frequency = Number(field("solfeggio").value);
    else fields.audio_frequency = numberIn("frequency", "audio_frequency");
    if (kind === "binaural") fields.beat_frequency = numberIn("beat", "beat_frequency");
    return fields;
  }

  /**
   * Shows errors beside their fields, and goes to the first; false where one has no field here.
   * @param {{path: string, message: string}[]} errors
   */
  blame(errors) {
    /** @type {HTMLElement | null} */
    let first = null;
    let placed = 0;
    for (const control of /** @type {NodeListOf<HTMLElement>} */ (this.form.querySelectorAll("[data-field]"))) {
      const name = control.dataset.field ?? "";
      const shown = control.closest("[hidden]") === null;
      const wrong = errors.find(({ path }) => shown && path.replace(/^\$?\.?/, "").split(/[.[]/)[0] === name);
      const fault = document.getElementById(`${control.id}-fault`);
      if (fault) {
        fault.hidden = !wrong;
        fault.textContent = wrong ? wrong.message : "";
      }
      control.toggleAttribute("aria-invalid", false);
      if (!wrong || !fault) continue;
      control.setAttribute("aria-invalid", "true");
      placed += 1;
      first ??= control;
    }
    first?.focus();
    return placed > 0 && placed === errors.length;
  }
}

/** @param {string} id @param {string} path */
function numberIn(id, path) {
  const { value } = field(id);
  if (value.trim() === "" || !Number.isFinite(Number(value))) throw new Wrong(path, "a number is needed");
  return Number(value);
}

/** @param {string} id */
function listIn(id) {
  const parts = field(id).value.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (!parts.length || parts.some((each) => !Number.isFinite(each))) throw new Wrong("frequencies", "numbers are needed, with commas between them");
  return parts;
}
