/**
 * Training epochs of a space: make one of a range, see what is in each, take it home as a file.
 */

import { busy, h, put } from "/static/app/dom.js";
import { shown } from "/static/operator/chart.js";
import { counted, percent, whole } from "./figures.js";
import { localField, moment } from "./timeline.js";

/** @typedef {import("./timeline.js").Epoch} Epoch */

const FILES = [["parquet", "entities"], ["parquet", "connections"], ["ndjson", "entities"], ["ndjson", "connections"]];
const HOUR_MS = 3_600_000;
const TOLD_EVERY_MS = 200;

export class Epochs {
  /**
   * @param {import("./api.js").Lake} lake @param {string} space @param {number} began Epoch ms, when the space did.
   * @param {() => void} onmade
   */
  constructor(lake, space, began, onmade) {
    this.lake = lake;
    this.space = space;
    this.onmade = onmade;
    this.over = new AbortController();
    const now = lake.now();
    this.from = h("input", { type: "datetime-local", step: 1, id: "epoch-from", required: true, value: localField(Math.max(began - 1000, now - HOUR_MS)) });
    this.until = h("input", { type: "datetime-local", step: 1, id: "epoch-until", required: true, value: localField(now + 60_000) });
    this.make = h("button", { type: "submit" }, "Make an epoch of this range");
    this.said = h("div", { role: "status" });
    this.list = h("ul.plain.epoch-list");
    this.none = h("p.muted", null, "None yet. An epoch is the snapshots between two times, ready to train on.");
    this.element = h("section.card", { "aria-labelledby": "epochs-title" }, h("h3", { id: "epochs-title" }, "Training epochs"),
      h("form.range", { onsubmit: (/** @type {Event} */ event) => this.submit(event) },
        h("div", null, h("label", { for: "epoch-from" }, "From"), this.from), h("div", null, h("label", { for: "epoch-until" }, "Until"), this.until), this.make),
      this.said, this.none, this.list);
  }

  /** @param {Epoch[]} epochs */
  show(epochs) {
    this.none.hidden = epochs.length > 0;
    const known = new Set([...this.list.children].map((item) => /** @type {HTMLElement} */ (item).dataset.id));
    const wanted = new Set(epochs.map(({ id }) => id));
    for (const item of [...this.list.children]) if (!wanted.has(/** @type {HTMLElement} */ (item).dataset.id ?? "")) item.remove();
    this.list.prepend(...epochs.filter(({ id }) => !known.has(id)).map((epoch) => this.item(epoch))); // downloads go on in the others
  }

  /** @param {Epoch} epoch */
  item(epoch) {
    const progress = h("p.small.muted", { role: "status" });
    return h("li", { "data-id": epoch.id }, h("p", null, h("b", null, `${moment(epoch.start_time)} – ${moment(epoch.end_time)}`)), h("p.small.muted", null, inWords(epoch)),
      h("p.chips", null, FILES.map(([format, part]) => {
        const control = h("button.small-button", { type: "button", onclick: () => busy(control, () => this.take(epoch, format, part, progress)) },
          `${format === "parquet" ? "Parquet" : "NDJSON"}: ${part}`);
        return control;
      })), progress);
  }

  /** @param {Event} event */
  submit(event) {
    event.preventDefault();
    return busy(this.make, async () => {
      const body = { space_name: this.space, start_time: instant(this.from.value), end_time: instant(this.until.value) };
      try {
        const epoch = await this.lake.send("POST", "/eustress/epochs", body);
        put(this.said, h("p.note.well", null, `Made: ${inWords(epoch)}`));
        this.onmade();
      } catch (failure) {
        put(this.said, h("p.note.wrong", null, /** @type {Error} */ (failure).message));
      }
    });
  }

  /** @param {Epoch} epoch @param {string} format @param {string} part @param {HTMLElement} progress */
  async take(epoch, format, part, progress) {
    let told = 0;
    const tell = (/** @type {number} */ bytes) => {
      if (performance.now() - told < TOLD_EVERY_MS) return;
      told = performance.now();
      progress.textContent = `${shown(bytes, "B")} so far`;
    };
    progress.textContent = "Asking for it";
    try {
      const file = await this.lake.file(`/eustress/epochs/${epoch.id}/export?format=${format}&part=${part}`, tell, this.over.signal);
      save(file, `${this.space.replace(/[^\w.-]+/g, "_")}-${epoch.start_time.slice(0, 19).replaceAll(":", "")}-${part}.${format}`);
      progress.textContent = `Saved, ${shown(file.size, "B")}.`;
    } catch (failure) {
      progress.textContent = `Not saved. ${/** @type {Error} */ (failure).message}`;
    }
  }

  end() {
    this.over.abort();
  }
}

/** @param {Epoch} epoch */
function inWords({ sample_count, stats }) {
  return [
    counted(sample_count, "sample"), counted(stats.total_entities, "entity", "entities"), counted(stats.total_connections, "connection"),
    counted(stats.unique_types, "type"), `${percent(stats.sacred_frequency)} sacred`, `mean depth ${whole(Number(stats.avg_hierarchy_depth.toFixed(2)))}`,
    `covers ${percent(stats.spatial_coverage)} of its space`,
  ].join(", ");
}

/** @param {string} local */
const instant = (local) => new Date(local).toISOString();

/** @param {Blob} file @param {string} called */
function save(file, called) {
  const url = URL.createObjectURL(file);
  h("a", { href: url, download: called }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
