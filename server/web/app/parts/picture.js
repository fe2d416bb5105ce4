// An archetypal state as a picture: a flower whose petals are archetypes (warm) and energies (cool), as long as they are
// strong; before a change as a dashed outline. Below it every number as a row from before to after, and what is new in the
// lists. Without `before` it is the state as it is.

import { h, svg } from "../dom.js";
import { signed, two } from "../words.js";

const SIZE = 260;
const MIDDLE = SIZE / 2;
const INNER = 16;
const R = 100;
const PETALS_UP_TO = 40;
const SAME = 0.0005;

/** What differs between two maps of numbers, every key of either, in order. */
export function changesOf(after = {}, before = null) {
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after)])].sort((a, b) => a.localeCompare(b));
  return keys.map((key) => ({ key, now: levelOf(after, key), was: before ? levelOf(before, key) : null }));
}

/** A name may be anything, "constructor" too. */
const levelOf = (levels, key) => (Object.hasOwn(levels, key) ? levels[key] : 0);

export const moved = ({ now, was }) => was !== null && Math.abs(now - was) > SAME;

/** The picture of a state, and of the one before it. */
export function picture(state, before = null, { flower: withFlower = true } = {}) {
  const archetypes = changesOf(state.archetypes, before?.archetypes ?? null);
  const energies = changesOf(state.energies, before?.energies ?? null);
  const rows = [
    ...archetypes.map((each) => ({ ...each, kind: "archetype" })),
    ...energies.map((each) => ({ ...each, kind: "energy" })),
  ];
  return h(
    "div.picture",
    { "data-compared": before !== null },
    withFlower && rows.length ? flower(rows.slice(0, PETALS_UP_TO), before !== null) : null,
    h(
      "div.picture-rows",
      null,
      table("Archetypes", archetypes, "archetype"),
      table("Energies", energies, "energy"),
      names("Symbols", state.symbols, before?.symbols),
      names("Integrations", state.integrations, before?.integrations),
      names("Under way", state.transformations, before?.transformations),
      rows.length || ["symbols", "integrations", "transformations"].some((key) => state[key]?.length)
        ? null
        : h("p.muted", null, "Empty: nothing has been written into this state yet."),
    ),
  );
}

function flower(rows, compared) {
  const step = (2 * Math.PI) / rows.length;
  const petals = rows.map(({ now, was, kind, key }, index) => {
    const angle = index * step;
    const wide = Math.min(step * 0.55, 0.5);
    return [
      svg(`path.petal-${kind}`, { d: petal(angle, wide, now) }, svg("title", null, `${key} ${two(now)}`)),
      was === null || !moved({ now, was }) ? null : svg("path.petal-was", { d: petal(angle, wide, was) }),
      svg("text.petal-name", place(angle), short(key)),
    ];
  });
  const label = rows
    .map(({ key, now, was }) =>
      was === null || !moved({ now, was }) ? `${key} ${two(now)}` : `${key} from ${two(was)} to ${two(now)}`,
    )
    .join(", ");
  return h(
    "figure.flower-figure",
    null,
    svg(
      "svg.flower",
      { viewBox: `-34 0 ${SIZE + 68} ${SIZE}`, role: "img", "aria-label": `State: ${label}` },
      [0.5, 1].map((level) => svg("circle.flower-ring", { cx: MIDDLE, cy: MIDDLE, r: INNER + (R - INNER) * level })),
      petals,
    ),
    h(
      "figcaption.small.muted.legend",
      null,
      h("span.key.key-archetype", null, "archetypes"),
      h("span.key.key-energy", null, "energies"),
      compared ? h("span.key.key-was", null, "before") : null,
    ),
  );
}

function petal(angle, wide, level) {
  const length = INNER + (R - INNER) * level;
  const point = (turn, radius) =>
    `${(MIDDLE + radius * Math.sin(turn)).toFixed(1)} ${(MIDDLE - radius * Math.cos(turn)).toFixed(1)}`;
  const bulge = INNER + (length - INNER) * 0.65;
  return (
    `M${point(angle, INNER * 0.5)}C${point(angle - wide, bulge * 0.7)} ${point(angle - wide, bulge * 1.05)} ${point(angle, length)}` +
    `C${point(angle + wide, bulge * 1.05)} ${point(angle + wide, bulge * 0.7)} ${point(angle, INNER * 0.5)}Z`
  );
}

function place(angle) {
  const x = MIDDLE + (R + 12) * Math.sin(angle);
  const side = Math.sin(angle);
  const anchor = Math.abs(side) < 0.2 ? "middle" : side > 0 ? "start" : "end";
  return { x: x.toFixed(1), y: (MIDDLE - (R + 12) * Math.cos(angle) + 4).toFixed(1), "text-anchor": anchor };
}

const short = (text) => ([...text].length > 9 ? `${[...text].slice(0, 8).join("")}…` : text);

function table(heading, rows, kind) {
  if (!rows.length) return null;
  const order = [...rows].sort((a, b) => Number(moved(b)) - Number(moved(a)));
  return h(
    "section",
    null,
    h("h3", null, heading),
    h(
      "ul.plain.levels",
      null,
      order.map((row) => level(row, kind)),
    ),
  );
}

function level({ key, now, was }, kind) {
  const differs = moved({ now, was });
  const bar = h(
    `span.level-bar.level-${kind}`,
    { "aria-hidden": "true" },
    differs ? h("span.level-span") : h("span.level-fill"),
    differs ? h("span.level-was") : null,
    h("span.level-now"),
  );
  bar.style.setProperty("--now", now);
  bar.style.setProperty("--was", was ?? now);
  bar.style.setProperty("--low", Math.min(now, was ?? now));
  bar.style.setProperty("--high", Math.max(now, was ?? now));
  const numbers = differs
    ? [
        h("span.hidden-visually", null, "from "),
        two(was),
        h("span", { "aria-hidden": "true" }, " → "),
        h("span.hidden-visually", null, " to "),
        h("strong", null, two(now)),
        h("span.muted", null, ` ${signed(now - was)}`),
      ]
    : [two(now), was === null ? null : h("span.muted", null, " as before")];
  return h("li", null, h("bdi.name", null, key), bar, h("span.number.small", null, numbers));
}

function names(heading, list = [], before = null) {
  const gone = (before ?? []).filter((each) => !list.includes(each));
  if (!list.length && !gone.length) return null;
  const added = new Set(before ? list.filter((each) => !before.includes(each)) : []);
  return h(
    "section",
    null,
    h("h3", null, heading),
    h(
      "ul.plain.tags",
      null,
      list.map((each) =>
        h(`li.tag${added.has(each) ? ".tag-new" : ""}`, null, h("bdi", null, each), added.has(each) ? " · new" : null),
      ),
      gone.map((each) =>
        h("li.tag.tag-gone", null, h("del", null, h("bdi", null, each)), h("span.hidden-visually", null, " (gone)")),
      ),
    ),
  );
}
