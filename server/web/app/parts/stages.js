// A group ritual under way: gathering → opening → active → integration → closed, with a countdown by the server's clock,
// the end for the facilitator, and the summary when it is over.

import { button, h, name, put } from "../dom.js";
import { attempt, confirm } from "../forms.js";
import { clock, dateTime, title } from "../words.js";
import { summary } from "./summary.js";

const STAGES = [
  ["gathering", "Gathering"],
  ["opening", "Opening"],
  ["active", "Active"],
  ["integration", "Integration"],
  ["closed", "Closed"],
];
const SAYS = {
  gathering: "Arrive. Let the breath settle.",
  opening: "The circle is closed. It begins in a moment.",
  active: "Each of you is changed, in your own way, now.",
  aborting: "It is being ended. Whoever has begun comes to the end of it.",
  integration: "Stay. Let it sink in.",
};
const TICK_MS = 200;
const SPOKEN = new Set([60, 30, 10, 3]);

/** The ritual of a room. */
export function stages(room, session) {
  const element = h("section.rite", { "aria-label": "Group ritual", hidden: true });
  const spoken = h("p.hidden-visually", { role: "status" });
  let timer = null;
  let shown = "";
  let number = null;
  let arc = null;

  const due = () => {
    const {
      stage,
      starts_at: starts,
      active_at: active,
      closes_at: closes,
      opened_at: opened,
      opening_s: opening,
    } = room.ritual ?? {};
    if (stage === "gathering") return starts;
    if (stage === "opening")
      return active ?? (opened && new Date(Date.parse(opened) + opening * 1000).toISOString());
    return stage === "integration" ? closes : null;
  };
  const tick = () => {
    const end = due();
    if (!end || !number) return;
    const left = (Date.parse(end) - session.client.serverTime()) / 1000;
    put(number, clock(left));
    arc?.style.setProperty("--left", String(Math.max(0, Math.min(1, left / span(room.ritual)))));
    const whole = Math.ceil(left);
    if (SPOKEN.has(whole) && spoken.dataset.at !== String(whole)) {
      spoken.dataset.at = String(whole);
      put(spoken, `${whole} seconds`);
    }
  };

  const draw = () => {
    const { ritual, summary: last, progress } = room;
    const key = JSON.stringify([
      ritual?.ritual_run,
      ritual?.stage,
      progress?.settled,
      last?.ritual_run,
      room.summaryOpen,
      room.mine,
      room.planned.map(({ ritual_run: run }) => run),
    ]);
    if (key === shown) return;
    shown = key;
    clearInterval(timer);
    number = arc = null;
    const next = ritual ? null : room.planned[0];
    element.hidden = !ritual && !last && !next;
    element.classList.toggle("rite-folded", !ritual && !room.summaryOpen);
    if (ritual) {
      put(element, ...underWay(ritual, progress), spoken);
      timer = setInterval(tick, TICK_MS);
      tick();
    } else if (last && room.summaryOpen) put(element, ...over(last));
    else put(element, next ? planned(next) : null, last ? folded(last) : null);
  };
  const unfold = (open) => {
    room.summaryOpen = open;
    draw();
    element.querySelector("button")?.focus();
  };

  const underWay = (ritual, progress) => {
    const { stage } = ritual;
    number = due() ? h("p.rite-number.number", { role: "timer", "aria-live": "off" }) : null;
    arc = h(
      "div.rite-arc",
      null,
      number ?? h("p.rite-number.number", null, progress ? `${progress.settled}/${progress.of}` : "…"),
    );
    return [
      h(
        "header.rite-head",
        null,
        h("h2", null, name(title(ritual.ritual?.name ?? "Ritual"))),
        ritual.intention ? h("p.rite-intention", { dir: "auto" }, ritual.intention) : null,
      ),
      steps(stage),
      h(
        "div.rite-now",
        null,
        arc,
        h("p.rite-says", { role: "status" }, h("strong", null, words(stage)), " ", SAYS[stage] ?? ""),
      ),
      room.mine && stage !== "aborting"
        ? h("div.actions", null, button("End the ritual", abort, { kind: "danger" }))
        : null,
    ];
  };
  const over = (last) => [
    button("Put away", () => unfold(false), { kind: "quiet", "aria-expanded": "true" }),
    summary(last, room, session),
  ];
  const planned = (next) =>
    h(
      "div.rite-line",
      null,
      h("p.small", null, "Planned: ", name(title(next.ritual.name)), ` · ${dateTime(next.starts_at)}`),
      room.mine ? button("Take back", () => takeBack(next), { kind: "quiet" }) : null,
    );
  const takeBack = (next) =>
    attempt(() => session.request("space.ritual.abort", { space: room.id, ritual_run: next.ritual_run }));
  const folded = (last) =>
    h(
      "div.rite-line",
      null,
      h(
        "p.small",
        null,
        "Last ritual: ",
        name(title(last.ritual.name)),
        h("span.muted", null, ` · ${dateTime(last.closed_at)}`),
      ),
      button("Look", () => unfold(true), {
        kind: "quiet",
        "aria-expanded": "false",
        "aria-label": "Look at the last ritual",
      }),
    );
  const abort = async () => {
    if (
      !(await confirm(
        "End the ritual?",
        "Whoever is being transformed comes to the end of it; nobody else begins.",
        "End it",
      ))
    )
      return;
    await attempt(() => session.request("space.ritual.abort", { space: room.id }));
  };
  draw();
  return { element, draw, end: () => clearInterval(timer) };
}

const words = (stage) => STAGES.find(([key]) => key === stage)?.[1] ?? "Ending";

/** How long the stage lasts in all, for the arc. */
function span({ stage, starts_at: starts, began_at: began, opening_s: opening, integration_s: integration }) {
  if (stage === "gathering") return began ? (Date.parse(starts) - Date.parse(began)) / 1000 : 60;
  return (stage === "opening" ? opening : integration) || 1;
}

function steps(stage) {
  const now = STAGES.findIndex(([key]) => key === (stage === "aborting" ? "active" : stage));
  return h(
    "ol.plain.rite-steps",
    { "aria-label": "Stages" },
    STAGES.map(([key, label], index) =>
      h(
        "li",
        { "data-step": key, "aria-current": index === now ? "step" : null, "data-done": index < now },
        label,
        index < now ? h("span.hidden-visually", null, " (done)") : null,
      ),
    ),
  );
}
