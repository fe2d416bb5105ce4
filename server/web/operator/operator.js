/**
 * The operator's view: looks at the topology and the metrics once a second and shows rates, latencies and what happened.
 *
 * It goes on looking while the server is away and says for how long it was. The admin token stays in this tab.
 */

import { h, put } from "/static/app/dom.js";
import { tab } from "/static/app/storage.js";
import { applyTheme, LABELS, nextTheme, setTheme, theme } from "/static/app/theme.js";
import { Chart, shown } from "/static/operator/chart.js";
import { CHARTS, facts, TILES } from "/static/operator/figures.js";
import { parse } from "/static/operator/metrics.js";
import { happenings, processes } from "/static/operator/watch.js";

const EVERY_MS = 1000;
const PATIENCE_MS = 3000;
const KEPT = 200;
const KEY = "sangha.admin";
/** Kinds without a lease: their number only tells one life from another. */
const WORKERS = new Set(["sandbox", "oracle"]);

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

class Refused extends Error {}

/** @param {string} path @param {string} token */
async function get(path, token) {
  const response = await fetch(path, {
    headers: { Authorization: `Bearer ${token}` },
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (response.status === 401 || response.status === 403) throw new Refused((await response.json()).detail);
  if (!response.ok) throw new Error(`${path} answers ${response.status}`);
  return response;
}

class View {
  /** @param {string} token */
  constructor(token) {
    this.token = token;
    this.ended = false;
    /** @type {{at: number, scrape: import("./metrics.js").Scrape} | null} */
    this.before = null;
    /** @type {Map<string, import("./watch.js").Process> | null} */
    this.known = null;
    this.awaySince = 0;
    this.charts = CHARTS.map((about) => ({ about, chart: new Chart($("charts"), about) }));
  }

  async run() {
    while (!this.ended) {
      const began = performance.now();
      try {
        await this.look();
      } catch (failure) {
        if (failure instanceof Refused) throw failure;
        this.away();
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(100, EVERY_MS - (performance.now() - began))));
    }
  }

  async look() {
    const [topology, text] = await Promise.all([
      get("/api/admin/topology", this.token).then((response) => response.json()),
      get("/metrics", this.token).then((response) => response.text()),
    ]);
    if (this.ended) return;
    const now = { at: Date.now(), scrape: parse(text) };
    this.back(now.at);
    this.happened(processes(topology), now.at);
    const before = this.before ?? now;
    const found = facts(before, now, topology);
    put($("tiles"), h("dl.tiles", null, TILES.map(({ title, of, unit }) =>
      h("div.tile", null, h("dt", null, title), h("dd", null, shown(of(found), unit ?? ""))))));
    if (this.before) for (const { about, chart } of this.charts) chart.add(now.at, about.of(found));
    this.table(now.scrape, found);
    this.before = now;
  }

  away() {
    const now = Date.now();
    if (!this.awaySince) {
      this.awaySince = now;
      this.tell([{ at: now, kind: "gone", text: "the gateway does not answer" }]);
    }
    state("away", `no answer for ${Math.round((now - this.awaySince) / 1000)} s`);
    for (const { about, chart } of this.charts) chart.add(now, about.lines.map(() => null));
  }

  /** @param {number} now */
  back(now) {
    if (this.awaySince) {
      this.tell([{ at: now, kind: "back", text: `the gateway answers again after ${((now - this.awaySince) / 1000).toFixed(1)} s` }]);
      this.awaySince = 0;
    }
    state("well", "watching");
  }

  /** @param {Map<string, import("./watch.js").Process>} found @param {number} at */
  happened(found, at) {
    if (this.known) this.tell(happenings(this.known, found, at));
    this.changed = new Set([...found.values()].filter(({ name, pid }) => this.known && this.known.get(name)?.pid !== pid).map(({ name }) => name));
    this.known = found;
  }

  /** @param {import("./watch.js").Happening[]} news */
  tell(news) {
    if (!news.length) return;
    $("quiet").hidden = true;
    const list = $("happenings");
    list.prepend(...news.reverse().map(({ at, kind, text }) =>
      h(`li.${kind}`, null, h("time", { datetime: new Date(at).toISOString() }, new Date(at).toISOString().slice(11, 21)), text)));
    while (list.childElementCount > KEPT) list.lastElementChild?.remove();
  }

  /** @param {import("./metrics.js").Scrape} scrape @param {any} found */
  table(scrape, found) {
    const body = $("processes");
    for (const { name, kind, node, pid, epoch, entities, backlog, sockets } of this.known?.values() ?? []) {
      const usage = found.usage(name);
      const cells = [(node ?? "").slice(0, 8), pid || "–", WORKERS.has(kind) ? "" : epoch || "", entities ?? "", backlog ?? "", sockets ?? "",
        usage.memory === null ? "" : shown(usage.memory, "B"), usage.cpu === null ? "" : `${Math.round(usage.cpu * 100)} %`,
        usage.upS === null ? "" : lasting(usage.upS)];
      const row = body.querySelector(`[data-name="${CSS.escape(name)}"]`) ?? body.appendChild(h("tr", { "data-name": name }));
      put(row, h("th", { scope: "row" }, name), cells.map((cell) => h("td", null, String(cell))));
      row.classList.toggle("away", !pid || found.down.has(name));
      if (this.changed?.has(name)) restart(row, "changed");
    }
    for (const row of [...body.children]) {
      if (!this.known?.has(/** @type {HTMLElement} */ (row).dataset.name ?? "")) row.remove();
    }
  }

  end() {
    this.ended = true;
    for (const id of ["charts", "tiles", "processes", "happenings"]) put($(id));
    $("quiet").hidden = false;
  }
}

/** Plays a row's animation from its beginning. @param {Element} row @param {string} name */
function restart(row, name) {
  row.classList.remove(name);
  void (/** @type {HTMLElement} */ (row).offsetWidth);
  row.classList.add(name);
}

/** @param {number} seconds */
function lasting(seconds) {
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** @param {string} how @param {string} words */
function state(how, words) {
  const badge = $("state");
  badge.dataset.state = how;
  if (badge.textContent !== words) badge.textContent = words;
}

/** @type {View | null} */
let view = null;

/** @param {string} token @returns {Promise<void>} */
async function watch(token) {
  view?.end();
  const mine = (view = new View(token));
  $("entry").hidden = true;
  $("view").hidden = $("leave").hidden = false;
  tab.set(KEY, token);
  try {
    await mine.run();
  } catch (failure) {
    leave(failure instanceof Refused ? failure.message : String(failure));
  }
}

/** @param {string} [why] */
function leave(why = "") {
  view?.end();
  view = null;
  tab.remove(KEY);
  $("view").hidden = $("leave").hidden = true;
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
  if (token) watch(token);
});
const kept = tab.get(KEY);
if (kept) watch(kept);
else leave();
