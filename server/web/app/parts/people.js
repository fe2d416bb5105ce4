// Who is here, who has a place and is away; where it is one's own space, an invitation by id.

import { h, name, put } from "../dom.js";
import { callThem, count } from "../words.js";

const SHOWN = 200;

/** The list of a room. */
export function people(room, me) {
  const here = h("ul.plain.people");
  const away = h("ul.plain.people.people-away");
  const heading = h("h3");
  const gone = h("p.muted.small");
  const element = h("section.people-figure", { "aria-label": "Who is here" }, heading, here, gone, away);
  const draw = () => {
    const ids = [...room.present].sort((a, b) =>
      a === me ? -1 : b === me ? 1 : callThem(room.nameOf(a)).localeCompare(callThem(room.nameOf(b))),
    );
    const absent = [...room.participants].filter((id) => !room.present.has(id));
    put(heading, "Here now", h("span.muted.number", null, ` ${ids.length}`));
    put(
      here,
      ids.slice(0, SHOWN).map((id) => person(id)),
      ids.length > SHOWN ? h("li.muted.small", null, `and ${ids.length - SHOWN} more`) : null,
    );
    put(gone, absent.length ? `${count(absent.length, "place")} kept for those who are away` : "");
    put(
      away,
      absent.slice(0, 50).map((id) => person(id)),
    );
  };
  const person = (id) => {
    const breathing = room.phases.has(id);
    return h(
      "li",
      { "data-person": id, "data-breathing": breathing },
      h("span.person-dot", { "aria-hidden": "true" }),
      name(callThem(room.nameOf(id))),
      id === me ? h("span.muted.small", null, "you") : null,
      id === room.space.facilitator ? h("span.muted.small", null, "facilitator") : null,
      breathing ? h("span.hidden-visually", null, ", shares a breath") : null,
    );
  };
  let sharing = "";
  /** Only where somebody began or ended to share; phases come four times a second. */
  const breaths = () => {
    const now = [...room.phases.keys()].sort().join();
    if (now === sharing) return;
    sharing = now;
    draw();
  };
  draw();
  return { element, draw, breaths };
}
