// One line of the log: a message, or a notice of what happened.

import { button, h, name } from "../dom.js";
import { callThem, dateTime, timeOfDay, title } from "../words.js";

const LONG = 1200;

/** A message. Its body is any JSON: a text, or something that another kind of client said. */
export function saidBy(event, { first, mine, who, mark = null, extra = null }) {
  const { text, code } = words(event.body);
  const stamp = h("time", { datetime: event.at, title: dateTime(event.at) }, timeOfDay(event.at));
  const stored = mark ?? (mine ? h("span.mark-stored", null, `stored · ${event.offset}`) : null);
  return h(
    `li.said${mine ? ".said-mine" : ""}${first ? ".said-first" : ""}`,
    { "data-offset": event.offset },
    first
      ? h("p.said-who", null, name(mine ? "You" : who), h("span.muted.small", null, " ", stamp))
      : h("span.hidden-visually", null, mine ? "You: " : `${who}: `),
    code ? h("pre.said-code", { dir: "auto" }, text) : long(text),
    stored ? h("p.said-mark.small", null, stored) : null,
    extra,
  );
}

function words(body) {
  if (typeof body === "string") return { text: body };
  if (typeof body?.text === "string") return { text: body.text };
  return { text: JSON.stringify(body, null, 1), code: true };
}

/** Ten thousand characters would push everyone else off the screen. */
function long(text) {
  const letters = [...text];
  if (letters.length <= LONG) return h("p.said-text.pre", { dir: "auto" }, text);
  const element = h("p.said-text.pre", { dir: "auto" }, `${letters.slice(0, LONG / 2).join("")}…`);
  const more = button(
    "Show all",
    () => {
      const open = more.getAttribute("aria-expanded") === "true";
      element.textContent = open ? `${letters.slice(0, LONG / 2).join("")}…` : text;
      more.setAttribute("aria-expanded", String(!open));
      more.textContent = open ? "Show all" : "Show less";
    },
    { kind: "quiet", "aria-expanded": "false" },
  );
  return [element, more];
}

const STAGES = {
  ritual_gathering: ({ ritual }) => `A ritual gathers: ${title(ritual.name)}`,
  ritual_scheduled: ({ ritual, starts_at: at }) => `A ritual is planned: ${title(ritual.name)}, ${dateTime(at)}`,
  ritual_unscheduled: () => "A planned ritual was taken back",
  ritual_closed: ({ outcome }) => (outcome === "completed" ? "The ritual is complete" : "The ritual was ended"),
};

/** Something happened. */
export function notice(event, room) {
  const who = () => name(callThem(event.from?.name ?? room.nameOf(event.from?.id)));
  const said = {
    joined: () => [who(), " came in"],
    left: () => [who(), event.body?.reason === "absent" ? " has gone" : " left"],
    updated: () => ["The space was changed"],
    closed: () => ["The space was closed"],
  }[event.event];
  const stage = STAGES[event.event];
  return h(
    "li.log-notice",
    { "data-offset": event.offset },
    said ? said() : stage ? stage(event.body) : title(event.event),
  );
}
