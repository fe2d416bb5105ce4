/**
 * One space: its scene in a picture and a list, now or as it was, its time, its epochs.
 */

import { busy, h, name, put } from "/static/app/dom.js";
import { ago, counted, percent, policyWords, sacredShare, whole } from "./figures.js";
import { called, details, EntityList } from "./entities.js";
import { Epochs } from "./epochs.js";
import { fluxWords } from "./flux.js";
import { history } from "./history.js";
import { legend } from "./legend.js";
import { Follower } from "./live.js";
import { load } from "./loader.js";
import { quality } from "./overview.js";
import { Scene } from "./scene.js";
import { Stage } from "./stage.js";
import { moment, Timeline } from "./timeline.js";

/** @typedef {import("./figures.js").Space} Space @typedef {import("./api.js").Lake} Lake */

const SNAPSHOTS = 200;
/** The list beside a scene that changes all the time. */
const LISTED_EVERY_MS = 500;
const KEYS = "Arrow keys turn the scene, or move the plan; with Shift they move it. Plus and minus come nearer and go farther, 0 shows all of it. A click selects.";
const HOW = { live: "live", polled: "live, asked every 2 s", away: "not up to date: no line to the server" };

/** @param {string} text @param {() => void} onclick @param {boolean} [on] @returns {HTMLElement} */
const toggle = (text, onclick, on = false) => h("button.small-button", { type: "button", "aria-pressed": String(on), onclick }, text);

export class SpaceView {
  /** @param {Lake} lake @param {Space} space */
  constructor(lake, space) {
    this.lake = lake;
    this.space = space;
    /** @type {string | null} */
    this.selected = null;
    this.loading = new AbortController();
    this.listing = 0;
    this.scene = new Scene();
    this.every = 1;
    this.title = h("h2", { id: "space-title", tabindex: "-1" }, name(space.space_name));
    this.liveTag = h("p.tag", { role: "status", id: "live" }, "opening");
    this.take = h("button", { type: "button", onclick: () => this.snapshot() }, "Take a snapshot");
    this.said = h("div", { role: "status" });
    this.facts = h("dl.tiles");
    this.canvas = h("canvas.stage", { tabindex: "0", role: "application", "aria-roledescription": "scene", "aria-label": "The scene", "aria-describedby": "keys" });
    this.views = [toggle("3-D", () => this.look("space"), true), toggle("From above", () => this.look("plan"))];
    this.linksButton = toggle("Other connections", () => this.links());
    this.words = h("p.small.muted", { role: "status", id: "scene-words" });
    this.legend = h("div");
    this.picked = h("p.hidden-visually", { role: "status" });
    this.details = h("div.details-place");
    /** @type {{row: import("./scene.js").Row | undefined, shape: number}} What stands there. */
    this.detailed = { row: undefined, shape: 0 };
    /** @type {HTMLElement} Of the entity that was selected last. */
    this.past = h("div");
    this.list = new EntityList((id) => this.select(id));
    this.timeline = new Timeline((at) => this.show(at));
    this.epochs = new Epochs(lake, space.space_name, Date.parse(space.created_at), () => this.marks());
    this.element = this.built();
    this.stage = new Stage(this.canvas, (id) => this.select(id));
    this.follower = new Follower(lake, space.space_name, {
      changed: () => this.changed(), marked: () => this.marks(), how: (how) => this.how(how),
    });
  }

  /** @returns {HTMLElement} */
  built() {
    const step = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ onclick) => h("button.small-button", { type: "button", "aria-label": label, onclick }, text);
    const tools = h("div.tools", null, this.views, this.linksButton, h("span.grow"),
      step("+", "Nearer", () => this.stage.zoom(0.8)), step("−", "Farther", () => this.stage.zoom(1.25)), step("Reset", "Reset: show all of it", () => this.stage.reset()));
    const picture = h("section.card.picture", { "aria-label": "Picture of the scene" }, tools, h("div.stage-place", null, this.canvas),
      h("p.hidden-visually", { id: "keys" }, KEYS), this.legend, this.words);
    return h("div.view", null, h("p", null, h("a", { href: "#/" }, "← The lake")),
      h("div.space-head", null, this.title, this.liveTag, h("span.grow"), this.take), this.said, this.facts,
      h("div.scene", null, picture, this.list.element), this.picked, this.details,
      h("section.card", { "aria-labelledby": "time-title" }, h("h3", { id: "time-title" }, "Snapshots and epochs over time"), this.timeline.element),
      this.epochs.element);
  }

  async open() {
    this.told(this.space, this.lake.now());
    this.title.focus();
    this.follower.start();
    await Promise.all([this.show(null), this.marks()]);
  }

  end() {
    this.loading.abort();
    clearTimeout(this.listing);
    this.follower.end();
    this.stage.end();
    this.timeline.end();
    this.epochs.end();
  }

  /** What the lake says of the space now. @param {Space} space @param {number} now */
  told(space, now) {
    const snapshots = this.space.snapshots;
    this.space = space;
    put(this.facts, [
      ["entities", whole(space.entity_count)], ["connections", whole(space.connection_count)], ["depth", whole(space.hierarchy_depth)],
      ["sacred", percent(sacredShare(space))], ["unresolved", whole(space.unresolved)], ["changed", ago(space.changed_at, now)],
      ["quality", quality(space)], ["policy", policyWords(space.policy)],
    ].map(([title, value]) => h(`div.tile.tile-${title}`, null, h("dt", null, title), h("dd", null, value))));
    if (space.snapshots !== snapshots) this.marks();
  }

  /** Snapshots and epochs, as they are now. */
  async marks() {
    try {
      const { space_name: space, created_at: began, horizon } = this.space;
      const [snapshots, epochs] = await Promise.all([
        this.lake.get(`/eustress/ingest/snapshots/${encodeURIComponent(space)}`, { full: false, limit: SNAPSHOTS }),
        this.lake.get("/eustress/epochs", { space }),
      ]);
      const standing = epochs.filter((/** @type {any} */ epoch) => !epoch.consolidated_into);
      this.timeline.show(Date.parse(horizon ?? began), this.lake.now(), snapshots, standing);
      this.epochs.show(standing);
    } catch (failure) {
      this.wrong(failure);
    }
  }

  /** The scene as it was at a moment, or as it is. @param {number | null} at epoch ms */
  async show(at) {
    this.loading.abort();
    const { signal } = (this.loading = new AbortController());
    this.follower.rest();
    this.words.textContent = "Loading the scene";
    const path = `/eustress/spaces/${encodeURIComponent(this.space.space_name)}`;
    try {
      const { version } = await this.lake.get(path);
      const loaded = await load(this.lake, this.space.space_name, {
        at: at === null ? null : new Date(at).toISOString(), expected: this.space.entity_count, signal,
        progress: (entities) => { this.words.textContent = `Loading: ${counted(entities, "entity", "entities")} so far`; },
      });
      const first = !this.scene.count;
      [this.scene, this.every] = [loaded.scene, loaded.every];
      this.stage.show(this.scene, !first);
      this.drawn(at);
      if (at === null) this.follower.keep(this.scene, version, loaded.every);
    } catch (failure) {
      if (!signal.aborted) this.wrong(failure);
    }
  }

  /** What stands around the picture. @param {number | null} at */
  drawn(at) {
    const { count } = this.scene;
    const sample = this.every > 1 ? ` One in ${this.every} of the scene's entities is shown, evenly.` : "";
    const when = at === null ? "" : ` As it was at ${moment(at)}.`;
    this.words.textContent = `${counted(count, "entity", "entities")}.${sample}${when}`;
    this.canvas.setAttribute("aria-label", `The scene: ${counted(count, "entity", "entities")}`);
    this.element.dataset.at = at === null ? "live" : "past";
    put(this.legend, legend(this.scene.census()));
    this.list.show(this.scene, this.selected);
    this.detail();
  }

  changed() {
    this.stage.redraw();
    if (this.listing) return;
    this.listing = setTimeout(() => {
      this.listing = 0;
      this.drawn(null);
    }, LISTED_EVERY_MS);
  }

  /** @param {string | null} id */
  select(id) {
    this.selected = id;
    this.stage.select(id);
    this.list.show(this.scene, id);
    this.detail();
    const row = id === null ? undefined : this.scene.get(id);
    this.picked.textContent = row ? `Selected ${called(row)}, ${fluxWords(row.flux)}. Its data follows the list.` : "";
  }

  /** The selected entity in full; left as it is where nothing of it changed. */
  detail() {
    const row = this.selected === null ? undefined : this.scene.get(this.selected);
    const { shape } = this.scene;
    if (row === this.detailed.row && shape === this.detailed.shape) return;
    this.detailed = { row, shape };
    const held = this.details.contains(document.activeElement);
    const open = this.details.querySelector("details")?.open;
    const { space_name: space, created_at: began } = this.space;
    if (row && this.past.dataset.of !== row.id) this.past = history(this.lake, space, began, row.id);
    put(this.details, row && details(this.scene, row, (id) => this.select(id), this.past));
    const raw = this.details.querySelector("details");
    if (raw && open) raw.open = true;
    if (held) (this.details.querySelector("h3") ?? this.canvas).focus();
  }

  /** @param {import("./projection.js").View} view */
  look(view) {
    this.stage.look(view);
    this.views.forEach((button, at) => button.setAttribute("aria-pressed", String(view === ["space", "plan"][at])));
  }

  links() {
    this.stage.links = !this.stage.links;
    this.linksButton.setAttribute("aria-pressed", String(this.stage.links));
    this.stage.redraw();
  }

  snapshot() {
    return busy(this.take, async () => {
      try {
        const answer = await this.lake.send("POST", `/eustress/ingest/snapshot/${encodeURIComponent(this.space.space_name)}`);
        put(this.said, h("p.note.well", null, `${answer.message} (`, h("code", null, answer.snapshot_id), ")"));
        await this.marks();
      } catch (failure) {
        this.wrong(failure);
      }
    });
  }

  /** @param {import("./live.js").How} how */
  how(how) {
    this.liveTag.dataset.state = how === "away" ? "away" : "well";
    if (this.liveTag.textContent !== HOW[how]) this.liveTag.textContent = HOW[how];
  }

  /** @param {any} failure */
  wrong(failure) {
    if (!failure.code) console.error(failure);
    put(this.said, h("p.note.wrong", { role: "alert" }, failure.message));
  }
}
