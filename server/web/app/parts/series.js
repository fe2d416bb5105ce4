// The coherence over the last three minutes, with what chance alone would give (E[r²] = 1/n for random phases) as a dashed
// line to hold it against.

import { h, svg } from "../dom.js";
import { two } from "../words.js";

const W = 320;
const H = 96;
const LEFT = 26;
const BOTTOM = 16;
const SPAN_S = 180;
const GAP_S = 12;

const y = (r) => 6 + (1 - r) * (H - BOTTOM - 6);

/** The chart of a room's series; `draw()` when there is more. */
export function series(room) {
  const line = svg("path.series-line");
  const area = svg("path.series-area");
  const chance = svg("path.series-chance");
  const last = svg("circle.series-last", { r: 3.5 });
  const label = svg("title", null, "");
  const ticks = [0, 0.5, 1].map((r) => [
    svg("line.series-grid", { x1: LEFT, x2: W, y1: y(r), y2: y(r) }),
    svg("text.series-tick", { x: LEFT - 6, y: y(r) + 4, "text-anchor": "end" }, r === 0.5 ? "½" : r),
  ]);
  const times = [
    [LEFT, "start", "3 min ago"],
    [W, "end", "now"],
  ].map(([x, anchor, text]) => svg("text.series-tick", { x, y: H - 2, "text-anchor": anchor }, text));
  const picture = svg(
    "svg.series",
    { viewBox: `0 0 ${W} ${H}`, role: "img" },
    label,
    ticks,
    times,
    area,
    chance,
    line,
    last,
  );
  const words = h("p.muted.small.series-words", null, "");
  const element = h("figure.series-figure", null, h("h3", null, "Coherence"), picture, h("figcaption", null, words));

  const draw = () => {
    const now = performance.now() / 1000;
    const points = room.series.filter(({ r }) => r !== null);
    const x = (t) => LEFT + (W - LEFT) * (1 - (now - t) / SPAN_S);
    const d = pathOf(points, x, ({ r }) => r);
    line.setAttribute("d", d);
    chance.setAttribute(
      "d",
      pathOf(points, x, ({ n }) => 1 / Math.sqrt(n)),
    );
    area.setAttribute("d", areaOf(points, x));
    const end = points.at(-1);
    last.toggleAttribute("hidden", !end);
    if (end) {
      last.setAttribute("cx", x(end.t).toFixed(1));
      last.setAttribute("cy", y(end.r).toFixed(1));
    }
    const text = sentence(points);
    label.textContent = text;
    if (words.textContent !== text) words.textContent = text;
  };
  draw();
  return { element, draw };
}

/** Pieces without a long gap between their points. */
function pieces(points) {
  const all = [];
  for (const point of points) {
    if (!all.length || point.t - all.at(-1).at(-1).t > GAP_S) all.push([]);
    all.at(-1).push(point);
  }
  return all;
}

const at = (point, x, value) => `${x(point.t).toFixed(1)} ${y(value(point)).toFixed(1)}`;

const pathOf = (points, x, value) =>
  pieces(points)
    .map((piece) => `M${piece.map((point) => at(point, x, value)).join("L")}`)
    .join("");

const areaOf = (points, x) =>
  pieces(points)
    .map(
      (piece) =>
        `M${x(piece[0].t).toFixed(1)} ${y(0)}L${piece.map((point) => at(point, x, ({ r }) => r)).join("L")}L${x(piece.at(-1).t).toFixed(1)} ${y(0)}Z`,
    )
    .join("");

function sentence(points) {
  if (points.length === 0) return "Fills when two or more share their breath.";
  const all = points.map(({ r }) => r);
  const { n } = points.at(-1);
  return `Between ${two(Math.min(...all))} and ${two(Math.max(...all))}; dashed: what ${n} would have by chance, ${two(1 / Math.sqrt(n))}.`;
}
