// Sharing one's breath: following a gentle guide (six a minute), or marking each in-breath by a tap or the space bar. The
// phase goes to the space twice a second while this is on; nothing is sent while the page is hidden, or when the taps stop.

import { button, h, put, set, stillness } from "../dom.js";

const GUIDE_S = 10;
const SEND_MS = 500;
const TAP_MIN_S = 1.5;
const TAP_MAX_S = 20;
const TAPS_KEPT = 4;
const PATIENCE = 2.5;
const TURN = 2 * Math.PI;

const seconds = () => performance.now() / 1000;

/** The control of a room. */
export function breath(room) {
  let mode = "off";
  let since = 0;
  let taps = [];
  let timer = null;
  let frame = null;
  const orb = h(
    "button.orb",
    { type: "button", hidden: true, onclick: () => tap() },
    h("span.orb-light", { "aria-hidden": "true" }),
    h("span.orb-word"),
  );
  const word = orb.lastChild;
  const hint = h("p.muted.small", { role: "status" }, "");
  const kinds = [
    ["off", "Not sharing"],
    ["guide", "Follow a breath"],
    ["tap", "Tap my own"],
  ];
  const buttons = kinds.map(([key, label]) =>
    button(label, () => choose(key), { "data-breath": key, "aria-pressed": "false" }),
  );
  const element = h(
    "section.breath",
    { "aria-label": "Your breath" },
    orb,
    h("div.segments", { role: "group", "aria-label": "Share your breath" }, buttons),
    hint,
  );

  const period = () => {
    if (mode === "guide" || taps.length < 2) return GUIDE_S;
    const gaps = taps.slice(1).map((each, index) => each - taps[index]);
    return Math.min(Math.max(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length, TAP_MIN_S), TAP_MAX_S);
  };
  /** 0 is the beginning of the in-breath, π that of the out-breath; a breath that is marked waits at its end for the tap. */
  const phase = () => {
    const turns = (seconds() - since) / period();
    return mode === "guide" ? (turns % 1) * TURN : Math.min(turns, 0.999) * TURN;
  };
  const silent = () =>
    mode === "off" ||
    document.hidden ||
    (mode === "tap" && (taps.length === 0 || seconds() - taps.at(-1) > PATIENCE * period()));

  const beat = () => {
    if (!silent()) room.pulse(phase()).catch(() => {});
    else if (mode === "tap" && taps.length) rest();
  };
  const rest = () => {
    taps = [];
    put(word, "Tap");
    put(hint, "Paused. Tap at your next in-breath to go on.");
  };
  const move = () => {
    frame = null;
    if (mode === "off") return;
    const now = phase();
    const full = silent() ? 0 : (1 - Math.cos(now)) / 2;
    orb.style.setProperty("--breath", stillness() ? "0.5" : full.toFixed(3));
    if (mode === "guide") say(now < Math.PI ? "in" : "out");
    else if (taps.length) say(now < Math.PI ? "in" : "out");
    frame = requestAnimationFrame(move);
  };
  const say = (text) => {
    if (word.textContent !== text) put(word, text);
  };

  const tap = () => {
    if (mode !== "tap") return;
    const now = seconds();
    if (taps.length && now - taps.at(-1) < TAP_MIN_S / 2) return;
    taps = [...taps, now].slice(-TAPS_KEPT);
    since = now;
    put(
      hint,
      taps.length < 2 ? "Good. Tap again when the next in-breath begins." : `A breath every ${period().toFixed(1)} s.`,
    );
    beat();
  };

  const choose = (key) => {
    mode = key;
    taps = [];
    since = seconds();
    clearInterval(timer);
    for (const each of buttons) set(each, "aria-pressed", String(each.dataset.breath === key));
    orb.hidden = key === "off";
    orb.dataset.mode = key;
    set(orb, "aria-label", key === "tap" ? "Tap when an in-breath begins" : null);
    set(orb, "tabindex", key === "guide" ? "-1" : null);
    set(orb, "aria-hidden", key === "guide" ? "true" : null);
    put(word, key === "tap" ? "Tap" : "");
    put(
      hint,
      {
        off: "",
        guide: "Six breaths a minute, as it suits you.",
        tap: "Tap, or press the space bar, at each in-breath.",
      }[key],
    );
    if (key === "off") return;
    timer = setInterval(beat, SEND_MS);
    beat();
    if (frame === null) frame = requestAnimationFrame(move);
    if (key === "tap") orb.focus();
  };
  choose("off");
  return {
    element,
    end() {
      clearInterval(timer);
      if (frame !== null) cancelAnimationFrame(frame);
    },
  };
}
