/**
 * The lake of Eustress scenes, watched: signs in, asks how it is every two seconds while somebody looks, shows it or one space.
 *
 * A token stays in this tab. It goes on looking while the server is away and says for how long it was.
 */

import { h, put } from "/static/app/dom.js";
import { tab } from "/static/app/storage.js";
import { applyTheme, LABELS, nextTheme, setTheme, theme } from "/static/app/theme.js";
import { Lake, LakeError } from "./api.js";
import { lasting } from "./figures.js";
import { Overview } from "./overview.js";
import { SpaceView } from "./space.js";

/** @typedef {import("./figures.js").Space} Space */

const EVERY_MS = 2000;
const KEY = "sangha.eustress";

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

class Watch {
  /** @param {Lake} lake */
  constructor(lake) {
    this.lake = lake;
    this.ended = false;
    this.overview = new Overview(lake.token);
    /** @type {SpaceView | null} */
    this.view = null;
    /** @type {Space[]} */
    this.spaces = [];
    this.heard = 0;
    this.timer = 0;
    this.asking = false;
  }

  /** Rejects where the token does not do. */
  async start() {
    await this.ask();
    this.route();
    this.again();
  }

  again() {
    this.timer = setTimeout(() => this.look(), EVERY_MS);
  }

  /** One look; nobody who does not see the page needs one. */
  async look() {
    clearTimeout(this.timer);
    if (this.ended || this.asking) return;
    if (document.visibilityState === "visible") {
      try {
        await this.ask();
      } catch (failure) {
        if (failure instanceof LakeError && failure.unknown) return leave(failure.message);
        this.away(failure);
      }
    }
    if (!this.ended) this.again();
  }

  async ask() {
    this.asking = true;
    try {
      const [stats, spaces] = await Promise.all([this.lake.get("/eustress/ingest/stats"), this.all()]);
      if (this.ended) return;
      [this.heard, this.spaces] = [Date.now(), spaces];
      this.overview.look(this.lake.now(), spaces, stats);
      const mine = this.view && spaces.find(({ space_name }) => space_name === this.view?.space.space_name);
      if (mine) this.view?.told(mine, this.lake.now());
      state("well", "watching");
      $("stale").hidden = true;
    } finally {
      this.asking = false;
    }
  }

  /** @returns {Promise<Space[]>} */
  async all() {
    /** @type {Space[]} */
    const spaces = [];
    await this.lake.pages("/eustress/spaces", {}, (rows) => void spaces.push(...rows));
    return spaces;
  }

  /** @param {unknown} failure */
  away(failure) {
    const words = `no answer for ${lasting((Date.now() - this.heard) / 1000)}`;
    state("away", words);
    this.overview.away(this.lake.now());
    $("stale").hidden = false;
    put($("stale"), `${failure instanceof Error ? failure.message : failure} What you see is from ${lasting((Date.now() - this.heard) / 1000)} ago.`);
  }

  route() {
    this.view?.end();
    this.view = null;
    const [, asked] = /^#\/space\/(.+)$/.exec(location.hash) ?? [];
    const wanted = asked === undefined ? undefined : decodeURIComponent(asked);
    const space = this.spaces.find(({ space_name }) => space_name === wanted);
    document.title = `${wanted ?? "Lake"} · Sangha`;
    if (wanted === undefined) put($("view"), this.overview.element);
    else if (!space) put($("view"), h("div.note.wrong", { role: "alert" }, `There is no space called ${wanted}. `, h("a", { href: "#/" }, "To the lake")));
    else {
      this.view = new SpaceView(this.lake, space);
      put($("view"), this.view.element);
      this.view.open();
    }
  }

  end() {
    this.ended = true;
    clearTimeout(this.timer);
    this.view?.end();
    put($("view"));
  }
}

/** @type {Watch | null} */
let watch = null;

/** @param {string} how @param {string} words */
function state(how, words) {
  const badge = $("state");
  badge.dataset.state = how;
  if (badge.textContent !== words) badge.textContent = words;
}

/** Watches with a token; where none is given, as the local user, if there is one. @param {string} token */
async function enter(token) {
  const mine = new Watch(new Lake(token));
  try {
    $("refused").hidden = true;
    await mine.start();
  } catch (failure) {
    if (failure instanceof LakeError && failure.unknown) leave(token ? failure.message : "");
    else leave(failure instanceof Error ? failure.message : String(failure));
    return;
  }
  watch = mine;
  if (token) tab.set(KEY, token);
  $("entry").hidden = true;
  $("view").hidden = false;
  $("leave").hidden = !token;
}

/** @param {string} [why] */
function leave(why = "") {
  watch?.end();
  watch = null;
  tab.remove(KEY);
  $("view").hidden = $("leave").hidden = $("stale").hidden = true;
  $("entry").hidden = false;
  $("refused").hidden = !why;
  $("refused").textContent = why;
  state("out", "signed out");
  $("token").focus();
}

function showTheme() {
  $("theme").textContent = `Theme: ${LABELS[/** @type {keyof LABELS} */ (theme())].toLowerCase()}`;
}

applyTheme();
showTheme();
$("theme").addEventListener("click", () => {
  setTheme(nextTheme());
  showTheme();
});
$("leave").addEventListener("click", () => leave());
$("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ ($("token"));
  const token = field.value.trim();
  field.value = "";
  if (token) enter(token);
});
addEventListener("hashchange", () => watch?.route());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && watch?.look());
enter(tab.get(KEY) ?? "");
