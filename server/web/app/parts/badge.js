// The connection's state in a few words: connected, reconnecting, back (what was missed), restarting, closed. Polite: it is
// read out when it changes, never for the latency.

import { button, h, put, set } from "../dom.js";
import { session } from "../session.js";
import { count } from "../words.js";

const BACK_MS = 8000;
const SETTLE_MS = 700;
/** Whoever was told "in a moment" is told otherwise after that. */
const MOMENT_MS = 30_000;

/** The badge; there is one in the bar. */
export function badge() {
  const words = h("span", { role: "status" });
  const again = button("Try again", () => location.reload(), { kind: "quiet", hidden: true });
  const element = h(
    "div.badge",
    { hidden: true, "data-state": "ready" },
    h("span.badge-dot", { "aria-hidden": "true" }),
    words,
    again,
  );
  let away = false;
  let timer = null;

  const show = (state, text) => {
    element.hidden = false;
    element.dataset.state = state;
    if (words.textContent !== text) put(words, text);
    set(again, "hidden", state !== "closed");
  };
  const settle = () => {
    if (!session.signedIn) {
      element.hidden = true;
      return;
    }
    show("ready", "Connected");
    element.title = session.client.latencyMs ? `Round trip ${Math.round(session.client.latencyMs)} ms` : "";
  };
  const back = () => {
    show("back", missedWords());
    timer = setTimeout(settle, BACK_MS);
  };
  const on = (state) => {
    const restarting = element.dataset.state === "restarting" && state === "reconnecting";
    if (!restarting) clearTimeout(timer);
    if (state === "connecting" || state === "reconnecting") {
      away ||= state === "reconnecting";
      if (!restarting) show("reconnecting", away ? "Reconnecting…" : "Connecting…");
    } else if (state === "closed") show("closed", "Not connected");
    else if (away) {
      away = false;
      show("back", "Back");
      timer = setTimeout(back, SETTLE_MS);
    } else settle();
  };
  session.addEventListener("connection", () => session.signedIn && on(session.state));
  session.addEventListener("bye", () => {
    show("restarting", "The server restarts; back in a moment");
    clearTimeout(timer);
    timer = setTimeout(() => show("reconnecting", "Reconnecting…"), MOMENT_MS);
  });
  session.addEventListener("me", () => on(session.signedIn ? session.state : "ready"));
  return element;
}

function missedWords() {
  const missed = [...session.rooms.values()].map((room) => room.missed).filter(Boolean);
  if (missed.some(({ gap }) => gap)) return "Back; the spaces were read anew";
  const total = missed.reduce((sum, each) => sum + each.count, 0);
  return total ? `Back: ${count(total, "message")} while you were away` : "Back; nothing was missed";
}
