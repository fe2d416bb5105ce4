// The history of one's state: every version with where it came from, what it changed, and its place in the chain.

import { button, h, link, put } from "../dom.js";
import { inWords, dateTime, signed, two } from "../words.js";
import { changesOf, moved, picture } from "./picture.js";

const PAGE = 12;
const ORIGINS = {
  put: "Set by hand",
  transform: "Changed by hand",
  ritual: "By a ritual",
  group_ritual: "By a group ritual",
  group: "By a group ritual",
};

/** A timeline that loads its pages, newest first. */
export function timeline(session) {
  const items = h("ol.plain.timeline");
  const more = button("Earlier versions", () => load(), { hidden: true });
  const note = h("p.muted", { role: "status" });
  const element = h(
    "section.stack",
    { "aria-labelledby": "history-heading" },
    h("h2", { id: "history-heading" }, "How it came to be"),
    note,
    items,
    h("div.actions", null, more),
  );
  let held = null;
  let before;

  // One row more than is shown: what a version changed is told by the one before it.
  const load = async () => {
    try {
      const rows = await session.http("GET", "/api/state/history", { query: { limit: PAGE + 1, before } });
      const shown = rows.slice(0, PAGE);
      items.append(...shown.map((row, index) => version(row, rows[index + 1] ?? null)));
      before = shown.at(-1)?.version ?? before;
      held = rows.length;
      more.hidden = held <= PAGE;
      put(
        note,
        items.children.length ? "" : "Nothing yet. A ritual, or a change by your own hand, writes the first line.",
      );
    } catch (error) {
      put(note, inWords(error));
      more.hidden = false;
    }
  };
  return {
    element,
    load,
    reload: () => {
      before = undefined;
      put(items);
      return load();
    },
  };
}

function version(row, earlier) {
  const label = ORIGINS[row.origin] ?? row.origin;
  const details = h("details.timeline-more", null, h("summary", null, "Look at it"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(picture(row.state, earlier?.state ?? null));
  });
  return h(
    "li.timeline-item",
    { "data-origin": row.origin },
    h(
      "p.timeline-head",
      null,
      h("strong", null, row.session_id ? link(`/run/${row.session_id}`, label) : label),
      h("span.muted.small", null, ` ${dateTime(row.created_at)}`),
    ),
    h("p.timeline-changes", null, differences(row, earlier)),
    h(
      "p.muted.small",
      null,
      `Version ${row.version} · `,
      h("span.mono", { title: row.state_hash }, row.state_hash.slice(0, 10)),
    ),
    details,
  );
}

function differences(row, earlier) {
  const numbers = ["archetypes", "energies"].flatMap((part) =>
    changesOf(row.state[part], earlier?.state[part] ?? {}).filter(moved),
  );
  const words = ["symbols", "integrations", "transformations"].flatMap((part) => {
    const was = earlier?.state[part] ?? [];
    const now = row.state[part];
    return [
      ...now.filter((each) => !was.includes(each)).map((each) => ["+", each]),
      ...was.filter((each) => !now.includes(each)).map((each) => ["−", each]),
    ];
  });
  const told = [
    ...numbers
      .slice(0, 8)
      .map(({ key, now, was }) =>
        h(
          "span.change",
          null,
          h("bdi", null, key),
          h("span.number", null, ` ${two(now)} `, h("span.muted", null, signed(now - was))),
        ),
      ),
    ...words.slice(0, 8).map(([sign, each]) => h("span.change", null, `${sign} `, h("bdi", null, each))),
  ];
  const rest = numbers.length + words.length - told.length;
  if (rest > 0) told.push(h("span.muted", null, `and ${rest} more`));
  return told.length ? told : h("span.muted", null, "Nothing moved.");
}
