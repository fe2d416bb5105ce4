// The ring of phases: each present person whose phase is known is a dot on the circle. The left half is the in-breath, from
// the bottom up, the right half the out-breath. The arrow and the disc in the middle are the mean r·e^{iψ} of what is shown.
// Dots move on between the server's pushes at the speed that they had.

import { h, put, stillness, svg } from "../dom.js";
import { callThem, initials, list, two } from "../words.js";
import { meanOf } from "../phases.js";

const SIZE = 240;
const MIDDLE = SIZE / 2;
const R = 92;
const LETTERS_UP_TO = 24;
const AHEAD_S = 1;

const xy = (phase, radius) => [MIDDLE - radius * Math.sin(phase), MIDDLE + radius * Math.cos(phase)];
const fixed = (value) => value.toFixed(2);

/** The ring of a room. `draw()` when something changed, `end()` when it is not looked at any more. */
export function ring(room, me) {
  const disc = svg("circle.ring-disc", { cx: MIDDLE, cy: MIDDLE, r: 0 });
  const arrow = svg("line.ring-arrow", { x1: MIDDLE, y1: MIDDLE, x2: MIDDLE, y2: MIDDLE });
  const tip = svg("circle.ring-tip", { cx: MIDDLE, cy: MIDDLE, r: 5 });
  const dots = svg("g", null);
  const label = svg("title", null, "");
  const picture = svg(
    "svg.ring",
    { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" },
    label,
    svg("circle.ring-track", { cx: MIDDLE, cy: MIDDLE, r: R }),
    svg("path.ring-half", { d: `M${MIDDLE} ${MIDDLE - R - 8}v16M${MIDDLE} ${MIDDLE + R - 8}v16` }),
    disc,
    svg("text.ring-word", { x: 62, y: MIDDLE + 4 }, "in"),
    svg("text.ring-word", { x: SIZE - 62, y: MIDDLE + 4 }, "out"),
    arrow,
    tip,
    dots,
  );
  const number = h("strong.ring-number.number", null, "–");
  const words = h("p.ring-words", null, "");
  const element = h(
    "figure.ring-figure",
    null,
    picture,
    h("figcaption", null, h("p.ring-r", null, number, h("span.muted", null, " coherence")), words),
  );
  const known = new Map();
  let frame = null;

  const place = () => {
    frame = null;
    const now = performance.now() / 1000;
    const phases = [];
    for (const [id, { dot }] of known) {
      const each = room.phases.get(id);
      const phase = each.phase + (stillness() ? 0 : each.speed * Math.min(now - each.at, AHEAD_S));
      phases.push(phase);
      const [x, y] = xy(phase, R);
      dot.setAttribute("transform", `translate(${fixed(x)} ${fixed(y)})`);
      dot.dataset.phase = fixed(each.phase);
    }
    const [r, psi] = meanOf(phases);
    const [x, y] = xy(psi, R * r);
    arrow.setAttribute("x2", fixed(x));
    arrow.setAttribute("y2", fixed(y));
    tip.setAttribute("cx", fixed(x));
    tip.setAttribute("cy", fixed(y));
    disc.setAttribute("r", fixed(R * r * 0.8));
    picture.classList.toggle("ring-alone", phases.length < 2);
    if (phases.length && !stillness() && !document.hidden) frame = requestAnimationFrame(place);
  };

  const draw = () => {
    for (const [id, { dot }] of known) {
      if (room.phases.has(id)) continue;
      dot.remove();
      known.delete(id);
    }
    const letters = room.phases.size <= LETTERS_UP_TO;
    for (const id of room.phases.keys()) if (!known.has(id)) known.set(id, { dot: dotOf(id, letters) });
    const { r } = room.coherence;
    number.textContent = r === null ? "–" : two(r);
    say();
    if (frame === null) place();
  };

  const dotOf = (id, letters) => {
    const name = callThem(room.nameOf(id));
    const dot = svg(
      `g.ring-dot${id === me ? ".ring-me" : ""}`,
      { "data-person": id },
      svg("title", null, id === me ? "You" : name),
      svg("circle", { r: letters ? 13 : 6 }),
      letters ? svg("text", { y: 4 }, initials(name)) : null,
    );
    dots[id === me ? "append" : "prepend"](dot);
    return dot;
  };

  /** In words; nothing of it is a live region, or a screen reader would never come to its end. */
  const say = () => {
    const names = [...known.keys()].map((id) => (id === me ? "You" : callThem(room.nameOf(id))));
    const text = sentence(room.coherence, names);
    if (words.textContent !== text) put(words, text);
    const whole = names.length ? `${text} ${list(names, 12)}.` : text;
    if (label.textContent !== whole) label.textContent = whole;
  };
  draw();
  return { element, draw, end: () => frame !== null && cancelAnimationFrame(frame) };
}

function sentence({ r, n }, names) {
  if (n === 0 || names.length === 0) return "Nobody shares a breath just now.";
  if (n === 1) return "One shares a breath; it takes two to be in step.";
  return `${n} breathe, ${agreement(r)}.`;
}

function agreement(r) {
  if (r === null) return "too little is known to say how close";
  if (r > 0.9) return "very nearly as one";
  if (r > 0.7) return "close to one another";
  if (r > 0.4) return "finding one another";
  return "each in a rhythm of their own";
}
