// The spaces that may be known of: searched, paged, opened; and a new one.

import { h, link, name, prose, put } from "../dom.js";
import { choice, field, form } from "../forms.js";
import { paged } from "../parts/paged.js";
import { session } from "../session.js";
import { ACCESS, dateTime } from "../words.js";

const PAGE = 20;

export async function spaces({ main, query }) {
  const search = field("q", "Search", {
    kind: "search",
    value: query.get("q") ?? "",
    placeholder: "A name, a purpose, a tradition",
    maxlength: 100,
  });
  const q = () => search.control.value.trim() || undefined;
  const list = paged({
    label: "Spaces",
    one: "space",
    spec: "ul.plain.space-list",
    size: PAGE,
    controls: [search.control],
    ask: async (page) => (await session.client.listSpaces({ q: q(), ...page })).spaces,
    item: card,
    nothing: () => h("li", null, nothing(q())),
  });
  put(
    main,
    h("header.head", null, h("h1", null, "Spaces"), h("a.button.primary", { href: "#/spaces/new" }, "New space")),
    invitations(),
    h("search.searching", null, search.element),
    list.elements,
  );
  await list.load();
  return { title: "Spaces", end: list.end };
}

function card(space) {
  const joined = [...session.rooms.values()].some((room) => room.id === space.id);
  const places = `${space.current_participants} of ${space.participant_limit}`;
  return h(
    "li.card.space-card",
    null,
    h("h2", null, link(`/space/${encodeURIComponent(space.slug ?? space.id)}`, name(space.name))),
    space.purpose ? prose(space.purpose, "p.purpose") : h("p.muted", null, "No purpose written down yet."),
    h(
      "p.facts",
      null,
      h("span.tag", null, ACCESS[space.access_level]?.label ?? space.access_level),
      space.tradition ? h("span.tag", null, h("bdi", null, space.tradition)) : null,
      h("span.muted.small", null, `${places} places taken`),
      joined ? h("span.tag.here", null, "You are here") : null,
    ),
  );
}

function nothing(q) {
  return h(
    "div.empty",
    null,
    h("p.lede", null, q ? "No space has these words." : "It is quiet here."),
    h(
      "p",
      null,
      q
        ? "Try fewer letters, or open a space of your own."
        : "Open the first space, and send its address to those you want to sit with.",
    ),
    h("a.button", { href: "#/spaces/new" }, "Open a space"),
  );
}

function invitations() {
  if (!session.invitations.length) return null;
  return h(
    "section.note.invitations",
    { "aria-label": "Invitations" },
    session.invitations.map(({ space, name: called, by, at }) =>
      h(
        "p",
        null,
        h("bdi", null, by ?? "Someone"),
        " invited you to ",
        link(`/space/${space}`, name(called)),
        h("span.muted.small", null, ` · ${dateTime(at)}`),
      ),
    ),
  );
}

/** The fields of a space, for a new one and for one that is changed. */
export function spaceFields(space = {}) {
  const most = session.client.limits.participant_limit_max ?? 10_000;
  return [
    field("name", "Name", { required: true, maxlength: 100, value: space.name }),
    field("purpose", "Purpose", {
      kind: "textarea",
      maxlength: 2000,
      value: space.purpose,
      hint: "What you meet for, in a sentence or two.",
      optional: true,
    }),
    field("tradition", "Tradition", { maxlength: 100, value: space.tradition, optional: true }),
    choice(
      "access_level",
      "Who may enter",
      Object.entries(ACCESS).map(([key, { label, says }]) => [key, label, says]),
      space.access_level ?? "open",
    ),
    field("participant_limit", "Places", {
      kind: "number",
      min: 1,
      max: most,
      value: space.participant_limit ?? 12,
      hint: `From 1 to ${most}.`,
      inputmode: "numeric",
    }),
  ];
}

/** What the server takes: numbers as numbers, an empty tradition as none. @param {Record<string, any>} values @returns {Record<string, any>} */
export const spaceValues = ({ participant_limit: places, tradition, ...rest }) => ({
  ...rest,
  tradition: tradition.trim() || null,
  participant_limit: Number(places),
});

export async function newSpace({ main }) {
  const slug = field("slug", "Address", {
    optional: true,
    maxlength: 63,
    hint: "A short word for the link: small letters, digits, hyphens. It cannot be changed later.",
    autocapitalize: "none",
    spellcheck: "false",
  });
  put(
    main,
    h("h1", null, "A new space"),
    h("p.lede", null, "You will be its facilitator: you invite, you begin rituals, you close it."),
    h(
      "div.narrow.card",
      null,
      form([...spaceFields(), slug], {
        label: "Open the space",
        extra: [h("a.button", { href: "#/spaces" }, "Not now")],
        submit: async (values) => {
          const fields = spaceValues(values);
          if (!fields.slug) delete fields.slug;
          const space = await session.client.createSpace(fields);
          location.hash = `/space/${encodeURIComponent(space.slug ?? space.id)}`;
        },
      }),
    ),
  );
  return { title: "A new space" };
}
