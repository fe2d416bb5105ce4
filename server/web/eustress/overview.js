/**
 * The lake at a glance: what there is in all, how fast changes come in, and a row for each space.
 */

import { h, name, put, set, svg } from "/static/app/dom.js";
import { Chart, shown } from "/static/operator/chart.js";
import { ago, counted, lights, lightsInWords, percent, policyWords, Rates, sacredShare, sorted, whole } from "./figures.js";

/** @typedef {import("./figures.js").Space} Space */
/** @typedef {{total_snapshots: number, total_spaces: number, total_entities_seen: number, total_epochs: number, storage_size_bytes: number,
 *   last_snapshot: string | null}} Stats */

const SPARK = { width: 96, height: 24, points: 60 };
const PHOTON = {
  space_name: "quantum_mechanics",
  entity: {
    id: "photon_1", name: "Photon", class_type: "Particle", position: [1, 2, 3], rotation: [0, 0, 0, 1], scale: [1, 1, 1],
    tags: ["particle", "light"], parameters: { wavelength: 550, energy: 3.6 },
  },
};
/** Each column: how it is sorted, what it is called, whether the greatest come first. */
const COLUMNS = [
  ["space", "space", false], ["", "changes", false], ["entities", "entities", true], ["connections", "connections", true], ["depth", "depth", true],
  ["sacred", "sacred", true], ["quality", "quality", true], ["unresolved", "unresolved", true], ["changed", "changed", true],
  ["snapshot", "snapshot", true], ["", "policy", false],
];

/** @param {string} space */
export const addressOf = (space) => `#/space/${encodeURIComponent(space)}`;

export class Overview {
  /** @param {string} token Whether the first call must carry one. */
  constructor(token) {
    this.rates = new Rates();
    this.by = "changed";
    this.down = true;
    /** @type {Space[]} */
    this.spaces = [];
    this.now = 0;
    this.tiles = h("dl.tiles", { "aria-label": "The lake" });
    const place = h("section.charts.lake-chart", { "aria-label": "The last two minutes" });
    this.chart = new Chart(place, { title: "Changes that come in", unit: "/s", lines: ["changes"], seconds: 120 });
    this.heads = COLUMNS.map(([by, title]) => this.head(String(by), String(title)));
    this.body = h("tbody");
    this.table = h("div.wide", { role: "region", "aria-label": "Table of spaces", tabindex: "0" },
      h("table", null, h("thead", null, h("tr", null, this.heads)), this.body));
    this.empty = firstEntity(token);
    this.element = h("div.view", null, h("section", { "aria-label": "The lake at a glance" }, this.tiles), place,
      h("section.card", { "aria-labelledby": "spaces-title" }, h("h2", { id: "spaces-title" }, "Spaces"), this.table, this.empty));
  }

  /** @param {string} by @param {string} title */
  head(by, title) {
    if (!by) return h("th", { scope: "col" }, title);
    return h("th", { scope: "col", "data-by": by }, h("button.sort", { type: "button", onclick: () => this.sort(by) }, title));
  }

  /** @param {string} by */
  sort(by) {
    const first = COLUMNS.find(([each]) => each === by)?.[2];
    this.down = this.by === by ? !this.down : Boolean(first);
    this.by = by;
    this.draw();
  }

  /** @param {number} now The server's, epoch ms. @param {Space[]} spaces @param {Stats} stats */
  look(now, spaces, stats) {
    [this.now, this.spaces] = [now, spaces];
    this.rates.add(now, spaces);
    this.chart.add(now, [this.rates.total]);
    put(this.tiles, [
      ["spaces", whole(stats.total_spaces)], ["entities seen", whole(stats.total_entities_seen)], ["snapshots", whole(stats.total_snapshots)],
      ["epochs", whole(stats.total_epochs)], ["storage", shown(stats.storage_size_bytes, "B")], ["last snapshot", ago(stats.last_snapshot, now)],
    ].map(([title, value]) => h("div.tile", null, h("dt", null, title), h("dd", null, value))));
    this.draw();
  }

  /** Nothing was heard at a moment. @param {number} now */
  away(now) {
    if (this.spaces.length) this.chart.add(now, [null]);
  }

  draw() {
    this.table.hidden = !this.spaces.length;
    this.empty.hidden = Boolean(this.spaces.length);
    for (const head of this.heads) set(head, "aria-sort", head.dataset.by === this.by ? (this.down ? "descending" : "ascending") : null);
    const held = /** @type {HTMLElement | null} */ (document.activeElement?.closest("tr"))?.dataset.space;
    put(this.body, sorted(this.spaces, this.by, this.down).map((space) => this.row(space)));
    if (held) /** @type {HTMLElement | null} */ (this.body.querySelector(`[data-space="${CSS.escape(held)}"] a`))?.focus();
  }

  /** @param {Space} space */
  row(space) {
    const cell = (/** @type {any} */ value, spec = "td") => h(spec, null, value);
    return h("tr", { "data-space": space.space_name },
      h("th", { scope: "row" }, h("a", { href: addressOf(space.space_name) }, name(space.space_name)), health(space)),
      cell(spark(this.rates.of(space.space_name))), cell(whole(space.entity_count)), cell(whole(space.connection_count)), cell(whole(space.hierarchy_depth)),
      cell(percent(sacredShare(space))), cell(quality(space)), cell(space.unresolved ? whole(space.unresolved) : "none", space.unresolved ? "td.waiting" : "td"),
      cell(ago(space.changed_at, this.now)), cell(ago(space.last_snapshot, this.now)), cell(policyWords(space.policy), "td.policy.small.muted"));
  }
}

/** @param {Space} space */
const health = ({ health: found }) =>
  found?.reasons.length ? h(`p.small.health.health-${found.status}`, null, found.reasons.join("; ")) : null;

/** Four lights and what they say. @param {import("./figures.js").Metadata} metadata */
export function quality(metadata) {
  return h("span.quality", null,
    h("span.lights", { "aria-hidden": "true" }, lights(metadata).map(({ name: which, lit }) => h(`i.${lit ? "lit" : "dark"}`, { title: `${which}: ${lit ? "yes" : "no"}` }))),
    h("span.small.muted", null, lightsInWords(metadata)));
}

/** The last changes a second as a line, the newest as a number. @param {number[]} rates */
function spark(rates) {
  const some = rates.slice(-SPARK.points);
  const top = Math.max(1, ...some);
  const path = some.map((rate, at) => {
    const x = SPARK.width - (some.length - 1 - at) * (SPARK.width / (SPARK.points - 1));
    return `${at ? "L" : "M"}${x.toFixed(1)},${(SPARK.height - 2 - (rate / top) * (SPARK.height - 4)).toFixed(1)}`;
  }).join("");
  const newest = some.at(-1);
  return h("span.spark", null,
    svg("svg", { viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, "aria-hidden": "true" }, path && svg("path.line", { d: path })),
    h("span.number", null, newest === undefined ? "–" : `${shown(newest)} /s`));
}

/** How to send the first entity. @param {string} token */
function firstEntity(token) {
  const lines = [
    `curl -X POST ${location.origin}/eustress/ingest/entity \\`,
    ...(token ? ['  -H "Authorization: Bearer $TOKEN" \\'] : []),
    "  -H 'Content-Type: application/json' \\",
    `  -d '${JSON.stringify(PHOTON)}'`,
  ];
  return h("div.empty", { hidden: true }, h("p", null, `The lake is empty: no engine has sent anything. ${counted(1, "entity")} is enough to begin:`),
    h("pre.mono.small", { tabindex: "0", "aria-label": "A command that sends an entity" }, lines.join("\n")),
    token ? h("p.small.muted", null, h("code", null, "TOKEN"), " is a service token: ", h("code", null, "sangha token --service eustress"), ".") : null);
}
